"""What edits of the hosts do to a site that is up. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from components.consequence import Consequence, Edit, Effect
from components.host import nvidia
from components.host.applied import Applied, AppliedHost, Pair
from components.host.machine import Machine
from components.host.plan import identity_of

PART = "host"
CLEANS = ("base", nvidia.ROLE)
"""Roles of the host's own commands that clean it up."""

ADOPTED = Edit(
    "host-adopted",
    "A host that belongs to another site, or to another name, is named in a site file",
    Effect.DESTROYS,
    "stops at the first script: the host says whose it is",
)
ADDED = Edit("host-added", "A host is added", Effect.HARMLESS, "sets it up")
REMOVED = Edit(
    "host-removed",
    "A host is removed",
    Effect.DESTROYS,
    "**drains and wipes the host**: nothing but the preview says so beforehand",
)
RENAMED = Edit(
    "host-renamed",
    "A host is renamed without `renamed_from`",
    Effect.IMPOSSIBLE,
    "stops at the first script: the host carries its old name",
)
RENAMED_IN_PLACE = Edit(
    "host-renamed-in-place",
    "A host is renamed with `renamed_from`",
    Effect.INTERRUPTS,
    "renames it in place: the same resources, the same Kubernetes node",
)
REMOVED_BY_OLD_SCRIPTS = Edit(
    "host-removed-by-old-scripts",
    "A host is removed or renamed before the first `up` of this release",
    Effect.IMPOSSIBLE,
    "**runs the scripts of the release before, which do not ask the host for its name**",
)
REINSTALLED = Edit(
    "host-reinstalled",
    "The host key of a host changes",
    Effect.INTERRUPTS,
    "forgets the old node and joins the new installation",
)
MOVED = Edit(
    "host-moved", "The address of a host changes", Effect.INTERRUPTS, "applies the host again at its new address"
)
WAY_CHANGED = Edit(
    "host-way-changed",
    "A host that others go `via` is removed, moved or reinstalled",
    Effect.INTERRUPTS,
    "reaches the hosts behind it by their new way; stops at the first that does not answer there",
)
DRIVER_CHANGED = Edit(
    "host-driver-changed",
    "The release of NVIDIA's driver changes (`os.nvidia`)",
    Effect.INTERRUPTS,
    "stops before it installs anything, until K3s is stopped on the host; then stops until the host was rebooted",
)
SITE_RENAMED = Edit(
    "site-renamed",
    "A site is renamed",
    Effect.IMPOSSIBLE,
    "stops at the first script: the host says whose it is",
)
SITE_REMOVED = Edit(
    "site-destroyed",
    "A site is destroyed (`edge destroy`, `pulumi destroy`)",
    Effect.DESTROYS,
    "**wipes the hosts** after the usual question",
)
_DRIVER = re.compile(r"^say \"nvidia_driver=(\S+)\"$", re.MULTILINE)

EDITS = (
    ADOPTED,
    SITE_RENAMED,
    RENAMED,
    RENAMED_IN_PLACE,
    REMOVED_BY_OLD_SCRIPTS,
    SITE_REMOVED,
    REMOVED,
    REINSTALLED,
    MOVED,
    WAY_CHANGED,
    DRIVER_CHANGED,
    ADDED,
)


def consequences(before: Applied, pairs: Sequence[Pair], site: str, cleans: Sequence[str]) -> Iterator[Consequence]:
    """What becomes of the hosts. ``site`` is its id; ``cleans`` are the roles of the commands that clean up a host."""
    for pair in pairs:
        host, machine = pair.before, pair.after
        if machine is None:
            assert host is not None, "a pair has at least one side"
            yield _removed(before, host, cleans)
        elif host is None:
            if before.hosts:
                yield _of(ADDED, machine, f"{machine.node} is set up and joins.")
        elif not pair.declared:
            yield from _renamed(host, machine, site)
        else:
            if host.node != machine.node:
                yield from _declared(before, host, machine, cleans)
            yield from _changed(host, machine)
            yield from _driver(before, host, machine)
    yield from _ways(pairs)


def _declared(before: Applied, host: AppliedHost, machine: Machine, cleans: Sequence[str]) -> Iterator[Consequence]:
    if not before.deletes_only_own(host.node, cleans):
        yield _by_old_scripts(host, f"renamed to {machine.name}")
        return
    yield _of(
        RENAMED_IN_PLACE,
        machine,
        f"{host.node} becomes {machine.node}: host name and name in the mesh change, the Kubernetes node stays "
        f"{machine.kubernetes_node}.",
        "keep `renamed_from` in the site file as long as the host lives",
    )


