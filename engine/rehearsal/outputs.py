"""What a resource looks like once it exists, made up from its URN and inputs and from nothing else.

Inputs are mirrored with their secrets; what only the provider would know is cut from a hash, so that the same program
gives the same state every time. Every text that a person may read says that it is a rehearsal. Owns no checks.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from engine.rehearsal import sdk_types
from engine.rehearsal.keys import octets, private_placeholder, public_key
from engine.rehearsal.values import UNKNOWN, Secret, digest, has_unknown, reveal
from engine.rehearsal.world import eks_outputs, made_up_id

Properties = dict[str, Any]
_Made = tuple[str, Properties]
_ACCOUNT, _REGION = "000000000000", "rehearsal-1"
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


def make(token: str, urn: str, inputs: Mapping[str, Any]) -> tuple[str, Properties]:
    """Id and outputs of a resource that was just created."""
    provider = token.partition(":")[0]
    known = reveal(dict(inputs))
    maker = _MAKERS.get(token) or _PROVIDER_MAKERS.get(provider, _generic)
    identity, extra = maker(token, urn, known)
    result = dict(inputs)
    for key, value in extra.items():
        present = result.get(key)
        # A provider completes what it was given (a Kubernetes object's metadata); it does not overrule it.
        if isinstance(present, dict) and isinstance(value, dict):
            result[key] = {**value, **present}
        elif present is None:
            result[key] = value
    return identity, result


def preview(token: str, urn: str, inputs: Mapping[str, Any], olds: Mapping[str, Any] | None) -> Properties:
    """Outputs as far as a provider knows them before it acts. ``olds`` are the outputs of a resource to be updated."""
    _, made = make(token, urn, _settled(inputs))
    result: Properties = dict(inputs)
    for key in made:
        if key in inputs:
            continue
        kept = olds is not None and key in olds and token not in _FRESH_ON_UPDATE
        result[key] = olds[key] if olds is not None and kept else UNKNOWN
    return result


def update(token: str, urn: str, inputs: Mapping[str, Any], olds: Mapping[str, Any]) -> Properties:
    """Outputs after an update in place: what the provider assigned at creation stays."""
    _, made = make(token, urn, inputs)
    if token not in _FRESH_ON_UPDATE:
        for key, value in olds.items():
            if key in made and key not in inputs:
                made[key] = value
    return made


def _settled(inputs: Mapping[str, Any]) -> Properties:
    """Inputs with every unknown left out, enough to learn which outputs a type has."""
    return {key: value for key, value in inputs.items() if not has_unknown(value)}


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _generic(token: str, urn: str, inputs: Properties) -> _Made:
    return digest("id", urn)[:16], {}


def _command(token: str, urn: str, inputs: Properties) -> _Made:
    said = f"rehearsal: {_name(urn)} was not run\n"
    return digest("id", urn)[:16], {"stdout": said, "stderr": ""}


def _kubernetes(token: str, urn: str, inputs: Properties) -> _Made:
    metadata = inputs.get("metadata") if isinstance(inputs.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    name, namespace = str(metadata.get("name", _name(urn))), metadata.get("namespace")
    mark = digest("uid", urn)
    extra: Properties = {
        "metadata": {
            "name": name,
            "uid": f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{mark[20:32]}",
            "resourceVersion": "1",
            "generation": 1,
        },
    }
    kind = inputs.get("kind")
    if kind == "Service":
        spec = inputs.get("spec")
        headless = isinstance(spec, dict) and spec.get("clusterIP") == "None"
        extra["spec"] = {} if headless else {"clusterIP": _address(ipaddress.ip_network("10.43.0.0/16"), urn)}
        extra["status"] = {"loadBalancer": {}}
    elif kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Namespace", "PersistentVolumeClaim"):
        extra["status"] = {}
    return f"{namespace}/{name}" if namespace else name, extra


def _release(token: str, urn: str, inputs: Properties) -> _Made:
    name, namespace = str(inputs.get("name", _name(urn))), str(inputs.get("namespace", "default"))
    chart = str(inputs.get("chart", "")).rpartition("/")[2]
    status = {
        "name": name,
        "namespace": namespace,
        "chart": chart,
        "version": str(inputs.get("version", "")),
        "appVersion": "rehearsal",
        "revision": 1,
        "status": "deployed",
    }
    return f"{namespace}/{name}", {"name": name, "status": status, "resourceNames": {}}


def _azure(token: str, urn: str, inputs: Properties) -> _Made:
    module, _, kind = sdk_types.without_api_version(token).removeprefix("azure-native:").partition(":")
    names = [value for key, value in inputs.items() if key.endswith("Name") and key != "resourceGroupName"]
    name = str(names[0]) if names else _name(urn)
    identity = _azure_id(inputs, module, kind, name)
    extra: Properties = {"name": name, "type": f"Microsoft.{module.capitalize()}/{kind[:1].lower()}{kind[1:]}s"}
    extra["systemData"] = {"createdBy": "rehearsal"}
    if kind == "ConnectedCluster":
        principal = digest("principal", urn)
        extra |= {
            "connectivityStatus": "Connected",
            "provisioningState": "Succeeded",
            "agentVersion": "rehearsal",
            "kubernetesVersion": "rehearsal",
            "identity": {"principalId": f"{principal[:8]}-{principal[8:12]}-{principal[12:16]}-rehearsal"},
        }
    return identity, extra


def _azure_id(inputs: Properties, module: str, kind: str, name: str) -> str:
    group = inputs.get("resourceGroupName")
    if kind == "ResourceGroup":
        return f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/{group or name}"
    scope = inputs.get("scope") or f"/subscriptions/{_SUBSCRIPTION}" + (f"/resourceGroups/{group}" if group else "")
    return f"{scope}/providers/Microsoft.{module.capitalize()}/{kind[:1].lower()}{kind[1:]}s/{name}"


_AWS_PREFIXES = {
    "instance": "i",
    "subnet": "subnet",
    "routeTable": "rtb",
    "routeTableAssociation": "rtbassoc",
    "route": "r-rtb",
    "localGatewayRouteTableVpcAssociation": "lgw-vpc-assoc",
    "eip": "eipalloc",
    "eipAssociation": "eipassoc",
    "securityGroup": "sg",
    "securityGroupIngressRule": "sgr",
    "securityGroupEgressRule": "sgr",
    "vpc": "vpc",
    "launchTemplate": "lt",
    "carrierGateway": "cagw",
    "keyPair": "key",
}


def _aws(token: str, urn: str, inputs: Properties) -> _Made:
    path, _, _ = token.removeprefix("aws:").partition(":")
    service, _, kind = path.partition("/")
    region = str(inputs.get("region") or _REGION)
    named = inputs.get("name") or inputs.get("keyName")
    made_up = made_up_id(_AWS_PREFIXES.get(kind, kind.lower() or service), urn)
    identity = str(named) if named and kind not in _AWS_PREFIXES else made_up
    extra: Properties = {"arn": f"arn:aws:{service}:{region}:{_ACCOUNT}:{kind}/{identity}", "tagsAll": {}}
    if kind in ("cluster", "group", "role", "instanceProfile", "launchTemplate", "securityGroup"):
        extra["name"] = str(named or f"{_name(urn)}-{digest('name', urn)[:7]}")
        identity = identity if kind in _AWS_PREFIXES else extra["name"]
    detail = _AWS_DETAILS.get(kind)
    return identity, extra | (detail(urn, inputs, region) if detail else {})


def _address(network: ipaddress.IPv4Network | ipaddress.IPv6Network, urn: str) -> str:
    """A host address of the network; documentation's own ranges stand in where no network is declared."""
    offset = int(digest("address", urn)[:8], 16) % max(network.num_addresses - 2, 1) + 1
    return str(network[min(offset, network.num_addresses - 1)])


