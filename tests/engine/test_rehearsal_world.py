"""Data sources are answered from what the site declares, and refused by name where it declares nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rehearsal.core import Unanswerable, World, invoke

ARN = "arn:aws:outposts:eu-west-2:123456789012:outpost/op-0123456789abcdef0"
SITE = {
    "site": "london",
    "k3s": {"version": "v1.36.3+k3s1"},
    "place": {"kind": "outposts", "outpost_arn": ARN, "account_id": "123456789012", "compute": {"ami": "ami-1"}},
}
WORLD = World.of(SITE)
OUTPOST = "aws:outposts/getOutpost:getOutpost"
TABLE = "aws:ec2/getLocalGatewayRouteTable:getLocalGatewayRouteTable"


def test_a_site_declares_its_world() -> None:
    assert World(36, {ARN: {}}) == WORLD
    assert World.of({"place": {"kind": "on-premises"}, "registrations": [{"kind": "arc"}]}) == World()


@pytest.mark.parametrize(
    ("token", "args", "expected"),
    [
        (OUTPOST, {"arn": ARN}, {"ownerId": "123456789012", "region": "eu-west-2", "id": "op-0123456789abcdef0"}),
        (OUTPOST, {"id": "op-0123456789abcdef0"}, {"arn": ARN}),
        (OUTPOST, {}, {"arn": ARN}),
        (TABLE, {"outpostArn": ARN}, {"outpostArn": ARN, "state": "available"}),
    ],
)
def test_what_the_site_declares_is_answered(token: str, args: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = invoke(token, args, WORLD)
    assert {key: answer[key] for key in expected} == expected
    assert invoke(token, args, WORLD) == answer


def test_what_is_declared_of_an_outpost_is_taken_as_it_is() -> None:
    world = World(outposts={ARN: {"availabilityZone": "eu-west-2c"}})
    assert invoke(OUTPOST, {"arn": ARN}, world)["availabilityZone"] == "eu-west-2c"


@pytest.mark.parametrize(
    ("token", "args", "world", "words"),
    [
        (OUTPOST, {"arn": ARN}, World(), "the site declares no Outpost"),
        (OUTPOST, {"arn": ARN.replace("abcdef0", "abcdef1")}, WORLD, "did you mean"),
        (OUTPOST, {}, World(outposts={"a": {}, "b": {}}), "several Outposts"),
        ("aws:ec2/getVpc:getVpc", {"id": "vpc-1"}, WORLD, "aws:ec2/getVpc:getVpc"),
    ],
)
def test_what_nobody_declared_is_refused_by_name(token: str, args: dict[str, Any], world: World, words: str) -> None:
    with pytest.raises(Unanswerable) as refusal:
        invoke(token, args, world)
    assert words in str(refusal.value)
    assert token in str(refusal.value)
