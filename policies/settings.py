"""A fleet's settings for the rules, from one file that ``edge check`` and the policy pack share.

The file has the form of Pulumi's ``--policy-pack-config``: settings by policy name, all of them under one policy. This
module reads the settings of the rules; Pulumi reads the enforcement levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from policies import charts
from policies.rules import DEFAULT_SETTINGS, Settings
from policies.rules.catalogue import RESOURCES_ADVISORY, RESOURCES_MANDATORY, STACK_MANDATORY
from policies.rules.chart_records import Records

_TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}

SCHEMA: Mapping[str, dict[str, Any]] = {
    "registries": {**_TEXTS, "description": "Registries, or paths in them, in place of the default list."},
    "more_registries": {**_TEXTS, "description": "Registries, or paths in them, in addition to that list."},
    "mesh_key_hours": {
        "type": "integer",
        "minimum": 1,
        "maximum": 2160,
        "description": "Longest lifetime of a mesh key, in hours.",
    },
    "aws_regions": {**_TEXTS, "description": "AWS regions that may be used; all of them by default."},
    "azure_locations": {**_TEXTS, "description": "Azure regions that may be used; all of them by default."},
    "required_tags": {
        **_TEXTS,
        "description": "Tags that every resource in AWS and Azure has; `edge-site` by default.",
    },
    "arc_private_link": {
        "type": "boolean",
        "description": "Whether a connected cluster has to use a private link scope; false by default.",
    },
    "arc_entra_id": {
        "type": "boolean",
        "description": "Whether a connected cluster has to name administrators in Entra ID; false by default.",
    },
}
"""The settings, each as JSON Schema."""

MANDATORY, ADVISORY, TOGETHER = RESOURCES_MANDATORY, RESOURCES_ADVISORY, STACK_MANDATORY
WAIVED = "edge-waived-advisory"
"""The policy that shows what is waived."""

POLICIES = (MANDATORY, ADVISORY, TOGETHER, WAIVED)
"""The pack's policies. The settings are those of the first one, and count for all."""

_ALL, _LEVEL = "all", "enforcementLevel"
_LEVELS = ("advisory", "mandatory", "remediate", "disabled")
"""What Pulumi reads from the same file."""


_SCHEMA = "$schema"
"""Where editors find the schema of the file."""


_ABOUT = "What the rules of this pack allow: these settings count for all of its policies."


def file_schema() -> dict[str, Any]:
    """The whole file, as JSON Schema."""
    levels = {"enum": list(_LEVELS), "description": "What a finding of this policy does to a run of Pulumi."}

    def policy(name: str) -> dict[str, Any]:
        known = {**_settings_of(name), _LEVEL: levels}
        return {"anyOf": [{"type": "object", "additionalProperties": False, "properties": known}, levels]}

    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of the policies of edge sites",
        "type": "object",
        "additionalProperties": False,
        "properties": {_SCHEMA: {"type": "string"}, **{name: policy(name) for name in (*POLICIES, _ALL)}},
    }


def policies_in() -> dict[str, Any]:
    """The settings of each policy in the file, as JSON Schema: those that take any beside their level."""
    return {MANDATORY: {"type": "object", "description": _ABOUT, "properties": dict(SCHEMA)}}


def _settings_of(policy: str) -> Mapping[str, dict[str, Any]]:
    return SCHEMA if policy == MANDATORY else {}


class SettingsError(Exception):
    """The configuration file cannot be used. The message says why and what was expected."""


def load(path: Path) -> Settings:
    """The settings in ``path``; the defaults where there is no such file. Raises ``SettingsError``."""
    settings = replace(DEFAULT_SETTINGS, charts=_charts(path.parent))
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, object_pairs_hook=_each_once)
    except FileNotFoundError:
        return settings
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: expected a JSON object of settings by policy name: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected a JSON object of settings by policy name")
    for policy, values in document.items():
        if policy == _SCHEMA and isinstance(values, str):
            continue
        try:
            settings = apply(settings, _of_policy(policy, values))
        except _WrongKey as error:
            raise SettingsError(f"{path}{_position(text, error.key)}: {error}") from error
        except ValueError as error:
            raise SettingsError(f"{path}{_position(text, policy)}: {policy}: {error}") from error
    return settings


