"""What K3s gets on each host: files, units, and the scripts that install, join, wait and remove. Pure."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

import yaml

from components import addresses, ports, taints
from components.addresses import each, families, in_url, parsed
from components.egress import ENVIRONMENT, Egress
from components.expected import Expected, download, file, unit
from components.host.machine import Machine
from components.k3s import hardening, snapshots, virtual_ip
from components.k3s.reasons import REASONS
from components.k3s.spec import ExternalDatastore, K3sSpec, host_of
from components.shell import fragment, here_document, render
from components.sysext import Image
from components.types import Arch
from components.view import Proof

DatastoreKind = Literal["sqlite", "etcd", "external"]

CONFIG = "/etc/rancher/k3s/config.yaml"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
_TOKEN, _AGENT_TOKEN = "/etc/rancher/k3s/token", "/etc/rancher/k3s/agent-token"
CA_UNKNOWN = "-"
"""In place of the CA's hash, where no cluster was there to say it."""
CA_IS = "cluster CA: "
"""What a server prints before that hash."""
NO_EGRESS = Egress()
DATA_MOUNT = "/etc/systemd/system/var-lib-rancher-k3s.mount"
_DATA_MARK = ".edge-k3s"
"""In ``data_dir``, what says that its disk is there."""
_EGRESS_STAMP = "/var/lib/edge/k3s/egress"
"""Hash of the environment that K3s was started with."""
_MUST_JOIN = "this host must join it"
GUARD = "/etc/systemd/system/k3s.service.d/50-edge-datastore.conf"
"""What keeps K3s from a second cluster on a server of an embedded datastore."""
_PERMIT, _JOIN = "/var/lib/edge/k3s/birth", "/etc/rancher/k3s/config.yaml.d/20-join.yaml"
_ARCH_SUFFIX: Mapping[Arch, str] = {"amd64": "", "arm64": "-arm64"}


_MERGED = "/usr/local/bin"
"""Where an image has K3s, and links for its other names."""


@dataclass(frozen=True)
class NodePlan:
    """The scripts of one node."""

    install: str
    """Installs, joins or updates in place. By standard input: token, agent token, datastore (servers) or agent token
    (agents), then the hash of the cluster's CA (``ca_of``), then the environment that it goes out with and
    ``registries.yaml``, where the first is said and the second holds logins."""
    uninstall: str
    """Leaves a clean host."""
    forget_old_node: str
    """Runs on another server before a new installation joins: forgets what an earlier one of that name left, and prints
    the hash of the cluster's CA. For the first server, what its permit said goes in by standard input."""
    same_installation: str
    """What takes its place while the installation is the same: prints the hash, forgets nothing."""
    wait_ready: str
    """Runs on another server: waits until the node is Ready."""
    remove: str
    """Runs on another server when the node goes: drains it and forgets it."""
    expected: tuple[Expected, ...]
    """What ``install`` leaves."""


@dataclass(frozen=True)
class ClusterPlan:
    """K3s of a whole site."""

    datastore: DatastoreKind
    api_url: str
    """Where people and programs outside of the site reach the API."""
    cluster_init_permit: str
    """Runs once in the cluster's life, on the first server: the permit to start a cluster."""
    cluster_init_used: str
    """What takes its place once the cluster exists."""
    ready: str
    kubeconfig: str


def datastore_kind(spec: K3sSpec, servers: int) -> DatastoreKind:
    """SQLite for one server, embedded etcd for more, or what the site brings."""
    if isinstance(spec.datastore, ExternalDatastore):
        return "external"
    return "sqlite" if servers == 1 else "etcd"


def version_of(spec: K3sSpec, machine: Machine) -> str:
    """The release for one host."""
    return machine.spec.k3s_version or spec.version


def binary_file(arch: Arch) -> str:
    """Name of K3s itself in a release."""
    return f"k3s{_ARCH_SUFFIX[arch]}"


