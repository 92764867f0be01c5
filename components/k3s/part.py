"""K3s as a part of a site."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components import sysext, taints, urls
from components.addresses import each, parsed
from components.consequence import Consequence
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.host.machine import Machine
from components.k3s import arguments, snapshots, virtual_ip
from components.k3s.consequences import EDITS, ROLE, consequences
from components.k3s.plan import (
    airgap_file,
    api_url,
    binary_file,
    download_url,
    host_checks,
    images_of,
    logins,
    proof,
    taints_of,
    takes_runtime,
    version_of,
)
from components.k3s.spec import EmbeddedDatastore, ExternalDatastore, K3sSpec, RegistryMirror, host_of
from components.part import Astray, Building, Cluster, Part, Phase
from components.view import Download, Network, Proof, SecretNeed, Site, Software
from sitefile.problems import DataPath, Finding, dotted

AGENT_MEMORY_MIB = 512
"""RAM below which not even an agent runs (an agent alone takes 268-275 MB)."""

SERVER_MEMORY_MIB = 1638
"""RAM below which a K3s server with workload does not run (about 1.6 GB)."""


class K3sPart(Part[K3sSpec]):
    """One cluster on all hosts of a site."""

    spec = K3sSpec
    phase = Phase.CLUSTER
    module = "components.k3s.component"
    component = "K3s"
    told = {
        "kubernetes_endpoint": "URL of the cluster's API.",
        "k3s_version": "K3s release of the servers.",
    }
    edits = EDITS
    cleans = (ROLE,)
    per_host = True
    belongs_to = {"nvidia_runtime.sha256": "nvidia_runtime.version"}

    def build(self, spec: K3sSpec, building: Building) -> None:
        from components.k3s.component import K3s, K3sArgs

        site = building.site
        k3s = K3s(
            f"{site.name}-k3s",
            K3sArgs(
                spec=spec,
                site=site.name,
                hosts=[building.hosts[machine.name] for machine in site.machines],
                token=building.secret("k3s-token"),
                agent_token=building.secret("k3s-agent-token"),
                datastore_endpoint=building.secret("k3s-datastore-endpoint") if _is_external(spec) else None,
                labels=site.node_labels,
                consents=building.consents,
                psa_exempt=site.exempt_namespaces,
                egress=site.egress,
                registry_logins={name: building.secret(_registry_login(name)) for name in logins(spec)},
                snapshot_keys=building.secret(snapshots.KEYS) if snapshots.store(spec) else None,
                environment=building.egress.environment if building.egress else None,
            ),
            building.child(),
        )
        # Removing K3s from the hosts removes all objects in it, and none of them owns anything outside.
        building.cluster = Cluster(k3s.provider, k3s.joined, goes_with=k3s, held=k3s.held)

    def astray(self, spec: K3sSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def secrets(self, spec: K3sSpec) -> Sequence[SecretNeed]:
        needs = [
            SecretNeed("k3s-token", "servers join the cluster with it", generated=True, own=True),
            SecretNeed("k3s-agent-token", "agents join the cluster with it", generated=True, own=True),
        ]
        if _is_external(spec):
            needs.append(SecretNeed("k3s-datastore-endpoint", "connection string of the cluster's datastore", own=True))
        needs += [
            SecretNeed(_registry_login(name), "user:password, for the registries that images come from")
            for name in logins(spec)
        ]
        if snapshots.store(spec):
            needs.append(SecretNeed(snapshots.KEYS, "ACCESS_KEY_ID:SECRET_ACCESS_KEY, for the storage of snapshots"))
        return needs

    def kubernetes(self, spec: K3sSpec, machine: Machine) -> str | None:
        return version_of(spec, machine)

    def taints(self, spec: K3sSpec, machine: Machine) -> Sequence[str]:
        return taints_of(spec, machine) or ()

    def host_checks(self, spec: K3sSpec, machine: Machine, site: Site) -> str:
        return host_checks(spec, machine, site.servers)

    def proof(self, spec: K3sSpec, machine: Machine) -> Proof | None:
        return proof(machine)

    def outputs(self, spec: K3sSpec, site: Site) -> Mapping[str, Any]:
        return {"kubernetes_endpoint": api_url(spec, site.servers), "k3s_version": spec.version}

    def networks(self, spec: K3sSpec, at: DataPath) -> Iterator[Network]:
        for key, role in (("pod_cidr", "network of the pods"), ("service_cidr", "network of the services")):
            default = key not in spec.model_fields_set
            for cidr in each(getattr(spec, key)):
                yield Network((*at, key), cidr, role, of_cluster=True, default=default)

    def near(self, spec: K3sSpec) -> Sequence[str]:
        plain = [urls.parse(one) for mirror in spec.registries.values() for one in mirror.endpoints]
        return (*filter(None, [spec.api_address]), *(url.host for url in plain if url.scheme == "http"))

    def downloads(self, spec: K3sSpec, at: DataPath) -> Iterator[Download]:
        yield Download((*at, "mirror"), "K3s", urls.parse(spec.mirror).host, "name a `mirror` of your own")
        if spec.sysext:
            host = urls.parse(spec.sysext.mirror).host
            yield Download(
                (*at, "sysext", "mirror"), "K3s' images for systemd-sysext", host, "name a `mirror` of your own"
            )
        if not spec.airgap_images:
            remedy = "add `airgap_images:`, or a mirror of `docker.io` (or `*`) to `registries`"
            yield Download((*at, "airgap_images"), "K3s' own images", "docker.io", remedy, of_cluster=True)
        if spec.kube_vip:
            registry, remedy = spec.kube_vip.image.partition("/")[0], "add a mirror of it to `registries`"
            yield Download((*at, "kube_vip", "image"), "kube-vip's image", registry, remedy, of_cluster=True)

    def software(self, spec: K3sSpec, site: Site) -> Iterator[Software]:
        for machine in site.machines:
            version, arch = version_of(spec, machine), machine.arch
            images = images_of(spec, machine)
            # Where K3s comes as an image, the file is only what the image must hold.
            files = {} if any(image.name == "k3s" for image in images) else {"k3s": (spec.releases, binary_file(arch))}
            files["k3s-airgap-images"] = (spec.airgap_images, airgap_file(arch))
            packages = ("pkg:golang/github.com/k3s-io/k3s", "pkg:golang/k8s.io/kubernetes")
            for name, (sums, file) in files.items():
                if sha256 := sums.get(version, {}).get(arch):
                    yield Software(
                        name=name,
                        version=version,
                        sha256=sha256,
                        hosts=(machine.name,),
                        arch=arch,
                        source=download_url(spec, version, file),
                        packages=packages,
                    )
            for image in images:
                yield Software(
                    name=f"{image.name}-sysext",
                    version=image.version,
                    sha256=image.sha256,
                    hosts=(machine.name,),
                    arch=arch,
                    source=image.url,
                    packages=packages
                    if image.name == "k3s"
                    else ("pkg:golang/github.com/NVIDIA/nvidia-container-toolkit",),
                )
        if spec.kube_vip:
            # It is in a manifest on the servers, and in no resource of the stack.
            name, _, digest = spec.kube_vip.image.partition("@sha256:")
            yield Software(
                name="kube-vip",
                version=name.rpartition(":")[2],
                sha256=digest,
                hosts=tuple(server.name for server in site.servers),
                source=name,
                packages=("pkg:golang/github.com/kube-vip/kube-vip",),
            )

    def rules(self, spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        yield from _servers(spec, at, site)
        yield from _releases(spec, at, site)
        yield from _agents_ahead(spec, site)
        yield from _memory(site)
        yield from _pods(spec, at, site)
        yield from _datastore(spec, at)
        yield from _proxied_datastore(spec, at, site)
        yield from _disabled(spec, at, site)
        yield from taints.twice(spec.taints, (*at, "taints"))
        for machine in site.machines:
            yield from taints.twice(machine.spec.taints, ("hosts", machine.index, "taints"))
        yield from taints.nowhere(site.taints, (*at, "taints") if spec.taints else ("hosts",))
        yield from arguments.findings({field: getattr(spec, field) for field in arguments.FIELDS}, at)
        yield from _registries(spec, at)
        yield from _selinux(spec, at, site)
        yield from _images(spec, at, site)
        yield from _nvidia_runtime(spec, at, site)
        yield from _snapshots(spec, at, site)
        yield from _interfaces(site)
        yield from virtual_ip.findings(spec, at, site.machines)

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: K3sSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, pairs, spec, site)


def _is_external(spec: K3sSpec) -> bool:
    return isinstance(spec.datastore, ExternalDatastore)


def _servers(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    servers = site.servers
    if site.machines and not servers:
        yield Finding(("hosts",), "no host is a server", "one server, or three", "write `role: server` for one host")
    if isinstance(spec.datastore, EmbeddedDatastore) and servers and len(servers) % 2 == 0:
        yield Finding(
            ("hosts",),
            f"{len(servers)} servers with embedded etcd tolerate no more failures than {len(servers) - 1}",
            "an odd number of servers (1, 3, 5), or an external datastore",
            "make one an agent or add one, or write `datastore: {kind: external, engine: postgresql}` below `k3s`",
        )
    if len(servers) > 1 and spec.api_address is None:
        yield Finding(
            (*at, "api_address"),
            f"{len(servers)} servers need an API address that survives the loss of any one of them",
            "a virtual IP, a load balancer, or a name with several records",
            "add `api_address` below `k3s`",
        )
    for server in servers if len(servers) > 1 else ():
        if spec.api_address is not None and spec.api_address in (server.spec.address, *server.node_addresses):
            yield Finding(
                (*at, "api_address"),
                f"{spec.api_address} is the address of `{server.name}`: the API would be lost with that server",
                "an address that no one server owns: a virtual IP, a load balancer, or a name with several records",
                "set up one of these and name it here",
            )


def _releases(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    """Each host's release has checksums for its architecture."""
    asked: dict[tuple[str, str], DataPath] = {}
    for machine in (machine for machine in site.machines if machine.known):
        own = ("hosts", machine.index, "k3s_version")
        path: DataPath = own if machine.spec.k3s_version else (*at, "version")
        asked.setdefault((version_of(spec, machine), machine.arch), path)
    for (version, arch), path in asked.items():
        suffix = "" if arch == "amd64" else f"-{arch}"
        if arch not in spec.releases.get(version, {}):
            yield Finding(
                path,
                f"k3s.releases has no SHA-256 of {version} for {arch}",
                "a checksum of each release and architecture that is installed",
                f"add that of `k3s{suffix}` from the release's sha256sum-{arch}.txt to `k3s.releases`",
            )
        if spec.airgap_images and arch not in spec.airgap_images.get(version, {}):
            yield Finding(
                path if path[0] == "hosts" else (*at, "airgap_images"),
                f"k3s.airgap_images has no SHA-256 of {version} for {arch}",
                "a checksum of the images for each release and architecture that is installed",
                f"add that of k3s-airgap-images-{arch}.tar.zst to `k3s.airgap_images`",
            )


