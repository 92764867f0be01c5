"""What a stack's settings file says about secrets: which are there, which are missing. Names only; decrypts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stacks.secrets import PLACEHOLDER

if TYPE_CHECKING:
    from stacks.secrets import SecretNeed
    from stacks.site import SiteSpec

NAMESPACE = "edge:"


@dataclass(frozen=True)
class StackSettings:
    """`Pulumi.<site>.yaml`, as far as it concerns `edge`."""

    file: Path
    exists: bool = False
    plain: Mapping[str, str] = field(default_factory=dict)
    """Values that are no secrets, by full key."""
    secure: frozenset[str] = frozenset()
    """Full keys whose values are encrypted."""
    from_environment: bool = False
    """Whether values come from Pulumi ESC as well, so that this file does not tell what is missing."""

    secrets_provider: str = ""
    """URL of the key that encrypts the secrets; empty for a passphrase or the backend's own key."""

    def missing(self, spec: SiteSpec) -> tuple[SecretNeed, ...]:
        """Secrets that the site requires and its settings do not hold, encrypted or (see ``exposed``) in plain text."""
        if self.from_environment:
            return ()
        held = self.secure | set(self.plain)
        return tuple(need for need in _required(spec) if NAMESPACE + need.key not in held)

    def exposed(self, spec: SiteSpec) -> tuple[str, ...]:
        """Keys of secrets that stand in the file in plain text."""
        return tuple(need.key for need in _required(spec) if NAMESPACE + need.key in self.plain)


def read_settings(root: Path, site: str) -> StackSettings:
    """The settings of the site's stack; empty ones where there is no file. Raises ``yaml.YAMLError``."""
    file = root / f"Pulumi.{site}.yaml"
    if not file.is_file():
        return StackSettings(file)
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    config: dict[str, Any] = content.get("config") or {}
    plain: dict[str, str] = {}
    secure = set()
    for key, value in config.items():
        full = key if ":" in key else NAMESPACE + key
        if isinstance(value, dict) and "secure" in value:
            secure.add(full)
        elif not isinstance(value, dict | list):
            plain[full] = _text(value)
    return StackSettings(
        file, True, plain, frozenset(secure), bool(content.get("environment")), content.get("secretsprovider") or ""
    )


def placeholders(spec: SiteSpec) -> dict[str, str]:
    """A stand-in for every secret that the site requires, by key without namespace."""
    return {need.key: PLACEHOLDER + need.key for need in _required(spec)}


def _required(spec: SiteSpec) -> tuple[SecretNeed, ...]:
    from stacks.secrets import required

    return required(spec)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