def airgap_file(arch: Arch) -> str:
    """Name of the archive with K3s' own images in a release."""
    return f"k3s-airgap-images-{arch}.tar.zst"


def download_url(spec: K3sSpec, version: str, file: str) -> str:
    """Where hosts fetch a file of a release."""
    return f"{spec.mirror.rstrip('/')}/{quote(version, safe='')}/{file}"


def image_of(spec: K3sSpec, machine: Machine) -> Image | None:
    """The image that a host gets K3s from; None where it gets a file."""
    if spec.sysext is None or not machine.system.extensions:
        return None
    version, arch = version_of(spec, machine), machine.arch
    return Image(
        "k3s",
        version,
        arch,
        spec.sysext.images[version][arch],
        spec.sysext.mirror,
        holds=(f"{_MERGED}/k3s", spec.releases[version][arch]),
    )


def runtime_of(spec: K3sSpec, machine: Machine) -> Image | None:
    """The image that a host gets NVIDIA's runtime from; None where nothing of ours brings it."""
    if spec.nvidia_runtime is None or not takes_runtime(machine):
        return None
    runtime = spec.nvidia_runtime
    return Image("nvidia-runtime", runtime.version, machine.arch, runtime.sha256[machine.arch], runtime.mirror)


def takes_runtime(machine: Machine) -> bool:
    """Whether NVIDIA's runtime can come to a host as an image, and has something to do there."""
    return machine.system.extensions and any(one.kind == "nvidia-gpu" for one in machine.accelerators.values())


def images_of(spec: K3sSpec, machine: Machine) -> tuple[Image, ...]:
    """All images of a host. K3s looks for runtimes when it starts."""
    return tuple(filter(None, [runtime_of(spec, machine), image_of(spec, machine)]))


def images_sha256(spec: K3sSpec) -> dict[str, Any]:
    """What policies read of the images: their checksums, by name and architecture."""
    of_k3s = {"k3s": dict(spec.sysext.images)} if spec.sysext else {}
    return of_k3s | ({"nvidia-runtime": dict(spec.nvidia_runtime.sha256)} if spec.nvidia_runtime else {})


def taints_of(spec: K3sSpec, machine: Machine) -> tuple[str, ...] | None:
    """The taints of one node; None where the site leaves them to others."""
    return taints.effective(spec.taints, machine.spec.taints)


def labels_of(spec: K3sSpec, machine: Machine, site: Mapping[str, str]) -> dict[str, str]:
    """The labels of one node; of two values for one key, that of the host counts, then that of the cluster."""
    return {**site, **spec.node_labels, **machine.spec.labels}


def kubernetes_of(spec: K3sSpec, servers: Sequence[Machine]) -> str:
    """The cluster's Kubernetes, such as `1.36`: while servers differ, that of the oldest one."""
    return f"1.{min(_minor_and_patch(version_of(spec, server))[0] for server in servers)}"


def encryption_provider(version: str) -> str:
    """secretbox where the release has it (1.30.12, 1.31.8, 1.32.4, 1.33.0 and newer), else aescbc."""
    minor, patch = _minor_and_patch(version)
    first_patch = {30: 12, 31: 8, 32: 4}.get(minor, 0)
    return "secretbox" if minor >= 30 and patch >= first_patch else "aescbc"


def kubelet_args(spec: K3sSpec, version: str) -> tuple[str, ...]:
    """Flags of the kubelet of one release. Releases before 1.31 run on cgroup v1 anyway and do not know its flag."""
    cgroup_v1 = () if spec.fail_cgroup_v1 or _minor_and_patch(version) < (31, 0) else ("fail-cgroupv1=false",)
    return (*hardening.kubelet_args(spec.pod_max_pids), *cgroup_v1)


def to_yaml(value: Any) -> str:
    """Block YAML in the order of the plan."""
    text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=False, width=120)
    return text


