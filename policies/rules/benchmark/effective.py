"""The flags that K3s runs its processes with: its own defaults, and what a configuration adds to them. Pure.

The defaults are those of K3s v1.34 to v1.37, read in its source. A configuration is what `config.yaml` holds, merged
with what stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from policies.rules.benchmark.model import Datastore

_DATA = "/var/lib/rancher/k3s"
_TLS, _CRED, _AGENT = f"{_DATA}/server/tls", f"{_DATA}/server/cred", f"{_DATA}/agent"
_ETCD = f"{_TLS}/etcd"

_CIPHERS = ",".join(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for cipher in ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305")
    for key in ("ECDSA", "RSA")
)

_SERVER: Mapping[str, Mapping[str, str]] = {
    "kube-apiserver": {
        "allow-privileged": "true",
        "anonymous-auth": "false",
        "authorization-mode": "Node,RBAC",
        "bind-address": "127.0.0.1",
        "client-ca-file": f"{_TLS}/client-ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "enable-bootstrap-token-auth": "true",
        "kubelet-certificate-authority": f"{_TLS}/server-ca.crt",
        "kubelet-client-certificate": f"{_TLS}/client-kube-apiserver.crt",
        "kubelet-client-key": f"{_TLS}/client-kube-apiserver.key",
        "profiling": "false",
        "proxy-client-cert-file": f"{_TLS}/client-auth-proxy.crt",
        "proxy-client-key-file": f"{_TLS}/client-auth-proxy.key",
        "requestheader-client-ca-file": f"{_TLS}/request-header-ca.crt",
        "secure-port": "6444",
        "service-account-key-file": f"{_TLS}/service.key",
        "service-account-signing-key-file": f"{_TLS}/service.current.key",
        "storage-backend": "etcd3",
        "tls-cert-file": f"{_TLS}/serving-kube-apiserver.crt",
        "tls-cipher-suites": _CIPHERS,
        "tls-private-key-file": f"{_TLS}/serving-kube-apiserver.key",
    },
    "kube-controller-manager": {
        "allocate-node-cidrs": "true",
        "bind-address": "127.0.0.1",
        "cluster-signing-kubelet-client-cert-file": f"{_TLS}/client-ca.nochain.crt",
        "cluster-signing-kubelet-client-key-file": f"{_TLS}/client-ca.key",
        "profiling": "false",
        "root-ca-file": f"{_TLS}/server-ca.crt",
        "secure-port": "10257",
        "service-account-private-key-file": f"{_TLS}/service.current.key",
        "tls-cert-file": f"{_TLS}/kube-controller-manager/kube-controller-manager.crt",
        "tls-private-key-file": f"{_TLS}/kube-controller-manager/kube-controller-manager.key",
        "use-service-account-credentials": "true",
    },
    "kube-scheduler": {
        "bind-address": "127.0.0.1",
        "profiling": "false",
        "secure-port": "10259",
        "tls-cert-file": f"{_TLS}/kube-scheduler/kube-scheduler.crt",
        "tls-private-key-file": f"{_TLS}/kube-scheduler/kube-scheduler.key",
    },
}

_NODE: Mapping[str, Mapping[str, str]] = {
    "kubelet": {
        "anonymous-auth": "false",
        "authorization-mode": "Webhook",
        "client-ca-file": f"{_AGENT}/client-ca.crt",
        "protect-kernel-defaults": "false",
        "read-only-port": "0",
        "streaming-connection-idle-timeout": "4h",
        "tls-cert-file": f"{_AGENT}/serving-kubelet.crt",
        "tls-private-key-file": f"{_AGENT}/serving-kubelet.key",
    },
    "kube-proxy": {"healthz-bind-address": "127.0.0.1", "proxy-mode": "iptables"},
}

_EMBEDDED_ETCD: Mapping[str, str] = {
    "cert-file": f"{_ETCD}/server-client.crt",
    "client-cert-auth": "true",
    "key-file": f"{_ETCD}/server-client.key",
    "peer-cert-file": f"{_ETCD}/peer-server-client.crt",
    "peer-client-cert-auth": "true",
    "peer-key-file": f"{_ETCD}/peer-server-client.key",
    "peer-trusted-ca-file": f"{_ETCD}/peer-ca.crt",
    "trusted-ca-file": f"{_ETCD}/server-ca.crt",
}

_OF_EMBEDDED_ETCD: Mapping[str, str] = {
    "etcd-cafile": f"{_ETCD}/server-ca.crt",
    "etcd-certfile": f"{_ETCD}/client.crt",
    "etcd-keyfile": f"{_ETCD}/client.key",
}
"""What the API server is given to reach it."""

_INSTEAD = {"authorization-config": "authorization-mode", "authentication-config": "anonymous-auth"}
"""Flags of the API server for whose sake K3s leaves out another one."""

ARGUMENTS: Mapping[str, str] = {
    "kube-apiserver-arg": "kube-apiserver",
    "kube-controller-manager-arg": "kube-controller-manager",
    "kube-scheduler-arg": "kube-scheduler",
    "etcd-arg": "etcd",
    "kubelet-arg": "kubelet",
    "kube-proxy-arg": "kube-proxy",
}
"""Keys of a configuration with arguments, and the process that gets them."""

Flags = dict[str, dict[str, str]]
"""By process, its flags by name, without the hyphens."""


def effective(config: Mapping[str, Any], *, server: bool, datastore: Datastore = "etcd") -> Flags:
    """The flags of each process of a node with this configuration."""
    flags: Flags = {process: dict(own) for process, own in _NODE.items()}
    if server:
        flags = {process: dict(own) for process, own in _SERVER.items()} | flags
        if datastore == "etcd":
            flags["etcd"] = dict(_EMBEDDED_ETCD)
            flags["kube-apiserver"] |= _OF_EMBEDDED_ETCD
        elif config.get("datastore-cafile"):
            flags["kube-apiserver"]["etcd-cafile"] = str(config["datastore-cafile"])
        if _true(config.get("secrets-encryption")):
            flags["kube-apiserver"]["encryption-provider-config"] = f"{_CRED}/encryption-config.json"
            # The default of every release that has a choice.
            provider = config.get("secrets-encryption-provider") or "aescbc"
            flags["secrets-encryption"] = {"provider": str(provider)}
        if bind := config.get("kube-apiserver-bind-address"):
            flags["kube-apiserver"]["bind-address"] = str(bind)
    if _true(config.get("protect-kernel-defaults")):
        flags["kubelet"]["protect-kernel-defaults"] = "true"
    for key, process in ARGUMENTS.items():
        # A key with `+` adds to the list of another file.
        given = [*arguments(config.get(key)), *arguments(config.get(f"{key}+"))]
        if process in flags:
            _apply(flags[process], given)
            if process == "kube-apiserver":
                for given_instead, left_out in _INSTEAD.items():
                    if given_instead in flags[process] and not any(one[0] == left_out for one in given):
                        flags[process].pop(left_out, None)
    return flags


def arguments(value: Any) -> list[tuple[str, str]]:
    """A list of arguments as names and values: `--name=value`, or `name`, which is true."""
    items: Iterable[Any] = value if isinstance(value, list | tuple) else [] if value is None else [value]
    found = []
    for item in items:
        name, equals, given = str(item).removeprefix("--").partition("=")
        found.append((name, given if equals else "true"))
    return found


def _apply(flags: dict[str, str], given: Iterable[tuple[str, str]]) -> None:
    """What is given replaces a default; `name+` comes after it, and `name-` before it. Of two, the later one counts."""
    for name, value in given:
        plain = name.rstrip("+-")
        before = flags.get(plain)
        if before and name.endswith("+"):
            value = f"{before},{value}"
        elif before and name.endswith("-"):
            value = f"{value},{before}"
        flags[plain] = value


def _true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
