"""The site file as a model: the components' specs, and what belongs to the site as a whole.

Owns shape only. Rules between fields are in ``stacks.rules``; reading, defaults and errors in ``stacks.loader``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from components.gitops.spec import GitOps, NoGitOps
from components.host.reboots import RebootWindow, shared
from components.host.spec import BastionSpec, HostSpec, OsSpec, SshSpec
from components.inference.spec import InferenceSpec
from components.k3s.spec import K3sSpec
from components.mesh.spec import Mesh, NoMesh
from components.network.spec import NetworkSpec
from components.place.spec import OnPremises, Place
from components.registration.spec import Registration
from components.specs import Spec
from components.telemetry.spec import TelemetrySpec
from components.types import DnsLabel, NodeLabels, NonEmpty, Tier
from components.waiver import WaiverSpec
from stacks.economics import EconomicsSpec

Mbps = Annotated[float, Field(gt=0, examples=[50])]


class UplinkSpec(Spec):
    """The site's way out. Described, not managed: it explains what may be asked of it."""

    kind: Literal["fibre", "dsl", "private-5g", "lte", "satellite", "aws-wavelength"]
    """Technology."""

    down_mbps: Mbps
    """Usual throughput towards the site, in Mbit/s."""

    up_mbps: Mbps
    """Usual throughput from the site, in Mbit/s."""

    metered: bool = False
    """Whether traffic is paid for by volume."""


class SiteSpec(Spec):
    """An edge site: one file, one stack."""

    site: Annotated[DnsLabel, Field(max_length=40, examples=["warehouse-berlin-01"])]
    """Site id: the file's name, the stack's name and the prefix of every name in it."""

    tier: Tier
    """Distance to the users: device (< 1 ms), near (1-5 ms), far (5-20 ms) or cloud (20-50 ms)."""

    region: Annotated[DnsLabel, Field(examples=["eu-central"])]
    """Part of the world, in your own words (`eu-central`); groups sites in roll-outs and telemetry."""

    groups: Annotated[tuple[DnsLabel, ...], Field(examples=[["eu-central", "acme"]])] = ()
    """Groups whose defaults the site takes: a region, a customer, a ring. Of two values, that of the later one."""

    latency_ms: Annotated[float, Field(gt=0, examples=[2])] | None = None
    """Measured round trip from the users to the site, in ms; must lie within the tier's range."""

    labels: NodeLabels = {}
    """Free labels (customer, ring, ...): selected by roll-outs, set on nodes and telemetry."""

    hosts: tuple[HostSpec, ...] = ()
    """The machines; empty only where a cloud brings its own (EKS on an Outpost)."""

    ssh: SshSpec = SshSpec()
    """How the machines are reached."""

    os: OsSpec = OsSpec()
    """What the machines run."""

    network: NetworkSpec | None = None
    """The network around the site: its proxy, and private certificate authorities."""

    place: Place = OnPremises(kind="on-premises")
    """Where the machines stand."""

    k3s: K3sSpec | None = None
    """Kubernetes on the machines; absent only where a cloud brings its own."""

    registrations: tuple[Registration, ...] = ()
    """Fleet management that the site is registered with; each kind at most once."""

    mesh: Mesh = NoMesh(kind="none")
    """Private network between the site and its operators."""

    gitops: GitOps = NoGitOps(kind="none")
    """What pulls the workloads."""

    telemetry: TelemetrySpec | None = None
    """Metrics to a gateway, queued on disk while the uplink is down."""

    inference: InferenceSpec | None = None
    """Models served at the site."""

    uplink: UplinkSpec | None = None
    """The site's way out."""

    economics: EconomicsSpec | None = None
    """What the site costs, and what the cloud would."""

    waivers: tuple[WaiverSpec, ...] = ()
    """Policies that the site may break, each with a reason, an owner and an end. Findings are shown as waived."""

    description: Annotated[NonEmpty, Field(examples=["Berlin warehouse, 50 cameras over the sorting lines"])] | None = (
        None
    )
    """One line for people: what stands there and why."""

    @property
    def servers(self) -> tuple[HostSpec, ...]:
        """The hosts of the control plane, in the order of the file; the first one starts the cluster."""
        return tuple(host for host in self.hosts if host.role == "server")

    @property
    def agents(self) -> tuple[HostSpec, ...]:
        """The other hosts."""
        return tuple(host for host in self.hosts if host.role == "agent")

    def os_of(self, host: HostSpec) -> OsSpec:
        """What a host runs: the site's `os`, with what the host's own says instead."""
        return self.os.with_own(host.os)

    def ssh_of(self, host: HostSpec) -> SshSpec:
        """How a host is reached: the site's `ssh`, with what the host's own says instead."""
        return self.ssh.with_own(host.ssh)

    def bastion_of(self, host: HostSpec) -> BastionSpec | None:
        """The machine outside the site through which SSH reaches a host."""
        return None if host.via else self.ssh_of(host).bastion

    @property
    def reboots(self) -> Mapping[str, RebootWindow]:
        """By name of a server, its part of the window in which it may reboot: servers with one window share it."""
        windows = shared([self.os_of(host).updates for host in self.servers])
        return {host.name: window for host, window in zip(self.servers, windows, strict=True)}

    def node(self, host: HostSpec) -> str:
        """The host's one name outside its site: host name, node name, name in the mesh."""
        return f"{self.site}-{host.name}"