def ca_of(printed: str | None) -> str:
    """The hash of the cluster's CA, out of what ``forget_old_node`` or ``same_installation`` printed. Not a secret."""
    found = re.search(rf"^{CA_IS}([0-9a-f]{{64}})$", printed or "", re.MULTILINE)
    return found[1] if found else CA_UNKNOWN


def api_host(spec: K3sSpec, servers: Sequence[Machine]) -> str:
    """Where people and programs outside of the site reach the API. It is in the certificate of each server's API.

    Not where nodes reach it: a host with ``node_ip`` has an address that only the site's own network may know.
    """
    return spec.api_address or servers[0].spec.address


def api_url(spec: K3sSpec, servers: Sequence[Machine]) -> str:
    """The URL of the API: in the kubeconfig, and in the site's outputs."""
    return f"https://{addresses.endpoint(api_host(spec, servers), ports.KUBERNETES_API)}"


def plan_cluster(spec: K3sSpec, servers: Sequence[Machine]) -> ClusterPlan:
    """What belongs to the cluster rather than to a node. ``servers`` is not empty; the first one starts the cluster."""
    first, url = servers[0], api_url(spec, servers)
    return ClusterPlan(
        datastore=datastore_kind(spec, len(servers)),
        api_url=url,
        cluster_init_permit=render("k3s/cluster_init_permit.sh.j2", node=first.kubernetes_node),
        cluster_init_used=render(
            "k3s/cluster_init_used.sh.j2", must_join=_MUST_JOIN, servers=", ".join(one.node for one in servers)
        ),
        ready=render(
            "k3s/cluster_ready.sh.j2",
            node=first.kubernetes_node,
            version=version_of(spec, first),
            reasons=REASONS,
            virtual_ip=in_url(spec.api_address) if spec.kube_vip and spec.api_address else None,
        ),
        kubeconfig=render("k3s/kubeconfig.sh.j2", api_url=url),
    )


def show_kubeconfig(places: Sequence[str]) -> str:
    """Prints a server's own kubeconfig for people, which is a secret. ``places`` is what parts know of the address
    (``Part.places``); what they find follows as comments, `# reached at ADDRESS`."""
    return render("k3s/show_kubeconfig.sh.j2", places=places)


