"""What is done to a machine before anything is installed on it: reach it, know it, prepare it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from components.expected import Expected, file
from components.host.spec import HardwareProfile, HostSpec, OsSpec
from components.shell import here_document, render

KUBELET_SYSCTLS = {
    "vm.panic_on_oom": "0",
    "vm.overcommit_memory": "1",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}
"""What kubelet insists on under ``protect-kernel-defaults``. Source: K3s hardening guide."""

SITE_SYSCTLS = {
    "fs.inotify.max_user_instances": "8192",
    "fs.inotify.max_user_watches": "524288",
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
}
"""What pods and the network between them need and distributions set too low or not at all."""

_MEMORY_TOLERANCE = 0.85
"""Firmware, kernel and integrated graphics keep a part of the RAM: the host must show this share of it."""

_DISK_TOLERANCE = 0.80
"""Partitions, GB against GiB and file system overhead: the host must show this share of its disk."""

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""No host is prepared before this program was written: a clock that says so is wrong. To change it is to run ``base``
again on every host."""

_CLOCK_PATIENCE_S = 60
"""Time services ask their servers within seconds of being started, and again when the network has come up."""


@dataclass(frozen=True)
class HostPlan:
    """The scripts of one host, in the order in which they run."""

    reachable: str
    """Succeeds as soon as the host answers and lets us become root."""
    facts: str
    """Prints what the host is, and refuses one that is not what the site file says."""
    base: str
    """Kernel settings, host name, time, update window."""
    leave: str
    """Takes away what ``base`` left."""
    identity: str
    """Hash of the pinned host key: another one means another installation of the machine."""
    expected: tuple[Expected, ...]
    """What ``base`` leaves."""


def sysctl_file(settings: dict[str, str]) -> str:
    """``settings`` in the format of sysctl.d."""
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def plan(node: str, spec: HostSpec, os: OsSpec, hardware: HardwareProfile) -> HostPlan:
    """Scripts for one host. ``node`` is its name outside the site."""
    files = {
        "/etc/sysctl.d/90-kubelet.conf": sysctl_file(KUBELET_SYSCTLS),
        "/etc/sysctl.d/91-edge.conf": sysctl_file(SITE_SYSCTLS),
        "/etc/modules-load.d/edge.conf": "br_netfilter\noverlay\n",
    }
    time_file, update_file = _time_file(os), _update_file(os)
    services = [_TIME_UNIT[os.distribution], *([_UPDATE_UNIT[os.distribution]] if update_file else [])]
    own = [(one.path, one.text) for one in (time_file, update_file) if one]
    return HostPlan(
        reachable=render("host/reachable.sh.j2", node=node),
        facts=render(
            "host/facts.sh.j2",
            node=node,
            arch=hardware.arch,
            cores=hardware.cores,
            memory_mib=int(hardware.memory_mib * _MEMORY_TOLERANCE),
            disk_gib=int(hardware.disk_gib * _DISK_TOLERANCE),
            profile=spec.hardware,
            tpm=hardware.tpm,
            luks=os.disk == "luks-tpm2",
            secure_boot=os.secure_boot,
            os_ids=_OS_IDS[os.distribution],
            distribution=os.distribution,
        ),
        base=render(
            "host/base.sh.j2",
            node=node,
            files={path: here_document(text) for path, text in files.items()},
            time_file=time_file,
            time_unit=_TIME_UNIT[os.distribution],
            update_file=update_file,
            update_unit=_UPDATE_UNIT.get(os.distribution),
            earliest_s=int(_EARLIEST.timestamp()),
            patience_s=_CLOCK_PATIENCE_S,
        ),
        leave=render(
            "host/leave.sh.j2",
            node=node,
            paths=[*files, *(path for path, _ in own)],
            units=[
                *([_TIME_UNIT[os.distribution]] if time_file else []),
                *([_UPDATE_UNIT[os.distribution]] if update_file else []),
            ],
        ),
        identity=hashlib.sha256(spec.host_key.encode()).hexdigest()[:16],
        expected=(
            *(one for path, text in (*files.items(), *own) for one in file(path, "0644", text)),
            *(Expected("sysctl", *setting) for setting in (KUBELET_SYSCTLS | SITE_SYSCTLS).items()),
            Expected("sysctl", "kernel.hostname", node),
            # Whether these are enabled is the distribution's business: some are started from below /usr.
            *(Expected("active", f"{service}.service", "active") for service in services),
        ),
    )


_OS_IDS = {
    "flatcar": ("flatcar",),
    "fedora-coreos": ("fedora", "fcos"),
    "jetson-linux": ("ubuntu",),
    "debian": ("debian", "raspbian"),
}
_TIME_UNIT = {
    "flatcar": "systemd-timesyncd",
    "fedora-coreos": "chronyd",
    "jetson-linux": "systemd-timesyncd",
    "debian": "systemd-timesyncd",
}
_UPDATE_UNIT = {"flatcar": "locksmithd", "fedora-coreos": "zincati", "jetson-linux": "", "debian": ""}


@dataclass(frozen=True)
class _File:
    path: str
    text: str

    @property
    def body(self) -> str:
        """A here-document, ready to follow ``put_file``."""
        return here_document(self.text)


def _time_file(os: OsSpec) -> _File | None:
    """The time service's configuration, where the site names its own servers."""
    if not os.ntp_servers:
        return None
    if _TIME_UNIT[os.distribution] == "chronyd":
        servers = "".join(f"server {server} iburst\n" for server in os.ntp_servers)
        text = f"{servers}driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n"
        return _File("/etc/chrony.conf", text)
    text = f"[Time]\nNTP={' '.join(os.ntp_servers)}\n"
    return _File("/etc/systemd/timesyncd.conf.d/50-edge.conf", text)


def _update_file(os: OsSpec) -> _File | None:
    """The update service's reboot window, in its own format."""
    day, start = os.updates.window.split()
    if os.distribution == "flatcar":
        text = (
            "REBOOT_STRATEGY=reboot\n"
            f'LOCKSMITHD_REBOOT_WINDOW_START="{day} {start}"\n'
            f"LOCKSMITHD_REBOOT_WINDOW_LENGTH={os.updates.hours}h\n"
        )
        return _File("/etc/flatcar/update.conf", text)
    if os.distribution == "fedora-coreos":
        text = (
            '[updates]\nstrategy = "periodic"\n\n[updates.periodic]\ntime_zone = "localtime"\n\n'
            f'[[updates.periodic.window]]\ndays = ["{day}"]\nstart_time = "{start}"\n'
            f"length_minutes = {os.updates.hours * 60}\n"
        )
        return _File("/etc/zincati/config.d/55-edge-window.toml", text)
    return None
