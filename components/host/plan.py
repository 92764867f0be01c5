"""What is done to a machine before anything is installed on it: reach it, know it, prepare it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.expected import Expected, file, one_active, unit
from components.host import nvidia, os_updates
from components.host.machine import Machine
from components.shell import here_document, render

KUBELET_SYSCTLS = {
    "vm.panic_on_oom": "0",
    "vm.overcommit_memory": "1",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}
"""What the kubelet requires with ``protect-kernel-defaults``. Source: K3s hardening guide."""

OWNER = "/var/lib/edge/owner"
"""Says whose the host is: site, node, and the stack's identity."""

SITE_SYSCTLS = {
    "fs.inotify.max_user_instances": "8192",
    "fs.inotify.max_user_watches": "524288",
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
}
"""What pods and their network need, and distributions set too low or not at all."""

_MEMORY_TOLERANCE = 0.85
"""Firmware, kernel and integrated graphics keep a part of the RAM: the host must show this share of it."""

_DISK_TOLERANCE = 0.80
"""Partitions, GB against GiB and file system overhead: the host must show this share of its disk."""

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this time is wrong: this program did not exist then. Another value runs ``base`` again everywhere."""

_CLOCK_PATIENCE_S = 60
"""Time services ask their servers within seconds of being started, and again when the network has come up."""


@dataclass(frozen=True)
class HostPlan:
    """The scripts of one host, in the order in which they run."""

    reachable: str
    """Succeeds as soon as the host answers and lets us become root, and where it does not belong to somebody else. By
    standard input: the stack's identity."""
    facts: str
    """Prints what the host is. Refuses one that is not what the site file says, lacks what its parts need, or runs a
    foreign Kubernetes."""
    facts_of_known: str
    """The same of a host that the stack holds already: it may run this site's K3s from before hosts were marked."""
    facts_again: str
    """The same where nothing is to come any more: after NVIDIA's packages."""
    base: str
    """Marks the host as the site's. Then kernel settings, host name, time, update window. By standard input: the
    stack's identity, then one secret for each proof."""
    leave: str
    """Takes away what ``base`` left."""
    identity: str
    """Hash of the pinned host key: another one means another installation of the machine."""
    expected: tuple[Expected, ...]
    """What ``base`` leaves."""


def identity_of(host_key: str) -> str:
    """What tells one installation of a machine from another: a hash of its host key."""
    return hashlib.sha256(host_key.encode()).hexdigest()[:16]


def sysctl_file(settings: dict[str, str]) -> str:
    """``settings`` in the format of sysctl.d."""
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def published(
    machine: Machine, demand_watts: float = 0, demand_accelerators: int = 0, time_slices: int = 1
) -> dict[str, Any]:
    """What policies read of a host. Holds no secret. The demands are those of the models that may run on it."""
    os, hardware, system = machine.os, machine.hardware, machine.system
    looked_for = ["host-key", "architecture", "operating-system", "cores", "memory", "disk-size"]
    looked_for += ["tpm"] if hardware.tpm else []
    looked_for += ["disk"] if os.disk == "luks-tpm2" else []
    looked_for += ["secure-boot"] if os.secure_boot else []
    return {
        "distribution": os.distribution,
        "disk": os.disk,
        "tpm": hardware.tpm,
        "virtual": hardware.virtual,
        "secure_boot": os.secure_boot,
        "secure_boot_possible": {"system": system.secure_boot is None, "hardware": hardware.secure_boot},
        "updates": {
            "window": os.updates.window,
            "hours": os.updates.hours,
            "managed": os.updates.managed,
            "unit": os_updates.TIMER,
        },
        "sysctls": dict(KUBELET_SYSCTLS),
        "attests": looked_for,
        "power": {
            "sustained_watts": hardware.envelope.sustained_watts,
            "base_watts": hardware.envelope.base_watts,
            "models_watts": round(demand_watts, 3),
        },
        "accelerators": {"present": len(machine.devices) * time_slices, "asked_for": demand_accelerators},
    }


def facts_of(printed: str | None) -> dict[str, str]:
    """What the script ``facts`` has printed: name and value of each fact. Empty for anything else."""
    return dict(re.findall(r"(?<!\S)([a-z_]+)=(\S+)", printed or ""))


