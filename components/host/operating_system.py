"""What the parts of a site must know of an operating system. One module beside this one for each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from components.expected import Expected, file, settings
from components.host.reboots import RebootWindow
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

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its lines `KEY=VALUE`."""
        return tuple(line.partition("=")[0] for line in self.text.splitlines())

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


@dataclass(frozen=True, kw_only=True)
class PackageUpdates:
    """How a system that is made of packages is brought up to date. The scripts are pieces of bash, run as root."""

    program: str
    """What installs the updates."""

    package: str
    """What has the program."""

    install: Script
    """Installs what is ready. Ends with success only where that was done."""

    reboot_needed: Script
    """A condition: whether what was installed needs a reboot."""

    config: HostFile | None = None
    """Keeps the program from rebooting by itself."""

    check: Script | None = None
    """A piece of the host's gate: calls ``lack`` for what else is missing, or would reboot by itself."""


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

    time: tuple[TimeService, ...]
    """Time services that it may have, of which a host has one."""

    first_boot: Literal["ignition", "cloud-init"]
    """What reads the configuration of a cloud instance at its first boot."""

    bin_dir: str = "/usr/local/bin"
    """Folder for commands: writable, and on the PATH of root."""

    update_unit: str | None = None
    """systemd unit that reboots into updates, without `.service`; None where nothing of the system does."""

    update_config: Callable[[RebootWindow], HostFile] | None = None
    """The update service's reboot window, in its own format."""

    packages: PackageUpdates | None = None
    """How it is updated where no service of its own reboots it."""

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


UNATTENDED_UPGRADES = PackageUpdates(
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
