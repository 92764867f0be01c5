"""What a human writes about a site's Kubernetes: K3s, hardened as it is installed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components import cron
from components.addresses import parsed
from components.k3s.arguments import Argument
from components.specs import Spec
from components.sysext import MIRROR
from components.taints import Taint
from components.types import (
    Address,
    Arch,
    Certificates,
    Cidrs,
    DnsLabel,
    HttpsUrl,
    ImageRef,
    InterfaceName,
    K3sVersion,
    NodeLabels,
    NonEmpty,
    Sha256,
    SharedAddress,
    each_family,
)
from components.urls import UrlOf, parse
from sitefile.problems import Finding, Unfit

_POD_PREFIXES = {4: (8, 24), 6: (48, 64)}
"""Widest and narrowest pod network: each node takes a /24 (IPv6: a /64) of it, and there are at most 2^16 of these."""

_SERVICE_PREFIXES = {4: (12, 28), 6: (108, 124)}
"""Widest and narrowest service network: the API server takes at most 20 bits, and K3s needs the tenth address."""


def _usable(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(value)
    first = network.network_address
    if first.is_unspecified or first.is_loopback or first.is_multicast or first.is_link_local:
        raise Unfit("the addresses in it are special ones", "a private network", "take one such as 10.42.0.0/16")
    return network


def _pod_network(value: str) -> str:
    network = _usable(value)
    widest, narrowest = _POD_PREFIXES[network.version]
    if not widest <= network.prefixlen <= narrowest:
        raise Unfit(
            f"each node takes a /{narrowest} of it, and Kubernetes counts at most 65536 of these",
            f"a network from /{widest} to /{narrowest}",
            f"take `{_resized(network, 16 if network.version == 4 else 56)}`",
        )
    return value


def _service_network(value: str) -> str:
    network = _usable(value)
    widest, narrowest = _SERVICE_PREFIXES[network.version]
    if not widest <= network.prefixlen <= narrowest:
        raise Unfit(
            "the API server refuses it"
            if network.prefixlen < widest
            else "it is too small for DNS at its tenth address",
            f"a network from /{widest} to /{narrowest}",
            f"take `{_resized(network, 16 if network.version == 4 else 112)}`",
        )
    return value


def _resized(network: ipaddress.IPv4Network | ipaddress.IPv6Network, prefix: int) -> str:
    return str(ipaddress.ip_network(f"{network.network_address}/{prefix}", strict=False))


def _schedule(value: str) -> str:
    try:
        cron.check(value)
    except cron.NotASchedule as error:
        raise Unfit(
            str(error),
            "a cron schedule of five fields, or `@daily` and the like",
            "write minute, hour, day of the month, month and day of the week, such as `0 */6 * * *`",
        ) from None
    return value


PodCidr = Annotated[Cidrs, AfterValidator(each_family(_pod_network))]
ServiceCidr = Annotated[Cidrs, AfterValidator(each_family(_service_network)), Field(examples=["10.43.0.0/16"])]
CronSchedule = Annotated[NonEmpty, AfterValidator(_schedule)]
PathOnHost = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]+$", examples=["/etc/ssl/datastore-ca.pem"])]
"""An absolute path."""


def _without_path(value: str) -> str:
    if parse(value).path.strip("/"):
        raise Unfit("it has a path", "scheme, host and port", "write the bucket at `bucket` and the folder at `folder`")
    return value


_NOT_FOR_DATA = tuple(
    map(
        PurePosixPath,
        (
            *("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr"),
            *(
                "/var/lib/rancher",
                "/var/lib/kubelet",
                "/var/lib/edge",
                "/var/lib/cni",
                "/var/log",
                "/var/tmp",
                "/opt/bin",
                "/opt/extensions",
            ),
        ),
    )
)


def _data_dir(value: str) -> str:
    path = PurePosixPath(value)
    problem = None
    if str(path) != value or ".." in path.parts:
        problem = "it is not the shortest form of a path"
    elif len(path.parts) < 3:
        problem = "when K3s is removed, all in this folder is"
    elif other := next((one for one in _NOT_FOR_DATA if path.is_relative_to(one) or one.is_relative_to(path)), None):
        problem = f"{other} belongs to the system or to K3s"
    if problem:
        raise Unfit(problem, "a folder of its own, on a disk of the host", "write one such as `/data/k3s`")
    return value


DataDir = Annotated[PathOnHost, AfterValidator(_data_dir), Field(examples=["/data/k3s"])]


class SnapshotStore(Spec):
    """S3-compatible storage for snapshots. Its keys are the secret `k3s-snapshot-keys`, as
    `ACCESS_KEY_ID:SECRET_ACCESS_KEY`."""

    endpoint: Annotated[HttpsUrl, AfterValidator(_without_path)] = "https://s3.amazonaws.com"
    """Where the storage answers, without the bucket."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", examples=["edge-snapshots"])]
    """Bucket, which must exist."""

    region: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", examples=["eu-central-1"])] = "us-east-1"
    """Region of the bucket."""

    folder: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$", examples=["edge/plant-osaka"]
            ),
        ]
        | None
    ) = None
    """Folder in the bucket; the site's name if left out."""

    ca: Certificates | None = None
    """Certificates in PEM of the storage's authority, where the host does not trust it."""


