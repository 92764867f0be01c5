"""Rules between the fields of one site. What a field may say alone is in the specs; addresses are in ``address_rules``.

Pure: a site and the catalogue in, findings out. A host whose hardware is unknown is judged no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.gitops.plan import site_variables
from components.gitops.spec import FluxSpec
from components.host.spec import HardwareProfile, HostSpec, OsSpec
from components.inference.placement import HostAccelerator, HostCapacity, Refused, place
from components.inference.spec import ImageRepository
from components.k3s.plan import version_of
from components.k3s.spec import EmbeddedDatastore, K3sSpec
from components.mesh.spec import TailscaleSpec
from components.registration.outposts.spec import InstanceCompute, OutpostsSpec
from components.registration.spec import ArcSpec
from stacks import address_rules
from stacks.catalogue import Catalogue, catalogue
from stacks.economics import SCENARIOS
from stacks.problems import DataPath, Finding, any_of, near_miss
from stacks.site import SiteSpec

__all__ = ["Finding", "capacities", "findings"]

AGENT_MEMORY_MIB = 512
"""RAM below which not even an agent runs (an agent alone takes 268-275 MB)."""

SERVER_MEMORY_MIB = 1638
"""RAM below which a K3s server with workload does not run (about 1.6 GB)."""

CLEVIS_MEMORY_MIB = 4096
"""RAM that Fedora CoreOS needs to unlock its disk by TPM."""

IMAGE_VOLUMES_MINOR = 35
"""Kubernetes 1.x from which on a pod can mount an image as a volume."""

LONGEST_NAME = 63


def findings(spec: SiteSpec, data: Catalogue | None = None) -> Iterator[Finding]:
    """Everything that is wrong between the fields of ``spec``."""
    data = data or catalogue()
    known = {host.name: data.hardware[host.hardware] for host in spec.hosts if host.hardware in data.hardware}
    yield from _latency(spec, data)
    yield from _hosts(spec, data)
    yield from _ways(spec)
    for index, host in enumerate(spec.hosts):
        if host.name in known:
            yield from _machine(spec, index, host, known[host.name])
    yield from _cluster(spec)
    if spec.k3s is not None:
        yield from _servers(spec, spec.k3s)
        yield from _releases(spec, spec.k3s, known)
    yield from _mesh(spec, known)
    yield from address_rules.findings(spec)
    if len(known) == len(spec.hosts):
        yield from _inference(spec, data)
    yield from _economics(spec)
    yield from _labels(spec)


def capacities(hosts: tuple[HostSpec, ...], data: Catalogue) -> list[HostCapacity]:
    """What each host offers to models."""
    return [
        HostCapacity(
            name=host.name,
            arch=(hardware := data.hardware[host.hardware]).arch,
            cores=hardware.cores,
            memory_mib=hardware.memory_mib,
            accelerators=tuple(
                HostAccelerator(name, found.kind, found.tops_int8, found.watts, found.memory_mib)
                for name, found in data.accelerators_of(host).items()
            ),
            sustained_watts=hardware.envelope.sustained_watts,
            base_watts=hardware.envelope.base_watts,
        )
        for host in hosts
    ]


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


def _hosts(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    names: dict[str, int] = {}
    keys: dict[str, str] = {}
    for index, host in enumerate(spec.hosts):
        if host.name in names:
            yield Finding(
                ("hosts", index, "name"),
                f"the name `{host.name}` is taken: hosts[{names[host.name]}] has it",
                "a name of its own for each host",
                "give one of the two another name",
            )
        names.setdefault(host.name, index)
        if len(spec.node(host)) > LONGEST_NAME:
            yield Finding(
                ("hosts", index, "name"),
                f"`{spec.node(host)}`, its host name, has {len(spec.node(host))} characters",
                f"at most {LONGEST_NAME} characters for site, hyphen and host together",
                "shorten the name of the host or of the site",
            )
        if host.host_key in keys:
            yield Finding(
                ("hosts", index, "host_key"),
                f"`{keys[host.host_key]}` has the same host key",
                "a key of its own for each machine: it is what tells them apart",
                "read it again with `ssh-keyscan`; machines made from one image need new keys",
            )
        keys.setdefault(host.host_key, host.name)
        if host.hardware not in data.hardware:
            yield _unknown(("hosts", index, "hardware"), "hardware profile", host.hardware, data.hardware)
        for at, name in enumerate(host.accelerators):
            if name not in data.accelerators:
                yield _unknown(("hosts", index, "accelerators", at), "accelerator", name, data.accelerators)


def _unknown(path: DataPath, what: str, name: str, known: Mapping[str, object]) -> Finding:
    near = near_miss(name, known)
    return Finding(
        path,
        f"there is no {what} `{name}`" + (f": did you mean `{near}`?" if near else ""),
        any_of(sorted(known)),
        f"write `{near}`" if near else "choose one of these, or describe it in stacks/profiles",
    )


def _ways(spec: SiteSpec) -> Iterator[Finding]:
    """Hosts behind other hosts: each way must end at a host that is reached directly."""
    by_name = {host.name: host for host in spec.hosts}
    for index, host in enumerate(spec.hosts):
        if host.via is None:
            continue
        path = ("hosts", index, "via")
        if host.via not in by_name:
            near = near_miss(host.via, by_name)
            meant = f": did you mean `{near}`?" if near else ""
            others = [name for name in by_name if name != host.name]
            yield Finding(path, f"there is no host `{host.via}`{meant}", any_of(others), "name a host of this site")
            continue
        passed = [host.name]
        while (via := by_name[passed[-1]].via) in by_name and via not in passed:
            passed.append(via)
        if via == host.name:
            yield Finding(
                path,
                f"the way to `{host.name}` leads in a circle: {' -> '.join([*passed, host.name])}",
                "a way that begins at a host without `via`",
                "remove `via` from the host that is reached directly",
            )


def _machine(spec: SiteSpec, index: int, host: HostSpec, hardware: HardwareProfile) -> Iterator[Finding]:
    os = host.os or spec.os
    at: DataPath = ("hosts", index, "os") if host.os else ("os",)
    for path, what, expected, remedy in _os(at, os, host, hardware):
        yield Finding(path, f"{what} (`{host.name}`)", expected, remedy)
    minimum = SERVER_MEMORY_MIB if host.role == "server" else AGENT_MEMORY_MIB
    if spec.k3s is not None and hardware.memory_mib < minimum:
        yield Finding(
            ("hosts", index, "role") if "role" in host.model_fields_set else ("hosts", index),
            f"`{host.name}` has {hardware.memory_mib} MiB of RAM, too little for a K3s {host.role}",
            f"at least {minimum} MiB for a K3s {host.role}",
            "write `role: agent`" if hardware.memory_mib >= AGENT_MEMORY_MIB else "use a machine with more memory",
        )


def _os(at: DataPath, os: OsSpec, host: HostSpec, hardware: HardwareProfile) -> Iterator[Finding]:
    is_jetson = any(name.startswith("nvidia-jetson") for name in hardware.accelerators)
    if os.secure_boot and os.distribution == "flatcar":
        yield Finding(
            (*at, "secure_boot"),
            "Flatcar cannot boot with Secure Boot: its images are unsigned",
            "a signed system, or no Secure Boot",
            "write `distribution: fedora-coreos`, or `secure_boot: false`",
        )
    if os.secure_boot and not hardware.secure_boot:
        yield Finding(
            (*at, "secure_boot"),
            f"{host.hardware} has no Secure Boot",
            "hardware whose firmware enforces it",
            "write `secure_boot: false` for this host, or use other hardware",
        )
    if os.disk == "luks-tpm2" and not hardware.tpm:
        yield Finding(
            (*at, "disk"),
            f"{host.hardware} has no TPM that could unlock an encrypted disk",
            "a TPM 2.0 for `disk: luks-tpm2`",
            "write `os: {disk: none}` for this host, or use other hardware",
        )
    if os.disk == "luks-tpm2" and os.distribution == "fedora-coreos" and hardware.memory_mib < CLEVIS_MEMORY_MIB:
        yield Finding(
            (*at, "disk"),
            f"Fedora CoreOS cannot unlock a disk by TPM with {hardware.memory_mib} MiB of RAM",
            f"at least {CLEVIS_MEMORY_MIB} MiB",
            "use another distribution on this host, or `disk: none`",
        )
    if is_jetson != (os.distribution == "jetson-linux"):
        yield Finding(
            (*at, "distribution"),
            f"{os.distribution} does not run on {host.hardware}",
            "jetson-linux on a Jetson, and there only",
            f"write `distribution: {'jetson-linux' if is_jetson else 'flatcar'}` for this host",
        )


def _cluster(spec: SiteSpec) -> Iterator[Finding]:
    """Who brings the machines and Kubernetes: the site, or the cloud."""
    compute = spec.registration.compute if isinstance(spec.registration, OutpostsSpec) else None
    cloud = compute is not None and not isinstance(compute, InstanceCompute)
    if cloud:
        for key, written in (("hosts", bool(spec.hosts)), ("k3s", spec.k3s is not None)):
            if written:
                what = f"`{key}` beside an EKS local cluster, which brings its own"
                yield Finding((key,), what, f"a site without `{key}`", f"remove `{key}`, or use `compute: instance`")
        return
    if not spec.hosts:
        yield Finding(("hosts",), "the site has no host", "at least one host", "list the machines below `hosts`")
    if isinstance(compute, InstanceCompute) and compute.host not in {host.name for host in spec.hosts}:
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
                path,
                f"k3s.airgap_images has no SHA-256 of {version} for {arch}",
                "a checksum of the images for each release and architecture that is installed",
                f"add that of k3s-airgap-images-{arch}.tar.zst to `k3s.airgap_images`",
            )
    oldest = min((_minor(version_of(k3s, host)) for host in spec.servers), default=None)
    for index, host in enumerate(spec.hosts):
        if oldest is not None and host.role == "agent" and _minor(version_of(k3s, host)) > oldest:
            yield Finding(
                ("hosts", index, "k3s_version") if host.k3s_version else ("k3s", "version"),
                f"the agent `{host.name}` would be newer than a server (1.{oldest})",
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
    placed = place(triton.contracts, capacities(spec.hosts, data), device=triton.device, replicas=triton.replicas)
    if isinstance(placed, Refused):
        yield Finding(
            ("inference", "triton", "models"),
            f"no host can run the models: {'; '.join(str(refusal) for refusal in placed.refusals)}",
            "a host with accelerator, memory, power and cooling for all of them",
            "add an accelerator to a host, use fewer or smaller models, or write `device: cpu`",
        )
    elif placed.platform not in triton.images:
        yield Finding(
            ("inference", "triton", "images"),
            f"no `{placed.platform}` image, which the hosts that fit need",
            f"an image for each of {any_of((placed.platform,))}",
            f"add `{placed.platform}:` with digest",
        )
    if isinstance(triton.repository, ImageRepository) and spec.k3s and _minor(spec.k3s.version) < IMAGE_VOLUMES_MINOR:
        yield Finding(
            ("inference", "triton", "repository"),
            f"models in an image need image volumes, which {spec.k3s.version} has not",
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