def _instance(urn: str, inputs: Properties, region: str) -> Properties:
    private = str(inputs.get("privateIp") or _address(ipaddress.ip_network("192.0.2.0/24"), urn))
    return {
        "privateIp": private,
        "privateDns": f"ip-{private.replace('.', '-')}.{region}.compute.internal",
        "publicIp": "",
        "publicDns": "",
        "instanceState": "running",
        "primaryNetworkInterfaceId": made_up_id("eni", urn),
        "availabilityZone": f"{region}a",
    }


def _eip(urn: str, inputs: Properties, region: str) -> Properties:
    address = _address(ipaddress.ip_network("198.51.100.0/24"), urn)
    customer = {"customerOwnedIp": address} if inputs.get("customerOwnedIpv4Pool") else {}
    return {"allocationId": made_up_id("eipalloc", urn), "publicIp": address, **customer}


def _eks(urn: str, inputs: Properties, region: str) -> Properties:
    name = str(inputs.get("name", _name(urn)))
    authority = digest("ca", urn)
    return {
        **eks_outputs(name, region, _ACCOUNT),
        "certificateAuthority": {"data": _base64(f"rehearsal: no certificate {authority}")},
        "certificateAuthorities": [{"data": _base64(f"rehearsal: no certificate {authority}")}],
        "identities": [{"oidcs": [{"issuer": "https://oidc.rehearsal.invalid"}]}],
        "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4"},
    }


