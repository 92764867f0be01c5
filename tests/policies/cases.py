"""Resources for the policies' tests: compliant bases, and the one change that breaks one rule."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies.rules import DEFAULT_SETTINGS, UNKNOWN, Finding, Resource, Settings, evaluate
from policies.rules.chart_records import DEFAULT_REVIEWS, Records, Review

FIXTURES = Path(__file__).parents[1] / "fixtures" / "policies"
SETTINGS = replace(
    DEFAULT_SETTINGS,
    charts=Records(
        reviews=(
            *DEFAULT_REVIEWS,
            Review("linkerd-control-plane", "2026.7.1", "read by hand", "a test", "2026-11-26"),
            Review("opentelemetry-collector", "0.140.0", "read by hand", "a test", "2026-11-26"),
        )
    ),
)
"""With somebody who answers for the charts of the bases."""

_STEP = re.compile(r'([^.\[\]"]+)|\[(\d+)\]')


@cache
def _base(name: str) -> Mapping[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FIXTURES / "bases" / f"{name}.yaml").read_text())
    # An anchor is one object wherever it is used; a change must be made in one place only.
    return dict(json.loads(json.dumps(document)))


def base_names() -> list[str]:
    return sorted(path.stem for path in (FIXTURES / "bases").glob("*.yaml"))


def base(name: str, **overrides: Any) -> Resource:
    """The compliant resource ``name``; ``overrides`` are the fixture's keys: type, props, secret_paths, ..."""
    document = {**copy.deepcopy(dict(_base(name))), **overrides}
    secrets = document.get("secret_paths")
    return Resource(
        type=document["type"],
        name=name,
        urn=f"urn:pulumi:test::edge::{document['type']}::{name}",
        props=document["props"],
        additional_secret_outputs=tuple(document.get("additional_secret_outputs", ())),
        secret_paths=None if secrets is None else frozenset(secrets),
    )


def steps(path: str) -> list[str | int]:
    return [int(index) if index else key for key, index in _STEP.findall(path)]


def put(props: dict[str, Any], path: str, value: Any) -> None:
    """Sets ``path`` in ``props``; objects on the way are made as needed."""
    *way, last = steps(path)
    node: Any = props
    for step in way:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    node[last] = value


def drop(props: dict[str, Any], path: str) -> None:
    *way, last = steps(path)
    node: Any = props
    for step in way:
        node = node[step]
    del node[last]


@dataclass(frozen=True)
class Entry:
    """One entry of a rule's fixture file."""

    rule: str
    base: str
    document: Mapping[str, Any]

    @property
    def settings(self) -> Settings:
        given: dict[str, Any] = {
            name: tuple(of) if isinstance(of, list) else of for name, of in self.document.get("settings", {}).items()
        }
        return replace(SETTINGS, **given)


@dataclass(frozen=True)
class Case:
    """A base with one change, and the one rule that it breaks; others only where the change names them (`with`)."""

    rule: str
    base: str
    change: Mapping[str, Any]
    settings: Settings = SETTINGS

    def __str__(self) -> str:
        change = {key: self.change[key] for key in self.change if key != "with"}
        return f"{self.rule}-{self.base}-{list(change.values())[-1]}"[:120]

    @property
    def rules(self) -> set[str]:
        return {self.rule, *self.change.get("with", ())}

    def resource(self) -> Resource:
        overrides = {key: self.change[key] for key in self.change if key not in ("set", "remove", "with")}
        props = copy.deepcopy(_base(self.base)["props"])
        for path, value in self.change.get("set", {}).items():
            put(props, path, value)
        for path in self.change.get("remove", ()):
            drop(props, path)
        return base(self.base, props=props, **overrides)

    def findings(self) -> tuple[Finding, ...]:
        return evaluate(self.resource(), self.settings)


@dataclass(frozen=True)
class Hidden:
    """A base with one value unknown, and the rules that must see it."""

    rule: str
    also: frozenset[str]
    base: str
    path: str
    settings: Settings = SETTINGS

    def __str__(self) -> str:
        return f"{self.rule}-{self.base}-{self.path}"

    def resource(self) -> Resource:
        props = copy.deepcopy(_base(self.base)["props"])
        put(props, self.path, UNKNOWN)
        return base(self.base, props=props)

    def findings(self) -> tuple[Finding, ...]:
        return evaluate(self.resource(), self.settings)


@dataclass(frozen=True)
class Absent:
    """A base without one value that a rule must see, and whether the rule asks for it."""

    rule: str
    base: str
    path: str
    asked_for: bool
    settings: Settings = SETTINGS

    def __str__(self) -> str:
        return f"{self.rule}-{self.base}-{self.path}"

    def findings(self) -> tuple[Finding, ...]:
        props = copy.deepcopy(_base(self.base)["props"])
        with contextlib.suppress(KeyError, IndexError):
            drop(props, self.path)
        return evaluate(base(self.base, props=props), self.settings)


def entries() -> list[Entry]:
    return [
        Entry(f"{path.parent.name}/{path.stem}", document["base"], document)
        for path in sorted(FIXTURES.glob("*/*.yaml"))
        if path.parent.name not in ("bases", "stack")
        for document in yaml.safe_load(path.read_text())
    ]


def cases() -> list[Case]:
    return [
        Case(entry.rule, entry.base, change, entry.settings)
        for entry in entries()
        for change in entry.document.get("breaks", ())
    ]


def hidden() -> list[Hidden]:
    return [
        Hidden(entry.rule, frozenset(entry.document.get("also", ())), entry.base, path, entry.settings)
        for entry in entries()
        for path in entry.document.get("unknown", ())
    ]


def absent() -> list[Absent]:
    """Every value that a rule must see is left out once; the fixture says where the rule asks for it."""
    return [
        Absent(entry.rule, entry.base, path, path in entry.document.get("asked_for", ()), entry.settings)
        for entry in entries()
        for path in (*entry.document.get("unknown", ()), *entry.document.get("absent", ()))
    ]
