"""The tailnet's policy file beside the people who edit it too: what is ours in it, and what is somebody else's. Pure.

Tailscale has one policy file for a tailnet, and no includes: whoever writes it writes the whole. So what is there is
read first. What somebody else wrote stops the run, is kept to the letter (`keep_others`), or is overwritten on purpose
(`adopt`). The file is HuJSON: JSON with comments and trailing commas (https://github.com/tailscale/hujson).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stacks.fleet.plan import OPERATORS, MeshSite, acl
from stacks.fleet.plan import PORTS as _PORTS
from stacks.fleet.spec import TailnetSpec

BEGIN = "// edge-sites: begin. Written by the stack `fleet`; edits in here are overwritten."
END = "// edge-sites: end"

_BLOCK = re.compile(
    r"\n[ \t]*// edge-sites: begin[^\n]*\n(?:(?![ \t]*// edge-sites: begin)[^\n]*\n)*?[ \t]*" + END + r"\n"
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|[{}\[\]:,]|[^\s{}\[\]:,"/]+|\s+', re.DOTALL)

_OPEN = (
    {"action": "accept", "src": ["*"], "dst": ["*:*"]},
    {"src": ["*"], "dst": ["*"], "ip": ["*"]},
)
_DEFAULT: Mapping[str, Sequence[Any]] = {
    "acls": _OPEN,
    "grants": _OPEN,
    "ssh": (
        {
            "action": "check",
            "src": ["autogroup:member"],
            "dst": ["autogroup:self"],
            "users": ["autogroup:nonroot", "root"],
        },
    ),
    "nodeattrs": ({"target": ["autogroup:member"], "attr": ["funnel"]},),
}
"""What a new tailnet comes with: everybody reaches everything. Nobody wrote it, and it must not stay."""


class OthersPolicy(Exception):
    """The policy file holds what somebody else wrote, or what cannot be told from it; says what, and the way on."""


def written(tailnet: TailnetSpec, sites: Sequence[MeshSite], live: str) -> str:
    """The policy file to write where the tailnet has ``live``. Raises ``OthersPolicy``.

    Writing again what was written changes nothing.
    """
    part = acl(tailnet, sites)
    whole = json.dumps(part, indent=2, sort_keys=True)
    if tailnet.adopt:
        return whole
    rest = _without_ours(live)
    policy = _parsed(rest)
    found = [] if _is_default(policy) else [*foreign(policy, tailnet), *(["comments"] if _has_comments(rest) else [])]
    if not tailnet.keep_others:
        if found:
            raise OthersPolicy(
                f"the policy file of the tailnet {tailnet.id} holds what this program did not write: "
                f"{', '.join(found)}. Nothing of it was changed. "
                "`tailnet: {keep_others: true}` in the fleet file keeps it beside ours, "
                "`adopt: true` overwrites the whole file"
            )
        return whole
    if not found and policy:
        # Ours without marks, or Tailscale's own.
        rest = "{}\n"
    elif twice := sorted(_keys(policy) & _keys(part)):
        raise OthersPolicy(
            f"the policy file of the tailnet {tailnet.id} has {', '.join(twice)} outside of the marks of this program, "
            "which writes them itself: remove them there. Nothing was changed"
        )
    for path, value in _sections(part):
        if value:
            rest = _inserted(rest, path, value)
    return rest


def foreign(policy: Mapping[str, Any], tailnet: TailnetSpec) -> Iterator[str]:
    """What of ``policy`` this program did not write, in words."""
    operator = f"tag:{tailnet.operator_tag}"
    sources, owners = [OPERATORS, operator], {OPERATORS, operator}

    def of_site(tag: object) -> bool:
        return str(tag).startswith("tag:edge-")

    ours: dict[str, Callable[[Any, Any], bool]] = {
        "groups": lambda name, _: name == OPERATORS,
        "tagowners": lambda tag, by: set(by) <= owners,
        "grants": lambda _, one: (
            one.keys() == {"src", "dst", "ip"} and (one["src"], one["ip"]) == (sources, list(_PORTS))
        ),
        "ssh": lambda _, one: one.get("action") == "accept" and one.get("src") == sources,
        "tests": lambda _, one: one.get("src") == operator or of_site(one.get("src")),
    }
    for name, value in policy.items():
        key = name.lower()
        if key == "autoapprovers":
            yield from (f"`{name}.{more}`" for more in value if more != "routes")
            routes = value.get("routes", {})
            yield from (f"`{name}.routes` {cidr}" for cidr, by in routes.items() if not all(map(of_site, by)))
        elif key not in ours:
            yield f"`{name}`"
        elif isinstance(value, dict):
            yield from (f"`{name}` {one}" for one, what in value.items() if not ours[key](one, what))
        elif others := sum(not ours[key](None, one) for one in value):
            yield f"{others} of `{name}`"


def _is_default(policy: Mapping[str, Any]) -> bool:
    return bool(policy) and all(
        key.lower() in _DEFAULT and all(one in _DEFAULT[key.lower()] for one in value) for key, value in policy.items()
    )


def _sections(part: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in part.items():
        if key == "autoApprovers":
            yield (key, "routes"), value["routes"]
        else:
            yield (key,), value


def _keys(policy: Mapping[str, Any]) -> set[str]:
    """Names that only one of two may define: JSON would take the last."""
    lower = {key.lower(): value for key, value in policy.items()}
    routes = lower.get("autoapprovers", {}).get("routes", {})
    return {*lower.get("groups", {}), *lower.get("tagowners", {}), *routes}


def _without_ours(text: str) -> str:
    rest = _BLOCK.sub("", text)
    if "// edge-sites:" in rest:
        raise OthersPolicy(
            f"a mark of this program in the tailnet's policy file has lost its other half: each `{END}` needs the "
            "`// edge-sites: begin` that it ends. Nothing was changed"
        )
    return rest


def _has_comments(text: str) -> bool:
    return any(found[0][:2] in ("//", "/*") for found in _lexed(text))


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """What is neither white space nor comment."""
    return (found for found in _lexed(text) if not found[0].isspace() and found[0][:2] not in ("//", "/*"))


def _lexed(text: str) -> Iterator[re.Match[str]]:
    """All of the text, piece by piece. Raises ``OthersPolicy`` where the text is no HuJSON."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            line = text.count("\n", 0, at) + 1
            raise OthersPolicy(f"line {line} of the tailnet's policy file cannot be read. Nothing was changed")
        at = found.end()
        yield found


