"""Which changed properties make the real providers replace a resource: tables, each with its source.

A path covers everything below it; ``*`` stands for any list index. A type that is not listed is updated in place, which
is also what its provider would do with most changes; the README says so. Owns no comparison: that is `diffs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

EVERYTHING = ("",)


@dataclass(frozen=True, slots=True)
class Rule:
    """``paths`` force a replacement; ``delete_first`` where old and new could not stand side by side."""

    paths: tuple[str, ...]
    delete_first: bool = False


def _rule(paths: str, *, delete_first: bool = False) -> Rule:
    return Rule(tuple(paths.split()), delete_first)


# pulumi-command v1: fields tagged `replaceOnChanges` in provider/pkg/provider/{local,remote}; the SDK asks the engine
# for the same with `replace_on_changes=["triggers[*]"]`. Its framework never deletes first.
_COMMAND = {
    "command:remote:Command": _rule("triggers"),
    "command:remote:CopyToRemote": _rule("triggers"),
    "command:remote:CopyFile": _rule("triggers"),
    "command:local:Command": _rule("triggers"),
}

_JOB = _rule("spec.completions spec.parallelism spec.selector spec.template")
_CONTAINER = (
    "args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources securityContext "
    "stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
).split()
_POD = (
    "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork "
    "hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority priorityClassName "
    "readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount serviceAccountName "
    "shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"
).split()
_VOLUME_SOURCES = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs "
    "hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
).split()

# pulumi-kubernetes v4: provider/pkg/provider/diff.go (forceNew). Secret and ConfigMap are in `kubernetes_rule`.
_KUBERNETES: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): _JOB.paths,
    ("", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("", "Pod"): (
        *(f"spec.{field}" for field in _POD),
        *(f"spec.{group}[*].{field}" for group in ("containers", "initContainers") for field in _CONTAINER),
    ),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}

# pulumi-azure-native: path parameters of the ARM id always replace, `location` of a tracked resource does, and what the
# specification marks as settable on create only; provider.go answers every replacement with delete-before-replace.
_AZURE_PATH = ("resourceGroupName", "location", "scope", "clusterRp", "clusterResourceName", "extendedLocation")
_AZURE: dict[str, tuple[str, ...]] = {
    "ConnectedCluster": ("clusterName", "agentPublicKeyCertificate"),
    "Extension": ("extensionName", "clusterName", "extensionType"),
    "FluxConfiguration": ("fluxConfigurationName", "clusterName"),
    "CustomLocation": ("resourceName", "hostResourceId", "namespace"),
    "ResourceGroup": (),
    "RoleAssignment": ("roleAssignmentName", "principalId", "roleDefinitionId"),
    "PolicyAssignment": ("policyAssignmentName", "policyDefinitionId"),
}

# terraform-provider-aws v6, attributes with ForceNew, of the types that an Outposts site or the fleet stack uses.
_AWS = {
    "ec2/instance:Instance": _rule(
        """ami associatePublicIpAddress availabilityZone cpuOptions ebsBlockDevices ebsOptimized enclaveOptions
        ephemeralBlockDevices hibernation hostId ipv6AddressCount ipv6Addresses keyName launchTemplate.id
        launchTemplate.name networkInterfaces placementGroup placementPartitionNumber privateDnsNameOptions privateIp
        rootBlockDevice.encrypted rootBlockDevice.kmsKeyId securityGroups subnetId tenancy"""
    ),
    "ec2/subnet:Subnet": _rule(
        "availabilityZone availabilityZoneId cidrBlock ipv6Native outpostArn vpcId ipv4IpamPoolId ipv4NetmaskLength"
    ),
    "ec2/route:Route": _rule("routeTableId destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId"),
    "ec2/routeTable:RouteTable": _rule("vpcId"),
    "ec2/routeTableAssociation:RouteTableAssociation": _rule("subnetId gatewayId"),
    "ec2/localGatewayRoute:LocalGatewayRoute": _rule(
        "destinationCidrBlock localGatewayRouteTableId localGatewayVirtualInterfaceGroupId"
    ),
    "ec2/localGatewayRouteTableVpcAssociation:LocalGatewayRouteTableVpcAssociation": _rule(
        "localGatewayRouteTableId vpcId"
    ),
    "ec2/eip:Eip": _rule("address customerOwnedIpv4Pool domain networkBorderGroup publicIpv4Pool ipamPoolId"),
    "ec2/eipAssociation:EipAssociation": _rule(
        "allocationId allowReassociation instanceId networkInterfaceId privateIpAddress publicIp"
    ),
    "ec2/securityGroup:SecurityGroup": _rule("name namePrefix description vpcId"),
    "ec2/securityGroupRule:SecurityGroupRule": _rule(
        """cidrBlocks fromPort ipv6CidrBlocks prefixListIds protocol securityGroupId self sourceSecurityGroupId toPort
        type"""
    ),
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule("securityGroupId"),
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule("securityGroupId"),
    "ec2/keyPair:KeyPair": _rule("keyName keyNamePrefix publicKey"),
    "ec2/vpc:Vpc": _rule("cidrBlock ipv4IpamPoolId ipv4NetmaskLength"),
    "ec2/launchTemplate:LaunchTemplate": _rule("name namePrefix"),
    "ec2/carrierGateway:CarrierGateway": _rule("vpcId"),
    "ec2/availabilityZoneGroup:AvailabilityZoneGroup": _rule("groupName"),
    "autoscaling/group:Group": _rule("name namePrefix"),
    "iam/role:Role": _rule("name namePrefix path"),
    "iam/instanceProfile:InstanceProfile": _rule("name namePrefix path"),
    "iam/rolePolicyAttachment:RolePolicyAttachment": _rule("role policyArn"),
    "iam/rolePolicy:RolePolicy": _rule("role name namePrefix"),
    "eks/cluster:Cluster": _rule(
        """name roleArn outpostConfig bootstrapSelfManagedAddons encryptionConfig kubernetesNetworkConfig.ipFamily
        kubernetesNetworkConfig.serviceIpv4Cidr accessConfig.bootstrapClusterCreatorAdminPermissions"""
    ),
    "s3control/bucket:Bucket": _rule("bucket outpostId"),
    "s3outposts/endpoint:Endpoint": Rule(EVERYTHING),
}
# A name that the program fixed cannot be held by two at once (the bridge's nameRequiresDeleteBeforeReplace).
_AWS_NAMED = {
    "eks/cluster:Cluster": "name",
    "ec2/securityGroup:SecurityGroup": "name",
    "iam/role:Role": "name",
    "iam/instanceProfile:InstanceProfile": "name",
    "ec2/launchTemplate:LaunchTemplate": "name",
    "ec2/keyPair:KeyPair": "keyName",
    "autoscaling/group:Group": "name",
}

_OTHERS = {
    # terraform-provider-tailscale: tailscale_tailnet_key has ForceNew on all but recreate_if_invalid.
    "tailscale:index/tailnetKey:TailnetKey": _rule("description ephemeral expiry preauthorized reusable tags userId"),
    "tailscale:index/deviceTags:DeviceTags": _rule("deviceId"),
    # terraform-provider-tls holds values, not things: any input makes another value.
    "tls:index/privateKey:PrivateKey": Rule(EVERYTHING),
    "tls:index/selfSignedCert:SelfSignedCert": Rule(EVERYTHING),
    "tls:index/locallySignedCert:LocallySignedCert": Rule(EVERYTHING),
    "tls:index/certRequest:CertRequest": Rule(EVERYTHING),
    # The bridge's configuration schema of pulumi-aws: resources of one region cannot move to another.
    "pulumi:providers:aws": _rule("region"),
}
_NOTHING = Rule(())


def rule(token: str, old: Mapping[str, Any], new: Mapping[str, Any], config: Mapping[str, Any]) -> Rule:
    """The rule for a type. ``old`` and ``new`` are inputs with secrets opened, ``config`` is the provider's."""
    found = _COMMAND.get(token) or _OTHERS.get(token)
    if found is not None:
        return found
    provider, _, rest = token.partition(":")
    if token == "pulumi:providers:kubernetes":
        return _kubernetes_provider(old, new)
    if token == "kubernetes:helm.sh/v3:Release":
        # helm_release.go: name and namespace, never deleting first.
        return _rule("name namespace")
    if provider == "kubernetes":
        return _kubernetes(old, new, config)
    if provider == "azure-native":
        kind = token.rpartition(":")[2]
        own = _AZURE.get(kind, (f"{kind[:1].lower()}{kind[1:]}Name",))
        return Rule((*_AZURE_PATH, *own), delete_first=True)
    if provider == "aws":
        paths = _AWS.get(rest, _NOTHING).paths
        if rest == "ec2/instance:Instance" and new.get("userDataReplaceOnChange"):
            paths = (*paths, "userData", "userDataBase64")
        named = _AWS_NAMED.get(rest)
        return Rule((*paths, "region"), delete_first=named is not None and old.get(named) == new.get(named) is not None)
    return _NOTHING