def _removed(before: Applied, host: AppliedHost, cleans: Sequence[str]) -> Consequence:
    if not before.deletes_only_own(host.node, cleans):
        return _by_old_scripts(host, "removed")
    return REMOVED.found(
        PART,
        f"{host.node} is drained and wiped: K3s, its local volumes and its identity in the mesh are deleted.",
        f"move what matters off it first; then `--allow-destroy {host.name}`",
        host=host.name,
        node=host.node,
    )


def _by_old_scripts(host: AppliedHost, what: str) -> Consequence:
    return REMOVED_BY_OLD_SCRIPTS.found(
        PART,
        f"{host.node} is {what}, and the state holds clean-up scripts of an earlier release, which run on any host "
        "that "
        "answers.",
        "undo this edit and run `edge up` once, which writes the scripts of this release; then make the edit again",
        host=host.name,
        node=host.node,
    )


def _renamed(host: AppliedHost, machine: Machine, site: str) -> Iterator[Consequence]:
    if host.site != site:
        yield SITE_RENAMED.found(
            PART,
            f"{host.node} would become {machine.node}: it is the same machine (its host key is the same), and the "
            "clean-up "
            "of the old name would wipe it.",
            f"keep the id {host.site}: the names of nodes, registrations and devices are made of it; or describe a "
            "new site on other "
            "machines, move the workloads, then destroy this one",
            host=machine.name,
            node=machine.node,
        )
    else:
        yield RENAMED.found(
            PART,
            f"{host.name} and {machine.name} are the same machine (their host key is the same): the clean-up of the "
            "old name "
            "would wipe what the new name has set up.",
            f"write `renamed_from: {host.name}` at {machine.name}, or keep the name {host.name}",
            host=machine.name,
            node=machine.node,
        )


def _changed(host: AppliedHost, machine: Machine) -> Iterator[Consequence]:
    if host.identity not in (None, identity_of(machine.spec.host_key)):
        yield _of(
            REINSTALLED,
            machine,
            f"{machine.node} counts as a new installation: the cluster forgets the old node, with its local volumes.",
            "only for a machine that was reinstalled or replaced; what was on its old disk is lost already",
        )
    if host.address not in (None, machine.spec.address):
        yield _of(
            MOVED,
            machine,
            f"{machine.node} moves from {host.address} to {machine.spec.address}; every script runs again there.",
            "check that the machine answers at the new address with the same host key",
        )


def _driver(before: Applied, host: AppliedHost, machine: Machine) -> Iterator[Consequence]:
    command = before.command(f"{host.node}-{nvidia.ROLE}")
    was = _DRIVER.search(command.script()) if command else None
    spec = nvidia.wanted(machine)
    if was and spec and spec.driver and was[1] != spec.driver:
        yield _of(
            DRIVER_CHANGED,
            machine,
            f"{machine.node} gets NVIDIA's driver {spec.driver} in place of {was[1]}: its models stop meanwhile.",
            f"drain {machine.kubernetes_node}, stop K3s there, run `edge up`, reboot as it says, and run it again",
        )


def _ways(pairs: Sequence[Pair]) -> Iterator[Consequence]:
    """Hosts whose jump host goes, moves or is another machine."""
    of_node = {pair.before.node: pair for pair in pairs if pair.before}
    for pair in pairs:
        host, machine = pair.before, pair.after
        if host is None or machine is None or host.via is None:
            continue
        jump = of_node.get(host.via)
        if jump is None:
            continue
        new = jump.after
        if new is None:
            what = "goes"
        elif jump.before and jump.before.address not in (None, new.spec.address):
            what = "moves"
        elif jump.before and jump.before.identity not in (None, identity_of(new.spec.host_key)):
            what = "is reinstalled"
        else:
            continue
        yield _of(
            WAY_CHANGED,
            machine,
            f"{host.via}, through which SSH reaches {machine.node}, {what}.",
            f"give {machine.name} its new way first (`via`, `address`) and run `edge up`; then change the jump host",
        )


def _of(edit: Edit, machine: Machine, reason: str, way: str = "") -> Consequence:
    return edit.found(PART, reason, way, host=machine.name, node=machine.node)