def _parsed(text: str) -> dict[str, Any]:
    plain: list[str] = []
    for token in _tokens(text):
        if token[0] in "]}" and plain and plain[-1] == ",":
            plain.pop()
        plain.append(token[0])
    try:
        policy = json.loads(" ".join(plain))
    except ValueError as error:
        raise OthersPolicy(f"the tailnet's policy file cannot be read ({error}). Nothing was changed") from None
    if not isinstance(policy, dict):
        raise OthersPolicy("the tailnet's policy file is no object. Nothing was changed")
    return policy


def _openings(text: str) -> dict[tuple[str | None, ...], int]:
    """Where the value of each key begins, behind its bracket. Keys in lower case, as Tailscale reads them."""
    found: dict[tuple[str | None, ...], int] = {}
    path: list[str | None] = []
    before, key = "", None
    for token in _tokens(text):
        if token[0] == ":":
            key = str(json.loads(before)).lower()
        elif token[0] in "{[":
            path.append(key)
            found[tuple(path[1:])] = token.end()
            key = None
        elif token[0] in "]}":
            path.pop()
        elif token[0] == ",":
            key = None
        before = token[0]
    return found


def _inserted(text: str, path: tuple[str, ...], value: Any) -> str:
    """``text`` with what ``value`` holds at the begin of the section at ``path``, between our marks."""
    openings, depth = _openings(text), len(path)
    while tuple(key.lower() for key in path[:depth]) not in openings:
        depth -= 1
        value = {path[depth]: value}
    at, pad = openings[tuple(key.lower() for key in path[:depth])], "  " * (depth + 1)
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {json.dumps(one)}" for key, one in sorted(value.items())]
    else:
        members = [json.dumps(one) for one in value]
    # A comma behind each: HuJSON takes one before a closing bracket too.
    lines = [f"{one}," for one in members]
    return text[:at] + "\n" + "".join(f"{pad}{line}\n" for line in (BEGIN, *lines, END)) + text[at:]
