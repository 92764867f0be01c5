"""Every kind of edit of a site that is up, as one change of a site file: the rows of docs/consequences.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from components.consequence import Effect
from stacks.catalogue import PROJECT_ROOT

Content = dict[str, Any]
Change = Callable[[Content], object]

_BEHIND_A_PROXY = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "valid" / "behind-a-proxy.yaml"

_KEYS = [f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgfvX0m4l3N9oYzVY0m3rT2mJ6k8Qw7p1fZ5c2b9d{n}e" for n in range(10)]


def base(name: str) -> Content:
    """A site that is up: `shop` has one server, Rancher and a mesh; `plant` three servers, an agent behind one of
    them, Arc and a mesh; `kiosk` goes out through a proxy; `gpu` has NVIDIA's
    packages; `outpost` is an instance and `cluster` a local cluster on an
    Outpost."""
    if name in ("outpost", "cluster"):
        return _file("outpost-seattle" if name == "outpost" else "outpost-frankfurt")
    if name == "gpu":
        gpu: Content = yaml.safe_load(_BEHIND_A_PROXY.with_name("nvidia-packages.yaml").read_text())
        gpu["os"]["disk"] = "luks-tpm2"
        return {**gpu, "k3s": {"version": "v1.36.3+k3s1", "releases": _releases()}}
    if name == "kiosk":
        kiosk: Content = yaml.safe_load(_BEHIND_A_PROXY.read_text())
        return kiosk
    content = _file("demo" if name == "shop" else "prod")
    content["k3s"]["releases"] = _releases()
    if name == "shop":
        content["registrations"] = [{"kind": "rancher", "api_url": "https://rancher.example.com"}]
        content["gitops"]["tenancy"] = {"remote_bases": True}
        return content
    content["hosts"].append(_host("d", 4, role="agent", via="a"))
    del content["inference"]  # it would need the host with the GPU
    return content


def _file(site: str) -> Content:
    content: Content = yaml.safe_load((PROJECT_ROOT / "stacks" / "sites" / f"{site}.yaml").read_text())
    return content


def _releases() -> dict[str, dict[str, str]]:
    versions = [f"v1.{minor}.3+k3s1" for minor in range(33, 39)] + ["v1.36.1+k3s1", "v1.36.5+k3s1"]
    return {version: {"amd64": "ab" * 32, "arm64": "cd" * 32} for version in versions}


def _host(name: str, number: int, **more: Any) -> Content:
    return {
        "name": name,
        "hardware": "poweredge-xr4000",
        "address": f"10.20.0.{10 + number}",
        "host_key": _KEYS[number],
        **more,
    }


def _without(*names: str) -> Change:
    def change(site: Content) -> None:
        site["hosts"] = [host for host in site["hosts"] if host["name"] not in names]

    return change


def _set(index: int, **fields: Any) -> Change:
    return lambda site: site["hosts"][index].update(fields)


def _k3s(**fields: Any) -> Change:
    return lambda site: site["k3s"].update(fields)


def _drop(key: str) -> Change:
    return lambda site: site.pop(key)


def _put(key: str, value: Any) -> Change:
    return lambda site: site.update({key: value})


def _one_server(site: Content) -> None:
    _without("b", "c")(site)


def _three_servers(site: Content) -> None:
    site["hosts"] += [_host(name, number, hardware="hpe-el8000") for name, number in (("b", 5), ("c", 6))]
    site["k3s"]["api_address"] = "10.10.0.10"


def _other_servers(*gone: str) -> Change:
    def change(site: Content) -> None:
        _without(*gone)(site)
        site["hosts"] += [_host(f"n{number}", number) for number in range(5, 5 + len(gone))]
        for host in site["hosts"]:
            host.pop("via", None)

    return change


def _swap(site: Content) -> None:
    first, second = site["hosts"][:2]
    for key in ("address", "host_key"):
        first[key], second[key] = second[key], first[key]


def _replaced_jump_host(site: Content) -> None:
    _other_servers("a")(site)
    site["hosts"] = [{**host, "via": "b"} if host["name"] == "d" else host for host in site["hosts"]]


def _roles(site: Content) -> None:
    _set(2, role="agent")(site)
    _set(3, role="server")(site)


def _selinux(site: Content) -> None:
    site["os"] = {"distribution": "fedora-coreos"}
    _k3s(selinux=True)(site)


def _driver(release: str) -> Change:
    return lambda site: site["os"]["nvidia"].update(driver=release)


def _repository(site: Content) -> None:
    site["gitops"]["source"]["git"] = "https://git.example.com/edge/other.git"


def _compute(**fields: Any) -> Change:
    return lambda site: site["place"]["compute"].update(fields)


def _of_amazon_linux_2(site: Content) -> None:
    site["place"]["compute"]["nodes"]["ami_family"] = "al2"


@dataclass(frozen=True)
class Row:
    """One edit, and what it has to be called."""

    name: str
    base: str
    change: Change
    edits: frozenset[str]
    """Names of the edits that are found."""
    worst: Effect | None
    """None where nothing is to be said."""

    def site(self) -> Content:
        """The site file after the edit."""
        content = base(self.base)
        self.change(content)
        return content


def _row(name: str, site: str, change: Change, edits: str, worst: Effect | None) -> Row:
    return Row(name, site, change, frozenset(edits.split()), worst)


_NO, _LOSES, _STOPS, _SAFE = Effect.IMPOSSIBLE, Effect.DESTROYS, Effect.INTERRUPTS, Effect.HARMLESS
_EXTERNAL = {"kind": "external", "engine": "postgresql"}

ROWS = (
    _row("a host is renamed", "shop", _set(0, name="z"), "host-renamed", _NO),
    _row("a host is renamed in place", "plant", _set(1, name="z", renamed_from="b"), "host-renamed-in-place", _STOPS),
    _row(
        "the only host is renamed in place",
        "shop",
        _set(0, name="z", renamed_from="a"),
        "host-renamed-in-place",
        _STOPS,
    ),
    _row("two hosts change places", "plant", _swap, "host-renamed", _NO),
    _row("a host is removed", "plant", _without("d"), "host-removed", _LOSES),
    _row("a server is replaced", "plant", _other_servers("c"), "host-removed host-added", _LOSES),
    _row(
        "a host is added", "plant", lambda site: site["hosts"].append(_host("e", 5, role="agent")), "host-added", _SAFE
    ),
    _row("a host is reinstalled", "plant", _set(1, host_key=_KEYS[7]), "host-reinstalled", _STOPS),
    _row(
        "the only server is reinstalled",
        "shop",
        _set(0, host_key=_KEYS[7]),
        "host-reinstalled k3s-only-server-reinstalled",
        _LOSES,
    ),
    _row("an agent moves", "plant", _set(3, address="10.20.9.14"), "host-moved", _STOPS),
    _row("an etcd server moves", "plant", _set(1, address="10.20.9.12"), "host-moved k3s-server-moved", _LOSES),
    _row("the only server moves", "shop", _set(0, address="10.10.9.11"), "host-moved", _STOPS),
    _row(
        "a jump host moves",
        "plant",
        _set(0, address="10.20.9.11", node_ip="10.20.0.11"),
        "host-moved host-way-changed",
        _STOPS,
    ),
    _row("a jump host is removed", "plant", _replaced_jump_host, "host-removed host-added host-way-changed", _LOSES),
    _row("NVIDIA's driver changes", "gpu", _driver("590.44.01"), "host-driver-changed", _STOPS),
    _row("NVIDIA's packages are left to others", "gpu", lambda site: site["os"].pop("nvidia"), "", None),
    _row("the site is renamed", "shop", _put("site", "shop-2"), "site-renamed k3s-labels-changed", _NO),
    _row("SQLite to external", "shop", _k3s(datastore=_EXTERNAL), "k3s-datastore-replaced", _LOSES),
    _row("etcd to external", "plant", _k3s(datastore=_EXTERNAL), "k3s-datastore-replaced", _LOSES),
    _row("SQLite to etcd", "shop", _three_servers, "k3s-sqlite-to-etcd host-added", _STOPS),
    _row("etcd to SQLite", "plant", _one_server, "k3s-one-server-stays k3s-quorum-removed host-removed", _LOSES),
    _row("pod network", "shop", _k3s(pod_cidr="10.44.0.0/16"), "k3s-network-changed", _NO),
    _row("service network", "plant", _k3s(service_cidr="10.45.0.0/16"), "k3s-network-changed", _NO),
    _row("K3s' data on another disk", "shop", _k3s(data_dir="/data/k3s"), "k3s-data-dir-changed", _NO),
    _row("flannel backend", "plant", _k3s(flannel_backend="vxlan"), "k3s-flannel-changed", _STOPS),
    _row("downgrade", "shop", _k3s(version="v1.35.3+k3s1"), "k3s-downgrade", _NO),
    _row("downgrade by two minors", "plant", _k3s(version="v1.34.3+k3s1"), "k3s-downgrade k3s-agent-downgrade", _NO),
    _row("downgrade of a patch", "shop", _k3s(version="v1.36.1+k3s1"), "k3s-patch-downgrade", _LOSES),
    _row("downgrade of an agent", "plant", _set(3, k3s_version="v1.35.3+k3s1"), "k3s-agent-downgrade", _LOSES),
    _row("upgrade", "shop", _k3s(version="v1.37.3+k3s1"), "k3s-upgrade", _STOPS),
    _row("upgrade that skips a minor", "shop", _k3s(version="v1.38.3+k3s1"), "k3s-skips-minors", _NO),
    _row(
        "the last server is replaced",
        "shop",
        _put("hosts", [_host("b", 5)]),
        "k3s-no-server-stays host-removed host-added",
        _NO,
    ),
    _row(
        "all servers are replaced",
        "plant",
        _other_servers("a", "b", "c"),
        "k3s-no-server-stays host-removed host-added host-way-changed",
        _NO,
    ),
    _row(
        "a quorum is replaced",
        "plant",
        _other_servers("b", "c"),
        "k3s-quorum-removed host-removed host-added",
        _LOSES,
    ),
    _row("a server and an agent change roles", "plant", _roles, "k3s-role-changed", _NO),
    _row(
        "K3s is removed",
        "plant",
        lambda site: [site.pop(key) for key in ("k3s", "gitops", "telemetry", "registrations")],
        "k3s-removed arc-removed flux-removed telemetry-removed",
        _LOSES,
    ),
    _row(
        "another login server",
        "plant",
        _put("mesh", {"kind": "tailscale", "tags": ["warehouse"], "login_server": "https://hs.example.com"}),
        "tailscale-login-server-changed",
        _NO,
    ),
    _row(
        "another network is reached without the proxy",
        "kiosk",
        lambda site: site["network"]["proxy"]["no_proxy"].append("10.99.0.0/16"),
        "network-changed",
        _STOPS,
    ),
    _row(
        "a trusted authority goes", "kiosk", lambda site: site["network"].pop("trusted_cas"), "network-changed", _STOPS
    ),
    _row(
        "a registry asks for a login",
        "kiosk",
        _k3s(registries={"*": {"endpoints": ["https://registry.example.com"], "login": "mirror"}}),
        "k3s-registries-changed",
        _STOPS,
    ),
    _row(
        "K3s becomes an image",
        "plant",
        _k3s(sysext={"images": {"v1.36.3+k3s1": {"amd64": "ab" * 32}}}),
        "k3s-sysext-changed",
        _STOPS,
    ),
    _row("the proxy goes", "kiosk", _drop("network"), "network-removed", _STOPS),
    _row(
        "a host in a network of the exceptions is added",
        "kiosk",
        lambda site: site["hosts"].append(_host("c", 3, address="10.10.0.13", role="agent")),
        "host-added",
        _SAFE,
    ),
    _row("the mesh is removed", "shop", _drop("mesh"), "tailscale-removed", _LOSES),
    _row("Arc is removed", "plant", _drop("registrations"), "arc-removed", _LOSES),
    _row(
        "Arc moves", "plant", lambda site: site["registrations"][0].update(location="northeurope"), "arc-moved", _LOSES
    ),
    _row("Rancher is removed", "shop", _drop("registrations"), "rancher-removed", _LOSES),
    _row(
        "another Rancher",
        "shop",
        lambda site: site["registrations"][0].update(api_url="https://rancher-2.example.com"),
        "rancher-moved",
        _LOSES,
    ),
    _row("GitOps is removed", "shop", _drop("gitops"), "flux-removed", _LOSES),
    _row("another repository", "shop", _repository, "flux-source-changed", _LOSES),
    _row("Flux is locked down", "shop", lambda site: site["gitops"].pop("tenancy"), "flux-locked-down", _STOPS),
    _row("telemetry is removed", "shop", _drop("telemetry"), "telemetry-removed", _LOSES),
    _row("Triton is removed", "shop", _drop("inference"), "triton-removed", _STOPS),
    _row("labels", "shop", _put("labels", {"ring": "canary"}), "k3s-labels-changed", _SAFE),
    _row("taints", "plant", _set(3, taints=["dedicated=vision:NoExecute"]), "k3s-taints-changed", _STOPS),
    _row("SELinux", "plant", _selinux, "k3s-selinux-changed", _STOPS),
    _row(
        "routes of the tailnet",
        "plant",
        lambda site: site["mesh"].update(accept_routes=True),
        "tailscale-routes-accepted",
        _STOPS,
    ),
    _row("network card", "plant", _put("network", {"interface": "eno2"}), "k3s-interface-changed", _STOPS),
    _row(
        "snapshots go to a storage",
        "plant",
        _k3s(datastore={"kind": "embedded", "s3": {"bucket": "snapshots"}}),
        "k3s-snapshots-changed",
        _STOPS,
    ),
    _row("kube-vip", "plant", _k3s(kube_vip={}), "k3s-virtual-ip-changed", _STOPS),
    _row("components", "shop", _k3s(disable=["metrics-server"]), "k3s-components-changed", _STOPS),
    _row(
        "arguments",
        "shop",
        _k3s(kubelet_args=["max-pods=60"], kube_scheduler_args=["kube-api-qps=50"]),
        "k3s-arguments-changed",
        _STOPS,
    ),
    _row(
        "another subnet",
        "cluster",
        lambda site: site["place"].update(subnet_cidr="10.61.9.0/24"),
        "outposts-subnet-changed",
        _LOSES,
    ),
    _row("host key", "outpost", _compute(host_key_from="first-contact"), "outposts-host-key-from", _NO),
    _row("nodes join otherwise", "cluster", _of_amazon_linux_2, "outposts-ami-family", _STOPS),
    _row("telemetry", "shop", _put("telemetry", {"offline_hours": 12}), "", None),
    _row("host health", "shop", _put("telemetry", {"host_health": True}), "", None),
    _row("order of the hosts", "plant", lambda site: site["hosts"].insert(0, site["hosts"].pop(1)), "", None),
    _row("nothing", "plant", lambda site: None, "", None),
)
