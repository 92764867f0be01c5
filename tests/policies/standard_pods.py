"""Pods written from the Pod Security Standards: for each of their fields the values that they allow and forbid.

Each is a compliant pod with one thing changed. Nothing here says which of them is allowed: Kubernetes does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PLACES = ("containers", "initContainers", "ephemeralContainers")
_SECURITY: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD_SECURITY: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.ip_forward",
    "kernel.msgmax",
    "vm.overcommit_memory",
)
_VOLUMES: dict[str, Any] = {
    "configMap": {"name": "a"},
    "csi": {"driver": "a"},
    "downwardAPI": {"items": []},
    "emptyDir": {},
    "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}},
    "image": {"reference": "a"},
    "persistentVolumeClaim": {"claimName": "a"},
    "projected": {"sources": []},
    "secret": {"secretName": "a"},
    "hostPath": {"path": "/"},
    "gcePersistentDisk": {"pdName": "a"},
    "awsElasticBlockStore": {"volumeID": "a"},
    "gitRepo": {"repository": "a"},
    "nfs": {"server": "a", "path": "/"},
    "iscsi": {"targetPortal": "a", "iqn": "b", "lun": 0},
    "glusterfs": {"endpoints": "a", "path": "b"},
    "rbd": {"monitors": ["a"], "image": "b"},
    "flexVolume": {"driver": "a"},
    "cinder": {"volumeID": "a"},
    "cephfs": {"monitors": ["a"]},
    "flocker": {"datasetName": "a"},
    "fc": {"lun": 0},
    "azureFile": {"secretName": "a", "shareName": "b"},
    "azureDisk": {"diskName": "a", "diskURI": "b"},
    "vsphereVolume": {"volumePath": "a"},
    "quobyte": {"registry": "a", "volume": "b"},
    "portworxVolume": {"volumeID": "a"},
    "photonPersistentDisk": {"pdID": "a"},
    "scaleIO": {"gateway": "a", "system": "b", "secretRef": {"name": "c"}},
    "storageos": {"volumeName": "a"},
}
# Both a pod's security context and a container's have these. None removes the field.
_EITHER: dict[str, dict[str, Any]] = {
    "non-root": {"runAsNonRoot": True},
    "may be root": {"runAsNonRoot": False},
    "no word on root": {"runAsNonRoot": None},
    "root": {"runAsUser": 0},
    "a user": {"runAsUser": 10001},
    "seccomp default": {"seccompProfile": {"type": "RuntimeDefault"}},
    "seccomp localhost": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}},
    "seccomp unconfined": {"seccompProfile": {"type": "Unconfined"}},
    "no word on seccomp": {"seccompProfile": None},
    "apparmor default": {"appArmorProfile": {"type": "RuntimeDefault"}},
    "apparmor localhost": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}},
    "apparmor unconfined": {"appArmorProfile": {"type": "Unconfined"}},
    **{
        f"selinux {name}": {"seLinuxOptions": {"type": name}}
        for name in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t")
    },
    "selinux level": {"seLinuxOptions": {"level": "s0:c1,c2"}},
    "selinux user": {"seLinuxOptions": {"user": "system_u"}},
    "selinux role": {"seLinuxOptions": {"role": "system_r"}},
    "host process": {"windowsOptions": {"hostProcess": True}},
    "no host process": {"windowsOptions": {"hostProcess": False}},
}
_CONTAINER: dict[str, dict[str, Any]] = {
    **_EITHER,
    "privileged": {"privileged": True},
    "not privileged": {"privileged": False},
    "escalation": {"allowPrivilegeEscalation": True},
    "no word on escalation": {"allowPrivilegeEscalation": None},
    "drops some": {"capabilities": {"drop": ["NET_RAW", "CHOWN"]}},
    "drops all in small letters": {"capabilities": {"drop": ["all"]}},
    "drops all and more": {"capabilities": {"drop": ["KILL", "ALL"]}},
    "no word on capabilities": {"capabilities": None},
    **{
        f"adds {name}": {"capabilities": {"drop": ["ALL"], "add": [name]}}
        for name in (
            "ALL", "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_ADMIN",
            "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT",
        )
    },
    "adds two": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_TIME"]}},
    "proc default": {"procMount": "Default"},
    "proc unmasked": {"procMount": "Unmasked"},
}  # fmt: skip
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_HANDLERS: dict[str, dict[str, Any]] = {
    "http host": {"httpGet": {"port": 80, "host": "192.0.2.1"}},
    "http empty host": {"httpGet": {"port": 80, "host": ""}},
    "tcp host": {"tcpSocket": {"port": 80, "host": "192.0.2.1"}},
    "tcp": {"tcpSocket": {"port": 80}},
}
_WINDOWS = {"os": {"name": "windows"}}
_IN_USER_NAMESPACE = ("root", "may be root", "no word on root")


class StandardPod(NamedTuple):
    """A pod, and what was changed in it."""

    name: str
    pod: dict[str, Any]


def pods() -> list[StandardPod]:
    """All of them."""
    return [StandardPod("compliant", _compliant()), *_of_pods(), *_of_containers()]


def _compliant() -> dict[str, Any]:
    containers = {
        place: [{"name": place.lower(), "image": "a", "securityContext": copy.deepcopy(_SECURITY)}] for place in PLACES
    }
    spec = {"securityContext": copy.deepcopy(_POD_SECURITY), **containers}
    return {"metadata": {"name": "a", "annotations": {}, "labels": {"app": "a"}}, "spec": spec}


def _changed(change: Mapping[str, Any], of_spec: Mapping[str, Any] | None = None, where: str = "") -> dict[str, Any]:
    """The pod with ``change`` in the security context of the pod, or of the container in the list ``where``."""
    pod = _compliant()
    pod["spec"].update(of_spec or {})
    holder = pod["spec"][where][0] if where else pod["spec"]
    for key, value in change.items():
        if value is None:
            holder["securityContext"].pop(key, None)
        else:
            holder["securityContext"][key] = copy.deepcopy(value)
    return pod


def _of_pods() -> Iterator[StandardPod]:
    for name, change in _EITHER.items():
        yield StandardPod(f"pod: {name}", _changed(change))
        yield StandardPod(f"windows pod: {name}", _changed(change, _WINDOWS))
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        for value in (True, False):
            yield StandardPod(f"{name} {value}", _changed({}, {name: value}))
    for name in _SYSCTLS:
        yield StandardPod(f"sysctl {name}", _changed({"sysctls": [{"name": name, "value": "1"}]}))
    for name, source in _VOLUMES.items():
        yield StandardPod(f"volume {name}", _changed({}, {"volumes": [{"name": "a", name: source}]}))
    for host_users in (True, False):
        for name in _IN_USER_NAMESPACE:
            yield StandardPod(f"hostUsers {host_users}: {name}", _changed(_EITHER[name], {"hostUsers": host_users}))
    for profile in ("unconfined", "runtime/default", "localhost/a", ""):
        pod = _compliant()
        pod["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/containers"] = profile
        yield StandardPod(f"apparmor annotation {profile!r}", pod)


def _of_containers() -> Iterator[StandardPod]:
    for where in PLACES:
        for name, change in _CONTAINER.items():
            yield StandardPod(f"{where}: {name}", _changed(change, where=where))
        for name in ("escalation", "no word on escalation", "no word on capabilities", "drops some"):
            windows = _changed(_CONTAINER[name], _WINDOWS, where)
            yield StandardPod(f"windows {where}: {name}", windows)
        for name in (*_IN_USER_NAMESPACE, "proc unmasked", "privileged", "escalation"):
            inside = _changed(_CONTAINER[name], {"hostUsers": False}, where)
            yield StandardPod(f"hostUsers False, {where}: {name}", inside)
        for name in ("runAsNonRoot", "seccompProfile"):
            # Only this container says it; the other two do not.
            pod = _changed({name: _POD_SECURITY[name]}, where=where)
            del pod["spec"]["securityContext"][name]
            yield StandardPod(f"{where}: alone with {name}", pod)
        pod = _compliant()
        del pod["spec"][where][0]["securityContext"]
        yield StandardPod(f"{where}: no security context", pod)
        for port in (0, 8080):
            pod = _compliant()
            pod["spec"][where][0]["ports"] = [{"containerPort": 80}, {"containerPort": 81, "hostPort": port}]
            yield StandardPod(f"{where}: hostPort {port}", pod)
        for name, handler in _HANDLERS.items():
            for probe in _PROBES:
                pod = _compliant()
                pod["spec"][where][0][probe] = copy.deepcopy(handler)
                yield StandardPod(f"{where}: {probe} {name}", pod)
            for hook in _HOOKS:
                pod = _compliant()
                pod["spec"][where][0]["lifecycle"] = {hook: copy.deepcopy(handler)}
                yield StandardPod(f"{where}: {hook} {name}", pod)
