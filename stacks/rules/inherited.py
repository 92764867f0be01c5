"""Values that a site inherits although they are for another value, which the site has replaced.

A site with a gateway of its own would send it the user name of the defaults' gateway; a release of its own would be
compared with the checksum of the defaults' one. Which values belong together is each part's business (``belongs_to``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, get_args

from components.part import Part
from components.types import Arch
from sitefile.problems import DataPath, Finding, any_of, dotted, shown
from sitefile.yaml_tree import MappingNode, ScalarNode, find, scalars
from stacks.catalogue import Catalogue
from stacks.parts import entries
from stacks.site import SiteSpec


def findings(spec: SiteSpec, tree: MappingNode, data: Catalogue) -> Iterator[Finding]:
    own = {data.hardware[host.hardware].arch for host in spec.hosts if host.hardware in data.hardware}
    # Checksums are by architecture; those of machines that the site does not have are used nowhere.
    unused = set(get_args(Arch)) - own if own else set()
    for entry in entries(spec):
        yield from _mixed(entry.part, entry.at, tree, unused)


def _mixed(part: Part[Any], at: DataPath, tree: MappingNode, unused: Collection[str]) -> Iterator[Finding]:
    for dependent, key in part.belongs_to.items():
        path = (*at, *dependent.split("."))
        own, value = find(tree, (*at, *key.split("."))), find(tree, path)
        if not isinstance(own, ScalarNode) or own.replaces is None or own.replaces.value == own.value or value is None:
            continue
        inherited = [
            (below, node)
            for below, node in scalars(value, path)
            if node.position.file != own.position.file and node.value is not None and below[-1] not in unused
        ]
        if not inherited:
            continue
        first = inherited[0][1].position
        yield Finding(
            (*at, *key.split(".")),
            f"{any_of(dotted(below) for below, _ in inherited).replace(' or ', ' and ')} would come from"
            f" {first.file.as_posix()}:{first.line}, where it is for {shown(own.replaces.text)}",
            f"`{dependent}` from the file that says `{key}`",
            f"write `{dependent}:` for {shown(own.text)} beside it"
            + (", or `null` where it needs none" if _optional(part, dependent) else ""),
        )


def _optional(part: Part[Any], dependent: str) -> bool:
    field = part.spec.model_fields.get(dependent)
    return field is not None and field.default is None
