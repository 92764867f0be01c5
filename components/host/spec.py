"""What a human writes about the machines of a site, and what is known of each kind of hardware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from components import ports
from components.host.nvidia_spec import NvidiaPackages
from components.specs import Spec
from components.taints import Taint
from components.types import (
    Address,
    Arch,
    DnsLabel,
    InterfaceName,
    K3sVersion,
    MachineAddress,
    NodeAddresses,
    NodeLabels,
    NonEmpty,
    Port,
    SshHostKey,
)
from sitefile.problems import Finding, any_of

AcceleratorKind = Literal["nvidia-gpu", "nvidia-igpu", "qualcomm-ai", "intel-gaudi", "google-coral"]
Distribution = Literal["flatcar", "fedora-coreos", "jetson-linux", "debian", "ubuntu", "rhel", "sle"]
Positive = Annotated[float, Field(gt=0)]
MigName = Annotated[str, Field(pattern=r"^[1-7]g\.[1-9]\d{0,2}gb$", examples=["1g.10gb"])]
"""Profile of MIG, as `nvidia-smi mig -lgip` has it: compute slices and memory."""


class MigProfile(Spec):
    """What MIG cuts a GPU into: parts in hardware, each with memory and processors of its own."""

    instances: Annotated[int, Field(gt=0)]
    """How many of them one GPU holds."""

    memory_mib: Annotated[int, Field(gt=0)]
    """Memory of one, in MiB."""

    tops_int8: Positive
    """Peak throughput of one in TOPS at INT8."""


class Accelerator(Spec):
    """A device that runs models, from ``stacks/profiles/accelerators.yaml``."""

    kind: AcceleratorKind
    """Family: decides the container runtime class and the device plugin."""

    tops_int8: Positive
    """Peak throughput in TOPS at INT8."""

    watts: Positive
    """Power at full load, in W."""

    memory_mib: Annotated[int, Field(gt=0)]
    """Memory that models can use, in MiB (shared with the CPU on integrated devices)."""

    mig: dict[MigName, MigProfile] = {}
    """What MIG can cut it into, by NVIDIA's name of the profile. Empty where it cannot."""

    source: NonEmpty
    """Where the figures come from."""


class Envelope(Spec):
    """How much heat and power a box bears where it hangs."""

    cooling: Literal["passive", "active"]
    """Passive: no fan, the enclosure is the heat sink."""

    max_ambient_c: float
    """Highest ambient temperature at which it is rated to run, in degrees Celsius."""

    sustained_watts: Positive
    """Power that it can turn into heat without end at that temperature, in W."""

    base_watts: Positive
    """What CPU, memory, disk and network draw under load, without accelerators, in W."""


class Shown(Spec):
    """What a good machine shows of its hardware, where that is less than firmware and kernel usually leave."""

    cores: Annotated[int, Field(gt=0)] | None = None
    """Fewest CPU cores that are on, such as in a power mode that turns the others off."""

    memory_mib: Annotated[int, Field(gt=0)] | None = None
    """Least RAM that the kernel has, in MiB."""


class HardwareProfile(Spec):
    """A kind of host, from ``stacks/profiles/hardware/<name>.yaml``. Each figure has its source."""

    vendor: NonEmpty
    """Who makes it."""

    model: NonEmpty
    """What it is called, with the configuration that the figures describe."""

    arch: Arch
    """CPU architecture, in Go's and Kubernetes' words."""

    cores: Annotated[int, Field(gt=0)]
    """Physical CPU cores."""

    memory_mib: Annotated[int, Field(gt=0)]
    """RAM in MiB."""

    disk_gib: Annotated[int, Field(gt=0)]
    """Size of the boot disk in GiB."""

    tpm: bool
    """Whether a TPM 2.0 (discrete or firmware) is there."""

    secure_boot: bool
    """Whether the firmware can enforce Secure Boot."""

    accelerators: tuple[DnsLabel, ...] = ()
    """Accelerators that are part of the box, by name."""

    virtual: bool = False
    """Whether it is a virtual machine: whoever runs it decides on the encryption of its disk."""

    shows: Shown = Shown()
    """What a good machine shows at least, where that is less than usual."""

    envelope: Envelope
    """Thermal and power limits."""

    sources: dict[str, NonEmpty]
    """Source of each figure, by field name (``envelope`` stands for all of its fields)."""

    def conflicts(self) -> Iterator[Finding]:
        figures = ["cores", "memory_mib", "disk_gib", "tpm", "secure_boot", "envelope"]
        figures += ["shows"] if self.shows != Shown() else []
        if missing := [figure for figure in figures if figure not in self.sources]:
            yield Finding(
                ("sources",),
                f"no source is named for {any_of(missing)}",
                "a source for each figure",
                f"add `{missing[0]}:` below `sources`, with where the figure comes from",
            )


class BastionSpec(Spec):
    """A machine that is no host of the site, and through which SSH reaches its hosts. It accepts the same key."""

    address: MachineAddress
    """Where SSH reaches it: an IP address or a name."""

    host_key: SshHostKey
    """Its public SSH key, as `ssh-keyscan` prints it."""

    port: Port = ports.SSH
    """TCP port of its sshd."""

    user: Annotated[NonEmpty, Field(examples=["jump"])] | None = None
    """Login name there, where it differs from the hosts' own."""


