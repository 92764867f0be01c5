"""Writes docs/reference, every field of a site file, from the specs: `python -m stacks.reference [--check]`.

One page for each block of a site file, and an index with the fields that are no blocks.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sitefile.fields import NO_DEFAULT, Field, Fields
from sitefile.layers import Layers
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import DEFAULTS, PROGRAM_DEFAULTS, site_layers, site_shape

FOLDER = PROJECT_ROOT / "docs" / "reference"
INDEX = "README.md"
_NOTE = "<!-- Written by `make reference` from the specs. Change the descriptions there, not this page. -->\n"
_HEAD = f"""# Fields of a site file

{_NOTE}
`edge explain FIELD` says the same in a terminal. `edge explain FIELD --site SITE` adds the value that a site has, and
the file and line that it comes from.

A field is named by its keys with dots between them, without list indices: `hosts.address` is the address of each host.
Where a block has several kinds, the kind is one more word: `mesh.tailscale.tags` are the tags of a mesh of the kind
`tailscale`.

"required" means that a site file must have the field wherever it has the block. What a layer of defaults fills in may
be left out: `{PROGRAM_DEFAULTS.name}` comes with the program, `{DEFAULTS}` is the company's ([layers](../layers.md)).

"""


def pages() -> Mapping[str, str]:
    """Name of each file in docs/reference -> its text."""
    root, layers = Fields(site_shape()).root, site_layers()
    found = {f"{field.name}.md": _page(field, layers) for field in root.fields if _has_page(field)}
    return {INDEX: _index(root, layers), **found}


def stale() -> list[str]:
    """The files that differ from what the specs say, those included that should not be there."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def anchor(path: str) -> str:
    """The anchor that GitHub gives the heading of a field."""
    return re.sub(r"[^a-z0-9_-]", "", path.lower())


def _has_page(field: Field) -> bool:
    return bool(field.fields or field.kinds)


def _index(root: Field, layers: Layers) -> str:
    blocks = [field for field in root.fields if _has_page(field)]
    rows = "".join(f"| [`{field.name}`]({field.name}.md) | {_cell(field.description)} |\n" for field in blocks)
    plain = _table((field for field in root.fields if not _has_page(field)), layers)
    return f"{_HEAD}## Blocks\n\n| block | what |\n|---|---|\n{rows}\n## Fields of the site itself\n\n{plain}"


def _page(field: Field, layers: Layers) -> str:
    return f"# `{field.name}`\n\n{_NOTE}\n" + "\n".join(_section(field, layers, 1))


def _section(field: Field, layers: Layers, level: int) -> Iterator[str]:
    """A block: what it is, the table of its fields, then the blocks below it."""
    about = [text for text in (field.description, field.about) if text]
    facts = [f"Type: {field.type}{', required' if field.required else ''}.", *_notes(field)]
    # A kind has no facts of its own.
    shown = facts if not field.is_kind else []
    yield "\n\n".join([*about, *([" ".join(shown)] if shown else [])]) + "\n"
    if field.fields:
        yield _table(field.fields, layers)
    for kind in field.kinds:
        title = f"`{kind.path}`" if field.by else f"`{field.path}` with `{kind.name}`"
        yield f"{'#' * min(level + 1, 6)} {title}\n"
        yield from _section(kind, layers, level + 1)
    for below in field.fields:
        if _has_page(below):
            yield f"{'#' * min(level + 1, 6)} `{below.path}`\n"
            yield from _section(below, layers, level + 1)


def _table(fields: Iterable[Field], layers: Layers) -> str:
    rows = "".join(_row(field, layers) for field in fields)
    return f"| field | type | default | what |\n|---|---|---|---|\n{rows}"


def _row(field: Field, layers: Layers) -> str:
    name = f"[`{field.name}`](#{anchor(field.path)})" if _has_page(field) else f"`{field.name}`"
    kind = field.type + (f", {field.unit}" if field.unit else "")
    notes = () if _has_page(field) else _notes(field)
    what = " ".join([field.description, *notes])
    return f"| {name} | {_cell(kind)} | {_cell(_default(field, layers))} | {_cell(what)} |\n"


def _default(field: Field, layers: Layers) -> str:
    for where, node in field.filled_in(layers):
        # The value itself is a release or a checksum, and changes more often than the specs.
        if not where:
            return f"in `{node.position.file.name}`"
    if field.default is NO_DEFAULT:
        return "required" if field.required else "none"
    if field.default is None or field.default in ([], {}):
        return "none"
    return _code(field.default)


def _notes(field: Field) -> Iterator[str]:
    if field.allowed:
        yield f"One of {', '.join(f'`{word}`' for word in field.allowed)}."
    if field.limits:
        yield f"{field.limits[0][0].upper()}{'; '.join(field.limits)[1:]}."
    if (
        field.examples
        and not field.allowed
        and field.examples[0] != field.default
        and f"`{field.examples[0]}`" not in field.description
    ):
        yield f"Example: {_code(field.examples[0])}."


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else _outside_code(text)


def _outside_code(text: str) -> str:
    """Pipes end a cell even within code; tags only count outside of it."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;") for at, part in enumerate(parts))


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` only say which are out of date."""
    if "--check" not in arguments:
        write()
        return 0
    for name in (found := stale()):
        print(f"{(FOLDER / name).relative_to(Path.cwd()) if FOLDER.is_relative_to(Path.cwd()) else name}: out of date")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
