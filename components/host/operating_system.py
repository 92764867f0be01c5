"""What the parts of a site must know of an operating system. One module beside this one for each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from components.expected import Expected, file, settings
from components.shell import Script, here_document


@dataclass(frozen=True)
class HostFile:
    """A file of ours on a host."""

    path: str
    text: str
    replaces: bool = False
    """Whether the distribution has a file of its own there. It is kept beside
    ours as `PATH.before-edge`, and put back when the host leaves."""

    keeps_others: bool = False
    """Whether it holds lines `KEY=VALUE`, and those of other keys stay as they are."""

    former_keys: tuple[str, ...] = ()
    """Keys that earlier releases wrote there, and that are taken out."""

    @property
    def keys(self) -> str:
        """The keys of its lines `KEY=VALUE`, and former ones, as alternatives of a regular expression."""
        return "|".join((*(line.partition("=")[0] for line in self.text.splitlines()), *self.former_keys))

    @property
    def expected(self) -> tuple[Expected, ...]:
        """What is there once it has been written."""
        return (settings if self.keeps_others else file)(self.path, "0644", self.text)

    @property
    def body(self) -> str:
        """A here-document, ready to follow ``put_file``."""
        return here_document(self.text)


@dataclass(frozen=True)
class TrustStore:
    """Where the system takes authorities from, beside those that it comes with."""

    folder: str
    suffix: str
    """Files with another one are not looked at."""
    command: tuple[str, ...]
    """Makes the store anew, from the folder as it is."""
    package: str
    """What has the command."""

    def path(self, name: str) -> str:
        """The file of one certificate of ours."""
        return f"{self.folder}/edge-ca-{name}{self.suffix}"


@dataclass(frozen=True)
class TimeService:
    """What keeps the clock right."""

    unit: str
    """systemd unit, without `.service`."""

    config: Callable[[Sequence[str]], HostFile]
    """Its configuration for a site's own time servers."""


REBOOT = Script("systemctl reboot")


@dataclass(frozen=True, kw_only=True)
class Updates:
    """How a system is brought up to date. The scripts are pieces of bash, run as root."""

    program: str
    """What installs the updates, or tells whether they are installed."""

    package: str
    """What has the program."""

    service: str | None = None
    """systemd unit of the system that installs them by itself, at any time, without `.service`."""

    install: Script
    """Installs what is ready. Ends with success only where that was done."""

    reboot_needed: Script
    """A condition: whether what was installed needs a reboot."""

    reboot: Script = REBOOT
    """Reboots into what was installed."""

    config: HostFile | None = None
    """Keeps the system from rebooting by itself."""

    reads_config: str | None = None
    """systemd unit that reads ``config`` when it starts."""

    program_of_ours: tuple[str, str] | None = None
    """Path of a program that the units need, and its template."""

    units: Mapping[str, str] = field(default_factory=dict)
    """systemd units of ours, by name. Those that can be enabled are."""

    check: Script | None = None
    """A piece of the host's gate: calls ``lack`` for what else is missing, or would reboot by itself."""


@dataclass(frozen=True)
class Nvidia:
    """Where a host gets what NVIDIA's hardware needs, in words: this program looks for it and does not install it."""

    driver: str
    toolkit: str
    """The NVIDIA Container Toolkit, which has the runtime."""


@dataclass(frozen=True, kw_only=True)
class OperatingSystem:
    """How one operating system does things."""

    name: str
    """As in a site file's `os.distribution`."""

    title: str
    """As its publisher writes it."""

    ids: tuple[str, ...]
    """Values of `ID` in /etc/os-release: the system's own, and those of its kin, alike in all that is here."""

    releases: tuple[str, ...] = ()
    """Values of `VERSION_ID` there, or their beginning before a dot: `9` stands for 9.6 too. Empty: any."""

    nvidia: Nvidia
    """Where it gets NVIDIA's driver and runtime."""

    time: tuple[TimeService, ...]
    """Time services that it may have, of which a host has one."""

    first_boot: Literal["ignition", "cloud-init"]
    """What reads the configuration of a cloud instance at its first boot."""

    bin_dir: str = "/usr/local/bin"
    """Folder for commands: writable, and on the PATH of root."""

    updates: Updates
    """How it is brought up to date."""

    apt: bool = False
    """Whether packages of NVIDIA's driver and runtime may come to it by apt."""

    extensions: bool = False
    """Whether its publisher adds programs by images for systemd-sysext."""

    smartctl: str = "install the package smartmontools"
    """How a host gets the program that asks disks how they are."""

    trust_store: TrustStore | None = None
    """Its store of certificate authorities; None where it is not known."""

    secure_boot: str | None = None
    """Why it cannot boot with Secure Boot; None where it can."""

    selinux: bool = False
    """Whether it confines programs by SELinux."""

    tpm_unlock_memory_mib: int = 0
    """RAM that it needs to unlock an encrypted disk by TPM, in MiB."""

    only_on: str | None = None
    """Kind of built-in accelerator of the only hardware that it runs on."""


NVIDIA_PACKAGES = Nvidia(
    driver="the package nvidia-open (or cuda-drivers) of NVIDIA's CUDA repository",
    toolkit="the package nvidia-container-toolkit of NVIDIA's repository libnvidia-container",
)
"""For systems that are made of packages."""

UPDATE_CA_CERTIFICATES = TrustStore(
    folder="/usr/local/share/ca-certificates",
    suffix=".crt",
    # Without --fresh, links to certificates that were removed stay.
    command=("update-ca-certificates", "--fresh"),
    package="the package ca-certificates",
)
"""Debian's, and that of all its kin."""

UPDATE_CA_TRUST = TrustStore(
    folder="/etc/pki/ca-trust/source/anchors",
    suffix=".pem",
    command=("update-ca-trust", "extract"),
    package="the package ca-certificates",
)
"""Fedora's, and that of RHEL and its kin."""


UNATTENDED_UPGRADES = Updates(
    program="unattended-upgrade",
    package="unattended-upgrades",
    # What it takes is said in /etc/apt/apt.conf.d/50unattended-upgrades.
    install=Script("apt-get update\nunattended-upgrade"),
    # Its package has a hook that kernels run.
    reboot_needed=Script("[ -e /run/reboot-required ]"),
    config=HostFile("/etc/apt/apt.conf.d/95-edge", 'Unattended-Upgrade::Automatic-Reboot "false";\n'),
)
"""Debian's, and that of all its kin."""


def _timesyncd(servers: Sequence[str]) -> HostFile:
    return HostFile("/etc/systemd/timesyncd.conf.d/50-edge.conf", f"[Time]\nNTP={' '.join(servers)}\n")


def _sources(servers: Sequence[str]) -> HostFile:
    # Read beside chrony.conf, whose own servers stay as a fallback.
    lines = "".join(f"server {server} iburst prefer\n" for server in servers)
    return HostFile("/etc/chrony/sources.d/50-edge.sources", lines)


TIMESYNCD = TimeService("systemd-timesyncd", _timesyncd)

TIMESYNCD_OR_CHRONY = (TIMESYNCD, TimeService("chrony", _sources))
"""Those of Debian and its kin: the packages exclude each other."""


def chrony_conf(servers: Sequence[str]) -> str:
    """A whole chrony.conf with these servers and no others, as Fedora and RHEL have it."""
    lines = "".join(f"server {server} iburst\n" for server in servers)
    return f"{lines}driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n"
