"""`Pulumi.shared.yaml`: which secrets sites share. Names only, never a value. Does not import Pulumi."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stacks.configuration import full_key

STACK = "shared"
"""Name of the stack; no site may be called so."""


class NotYaml(yaml.YAMLError):
    """``file``, which holds the settings of a stack, cannot be parsed."""

    def __init__(self, file: Path, error: yaml.YAMLError) -> None:
        super().__init__((str(error).strip() or "no reason given").splitlines()[0])
        self.file = file


def settings_file(root: Path) -> Path:
    return root / f"Pulumi.{STACK}.yaml"


def loaded(file: Path) -> dict[str, Any]:
    """The settings of a stack; none where there is no file. Raises ``NotYaml``."""
    if not file.is_file():
        return {}
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    except yaml.YAMLError as error:
        raise NotYaml(file, error) from error


def shared_keys(root: Path) -> frozenset[str]:
    """Keys of the encrypted secrets in `Pulumi.shared.yaml`, without namespace. Raises ``NotYaml``."""
    return frozenset(key for key, value in _values(root).items() if isinstance(value, dict) and "secure" in value)


def plain_keys(root: Path) -> frozenset[str]:
    """Keys of what is there in plain text, and so is not shared. Raises ``NotYaml``."""
    return frozenset(_values(root)) - shared_keys(root)


def _values(root: Path) -> dict[str, Any]:
    """What is there in the program's namespace, by key without it."""
    prefix = full_key("")
    config = loaded(settings_file(root)).get("config") or {}
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
