"""The parts of a site, in the order in which they come up; and everything that is asked of all of them.

Another part is one line here, and one in the union that its block of the site file is chosen from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel

from components.addresses import each, families
from components.gitops.flux.part import PART as FLUX
from components.gitops.spec import NoGitOps
from components.host import login
from components.host.machine import UNKNOWN, Machine
from components.host.spec import BastionSpec, HostSpec, OsSpec, SshSpec
from components.inference.ollama.part import PART as OLLAMA
from components.inference.spec import InferenceSpec
from components.inference.triton.part import PART as TRITON
from components.k3s.part import PART as K3S
from components.mesh.spec import NoMesh
from components.mesh.tailscale.part import PART as TAILSCALE
from components.network.part import PART as NETWORK
from components.network.plan import egress_of
from components.part import Part, Phase
from components.place.outposts.part import PART as OUTPOSTS
from components.place.spec import OnPremises
from components.registration.arc.part import PART as ARC
from components.registration.rancher.part import PART as RANCHER
from components.specs import Spec
from components.telemetry.part import PART as TELEMETRY
from components.view import Demand, Download, Network, Precondition, Proof, SecretNeed, Site, Software
from components.waiver import WaiverSpec
from sitefile.problems import DataPath, Finding
from stacks.catalogue import Catalogue
from stacks.economics import EconomicsSpec
from stacks.site import SiteSpec, UplinkSpec

PARTS: tuple[Part[Any], ...] = (OUTPOSTS, NETWORK, TAILSCALE, K3S, ARC, RANCHER, FLUX, TELEMETRY, TRITON, OLLAMA)

_NOT_PARTS = (
    HostSpec,
    OsSpec,
    SshSpec,
    BastionSpec,
    OnPremises,
    NoMesh,
    NoGitOps,
    InferenceSpec,
    UplinkSpec,
    EconomicsSpec,
    WaiverSpec,
)
"""Blocks of a site file that no part builds: the hosts themselves, what describes the site, and "none"."""

_BY_SPEC = {part.spec: part for part in PARTS}

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Entry:
    """A part that a site asks for: its block, and where that stands in the site file."""

    part: Part[Any]
    spec: Any
    at: DataPath


def entries(site: SiteSpec) -> tuple[Entry, ...]:
    """The parts of ``site``, in the order in which they come up."""
    found = [Entry(_BY_SPEC[type(block)], block, at) for at, block in _blocks(site, ()) if type(block) in _BY_SPEC]
    return tuple(sorted(found, key=lambda entry: (entry.part.phase, PARTS.index(entry.part))))


def block_of(site: SiteSpec, kind: type[S]) -> S | None:
    """The block of a site that is of one kind, for what concerns that part across sites."""
    return next((entry.spec for entry in entries(site) if isinstance(entry.spec, kind)), None)


def required(site: SiteSpec) -> tuple[SecretNeed, ...]:
    """The secrets of a site, in the order in which its parts come up. Names only, never a value."""
    logins = login.secrets(site.ssh_of(host) for host in site.hosts)
    own = [SecretNeed(key, why) for key, why in logins.items()]
    return (*own, *(need for entry in entries(site) for need in entry.part.secrets(entry.spec)))


def has_unmanaged_cluster(site: SiteSpec) -> bool:
    """Whether the site has a cluster that no fleet manager knows."""
    chosen = entries(site)
    has_cluster = any(one.part.phase is Phase.CLUSTER or one.part.own_cluster(one.spec) for one in chosen)
    return has_cluster and not any(one.part.manages_fleet for one in chosen)


def fleet_managers() -> tuple[str, ...]:
    """The kinds of registration with a fleet manager."""
    return tuple(get_args(part.spec.model_fields["kind"].annotation)[0] for part in PARTS if part.manages_fleet)


def view(site: SiteSpec, catalogue: Catalogue) -> Site:
    """``site`` as its parts see it, without what they take of its hosts (``views``)."""
    chosen = entries(site)
    machines = tuple(machine_of(site, index, catalogue) for index in range(len(site.hosts)))
    kubernetes = {
        machine.name: release
        for machine in machines
        for entry in chosen
        if (release := entry.part.kubernetes(entry.spec, machine))
    }
    return Site(
        name=site.site,
        tier=site.tier,
        region=site.region,
        labels=site.labels,
        machines=machines,
        egress=egress_of(site.network, _near(site)),
        prefers_ipv6=next((families(one.cidr) == (6,) for one in networks(site) if one.of_cluster), False),
        kubernetes=kubernetes,
        exempt_namespaces=tuple(name for entry in chosen for name in entry.part.exempt_namespaces(entry.spec)),
        volumes=tuple(volume for entry in chosen for volume in entry.part.volumes(entry.spec, entry.at)),
        taints={
            machine.name: tuple(taint for entry in chosen for taint in entry.part.taints(entry.spec, machine))
            for machine in machines
        },
        scrapes=tuple(scrape for entry in chosen for scrape in entry.part.scrapes(entry.spec)),
        time_slices=max((entry.part.time_slices(entry.spec) for entry in chosen), default=1),
        scraper=next((found for entry in chosen if (found := entry.part.scraper(entry.spec))), None),
    )


def views(site: SiteSpec, catalogue: Catalogue) -> Iterator[tuple[Entry, Site]]:
    """Each part with the site as it sees it: hosts have left what the parts before it do not take."""
    seen = view(site, catalogue)
    for entry in entries(site):
        yield entry, seen
        taken = dict(seen.taken)
        for host, demand in entry.part.demands(entry.spec, seen).items():
            taken[host] = taken.get(host, Demand()) + demand
        seen = dataclasses.replace(seen, taken=taken)


def demands(site: SiteSpec, catalogue: Catalogue) -> Mapping[str, Demand]:
    """By host, what all parts together may take of it."""
    taken: dict[str, Demand] = {}
    for entry, seen in views(site, catalogue):
        for host, demand in entry.part.demands(entry.spec, seen).items():
            taken[host] = taken.get(host, Demand()) + demand
    return taken


def machine_of(site: SiteSpec, index: int, catalogue: Catalogue) -> Machine:
    """A host with what its hardware profile adds; not ``known`` where there is no such profile or accelerator."""
    host = site.hosts[index]
    try:
        hardware, accelerators = catalogue.hardware[host.hardware], catalogue.accelerators_of(host)
    except KeyError:
        hardware, accelerators = UNKNOWN, {}
    return Machine(
        index,
        site.node(host),
        host,
        site.os_of(host),
        hardware,
        accelerators,
        interface=host.interface or (site.network.interface if site.network else None),
        jump_node=next((site.node(other) for other in site.hosts if other.name == host.via), None),
        part_of_window=site.reboots.get(host.name),
        ssh=site.ssh_of(host),
        bastion=site.bastion_of(host),
    )


def host_checks(site: SiteSpec, catalogue: Catalogue) -> Mapping[str, Sequence[str]]:
    """By host, what its parts look for before anything is changed on it."""
    found: dict[str, list[str]] = {host.name: [] for host in site.hosts}
    for entry, seen in views(site, catalogue):
        for machine in seen.machines:
            if check := entry.part.host_checks(entry.spec, machine, seen):
                found[machine.name].append(check)
    return found


def proofs(site: SiteSpec, seen: Site) -> Mapping[str, Sequence[Proof]]:
    """By host, how what runs on it shows that it is this site's."""
    return {
        machine.name: [proof for entry in entries(site) if (proof := entry.part.proof(entry.spec, machine))]
        for machine in seen.machines
    }


