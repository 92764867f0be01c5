"""Update, replacement, or deletion first: the decisions of the real providers, one row each."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rehearsal.core import diff
from engine.rehearsal.values import UNKNOWN, Secret

COMMAND = "command:remote:Command"
COPY = "command:remote:CopyToRemote"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
PROVIDER = "pulumi:providers:kubernetes"
ARC = "azure-native:kubernetes/v20240101:ConnectedCluster"
INSTANCE = "aws:ec2/instance:Instance"


def kube(kind: str, group_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": group_version, "kind": kind, "metadata": {"name": "n", "namespace": "x"}, **fields}


def kubeconfig(server: str, certificate: str) -> str:
    return (
        f"clusters: [{{name: c, cluster: {{server: {server}}}}}]\n"
        f"users: [{{name: u, user: {{client-certificate-data: {certificate}}}}}]\n"
    )


UPDATES = [
    (COMMAND, {"create": "a"}, {"create": "b"}),
    (COMMAND, {"create": "a"}, {"create": "a", "update": "b"}),
    (COMMAND, {"stdin": Secret("a")}, {"stdin": Secret("b")}),
    (COMMAND, {"connection": Secret({"host": "a"})}, {"connection": Secret({"host": "b"})}),
    (COPY, {"remotePath": "/a"}, {"remotePath": "/b"}),
    (
        DEPLOYMENT,
        kube("Deployment", "apps/v1", spec={"replicas": 1}),
        kube("Deployment", "apps/v1", spec={"replicas": 2}),
    ),
    ("kubernetes:core/v1:Service", kube("Service", spec={"ports": [{"port": 1}]}), kube("Service", spec={"ports": []})),
    (
        "kubernetes:core/v1:PersistentVolumeClaim",
        kube("PersistentVolumeClaim", spec={"resources": {"requests": {"storage": "1Gi"}}}),
        kube("PersistentVolumeClaim", spec={"resources": {"requests": {"storage": "2Gi"}}}),
    ),
    (
        "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository",
        kube("GitRepository", "source.toolkit.fluxcd.io/v1", spec={"url": "a"}),
        kube("GitRepository", "source.toolkit.fluxcd.io/v1", spec={"url": "b"}),
    ),
    ("kubernetes:helm.sh/v3:Release", {"name": "r", "version": "1.0.0"}, {"name": "r", "version": "1.1.0"}),
    (PROVIDER, {"clusterIdentifier": "s", "kubeconfig": "a"}, {"clusterIdentifier": "s", "kubeconfig": "b"}),
    (PROVIDER, {"clusterIdentifier": "s", "kubeconfig": "a"}, {"clusterIdentifier": "s", "kubeconfig": UNKNOWN}),
    (PROVIDER, {"kubeconfig": kubeconfig("https://a", "1")}, {"kubeconfig": kubeconfig("https://a", "2")}),
    (ARC, {"tags": {"a": "b"}}, {"tags": {"a": "c"}}),
    (INSTANCE, {"instanceType": "a"}, {"instanceType": "b"}),
    (INSTANCE, {"userData": "a"}, {"userData": "b"}),
    (INSTANCE, {"rootBlockDevice": {"volumeSize": 1}}, {"rootBlockDevice": {"volumeSize": 2}}),
    ("aws:eks/cluster:Cluster", {"name": "c", "version": "1.31"}, {"name": "c", "version": "1.32"}),
    ("tailscale:index/acl:Acl", {"acl": "a"}, {"acl": "b"}),
    ("tailscale:index/tailnetKey:TailnetKey", {"recreateIfInvalid": "never"}, {"recreateIfInvalid": "always"}),
]

# Type, old, new, what forces it, whether the old one goes first.
REPLACEMENTS = [
    (COMMAND, {"triggers": ["a"]}, {"triggers": ["b"]}, "triggers[0]", False),
    (COMMAND, {"triggers": ["a"]}, {"triggers": ["a", "b"]}, "triggers[1]", False),
    (COMMAND, {}, {"triggers": ["a"]}, "triggers[0]", False),
    (COMMAND, {"triggers": ["a"]}, {"triggers": UNKNOWN}, "triggers", False),
    (COPY, {"triggers": ["a"]}, {"triggers": []}, "triggers[0]", False),
    (
        DEPLOYMENT,
        kube("Deployment", "apps/v1", spec={"selector": {"matchLabels": {"a": "b"}}}),
        kube("Deployment", "apps/v1", spec={"selector": {"matchLabels": {"a": "c"}}}),
        "spec.selector.matchLabels.a",
        True,
    ),
    (
        "kubernetes:apps/v1:StatefulSet",
        kube("StatefulSet", "apps/v1", spec={"serviceName": "a"}),
        kube("StatefulSet", "apps/v1", spec={"serviceName": "b"}),
        "spec.serviceName",
        True,
    ),
    (
        "kubernetes:apps/v1:StatefulSet",
        kube("StatefulSet", "apps/v1", spec={"volumeClaimTemplates": [{"spec": {"storageClassName": "a"}}]}),
        kube("StatefulSet", "apps/v1", spec={"volumeClaimTemplates": [{"spec": {"storageClassName": "b"}}]}),
        "spec.volumeClaimTemplates[0].spec.storageClassName",
        True,
    ),
    (
        "kubernetes:batch/v1:Job",
        kube("Job", "batch/v1", spec={"template": {"spec": {"containers": [{"image": "a"}]}}}),
        kube("Job", "batch/v1", spec={"template": {"spec": {"containers": [{"image": "b"}]}}}),
        "spec.template.spec.containers[0].image",
        True,
    ),
    (
        "kubernetes:core/v1:Pod",
        kube("Pod", spec={"containers": [{"name": "c", "image": "a"}]}),
        kube("Pod", spec={"containers": [{"name": "c", "image": "b"}]}),
        "spec.containers[0].image",
        True,
    ),
    (
        "kubernetes:core/v1:PersistentVolumeClaim",
        kube("PersistentVolumeClaim", spec={"storageClassName": "a"}),
        kube("PersistentVolumeClaim", spec={"storageClassName": "b"}),
        "spec.storageClassName",
        True,
    ),
    (
        "kubernetes:core/v1:Service",
        kube("Service", spec={"clusterIP": "None"}),
        kube("Service", spec={}),
        "spec.clusterIP",
        True,
    ),
    (
        "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
        kube("RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"name": "a"}),
        kube("RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"name": "b"}),
        "roleRef.name",
        True,
    ),
    (
        "kubernetes:storage.k8s.io/v1:StorageClass",
        kube("StorageClass", "storage.k8s.io/v1", provisioner="a"),
        kube("StorageClass", "storage.k8s.io/v1", provisioner="b"),
        "provisioner",
        True,
    ),
    (
        "kubernetes:core/v1:ConfigMap",
        kube("ConfigMap", data={"a": "b"}),
        kube("ConfigMap", data={"a": "c"}),
        "data.a",
        True,
    ),
    (
        "kubernetes:core/v1:Secret",
        kube("Secret", data={"a": Secret("b")}),
        kube("Secret", data={"a": "c"}),
        "data.a",
        True,
    ),
    ("kubernetes:core/v1:Secret", kube("Secret", type="a"), kube("Secret", type="b"), "type", True),
    (
        "kubernetes:core/v1:ConfigMap",
        kube("ConfigMap"),
        kube("ConfigMap") | {"metadata": {"name": "other", "namespace": "x"}},
        "metadata.name",
        False,
    ),
    (
        "kubernetes:core/v1:ConfigMap",
        kube("ConfigMap"),
        kube("ConfigMap") | {"metadata": {"name": "n", "namespace": "y"}},
        "metadata.namespace",
        False,
    ),
    ("kubernetes:helm.sh/v3:Release", {"name": "a"}, {"name": "b"}, "name", False),
    ("kubernetes:helm.sh/v3:Release", {"namespace": "a"}, {"namespace": "b"}, "namespace", False),
    (PROVIDER, {"clusterIdentifier": "a"}, {"clusterIdentifier": "b"}, "clusterIdentifier", False),
    (PROVIDER, {"kubeconfig": "a"}, {"kubeconfig": UNKNOWN}, "kubeconfig", False),
    (
        PROVIDER,
        {"kubeconfig": kubeconfig("https://a", "1")},
        {"kubeconfig": kubeconfig("https://b", "1")},
        "kubeconfig",
        False,
    ),
    (ARC, {"agentPublicKeyCertificate": "a"}, {"agentPublicKeyCertificate": "b"}, "agentPublicKeyCertificate", True),
    (ARC, {"clusterName": "a"}, {"clusterName": "b"}, "clusterName", True),
    (ARC, {"resourceGroupName": "a"}, {"resourceGroupName": "b"}, "resourceGroupName", True),
    (ARC, {"location": "a"}, {"location": "b"}, "location", True),
    (
        "azure-native:kubernetesconfiguration:Extension",
        {"extensionType": "a"},
        {"extensionType": "b"},
        "extensionType",
        True,
    ),
    (INSTANCE, {"ami": "a"}, {"ami": "b"}, "ami", False),
    (INSTANCE, {"subnetId": "a"}, {"subnetId": UNKNOWN}, "subnetId", False),
    (
        INSTANCE,
        {"userData": "a", "userDataReplaceOnChange": True},
        {"userData": "b", "userDataReplaceOnChange": True},
        "userData",
        False,
    ),
    (INSTANCE, {"region": "a"}, {"region": "b"}, "region", False),
    ("aws:ec2/subnet:Subnet", {"cidrBlock": "a"}, {"cidrBlock": "b"}, "cidrBlock", False),
    ("aws:ec2/subnet:Subnet", {"outpostArn": "a"}, {"outpostArn": "b"}, "outpostArn", False),
    (
        "aws:ec2/route:Route",
        {"destinationCidrBlock": "a"},
        {"destinationCidrBlock": "b"},
        "destinationCidrBlock",
        False,
    ),
    (
        "aws:eks/cluster:Cluster",
        {"name": "c", "outpostConfig": {"controlPlaneInstanceType": "a"}},
        {"name": "c", "outpostConfig": {"controlPlaneInstanceType": "b"}},
        "outpostConfig.controlPlaneInstanceType",
        True,
    ),
    ("aws:eks/cluster:Cluster", {"name": "a"}, {"name": "b"}, "name", False),
    ("tailscale:index/tailnetKey:TailnetKey", {"tags": ["a"]}, {"tags": ["b"]}, "tags[0]", False),
    ("tls:index/privateKey:PrivateKey", {"rsaBits": 2048}, {"rsaBits": 4096}, "rsaBits", False),
]


@pytest.mark.parametrize(("token", "old", "new"), UPDATES)
def test_a_change_in_place_replaces_nothing(token: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    found = diff(token, old, new)
    assert found.changes
    assert found.replaces == ()
    assert not found.delete_before_replace


@pytest.mark.parametrize(("token", "old", "new", "path", "first"), REPLACEMENTS)
def test_a_change_of_identity_replaces(
    token: str, old: dict[str, Any], new: dict[str, Any], path: str, first: bool
) -> None:
    found = diff(token, old, new)
    assert path in found.replaces
    assert found.detailed[path].endswith("_REPLACE")
    assert found.delete_before_replace is first


@pytest.mark.parametrize(
    ("kind", "option"), [("Secret", "enableSecretMutable"), ("ConfigMap", "enableConfigMapMutable")]
)
def test_a_provider_may_change_data_in_place_unless_it_is_immutable(kind: str, option: str) -> None:
    token = f"kubernetes:core/v1:{kind}"
    old, new = kube(kind, data={"a": "b"}), kube(kind, data={"a": "c"})
    assert diff(token, old, new, {option: "true"}).replaces == ()
    assert diff(token, old, new, {option: "false"}).replaces == ("data.a",)
    frozen = {"immutable": True}
    assert diff(token, old | frozen, new | frozen, {option: True}).replaces == ("data.a",)


def test_an_object_that_was_named_by_the_provider_is_created_before_the_old_one_goes() -> None:
    metadata = {"name": "n-1a2b", "namespace": "x", "annotations": {"pulumi.com/autonamed": "true"}}
    old, new = ({**kube("ConfigMap", data={"a": value}), "metadata": metadata} for value in "bc")
    assert diff("kubernetes:core/v1:ConfigMap", old, new).delete_before_replace is False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": Secret("x"), "b": [1, {"c": None}]}, {"a": "x", "b": [1.0, {}]}),
        ({}, {"a": None}),
        ({"__defaults": []}, {"__defaults": []}),
    ],
)
def test_equal_inputs_are_no_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert not diff(COMMAND, old, new).changes


@pytest.mark.parametrize(
    ("old", "new", "detailed"),
    [
        ({"a": 1}, {"a": 2}, {"a": "UPDATE"}),
        ({}, {"a": {"b": [1]}}, {"a.b[0]": "ADD"}),
        ({"a": {"b.c": 1}}, {}, {'a["b.c"]': "DELETE"}),
        ({"a": 1}, {"a": True}, {"a": "UPDATE"}),
        ({"a": Secret("x")}, {"a": UNKNOWN}, {"a": "UPDATE"}),
        ({"a": [1, 2]}, {"a": [1]}, {"a[1]": "DELETE"}),
    ],
)
def test_each_change_has_its_full_path(old: dict[str, Any], new: dict[str, Any], detailed: dict[str, str]) -> None:
    assert diff(COMMAND, old, new).detailed == detailed
