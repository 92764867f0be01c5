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
    prefix = full_key("")
    return frozenset(
        key.removeprefix(prefix)
        for key, value in (loaded(settings_file(root)).get("config") or {}).items()
        if key.startswith(prefix) and isinstance(value, dict) and "secure" in value
    )