def _agents_ahead(spec: K3sSpec, site: Site) -> Iterator[Finding]:
    """No agent may be newer than a server; reported where the version that differs is written."""
    oldest = min(site.servers, key=lambda server: _minor(version_of(spec, server)), default=None)
    if oldest is None:
        return
    minor = _minor(version_of(spec, oldest))
    ahead: dict[DataPath, list[str]] = {}
    for machine in site.machines:
        if not machine.is_server and _minor(version_of(spec, machine)) > minor:
            odd = machine if machine.spec.k3s_version else oldest
            ahead.setdefault(("hosts", odd.index, "k3s_version"), []).append(f"`{machine.name}`")
    for path, names in ahead.items():
        yield Finding(
            path,
            f"the agent{'s' if len(names) > 1 else ''} {', '.join(names)} would be newer than the server"
            f" `{oldest.name}` (1.{minor})",
            "agents of the servers' minor version or an older one",
            "upgrade the servers first",
        )


def _memory(site: Site) -> Iterator[Finding]:
    for machine in site.machines:
        role, memory_mib = machine.spec.role, machine.hardware.memory_mib
        minimum = SERVER_MEMORY_MIB if machine.is_server else AGENT_MEMORY_MIB
        if machine.known and memory_mib < minimum:
            yield Finding(
                ("hosts", machine.index, "role" if "role" in machine.spec.model_fields_set else "hardware"),
                f"`{machine.name}` has {memory_mib} MiB of RAM, too little for a K3s {role}",
                f"at least {minimum} MiB for a K3s {role}",
                "write `role: agent`" if memory_mib >= AGENT_MEMORY_MIB else "use a machine with more memory",
            )


