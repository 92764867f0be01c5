"""A site as its parts see it, and what parts tell of themselves as plain values. Names no part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from components.egress import Egress
from components.host.machine import Machine
from sitefile.problems import DataPath


@dataclass(frozen=True)
class SecretNeed:
    """One secret that a stack must hold: its key in the configuration, and what it is for. Never its value."""

    key: str
    why: str
    generated: bool = False
    """Nobody needs to know its value, so that `edge secrets --generate` may make it."""
    own: bool = False
    """Of this site alone. With another site's value it would join that site's cluster, or be taken for its host."""


@dataclass(frozen=True)
class Precondition:
    """What a cloud must have before a site comes up, that no resource of the site is."""

    name: str
    why: str
    remedy: str
    command: tuple[str, ...] = ()
    """A command that reads it, and changes nothing; empty where no command tells."""
    wanted: str = ""
    """What the command prints then."""


@dataclass(frozen=True)
class Network:
    """A network that a part uses or makes reachable."""

    path: DataPath
    """Where the site file has it."""
    cidr: str
    role: str
    """What it is, for messages: `network of the pods`."""
    of_cluster: bool = False
    """Made by the cluster, so that nothing else at the site may be in it."""
    default: bool = False
    """Comes from the defaults. If it overlaps with one of the site file, the error is shown at the latter."""
    fixed: str = ""
    """For a network that cannot be changed: what it is, for messages."""
    mesh: MeshDomain | None = None
    """The mesh that routes it, where one does."""


@dataclass(frozen=True)
class MeshDomain:
    """A mesh, as far as a site file tells: two networks in one must not overlap."""

    server: str
    """What coordinates it; empty for the publisher's own service."""
    tenant: str | None = None
    """Which of the server's meshes; None where the site file does not say."""

    def may_be(self, other: MeshDomain) -> bool:
        """Whether both may be the same mesh. They are certainly different only if their names differ."""
        tenants = {self.tenant, other.tenant} - {None}
        return self.server == other.server and len(tenants) < 2


@dataclass(frozen=True)
class Download:
    """Something that a site fetches."""

    path: DataPath
    """Where the site file says from where."""
    what: str
    """What it is, for messages: `Flux' images`."""
    host: str
    """The server: of a URL, or the registry of an image."""
    remedy: str
    """How it is fetched from a server of the site's own."""
    of_cluster: bool = False
    """An image that containerd pulls, for which `k3s.registries` may name a mirror."""

    @classmethod
    def of_image(cls, path: DataPath, what: str, image: str) -> Download:
        """An image, by its reference."""
        registry = image.partition("/")[0]
        remedy = f"add `{registry}` (or `*`) to `k3s.registries`, or name an image of your own registry"
        return cls(path, what, registry, remedy, of_cluster=True)


@dataclass(frozen=True)
class Software:
    """Something that a part brings to a site other than as an image or a chart, which are seen in its resources."""

    name: str
    version: str
    sha256: str = ""
    """Of the file that is fetched; empty where none is pinned."""
    kind: Literal["application", "machine-learning-model"] = "application"
    hosts: tuple[str, ...] = ()
    """Where it runs; empty for the cluster as a whole."""
    arch: str = ""
    source: str = ""
    """From where it is fetched."""
    packages: tuple[str, ...] = ()
    """Package URLs without version, as lists of vulnerabilities name it and what it is made of:
    `pkg:golang/k8s.io/kubernetes`. The first one is its own."""


@dataclass(frozen=True)
class Scrape:
    """Metrics that a part offers, in Prometheus' format, on each of its pods."""

    job: str
    namespace: str
    port: int
    interval_s: int
    keep: str
    """Regular expression: names of the metrics that are sent over the uplink."""


@dataclass(frozen=True)
class Volume:
    """A volume of the cluster that a part asks for."""

    path: DataPath
    """The field that names its class."""
    storage_class: str


@dataclass(frozen=True)
class Scraper:
    """Who reads metrics: the pods of a namespace, and the identity that finds what to read."""

    namespace: str
    service_account: str


@dataclass(frozen=True)
class Demand:
    """What a part takes of one host that it may run on."""

    memory_mib: float = 0
    cores: float = 0
    watts: float = 0
    accelerators: int = 0
    accelerator_memory_mib: float = 0
    """Memory of one accelerator, which others share by turns."""
    tops_int8: float = 0
    """Throughput of it."""

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            self.memory_mib + other.memory_mib,
            self.cores + other.cores,
            self.watts + other.watts,
            self.accelerators + other.accelerators,
            self.accelerator_memory_mib + other.accelerator_memory_mib,
            self.tops_int8 + other.tops_int8,
        )


@dataclass(frozen=True)
class Site:
    """A site as its parts see it. Names no part."""

    name: str
    tier: str
    region: str
    labels: Mapping[str, str] = field(default_factory=dict)
    machines: tuple[Machine, ...] = ()
    """In the order of the file."""
    egress: Egress = field(default_factory=Egress)
    """How it goes out."""
    prefers_ipv6: bool = False
    """Whether nodes and pods are known by IPv6 addresses."""
    kubernetes: Mapping[str, str] = field(default_factory=dict)
    """By host, the Kubernetes release that it runs; empty where a cloud brings the cluster."""
    exempt_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods do not meet the restricted Pod Security Standard, of all parts."""
    scrapes: tuple[Scrape, ...] = ()
    """Metrics of all parts."""
    scraper: Scraper | None = None
    """The part that reads them; None where no part does."""
    volumes: tuple[Volume, ...] = ()
    """Of all parts."""
    taints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By host, those of its node."""
    time_slices: int = 1
    """How many servers may use one GPU by turns."""
    taken: Mapping[str, Demand] = field(default_factory=dict)
    """By host, what the parts before this one take of it."""

    @property
    def node_labels(self) -> dict[str, str]:
        """Labels of all nodes, beside those of the part that makes them."""
        return {"edge.site": self.name, "edge.tier": self.tier, "edge.region": self.region, **self.labels}

    @property
    def servers(self) -> tuple[Machine, ...]:
        """The control plane; the first one starts the cluster."""
        return tuple(machine for machine in self.machines if machine.is_server)


@dataclass(frozen=True)
class Proof:
    """How a host that carries no mark yet, from a release before hosts were marked, shows that it is this site's."""

    secret: str
    """Key of the stack's configuration: what only this site and its hosts know."""
    script: str
    """Shell that compares what it finds with the variable ``proof``, the secret, and calls ``foreign_to_site WHAT``
    where it is another's. It changes nothing, and says nothing where there is nothing to compare."""