class SshSpec(Spec):
    """How hosts are reached. The private key is the stack's secret `ssh-private-key`."""

    user: NonEmpty = "core"
    """Login name. Any other than root needs sudo."""

    port: Port = ports.SSH
    """TCP port of sshd."""

    login: Literal["key", "key-with-passphrase", "agent"] = "key"
    """What shows who logs in: a private key; one whose passphrase is the stack's secret `ssh-key-passphrase`; or the
    SSH agent at SSH_AUTH_SOCK of whoever runs the program, so that the stack holds no key."""

    sudo: Literal["no-password", "password"] = "no-password"
    """Whether sudo asks for a password. It is then the stack's secret `sudo-password`."""

    sudo_login: Annotated[DnsLabel, Field(examples=["press"])] | None = None
    """Name of the password that sudo asks for, where hosts do not all have one: it is then the secret
    `sudo-password-<name>`. Several hosts may share a name."""

    bastion: BastionSpec | None = None
    """A machine outside the site through which SSH reaches the hosts that have no `via`."""

    dial_attempts: Annotated[int, Field(ge=1, le=1000)] = 20
    """Connection attempts of the `reachable` gate before a host counts as offline."""

    dial_timeout_s: Annotated[int, Field(ge=1, le=300)] = 15
    """Time limit of one attempt, in seconds."""


class UpdateWindow(Spec):
    """When hosts may reboot into updates of their operating system. Servers with one window have it one by one."""

    window: Annotated[str, Field(pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3]):[0-5]\d$")] = "Sun 02:00"
    """Weekday and start in the host's local time, such as `Sun 02:00`."""

    hours: Annotated[int, Field(ge=1, le=12)] = 2
    """Length of the window, in hours."""

    managed: bool = True
    """Whether this program sets the updates and their window. `false` where something else does, such as Landscape,
    Satellite or an image that is replaced as a whole: nothing is set or promised then."""


class OsSpec(Spec):
    """The operating system that the hosts run: checked rather than installed."""

    distribution: Distribution = "flatcar"
    """Which system; decides writable paths, the time service, and how updates are held to the window. `debian` is also
    Raspberry Pi OS; `ubuntu` is 22.04 or 24.04; `rhel` is also AlmaLinux, CentOS Stream, Oracle Linux and Rocky Linux,
    9 or 10; `sle` is SUSE Linux Enterprise Server or openSUSE Leap, 15 or 16."""

    updates: UpdateWindow = UpdateWindow()
    """Reboot window of automatic updates."""

    disk: Literal["luks-tpm2", "none"] = "luks-tpm2"
    """Disk encryption that the hosts must have: LUKS with a key slot of the TPM, or none."""

    secure_boot: bool = False
    """Whether a host without Secure Boot is refused. Flatcar's images are unsigned: use fedora-coreos."""

    nvidia: NvidiaPackages | None = None
    """NVIDIA's driver and container runtime from packages of Debian and Ubuntu, for hosts with an NVIDIA GPU."""

    ntp_servers: tuple[Address, ...] = ()
    """Time servers instead of the distribution's own; needed where the site cannot reach those."""


class HostSpec(Spec):
    """One machine of a site."""

    name: Annotated[DnsLabel, Field(examples=["a"])]
    """Name within the site. `<site>-<name>` is its host name, its node name and its name in the mesh."""

    renamed_from: Annotated[DnsLabel, Field(examples=["old-a"])] | None = None
    """Name under which this host was installed, where it has another one now. Its Kubernetes node keeps that name, so
    this stays as long as the host does."""

    hardware: Annotated[DnsLabel, Field(examples=["hpe-el8000"])]
    """Hardware profile, from stacks/profiles/hardware."""

    address: MachineAddress
    """Where SSH reaches it: an IP address or a name (a mesh name, once the host has joined)."""

    node_ip: NodeAddresses | None = None
    """Address that K3s uses between nodes, where it differs from `address`. With both families, both of them with a
    comma between, in the order of `k3s.pod_cidr`."""

    interface: InterfaceName | None = None
    """Network card that K3s' nodes reach this one by, where it differs from `network.interface`."""

    host_key: SshHostKey
    """The host's public SSH key, as `ssh-keyscan` prints it. A reimaged host has a new one: change it here."""

    role: Literal["server", "agent"] = "server"
    """K3s server (control plane) or agent."""

    os: OsSpec | None = None
    """What this host runs, where it differs from the site's `os`."""

    via: Annotated[DnsLabel, Field(examples=["a"])] | None = None
    """Another host of the site through which SSH reaches this one."""

    ssh: SshSpec | None = None
    """How this host is reached, where it differs from the site's `ssh`."""

    accelerators: tuple[DnsLabel, ...] = ()
    """Accelerators that were added to the box, from stacks/profiles/accelerators.yaml. Of two alike, the name twice."""

    mig: MigName | None = None
    """What MIG has cut each of its GPUs into, all alike and as many as one holds: a server of models then gets one of
    these in place of a GPU. Looked for before anything is installed; nothing here cuts a GPU."""

    k3s_version: K3sVersion | None = None
    """K3s release of this host alone, to try a release on one host before the site takes it."""

    labels: NodeLabels = {}
    """Kubernetes node labels, in addition to those that the site sets."""

    taints: tuple[Taint, ...] | None = None
    """Kubernetes taints of this host's node, beside those of `k3s.taints`; of two with one key and effect, this one
    counts."""

    reapply: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", examples=["2026-11-26"])] | None = None
    """Any short word, such as a date: change it to have everything on this host applied again. `edge drift` says when
    that is needed."""