def plan_node(
    spec: K3sSpec,
    machine: Machine,
    servers: Sequence[Machine],
    *,
    labels: Mapping[str, str],
    psa_exempt: Sequence[str] = (),
    egress: Egress = NO_EGRESS,
) -> NodePlan:
    """Scripts of one node. ``labels`` are the site's; ``psa_exempt`` are namespaces, in addition to kube-system, whose
    pods cannot be restricted."""
    # Not `machine.node`: a renamed host is the node that it was.
    node, arch = machine.kubernetes_node, machine.arch
    version = version_of(spec, machine)
    server = machine.is_server
    service = "k3s" if server else "k3s-agent"
    image = image_of(spec, machine)
    bin_dir = _MERGED if image else machine.system.bin_dir
    airgap = spec.airgap_images.get(version, {}).get(arch)
    plain = files(spec, machine, servers, labels, psa_exempt, egress)
    datastore = datastore_kind(spec, len(servers))
    timed = (
        snapshots.sqlite_files(spec, node, machine.site, bool(egress))
        if server and snapshots.of_sqlite(spec, datastore)
        else {}
    )
    system_unit = unit_file(server, bin_dir, ENVIRONMENT if egress else None, on_other_disk=bool(spec.data_dir))
    other_disk = {
        "data": hardening.DATA,
        "data_dir": spec.data_dir,
        "mark": _DATA_MARK,
        "mount_unit": DATA_MOUNT,
    }
    mount = mount_unit(spec.data_dir) if spec.data_dir else ""
    external = isinstance(spec.datastore, ExternalDatastore)
    install = render(
        "k3s/install.sh.j2",
        node=node,
        version=version,
        server=server,
        server_dir=hardening.SERVER_DIR,
        unit=service,
        bin_dir=bin_dir,
        file_dir=machine.system.bin_dir,
        image_of_k3s=image,
        images=images_of(spec, machine),
        binary_url=download_url(spec, version, binary_file(arch)),
        binary_sha256=spec.releases[version][arch],
        airgap_url=download_url(spec, version, airgap_file(arch)) if airgap else None,
        airgap_sha256=airgap,
        datastore=datastore,
        datastore_prefixes=_ENDPOINT_PREFIXES[spec.datastore.engine]
        if isinstance(spec.datastore, ExternalDatastore)
        else (),
        seeds=_seeds(spec, machine, servers),
        api=in_url(spec.api_address or servers[0].node_address),
        pod_cidr=spec.pod_cidr,
        service_cidr=spec.service_cidr,
        prefers_ipv6=families(spec.pod_cidr)[0] == 6,
        config=CONFIG,
        selinux=bool(spec.selinux),
        label_keys=sorted(labels_of(spec, machine, labels)),
        files={path: (mode, here_document(text)) for path, (mode, text) in plain.items()},
        unit_file=here_document(system_unit),
        guard=GUARD,
        guard_file=here_document(guard_file()),
        egress_stamp=_EGRESS_STAMP if egress else None,
        secret_registries=bool(logins(spec)),
        mirrors=here_document(to_yaml({"mirrors": registries(spec)["mirrors"]})),
        registries_digest=registries_digest(spec),
        reasons=REASONS,
        snapshot_keys=bool(snapshots.store(spec)) and server,
        etcd_keys=snapshots.ETCD_KEYS,
        etcd_snapshots=datastore == "etcd",
        snapshots=snapshots.install(spec, datastore, node, machine.site, bool(egress)),
        **other_disk,
        mount_body=here_document(mount),
    )
    secret = ["agent-token", *(["token"] if server else [])]
    if server and snapshots.store(spec) and datastore == "etcd":
        secret.append("config.yaml.d/70-snapshots.yaml")
    if server and isinstance(spec.datastore, ExternalDatastore):
        secret.append("config.yaml.d/80-datastore.yaml")
    images = f"{hardening.DATA}/agent/images/k3s-airgap-images-{arch}.tar.zst"
    releases = {sums[arch]: release for release, sums in spec.releases.items() if arch in sums}
    return NodePlan(
        install=install,
        uninstall=render(
            "k3s/uninstall.sh.j2",
            node=machine.node,
            kubernetes_node=node,
            unit=service,
            bin_dir=bin_dir,
            image_of_k3s=image,
            images=images_of(spec, machine),
            pod_networks=each(spec.pod_cidr),
            virtual_ip=spec.api_address if spec.kube_vip and machine.is_server else None,
            snapshots=f"{snapshots.UNIT}.timer" if timed else "",
            guard=GUARD if server else None,
            **other_disk,
        ),
        forget_old_node=render(
            "k3s/forget_old_node.sh.j2",
            node=node,
            first=machine.node == servers[0].node and not external,
            external=external,
            must_join=_MUST_JOIN,
            ca_is=CA_IS,
        ),
        same_installation=render("k3s/same_installation.sh.j2", node=node, ca_is=CA_IS),
        wait_ready=render("k3s/wait_ready.sh.j2", node=node, version=version, taints=taints_of(spec, machine)),
        remove=render("k3s/remove.sh.j2", node=node, external=external),
        expected=(
            *(one for each in images_of(spec, machine) for one in each.expected),
            *(() if image else download(f"{bin_dir}/k3s", "0755", spec.releases[version][arch], releases)),
            *(download(images, "0644", airgap) if airgap else ()),
            *(one for path, (mode, text) in plain.items() for one in file(path, mode, text)),
            *(one for name in secret for one in file(f"/etc/rancher/k3s/{name}", "0600", None)),
            *file(f"/etc/systemd/system/{service}.service", "0644", system_unit),
            *(file(REGISTRIES, "0600", None) if logins(spec) else ()),
            *(file(_EGRESS_STAMP, "0600", None) if egress else ()),
            *(file(GUARD, "0644", guard_file()) if server and not external else ()),
            *unit(f"{service}.service"),
            *(one for path, (mode, text) in timed.items() for one in file(path, mode, text)),
            *(unit(f"{snapshots.UNIT}.timer") if timed else ()),
            *(file(DATA_MOUNT, "0644", mount) if mount else ()),
            *((Expected("active", DATA_MOUNT.rpartition("/")[2], "active"),) if mount else ()),
        ),
    )


