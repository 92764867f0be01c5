"""Values as YAML for people: block style, and text of several lines stays text of several lines."""

from __future__ import annotations

import json
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a literal block where YAML can."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(value: Any) -> str:
    """A value as YAML, with keys in the order of the value."""
    if not isinstance(value, dict | list):
        # YAML would end a plain scalar with an end of document.
        return value if isinstance(value, str) else json.dumps(value)
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=10**6)