class EmbeddedDatastore(Spec):
    """K3s keeps the state itself: SQLite with one server, etcd with three or more."""

    kind: Literal["embedded"] = "embedded"
    """Selects this datastore."""

    snapshot_schedule: CronSchedule = "0 */6 * * *"
    """Cron schedule of snapshots, in the hosts' local time."""

    snapshot_retention: Annotated[int, Field(ge=1, le=100)] = 12
    """How many snapshots a server keeps; of etcd, the storage keeps as many of each server."""

    sqlite_snapshots: bool = False
    """Whether there are snapshots of SQLite too, which K3s does not make: a timer copies it. etcd always has them."""

    snapshot_dir: PathOnHost | None = None
    """Folder on the servers for snapshots, best on another disk; K3s' own, beside the datastore, if left out."""

    s3: SnapshotStore | None = None
    """Storage that snapshots are sent to."""


class ExternalDatastore(Spec):
    """PostgreSQL or etcd outside the cluster; its connection string is the secret `k3s-datastore-endpoint`."""

    kind: Literal["external"]
    """Selects this datastore."""

    engine: Literal["postgresql", "etcd"]
    """What the connection string points at; checked against it before it is sent to a host."""

    ca_file: PathOnHost | None = None
    """Path on the hosts of the CA certificate that the datastore's certificate is checked against."""


Datastore = Annotated[EmbeddedDatastore | ExternalDatastore, Field(discriminator="kind")]


def host_of(endpoint: str) -> str:
    """Host and port of an endpoint as K3s' `configs` name it."""
    return endpoint.split("/")[2]


EndpointUrl = Annotated[str, UrlOf(("https", "http")), Field(examples=["https://registry.example.com"])]


class RegistryMirror(Spec):
    """Where images of one registry are pulled from instead."""

    endpoints: Annotated[tuple[EndpointUrl, ...], Field(min_length=1)]
    """Mirrors, tried in this order. The policies must allow them as registries (`more_registries`)."""

    rewrite: dict[str, str] = {}
    """Regular expression on the repository path -> its replacement."""

    plain_http: bool = False
    """Whether endpoints may be http://, in the site's own network: without encryption anybody there can change what is
    pulled, unless images are named by digest. Such an endpoint is reached without a proxy."""

    login: Annotated[DnsLabel, Field(examples=["mirror"])] | None = None
    """Name of the login that the endpoints ask for: the secret `registry-login-<name>`, as `user:password`. Several
    registries may share one."""

    ca: Certificates | None = None
    """Certificates in PEM of the authority of the endpoints, where `network.trusted_cas` does not have it."""

    def conflicts(self) -> Iterator[Finding]:
        for index, endpoint in enumerate(self.endpoints):
            url = parse(endpoint)
            if url.scheme != "http":
                continue
            address = parsed(url.host)
            if not self.plain_http:
                yield Finding(
                    ("endpoints", index),
                    f"`{endpoint}` is not encrypted: anybody on the way can change what is pulled",
                    "an https:// endpoint",
                    "write https://; or, in the site's own network alone, add `plain_http: true`",
                )
            elif address is not None and address.is_global:
                yield Finding(
                    ("endpoints", index),
                    f"{address} is an address of the Internet, and `plain_http` is for the site's own network",
                    "an https:// endpoint, or an address of the site's own network",
                    "write https://",
                )
            elif self.login:
                yield Finding(
                    ("login",),
                    f"the login would be sent to `{endpoint}` without encryption",
                    "https:// endpoints for a login",
                    "write https:// (with `ca:` for an authority of your own), or remove `login`",
                )


class K3sImages(Spec):
    """K3s as images for systemd-sysext, as Flatcar's bakery publishes them."""

    images: Annotated[
        dict[K3sVersion, dict[Arch, Sha256]], Field(examples=[{"v1.36.3+k3s1": {"amd64": "7c1f0b..."}}])
    ] = {}
    """SHA-256 of `k3s-<version>-<x86-64|arm64>.raw` of each release and architecture that may be installed."""

    mirror: HttpsUrl = MIRROR
    """Base URL that holds the images; a site without internet names its own."""


class NvidiaRuntime(Spec):
    """NVIDIA's container runtime as an image for systemd-sysext, as Flatcar's bakery publishes it."""

    version: Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+$", examples=["v1.17.9"])]
    """Release of the NVIDIA Container Toolkit."""

    sha256: Annotated[dict[Arch, Sha256], Field(examples=[{"amd64": "90b0c1..."}])] = {}
    """SHA-256 of `nvidia-runtime-<version>-<x86-64|arm64>.raw` by architecture."""

    mirror: HttpsUrl = MIRROR
    """Base URL that holds the image; a site without internet names its own."""


