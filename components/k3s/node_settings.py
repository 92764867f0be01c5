"""What edits of the settings of nodes do to a cluster that is up: labels, taints, arguments, components. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.consequence import Consequence, Edit, Effect
from components.host.machine import Machine
from components.k3s import arguments
from components.k3s.plan import labels_of, taints_of
from components.k3s.snapshots import etcd_config
from components.k3s.spec import EmbeddedDatastore, K3sSpec
from components.view import Site

Was = tuple[bool, Mapping[str, Any], Machine]
"""A host that stays a node: whether it is a server, its `config.yaml` as it was installed, and what it is to be."""

LABELS = Edit(
    "k3s-labels-changed",
    "Labels of nodes change",
    Effect.HARMLESS,
    "restarts K3s; labels that are no longer written are taken off the Nodes",
)
SELINUX = Edit(
    "k3s-selinux-changed",
    "Confinement by SELinux begins or ends",
    Effect.INTERRUPTS,
    "restarts K3s host by host; containers that run stay as they are until they are made anew",
)
ARGUMENTS = Edit(
    "k3s-arguments-changed",
    "Arguments of Kubernetes' programs change",
    Effect.INTERRUPTS,
    "restarts K3s host by host; containers keep running",
)
TAINTS = Edit(
    "k3s-taints-changed",
    "Taints of nodes change",
    Effect.INTERRUPTS,
    "sets them on the Nodes, and restarts K3s; `NoExecute` evicts pods",
)
COMPONENTS = Edit(
    "k3s-components-changed",
    "Components of K3s are disabled or enabled",
    Effect.INTERRUPTS,
    "restarts K3s on the servers; what a disabled component has brought is removed from the cluster",
)
SNAPSHOTS = Edit(
    "k3s-snapshots-changed",
    "Schedule, number or destination of etcd's snapshots changes",
    Effect.INTERRUPTS,
    "restarts K3s server by server; containers keep running. Snapshots that were made stay where they are",
)
INTERFACE = Edit(
    "k3s-interface-changed",
    "The network card between nodes changes",
    Effect.INTERRUPTS,
    "restarts K3s host by host; pods of different hosts do not reach each other until all hosts have it",
)
EDITS = (INTERFACE, LABELS, ARGUMENTS, TAINTS, COMPONENTS, SELINUX, SNAPSHOTS)


def consequences(were: Sequence[Was], spec: K3sSpec, site: Site) -> Iterator[Consequence]:
    """What becomes of the nodes that stay."""
    servers = [config for server, config, _ in were if server]
    if servers:
        yield from _components(servers[0], spec)
        yield from _snapshots(servers[0], spec, site)
    moved = [machine.node for _, config, machine in were if config.get("flannel-iface") != machine.interface]
    if moved:
        yield INTERFACE.found(
            "k3s",
            f"the network card that other nodes reach {_listed(moved)} by changes: K3s restarts, and pods of different "
            "hosts do not reach each other until all hosts have it.",
            "do it in a maintenance window; the address of an etcd server must stay the one that it joined with",
        )
    yield from _arguments(were, spec)
    if tainted := [
        machine
        for _, config, machine in were
        if sorted(config.get("node-taint", ())) != sorted(taints_of(spec, machine) or ())
    ]:
        yield _taints(tainted, spec)
    if any(_labels_differ(config, machine, spec, site) for _, config, machine in were):
        yield LABELS.found(
            "k3s",
            "labels of nodes change, and K3s restarts. Those that are no longer written are taken off the Nodes; pods "
            "that run stay.",
        )
    if any(bool(config.get("selinux")) != bool(spec.selinux) for _, config, _ in were):
        yield SELINUX.found(
            "k3s",
            f"confinement by SELinux {'begins' if spec.selinux else 'ends'}: K3s restarts. Containers that run stay as "
            "they are until they are made anew.",
            "restart the workloads after `up`; try it on a test site first" if spec.selinux else "",
        )


def _arguments(were: Sequence[Was], spec: K3sSpec) -> Iterator[Consequence]:
    """Arguments that the site adds. Those that we set change with a release of this program, which says so itself."""
    changed = [
        program
        for field, (_, program) in arguments.FIELDS.items()
        if any(
            arguments.of_site(field, config) != sorted(getattr(spec, field))
            for server, config, _ in were
            if server or field == "kubelet_args"
        )
    ]
    if changed:
        yield ARGUMENTS.found(
            "k3s",
            f"arguments of {_listed(changed)} change: K3s restarts; containers keep running.",
            "an argument that this release does not know keeps K3s from starting: try it on a test site first",
        )


def _taints(machines: Sequence[Machine], spec: K3sSpec) -> Consequence:
    names = _listed([machine.node for machine in machines])
    if any(taints_of(spec, machine) is None for machine in machines):
        return TAINTS.found(
            "k3s",
            f"taints of {names} are no longer written, and stay on the Nodes: K3s removes none.",
            "write `taints: []` to have them removed",
        )
    return TAINTS.found(
        "k3s",
        f"taints of {names} change: they are set on the Nodes, and K3s restarts. `NoExecute` evicts the pods that do "
        "not tolerate it; pods that run stay with the other effects.",
    )


def _components(was: Mapping[str, Any], spec: K3sSpec) -> Iterator[Consequence]:
    before, after = set(was.get("disable", ())), {"traefik", "servicelb", *spec.disable}
    gone, back = sorted(after - before), sorted(before - after)
    if gone:
        volumes = " Volumes of the class `local-path` stay as they are; new ones find no provisioner."
        yield COMPONENTS.found(
            "k3s",
            f"K3s removes {_listed(gone)} from the cluster.{volumes if 'local-storage' in gone else ''}",
            "make sure that nothing in the cluster uses it",
        )
    if back:
        yield COMPONENTS.found("k3s", f"K3s brings {_listed(back)} to the cluster.")


def _snapshots(was: Mapping[str, Any], spec: K3sSpec, site: Site) -> Iterator[Consequence]:
    before = {key: value for key, value in was.items() if key.startswith(("etcd-snapshot-", "etcd-s3"))}
    if not before or not isinstance(spec.datastore, EmbeddedDatastore) or len(site.servers) == 1:
        return
    if etcd_config(spec.datastore, site.name, len(site.servers)) != before:
        yield SNAPSHOTS.found(
            "k3s",
            "schedule, number or destination of etcd's snapshots changes: K3s restarts on the servers. Snapshots that "
            "were made stay where they are.",
            "try it afterwards with `k3s etcd-snapshot save` on a server",
        )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _labels_differ(was: Mapping[str, Any], machine: Machine, spec: K3sSpec, site: Site) -> bool:
    now = labels_of(spec, machine, site.node_labels)
    return sorted(f"{key}={value}" for key, value in now.items()) != sorted(was.get("node-label", ()))