def _pods(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    """Each node takes a /24 (IPv6: a /64) of the pods' network."""
    for network in map(ipaddress.ip_network, each(spec.pod_cidr)):
        size = 24 if network.version == 4 else 64
        room = 2 ** (size - network.prefixlen)
        if room < len(site.machines):
            enough = size - (len(site.machines) - 1).bit_length()
            yield Finding(
                (*at, "pod_cidr"),
                f"{network} has room for {room} node{'s' if room > 1 else ''}, and the site has {len(site.machines)}:"
                f" each takes a /{size} of it",
                f"a network of /{enough} or wider, with room for more nodes",
                "take a wider network now: it is fixed once the cluster exists",
            )


def _datastore(spec: K3sSpec, at: DataPath) -> Iterator[Finding]:
    if isinstance(spec.datastore, ExternalDatastore) and spec.datastore.ca_file is None:
        yield Finding(
            (*at, "datastore"),
            f"servers believe any {spec.datastore.engine} that answers: without `ca_file` no certificate is checked",
            "the certificate of the authority that signed the datastore's, on each server",
            "put it on the hosts, add `ca_file:` with its path, and leave `sslmode` out of the connection string",
            advice=True,
        )


def _proxied_datastore(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    """The client of etcd obeys the variables of a proxy; where the datastore is, only its secret says."""
    if site.egress.proxy and isinstance(spec.datastore, ExternalDatastore) and spec.datastore.engine == "etcd":
        yield Finding(
            (*at, "datastore"),
            "K3s asks the proxy for etcd, unless its address is an exception: only the secret k3s-datastore-endpoint"
            " says where it is",
            "the datastore's address or network in `network.proxy.no_proxy`",
            "add it there, if it is not there yet",
            advice=True,
        )


def _registry_login(name: str) -> str:
    """Key of a login's secret."""
    return f"registry-login-{name}"


def _registries(spec: K3sSpec, at: DataPath) -> Iterator[Finding]:
    """K3s knows one login and one authority for each host."""
    first: dict[str, tuple[str, RegistryMirror]] = {}
    for name, mirror in spec.registries.items():
        for index, endpoint in enumerate(mirror.endpoints):
            host = host_of(endpoint)
            other_name, other = first.setdefault(host, (name, mirror))
            if (other.login, other.ca) != (mirror.login, mirror.ca):
                yield Finding(
                    (*at, "registries", name, "endpoints", index),
                    f"{host} has another `login` or `ca` at `{other_name}`",
                    "one login and one authority for each host",
                    "write the same `login` and `ca` at both",
                )


def _disabled(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    """The class `local-path` comes with the component `local-storage`."""
    if "local-storage" not in spec.disable:
        return
    for volume in site.volumes:
        if volume.storage_class == "local-path":
            yield Finding(
                (*at, "disable", spec.disable.index("local-storage")),
                f"{dotted(volume.path)} is `local-path`, which is what `local-storage` brings",
                "a storage class that the cluster has",
                f"keep local-storage, or write another {dotted(volume.path)}",
            )


def _selinux(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    without = [machine for machine in site.machines if not machine.system.selinux]
    if spec.selinux and without:
        yield Finding(
            (*at, "selinux"),
            f"{without[0].system.title} has no SELinux, and `{without[0].name}` runs it",
            "hosts whose system has SELinux",
            "remove `selinux`",
        )


def _images(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    if spec.sysext is None:
        return
    taking = [machine for machine in site.machines if machine.system.extensions]
    if site.machines and not taking:
        yield Finding(
            (*at, "sysext"),
            f"no host has a system whose publisher adds programs by images ({site.machines[0].system.title} does not)",
            "hosts with Flatcar",
            "remove `sysext`",
        )
    for version, arch in dict.fromkeys((version_of(spec, one), one.arch) for one in taking if one.known):
        if arch not in spec.sysext.images.get(version, {}):
            yield Finding(
                (*at, "sysext"),
                f"k3s.sysext.images has no SHA-256 of {sysext.file_name('k3s', version, arch)}",
                "a checksum of each image that is installed",
                f"add the one that {sysext.sums('k3s', version)} has; where the bakery has no such release, bake it"
                f" (`bakery.sh create k3s {version}`) and name your `mirror`",
            )


def _nvidia_runtime(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    runtime = spec.nvidia_runtime
    if runtime is None:
        return
    taking = [machine for machine in site.machines if takes_runtime(machine)]
    if site.machines and not taking:
        yield Finding(
            (*at, "nvidia_runtime"),
            "no host has Flatcar and an NVIDIA GPU",
            "such a host",
            "remove `nvidia_runtime`; on other systems the NVIDIA Container Toolkit is a package",
        )
    for arch in sorted({machine.arch for machine in taking} - runtime.sha256.keys()):
        yield Finding(
            (*at, "nvidia_runtime"),
            f"no SHA-256 of {sysext.file_name('nvidia-runtime', runtime.version, arch)}",
            "a checksum for each architecture of the site",
            f"add `sha256:` with the one that {sysext.sums('nvidia-runtime', runtime.version)} has",
        )


def _interfaces(site: Site) -> Iterator[Finding]:
    for machine in site.machines:
        if machine.interface and parsed(machine.node_address) is None:
            yield Finding(
                ("hosts", machine.index, "address"),
                f"`{machine.node_address}` is a name, and {machine.interface} of `{machine.name}` may have several "
                "addresses",
                "the address that other nodes reach the host by",
                "add `node_ip:` with its address on that card",
            )


def _snapshots(spec: K3sSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    datastore = spec.datastore
    if not isinstance(datastore, EmbeddedDatastore) or len(site.servers) != 1 or datastore.sqlite_snapshots:
        return
    for field in ("s3", "snapshot_dir"):
        if getattr(datastore, field):
            yield Finding(
                (*at, "datastore", field),
                "the site has one server and so SQLite, of which K3s makes no snapshots",
                "`sqlite_snapshots: true` beside it",
                "add it",
            )


def _minor(version: str) -> int:
    return int(version.split(".")[1])


PART = K3sPart()