def places(site: SiteSpec, machine: Machine) -> list[str]:
    """How its parts find where else a host is reached."""
    return [found for entry in entries(site) if (found := entry.part.places(entry.spec, machine))]


def networks(site: SiteSpec) -> Iterator[Network]:
    """Networks that the site uses."""
    for entry in entries(site):
        yield from entry.part.networks(entry.spec, entry.at)


def _near(site: SiteSpec) -> Iterator[str]:
    """Names, addresses and networks that are part of the site itself."""
    for host in site.hosts:
        yield from (*each(host.node_ip or host.address), host.address)
    for entry in entries(site):
        yield from entry.part.near(entry.spec)
    yield from (network.cidr for network in networks(site))


def downloads(site: SiteSpec) -> Iterator[Download]:
    """What the site fetches."""
    for entry in entries(site):
        yield from entry.part.downloads(entry.spec, entry.at)


def preconditions(site: SiteSpec) -> Iterator[Precondition]:
    """What clouds must have before the site comes up."""
    for entry in entries(site):
        yield from entry.part.preconditions(entry.spec)


def software(site: SiteSpec, catalogue: Catalogue) -> Iterator[Software]:
    """What the parts bring to the site, beside the images and charts of its resources."""
    for entry, seen in views(site, catalogue):
        yield from entry.part.software(entry.spec, seen)


def findings(site: SiteSpec, catalogue: Catalogue) -> Iterator[Finding]:
    """What the parts find wrong between their blocks and the rest of the site."""
    for entry, seen in views(site, catalogue):
        yield from entry.part.rules(entry.spec, entry.at, seen)


def outputs(site: SiteSpec, catalogue: Catalogue) -> Mapping[str, Any]:
    """What the parts tell by the outputs of the site's stack."""
    seen = view(site, catalogue)
    return {key: value for entry in entries(site) for key, value in entry.part.outputs(entry.spec, seen).items()}


def _blocks(value: Any, at: DataPath) -> Iterator[tuple[DataPath, Spec]]:
    """Blocks that a part may build: fields of the site, entries of its lists, and blocks of a group of parts."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _blocks(item, (*at, index))
    elif isinstance(value, Spec):
        if at:
            yield at, value
        if type(value) not in _BY_SPEC:
            for name in type(value).model_fields:
                yield from _blocks(getattr(value, name), (*at, name))


def _reachable(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _reachable(argument)


def _without_part(model: type[BaseModel], built: Collection[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        # A union with a discriminator is an annotation of its own; pydantic keeps it in the field.
        for block in _reachable(field.annotation):
            if block not in built and block not in _NOT_PARTS:
                yield block
            elif block is InferenceSpec:
                yield from _without_part(block, built)


def check_complete(model: type[BaseModel], among: Sequence[Part[Any]]) -> None:
    """Raise ImportError where a site file can ask for a block that no part ``among`` these builds."""
    if left_over := [block.__name__ for block in _without_part(model, {part.spec for part in among})]:
        raise ImportError(f"a site file can ask for {', '.join(left_over)}, and no part in stacks/parts.py builds it")


# A block without a part would be accepted, called "all good", and install nothing.
check_complete(SiteSpec, PARTS)
