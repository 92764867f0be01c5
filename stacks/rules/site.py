"""Rules between the fields of one site. What a field may say alone is in the specs; what the machines may be is in
``host_rules``, addresses are in ``address_rules``.

Pure: a site and the catalogue in, findings out. A host whose hardware is unknown is judged no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.gitops.flux.plan import site_variables
from components.gitops.flux.spec import FluxSpec
from components.host.spec import HardwareProfile
from components.inference.placement import Refused, place
from components.inference.triton.spec import ImageRepository
from components.k3s.plan import version_of
from components.k3s.spec import EmbeddedDatastore, K3sSpec
from components.mesh.tailscale.spec import TailscaleSpec
from components.place.outposts.spec import InstanceCompute, OutpostsSpec
from components.registration.spec import ArcSpec
from sitefile.problems import DataPath, Finding, any_of, near_miss
from stacks.catalogue import Catalogue, catalogue
from stacks.economics import SCENARIOS
from stacks.rules import addresses as address_rules
from stacks.rules import hosts as host_rules
from stacks.site import SiteSpec

__all__ = ["Finding", "findings"]

IMAGE_VOLUMES_MINOR = 35
"""Kubernetes 1.x from which on a pod can mount an image as a volume."""


def findings(spec: SiteSpec, data: Catalogue | None = None) -> Iterator[Finding]:
    """Everything that is wrong between the fields of ``spec``."""
    data = data or catalogue()
    known = {host.name: data.hardware[host.hardware] for host in spec.hosts if host.hardware in data.hardware}
    yield from _latency(spec, data)
    yield from host_rules.findings(spec, data, known)
    yield from _cluster(spec)
    if spec.k3s is not None:
        yield from _servers(spec, spec.k3s)
        yield from _releases(spec, spec.k3s, known)
        yield from _agents_ahead(spec, spec.k3s)
    yield from _mesh(spec, known)
    yield from address_rules.findings(spec)
    if spec.hosts and len(known) == len(spec.hosts):
        yield from _inference(spec, data)
    yield from _economics(spec)
    yield from _labels(spec)


def _latency(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    if spec.latency_ms is None or spec.tier not in data.tiers:
        return
    bounds = data.tiers[spec.tier].latency_ms
    if bounds.min <= spec.latency_ms < bounds.max:
        return
    fitting = [
        name for name, tier in data.tiers.items() if tier.latency_ms.min <= spec.latency_ms < tier.latency_ms.max
    ]
    yield Finding(
        ("latency_ms",),
        f"{spec.latency_ms:g} ms is not what makes the tier `{spec.tier}`",
        f"from {bounds.min:g} to below {bounds.max:g} ms",
        f"measure again, or write `tier: {fitting[0]}`" if fitting else "measure again: no tier is that far away",
    )


def _cluster(spec: SiteSpec) -> Iterator[Finding]:
    """Who brings the machines and Kubernetes: the site, or the cloud."""
    compute = spec.registration.compute if isinstance(spec.registration, OutpostsSpec) else None
    cloud = compute is not None and not isinstance(compute, InstanceCompute)
    if cloud:
        yield from _beside_eks(spec)
        return
    if not spec.hosts:
        yield Finding(("hosts",), "the site has no host", "at least one host", "list the machines below `hosts`")
    elif isinstance(compute, InstanceCompute) and compute.host not in {host.name for host in spec.hosts}:
        near = near_miss(compute.host, [host.name for host in spec.hosts])
        yield Finding(
            ("registration", "compute", "host"),
            f"there is no host `{compute.host}`" + (f": did you mean `{near}`?" if near else ""),
            "the name of the host that the instance is",
            "describe the instance below `hosts` as well",
        )
    if spec.k3s is None:
        parts = {
            "gitops": isinstance(spec.gitops, FluxSpec),
            "telemetry": spec.telemetry is not None,
            "inference": spec.inference is not None,
            "registration": isinstance(spec.registration, ArcSpec),
        }
        for key in (key for key, wanted in parts.items() if wanted):
            yield Finding((key,), f"`{key}` has no cluster to run in", "a site with `k3s`", "add `k3s: {}`")


def _beside_eks(spec: SiteSpec) -> Iterator[Finding]:
    brought = {"hosts": bool(spec.hosts), "k3s": spec.k3s is not None}
    for key in (key for key, written in brought.items() if written):
        what = f"`{key}` beside an EKS local cluster, which brings its own"
        yield Finding((key,), what, f"a site without `{key}`", f"remove `{key}`, or use `compute: {{kind: instance}}`")
    # They would be set up for each host of the site, that is, not at all.
    on_hosts = {
        "mesh": isinstance(spec.mesh, TailscaleSpec),
        "telemetry": spec.telemetry is not None,
        "inference": spec.inference is not None,
    }
    for key in (key for key, written in on_hosts.items() if written and not spec.hosts):
        yield Finding(
            (key,),
            f"`{key}` works host by host, and the nodes of an EKS local cluster are not hosts of the site",
            f"a site without `{key}`",
            f"remove `{key}` and let GitOps bring its like, or use `compute: {{kind: instance}}`",
        )


def _servers(spec: SiteSpec, k3s: K3sSpec) -> Iterator[Finding]:
    servers = spec.servers
    if spec.hosts and not servers:
        yield Finding(("hosts",), "no host is a server", "one server, or three", "write `role: server` for one host")
    if isinstance(k3s.datastore, EmbeddedDatastore) and servers and len(servers) % 2 == 0:
        yield Finding(
            ("hosts",),
            f"{len(servers)} servers with embedded etcd: losing one loses the majority as surely as with one less",
            "an odd number of servers (1, 3, 5), or an external datastore",
            "make one an agent or add one, or write `datastore: {kind: external, engine: postgresql}` below `k3s`",
        )
    if len(servers) > 1 and k3s.api_address is None:
        yield Finding(
            ("k3s", "api_address"),
            f"{len(servers)} servers need an address of the API that outlives any one of them",
            "a virtual IP, a load balancer, or a name with several records",
            "add `api_address` below `k3s`",
        )


def _releases(spec: SiteSpec, k3s: K3sSpec, known: Mapping[str, HardwareProfile]) -> Iterator[Finding]:
    """Each host's release has checksums for its architecture, and no agent is ahead of the servers."""
    asked: dict[tuple[str, str], DataPath] = {}
    for index, host in enumerate(spec.hosts):
        path: DataPath = ("hosts", index, "k3s_version") if host.k3s_version else ("k3s", "version")
        if host.name in known:
            asked.setdefault((version_of(k3s, host), known[host.name].arch), path)
    for (version, arch), path in asked.items():
        suffix = "" if arch == "amd64" else f"-{arch}"
        if arch not in k3s.releases.get(version, {}):
            yield Finding(
                path,
                f"k3s.releases has no SHA-256 of {version} for {arch}",
                "a checksum of each release and architecture that is installed",
                f"add that of `k3s{suffix}` from the release's sha256sum-{arch}.txt to `k3s.releases`",
            )
        if k3s.airgap_images and arch not in k3s.airgap_images.get(version, {}):
            yield Finding(
                path if path[0] == "hosts" else ("k3s", "airgap_images"),
                f"k3s.airgap_images has no SHA-256 of {version} for {arch}",
                "a checksum of the images for each release and architecture that is installed",
                f"add that of k3s-airgap-images-{arch}.tar.zst to `k3s.airgap_images`",
            )


