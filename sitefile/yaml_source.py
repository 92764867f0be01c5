"""Text of a site file -> plain values, each with the place where it is written.

Owns reading and what a site file may not contain: tabs, a BOM, aliases that explode, tags, merge keys. Knows nothing
about sites or their fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sitefile.problems import Place, Problem, shown
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, resolve

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
"""Values a file may hold once its aliases are written out; a large site has a few hundred."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LEADING_TAB = re.compile(r"^ *\t", re.MULTILINE)
# What YAML does not print, and what nobody sees: soft hyphens, zero-width spaces, marks that turn the direction of text
# (what is reviewed must be what is deployed). Joiners stay, some scripts and emoji need them.
_INVISIBLE = re.compile(
    "[^\\t\\n\\x20-\\x7e\\xa0-\\xac\\xae-\\u200a\\u200c\\u200d\\u2010-\\u2027\\u202f-\\u205f\\u2070-\\ud7ff"
    "\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)
_NO_SPACE = re.compile(r"^ *(?:- *)?(?:[\w.-]+: *)?([\xa0\u2000-\u200a\u202f\u205f\u3000])", re.MULTILINE)
"""A space of another kind where YAML needs its own; inside of a text it is harmless."""


@dataclass(frozen=True)
class Source:
    """A file as read: its lines (for excerpts), its tree when there is one, and what was refused."""

    file: Path
    lines: list[str]
    tree: MappingNode | None
    problems: list[Problem]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _RefusedError(Exception):
    """Reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def read(path: Path, *, shown_as: Path | None = None, within: Path | None = None) -> Source:
    """Read a file; ``within`` is the folder that a symbolic link may not lead out of."""
    file = shown_as or path
    start = Place(file, 1, 1)
    try:
        if within is not None and not path.resolve(strict=True).is_relative_to(within.resolve()):
            return _refusal(
                start,
                "symlink",
                "the file is a symbolic link that leads out of the sites folder",
                "a regular file: what is reviewed must be what is deployed",
                "replace the link by a copy of the file",
            )
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _refusal(
            start, "no-file", "there is no such file", "a site file", "look for the name with `ls stacks/sites`"
        )
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _refusal(
            start, "unreadable", f"cannot be read: {reason}", "a readable file", "check the file and its permissions"
        )
    return from_bytes(data, file)


def from_bytes(data: bytes, file: Path) -> Source:
    start = Place(file, 1, 1)
    if len(data) > MAX_BYTES:
        return _refusal(
            start,
            "too-large",
            f"the file is larger than {MAX_BYTES // 1024} KiB",
            "a site of some dozens of lines",
            "keep data such as images and certificates out of the site file",
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _refusal(start, "bom", "the file is UTF-16", "UTF-8 without a byte order mark", "save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").replace("\r\n", "\n")
        place = Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return _refusal(place, "not-utf8", "this byte is not UTF-8", "UTF-8 text", "save the file as UTF-8")
    return from_text(text, file)


def from_text(text: str, file: Path) -> Source:
    text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    problems = _refused_characters(text, lines, file)
    if problems:
        return Source(file, [line.lstrip("\ufeff") for line in lines], None, problems)
    composer = _Composer(text, lines, file)
    try:
        tree = composer.document()
    except _RefusedError as refused:
        return Source(file, lines, None, [*composer.problems, refused.problem])
    return Source(file, lines, tree, composer.problems)


def _refusal(place: Place, code: str, what: str, expected: str, remedy: str) -> Source:
    return Source(place.file, [], None, [Problem.at(place, code, what, expected, remedy)])


def _refused_characters(text: str, lines: list[str], file: Path) -> list[Problem]:
    if text.startswith("\ufeff"):
        return [
            Problem.at(
                Place(file, 1, 1),
                "bom",
                "the file begins with a byte order mark (BOM)",
                "UTF-8 without a byte order mark",
                "save it as `UTF-8` (not `UTF-8 with BOM`) in the editor",
            )
        ]
    problems = []
    for match in _INVISIBLE.finditer(text):
        line, column = _line_column(text, match.start())
        problems.append(
            Problem.at(
                Place(file, line, column),
                "control-character",
                f"an invisible character, U+{ord(match.group()):04X}",
                "printable text, lines that end in LF or CRLF",
                "delete the character and type the text again",
            )
        )
        break
    for match in _NO_SPACE.finditer(text):
        line, column = _line_column(text, match.start(1))
        problems.append(
            Problem.at(
                Place(file, line, column),
                "no-space",
                f"U+{ord(match.group(1)):04X}, which looks like a space but is none to YAML",
                "plain spaces between keys and values",
                "delete it and type a space (it often comes from a web page or a text processor)",
            )
        )
    for match in _LEADING_TAB.finditer(text):
        line, column = _line_column(text, match.end() - 1)
        problems.append(
            Problem.at(
                Place(file, line, column),
                "tab",
                "a tab at the beginning of a line",
                "spaces: YAML does not indent with tabs",
                "replace the tab by two spaces (and set the editor to spaces for YAML)",
            )
        )
    return problems


def _line_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


@dataclass
class _Composer:
    """Builds the tree from the parser's events, so that depth and expansion are bounded before anything is built."""

    text: str
    lines: list[str]
    file: Path
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)

    def document(self) -> MappingNode | None:
        try:
            loader = _LOADER(self.text)
            try:
                return self._document(loader)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            raise _RefusedError(self._syntax_error(error)) from None
        except yaml.YAMLError as error:
            raise _RefusedError(
                self._problem(Place(self.file, 1, 1), "syntax", "not YAML", "a YAML mapping", str(error).split("\n")[0])
            ) from None

    def _document(self, loader: Any) -> MappingNode | None:
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            raise self._empty()
        loader.get_event()
        event = loader.get_event()
        root = self._node(loader, event, 1)
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            raise _RefusedError(
                self._problem(
                    self._place(loader.get_event().start_mark),
                    "many-documents",
                    "a second document begins here",
                    "one site to a file",
                    "remove `---` and what follows it, or move it to a file of its own",
                )
            )
        if isinstance(root, MappingNode):
            return root
        if isinstance(root, ScalarNode) and root.value is None:
            raise self._empty()
        raise _RefusedError(
            self._problem(
                root.place,
                "not-a-mapping",
                f"the file is {'a list' if isinstance(root, SequenceNode) else 'a single value'}",
                "keys and values, the first one `site: NAME`",
                "begin with `site:` and the name of the site",
            )
        )

    def _node(self, loader: Any, event: Any, depth: int) -> Node:
        kind = type(event)
        place = self._place(event.start_mark)
        if kind is yaml.AliasEvent:
            return self._aliased(event.anchor, place)
        if event.tag is not None:
            self._refuse(
                place,
                "tag",
                f"the tag {shown(_tag(event.tag))}",
                "plain values without tags",
                "remove the tag; put the value in quotes where text is meant",
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if depth > MAX_DEPTH:
            raise _RefusedError(
                self._problem(
                    place, "too-deep", f"more than {MAX_DEPTH} levels of nesting", "a few levels", "flatten the file"
                )
            )
        node: Node
        if kind is yaml.ScalarEvent:
            plain_style = event.implicit[0] and not event.style
            node = ScalarNode(resolve(event.value) if plain_style else event.value, place, event.value)
        elif kind is yaml.SequenceStartEvent:
            node = self._sequence(loader, place, depth)
        else:
            node = self._mapping(loader, place, depth)
        node.tagged = event.tag is not None
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _sequence(self, loader: Any, place: Place, depth: int) -> SequenceNode:
        node = SequenceNode([], place)
        while type(event := loader.get_event()) is not yaml.SequenceEndEvent:
            item = self._node(loader, event, depth + 1)
            self._grow(node, item, event, depth)
            node.items.append(item)
        return node

    def _mapping(self, loader: Any, place: Place, depth: int) -> MappingNode:
        node = MappingNode({}, {}, place)
        while type(event := loader.get_event()) is not yaml.MappingEndEvent:
            key = self._node(loader, event, depth + 1)
            key_place = self._place(event.start_mark)
            event = loader.get_event()
            value = self._node(loader, event, depth + 1)
            self._grow(node, value, event, depth)
            name = self._key(key, key_place, node)
            if name is not None:
                node.entries[name] = value
                node.keys[name] = key_place
        return node

    def _key(self, key: Node, place: Place, mapping: MappingNode) -> str | None:
        if not isinstance(key, ScalarNode) or not isinstance(key.value, str):
            what, remedy = "a list or a mapping stands as key", "use a name as key"
            if isinstance(key, ScalarNode):
                what, remedy = f"the key {shown(key.text)} is not text", f'put it in quotes: `"{key.text}":`'
            self._refuse(place, "key-not-text", what, "a name as key", remedy)
        elif key.value == "<<":
            self._refuse(
                place,
                "merge-key",
                "a merge key `<<`",
                "each key written where it counts",
                "write the keys out, or put what sites have in common into `_defaults.yaml`",
            )
        elif key.value in mapping.keys:
            first = mapping.keys[key.value]
            self._refuse(
                place,
                "duplicate-key",
                f"the key {shown(key.value)} stands twice; the first is in line {first.line}, column {first.column}",
                "each key once",
                "keep one of the two",
            )
            kept = mapping.entries[key.value]
            if isinstance(kept, MappingNode):
                kept.incomplete = True
            return None
        else:
            return key.value
        mapping.incomplete = True
        return None

    def _aliased(self, anchor: str, place: Place) -> Node:
        if anchor not in self.anchors:
            raise _RefusedError(
                self._problem(
                    place,
                    "unknown-alias",
                    f"the alias {shown('*' + anchor)} has no anchor before it",
                    f"an anchor {shown('&' + anchor)} further up",
                    "write the value out, or quote it if the `*` belongs to it",
                )
            )
        node = self.anchors[anchor]
        if node is None:
            raise _RefusedError(
                self._problem(
                    place,
                    "alias-loop",
                    f"the alias {shown('*' + anchor)} stands inside its own anchor",
                    "an anchor that does not contain itself",
                    "write the value out",
                )
            )
        return node

    def _grow(self, parent: SequenceNode | MappingNode, child: Node, event: Any, depth: int) -> None:
        parent.size += child.size
        parent.height = max(parent.height, child.height + 1)
        if parent.size > MAX_NODES or depth + child.height > MAX_DEPTH:
            raise _RefusedError(
                self._problem(
                    self._place(event.start_mark),
                    "alias-explodes" if type(event) is yaml.AliasEvent or parent.size > MAX_NODES else "too-deep",
                    "written out, the aliases of this file are too many values or too deep",
                    f"at most {MAX_NODES} values and {MAX_DEPTH} levels",
                    "write the values out instead of nesting aliases in anchors",
                )
            )

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        place = self._place(mark) if mark is not None else Place(self.file, 1, 1)
        reason = str(error.problem or "not YAML")
        what, remedy = _in_words(reason, self._character(place))
        if error.context and error.context_mark is not None and error.context_mark.line + 1 != place.line:
            what += f" ({error.context}, which begins in line {error.context_mark.line + 1})"
        return self._problem(place, "syntax", what, "valid YAML", remedy)

    def _character(self, place: Place) -> str:
        line = self.lines[place.line - 1]
        return line[place.column - 1 : place.column]

    def _place(self, mark: Any) -> Place:
        line = min(mark.line, len(self.lines) - 1)
        column = mark.column if line == mark.line else len(self.lines[line])
        return Place(self.file, line + 1, min(column, len(self.lines[line])) + 1)

    def _empty(self) -> _RefusedError:
        return _RefusedError(
            self._problem(
                Place(self.file, 1, 1),
                "empty",
                "the file is empty",
                "a site: `site:`, `tier:`, `hosts:` and what differs from the defaults",
                "copy a site that is like it, or remove the file",
            )
        )

    def _refuse(self, place: Place, code: str, what: str, expected: str, remedy: str) -> None:
        self.problems.append(self._problem(place, code, what, expected, remedy))

    def _problem(self, place: Place, code: str, what: str, expected: str, remedy: str) -> Problem:
        return Problem.at(place, code, what, expected, remedy)


def _tag(tag: str) -> str:
    return "!!" + tag.removeprefix("tag:yaml.org,2002:") if tag.startswith("tag:yaml.org,2002:") else tag


def _in_words(reason: str, character: str) -> tuple[str, str]:
    """The parser's reason as a person would put it, and what helps most often."""
    if reason == "mapping values are not allowed in this context":
        return "a `:` that cannot stand here", "put a value that contains `: ` in quotes, or check the indentation"
    if reason == "found character that cannot start any token":
        return f"a value cannot begin with {shown(character or 'this')}", "put the value in quotes"
    if reason in ("did not find expected key", "did not find expected '-' indicator"):
        return (
            "this line does not fit the block it stands in",
            "check the indentation: keys of one block begin in one column",
        )
    if reason.startswith("did not find expected ',' or"):
        return f"a `,` is missing, or the `{reason[-2]}` at the end", "close the bracket, or put a comma in between"
    if reason == "could not find expected ':'":
        return "a `:` is missing after a key", "write `key: value`, with a space after the colon"
    if reason == "found unexpected end of stream":
        return "the file ends inside a quoted text", "close the quotes"
    return reason, "check brackets, quotes and indentation in and above this line"
