"""Secrets that are written into a file in plain text.

Owns the problem that reports a secret without repeating it, and the promise that no other problem
of the file repeats it either. Where secrets belong instead is known to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from sitefile.problems import DataPath, Position, Problem, dotted
from sitefile.secret_patterns import PRIVATE_KEY, SECRET_NAME, SECRET_PATTERNS, decoded_texts
from sitefile.yaml_source import Source
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, scalars

HIDDEN = "(not shown)"
Advice = Callable[[str | None, DataPath, str | None], tuple[str, str]]
"""What was expected and what to do, from the name of a ``SecretPattern`` (or None, where the key says that its value is
a secret), the path of the value and the file's stem (or None for a layer, which many files share)."""

_ANY = re.compile("|".join(f"({kind.expression.pattern})" for kind in SECRET_PATTERNS))
_NAMED = re.compile(SECRET_NAME, re.IGNORECASE)
_END_OF_KEY = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY")
_REST_OF_WORD = re.compile(r"[^\s'\"\],}]*")
_LONGEST_KEY = 200
"""Most lines that are hidden after the first line of a private key without an end."""


def general_advice(kind: str | None, path: DataPath, stem: str | None) -> tuple[str, str]:
    return "no secret in this file", "remove it here and revoke it"


@dataclass
class PlainSecrets:
    """What was found in one file."""

    problems: list[Problem] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    """Lines that are never shown."""
    values: set[str] = field(default_factory=set)
    """Texts that no message may contain."""
    paths: set[str] = field(default_factory=set)
    """Paths of the values, which need no further problem."""

    def without(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with every secret taken out, except those that are about a secret's own value."""
        return [self.hide(p) for p in problems if not (p.path in self.paths and p.path)]

    def hide(self, problem: Problem) -> Problem:
        if not self.values:
            return problem
        return replace(
            problem,
            path=self._clean(problem.path),
            what=self._clean(problem.what),
            expected=self._clean(problem.expected),
            remedy=self._clean(problem.remedy),
        )

    def _clean(self, text: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            for form in (value, " ".join(value.split())):
                text = text.replace(form, HIDDEN)
                # Long values are cut in messages, so their beginning counts as well.
                if len(form) > 12 and form[:12] in text:
                    text = re.sub(re.escape(form[:12]) + r"[^`\s]*", HIDDEN, text)
        return text


def scan(source: Source, tree: Node | None, fields: Collection[str], advice: Advice, stem: str | None) -> PlainSecrets:
    """Look through text, comments and values. ``fields`` are the model's own keys, whose names are no evidence."""
    return _Scan(source, fields, advice, stem).run(tree)


@dataclass
class _Scan:
    source: Source
    fields: Collection[str]
    advice: Advice
    stem: str | None
    found: PlainSecrets = field(default_factory=PlainSecrets)

    def run(self, tree: Node | None) -> PlainSecrets:
        own = list(scalars(tree)) if tree is not None else []
        if _ANY.search(self.source.text):
            self._text(own)
        self._encoded(own)
        for path, node in own:
            if not isinstance(node.value, str) or dotted(path) in self.found.paths or not self._is_own(node):
                continue
            if match := _ANY.search(node.value):
                self._add(node.position, _kind(match), path)
                self.found.values.add(node.value)
                self.found.lines.update(range(node.position.line, node.position.line + node.text.count("\n") + 2))
        if tree is not None:
            self._names(tree, ())
        return self.found

    def _text(self, own: list[tuple[DataPath, ScalarNode]]) -> None:
        for number, line in enumerate(self.source.lines, start=1):
            if number in self.found.lines:
                continue
            for match in _ANY.finditer(line):
                secret = match.group()
                rest = _REST_OF_WORD.match(line, match.end())
                path = next((p for p, n in own if isinstance(n.value, str) and (secret in n.value or secret in p)), ())
                if secret not in self.found.values:
                    self._add(Position(self.source.file, number, match.start() + 1), _kind(match), path)
                self.found.values.update((secret, secret + (rest.group() if rest else "")))
                self.found.values.update(
                    n.value for p, n in own if p == path and isinstance(n.value, str) and secret in n.value
                )
                self.found.lines.add(number)
                if _kind(match) == PRIVATE_KEY.name:
                    self._hide_key(number)

    def _encoded(self, own: list[tuple[DataPath, ScalarNode]]) -> None:
        """Secrets in base64: in a line, or in a value of several lines."""
        for number, line in enumerate(self.source.lines, start=1):
            for encoded, plain in decoded_texts(line):
                if (match := _ANY.search(plain)) and number not in self.found.lines:
                    path = next((p for p, n in own if isinstance(n.value, str) and encoded in n.value), ())
                    position = Position(self.source.file, number, line.index(encoded) + 1)
                    self._add(position, _kind(match), path, " in base64")
                    self.found.values.add(encoded)
                    self.found.lines.add(number)
        for path, node in own:
            if isinstance(node.value, str) and "\n" in node.value.strip() and dotted(path) not in self.found.paths:
                kinds = [_kind(match) for _, plain in decoded_texts(node.value) if (match := _ANY.search(plain))]
                if kinds and self._is_own(node):
                    self._add(node.position, kinds[0], path, " in base64")
                    self.found.values.update(node.value.split())
                    self.found.lines.update(range(node.position.line, node.position.line + node.text.count("\n") + 2))

    def _hide_key(self, first: int) -> None:
        for number in range(first, min(first + _LONGEST_KEY, len(self.source.lines)) + 1):
            line = self.source.lines[number - 1]
            self.found.lines.add(number)
            if number > first and len(line.strip()) >= 8:
                self.found.values.add(line.strip())
            if _END_OF_KEY.search(line):
                return

    def _names(self, node: Node, path: DataPath) -> None:
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.items):
                self._names(item, (*path, index))
        if not isinstance(node, MappingNode):
            return
        for key, value in node.entries.items():
            promises = key not in self.fields and _NAMED.search(key)
            if not isinstance(value, ScalarNode):
                self._names(value, (*path, key))
                if promises:
                    # The problem about such a block needs no excerpt of what is in it.
                    for _, inner in scalars(value):
                        if self._is_own(inner):
                            self.found.lines.update(_lines_of(inner))
                continue
            written = isinstance(value.value, str | int | float) and not isinstance(value.value, bool) and value.text
            # A small number, such as in `max_tokens: 1` or `token-service: 2` (replicas), is no secret.
            count = not isinstance(value.value, str) and len(value.text) <= 2
            if not written or count or not promises or not self._is_own(value):
                continue
            if len(value.text) > 2:
                self.found.values.add(value.text)
            if dotted((*path, key)) not in self.found.paths:
                self._add(value.position, None, (*path, key))
                self.found.lines.update(_lines_of(value))

    def _is_own(self, node: ScalarNode) -> bool:
        return node.position.file == self.source.file

    def _add(self, position: Position, kind: str | None, path: DataPath, form: str = "") -> None:
        self.found.paths.add(dotted(path))
        what = f"a secret in plain text ({kind or f'value of `{path[-1]}`'}{form})"
        expected, remedy = self.advice(kind, path, self.stem)
        self.found.problems.append(Problem.at(position, "plain-secret", what, expected, remedy, path))


def _kind(match: re.Match[str]) -> str:
    return SECRET_PATTERNS[(match.lastindex or 1) - 1].name


def _lines_of(node: ScalarNode) -> range:
    return range(node.position.line, node.position.line + node.text.count("\n") + 1)
