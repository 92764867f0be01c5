"""A fleet's settings for the rules, from one file that ``edge check`` and the policy pack share.

The file has the form of Pulumi's ``--policy-pack-config``: settings by policy name. This module
reads the settings of the rules; Pulumi reads the enforcement levels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.rules import DEFAULT_SETTINGS, Settings

CONFIG_FILE = Path(__file__).parent / "config.json"
"""Read when it exists; otherwise the defaults apply."""

SCHEMA: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "edge-supply-chain-mandatory": {
        "registries": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Registries, or registry paths, that images may come from, in place of the default list.",
        },
        "more_registries": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Registries, or registry paths, that are allowed in addition to that list.",
        },
    },
    "edge-network-mandatory": {
        "mesh_key_hours": {
            "type": "integer",
            "minimum": 1,
            "maximum": 2160,
            "description": "Longest lifetime of a mesh key, in hours.",
        },
    },
}
"""Settings by policy, as JSON Schema."""


class SettingsError(Exception):
    """The configuration file cannot be used. The message says why and what was expected."""


def load(path: Path = CONFIG_FILE) -> Settings:
    """The settings in ``path``; the defaults where there is no such file. Raises ``SettingsError``."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return DEFAULT_SETTINGS
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: expected a JSON object of settings by policy name: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected a JSON object of settings by policy name")
    settings = DEFAULT_SETTINGS
    for policy, values in document.items():
        if isinstance(values, dict):
            try:
                settings = apply(settings, values)
            except ValueError as error:
                raise SettingsError(f"{path}: {policy}: {error}") from error
    return settings


def apply(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """``settings`` with those that one policy's configuration changes. Raises ValueError for a wrong type."""
    if not values:
        return settings
    known = {name for policy in SCHEMA.values() for name in policy} | {"enforcementLevel"}
    for name in values:
        if name not in known:
            raise ValueError(f"{name} is not a setting; known are {', '.join(sorted(known))}")
    registries = _names(values, "registries", settings.registries) + _names(values, "more_registries", ())
    hours = values.get("mesh_key_hours", settings.mesh_key_hours)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 1 <= hours <= 2160:
        raise ValueError("mesh_key_hours: expected a number of hours from 1 to 2160")
    return replace(settings, registries=registries, mesh_key_hours=int(hours))


def _names(values: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    given = values.get(name)
    if given is None:
        return default
    if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
        raise ValueError(f"{name}: expected a list of registries such as registry.example.com/team")
    return tuple(given)