def host_checks(spec: K3sSpec, machine: Machine, servers: Sequence[Machine]) -> str:
    """Looks for what K3s needs of a host, as a piece of the host's own gate (``Part.host_checks``)."""
    needed = [("tcp", ports.KUBELET, "")]
    kind = datastore_kind(spec, len(servers))
    if machine.is_server:
        needed.append(("tcp", ports.KUBERNETES_API, ""))
        if kind == "etcd":
            needed += [("tcp", port, "") for port in _ETCD_PORTS]
    needed += [("udp", *tunnel) for tunnel in _tunnels(spec)]
    return fragment(
        "k3s/host_checks.sh.j2",
        backend=spec.flannel_backend,
        interface=machine.interface,
        node_address=machine.node_address,
        virtual_ip=spec.api_address if spec.kube_vip and machine.is_server else None,
        virtual_ip_card=virtual_ip.interface_of(spec, servers) if spec.kube_vip and machine.is_server else None,
        ipv6=[one for one in machine.node_addresses if 6 in families(one)] if 6 in families(spec.pod_cidr) else [],
        only_ipv6=families(spec.pod_cidr) == (6,),
        data_dir=spec.data_dir,
        snapshot_dir=snapshots.folder(spec) if machine.is_server else None,
        curl_signs=machine.is_server and snapshots.of_sqlite(spec, kind) and bool(snapshots.store(spec)),
        luks=machine.os.disk == "luks-tpm2",
        selinux=spec.selinux,
        selinux_unsaid=machine.system.selinux and spec.selinux is None,
        needs_cgroup_v2=spec.fail_cgroup_v1 and _minor_and_patch(version_of(spec, machine)) >= _WITHOUT_CGROUP_V1,
        images=[
            (image, "k3s.sysext" if image.name == "k3s" else "k3s.nvidia_runtime") for image in images_of(spec, machine)
        ],
        runtime=runtime_of(spec, machine),
        ports=needed,
        networks=[*each(spec.pod_cidr), *each(spec.service_cidr)],
    )


def proof(machine: Machine) -> Proof:
    """What tells this site's K3s from another one: the token that the host joined with."""
    key, file = ("k3s-token", _TOKEN) if machine.is_server else ("k3s-agent-token", _AGENT_TOKEN)
    return Proof(key, fragment("k3s/held_token.sh.j2", key=key, file=file))


def files(
    spec: K3sSpec,
    machine: Machine,
    servers: Sequence[Machine],
    labels: Mapping[str, str],
    psa_exempt: Sequence[str],
    egress: Egress = NO_EGRESS,
) -> dict[str, tuple[str, str]]:
    """Files of one node that hold no secret: path -> (mode, text)."""
    server = machine.is_server
    config = server_config(spec, machine, servers, egress) if server else agent_config(spec, machine, servers)
    config["node-label"] = [f"{key}={value}" for key, value in sorted(labels_of(spec, machine, labels).items())]
    if tainted := taints_of(spec, machine):
        config["node-taint"] = list(tainted)
    result = {
        CONFIG: ("0600", to_yaml(config)),
        # With logins, a part of it is a secret and comes by standard input.
        **({} if logins(spec) else {REGISTRIES: ("0600", to_yaml(registries(spec)))}),
        **{
            _registry_ca(host_of(endpoint)): ("0644", mirror.ca)
            for mirror in spec.registries.values()
            if mirror.ca
            for endpoint in mirror.endpoints
        },
    }
    if not server:
        return result
    virtual = virtual_ip.objects(spec, servers)
    shared = {virtual_ip.FILE: ("0600", "---\n".join(map(to_yaml, virtual)))} if virtual else {}
    return result | snapshots.ca_file(spec) | _server_files(("kube-system", *psa_exempt)) | shared