class KubeVipSpec(Spec):
    """kube-vip on the servers, which gives `api_address` to one of them, and to another within seconds when that one
    fails. The servers are in one network, without a router between them."""

    image: ImageRef
    """Image of kube-vip, with its digest."""

    interface: InterfaceName | None = None
    """Network card that the address is put on; that of `network.interface` if left out, else that of the default
    route."""


class K3sSpec(Spec):
    """K3s on the hosts of a site. The tokens are the secrets `k3s-token` and `k3s-agent-token`."""

    version: K3sVersion
    """Release for all hosts; `hosts[].k3s_version` overrides it for one."""

    releases: Annotated[
        dict[K3sVersion, dict[Arch, Sha256]], Field(examples=[{"v1.36.3+k3s1": {"amd64": "2f98a9..."}}])
    ]
    """SHA-256 of the `k3s` binary of each release and architecture that may be installed."""

    mirror: HttpsUrl = "https://github.com/k3s-io/k3s/releases/download"
    """Base URL that holds `<version>/k3s[-arm64]`; a site without internet names its own."""

    sysext: K3sImages | None = None
    """Present, hosts with Flatcar get K3s as an image that systemd-sysext merges into /usr, in place of a file in
    /opt/bin. The binary in it is still compared with `releases`. Hosts with another system keep the file."""

    nvidia_runtime: NvidiaRuntime | None = None
    """Present, hosts with Flatcar and an NVIDIA GPU get its container runtime before K3s starts. The driver is the
    system's own extension: a line such as `nvidia-drivers-570-open` in /etc/flatcar/enabled-sysext.conf."""

    data_dir: DataDir | None = None
    """Folder on another disk for all that K3s keeps: datastore, images, volumes of `local-path`. It is mounted at
    /var/lib/rancher/k3s, and cannot change while a host is installed."""

    api_address: SharedAddress | None = None
    """Address of the Kubernetes API that outlives any one server: a virtual IP, a load balancer or a name with several
    records. Required with more than one server; a single server's own address otherwise."""

    kube_vip: KubeVipSpec | None = None
    """Whether the servers hold `api_address` themselves, where no load balancer does: write `kube_vip: {}`."""

    datastore: Datastore = EmbeddedDatastore()
    """Where the cluster's state is kept."""

    pod_cidr: PodCidr = "10.42.0.0/16"
    """Network of the pods. For both families, one of each with a comma between; the first one is preferred."""

    service_cidr: ServiceCidr = "10.43.0.0/16"
    """Network of the services, of the families of `pod_cidr`, in the same order."""

    flannel_backend: Literal["wireguard-native", "vxlan", "host-gw"] = "wireguard-native"
    """How pod traffic travels between hosts; wireguard-native encrypts it."""

    embedded_registry: bool = False
    """Whether hosts share images with each other (Spegel), to pull each one over the uplink once."""

    registries: dict[NonEmpty, RegistryMirror] = {}
    """Mirrors by registry (`docker.io`, `ghcr.io`, `*`)."""

    airgap_images: dict[K3sVersion, dict[Arch, Sha256]] = {}
    """SHA-256 of `k3s-airgap-images-<arch>.tar.zst` by release; given, hosts load K3s' own images from the mirror."""

    pod_max_pids: Annotated[int, Field(ge=64, le=65536)] = 4096
    """Most processes that one pod may have."""

    selinux: bool | None = None
    """Whether containers are confined by SELinux. Needs a system that has it, with the package `k3s-selinux`. Left out,
    they are not, and a host that enforces SELinux without that package is refused; `false` accepts it."""

    fail_cgroup_v1: bool = True
    """Whether the kubelet refuses a host with cgroup v1, as Kubernetes 1.35 and newer do by default. `false` runs nodes
    on such hosts (older kernels, some vendors' images); Kubernetes no longer develops cgroup v1."""

    kubelet_args: tuple[Argument, ...] = ()
    """Arguments of the kubelet on every host, `name=value`, beside those that are set for the CIS benchmark."""

    kube_apiserver_args: tuple[Argument, ...] = ()
    """Arguments of the API server, `name=value`, beside those that are set for the CIS benchmark."""

    kube_controller_manager_args: tuple[Argument, ...] = ()
    """Arguments of the controller manager, `name=value`, beside those that are set for the CIS benchmark."""

    kube_scheduler_args: tuple[Argument, ...] = ()
    """Arguments of the scheduler, `name=value`."""

    disable: tuple[Literal["traefik", "servicelb", "local-storage", "metrics-server"], ...] = ()
    """Components of K3s that a site does without. `traefik` and `servicelb` never run. CoreDNS always does: everything
    in a cluster finds its services by it."""

    tls_sans: tuple[Address, ...] = ()
    """More names and addresses that the API's certificate is good for."""

    node_labels: NodeLabels = {}
    """Labels of all nodes. One that is no longer written is taken off the Nodes."""

    taints: tuple[Taint, ...] | None = None
    """Taints of all nodes, as `kubectl taint` takes them; `[]` removes those that were here before. Left out, a node
    keeps what it has."""
