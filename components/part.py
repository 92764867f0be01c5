"""What a part of a site tells the rest of the program: one object in each part's folder, listed in ``stacks.parts``.

A part is found by the type of its spec. Everything that differs from part to part is asked of the part here, so that
nothing outside its folder names its spec. Pure, but for ``build``, which makes the resources.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from components.consequence import Consequence, Edit, Effect, Removal
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.host.machine import Machine
from components.specs import Spec
from components.view import (
    Demand,
    Download,
    Network,
    Precondition,
    Proof,
    Scrape,
    Scraper,
    SecretNeed,
    Site,
    Software,
    Volume,
)
from sitefile.problems import DataPath, Finding

if TYPE_CHECKING:
    import pulumi
    import pulumi_kubernetes as kubernetes

    from components.host.component import Host

S = TypeVar("S", bound=Spec)


class Phase(IntEnum):
    """When a part is built."""

    PLACE = 1
    """What the machines stand on."""
    ON_HOSTS = 2
    """What runs on the machines beside Kubernetes. The machines themselves come before it."""
    CLUSTER = 3
    """Kubernetes on the machines."""
    IN_CLUSTER = 4
    """What runs in Kubernetes."""


@dataclass(frozen=True)
class HeldKubeconfig:
    """The kubeconfig that a stack holds of its cluster."""

    text: pulumi.Output[str]
    """A secret."""
    urn: pulumi.Output[str]
    """The resource that reads it. When that is replaced, it is read again."""


@dataclass(frozen=True)
class HeldEgress:
    """How the programs of a site go out, with what is secret of it. What is plain is ``Site.egress``."""

    environment: pulumi.Output[str]
    """A secret: the file that the hosts have of it. Programs on hosts start anew when it changes."""
    variables: pulumi.Output[dict[str, str]]
    """A secret: the variables of pods. Empty without a proxy."""
    mark: pulumi.Output[str]
    """Changes with the variables, and tells nothing of them: for pods, which start anew when it changes."""


@dataclass(frozen=True)
class Expiring:
    """What a stack holds that ends by itself, and that must be alive when some of its resources are made or changed.

    In all other runs it may be dead: it is made anew when it is needed, and not when it ends.
    """

    what: str
    """What it is, for messages: `the auth key`."""
    urn: pulumi.Output[str]
    ends: pulumi.Output[str]
    """RFC 3339."""
    needed_by: Sequence[pulumi.Output[str]]
    """URNs of the resources."""


@dataclass(frozen=True)
class Astray:
    """Why a part does not go the way out that its site says."""

    why: str = "it would go out as if that were not there"
    remedy: str = "remove it from `network`, or remove this part"


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster that parts can be put into."""

    provider: kubernetes.Provider
    joined: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By host name, the resource after which that host is a node."""
    goes_with: pulumi.Resource | None = None
    """The resource whose deletion wipes the cluster, with all objects in it. None where objects in the cluster may own
    things outside of it, which are only freed when the object itself is deleted."""
    held: HeldKubeconfig | None = None
    """None where the kubeconfig holds no credential of its own."""


@dataclass
class Building:
    """A site that is being built: what the parts so far have made, for those after them."""

    site: Site
    secret: Callable[[str], pulumi.Input[str]]
    """Gives the secret under a key of the stack's configuration; KeyError for one that no part has asked for."""
    parent: pulumi.Resource
    hosts: dict[str, Host] = field(default_factory=dict)
    """By name."""
    gates: dict[str, pulumi.Resource] = field(default_factory=dict)
    """By name of a host, what must be there before it can be reached."""
    cluster: Cluster | None = None
    consents: Mapping[str, str] = field(default_factory=dict)
    """By node, the changes that somebody has consented to."""
    egress: HeldEgress | None = None
    """How programs go out; None where the site says nothing about it."""
    expiring: list[Expiring] = field(default_factory=list)

    def child(self) -> pulumi.ResourceOptions:
        """Options of a component that does not run in the cluster."""
        import pulumi

        return pulumi.ResourceOptions(parent=self.parent)

    def in_cluster(self) -> pulumi.ResourceOptions:
        """Options of a component that runs in the cluster."""
        import pulumi

        assert self.cluster is not None
        return pulumi.ResourceOptions(
            parent=self.parent, providers=[self.cluster.provider], deleted_with=self.cluster.goes_with
        )

    @property
    def joined(self) -> Mapping[str, pulumi.Resource]:
        """By host name, the resource after which that host is a node of the cluster."""
        return self.cluster.joined if self.cluster else {}


UNKNOWN_REMOVAL = Edit(
    "part-removed",
    "A part is removed that does not say what that means",
    Effect.DESTROYS,
    "**deletes its resources**",
)


