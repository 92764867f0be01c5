"""Ways around the rules that do not work: other type tokens, patches, lists, and pods inside custom resources."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from policies.rules import UNKNOWN, Resource, evaluate
from tests.policies.cases import base, drop, put

PRIVILEGED = "spec.template.spec.containers[0].securityContext.privileged"


def deployment(**changes: Any) -> dict[str, Any]:
    props: dict[str, Any] = copy.deepcopy(dict(base("deployment").props))
    for path, value in changes.items():
        put(props, path, value)
    return props


def template() -> dict[str, Any]:
    found: dict[str, Any] = deployment()["spec"]["template"]
    return found


def rules(token: str, props: dict[str, Any]) -> set[str]:
    return {finding.rule for finding in evaluate(Resource(token, "x", "urn:x", props))}


def paths(token: str, props: dict[str, Any]) -> set[str]:
    return {finding.path for finding in evaluate(Resource(token, "x", "urn:x", props))}


METADATA = {"name": "x", "namespace": "edge-inference"}
WORKLOADS: dict[str, Any] = {
    "core/v1:Pod": lambda pod: {**pod, "metadata": METADATA},
    "v1:Pod": lambda pod: {**pod, "metadata": METADATA},
    "core/v1:PodTemplate": lambda pod: {"metadata": METADATA, "template": pod},
    "core/v1:ReplicationController": lambda pod: {"metadata": METADATA, "spec": {"template": pod}},
    "batch/v1:Job": lambda pod: {"metadata": METADATA, "spec": {"template": pod}},
    "batch/v1:CronJob": lambda pod: {"metadata": METADATA, "spec": {"jobTemplate": {"spec": {"template": pod}}}},
    "batch/v1beta1:CronJob": lambda pod: {"metadata": METADATA, "spec": {"jobTemplate": {"spec": {"template": pod}}}},
    **{
        f"{group}:{kind}": lambda pod: {"metadata": METADATA, "spec": {"template": pod}}
        for group in ("apps/v1", "apps/v1beta2", "extensions/v1beta1")
        for kind in ("Deployment", "DaemonSet", "ReplicaSet", "StatefulSet")
    },
    "argoproj.io/v1alpha1:Rollout": lambda pod: {"metadata": METADATA, "spec": {"template": pod}},
    "batch.volcano.sh/v1alpha1:Job": lambda pod: {"metadata": METADATA, "spec": {"tasks": [{"template": pod}]}},
}


@pytest.mark.parametrize("token", WORKLOADS)
def test_a_privileged_container_is_found_in_every_kind_that_runs_pods(token: str) -> None:
    pod = template()
    assert rules(f"kubernetes:{token}", WORKLOADS[token](pod)) == set()
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = True
    assert rules(f"kubernetes:{token}", WORKLOADS[token](pod)) == {"workload/no-privileged"}


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (
            "spec.template.spec.containers",
            [{"name": "a", "securityContext": {"privileged": True}}],
            "workload/no-privileged",
        ),
        ("spec.template.spec.hostNetwork", True, "workload/no-host-namespaces"),
        ("spec.template.spec.securityContext", {"runAsUser": 0}, "workload/non-root"),
        ("spec.template.spec.securityContext", {"seccompProfile": {"type": "Unconfined"}}, "workload/seccomp"),
        ("spec.template.spec.volumes", [{"name": "a", "hostPath": {"path": "/"}}], "workload/volume-types"),
        ("spec.template.spec.automountServiceAccountToken", True, "workload/no-token-automount"),
        ("metadata.namespace", "default", "workload/not-default-namespace"),
        (
            "spec.template.spec.containers",
            [{"name": "a", "securityContext": {"capabilities": {"drop": []}}}],
            "workload/drop-capabilities",
        ),
        (
            "spec.template.spec.containers",
            [{"name": "a", "securityContext": {"allowPrivilegeEscalation": True}}],
            "workload/no-escalation",
        ),
        ("spec.template.spec.containers", [{"name": "a", "ports": [{"hostPort": 80}]}], "network/no-host-port"),
        (
            "spec.template.spec.containers",
            [{"name": "a", "env": [{"name": "K", "value": "AKIAIOSFODNN7EXAMPLE"}]}],
            "secrets/no-secret-in-pod",
        ),
    ],
)
def test_a_patch_is_judged_on_what_it_sets(path: str, value: Any, rule: str) -> None:
    props: dict[str, Any] = {"metadata": {"name": "x"}}
    put(props, path, value)
    assert rules("kubernetes:apps/v1:DeploymentPatch", props) == {rule}


def test_a_container_with_an_image_counts_as_new_in_a_patch() -> None:
    container = copy.deepcopy(template()["spec"]["containers"][0])
    props = {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [container]}}}}
    # The pod around it may say it for its containers; the patch does not show that.
    missing = {"workload/non-root", "workload/seccomp"}
    assert rules("kubernetes:apps/v1:DeploymentPatch", props) == missing
    put(
        props,
        "spec.template.spec.securityContext",
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    )
    assert rules("kubernetes:apps/v1:DeploymentPatch", props) == set()
    for field, rule in (
        ("securityContext.allowPrivilegeEscalation", "workload/no-escalation"),
        ("securityContext.capabilities", "workload/drop-capabilities"),
        ("resources", "workload/requests-and-limits"),
    ):
        changed = copy.deepcopy(props)
        drop(changed, f"spec.template.spec.containers[0].{field}")
        assert rules("kubernetes:apps/v1:DeploymentPatch", changed) == {rule}


@pytest.mark.parametrize(
    ("token", "spec", "rule"),
    [
        ("core/v1:ServicePatch", {"type": "LoadBalancer"}, "network/no-exposed-service"),
        ("networking.k8s.io/v1:IngressPatch", {"tls": []}, "network/ingress-tls"),
        ("networking.k8s.io/v1:IngressPatch", {"rules": [{"host": "*.example.com"}]}, "network/ingress-no-wildcard"),
        (
            "source.toolkit.fluxcd.io/v1:GitRepositoryPatch",
            {"verify": {"mode": "HEAD"}},
            "supply-chain/flux-source-verified",
        ),
        ("security.istio.io/v1:PeerAuthenticationPatch", {"mtls": {"mode": "PERMISSIVE"}}, "network/mtls-strict"),
    ],
)
def test_patches_of_other_kinds_are_judged_too(token: str, spec: dict[str, Any], rule: str) -> None:
    assert rules(f"kubernetes:{token}", {"metadata": {"name": "x"}, "spec": spec}) == {rule}


@pytest.mark.parametrize(
    ("token", "props"),
    [
        ("apps/v1:DeploymentPatch", {"metadata": {"name": "x"}, "spec": {"replicas": 2}}),
        ("apps/v1:DeploymentPatch", {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}),
        ("core/v1:ServicePatch", {"metadata": {"annotations": {"a": "b"}}}),
        ("networking.k8s.io/v1:IngressPatch", {"metadata": {"labels": {"a": "b"}}}),
        ("source.toolkit.fluxcd.io/v1:GitRepositoryPatch", {"spec": {"interval": "1m"}}),
        ("core/v1:NodePatch", {"metadata": {"name": "berlin-01-a", "labels": {"edge/inference": "nvidia"}}}),
    ],
)
def test_a_patch_is_not_blamed_for_what_it_leaves_alone(token: str, props: dict[str, Any]) -> None:
    assert rules(f"kubernetes:{token}", props) == set()


def test_a_list_is_judged_item_by_item() -> None:
    items = [deployment(), deployment(**{PRIVILEGED: True}), deployment(**{"metadata.namespace": "default"})]
    token = "kubernetes:apps/v1:DeploymentList"
    assert rules(token, {"items": items}) == {"workload/no-privileged", "workload/not-default-namespace"}
    assert paths(token, {"items": items}) == {f"items[1].{PRIVILEGED}", "items[2].metadata.namespace"}


def test_a_plain_list_asks_each_item_what_it_is() -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "AKIAIOSFODNN7EXAMPLE"}}
    items = [
        {"apiVersion": "apps/v1", "kind": "Deployment", **deployment(**{PRIVILEGED: True})},
        {"apiVersion": "v1", "kind": "Service", "metadata": METADATA, "spec": {"type": "NodePort"}},
        {"apiVersion": "v1", "kind": "List", "items": [config_map]},
    ]
    found = rules("kubernetes:core/v1:List", {"items": items})
    assert found == {"workload/no-privileged", "network/no-exposed-service", "secrets/no-secret-in-config-map"}


@pytest.mark.parametrize("items", [UNKNOWN, [UNKNOWN], ["text"], "text"])
def test_a_list_that_cannot_be_seen_is_refused(items: Any) -> None:
    assert "workload/no-privileged" in rules("kubernetes:apps/v1:DeploymentList", {"items": items})
    assert "workload/no-privileged" in rules("kubernetes:core/v1:List", {"items": items})


@pytest.mark.parametrize("where", ["spec", "spec.template", "spec.template.spec", "spec.template.spec.containers"])
def test_a_pod_that_cannot_be_seen_is_refused(where: str) -> None:
    found = evaluate(Resource("kubernetes:apps/v1:Deployment", "x", "urn:x", deployment(**{where: UNKNOWN})))
    hidden = {finding.rule for finding in found if finding.level == "mandatory"}
    assert {"workload/no-privileged", "workload/no-escalation", "supply-chain/image-digest"} <= hidden
    assert all("not known before deployment" in f.message for f in found if f.rule == "workload/no-privileged")


def test_one_unknown_container_does_not_hide_the_others() -> None:
    props = deployment(**{"spec.template.spec.initContainers[0]": UNKNOWN, PRIVILEGED: True})
    assert {f"{PRIVILEGED}", "spec.template.spec.initContainers[0]"} <= paths("kubernetes:apps/v1:Deployment", props)


@pytest.mark.parametrize(
    "path",
    ["spec.replicas", "metadata.name", "spec.template.spec.nodeSelector", "spec.template.spec.containers[0].name"],
)
def test_what_no_rule_asks_about_may_be_unknown(path: str) -> None:
    assert rules("kubernetes:apps/v1:Deployment", deployment(**{path: UNKNOWN})) == set()


@pytest.mark.parametrize("value", ["true", 1, [], {}])
def test_a_value_of_the_wrong_type_is_not_taken_for_a_good_one(value: Any) -> None:
    assert rules("kubernetes:apps/v1:Deployment", deployment(**{PRIVILEGED: value})) == {"workload/no-privileged"}


def test_windows_pods_are_excused_from_what_windows_does_not_have() -> None:
    props = deployment(**{"spec.template.spec.os": {"name": "windows"}})
    for container in (props["spec"]["template"]["spec"][name][0] for name in ("initContainers", "containers")):
        del container["securityContext"]
    del props["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    assert rules("kubernetes:apps/v1:Deployment", props) == set()


def test_a_user_namespace_relaxes_root_and_nothing_else() -> None:
    props = deployment(**{"spec.template.spec.hostUsers": False, "spec.template.spec.securityContext.runAsUser": 0})
    assert rules("kubernetes:apps/v1:Deployment", props) == set()
    put(props, "spec.template.spec.containers[0].securityContext.procMount", "Unmasked")
    assert rules("kubernetes:apps/v1:Deployment", props) == {"workload/proc-mount"}
