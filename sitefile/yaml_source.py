"""Text of a file -> plain values, each with the position where it is written.

Owns reading and what a file may not contain: tabs, a BOM, aliases that expand without limit, tags, merge keys. Knows no
model and no field.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sitefile.problems import Position, Problem, shown
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, resolve

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Most values that a file may hold after its aliases are expanded. A large file has a few hundred."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LEADING_TAB = re.compile(r"^ *\t", re.MULTILINE)
# Characters that YAML does not allow, and invisible ones: soft hyphens, zero-width spaces, marks that change the
# direction of text. A reviewer must see what is deployed. Joiners stay, because some scripts and emoji need them.
_INVISIBLE = re.compile(
    "[^\\t\\n\\x20-\\x7e\\xa0-\\xac\\xae-\\u200a\\u200c\\u200d\\u2010-\\u2027\\u202f-\\u205f\\u2070-\\ud7ff"
    "\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)
_NO_SPACE = re.compile(r"^ *(?:- *)?(?:[\w.-]+: *)?([\xa0\u2000-\u200a\u202f\u205f\u3000])", re.MULTILINE)
"""Another kind of space where YAML needs a plain one. Inside a text it is harmless."""


@dataclass(frozen=True)
class Source:
    """A file as read: its lines (for excerpts), its tree if it has one, and what was refused."""

    file: Path
    lines: list[str]
    tree: MappingNode | None
    problems: list[Problem]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _RefusedError(Exception):
    """Reading cannot continue."""

    def __init__(self, position: Position, code: str, what: str, expected: str, remedy: str) -> None:
        super().__init__(what)
        self.problem = Problem.at(position, code, what, expected, remedy)


def read(path: Path, *, shown_as: Path | None = None, within: Path | None = None) -> Source:
    """Read a file. ``within`` is the folder that a symbolic link may not lead out of."""
    file = shown_as or path
    start = Position(file, 1, 1)
    try:
        if within is not None and not path.resolve(strict=True).is_relative_to(within.resolve()):
            return _refusal(
                start,
                "symlink",
                "the file is a symbolic link that leads out of its folder",
                "a regular file, so that a reviewer sees what is deployed",
                "replace the link by a copy of the file",
            )
        # Anything else, such as a pipe, could wait for ever.
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            return _refusal(
                start,
                "unreadable",
                "this is no regular file",
                "a regular file",
                "replace it by a file, or move it away",
            )
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _refusal(start, "no-file", "there is no such file", "an existing file", "check the name and the folder")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _refusal(
            start, "unreadable", f"cannot be read: {reason}", "a readable file", "check the file and its permissions"
        )
    return from_bytes(data, file)


def from_bytes(data: bytes, file: Path) -> Source:
    start = Position(file, 1, 1)
    if len(data) > MAX_BYTES:
        return _refusal(
            start,
            "too-large",
            f"the file is larger than {MAX_BYTES // 1024} KiB",
            "a file of a few dozen lines",
            "keep data such as images and certificates out of it",
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _refusal(start, "bom", "the file is UTF-16", "UTF-8 without a byte order mark", "save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").replace("\r\n", "\n")
        position = Position(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return _refusal(position, "not-utf8", "this byte is not UTF-8", "UTF-8 text", "save the file as UTF-8")
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


def _refusal(position: Position, code: str, what: str, expected: str, remedy: str) -> Source:
    return Source(position.file, [], None, [Problem.at(position, code, what, expected, remedy)])


def _refused_characters(text: str, lines: list[str], file: Path) -> list[Problem]:
    if text.startswith("\ufeff"):
        return [
            Problem.at(
                Position(file, 1, 1),
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
                Position(file, line, column),
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
                Position(file, line, column),
                "no-space",
                f"U+{ord(match.group(1)):04X}, which looks like a space but is not one in YAML",
                "plain spaces between keys and values",
                "delete it and type a space (it is often copied from a web page or a word processor)",
            )
        )
    for match in _LEADING_TAB.finditer(text):
        line, column = _line_column(text, match.end() - 1)
        problems.append(
            Problem.at(
                Position(file, line, column),
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
    """Builds the tree from the parser's events, so that depth and expansion are limited before anything is built."""

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
            raise self._syntax_error(error) from None
        except yaml.YAMLError as error:
            raise _RefusedError(
                Position(self.file, 1, 1), "syntax", "not YAML", "a YAML mapping", str(error).split("\n")[0]
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
                self._position(loader.get_event().start_mark),
                "many-documents",
                "a second document begins here",
                "one document per file",
                "remove `---` and what follows it, or move it to a file of its own",
            )
        if isinstance(root, MappingNode):
            return root
        if isinstance(root, ScalarNode) and root.value is None:
            raise self._empty()
        raise _RefusedError(
            root.position,
            "not-a-mapping",
            f"the file is {'a list' if isinstance(root, SequenceNode) else 'a single value'}",
            "keys and values",
            "write a mapping: `key: value`, one key per line",
        )

    def _node(self, loader: Any, event: Any, depth: int) -> Node:
        kind = type(event)
        position = self._position(event.start_mark)
        if kind is yaml.AliasEvent:
            return self._aliased(event.anchor, position)
        if event.tag is not None:
            self._refuse(
                position,
                "tag",
                f"the tag {shown(_tag(event.tag))}",
                "plain values without tags",
                "remove the tag; put the value in quotes where text is meant",
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if depth > MAX_DEPTH:
            raise _RefusedError(
                position, "too-deep", f"more than {MAX_DEPTH} levels of nesting", "a few levels", "flatten the file"
            )
        node: Node
        if kind is yaml.ScalarEvent:
            plain_style = event.implicit[0] and not event.style
            node = ScalarNode(resolve(event.value) if plain_style else event.value, position, event.value)
        elif kind is yaml.SequenceStartEvent:
            node = self._sequence(loader, position, depth)
        else:
            node = self._mapping(loader, position, depth)
        node.tagged = event.tag is not None
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _sequence(self, loader: Any, position: Position, depth: int) -> SequenceNode:
        node = SequenceNode([], position)
        while type(event := loader.get_event()) is not yaml.SequenceEndEvent:
            item = self._node(loader, event, depth + 1)
            self._grow(node, item, event, depth)
            node.items.append(item)
        return node

    def _mapping(self, loader: Any, position: Position, depth: int) -> MappingNode:
        node = MappingNode({}, {}, position)
        while type(event := loader.get_event()) is not yaml.MappingEndEvent:
            key = self._node(loader, event, depth + 1)
            key_position = self._position(event.start_mark)
            event = loader.get_event()
            value = self._node(loader, event, depth + 1)
            self._grow(node, value, event, depth)
            name = self._key(key, key_position, node)
            if name is not None:
                node.entries[name] = value
                node.keys[name] = key_position
        return node

    def _key(self, key: Node, position: Position, mapping: MappingNode) -> str | None:
        if not isinstance(key, ScalarNode) or not isinstance(key.value, str):
            what, remedy = "a list or a mapping is used as key", "use a name as key"
            if isinstance(key, ScalarNode):
                what, remedy = f"the key {shown(key.text)} is not text", f'put it in quotes: `"{key.text}":`'
            self._refuse(position, "key-not-text", what, "a name as key", remedy)
        elif key.value == "<<":
            self._refuse(
                position,
                "merge-key",
                "a merge key `<<`",
                "each key written in its own block",
                "write the keys out, or move what files have in common into their defaults",
            )
        elif key.value in mapping.keys:
            first = mapping.keys[key.value]
            self._refuse(
                position,
                "duplicate-key",
                f"the key {shown(key.value)} is written twice, first in line {first.line}, column {first.column}",
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

    def _aliased(self, anchor: str, position: Position) -> Node:
        if anchor not in self.anchors:
            raise _RefusedError(
                position,
                "unknown-alias",
                f"the alias {shown('*' + anchor)} has no anchor before it",
                f"an anchor {shown('&' + anchor)} further up",
                "write the value out, or quote it if the `*` belongs to it",
            )
        node = self.anchors[anchor]
        if node is None:
            raise _RefusedError(
                position,
                "alias-loop",
                f"the alias {shown('*' + anchor)} is inside its own anchor",
                "an anchor that does not contain itself",
                "write the value out",
            )
        return node

    def _grow(self, parent: SequenceNode | MappingNode, child: Node, event: Any, depth: int) -> None:
        parent.size += child.size
        parent.height = max(parent.height, child.height + 1)
        if parent.size > MAX_NODES or depth + child.height > MAX_DEPTH:
            raise _RefusedError(
                self._position(event.start_mark),
                "alias-explodes" if type(event) is yaml.AliasEvent or parent.size > MAX_NODES else "too-deep",
                "written out, the aliases of this file are too many values or too deep",
                f"at most {MAX_NODES} values and {MAX_DEPTH} levels",
                "write the values out instead of nesting aliases in anchors",
            )

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> _RefusedError:
        mark = error.problem_mark or error.context_mark
        position = self._position(mark) if mark is not None else Position(self.file, 1, 1)
        reason = str(error.problem or "not YAML")
        what, remedy = _in_words(reason, self._character(position))
        if error.context and error.context_mark is not None and error.context_mark.line + 1 != position.line:
            what += f" ({error.context}, which begins in line {error.context_mark.line + 1})"
        return _RefusedError(position, "syntax", what, "valid YAML", remedy)

    def _character(self, position: Position) -> str:
        line = self.lines[position.line - 1]
        return line[position.column - 1 : position.column]

    def _position(self, mark: Any) -> Position:
        line = min(mark.line, len(self.lines) - 1)
        column = mark.column if line == mark.line else len(self.lines[line])
        return Position(self.file, line + 1, min(column, len(self.lines[line])) + 1)

    def _empty(self) -> _RefusedError:
        return _RefusedError(
            Position(self.file, 1, 1),
            "empty",
            "the file is empty",
            "keys and values",
            "copy a file that is similar, or remove this one",
        )

    def _refuse(self, position: Position, code: str, what: str, expected: str, remedy: str) -> None:
        self.problems.append(Problem.at(position, code, what, expected, remedy))


def _tag(tag: str) -> str:
    return "!!" + tag.removeprefix("tag:yaml.org,2002:") if tag.startswith("tag:yaml.org,2002:") else tag


def _in_words(reason: str, character: str) -> tuple[str, str]:
    """The parser's reason in plain words, and the most frequent remedy."""
    if reason == "mapping values are not allowed in this context":
        return "a `:` that is not allowed here", "put a value that contains `: ` in quotes, or check the indentation"
    if reason == "found character that cannot start any token":
        return f"a value cannot begin with {shown(character or 'this')}", "put the value in quotes"
    if reason in ("did not find expected key", "did not find expected '-' indicator"):
        return (
            "this line does not fit the block that it is in",
            "check the indentation: all keys of a block begin in the same column",
        )
    if reason.startswith("did not find expected ',' or"):
        return f"a `,` is missing, or the `{reason[-2]}` at the end", "close the bracket, or put a comma in between"
    if reason == "could not find expected ':'":
        return "a `:` is missing after a key", "write `key: value`, with a space after the colon"
    if reason == "found unexpected end of stream":
        return "the file ends inside a quoted text", "close the quotes"
    return reason, "check brackets, quotes and indentation in and above this line"