def _charts(folder: Path) -> Records:
    """What is recorded of charts, in the folder of the settings."""
    try:
        return charts.load(folder / charts.FILE)
    except charts.ChartError as error:
        raise SettingsError(str(error)) from error


class _WrongKey(ValueError):
    def __init__(self, key: str, what: str, known: Iterable[str]) -> None:
        self.key = key
        names = sorted(known)
        near = get_close_matches(key, names, n=1, cutoff=0.75)
        meant = f": did you mean {near[0]}?" if near else "."
        super().__init__(f"{what}{meant} Expected: {', '.join(names)}")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON's own rule for a key that is there twice is to take the last one, without a word."""
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice")
    return dict(pairs)


def _of_policy(policy: str, values: Any) -> Mapping[str, Any]:
    """The settings of one policy, which must be a policy of the pack and settings of that policy."""
    if policy not in POLICIES and policy != _ALL:
        what = f"{policy} is not a policy of this pack"
        if isinstance(values, Mapping) and SCHEMA.keys() & values.keys():
            what = f"{what}, and all settings are those of {MANDATORY}"
        raise _WrongKey(policy, what, (*POLICIES, _ALL))
    if isinstance(values, str):
        values = {_LEVEL: values}
    if not isinstance(values, dict):
        raise ValueError("expected an object of settings, or an enforcement level")
    known = (*_settings_of(policy), _LEVEL)
    for name in values:
        if name not in known:
            raise _WrongKey(name, f"{name} is not a setting of {policy}", known)
    if values.get(_LEVEL, "disabled") not in _LEVELS:
        raise ValueError(f"{_LEVEL}: expected one of {', '.join(_LEVELS)}")
    return values


def _position(text: str, key: str) -> str:
    """Line and column of a key."""
    at = text.find(json.dumps(key))
    return f":{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}" if at >= 0 else ""


def apply(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """``settings`` with those that one policy's configuration changes. Raises ValueError for a wrong type."""
    if not values:
        return settings
    known = {*SCHEMA, _LEVEL}
    for name in values:
        if name not in known:
            raise ValueError(f"{name} is not a setting; known are {', '.join(sorted(known))}")
    registries = _names(values, "registries", settings.registries) + _names(values, "more_registries", ())
    hours = values.get("mesh_key_hours", settings.mesh_key_hours)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 1 <= hours <= 2160:
        raise ValueError("mesh_key_hours: expected a number of hours from 1 to 2160")
    return replace(
        settings,
        registries=registries,
        mesh_key_hours=int(hours),
        aws_regions=_names(values, "aws_regions", settings.aws_regions, "regions such as eu-central-1"),
        azure_locations=_names(values, "azure_locations", settings.azure_locations, "regions such as westeurope"),
        required_tags=_names(values, "required_tags", settings.required_tags, "tags such as edge-site"),
        arc_private_link=_flag(values, "arc_private_link", settings.arc_private_link),
        arc_entra_id=_flag(values, "arc_entra_id", settings.arc_entra_id),
    )


def _flag(values: Mapping[str, Any], name: str, default: bool) -> bool:
    given = values.get(name)
    if given is None:
        return default
    if not isinstance(given, bool):
        raise ValueError(f"{name}: expected true or false")
    return given


def _names(
    values: Mapping[str, Any],
    name: str,
    default: tuple[str, ...],
    what: str = "registries such as registry.example.com/team",
) -> tuple[str, ...]:
    given = values.get(name)
    if given is None:
        return default
    if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
        raise ValueError(f"{name}: expected a list of {what}")
    return tuple(given)
