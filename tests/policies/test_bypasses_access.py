"""Ways around the rules about access, clouds and hosts that do not work."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from policies.rules import UNKNOWN, Resource, evaluate, evaluate_stack

RBAC = "kubernetes:rbac.authorization.k8s.io"
STAR = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
ADMIN = {"kind": "ClusterRole", "name": "cluster-admin"}
AWS_KEY = "#!/bin/sh\nexport AWS_KEY=AKIAIOSFODNN7EXAMPLE\n"
ENFORCE = "pod-security.kubernetes.io/enforce"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3Vq0G8m2o7Z1hXk4cQbN5tRwYp6LdSeUfVgHiJkLmN"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def statement(**keys: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", **keys}}


def machine(**props: Any) -> dict[str, Any]:
    """A machine on which nothing else is wrong."""
    return {
        "associatePublicIpAddress": False,
        "metadataOptions": {"httpTokens": "required"},
        "rootBlockDevice": {"encrypted": True},
        **props,
    }


IGNITION = {
    "storage": {"files": [{"path": "/etc/app", "contents": {"source": f"data:;base64,{encoded(AWS_KEY)}"}}]},
}
SPLIT = [f"{first}.0.0.0/8" for first in (1, 2, 3, 4, 5)]

WAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    # Roles and bindings
    "a role binding to a cluster role": (f"{RBAC}/v1:RoleBinding", {"roleRef": ADMIN}, "cluster/no-cluster-admin"),
    "a patch of a binding": (f"{RBAC}/v1:ClusterRoleBindingPatch", {"roleRef": ADMIN}, "cluster/no-cluster-admin"),
    "a list of bindings": (
        f"{RBAC}/v1:ClusterRoleBindingList",
        {"items": [{"roleRef": ADMIN}]},
        "cluster/no-cluster-admin",
    ),
    "an old version of the API": (f"{RBAC}/v1beta1:ClusterRoleBinding", {"roleRef": ADMIN}, "cluster/no-cluster-admin"),
    "a plain list": (
        "kubernetes:core/v1:List",
        {"items": [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "roleRef": ADMIN}]},
        "cluster/no-cluster-admin",
    ),
    "a role in a ResourceSet": (
        "kubernetes:fluxcd.controlplane.io/v1:ResourceSet",
        {
            "spec": {
                "resources": [
                    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [STAR]},
                ]
            }
        },
        "cluster/rbac-no-wildcard",
    ),
    "a role of the control plane": (
        f"{RBAC}/v1:ClusterRoleBinding",
        {"roleRef": {"kind": "ClusterRole", "name": "system:kube-controller-manager"}},
        "cluster/no-cluster-admin",
    ),
    "everyone who has any account": (
        f"{RBAC}/v1:RoleBinding",
        {"roleRef": {"name": "view"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}]},
        "cluster/named-subjects",
    ),
    "a default account as a user": (
        f"{RBAC}/v1:RoleBinding",
        {"roleRef": {"name": "view"}, "subjects": [{"kind": "User", "name": "system:serviceaccount:apps:default"}]},
        "cluster/named-subjects",
    ),
    "a patch with stars": (f"{RBAC}/v1:RolePatch", {"rules": [STAR]}, "cluster/rbac-no-wildcard"),
    "a star in one of many verbs": (
        f"{RBAC}/v1:Role",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "*"]}]},
        "cluster/rbac-no-wildcard",
    ),
    "every subresource": (
        f"{RBAC}/v1:ClusterRole",
        {"rules": [{"apiGroups": [""], "resources": ["*/exec"], "verbs": ["create"]}]},
        "cluster/rbac-no-wildcard",
    ),
    "every path": (
        f"{RBAC}/v1:ClusterRole",
        {"rules": [{"nonResourceURLs": ["/*"], "verbs": ["get"]}]},
        "cluster/rbac-no-wildcard",
    ),
    "rules of other roles": (
        f"{RBAC}/v1:ClusterRole",
        {"aggregationRule": {"clusterRoleSelectors": [{}]}},
        "cluster/rbac-no-wildcard",
    ),
    "the kubelet's proxy": (
        f"{RBAC}/v1:ClusterRole",
        {"rules": [{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}]},
        "cluster/rbac-no-escalation",
    ),
    "an unknown role": (f"{RBAC}/v1:RoleBinding", {"roleRef": UNKNOWN}, "cluster/no-cluster-admin"),
    # Namespaces, volumes, tokens, webhooks
    "a patch that takes the label away": (
        "kubernetes:core/v1:NamespacePatch",
        {"metadata": {"name": "apps", "labels": {ENFORCE: None}}},
        "cluster/pod-security-label",
    ),
    "a patch to privileged": (
        "kubernetes:core/v1:NamespacePatch",
        {"metadata": {"name": "apps", "labels": {ENFORCE: "privileged"}}},
        "cluster/pod-security-label",
    ),
    "a level in capitals": (
        "kubernetes:v1:Namespace",
        {"metadata": {"name": "apps", "labels": {ENFORCE: "Restricted"}}},
        "cluster/pod-security-label",
    ),
    "an old reading of the standard": (
        "kubernetes:core/v1:Namespace",
        {"metadata": {"name": "apps", "labels": {ENFORCE: "restricted", f"{ENFORCE}-version": "v1.0"}}},
        "cluster/pod-security-label",
    ),
    "a local volume of the root": (
        "kubernetes:core/v1:PersistentVolume",
        {"spec": {"local": {"path": "/"}}},
        "cluster/no-host-volume",
    ),
    "a local volume out of its folder": (
        "kubernetes:core/v1:PersistentVolumePatch",
        {"spec": {"local": {"path": "/mnt/../var/lib/rancher"}}},
        "cluster/no-host-volume",
    ),
    "logs of pods that may be written": (
        "kubernetes:core/v1:PersistentVolume",
        {"spec": {"local": {"path": "/var/log/pods"}, "claimRef": {"namespace": "x", "name": "y"}}},
        "cluster/no-host-volume",
    ),
    "logs of pods for a second option's reader": (
        "kubernetes:core/v1:PersistentVolume",
        {
            "spec": {
                "local": {"path": "/var/log/pods"},
                "mountOptions": ["ro", "rw"],
                "claimRef": {"namespace": "x", "name": "y"},
            }
        },
        "cluster/no-host-volume",
    ),
    "logs of pods for whoever claims them": (
        "kubernetes:core/v1:PersistentVolume",
        {"spec": {"local": {"path": "/var/log/pods"}, "mountOptions": ["ro"], "claimRef": {"namespace": "x"}}},
        "cluster/no-host-volume",
    ),
    "a token by patch": (
        "kubernetes:core/v1:SecretPatch",
        {"type": "kubernetes.io/service-account-token"},
        "cluster/no-token-secret",
    ),
    "a webhook by patch": (
        "kubernetes:admissionregistration.k8s.io/v1:ValidatingWebhookConfigurationPatch",
        {"webhooks": [{"clientConfig": {"url": "https://stranger.example.com"}}]},
        "cluster/webhook-in-cluster",
    ),
    "a webhook that converts": (
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
        {"spec": {"conversion": {"webhook": {"clientConfig": {"url": "https://stranger.example.com"}}}}},
        "cluster/webhook-in-cluster",
    ),
    # Commands
    "a jump host that anyone may be": (
        "command:remote:CopyFile",
        {"connection": {"host": "a", "hostKey": HOST_KEY, "proxy": {"host": "b"}}},
        "host/pinned-host-key",
    ),
    "two keys in one": (
        "command:remote:Command",
        {"connection": {"host": "a", "hostKey": f"{HOST_KEY}\n* {HOST_KEY}"}},
        "host/pinned-host-key",
    ),
    # AWS
    "half of the Internet": (
        "aws:ec2/securityGroup:SecurityGroup",
        {"ingress": [{"cidrBlocks": ["128.0.0.0/1"]}]},
        "aws/no-open-ingress",
    ),
    "the Internet in parts": (
        "aws:ec2/securityGroupRule:SecurityGroupRule",
        {"type": "ingress", "cidrBlocks": SPLIT},
        "aws/no-open-ingress",
    ),
    "a rule of the old kind for IPv6": (
        "aws:ec2/securityGroupRule:SecurityGroupRule",
        {"type": "ingress", "ipv6CidrBlocks": ["::/0"]},
        "aws/no-open-ingress",
    ),
    "the group that every VPC has": (
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        {"ingress": [{"cidrBlocks": ["0.0.0.0/0"]}]},
        "aws/no-open-ingress",
    ),
    "a network written with host bits": (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {"cidrIpv4": "10.0.0.1/0"},
        "aws/no-open-ingress",
    ),
    "a token of a module of another form": ("aws:ec2:Instance", machine(metadataOptions={}), "aws/imds-v2"),
    "a spot instance": (
        "aws:ec2/spotInstanceRequest:SpotInstanceRequest",
        machine(metadataOptions={"httpTokens": "optional"}),
        "aws/imds-v2",
    ),
    "another provider": ("aws-native:ec2:SecurityGroup", {"groupDescription": "x"}, "aws/judged-provider"),
    "user data that is zipped": (
        "aws:ec2/instance:Instance",
        machine(userDataBase64=base64.b64encode(gzip.compress(AWS_KEY.encode())).decode()),
        "aws/no-secret-in-user-data",
    ),
    "user data that is encoded twice": (
        "aws:ec2/launchTemplate:LaunchTemplate",
        {"userData": encoded(f"#cloud-config\nwrite_files: [{{encoding: b64, content: {encoded(AWS_KEY)}}}]\n")},
        "aws/no-secret-in-user-data",
    ),
    "a file of Ignition": (
        "aws:ec2/instance:Instance",
        machine(userData=json.dumps(IGNITION)),
        "aws/no-secret-in-user-data",
    ),
    "a policy as text": (
        "aws:iam/rolePolicy:RolePolicy",
        {"policy": json.dumps(statement(Action="s3:*", Resource="*"))},
        "aws/iam-no-wildcard",
    ),
    "a policy as an object": (
        "aws:iam/userPolicy:UserPolicy",
        {"policy": statement(Action=["S3:*"], Resource="arn:aws:s3:::a")},
        "aws/iam-no-wildcard",
    ),
    "a question mark": (
        "aws:iam/policy:Policy",
        {"policy": statement(Action="iam:?*", Resource="arn:aws:iam::1:role/a")},
        "aws/iam-no-wildcard",
    ),
    "everything but something": (
        "aws:iam/policy:Policy",
        {"policy": statement(NotAction="iam:*", Resource="arn:aws:s3:::a")},
        "aws/iam-no-wildcard",
    ),
    "a policy inside a role": (
        "aws:iam/role:Role",
        {"inlinePolicies": [{"policy": json.dumps(statement(Action="*", Resource="*"))}]},
        "aws/iam-no-wildcard",
    ),
    "a policy of AWS": (
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        {"policyArn": "arn:aws-us-gov:iam::aws:policy/job-function/PowerUserAccess"},
        "aws/iam-no-wildcard",
    ),
    "everyone, with a condition that limits nobody": (
        "aws:s3/bucketPolicy:BucketPolicy",
        {
            "policy": statement(
                Principal={"AWS": ["*"]},
                Action="s3:GetObject",
                Resource="arn:aws:s3:::a/*",
                Condition={"StringLike": {"aws:PrincipalOrgID": "*"}},
            )
        },
        "aws/iam-no-wildcard",
    ),
    "every secret": (
        "aws:iam/policy:Policy",
        {"policy": statement(Action="secretsmanager:GetSecretValue", Resource="*")},
        "aws/iam-no-wildcard",
    ),
    # Azure
    "another version of the API": (
        "azure-native:network/v20240101:NetworkSecurityGroup",
        {"securityRules": [{"access": "Allow", "direction": "Inbound", "sourceAddressPrefix": "internet"}]},
        "azure/no-open-ingress",
    ),
    "a list of prefixes": (
        "azure-native:network:SecurityRule",
        {"access": "Allow", "direction": "Inbound", "sourceAddressPrefixes": ["10.0.0.0/8", "0.0.0.0/0"]},
        "azure/no-open-ingress",
    ),
    "settings below properties": (
        "azure-native:network:NetworkSecurityGroup",
        {"securityRules": [{"properties": {"access": "Allow", "direction": "Inbound", "sourceAddressPrefix": "*"}}]},
        "azure/no-open-ingress",
    ),
    "a preview of the API": (
        "azure-native:kubernetes/v20251201preview:ConnectedCluster",
        {"identity": {"type": "SystemAssigned"}},
        "azure/stable-api",
    ),
    "Owner by its id alone, in capitals": (
        "azure-native:authorization/v20220401:RoleAssignment",
        {"roleDefinitionId": "8E3AF657-A8FF-443C-A75C-2FE8C4BCB635", "scope": "/subscriptions/1/"},
        "azure/least-privilege",
    ),
    "a role of one's own": (
        "azure-native:authorization:RoleDefinition",
        {"permissions": [{"actions": ["Microsoft.Authorization/*"]}]},
        "azure/least-privilege",
    ),
    "the classic provider": ("azure:network/networkSecurityGroup:NetworkSecurityGroup", {}, "azure/judged-provider"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_round_is_refused(way: str) -> None:
    token, props, rule = WAYS[way]
    found = evaluate(Resource(token, "x", "urn:x", props))
    assert rule in {finding.rule for finding in found if finding.level == "mandatory"}


CLOSED: dict[str, tuple[str, dict[str, Any]]] = {
    "networks that are private": (
        "aws:ec2/securityGroup:SecurityGroup",
        {"ingress": [{"cidrBlocks": ["10.0.0.0/8", "203.0.113.0/24"], "ipv6CidrBlocks": ["fc00::/7"]}]},
    ),
    "egress to the Internet": (
        "aws:ec2/securityGroupRule:SecurityGroupRule",
        {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]},
    ),
    "a denial": (
        "azure-native:network:SecurityRule",
        {"access": "Deny", "direction": "Inbound", "sourceAddressPrefix": "*"},
    ),
    "a service tag of Azure": (
        "azure-native:network:SecurityRule",
        {"access": "Allow", "direction": "Inbound", "sourceAddressPrefix": "VirtualNetwork"},
    ),
    "a denial for everyone": (
        "aws:s3/bucketPolicy:BucketPolicy",
        {"policy": {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}},
    ),
    "one's own organisation": (
        "aws:s3/bucketPolicy:BucketPolicy",
        {
            "policy": statement(
                Principal="*",
                Action="s3:GetObject",
                Resource="arn:aws:s3:::a/*",
                Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
            )
        },
    ),
    "the account of a key": (
        "aws:kms/key:Key",
        {"policy": statement(Principal={"AWS": "arn:aws:iam::1:root"}, Action="kms:*", Resource="*")},
    ),
    "Reader of a subscription": (
        "azure-native:authorization:RoleAssignment",
        {"roleDefinitionId": "acdd72a7-3385-48ef-bd42-f606fba81ae7", "scope": "/subscriptions/1"},
    ),
    "a patch of labels": ("kubernetes:core/v1:NamespacePatch", {"metadata": {"labels": {"a": "b"}}}),
    "a role of the API server that delegates": (
        f"{RBAC}/v1:ClusterRoleBinding",
        {"roleRef": {"kind": "ClusterRole", "name": "system:auth-delegator"}},
    ),
}


@pytest.mark.parametrize("what", CLOSED)
def test_what_is_closed_is_not_refused(what: str) -> None:
    token, props = CLOSED[what]
    found = evaluate(Resource(token, "x", "urn:x", props))
    assert [finding.rule for finding in found if finding.level != "advisory"] == []


def test_a_block_of_another_bucket_closes_no_bucket() -> None:
    flags = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
    tags = {"edge-site": "berlin-01"}
    bucket = Resource("aws:s3/bucket:Bucket", "a", "urn:a", {"bucket": "a", "tags": tags})
    block = Resource("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "b", "urn:b", {"bucket": "b", **flags})
    rules = {finding.rule for finding in evaluate_stack([bucket, block])}
    assert rules == {"aws/s3-public-access-blocked", "aws/s3-encrypted"}


def test_one_block_for_a_bucket_that_is_not_there_yet_closes_one_bucket_only() -> None:
    flags = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
    buckets = [Resource("aws:s3/bucketV2:BucketV2", name, f"urn:{name}", {}) for name in ("a", "b")]
    block = Resource(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "c", "urn:c", {"bucket": UNKNOWN, **flags}
    )
    found = [one.urn for one in evaluate_stack([*buckets, block]) if one.rule == "aws/s3-public-access-blocked"]
    assert found == ["urn:b"]
    named = Resource(block.type, "b-block", "urn:c", block.props)
    for stack in ([*buckets, named], [named, *reversed(buckets)]):
        found = [one.urn for one in evaluate_stack(stack) if one.rule == "aws/s3-public-access-blocked"]
        assert found == ["urn:a"], "whatever the order"


def test_an_account_of_another_namespace_or_cluster_closes_none() -> None:
    def made(kind: str, provider: str = "urn:cluster", **props: Any) -> Resource:
        return Resource(f"kubernetes:core/v1:{kind}", "x", f"urn:{kind}", props, provider=provider)

    space = made("Namespace", metadata={"name": "apps", "labels": {ENFORCE: "restricted"}})
    others = [
        made("ServiceAccountPatch", metadata={"name": "default"}, automountServiceAccountToken=False),
        made("ServiceAccount", metadata={"name": "otel", "namespace": "apps"}, automountServiceAccountToken=False),
        made(
            "ServiceAccountPatch",
            "urn:other",
            metadata={"name": "default", "namespace": "apps"},
            automountServiceAccountToken=False,
        ),
    ]
    rule = "cluster/default-account-closed"
    assert rule in {one.rule for one in evaluate_stack([space, *others])}
    mine = made(
        "ServiceAccountPatch", metadata={"name": "default", "namespace": "apps"}, automountServiceAccountToken=False
    )
    assert rule not in {one.rule for one in evaluate_stack([space, *others, mine])}