@functools.lru_cache(maxsize=64)
def _server_files(exempt: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Files that servers have in common."""
    objects = "---\n".join(to_yaml(item) for item in hardening.system_objects())
    return {
        f"{hardening.SERVER_DIR}/psa.yaml": ("0600", to_yaml(hardening.admission(exempt))),
        f"{hardening.SERVER_DIR}/audit.yaml": ("0600", to_yaml(hardening.AUDIT_POLICY)),
        f"{hardening.SERVER_DIR}/manifests/edge-hardening.yaml": ("0600", objects),
    }


_OF_ONE_NODE = (
    "node-name",
    "node-ip",
    "flannel-iface",
    "tls-san",
    "node-label",
    "node-taint",
    "server",
    "token-file",
    "agent-token-file",
)
"""Keys of `config.yaml` that differ from node to node, or name a file."""


def configurations(
    spec: K3sSpec, machines: Sequence[Machine], psa_exempt: Sequence[str] = (), egress: Egress = NO_EGRESS
) -> list[dict[str, Any]]:
    """What policies read of the nodes: each configuration once, without what tells nodes apart. Holds no secret.

    It names no node, and has that of an agent whether there is one or not, so that a node more or less changes nothing
    of the cluster.
    """
    servers = [machine for machine in machines if machine.is_server]
    datastore = datastore_kind(spec, len(servers))
    releases = dict.fromkeys([spec.version, *(version_of(spec, machine) for machine in machines)])
    found: list[dict[str, Any]] = []
    for version in releases:
        one_host = servers[0].spec.model_copy(update={"k3s_version": version})
        machine = replace(servers[0], spec=one_host)
        for role, config in (
            ("server", server_config(spec, machine, servers, egress)),
            ("agent", agent_config(spec, machine, servers)),
        ):
            shared = {key: value for key, value in config.items() if key not in _OF_ONE_NODE}
            found.append({"role": role, "version": version, "datastore": datastore, "config": shared})
            if role == "server":
                admission = hardening.admission(("kube-system", *psa_exempt))
                found[-1] |= {"admission": admission, "audit": hardening.AUDIT_POLICY}
    return found


def server_config(
    spec: K3sSpec, machine: Machine, servers: Sequence[Machine], egress: Egress = NO_EGRESS
) -> dict[str, Any]:
    """``config.yaml`` of a server. How it joins is decided on the host and kept in config.yaml.d."""
    config: dict[str, Any] = {
        **_common_config(spec, machine),
        "token-file": _TOKEN,
        "agent-token-file": _AGENT_TOKEN,
        "write-kubeconfig-mode": "0600",
        "tls-san": _unique(spec.api_address, *machine.node_addresses, machine.spec.address, *spec.tls_sans),
        "disable": _unique("traefik", "servicelb", *spec.disable),
        "cluster-cidr": spec.pod_cidr,
        "service-cidr": spec.service_cidr,
        "flannel-backend": spec.flannel_backend,
        "secrets-encryption": True,
        "secrets-encryption-provider": encryption_provider(version_of(spec, machine)),
        "kube-apiserver-arg": [*hardening.API_SERVER_ARGS, *spec.kube_apiserver_args],
        "kube-controller-manager-arg": [*hardening.CONTROLLER_MANAGER_ARGS, *spec.kube_controller_manager_args],
    }
    if any(ipaddress.ip_network(one).is_private for one in each(spec.pod_cidr) if 6 in families(one)):
        # K3s masquerades IPv4 only, and nobody outside of the site knows a way back to such an address.
        config["flannel-ipv6-masq"] = True
    if egress.proxy and egress.proxy.login:
        # It would write its own environment, with the login, into the pods of its charts.
        config["disable-helm-controller"] = True
    if spec.kube_scheduler_args:
        config["kube-scheduler-arg"] = list(spec.kube_scheduler_args)
    if spec.embedded_registry:
        config["embedded-registry"] = True
    if isinstance(spec.datastore, ExternalDatastore):
        if spec.datastore.ca_file:
            config["datastore-cafile"] = spec.datastore.ca_file
    elif len(servers) > 1:
        config |= snapshots.etcd_config(spec.datastore, machine.site, len(servers))
    return config


def agent_config(spec: K3sSpec, machine: Machine, servers: Sequence[Machine]) -> dict[str, Any]:
    """``config.yaml`` of an agent."""
    api_address = spec.api_address or servers[0].node_address
    return {
        "server": f"https://{addresses.endpoint(api_address, ports.KUBERNETES_API)}",
        **_common_config(spec, machine),
        "token-file": _AGENT_TOKEN,
    }


def logins(spec: K3sSpec) -> tuple[str, ...]:
    """Names of the logins of registries."""
    return tuple(sorted({mirror.login for mirror in spec.registries.values() if mirror.login}))


def registries(spec: K3sSpec, given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``registries.yaml``. Spegel serves a registry only where a mirror entry for it exists.

    ``given`` are the logins by name, as `user:password`: with them, it is a secret. Without, it names them.
    """
    mirrors: dict[str, Any] = {
        name: {"endpoint": list(mirror.endpoints), **({"rewrite": dict(mirror.rewrite)} if mirror.rewrite else {})}
        for name, mirror in spec.registries.items()
    }
    if spec.embedded_registry:
        mirrors.setdefault("*", {})
    configs: dict[str, Any] = {}
    for mirror in spec.registries.values():
        for endpoint in mirror.endpoints:
            host, config = host_of(endpoint), {}
            if mirror.login and given is None:
                config["auth"] = {"login": mirror.login}
            elif mirror.login and given is not None:
                user, _, password = given[mirror.login].partition(":")
                config["auth"] = {"username": user, "password": password}
            if mirror.ca:
                config["tls"] = {"ca_file": _registry_ca(host)}
            if config:
                configs[host] = config
    return {"mirrors": mirrors, **({"configs": configs} if configs else {})}


def secret_registries(spec: K3sSpec, given: Mapping[str, str]) -> str:
    """The part of ``registries.yaml`` that holds the logins ``given``, which comes after its mirrors."""
    return to_yaml({"configs": registries(spec, given)["configs"]})


def registries_digest(spec: K3sSpec) -> str:
    """Changes with all about registries that is no secret; empty where no login and no authority is named."""
    if not any(mirror.login or mirror.ca for mirror in spec.registries.values()):
        return ""
    authorities = [mirror.ca or "" for mirror in spec.registries.values()]
    return hashlib.sha256("\n".join([to_yaml(registries(spec)), *authorities]).encode()).hexdigest()[:16]


def _registry_ca(host: str) -> str:
    return f"/etc/rancher/k3s/registry-ca/{host.replace(':', '_').strip('[]')}.pem"


def mount_unit(data_dir: str) -> str:
    """The systemd unit that mounts ``data_dir`` where K3s keeps its data, and nothing in its place."""
    return f"""[Unit]
Description=Data of K3s
RequiresMountsFor={data_dir}
AssertPathExists={data_dir}/{_DATA_MARK}

[Mount]
What={data_dir}
Where={hardening.DATA}
Type=none
Options=bind
"""


def unit_file(server: bool, bin_dir: str, environment: str | None = None, *, on_other_disk: bool = False) -> str:
    """The systemd unit, with the limits and restarts that K3s' own installer sets."""
    mounts = f"RequiresMountsFor={hardening.DATA}\n" if on_other_disk else ""
    # A file that is not there must not keep K3s from starting.
    reads = f"EnvironmentFile=-{environment}\n" if environment else ""
    return f"""[Unit]
Description=Lightweight Kubernetes ({"server" if server else "agent"})
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target
{mounts}
[Service]
Type={"notify" if server else "exec"}
{reads}ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart={bin_dir}/k3s {"server" if server else "agent"}
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""


def guard_file() -> str:
    """A part of a server's unit: without a datastore, a permit or a server to join, K3s would start a cluster."""
    db = f"{hardening.SERVER_DIR}/db"
    found = "".join(f"[ -e {path} ] || " for path in (f"{db}/state.db", f"{db}/etcd", _PERMIT))
    why = (
        "Error: this server has no datastore, and K3s would start a second cluster. Delete its Node on another"
        " server, and run edge up with another word in reapply of the host (docs/operations.md)"
    )
    refuse = f'{{ echo "{why}" >&2; exit 1; }}'
    return f"[Service]\nExecStartPre=/bin/sh -c '{found}grep -qs \"^server:\" {_JOIN} || {refuse}'\n"


_ETCD_PORTS = (2379, 2380)

_TUNNELS: Mapping[str, Mapping[int, tuple[int, str]]] = {
    "wireguard-native": {4: (51820, "flannel-wg"), 6: (51821, "flannel-wg-v6")},
    "vxlan": {4: (8472, "flannel.1"), 6: (8472, "flannel-v6.1")},
}
"""By backend of flannel that has one, and by family: the UDP port of its tunnel, and the link that holds it."""


def _tunnels(spec: K3sSpec) -> Iterator[tuple[int, str]]:
    """Each port once."""
    tunnels = [_TUNNELS.get(spec.flannel_backend, {}).get(family) for family in families(spec.pod_cidr)]
    links = dict(filter(None, reversed(tunnels)))
    yield from sorted(links.items())


_WITHOUT_CGROUP_V1 = (35, 0)
"""Minor version and patch of the first Kubernetes whose kubelet refuses cgroup v1 by default."""

_ENDPOINT_PREFIXES = {"postgresql": ("postgres://", "postgresql://"), "etcd": ("https://",)}


def _common_config(spec: K3sSpec, machine: Machine) -> dict[str, Any]:
    config: dict[str, Any] = {"node-name": machine.kubernetes_node}
    if machine.interface:
        # By itself K3s would take any address of the card, and flannel the card of the default route.
        config |= {"node-ip": ",".join(machine.node_addresses), "flannel-iface": machine.interface}
    elif machine.spec.node_ip or (6 in families(spec.pod_cidr) and parsed(machine.node_address)):
        # Of a host with both families, K3s would take the IPv4 address.
        config["node-ip"] = ",".join(machine.node_addresses)
    if spec.selinux:
        config["selinux"] = True
    return config | {
        "protect-kernel-defaults": True,
        "kubelet-arg": [*kubelet_args(spec, version_of(spec, machine)), *spec.kubelet_args],
    }


def _seeds(spec: K3sSpec, machine: Machine, servers: Sequence[Machine]) -> list[str]:
    """Servers to join through, best first: the addresses of servers before the one that they share, which may lead back
    to the node itself. Never the node, and never more than three servers: one that is added must not change the others.
    """
    others = [server for server in servers[:3] if server.node != machine.node]
    own = (*machine.node_addresses, machine.spec.address)
    seeds = _unique(*(server.node_address for server in others), spec.api_address)
    return [in_url(seed) for seed in seeds if seed not in own]


def _minor_and_patch(version: str) -> tuple[int, int]:
    _, minor, patch = (int(part) for part in version.removeprefix("v").partition("+")[0].partition("-")[0].split("."))
    return minor, patch


def _unique(*values: str | None) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
