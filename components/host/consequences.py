"""What edits of the hosts do to a site that is up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied, AppliedHost, Pair
from components.host.machine import Machine
from components.host.plan import identity_of

PART = "host"
CLEANS = ("base",)
"""Roles of the host's own commands that clean it up."""

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
SITE_RENAMED = Edit(
    "site-renamed",
    "A site is renamed without `renamed_from`",
    Effect.IMPOSSIBLE,
    "stops at the first script: the hosts carry the name of their site",
)
SITE_REMOVED = Edit(
    "site-destroyed",
    "A site is destroyed (`edge destroy`, `pulumi destroy`)",
    Effect.DESTROYS,
    "**wipes the hosts** after the usual question",
)
EDITS = (
    SITE_RENAMED,
    RENAMED,
    REMOVED_BY_OLD_SCRIPTS,
    SITE_REMOVED,
    REMOVED,
    REINSTALLED,
    MOVED,
    WAY_CHANGED,
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
            if host.node != machine.node and not before.deletes_only_own(host.node, cleans):
                yield _by_old_scripts(host, f"renamed to {machine.name}")
            yield from _changed(host, machine)
    yield from _ways(pairs)


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
            f"write `renamed_from: {host.site}` at the top of the site file",
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
