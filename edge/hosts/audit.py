"""`edge audit --live`: asks hosts what their K3s runs with, and compares it with the site files. Read-only.

Owns which hosts are asked. The verdicts are ``edge.run.audit``'s, the probe is ``components.k3s.audit``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from components.host.spec import HostSpec
from components.k3s.audit import Running, answered, asked, audit_probe
from edge.hosts.login import Login, login_of_stack, require
from edge.hosts.ssh import Hosts, NotAnswered, connected
from edge.run.audit import Node, Planned, Report, SiteAudit, planned, rows
from edge.run.failure import OperationError
from edge.run.stack_settings import read_settings
from policies.rules.benchmark.files import FILES
from policies.rules.benchmark.flags import FLAGS


def audit_hosts(files: Sequence[Path], root: Path) -> Report:
    """Ask the hosts of every site, side by side within a site. A host or site that cannot be asked stops no other.

    Raises ``EngineError`` where there is no engine to read secrets with.
    """
    return Report([_site(file, root) for file in files])


def _site(file: Path, root: Path) -> SiteAudit:
    site = planned(file, root)
    if isinstance(site, SiteAudit):
        return site
    name = site.spec.site
    if not site.nodes:
        return SiteAudit(name, file)
    try:
        require(site.spec, read_settings(root, name))
        answers = asyncio.run(_asked(site, login_of_stack(site.spec, file, root)))
    except OperationError as error:
        return SiteAudit(name, file, failure=error)
    return compared(site, answers)


async def _asked(site: Planned, login: Login) -> dict[str, Running | NotAnswered]:
    async with connected(site.spec, login) as hosts:
        found = await asyncio.gather(*(_host(site, host, hosts) for host in site.spec.hosts))
    return {host.name: answer for host, answer in zip(site.spec.hosts, found, strict=True)}


async def _host(site: Planned, host: HostSpec, hosts: Hosts) -> Running | NotAnswered:
    flags = [(check.process, flag) for check in FLAGS for flag in check.flags]
    paths = [path for check in FILES for path in check.paths]
    try:
        return answered(await hosts.run(host, audit_probe(), asked(flags, paths)))
    except NotAnswered as error:
        return error


def compared(site: Planned, answers: dict[str, Running | NotAnswered]) -> SiteAudit:
    """The verdicts on what the hosts have shown, and what of it their site file does not plan."""
    nodes: list[Node] = []
    changed: list[tuple[str, str, str, str, str]] = []
    not_reached: dict[str, str] = {}
    for host in site.spec.hosts:
        answer = answers[host.name]
        name = site.spec.node(host)
        if isinstance(answer, NotAnswered):
            not_reached[name] = str(answer)
            continue
        node = _node(site, host, answer)
        nodes.append(node)
        changed += ((name, *one) for one in _changed(_planned_node(site, host), node))
    # Policies judge the plan: what a waiver of the site covers there, it covers here.
    return SiteAudit(site.spec.site, site.file, nodes, list(rows(nodes, site.findings)), not_reached, changed)


def _planned_node(site: Planned, host: HostSpec) -> Node:
    version = host.k3s_version or (site.spec.k3s.version if site.spec.k3s else "")
    of_role = [node for node in site.nodes if node.role == host.role]
    return next((node for node in of_role if node.version == version), of_role[0])


def _node(site: Planned, host: HostSpec, answer: Running) -> Node:
    node = _planned_node(site, host)
    unseen = frozenset(node.flags) - set(answer.flags) - {"secrets-encryption"}
    return replace(node, name=site.spec.node(host), flags=answer.flags, modes=answer.modes, unseen=unseen)


def _changed(plan: Node, found: Node) -> Iterator[tuple[str, str, str, str]]:
    """Flags that some check looks at, where a process has shown itself."""
    for process, flag in dict.fromkeys((check.process, flag) for check in FLAGS for flag in check.flags):
        if process in found.unseen or (process not in plan.flags and process not in found.flags):
            continue
        before, now = (node.flags.get(process, {}).get(flag, "not set") for node in (plan, found))
        # K3s names each node by this one, and its component does not say the name.
        if before != now and flag != "hostname-override":
            yield process, flag, before, now