def _kubernetes_provider(old: Mapping[str, Any], new: Mapping[str, Any]) -> Rule:
    """provider.go, DiffConfig: a cluster identifier alone decides; without one, the kubeconfig's cluster."""
    if new.get("clusterIdentifier") is not None:
        return _rule("clusterIdentifier")
    was, now = _clusters(old.get("kubeconfig")), _clusters(new.get("kubeconfig"))
    if was is not None and was == now and old.get("context") == new.get("context"):
        return _rule("renderYamlToDirectory")
    return Rule(EVERYTHING)


def _clusters(kubeconfig: Any) -> Any:
    """What a kubeconfig says of clusters and which is current; None where it cannot be told, as when it is unknown."""
    if not isinstance(kubeconfig, str):
        return None
    try:
        document = yaml.safe_load(kubeconfig)
    except yaml.YAMLError:
        return None
    if not isinstance(document, dict) or "clusters" not in document:
        return None
    return document["clusters"], document.get("contexts"), document.get("current-context")


def _kubernetes(old: Mapping[str, Any], new: Mapping[str, Any], config: Mapping[str, Any]) -> Rule:
    group = str(old.get("apiVersion", "")).rpartition("/")[0]
    kind = str(old.get("kind", ""))
    paths = ["metadata.name", "metadata.namespace", "kind", *_KUBERNETES.get((group, kind), ())]
    if str(new.get("apiVersion", "")).rpartition("/")[0] != group:
        paths.append("apiVersion")
    if (group, kind) == ("", "Secret"):
        frozen = not _enabled(config, "enableSecretMutable") or old.get("immutable")
        paths += ["type", "stringData", "data"] if frozen else ["type"]
    elif (group, kind) == ("", "ConfigMap") and (
        not _enabled(config, "enableConfigMapMutable") or old.get("immutable")
    ):
        paths += ["binaryData", "data"]
    return Rule(tuple(paths), delete_first=_keeps_its_name(old, new))


def _enabled(config: Mapping[str, Any], option: str) -> bool:
    return str(config.get(option, "")).lower() == "true"


def _keeps_its_name(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """provider.go, Diff: delete first when the program named the object and it stays in its place."""
    was, now = old.get("metadata") or {}, new.get("metadata") or {}
    if not isinstance(was, Mapping) or not isinstance(now, Mapping):
        return True
    auto_named = (now.get("annotations") or {}).get("pulumi.com/autonamed") == "true"
    same: Collection[str] = ("name", "namespace")
    return not auto_named and all(was.get(key) == now.get(key) for key in same)