def _agents_ahead(spec: SiteSpec, k3s: K3sSpec) -> Iterator[Finding]:
    """No agent may be newer than a server; said where the odd one of the two versions is written."""
    oldest = min(spec.servers, key=lambda host: _minor(version_of(k3s, host)), default=None)
    if oldest is None:
        return
    minor = _minor(version_of(k3s, oldest))
    ahead: dict[DataPath, list[str]] = {}
    for index, host in enumerate(spec.hosts):
        if host.role == "agent" and _minor(version_of(k3s, host)) > minor:
            odd = index if host.k3s_version else spec.hosts.index(oldest)
            ahead.setdefault(("hosts", odd, "k3s_version"), []).append(f"`{host.name}`")
    for path, names in ahead.items():
        yield Finding(
            path,
            f"the agent{'s' if len(names) > 1 else ''} {', '.join(names)} would be newer than the server"
            f" `{oldest.name}` (1.{minor})",
            "agents of the servers' minor version or an older one",
            "upgrade the servers first",
        )


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _mesh(spec: SiteSpec, known: Mapping[str, HardwareProfile]) -> Iterator[Finding]:
    if not isinstance(spec.mesh, TailscaleSpec):
        return
    for arch in sorted({hardware.arch for hardware in known.values()} - spec.mesh.sha256.keys()):
        yield Finding(
            ("mesh", "sha256"),
            f"no SHA-256 of tailscale_{spec.mesh.version}_{arch}.tgz, which hosts of this site need",
            "a checksum for each architecture of the site",
            f"add `{arch}:` with the one from {spec.mesh.mirror}",
        )


