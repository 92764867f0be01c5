"""Arguments of Kubernetes' programs that a site adds to ours: their form, and which of them are not a site's to give.
Pure.

Refuses what has one owner already: an argument that the component sets, and one by which K3s connects its programs.
Judges no value: the policies do (``host/k3s-*``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from components.k3s import hardening
from sitefile.problems import DataPath, Finding, Unfit

_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*=[^\x00-\x1f\x7f]+")


def _argument(value: str) -> str:
    if _FORM.fullmatch(value) is None:
        raise Unfit(
            "this is no argument with a value",
            "an argument without its hyphens, with `=` and a value",
            f"write `{value.lstrip('-').partition('=')[0].rstrip('+-') or 'max-pods'}=VALUE`",
        )
    return value


Argument = Annotated[str, AfterValidator(_argument), Field(examples=["max-pods=60"])]

FIELDS: Mapping[str, tuple[str, str]] = {
    "kubelet_args": ("kubelet-arg", "the kubelet"),
    "kube_apiserver_args": ("kube-apiserver-arg", "the API server"),
    "kube_controller_manager_args": ("kube-controller-manager-arg", "the controller manager"),
    "kube_scheduler_args": ("kube-scheduler-arg", "the scheduler"),
}
"""Fields of ``k3s`` with arguments: the key of `config.yaml`, and the program."""

_BY_FIELD: Mapping[str, Mapping[str, str]] = {
    "kubelet_args": {
        "pod-max-pids": "write `pod_max_pids` below `k3s`",
        "fail-cgroupv1": "write `fail_cgroup_v1` below `k3s`",
        "node-labels": "write `node_labels` below `k3s`, or `labels` of the host",
        "node-ip": "write `node_ip` of the host",
        "hostname-override": "write `name` of the host",
    },
    "kube_apiserver_args": {"service-cluster-ip-range": "write `service_cidr` below `k3s`"},
    "kube_controller_manager_args": {
        "service-cluster-ip-range": "write `service_cidr` below `k3s`",
        "cluster-cidr": "write `pod_cidr` below `k3s`",
    },
}
"""What the site file has a field for."""

_HARDENED: Mapping[str, frozenset[str]] = {
    field: frozenset(one.partition("=")[0] for one in arguments)
    for field, arguments in {
        "kubelet_args": (*hardening.kubelet_args(0), "protect-kernel-defaults"),
        "kube_apiserver_args": hardening.API_SERVER_ARGS,
        "kube_controller_manager_args": hardening.CONTROLLER_MANAGER_ARGS,
    }.items()
}
"""What the component sets for the CIS benchmark."""

_WIRED: Mapping[str, frozenset[str]] = {
    "kubelet_args": frozenset(
        "address cert-dir client-ca-file cloud-provider cluster-dns cluster-domain config config-dir"
        " container-runtime-endpoint containerd healthz-bind-address healthz-port image-service-endpoint kubeconfig"
        " pod-manifest-path port root-dir tls-cert-file tls-private-key-file".split()
    ),
    "kube_apiserver_args": frozenset(
        "advertise-address advertise-port api-audiences cert-dir client-ca-file egress-selector-config-file"
        " encryption-provider-config etcd-cafile etcd-certfile etcd-keyfile etcd-servers kubelet-certificate-authority"
        " kubelet-client-certificate kubelet-client-key proxy-client-cert-file proxy-client-key-file"
        " requestheader-client-ca-file secure-port service-account-issuer service-account-key-file"
        " service-account-signing-key-file storage-backend tls-cert-file tls-private-key-file".split()
    ),
    "kube_controller_manager_args": frozenset(
        "authentication-kubeconfig authorization-kubeconfig cert-dir cluster-signing-cert-file"
        " cluster-signing-key-file kubeconfig root-ca-file secure-port service-account-private-key-file"
        " tls-cert-file tls-private-key-file".split()
    ),
    "kube_scheduler_args": frozenset(
        "authentication-kubeconfig authorization-kubeconfig cert-dir kubeconfig secure-port tls-cert-file"
        " tls-private-key-file".split()
    ),
}
"""By what K3s connects its programs: addresses, ports, keys and certificates that it makes."""


_LOGGING = re.compile(r"v|vmodule|logging-format|log-.*")
"""K3s runs all programs in one process, which ends where one of them is to log otherwise than the one that came first:
`the logging configuration should not be changed after setting it once`."""


def findings(given: Mapping[str, Sequence[str]], at: DataPath) -> Iterator[Finding]:
    """What a site may not give, by the field of ``k3s``."""
    for field, arguments in given.items():
        program = FIELDS[field][1]
        seen: set[str] = set()
        for index, argument in enumerate(arguments):
            name = argument.partition("=")[0]
            path = (*at, field, index)
            if name in seen:
                yield Finding(path, f"{name} is given twice", "each argument once", "keep one of them")
            elif remedy := _BY_FIELD.get(field, {}).get(name):
                yield Finding(path, f"{name} is set from another field", "the field that sets it", remedy)
            elif name in _HARDENED.get(field, ()):
                yield Finding(
                    path,
                    f"{name} of {program} is set for the CIS benchmark of K3s, and has one value on every site",
                    "arguments beside those",
                    f"remove `{argument}`; `edge audit SITE` shows the value",
                )
            elif _LOGGING.fullmatch(name):
                yield Finding(
                    path,
                    f"K3s runs {program} and the others in one process, and stops where one logs otherwise ({name})",
                    "arguments that are not about logging",
                    f"remove `{argument}`",
                )
            elif name in _WIRED[field]:
                yield Finding(
                    path,
                    f"K3s sets {name} of {program} itself: its programs find each other by it",
                    "arguments that K3s leaves to you",
                    f"remove `{argument}`",
                )
            seen.add(name)


def of_site(field: str, config: Mapping[str, Any]) -> list[str]:
    """The arguments in a ``config.yaml`` that a site has added."""
    ours = {*_HARDENED.get(field, ()), *_BY_FIELD.get(field, {})}
    return sorted(one for one in config.get(FIELDS[field][0]) or () if str(one).partition("=")[0] not in ours)
