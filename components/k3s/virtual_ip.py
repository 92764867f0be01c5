"""The address of the API as a virtual IP that the servers hold themselves, by kube-vip: its objects, and what is wrong
with it. Pure.

A DaemonSet in K3s' folder of manifests, so that it is there before anything can reach the API by that address. Servers
join by each other's own addresses first, and need it for nothing. Only the control plane's address is kube-vip's here,
never those of Services. Source: kube-vip's manifest for K3s, and its `pkg/kubevip` for the variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from components import ports
from components.addresses import families, parsed
from components.host.machine import Machine
from components.k3s.hardening import SERVER_DIR
from components.k3s.spec import K3sSpec
from components.manifests import Manifest
from sitefile.problems import DataPath, Finding

FILE = f"{SERVER_DIR}/manifests/edge-kube-vip.yaml"
_NAME, _NAMESPACE, _LEASE = "edge-kube-vip", "kube-system", "edge-kube-vip"
_LEASE_S, _RENEW_S, _RETRY_S = 5, 3, 1
"""How soon another server takes the address: kube-vip's own defaults."""


def interface_of(spec: K3sSpec, servers: Sequence[Machine]) -> str | None:
    """The network card that the address is put on; None for that of the default route, which each server finds."""
    assert spec.kube_vip is not None
    return spec.kube_vip.interface or servers[0].interface


def objects(spec: K3sSpec, servers: Sequence[Machine]) -> list[Manifest]:
    """What K3s applies; nothing where the site has the address from elsewhere."""
    if spec.kube_vip is None or spec.api_address is None:
        return []
    meta = {"name": _NAME, "namespace": _NAMESPACE}
    subject = {"kind": "ServiceAccount", **meta}
    labels = {"app.kubernetes.io/name": _NAME}
    role: Manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": meta,
        "rules": [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [_LEASE],
                "verbs": ["get", "list", "watch", "update", "patch"],
            },
        ],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        role,
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _NAME},
            "subjects": [subject],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {**meta, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "template": {"metadata": {"labels": labels}, "spec": _pod(spec, servers)},
            },
        },
    ]


def _pod(spec: K3sSpec, servers: Sequence[Machine]) -> dict[str, Any]:
    assert spec.kube_vip is not None
    assert spec.api_address is not None
    interface = interface_of(spec, servers)
    settings = {
        # Its own server's API and no other: containers outlive K3s, and a server whose API is away would else go on
        # renewing the lease through another one, and keep an address at which nobody answers.
        "KUBERNETES_SERVICE_HOST": "::1" if families(spec.pod_cidr)[0] == 6 else "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(ports.KUBERNETES_API),
        "vip_arp": "true",
        "address": spec.api_address,
        "port": str(ports.KUBERNETES_API),
        **({"vip_interface": interface} if interface else {}),
        "vip_subnet": "128" if 6 in families(spec.api_address) else "32",
        "cp_enable": "true",
        "cp_namespace": _NAMESPACE,
        "svc_enable": "false",
        "vip_leaderelection": "true",
        "vip_leasename": _LEASE,
        "vip_leaseduration": str(_LEASE_S),
        "vip_renewdeadline": str(_RENEW_S),
        "vip_retryperiod": str(_RETRY_S),
        # Nothing reads its metrics, and they would be open on the host's network.
        "prometheus_server": "127.0.0.1:2112",
    }
    node: dict[str, Any] = {"name": "vip_nodename", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    return {
        "serviceAccountName": _NAME,
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "nodeSelector": {"node-role.kubernetes.io/control-plane": "true"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "kube-vip",
                "image": spec.kube_vip.image,
                "args": ["manager"],
                "env": [node, *({"name": name, "value": value} for name, value in settings.items())],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ],
    }


def findings(spec: K3sSpec, at: DataPath, machines: Sequence[Machine]) -> Iterator[Finding]:
    """What makes no sense of it. Whether the address is in the servers' network is asked on the hosts."""
    if spec.kube_vip is None:
        return
    path, servers = (*at, "kube_vip"), [machine for machine in machines if machine.is_server]
    if len(servers) == 1:
        yield Finding(
            path,
            f"`{servers[0].name}` is the only server: there is no other one that could take the address",
            "three servers for an address that moves",
            "remove `kube_vip`, and `api_address` too unless something else holds it",
        )
    if spec.api_address is None:
        return
    if parsed(spec.api_address) is None:
        yield Finding(
            (*at, "api_address"),
            f"`{spec.api_address}` is a name, and kube-vip puts an address on a network card",
            "an IP address",
            "write the address, and the name below `tls_sans`",
        )
    for machine in machines:
        if spec.api_address in (machine.spec.address, *machine.node_addresses) and not machine.is_server:
            yield Finding(
                (*at, "api_address"),
                f"{spec.api_address} is the address of `{machine.name}`",
                "an address that no machine has",
                "take a free one of the servers' network",
            )
    wanted, of_nodes = families(spec.api_address), {one for server in servers for one in server.node_addresses}
    if wanted and of_nodes and wanted[0] not in {family for one in of_nodes for family in families(one) or wanted}:
        yield Finding(
            (*at, "api_address"),
            f"{spec.api_address} is an IPv{wanted[0]} address, and no server has one",
            "an address of the servers' network",
            "take one of the family that the servers have",
        )
    cards = {server.interface for server in servers}
    if spec.kube_vip.interface is None and len(cards) > 1:
        named = ", ".join(sorted(card or "that of the default route" for card in cards))
        yield Finding(
            path,
            f"the servers have different network cards ({named}), and kube-vip takes one name for all of them",
            "one card of the same name on each server",
            "give the cards one name, and write it as `interface` below `kube_vip`",
        )
