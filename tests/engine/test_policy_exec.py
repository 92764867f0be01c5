"""What the runner of policy packs changes in the SDK, and what stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import policy as sdk

from engine.stand_in.policy_exec import _once, _quicken


def test_a_resource_and_its_provider_are_converted_once_for_all_policies() -> None:
    made: list[object] = []

    def noted(source: object) -> object:
        made.append(source)
        return source

    convert = _once(noted)
    resource, provider, following = object(), object(), object()
    for source in (resource, provider, resource, provider, resource, following, provider):
        assert convert(source) is source
    assert made == [resource, provider, following]


def test_a_newer_resource_never_gets_what_was_made_of_one_that_is_gone() -> None:
    convert = _once(lambda source: source[0])
    assert [convert([number]) for number in range(1000)] == list(range(1000))


@pytest.mark.parametrize(("level", "remediated"), [("REMEDIATE", True), ("MANDATORY", False)])
def test_only_a_pack_that_remediates_is_asked_to(level: str, remediated: bool) -> None:
    class Servicer:
        _PolicyAnalyzerServicer__policies = ("one",)

        def _get_enforcement_level(self, _policy: str) -> Any:
            return sdk.EnforcementLevel[level]

        def Remediate(self, _request: object, _context: object) -> str:  # noqa: N802
            return "asked"

    quick = SimpleNamespace(**{**vars(sdk), "_PolicyAnalyzerServicer": Servicer})
    _quicken(quick)
    answer = Servicer().Remediate(None, None)
    assert answer == ("asked" if remediated else analyzer_pb2.RemediateResponse())


def test_an_sdk_that_is_written_otherwise_is_left_alone() -> None:
    other = SimpleNamespace(json_format=object())
    _quicken(other)
    assert list(vars(other)) == ["json_format"]
