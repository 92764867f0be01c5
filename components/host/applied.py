"""A site as it was applied: what its stack holds of the resources that were finished. Pure.

The facts are read from the children (scripts and inputs that were applied), never from what a component announced: a
component is registered before its children are done. All of them are plain in any state: a script holds no secret.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.host.machine import Machine
from components.host.plan import identity_of
from components.shell import script_of

COMMAND = "command:remote:Command"
OWN_NAME_ONLY = "acts_on_own_name"
"""The function in a delete script that refuses a host with another name. Scripts of earlier releases lack it."""

_GATE = "-reachable"
_WHERE = re.compile(r"^# \S+ at (?P<address>\S+?)(?: via (?P<via>\S+))?: does the host answer", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """One resource that the stack holds."""

    urn: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""

    @property
    def type(self) -> str:
        return self.types[-1]

    @property
    def types(self) -> tuple[str, ...]:
        """Its type, after those of the components around it."""
        return tuple(self.urn.split("::")[2].split("$"))

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[3]

    def script(self, of: str = "create") -> str:
        """The script of a command, as a host ran it; empty where there is none to read."""
        command = self.inputs.get(of)
        return script_of(command) if isinstance(command, str) else ""


@dataclass(frozen=True)
class AppliedHost:
    """A host that the stack has reached."""

    site: str
    node: str
    identity: str | None
    """Hash of the host key that was pinned; None where the state does not tell."""
    address: str | None
    """Where SSH reached it; None where the state does not tell."""
    via: str | None
    """Node through which SSH reached it."""

    @property
    def name(self) -> str:
        """Its name in the site file."""
        return self.node.removeprefix(f"{self.site}-")


@dataclass(frozen=True)
class Pair:
    """A host before and after the edit; one of the two may be missing."""

    before: AppliedHost | None
    after: Machine | None
    declared: bool = True
    """Whether the file says that both are the same machine: by one name, or by `renamed_from`."""


@dataclass(frozen=True)
class Applied:
    """Everything that a stack holds of a site."""

    held: tuple[Held, ...] = ()

    @classmethod
    def of(cls, held: Iterable[Held]) -> Applied:
        return cls(tuple(held))

    @functools.cached_property
    def sites(self) -> tuple[str, ...]:
        """Ids of the sites: one, or two where a rename of the site was interrupted."""
        return tuple(one.name for one in self.held if one.type == "edge:index:EdgeSite")

    @functools.cached_property
    def _by_name(self) -> Mapping[str, tuple[Held, ...]]:
        found: dict[str, list[Held]] = {}
        for one in self.held:
            found.setdefault(one.name, []).append(one)
        return {name: tuple(ones) for name, ones in found.items()}

    def command(self, name: str) -> Held | None:
        """The command of this name."""
        return next((one for one in self._by_name.get(name, ()) if one.type == COMMAND), None)

    def of_component(self, component: str) -> tuple[Held, ...]:
        """The finished children of a component, such as `K3s`."""
        kind = f"edge:index:{component}"
        return tuple(one for one in self.held if kind in one.types[:-1])

    @functools.cached_property
    def hosts(self) -> Mapping[str, AppliedHost]:
        """By node."""
        return {
            host.node: host for one in self.of_component("Host") if one.name.endswith(_GATE) for host in self._host(one)
        }

    def _host(self, gate: Held) -> Iterator[AppliedHost]:
        node = gate.name.removesuffix(_GATE)
        component = next((one for one in self._by_name.get(node, ()) if one.type == "edge:index:Host"), None)
        site = component.parent.rpartition("::")[2] if component and component.parent else ""
        if not site:
            site = next((one for one in self.sites if node.startswith(f"{one}-")), node.rpartition("-")[0])
        triggers = gate.inputs.get("triggers")
        where = _WHERE.search(gate.script())
        # Releases before this one did not write the address into the script.
        announced = component.outputs.get("address") if component else None
        yield AppliedHost(
            site=site,
            node=node,
            identity=triggers[0] if isinstance(triggers, list) and triggers else None,
            address=where["address"] if where else announced,
            via=where["via"] if where else None,
        )

    def deletes_only_own(self, node: str, roles: Iterable[str]) -> bool:
        """Whether the scripts that clean up this host, of the commands ``roles``, refuse a host of another name."""
        commands = [one for role in roles if (one := self.command(f"{node}-{role}"))]
        scripts = [one.script("delete") for one in commands if one.inputs.get("delete")]
        return all(OWN_NAME_ONLY in script for script in scripts)


def paired(before: Applied, machines: Sequence[Machine]) -> tuple[Pair, ...]:
    """The hosts before with those after: by `renamed_from`, by host key, by name.

    In the order of the file; hosts that are gone come last.
    """
    left = dict(before.hosts)
    chosen: dict[str, Pair] = {}

    def choose(machine: Machine, node: str, *, declared: bool) -> None:
        chosen[machine.node] = Pair(left.pop(node), machine, declared)

    for machine in machines:
        if found := next((node for node in machine.former if node in left), None):
            choose(machine, found, declared=True)
    same_key = {host.identity: host.node for host in left.values() if host.identity}
    for machine in machines:
        node = same_key.get(identity_of(machine.spec.host_key))
        # Before names: two hosts may have changed places.
        if machine.node not in chosen and node in left:
            choose(machine, node, declared=node == machine.node)
    for machine in machines:
        if machine.node not in chosen and machine.node in left:
            choose(machine, machine.node, declared=True)
    pairs = [chosen.get(machine.node, Pair(None, machine)) for machine in machines]
    return (*pairs, *(Pair(host, None) for host in left.values()))