class Part(Generic[S]):
    """A part of a site. Subclasses set the three attributes, write ``build``, and answer what concerns them."""

    spec: type[S]
    """The block of the site file that asks for it."""

    phase: Phase

    module: str
    """The module with the component. It is imported when a site needs it, and in one thread: SDKs are large."""

    component: str
    """Kind of its component: `K3s` for `edge:index:K3s`."""

    removal: Removal | None = None
    """What its removal means, for a part whose ``consequences`` are no more than that."""

    edits: Sequence[Edit] = ()
    """Kinds of edit that its ``consequences`` know, beside ``removal``."""

    cleans: Sequence[str] = ()
    """Roles of its commands whose `delete` cleans up a host. Such a script refuses a host that has another name."""

    told: Mapping[str, str] = {}
    """Name -> description of each output that it may have (``outputs``). All are text."""

    per_host: bool = False
    """Whether it is set up host by host, and so needs hosts of the site."""

    manages_fleet: bool = False
    """Whether it shows the site to a manager of many clusters."""

    belongs_to: Mapping[str, str] = {}
    """Key -> the key that its value is for, such as a checksum and a version. A file that writes the second one must
    not inherit the first from its defaults. Both may be paths, such as `parent.child`."""

    def build(self, spec: S, building: Building) -> None:
        """Make the resources."""
        raise NotImplementedError

    def astray(self, spec: S, egress: Egress) -> Mapping[str, Astray]:
        """Fields of `network` that it does not follow in all that leaves the site for it: none that does not concern
        it. A site that has one of them beside it is refused: nothing is promised that is not kept."""
        return dict.fromkeys(egress.fields, Astray())

    def secrets(self, spec: S) -> Sequence[SecretNeed]:
        """Secrets without which the site cannot be brought up."""
        return ()

    def rules(self, spec: S, at: DataPath, site: Site) -> Iterator[Finding]:
        """Conflicts between the block at ``at`` and the rest of the site. The spec checks what one field may hold."""
        return iter(())

    def networks(self, spec: S, at: DataPath) -> Iterator[Network]:
        """Networks that it uses."""
        return iter(())

    def near(self, spec: S) -> Sequence[str]:
        """Names and addresses of the site itself, beside its hosts and networks: no proxy leads there."""
        return ()

    def downloads(self, spec: S, at: DataPath) -> Iterator[Download]:
        """What a site fetches for it, and from where."""
        return iter(())

    def software(self, spec: S, site: Site) -> Iterator[Software]:
        """What it brings to the site, beside the images and charts of its resources."""
        return iter(())

    def preconditions(self, spec: S) -> Iterator[Precondition]:
        """What a cloud must have before."""
        return iter(())

    def outputs(self, spec: S, site: Site) -> Mapping[str, Any]:
        """Its outputs of the site's stack: flat, without secrets, and not dependent on the list of hosts."""
        return {}

    def exempt_namespaces(self, spec: S) -> Sequence[str]:
        """Namespaces whose pods do not meet the restricted Pod Security Standard."""
        return ()

    def own_cluster(self, spec: S) -> str | None:
        """The cluster that comes with it, for messages (`an EKS local cluster`); None where K3s on hosts is needed."""
        return None

    def kubernetes(self, spec: S, machine: Machine) -> str | None:
        """The Kubernetes release that it puts on a host."""
        return None

    def volumes(self, spec: S, at: DataPath) -> Iterator[Volume]:
        """What it keeps on volumes of the cluster."""
        return iter(())

    def taints(self, spec: S, machine: Machine) -> Sequence[str]:
        """The taints that it gives a host's node."""
        return ()

    def time_slices(self, spec: S) -> int:
        """How many pods may use one GPU by turns, where it installs what offers GPUs to them."""
        return 1

    def host_checks(self, spec: S, machine: Machine, site: Site) -> str:
        """Shell that looks whether a host has what the part needs, as a piece of the gate that runs before anything is
        changed. For each thing that is missing it calls ``lack WHAT WHAT_TO_DO``; it leaves nothing behind."""
        return ""

    def proof(self, spec: S, machine: Machine) -> Proof | None:
        """How an unmarked host shows that what runs on it is this site's."""
        return None

    def places(self, spec: S, machine: Machine) -> str:
        """Shell that finds where else a host is reached, as a piece of a script that changes nothing. For each name or
        address, the best first, it calls ``reached_at ADDRESS``."""
        return ""

    def scrapes(self, spec: S) -> Sequence[Scrape]:
        """Metrics that it offers."""
        return ()

    def alert_groups(self, spec: S, site: Site) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """By the name of its group, rules for a store like Prometheus. A group that several sites have is the same."""
        return {}

    def scraper(self, spec: S) -> Scraper | None:
        """Who reads metrics, where this is the part that does."""
        return None

    def demands(self, spec: S, site: Site) -> Mapping[str, Demand]:
        """By host, what it takes of each that it may run on."""
        return {}

    @property
    def name(self) -> str:
        """Its folder's name, by which `--allow-destroy` knows it."""
        return self.module.split(".")[-2]

    def consequences(self, before: Applied, pairs: Sequence[Pair], spec: S | None, site: Site) -> Iterator[Consequence]:
        """What an edit does to what was applied of it. ``spec`` is None where the site no longer asks for it.

        A part that does not say is one whose removal destroys what nobody knows.
        """
        if spec is None and before.of_component(self.component):
            removal = self.removal or Removal(
                UNKNOWN_REMOVAL, f"{self.name} is removed, and nothing is known of what goes with it."
            )
            yield removal.edit.found(self.name, removal.reason, removal.way or f"`--allow-destroy {self.name}`")

    def load(self) -> Any:
        """Its component's module."""
        return importlib.import_module(self.module)
