"""What edits do to a cluster that is up: its datastore, networks, releases and servers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied, AppliedHost, Held, Pair
from components.host.machine import Machine
from components.host.plan import identity_of
from components.k3s import node_settings, virtual_ip
from components.k3s.hardening import DATA
from components.k3s.plan import (
    CONFIG,
    DATA_MOUNT,
    REGISTRIES,
    DatastoreKind,
    datastore_kind,
    images_of,
    registries,
    registries_digest,
    to_yaml,
    version_of,
)
from components.k3s.spec import ExternalDatastore, K3sSpec
from components.view import Site

PART = "k3s"
ROLE = "k3s"
"""Role of the command that installs K3s on a host, and of its uninstall."""

_HEADER = re.compile(r"^# \S+: K3s (?P<version>v\S+?), (?P<role>server|agent)\.", re.MULTILINE)
_CONFIG = re.compile(
    rf"^put_file {re.escape(CONFIG)} \d+ <<'(?P<end>EDGE_FILE_*)'\n(?P<text>.*?)^(?P=end)$", re.M | re.S
)

_VIRTUAL_IP = re.compile(_CONFIG.pattern.replace(re.escape(CONFIG), re.escape(virtual_ip.FILE)), re.M | re.S)
_REGISTRIES = re.compile(_CONFIG.pattern.replace(re.escape(CONFIG), re.escape(REGISTRIES)), re.M | re.S)
_REGISTRIES_MARK = re.compile(r"^# Registries with logins or authorities of their own: ([0-9a-f]{16})\.$", re.M)

_DATA_DIR = re.compile(rf"^put_file {re.escape(DATA_MOUNT)} .*?^What=(\S+)$", re.M | re.S)

_IMAGE = re.compile(r"^fetch \S+ [0-9a-f]{64} '?(/opt/extensions/[^' ]+)", re.M)

_EXTERNAL = "read_secret datastore_endpoint"
"""What only the install script of a server with an external datastore does."""

_REFUSED = "stops before it changes the host: the install script asks the disk"

NEW_CLUSTER = Edit(
    "k3s-datastore-replaced",
    "The datastore changes between embedded and external, or to another engine",
    Effect.DESTROYS,
    _REFUSED,
)
SHRINKS = Edit(
    "k3s-one-server-stays",
    "Several servers become one",
    Effect.INTERRUPTS,
    "removes the others; the datastore stays etcd",
)
GROWS = Edit(
    "k3s-sqlite-to-etcd", "One server becomes several (SQLite to etcd)", Effect.INTERRUPTS, "migrates in place"
)
NETWORKS = Edit("k3s-network-changed", "The pod or service network changes", Effect.IMPOSSIBLE, _REFUSED)
DATA_DIR = Edit("k3s-data-dir-changed", "`k3s.data_dir` changes", Effect.IMPOSSIBLE, _REFUSED)
DOWNGRADE = Edit("k3s-downgrade", "A server's K3s goes back to an older minor version", Effect.IMPOSSIBLE, _REFUSED)
PATCH_BACK = Edit("k3s-patch-downgrade", "A server's K3s goes back within its minor version", Effect.DESTROYS, _REFUSED)
SKIPS = Edit("k3s-skips-minors", "A server's K3s skips minor versions", Effect.IMPOSSIBLE, _REFUSED)
UPGRADE = Edit(
    "k3s-upgrade", "K3s is upgraded", Effect.INTERRUPTS, "restarts K3s host by host; containers keep running"
)
AGENT_BACK = Edit("k3s-agent-downgrade", "An agent's K3s goes back to an older release", Effect.DESTROYS, _REFUSED)
FLANNEL = Edit(
    "k3s-flannel-changed",
    "The flannel backend changes",
    Effect.INTERRUPTS,
    "restarts K3s host by host; pods of hosts with different backends do not reach each other meanwhile",
)
NO_SERVER_STAYS = Edit(
    "k3s-no-server-stays",
    "The last server is removed",
    Effect.IMPOSSIBLE,
    "stops: the new server may not start a cluster",
)
QUORUM = Edit(
    "k3s-quorum-removed",
    "A quorum of the servers is removed in one step",
    Effect.DESTROYS,
    "**removes them**, one after the other",
)
ROLE_CHANGED = Edit("k3s-role-changed", "A host's role changes between server and agent", Effect.IMPOSSIBLE, _REFUSED)
SERVER_MOVED = Edit(
    "k3s-server-moved",
    "The address of an etcd server changes",
    Effect.DESTROYS,
    "restarts K3s there; where the machine's own address changed, it is no longer a member of etcd",
)
ONLY_SERVER_REINSTALLED = Edit(
    "k3s-only-server-reinstalled",
    "The host key of the only server changes",
    Effect.DESTROYS,
    "stops on an empty disk: the host may not start a second cluster",
)
REMOVED = Edit("k3s-removed", "`k3s` is removed from a site", Effect.DESTROYS, "**wipes the cluster**")
UNKNOWN = Edit(
    "k3s-unknown",
    "The state does not tell what was installed on a server",
    Effect.DESTROYS,
    _REFUSED,
)
REGISTRIES_CHANGED = Edit(
    "k3s-registries-changed",
    "Registries, their logins or their authorities change",
    Effect.INTERRUPTS,
    "restarts K3s host by host; containers keep running",
)
INSTALLED_OTHERWISE = Edit(
    "k3s-sysext-changed",
    "`k3s.sysext` or `k3s.nvidia_runtime` is added or removed, or their images change",
    Effect.INTERRUPTS,
    "restarts K3s host by host; containers keep running. An image that is no longer named stays merged",
)
VIRTUAL_IP = Edit(
    "k3s-virtual-ip-changed",
    "kube-vip comes, goes, or gets another card or image",
    Effect.INTERRUPTS,
    "K3s applies its manifest anew; one that goes keeps running until somebody deletes it",
)
EDITS = (
    NEW_CLUSTER,
    SHRINKS,
    GROWS,
    NETWORKS,
    DATA_DIR,
    DOWNGRADE,
    PATCH_BACK,
    SKIPS,
    AGENT_BACK,
    UPGRADE,
    FLANNEL,
    NO_SERVER_STAYS,
    QUORUM,
    ROLE_CHANGED,
    SERVER_MOVED,
    ONLY_SERVER_REINSTALLED,
    REMOVED,
    UNKNOWN,
    *node_settings.EDITS,
    REGISTRIES_CHANGED,
    INSTALLED_OTHERWISE,
    VIRTUAL_IP,
)


@dataclass(frozen=True)
class Installed:
    """K3s as it was installed on one host: what the install script that finished says."""

    server: bool
    version: str
    datastore: DatastoreKind | None
    """None on an agent."""
    engine: str | None
    """Of an external datastore."""
    config: Mapping[str, Any]
    data_dir: str | None = None
    images: tuple[str, ...] = ()
    """Paths of the images that it came from or with, which tell release and checksum."""


def installed(before: Applied, node: str) -> Installed | None:
    """What was installed on a host; None where nothing was, or where the script cannot be read."""
    command = before.command(f"{node}-{ROLE}")
    script = command.script() if command else ""
    header, config = _HEADER.search(script), _CONFIG.search(script)
    if header is None or config is None:
        return None
    settings = yaml.load(config["text"], Loader=yaml.CSafeLoader)
    if not isinstance(settings, dict):
        return None
    server = header["role"] == "server"
    datastore: DatastoreKind | None = None
    engine: str | None = None
    if server:
        external = _EXTERNAL in script
        datastore = "external" if external else "etcd" if "etcd-snapshot-schedule-cron" in settings else "sqlite"
        engine = ("postgresql" if "postgres://" in script else "etcd") if external else None
    elsewhere, images = _DATA_DIR.search(script), tuple(_IMAGE.findall(script))
    return Installed(server, header["version"], datastore, engine, settings, elsewhere and elsewhere[1], images)


def consequences(before: Applied, pairs: Sequence[Pair], spec: K3sSpec | None, site: Site) -> Iterator[Consequence]:
    """What becomes of the cluster."""
    nodes = [host.node for host in before.hosts.values() if before.command(f"{host.node}-{ROLE}")]
    if not nodes:
        return
    if spec is None:
        yield REMOVED.found(
            PART,
            "the cluster is deleted, with everything in it.",
            "save its data first; then `--allow-destroy k3s`",
        )
        return
    were = {node: found for node in nodes if (found := installed(before, node))}
    if unreadable := [node for node in nodes if node not in were]:
        yield UNKNOWN.found(
            PART,
            f"the state does not tell what was installed on {', '.join(unreadable)}.",
            "compare the hosts with the site file (`edge drift`); then `--allow-destroy k3s`",
        )
    servers = {node: one for node, one in were.items() if one.server}
    if servers:
        yield from _datastore(next(iter(servers.values())), spec, site)
        yield from _networks(next(iter(servers.values())), spec)
        yield from _servers(servers, pairs, spec)
    if any(_registries_differ(before.command(f"{node}-{ROLE}"), spec) for node in were):
        yield REGISTRIES_CHANGED.found(
            PART,
            "the registries that images come from change: K3s restarts on each host; containers keep running.",
        )
    yield from _virtual_ip(before, [node for node in were if were[node].server], spec, site)
    stay: list[node_settings.Was] = []
    for pair in pairs:
        if pair.before is None or pair.after is None or pair.before.node not in were:
            continue
        one, machine = were[pair.before.node], pair.after
        if one.server != machine.is_server:
            yield _role(one, machine)
            continue
        if one.data_dir != spec.data_dir:
            yield DATA_DIR.found(
                PART,
                f"the data of K3s on {machine.node} is in {one.data_dir or DATA}, and does not move to "
                f"{spec.data_dir or DATA} by itself.",
                "keep `data_dir` as it was; or describe a new site with the other one, move the workloads, then "
                "destroy this one",
                host=machine.name,
                node=machine.node,
            )
        yield from _release(one, machine, spec)
        yield from _installed_otherwise(one, machine, spec)
        if one.server:
            yield from _address(one, pair.before, machine, spec, len(servers))
        stay.append((one.server, one.config, machine))
    yield from node_settings.consequences(stay, spec, site)


def _virtual_ip(before: Applied, nodes: Sequence[str], spec: K3sSpec, site: Site) -> Iterator[Consequence]:
    was = None
    for node in nodes:
        command = before.command(f"{node}-{ROLE}")
        found = _VIRTUAL_IP.search(command.script()) if command else None
        was = was or (found["text"] if found else None)
    now = virtual_ip.objects(spec, site.servers)
    if was and not now:
        yield VIRTUAL_IP.found(
            PART,
            "kube-vip is no longer asked for. K3s deletes nothing of a manifest that goes: it keeps the address until "
            "somebody does.",
            "when something else can hold the address: on one server "
            f"`k3s kubectl delete --filename {virtual_ip.FILE}`, then remove that file on each",
        )
    elif nodes and now and was != "---\n".join(map(to_yaml, now)):
        yield VIRTUAL_IP.found(
            PART,
            f"{spec.api_address} is held by kube-vip from now on, or by another one: who uses the API by it is cut off "
            "for seconds.",
            "release the address where something else holds it, in the same minute",
        )


def _datastore(was: Installed, spec: K3sSpec, site: Site) -> Iterator[Consequence]:
    now = datastore_kind(spec, len(site.servers))
    engine = spec.datastore.engine if isinstance(spec.datastore, ExternalDatastore) else None
    if (was.datastore, was.engine) == (now, engine):
        return
    if "external" in (was.datastore, now):
        yield NEW_CLUSTER.found(
            PART,
            f"the datastore changes from {_called(was.datastore, was.engine)} to {_called(now, engine)}: K3s starts a "
            "new, empty "
            "cluster, and everything in the present one is lost.",
            "keep the datastore; or describe a new site with the other one, move the workloads, then destroy this one",
        )
    elif now == "sqlite":
        yield SHRINKS.found(
            PART,
            "one server stays, with the only copy of the datastore, which stays etcd.",
            "keep three servers, or take snapshots off that host",
        )
    else:
        yield GROWS.found(
            PART, "the first server restarts, and migrates SQLite to etcd.", "take a backup of SQLite first"
        )


def _called(kind: str | None, engine: str | None) -> str:
    names = {"sqlite": "SQLite", "etcd": "embedded etcd"}
    return names.get(kind or "", f"external {engine}")


def _networks(was: Installed, spec: K3sSpec) -> Iterator[Consequence]:
    for key, now, name in (
        ("cluster-cidr", spec.pod_cidr, "pod network"),
        ("service-cidr", spec.service_cidr, "service network"),
    ):
        if was.config.get(key) != now:
            yield NETWORKS.found(
                PART,
                f"the {name} changes from {was.config.get(key)} to {now}, and K3s fixes its networks when a cluster "
                "starts.",
                "keep the network; or describe a new site with the other one, move the workloads, then destroy this "
                "one",
            )
    if was.config.get("flannel-backend") != spec.flannel_backend:
        yield FLANNEL.found(
            PART,
            f"flannel changes from {was.config.get('flannel-backend')} to {spec.flannel_backend}: pods of different "
            "hosts do not "
            "reach each other until all hosts have it.",
            "do it in a maintenance window",
        )


def _servers(servers: Mapping[str, Installed], pairs: Sequence[Pair], spec: K3sSpec) -> Iterator[Consequence]:
    """Servers that go. With an external datastore, any new server continues the cluster."""
    if isinstance(spec.datastore, ExternalDatastore):
        return
    stay = [
        pair for pair in pairs if pair.after and pair.before and pair.before.node in servers and pair.after.is_server
    ]
    gone = [pair.before for pair in pairs if pair.after is None and pair.before and pair.before.node in servers]
    if gone and not stay:
        yield NO_SERVER_STAYS.found(
            PART,
            f"no server stays: {', '.join(host.node for host in gone)} {'hold' if len(gone) > 1 else 'holds'} the "
            "cluster's only "
            "datastore.",
            "add the new servers first, run `edge up`, then remove the old one"
            if len(servers) > 1
            else "restore a backup of the datastore on the new machine, under the same host name (docs/operations.md)",
        )
    elif len(gone) > (len(servers) - 1) // 2:
        yield QUORUM.found(
            PART,
            f"{len(gone)} of {len(servers)} servers go in one step, which is a quorum: if one of the others fails "
            "meanwhile, the "
            "datastore is lost.",
            "remove one server, run `edge up`, then the next",
        )


def _role(was: Installed, machine: Machine) -> Consequence:
    old, new = ("server", "agent") if was.server else ("agent", "server")
    return ROLE_CHANGED.found(
        PART,
        f"{machine.node} is installed as {old}, and K3s cannot change that in place to {new}.",
        f"remove {machine.name}, run `edge up`, then add it again with `role: {new}`",
        host=machine.name,
        node=machine.node,
    )


def _release(was: Installed, machine: Machine, spec: K3sSpec) -> Iterator[Consequence]:
    now = version_of(spec, machine)
    if was.version == now:
        return
    old, new = _numbers(was.version), _numbers(now)
    change = f"{machine.node} goes from {was.version} to {now}"
    at = {"host": machine.name, "node": machine.node}
    if not was.server and new < old:
        yield AGENT_BACK.found(
            PART,
            f"{change}: K3s does not support a downgrade.",
            "remove the agent, run `edge up`, then add it again",
            **at,
        )
    elif new[:2] < old[:2]:
        yield DOWNGRADE.found(
            PART,
            f"{change}: the datastore has objects that the older release does not read.",
            f"keep {was.version}; or restore a snapshot from before the upgrade (docs/operations.md)",
            **at,
        )
    elif new < old:
        yield PATCH_BACK.found(
            PART,
            f"{change}: K3s does not support a downgrade.",
            f"keep {was.version}; or take a snapshot first, then `--allow-destroy {machine.name}`",
            **at,
        )
    elif was.server and new[1] > old[1] + 1:
        yield SKIPS.found(
            PART,
            f"{change}: Kubernetes upgrades one minor version at a time.",
            f"go through 1.{old[1] + 1} first, then on to 1.{new[1]}, with `edge up` each time",
            **at,
        )
    else:
        yield UPGRADE.found(PART, f"{change}: K3s restarts; containers keep running.", **at)


def _installed_otherwise(was: Installed, machine: Machine, spec: K3sSpec) -> Iterator[Consequence]:
    now = tuple(image.path for image in images_of(spec, machine))
    if was.version != version_of(spec, machine) or was.images == now:
        return
    kinds = {path.split("/")[3] for path in now}
    left = [name for path in was.images if (name := path.split("/")[3]) not in kinds]
    yield INSTALLED_OTHERWISE.found(
        PART,
        f"the images that K3s on {machine.node} comes from or with change: it restarts; containers keep running.",
        f"afterwards, on the host: `rm /etc/extensions/{left[0]}.raw && systemd-sysext refresh`" if left else "",
        host=machine.name,
        node=machine.node,
    )


def _numbers(version: str) -> tuple[int, ...]:
    """`v1.36.3+k3s1` -> (1, 36, 3, 1). A release candidate counts as its release."""
    return tuple(int(number) for number in re.findall(r"\d+", re.sub(r"-rc\d+", "", version.replace("k3s", ""))))


def _address(was: Installed, host: AppliedHost, machine: Machine, spec: K3sSpec, servers: int) -> Iterator[Consequence]:
    at = {"host": machine.name, "node": machine.node}
    if was.datastore == "sqlite" and servers == 1 and host.identity not in (None, identity_of(machine.spec.host_key)):
        yield ONLY_SERVER_REINSTALLED.found(
            PART,
            f"{machine.node} is the only server: with another installation of it, its datastore is gone.",
            "restore a backup of the datastore first (docs/operations.md, 'A lost only server')",
            **at,
        )
    known = [str(name) for name in was.config.get("tls-san", ())]
    if was.datastore != "etcd" or (was.config.get("node-ip") or "") == (machine.spec.node_ip or "") != "":
        return
    if machine.node_address not in known:
        yield SERVER_MOVED.found(
            PART,
            f"{machine.node} gets the address {machine.node_address}; etcd knows its members by their address, and "
            "refuses this "
            "one if the machine's own address has changed.",
            f"write `node_ip` if only the way to it changed; otherwise remove {machine.name}, run `edge up`, then add "
            "it again",
            **at,
        )


def _registries_differ(command: Held | None, spec: K3sSpec) -> bool:
    """Whether a host has other registries. A new value of a login is a secret, and cannot be seen here."""
    script = command.script() if command else ""
    if mark := _REGISTRIES_MARK.search(script):
        return mark[1] != registries_digest(spec)
    plain = _REGISTRIES.search(script)
    return plain is None or bool(registries_digest(spec)) or yaml.safe_load(plain["text"]) != registries(spec)
