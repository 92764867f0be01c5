"""What a rehearsal refuses, and that each finding names the property, what was found and what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rehearsal import core
from engine.rehearsal.values import UNKNOWN, Secret
from engine.rehearsal.world import World

URN = "urn:pulumi:s::edge::t::thing"
CONNECTION = {"host": "192.0.2.1", "user": "core", "privateKey": "marker-key", "hostKey": "ssh-ed25519 AAAA"}
COMMAND = {"connection": Secret(CONNECTION), "create": "true", "triggers": ["a"]}
INSTANCE = {"ami": "ami-0123", "instanceType": "m5.large", "rootBlockDevice": {"volumeSize": 100}}
CLUSTER = {
    "resourceGroupName": "edge",
    "clusterName": "berlin",
    "agentPublicKeyCertificate": "AAAA",
    "identity": {"type": "SystemAssigned"},
}
CONTAINER = {"name": "web", "image": "web@sha256:0", "ports": [{"containerPort": 8000}]}
LABELS = {"app": "web"}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "apps", "labels": LABELS},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}},
    },
}
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": "apps"},
    "data": {"a": "b"},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "apps"},
    "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "apps"},
    "stringData": {"token": Secret("marker-token")},
}
REPOSITORY = {
    "apiVersion": "source.toolkit.fluxcd.io/v1",
    "kind": "GitRepository",
    "metadata": {"name": "edge-configs", "namespace": "flux-system"},
    "spec": {"interval": "5m", "url": "https://git.example.com/edge.git", "ref": {"branch": "main"}},
}
KUSTOMIZATION = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "edge", "namespace": "flux-system"},
    "spec": {"interval": "5m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "edge-configs"}},
}
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:probe"}}
RELEASE = {"chart": "flux", "name": "flux", "namespace": "flux-system", "version": "1.2.3", "timeout": 600}

TOKENS = {
    "Command": "command:remote:Command",
    "Instance": "aws:ec2/instance:Instance",
    "Cluster": "azure-native:kubernetes/v20240101:ConnectedCluster",
    "PrivateKey": "tls:index/privateKey:PrivateKey",
    "TailnetKey": "tailscale:index/tailnetKey:TailnetKey",
    "Release": "kubernetes:helm.sh/v3:Release",
    "Provider": "pulumi:providers:kubernetes",
    "Deployment": "kubernetes:apps/v1:Deployment",
    "ConfigMap": "kubernetes:core/v1:ConfigMap",
    "Service": "kubernetes:core/v1:Service",
    "Secret": "kubernetes:core/v1:Secret",
    "GitRepository": "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository",
    "Kustomization": "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization",
    "ClusterRole": "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole",
}


def found(kind: str, inputs: dict[str, Any], world: World | None = None) -> list[tuple[str, str]]:
    _, problems = core.check(TOKENS[kind], URN, inputs, world)
    assert all(problem.urn == URN for problem in problems)
    return [(problem.property, problem.reason) for problem in problems]


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """``base`` with one leaf set; ``None`` removes it, a number in the path is a list index."""

    def walk(node: Any, keys: list[str]) -> Any:
        key, *rest = keys
        if isinstance(node, list):
            index = int(key)
            return [walk(item, rest) if rest and at == index else item for at, item in enumerate(node)]
        copy = dict(node)
        if rest:
            copy[key] = walk(copy.get(key, {}), rest)
        elif value is None:
            del copy[key]
        else:
            copy[key] = value
        return copy

    changed_tree: dict[str, Any] = walk(base, path.split("/"))
    return changed_tree


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Command", COMMAND),
        ("Instance", INSTANCE),
        ("Cluster", CLUSTER),
        ("PrivateKey", {"algorithm": "RSA", "rsaBits": 4096}),
        ("TailnetKey", {"preauthorized": True, "expiry": 3600, "tags": ["tag:edge"]}),
        ("Release", RELEASE),
        ("Provider", {"kubeconfig": Secret("k"), "clusterIdentifier": "s", "enableServerSideApply": "true"}),
        ("Deployment", DEPLOYMENT),
        ("ConfigMap", CONFIG_MAP),
        ("Service", SERVICE),
        ("Secret", SECRET),
        ("GitRepository", REPOSITORY),
        ("Kustomization", KUSTOMIZATION),
        ("ClusterRole", ROLE),
    ],
)
def test_what_providers_accept_passes(kind: str, inputs: dict[str, Any]) -> None:
    assert found(kind, inputs) == []


@pytest.mark.parametrize(
    ("kind", "inputs", "path", "words"),
    [
        ("Command", changed(COMMAND, "create", 3), "create", "expected text, found a number"),
        ("Command", changed(COMMAND, "connection", None), "connection", "missing required property"),
        ("Command", COMMAND | {"creat": "x"}, "creat", 'did you mean "create"?'),
        ("Command", COMMAND | {"logging": "stout"}, "logging", "expected one of none, stderr, stdout, stdoutAndStderr"),
        ("Command", COMMAND | {"connection": {"host": "h", "prot": 22}}, "connection.prot", 'did you mean "port"?'),
        ("Command", COMMAND | {"triggers": "a"}, "triggers", "expected a list, found text"),
        ("Command", COMMAND | {"environment": {"A": 1}}, "environment.A", "expected text"),
        (
            "Instance",
            changed(INSTANCE, "rootBlockDevice/volumeSize", "big"),
            "rootBlockDevice.volumeSize",
            "whole number",
        ),
        (
            "Instance",
            changed(INSTANCE, "rootBlockDevice/volume_type", "gp3"),
            "rootBlockDevice.volume_type",
            'did you mean "volumeType"?',
        ),
        ("Cluster", changed(CLUSTER, "resourceGroupName", None), "resourceGroupName", "missing required property"),
        ("Cluster", CLUSTER | {"agentPublicKey": "x"}, "agentPublicKey", "unknown property"),
        ("PrivateKey", {"algorithm": "RSA", "rsaBits": 4096.5}, "rsaBits", "expected a whole number"),
        ("PrivateKey", {}, "algorithm", "missing required property"),
        ("TailnetKey", {"preauthorized": "yes"}, "preauthorized", "expected true or false, found text"),
        ("Release", RELEASE | {"timeout": "600s"}, "timeout", "expected a whole number, found text"),
        ("Release", RELEASE | {"name": "x" * 54}, "name", "Helm allows 53"),
        ("Release", RELEASE | {"repositoryOpts": {"url": "x"}}, "repositoryOpts.url", "unknown property"),
        ("Provider", {"kubeConfig": "x"}, "kubeConfig", 'did you mean "kubeconfig"?'),
        ("Provider", {"enableServerSideApply": "3"}, "enableServerSideApply", "expected true or false, found a number"),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/replicas", "2"),
            "spec.replicas",
            "expected a whole number, found text",
        ),
        ("Deployment", changed(DEPLOYMENT, "spec/replicas", 2**31), "spec.replicas", "at most 2.14748e+09"),
        ("Deployment", changed(DEPLOYMENT, "spec/selector", None), "spec.selector", "missing required property"),
        ("Deployment", changed(DEPLOYMENT, "spec/replica", 2), "spec.replica", 'did you mean "replicas"?'),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/spec/containers/0/ports/0/container_port", 80),
            "spec.template.spec.containers[0].ports[0].container_port",
            'did you mean "containerPort"?',
        ),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/spec/containers/0/name", None),
            "spec.template.spec.containers[0].name",
            "missing required property",
        ),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/spec/containers/0/resources", {"limits": {"memory": "2 Gi"}}),
            "spec.template.spec.containers[0].resources.limits.memory",
            "a quantity",
        ),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/spec/containers/0/volumeMounts", [{"name": "x", "mountPath": "/x"}]),
            "spec.template.spec.containers[0].volumeMounts[0].name",
            'the pod has no volume "x"',
        ),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/spec/containers", [CONTAINER, CONTAINER]),
            "spec.template.spec.containers[1].name",
            'two containers are named "web"',
        ),
        (
            "Deployment",
            changed(DEPLOYMENT, "spec/template/metadata/labels", {"app": "other"}),
            "spec.selector.matchLabels",
            'label "app"',
        ),
        ("Deployment", changed(DEPLOYMENT, "metadata/namespace", None), "metadata.namespace", 'would go to "default"'),
        ("Deployment", changed(DEPLOYMENT, "metadata/namespace", "Apps"), "metadata.namespace", "not a DNS label"),
        ("Deployment", changed(DEPLOYMENT, "metadata/name", "Web_1"), "metadata.name", "not a DNS name"),
        ("Deployment", changed(DEPLOYMENT, "metadata/name", "w" * 254), "metadata.name", "not a DNS name"),
        ("Deployment", changed(DEPLOYMENT, "metadata/labels/app", "-x"), "metadata.labels.app", "not a label value"),
        ("Deployment", changed(DEPLOYMENT, "metadata/labels/app", 1), "metadata.labels.app", "expected text"),
        ("Deployment", changed(DEPLOYMENT, "kind", "Deploymint"), "", 'did you mean "Deployment"?'),
        ("Deployment", changed(DEPLOYMENT, "apiVersion", "apps/v1beta9"), "", "it is in apps/v1"),
        (
            "ClusterRole",
            changed(ROLE, "metadata/namespace", "apps"),
            "metadata.namespace",
            "belongs to the whole cluster",
        ),
        ("ClusterRole", changed(ROLE, "metadata/name", "a/b"), "metadata.name", "not a path segment"),
        ("ConfigMap", changed(CONFIG_MAP, "data/a", {"b": 1}), "data.a", "expected text, found a mapping"),
        ("Service", changed(SERVICE, "metadata/name", "1web"), "metadata.name", "not a DNS label"),
        ("Service", changed(SERVICE, "metadata/name", "web.apps"), "metadata.name", "not a DNS label"),
        ("Service", changed(SERVICE, "spec/ports/0/targetPort", 1.5), "spec.ports[0].targetPort", "whole number"),
        ("Service", changed(SERVICE, "spec/ports", [{"port": 1}, {"port": 2}]), "spec.ports[0].name", "needs a name"),
        ("Secret", SECRET | {"data": {"token": Secret("not base64!")}}, "data.token", "stringData"),
        ("GitRepository", changed(REPOSITORY, "spec/url", None), "spec.url", "missing required property"),
        ("GitRepository", changed(REPOSITORY, "spec/interval", "5 minutes"), "spec.interval", "expected text like"),
        ("GitRepository", changed(REPOSITORY, "spec/branch", "main"), "spec.branch", "unknown property"),
        ("GitRepository", changed(REPOSITORY, "kind", "GitRepo"), "", "this group has"),
        ("Kustomization", changed(KUSTOMIZATION, "spec/prune", "yes"), "spec.prune", "expected true or false"),
        (
            "Kustomization",
            changed(KUSTOMIZATION, "spec/sourceRef/kind", "Git"),
            "spec.sourceRef.kind",
            "expected one of",
        ),
        ("Kustomization", changed(KUSTOMIZATION, "metadata/namespace", None), "metadata.namespace", "missing"),
    ],
)
def test_what_a_provider_would_refuse_is_found_where_it_stands(
    kind: str, inputs: dict[str, Any], path: str, words: str
) -> None:
    findings = dict(found(kind, inputs))
    assert path in findings, findings
    assert words in findings[path]


def test_all_findings_of_a_resource_come_at_once() -> None:
    inputs = changed(changed(DEPLOYMENT, "spec/replicas", "2"), "metadata/name", "Web")
    assert {path for path, _ in found("Deployment", inputs)} == {"spec.replicas", "metadata.name"}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Command", COMMAND | {"create": UNKNOWN, "connection": UNKNOWN}),
        ("Deployment", changed(DEPLOYMENT, "spec/template/metadata", UNKNOWN)),
        ("Deployment", changed(DEPLOYMENT, "metadata", UNKNOWN)),
        ("Secret", SECRET | {"data": {"token": Secret(UNKNOWN)}}),
        ("GitRepository", changed(REPOSITORY, "spec", UNKNOWN)),
    ],
)
def test_what_is_not_known_yet_is_not_judged(kind: str, inputs: dict[str, Any]) -> None:
    assert found(kind, inputs) == []


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Command", COMMAND | {"logging": Secret("marker-one")}),
        ("Secret", SECRET | {"data": {"token": Secret("marker-two !")}}),
        ("Deployment", changed(DEPLOYMENT, "metadata/name", Secret("Marker_Three"))),
        ("Deployment", changed(DEPLOYMENT, "metadata", Secret({"name": "Marker_Four", "namespace": "apps"}))),
        ("PrivateKey", {"algorithm": "RSA", "rsaBits": Secret(4711.5)}),
    ],
)
def test_a_finding_never_quotes_a_secret(kind: str, inputs: dict[str, Any]) -> None:
    said = " ".join(reason for _, reason in found(kind, inputs)).lower()
    assert "marker" not in said
    assert "4711" not in said


def test_a_type_that_no_sdk_has_is_named() -> None:
    _, problems = core.check("aws:ec2/instanc:Instance", URN, {})
    assert 'no resource type "aws:ec2/instanc:Instance"' in problems[0].reason
    _, problems = core.check("gcp:compute/instance:Instance", URN, {})
    assert '"pulumi_gcp" is installed' in problems[0].reason


def test_the_sites_kubernetes_version_decides_what_exists() -> None:
    inputs = changed(DEPLOYMENT, "spec/template/spec/workloadRef", {"name": "w", "podGroup": "g"})
    older = found("Deployment", inputs, World(kubernetes_minor=30))
    assert [path for path, _ in older] == ["spec.template.spec.workloadRef"]
    assert found("Deployment", inputs, World(kubernetes_minor=35)) == []


def test_an_object_of_a_custom_kind_that_is_not_known_has_its_metadata_checked() -> None:
    plan = {"apiVersion": "upgrade.cattle.io/v1", "kind": "Plan", "metadata": {"name": "Server"}, "spec": {"x": 1}}
    _, problems = core.check("kubernetes:upgrade.cattle.io/v1:Plan", URN, plan)
    assert [problem.property for problem in problems] == ["metadata.name"]


@pytest.mark.parametrize(
    ("kind", "inputs", "named"),
    [
        ("ConfigMap", changed(CONFIG_MAP, "metadata/name", None), ("metadata", "name")),
        ("Release", changed(RELEASE, "name", None), ("name",)),
        ("Cluster", changed(CLUSTER, "clusterName", None), ("clusterName",)),
    ],
)
def test_what_the_program_left_unnamed_gets_the_same_name_every_time(
    kind: str, inputs: dict[str, Any], named: tuple[str, ...]
) -> None:
    names = []
    for _ in range(2):
        value: Any = core.check(TOKENS[kind], URN, inputs)[0]
        for key in named:
            value = value[key]
        names.append(value)
    assert names[0] == names[1]
    assert names[0].startswith("thing-")
