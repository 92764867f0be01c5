"""The rules' verdicts are those of Kubernetes' own evaluator, at each of its minors, in whatever a pod stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from engine.obtain.pin import EngineError
from lab.pod_security import reasons
from policies.rules import CATALOGUE, DEFAULT_SETTINGS, Resource, evaluate
from policies.rules.selection import STANDARDS, select
from tests.policies.standard_pods import StandardPod, pods

MINORS = (34, 35, 36, 37)
LEVELS = ("baseline", "restricted")
RULES = select(CATALOGUE, tuple(STANDARDS))

_BOTH = {
    "privileged": "workload/no-privileged",
    "host namespaces": "workload/no-host-namespaces",
    "hostPort": "network/no-host-port",
    "hostProcess": "workload/no-host-process",
    "forbidden AppArmor profile": "workload/apparmor",
    "forbidden AppArmor profiles": "workload/apparmor",
    "seLinuxOptions": "workload/selinux",
    "forbidden sysctls": "workload/safe-sysctls",
    "probe or lifecycle host": "workload/no-probe-host",
}
RULE_OF: Mapping[str, Mapping[str, str]] = {
    "baseline": {
        **_BOTH,
        "non-default capabilities": "pss-baseline/capabilities",
        "seccompProfile": "pss-baseline/seccomp",
        "hostPath volumes": "pss-baseline/host-path",
        "procMount": "pss-baseline/proc-mount",
    },
    "restricted": {
        **_BOTH,
        "unrestricted capabilities": "workload/drop-capabilities",
        "seccompProfile": "workload/seccomp",
        "restricted volume types": "workload/volume-types",
        "procMount": "workload/proc-mount",
        "allowPrivilegeEscalation != false": "workload/no-escalation",
        "runAsNonRoot != true": "workload/non-root",
        "runAsUser=0": "workload/non-root",
    },
}
"""What the evaluator calls a reason, as a rule."""
_MAY_BE_ABSENT = frozenset(
    ("workload/no-escalation", "workload/drop-capabilities", "workload/seccomp", "workload/non-root")
)
"""Rules that ask for a field. A patch that leaves it out does not change it."""


def template(pod: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pod}}


KINDS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "core/v1:Pod": lambda pod: pod,
    "core/v1:PodTemplate": lambda pod: {"template": pod},
    "core/v1:ReplicationController": template,
    "apps/v1:Deployment": template,
    "apps/v1:StatefulSet": template,
    "apps/v1:DaemonSet": template,
    "apps/v1:ReplicaSet": template,
    "batch/v1:Job": template,
    "batch/v1:CronJob": lambda pod: {"spec": {"jobTemplate": {"spec": {"template": pod}}}},
}


@cache
def standard() -> list[tuple[StandardPod, dict[tuple[str, int], frozenset[str]]]]:
    """The pods, and by level and minor the rules that Kubernetes says they break."""
    found = pods()
    try:
        said = reasons([one.pod for one in found], MINORS)
    except EngineError as error:
        pytest.fail(f"the evaluator is needed: {error}")
    return [
        (one, {at: frozenset(RULE_OF[at[0]][reason] for reason in why) for at, why in verdict.items()})
        for one, verdict in zip(found, said, strict=True)
    ]


def broken(token: str, props: dict[str, Any], minor: int) -> dict[str, frozenset[str]]:
    """By level, the rules that an object breaks."""
    settings = replace(DEFAULT_SETTINGS, kubernetes=minor)
    found = {one.rule for one in evaluate(Resource(token, "a", "urn:a", props), settings, catalogue=RULES)}
    return {level: frozenset(found & set(STANDARDS[f"pss-{level}"])) for level in LEVELS}


def test_the_pods_reach_every_rule_and_every_difference_between_minors() -> None:
    """Else equal verdicts would say little."""
    reached = {rule for _, verdict in standard() for rules in verdict.values() for rule in rules}
    assert reached == {rule for of_level in RULE_OF.values() for rule in of_level.values()}
    assert {rule.id for rule in RULES} == reached
    for older, newer in ((34, 35), (36, 37)):
        assert any(verdict["restricted", older] != verdict["restricted", newer] for _, verdict in standard())
    allowed = sum(not verdict["restricted", 37] for _, verdict in standard())
    assert 50 < allowed < len(standard()) - 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minor", MINORS)
def test_verdicts_are_those_of_kubernetes_in_every_workload_and_list(kind: str, minor: int) -> None:
    for one, verdict in standard():
        props = KINDS[kind](one.pod)
        alone = broken(f"kubernetes:{kind}", props, minor)
        listed = broken(f"kubernetes:{kind}List", {"items": [props]}, minor)
        api, _, name = kind.partition(":")
        item = {"apiVersion": api.removeprefix("core/"), "kind": name, **props}
        in_list = broken("kubernetes:core/v1:List", {"items": [item]}, minor)
        for level in LEVELS:
            expected = verdict[level, minor]
            assert (alone[level], listed[level], in_list[level]) == (expected,) * 3, f"{one.name}, {level}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minor", MINORS)
def test_a_patch_is_refused_for_what_it_sets(kind: str, minor: int) -> None:
    for one, verdict in standard():
        found = broken(f"kubernetes:{kind}Patch", KINDS[kind](one.pod), minor)
        for level in LEVELS:
            expected = verdict[level, minor]
            assert expected - _MAY_BE_ABSENT <= found[level] <= expected, f"{one.name}, {level}"


def test_an_unknown_minor_that_is_newer_is_read_as_the_newest_one() -> None:
    for one, verdict in standard():
        assert broken("kubernetes:core/v1:Pod", one.pod, 40)["restricted"] == verdict["restricted", MINORS[-1]]
