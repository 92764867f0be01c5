"""Data sources are answered from what the site declares, and refused by name where it declares nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rehearsal.core import Unanswerable, World, invoke

ARN = "arn:aws:outposts:eu-west-2:123456789012:outpost/op-0123456789abcdef0"
SITE = {
    "site": "london",
    "k3s": {"version": "v1.36.3+k3s1"},
    "registration": {"kind": "outposts", "outpost_arn": ARN, "account_id": "123456789012", "compute": {"ami": "ami-1"}},
}
WORLD = World.of(SITE)
OUTPOST = "aws:outposts/getOutpost:getOutpost"
TABLE = "aws:ec2/getLocalGatewayRouteTable:getLocalGatewayRouteTable"


def test_a_site_declares_its_world() -> None:
    assert (WORLD.region, WORLD.account_id, WORLD.kubernetes_minor) == ("eu-west-2", "123456789012", 36)
    assert list(WORLD.outposts) == [ARN]
    arc = World.of({"registration": {"kind": "arc", "subscription_id": "s", "tenant_id": "t"}})
    assert (arc.subscription_id, arc.tenant_id, arc.kubernetes_minor) == ("s", "t", None)
    assert World.of({"registration": {"kind": "none"}}) == World()


@pytest.mark.parametrize(
    ("token", "args", "expected"),
    [
        (OUTPOST, {"arn": ARN}, {"ownerId": "123456789012", "region": "eu-west-2", "id": "op-0123456789abcdef0"}),
        (OUTPOST, {"id": "op-0123456789abcdef0"}, {"arn": ARN}),
        ("aws:outposts/getOutposts:getOutposts", {}, {"arns": [ARN]}),
        (TABLE, {"outpostArn": ARN}, {"outpostArn": ARN, "state": "available"}),
        ("aws:ec2/getAmi:getAmi", {"filters": [{"name": "image-id", "values": ["ami-1"]}]}, {"imageId": "ami-1"}),
        ("aws:index/getCallerIdentity:getCallerIdentity", {}, {"accountId": "123456789012"}),
        ("aws:index/getRegion:getRegion", {}, {"name": "eu-west-2"}),
        ("aws:index/getPartition:getPartition", {}, {"partition": "aws", "dnsSuffix": "amazonaws.com"}),
    ],
)
def test_what_the_site_declares_is_answered(token: str, args: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = invoke(token, args, WORLD)
    assert {key: answer[key] for key in expected} == expected
    assert invoke(token, args, WORLD) == answer


def test_data_sources_agree_with_each_other() -> None:
    table = invoke(TABLE, {"outpostArn": ARN}, WORLD)
    gateway = invoke("aws:ec2/getLocalGateway:getLocalGateway", {"id": table["localGatewayId"]}, WORLD)
    assert gateway["outpostArn"] == ARN
    site = invoke(OUTPOST, {"arn": ARN}, WORLD)["siteId"]
    assert invoke("aws:outposts/getSite:getSite", {"id": site}, WORLD)["accountId"] == "123456789012"


def test_what_is_declared_of_an_outpost_is_taken_as_it_is() -> None:
    world = World(outposts={ARN: {"availabilityZone": "eu-west-2c", "instanceTypes": ["m5.large", "m5.xlarge"]}})
    assert invoke(OUTPOST, {"arn": ARN}, world)["availabilityZone"] == "eu-west-2c"
    token = "aws:outposts/getOutpostInstanceType:getOutpostInstanceType"
    wanted = {"arn": ARN, "preferredInstanceTypes": ["c5.large", "m5.xlarge"]}
    assert invoke(token, wanted, world)["instanceType"] == "m5.xlarge"
    with pytest.raises(Unanswerable, match=r"none of c5\.large"):
        invoke(token, {"arn": ARN, "instanceType": "c5.large"}, world)


@pytest.mark.parametrize(
    ("token", "args", "world", "words"),
    [
        (OUTPOST, {"arn": ARN}, World(), "the site declares no Outpost"),
        (OUTPOST, {"arn": ARN.replace("abcdef0", "abcdef1")}, WORLD, "did you mean"),
        (OUTPOST, {}, World(outposts={"a": {}, "b": {}}), "several Outposts"),
        ("aws:ec2/getVpc:getVpc", {"id": "vpc-1"}, WORLD, "aws:ec2/getVpc:getVpc"),
        ("aws:ec2/getAmi:getAmi", {"nameRegex": "flatcar"}, WORLD, "0 declared machine images"),
        ("aws:index/getAvailabilityZones:getAvailabilityZones", {}, WORLD, "availability zones"),
        ("aws:index/getRegion:getRegion", {}, World(), "AWS region"),
        ("azure-native:authorization:getClientConfig", {}, World(), "Azure subscription"),
    ],
)
def test_what_nobody_declared_is_refused_by_name(token: str, args: dict[str, Any], world: World, words: str) -> None:
    with pytest.raises(Unanswerable) as refusal:
        invoke(token, args, world)
    assert words in str(refusal.value)
    assert token in str(refusal.value)


def test_a_declared_answer_is_given_to_the_call_that_it_is_for() -> None:
    token = "aws:ec2/getVpc:getVpc"
    world = World(answers={token: ({"args": {"id": "vpc-1"}, "result": {"cidrBlock": "10.0.0.0/16"}},)})
    assert invoke(token, {"id": "vpc-1", "region": "eu-west-2"}, world) == {"cidrBlock": "10.0.0.0/16"}
    with pytest.raises(Unanswerable):
        invoke(token, {"id": "vpc-2"}, world)