def _inference(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    if spec.inference is None or any(
        name not in data.accelerators for host in spec.hosts for name in host.accelerators
    ):
        return
    triton = spec.inference.triton
    offers = [data.capacity_of(host) for host in spec.hosts]
    placed = place(triton.contracts, offers, device=triton.device, replicas=triton.replicas)
    if isinstance(placed, Refused):
        needed, more = (
            "accelerator",
            "add an accelerator to a host, use fewer or smaller models, or write `device: cpu`",
        )
        if triton.device == "cpu":
            needed, more = "cores", "use fewer or smaller models, or a larger host"
        yield Finding(
            ("inference", "triton", "models"),
            f"no host can run the models: {'; '.join(str(refusal) for refusal in placed.refusals)}",
            f"a host with {needed}, memory, power and cooling for all of them",
            more,
        )
    elif placed.platform not in triton.images:
        yield Finding(
            ("inference", "triton", "images"),
            f"no `{placed.platform}` image, which the hosts that fit need",
            f"an image for `{placed.platform}`",
            f"add `{placed.platform}:` with digest",
        )
    if isinstance(triton.repository, ImageRepository) and spec.k3s:
        yield from _image_volumes(spec, spec.k3s)


def _image_volumes(spec: SiteSpec, k3s: K3sSpec) -> Iterator[Finding]:
    """A server may be placed on any host that fits, so each must be new enough."""
    versions: dict[str, DataPath] = {}
    for index, host in enumerate(spec.hosts):
        path: DataPath = ("hosts", index, "k3s_version") if host.k3s_version else ("k3s", "version")
        versions.setdefault(version_of(k3s, host), path)
    for version, path in versions.items():
        if _minor(version) < IMAGE_VOLUMES_MINOR:
            yield Finding(
                path,
                f"models in an image need image volumes, which {version} has not",
                f"Kubernetes 1.{IMAGE_VOLUMES_MINOR} or newer",
                "upgrade K3s, or keep the models in `kind: s3` or `kind: claim`",
            )


def _economics(spec: SiteSpec) -> Iterator[Finding]:
    if spec.economics is None or spec.economics.scenario is not None:
        return
    for key in ("cloud_usd_per_month", "edge_opex_usd_per_month"):
        if getattr(spec.economics, key) is None:
            yield Finding(
                ("economics", key),
                f"`{key}` is missing, and no scenario fills it in",
                "both monthly amounts, or a scenario",
                f"add `{key}:`, or `scenario:` with {any_of(SCENARIOS)}",
            )


def _labels(spec: SiteSpec) -> Iterator[Finding]:
    if not isinstance(spec.gitops, FluxSpec):
        return
    try:
        site_variables(site=spec.site, tier=spec.tier, region=spec.region, labels=spec.labels)
    except ValueError as error:
        yield Finding(("labels",), str(error), "labels whose variables differ", "rename one of them")
