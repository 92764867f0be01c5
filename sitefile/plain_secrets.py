"""Secrets that stand in a site file in plain text.

Owns what a secret looks like, the problem that says so without repeating it, and the promise that no other problem
of the file repeats it either. The secrets of a stack themselves are in its configuration, never here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from sitefile.problems import DataPath, Place, Problem, dotted
from sitefile.yaml_source import Source
from sitefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, scalars

HIDDEN = "(not shown)"


@dataclass(frozen=True)
class _Kind:
    name: str
    pattern: str
    config_key: str
    """Where the stack's configuration has its place for it; empty where it has none."""


_KINDS = (
    _Kind("private key", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----", "ssh-private-key"),
    _Kind("Tailscale key", r"\btskey-[a-z]+-[\w-]+", "tailscale-auth-key"),
    _Kind("age key", r"\bAGE-SECRET-KEY-[0-9A-Za-z]+", "sops-age-key"),
    _Kind("K3s token", r"\bK10[0-9A-Za-z]*::[\w-]+:\S+", "k3s-token"),
    _Kind("Grafana Cloud token", r"\bgl(?:c|sa)_[\w+/=-]{8,}", "telemetry-token"),
    _Kind("Git token", r"\b(?:gh[pousr]_|github_pat_|glpat-)[\w-]{8,}", "git-password"),
    _Kind("AWS key", r"\bA[KS]IA[0-9A-Z]{12,}", "model-store-access-key"),
    _Kind("JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+", "telemetry-token"),
    _Kind("password in a URL", r"://[^\s/:@'\"]+:[^\s/@'\"]+@", ""),
)
_PARTS = {
    ("private key", "gitops"): "git-ssh-key",
    ("private key", "registration"): "outposts-host-key",
    ("password in a URL", "gitops"): "git-password",
    ("password in a URL", "k3s"): "k3s-datastore-endpoint",
}
"""Kind and part of the site -> where the configuration has its place for such a secret of that part."""
_ANY = re.compile("|".join(f"({kind.pattern})" for kind in _KINDS))
_NAMED = re.compile(r"passw(or)?d|passphrase|token|secret|private[_-]?key|api[_-]?key|auth[_-]?key", re.IGNORECASE)
_END_OF_KEY = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY")
_REST_OF_WORD = re.compile(r"[^\s'\"\],}]*")
_LONGEST_KEY = 200
"""Lines after which a private key that never ends is taken to have ended."""


@dataclass
class PlainSecrets:
    """What was found in one file."""

    problems: list[Problem] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    """Lines that are never shown."""
    values: set[str] = field(default_factory=set)
    """Texts that no message may contain."""
    paths: set[str] = field(default_factory=set)
    """Paths of the values, which need no further complaint."""
    stack: str = "STACK"
    """Whose configuration is the right place; defaults belong to no stack in particular."""

    def without(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with every secret taken out, less those that are about a secret's own value."""
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


def scan(source: Source, tree: Node | None, fields: Collection[str], stack: str = "STACK") -> PlainSecrets:
    """Look through text, comments and values; ``fields`` are the model's keys: their names prove nothing."""
    found = PlainSecrets(stack=stack)
    own = list(scalars(tree)) if tree is not None else []
    if _ANY.search(source.text):
        _scan_text(source, found, own)
    for path, node in own:
        if not isinstance(node.value, str) or dotted(path) in found.paths or node.place.file != source.file:
            continue
        if match := _ANY.search(node.value):
            _add(found, node.place, _KINDS[(match.lastindex or 1) - 1], path)
            found.values.add(node.value)
            found.lines.update(range(node.place.line, node.place.line + node.text.count("\n") + 2))
    if tree is not None:
        _scan_names(source, tree, found, fields, ())
    return found


def _scan_text(source: Source, found: PlainSecrets, own: list[tuple[DataPath, ScalarNode]]) -> None:
    for number, line in enumerate(source.lines, start=1):
        if number in found.lines:
            continue
        for match in _ANY.finditer(line):
            kind = _KINDS[(match.lastindex or 1) - 1]
            rest = _REST_OF_WORD.match(line, match.end())
            text = match.group() + (rest.group() if rest else "")
            path = next(
                (p for p, n in own if isinstance(n.value, str) and (match.group() in n.value or match.group() in p)), ()
            )
            if match.group() not in found.values:
                _add(found, Place(source.file, number, match.start() + 1), kind, path)
            found.values.update((match.group(), text))
            found.values.update(
                n.value for p, n in own if p == path and isinstance(n.value, str) and match.group() in n.value
            )
            found.lines.add(number)
            if kind is _KINDS[0]:
                _hide_key(source, number, found)


def _hide_key(source: Source, first: int, found: PlainSecrets) -> None:
    for number in range(first, min(first + _LONGEST_KEY, len(source.lines)) + 1):
        line = source.lines[number - 1]
        found.lines.add(number)
        if number > first and len(line.strip()) >= 8:
            found.values.add(line.strip())
        if _END_OF_KEY.search(line):
            return


def _scan_names(source: Source, node: Node, found: PlainSecrets, fields: Collection[str], path: DataPath) -> None:
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            _scan_names(source, item, found, fields, (*path, index))
    if not isinstance(node, MappingNode):
        return
    for key, value in node.entries.items():
        promises = key not in fields and _NAMED.search(key)
        if not isinstance(value, ScalarNode):
            _scan_names(source, value, found, fields, (*path, key))
            if promises:
                # Whoever says that no such block belongs here need not show what is in it.
                for _, inner in scalars(value):
                    if inner.place.file == source.file:
                        found.lines.update(_lines_of(inner))
            continue
        written = isinstance(value.value, str | int | float) and not isinstance(value.value, bool) and value.text
        # A number such as that in `max_tokens: 1` or `token-service: 2` (replicas) is no secret.
        count = not isinstance(value.value, str) and len(value.text) <= 2
        if not written or count or not promises or value.place.file != source.file:
            continue
        if len(value.text) > 2:
            found.values.add(value.text)
        if dotted((*path, key)) not in found.paths:
            _add(found, value.place, _Kind(f"value of `{key}`", "", _config_key(path, key)), (*path, key))
            found.lines.update(_lines_of(value))


def _lines_of(node: ScalarNode) -> range:
    return range(node.place.line, node.place.line + node.text.count("\n") + 1)


def _config_key(path: DataPath, key: str) -> str:
    """`token` in `k3s` is `k3s-token`; a name that no part of a site knows stays what it is."""
    known = {kind.config_key for kind in _KINDS}
    parent = f"{path[-1]}-" if path and isinstance(path[-1], str) else ""
    name = key.lower().replace("_", "-")
    return parent + name if parent + name in known else name


def _add(found: PlainSecrets, place: Place, kind: _Kind, path: DataPath) -> None:
    found.paths.add(dotted(path))
    config_key = _PARTS.get((kind.name, str(path[0])), kind.config_key) if path else kind.config_key
    remedy = "remove it here and revoke it"
    if path[:1] == ("gitops",) and "verify" in path:
        remedy += ", and write the public key of a new one"
    elif config_key:
        remedy = (
            f"remove it here, revoke it, and set a new one with"
            f" `pulumi config set --secret {config_key} -s {found.stack}`"
        )
    found.problems.append(
        Problem.at(
            place,
            "plain-secret",
            f"a secret in plain text ({kind.name})",
            "no secret in a site file: the stack's configuration holds them, encrypted",
            remedy,
            path,
        )
    )