def plan(machine: Machine, checks: Sequence[str] = (), proofs: Sequence[str] = ()) -> HostPlan:
    """Scripts for one host. ``checks`` are what the parts on it look for (``Part.host_checks``), ``proofs`` how what
    runs on it shows that it is this site's (``Part.proof``)."""
    os, hardware, system = machine.os, machine.hardware, machine.system
    files = {
        "/etc/sysctl.d/90-kubelet.conf": sysctl_file(KUBELET_SYSCTLS),
        "/etc/sysctl.d/91-edge.conf": sysctl_file(SITE_SYSCTLS),
        "/etc/modules-load.d/edge.conf": "br_netfilter\noverlay\n",
    }
    time_units = [service.unit for service in system.time]
    time_files = [service.config(os.ntp_servers) for service in system.time] if os.ntp_servers else []
    managed = os.updates.managed
    updates = system.updates
    update_files = os_updates.files(machine)
    shared: dict[str, Any] = {
        "node": machine.node,
        "owner": OWNER,
        "managed": managed,
        "updates": updates,
        "started": os_updates.started(machine),
        "update_paths": list(update_files),
        "timer": os_updates.TIMER,
        "done": os_updates.DONE,
    }
    expected: dict[str, Any] = {
        "node": machine.node,
        "kubernetes_node": machine.kubernetes_node,
        "arch": hardware.arch,
        "cores": hardware.shows.cores or hardware.cores,
        "memory_mib": hardware.shows.memory_mib or int(hardware.memory_mib * _MEMORY_TOLERANCE),
        "disk_gib": int(hardware.disk_gib * _DISK_TOLERANCE),
        "profile": machine.spec.hardware,
        "tpm": hardware.tpm,
        "luks": os.disk == "luks-tpm2",
        "secure_boot": os.secure_boot,
        "os_ids": system.ids,
        "os_releases": system.releases,
        "time_units": time_units,
        "updates": updates if managed else None,
        "selinux": system.selinux,
        "distribution": system.name,
    }
    first = [*filter(None, [nvidia.gate(machine)]), *checks]
    return HostPlan(
        reachable=render(
            "host/reachable.sh.j2",
            node=machine.node,
            address=machine.spec.address,
            via=machine.jump_node or (machine.bastion and machine.bastion.address),
            site=machine.site,
            owner=OWNER,
            former=machine.former,
        ),
        facts=render("host/facts.sh.j2", known=False, checks=first, **expected),
        facts_of_known=render("host/facts.sh.j2", known=True, checks=first, **expected),
        facts_again=render("host/facts.sh.j2", known=True, checks=checks, **expected),
        base=render(
            "host/base.sh.j2",
            **shared,
            proofs=proofs,
            site=machine.site,
            files={path: here_document(text) for path, text in files.items()},
            time_files=time_files,
            time_units=time_units,
            update_files=[(path, mode, here_document(text)) for path, (mode, text) in update_files.items()],
            earliest_s=int(_EARLIEST.timestamp()),
            patience_s=_CLOCK_PATIENCE_S,
        ),
        leave=render(
            "host/leave.sh.j2",
            **shared,
            kubernetes_node=machine.kubernetes_node,
            paths=[*files, *(one.path for one in time_files if not one.replaces)],
            replaced=[one.path for one in time_files if one.replaces],
            units=time_units if time_files else [],
        ),
        identity=identity_of(machine.spec.host_key),
        expected=(
            *file(OWNER, "0644", None),
            *(one for path, text in files.items() for one in file(path, "0644", text)),
            *(one for mine in time_files for one in mine.expected),
            *(Expected("sysctl", *setting) for setting in (KUBELET_SYSCTLS | SITE_SYSCTLS).items()),
            Expected("sysctl", "kernel.hostname", machine.node),
            # Whether these are enabled is the distribution's business: some are started from below /usr.
            one_active(*(f"{unit}.service" for unit in time_units)),
            *(_expected_of_updates(machine) if managed else ()),
        ),
    )


def _expected_of_updates(machine: Machine) -> Iterator[Expected]:
    updates = machine.system.updates
    for path, (mode, text) in os_updates.files(machine).items():
        yield from file(path, mode, text)
    for name in os_updates.started(machine):
        yield from unit(name)
    yield Expected("enabled", os_updates.DONE, "enabled")
    if updates.config:
        yield from updates.config.expected
    if updates.service:
        yield Expected("active", f"{updates.service}.service", "active")