def _template(urn: str, inputs: Properties, region: str) -> Properties:
    return {"latestVersion": 1, "defaultVersion": 1}


_AWS_DETAILS: dict[str, Callable[[str, Properties, str], Properties]] = {
    "instance": _instance,
    "eip": _eip,
    "cluster": _eks,
    "launchTemplate": _template,
}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _private_key(token: str, urn: str, inputs: Properties) -> _Made:
    pem, openssh = public_key(urn, str(inputs.get("algorithm", "RSA")), int(inputs.get("rsaBits") or 2048))
    placeholder = Secret(private_placeholder(urn))
    return digest("id", urn)[:40], {
        "publicKeyPem": pem,
        "publicKeyOpenssh": openssh,
        "publicKeyFingerprintSha256": f"SHA256:{digest('sha256', urn)[:43]}",
        "publicKeyFingerprintMd5": ":".join(octets(urn, 16)[i : i + 1].hex() for i in range(16)),
        "privateKeyPem": placeholder,
        "privateKeyOpenssh": placeholder,
        "privateKeyPemPkcs8": placeholder,
        "rsaBits": int(inputs.get("rsaBits") or 2048),
        "ecdsaCurve": inputs.get("ecdsaCurve") or "P224",
    }


def _tailnet_key(token: str, urn: str, inputs: Properties) -> _Made:
    return f"k{digest('id', urn)[:16]}", {
        "key": Secret(f"rehearsal-not-a-key-{digest('key', urn)[:24]}"),
        "invalid": False,
        "recreateIfInvalid": inputs.get("recreateIfInvalid") or "never",
    }


def _rancher_cluster(token: str, urn: str, inputs: Properties) -> _Made:
    """An imported cluster. Anybody who has a URL or a command of its token can register a cluster in its place."""
    identity = f"c-{digest('id', urn)[:5]}"
    secret = f"rehearsal-not-a-token-{digest('token', urn)[:24]}"
    server = "https://rancher.rehearsal.invalid"
    manifest = f"{server}/v3/import/{secret}_{identity}.yaml"
    registration = {
        "id": f"{identity}:default-token",
        "name": "default-token",
        "clusterId": identity,
        "token": secret,
        "manifestUrl": manifest,
        "command": f"kubectl apply -f {manifest}",
        "insecureCommand": f"curl --insecure -sfL {manifest} | kubectl apply -f -",
    }
    return identity, {
        "clusterRegistrationToken": Secret(registration),
        "kubeConfig": Secret(""),
        "caCert": Secret(f"rehearsal: no certificate {digest('ca', urn)}"),
        "driver": "imported",
        "defaultProjectId": f"{identity}:p-{digest('default', urn)[:5]}",
        "systemProjectId": f"{identity}:p-{digest('system', urn)[:5]}",
        "fleetWorkspaceName": "fleet-default",
    }


_FRESH_ON_UPDATE = frozenset({"command:remote:Command", "command:local:Command", "kubernetes:helm.sh/v3:Release"})
"""Types whose update gives new outputs: a command runs again, a release has another revision."""

_MAKERS: dict[str, Callable[[str, str, Properties], _Made]] = {
    "command:remote:Command": _command,
    "command:local:Command": _command,
    "kubernetes:helm.sh/v3:Release": _release,
    "rancher2:index/cluster:Cluster": _rancher_cluster,
    "tls:index/privateKey:PrivateKey": _private_key,
    "tailscale:index/tailnetKey:TailnetKey": _tailnet_key,
}
_PROVIDER_MAKERS: dict[str, Callable[[str, str, Properties], _Made]] = {
    "kubernetes": _kubernetes,
    "azure-native": _azure,
    "aws": _aws,
}
