"""The CIS settings of K3s as values: flags, admission, audit, and what each system namespace gets. Pure.

Source: K3s' hardening guide (v1.29 and newer), and the checks of kube-bench's newest K3s profile that it leaves out.
``AlwaysPullImages`` is left off on purpose: it contradicts a site that must start pods while its uplink is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components import ports
from components.manifests import Manifest
from components.restricted import service_account

DATA = "/var/lib/rancher/k3s"
"""Where K3s keeps everything; with ``data_dir``, that folder is mounted there."""
SERVER_DIR = f"{DATA}/server"

TLS_CIPHER_SUITES = ",".join(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for cipher in ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305")
    for key in ("ECDSA", "RSA")
)

API_SERVER_ARGS = (
    "enable-admission-plugins=NodeRestriction,EventRateLimit,DenyServiceExternalIPs",
    f"admission-control-config-file={SERVER_DIR}/psa.yaml",
    f"audit-log-path={SERVER_DIR}/logs/audit.log",
    f"audit-policy-file={SERVER_DIR}/audit.yaml",
    "audit-log-maxage=30",
    "audit-log-maxbackup=10",
    "audit-log-maxsize=100",
    "service-account-extend-token-expiration=false",
    "request-timeout=300s",
)
CONTROLLER_MANAGER_ARGS = ("terminated-pod-gc-threshold=100",)

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")


def kubelet_args(pod_max_pids: int) -> tuple[str, ...]:
    """Flags of every kubelet, on servers and agents."""
    return (
        "streaming-connection-idle-timeout=5m",
        f"pod-max-pids={pod_max_pids}",
        f"tls-cipher-suites={TLS_CIPHER_SUITES}",
        # CIS 4.2.14: a pod that names no seccomp profile gets the runtime's own, and not "unconfined".
        "seccomp-default=true",
    )


def admission(exempt: Sequence[str]) -> dict[str, Any]:
    """Pod Security restricted everywhere but in ``exempt`` namespaces, and a limit on events.

    EventRateLimit needs its own stanza: without it the API server does not start.
    """
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {
                        f"{mode}{suffix}": value
                        for mode in ("enforce", "audit", "warn")
                        for suffix, value in (("", "restricted"), ("-version", "latest"))
                    },
                    "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": sorted({*exempt})},
                },
            },
            {
                "name": "EventRateLimit",
                "configuration": {
                    "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                    "kind": "Configuration",
                    "limits": [{"type": "Server", "qps": 5000, "burst": 20000}],
                },
            },
        ],
    }


AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # Leases and events are most of the requests, and of no use in an audit.
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
        {"level": "Metadata"},
    ],
}


def system_objects() -> list[Manifest]:
    """For each namespace that Kubernetes itself makes: a `default` ServiceAccount without a token, a NetworkPolicy."""
    objects: list[Manifest] = []
    for namespace in SYSTEM_NAMESPACES:
        objects.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "edge-intra-namespace", "namespace": namespace},
                "spec": {
                    "podSelector": {},
                    "policyTypes": ["Ingress"],
                    "ingress": [{"from": [{"podSelector": {}}]}],
                },
            }
        )
        objects.append(service_account("default", namespace))
    objects.append(_allow("dns", {"k8s-app": "kube-dns"}, [("UDP", 53), ("TCP", 53)]))
    # The API server reaches metrics-server from the hosts' network, which no selector can name.
    objects.append(_allow("metrics-server", {"k8s-app": "metrics-server"}, [("TCP", ports.KUBELET)]))
    return objects


def _allow(name: str, pods: dict[str, str], ports: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"edge-allow-{name}", "namespace": "kube-system"},
        "spec": {
            "podSelector": {"matchLabels": pods},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": protocol, "port": port} for protocol, port in ports]}],
        },
    }
