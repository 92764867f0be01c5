"""What a stack's settings file says about secrets: which are set, which are missing. Decrypts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.view import SecretNeed
from stacks.configuration import PLACEHOLDER, full_key
from stacks.parts import required
from stacks.site import SiteSpec


@dataclass(frozen=True)
class StackSettings:
    """The parts of `Pulumi.<stack>.yaml` that `edge` reads."""

    file: Path
    exists: bool = False
    plain: Mapping[str, str] = field(default_factory=dict)
    """Values that are not encrypted, by full key."""
    secure: frozenset[str] = frozenset()
    """Full keys of encrypted values."""
    from_environment: bool = False
    """Whether Pulumi ESC supplies values too; this file then does not tell which secrets are missing."""
    secrets_provider: str = ""
    """URL of the key that encrypts the secrets; empty for a passphrase or the backend's own key."""

    def missing(self, spec: SiteSpec) -> tuple[SecretNeed, ...]:
        """Secrets that the site requires and that are not set, not even in plain text (see ``exposed``)."""
        if self.from_environment:
            return ()
        held = self.secure | set(self.plain)
        return tuple(need for need in required(spec) if full_key(need.key) not in held)

    def other_site(self, site: str) -> str:
        """What `edge:site` says where that is not ``site``: the site that `pulumi up` would build. Empty if it is."""
        named = self.plain.get(full_key("site"), site)
        return "" if Path(named).stem == site else named

    def exposed(self, spec: SiteSpec) -> tuple[str, ...]:
        """Keys of secrets that are in the file in plain text."""
        return tuple(need.key for need in required(spec) if full_key(need.key) in self.plain)


def read_settings(root: Path, stack: str) -> StackSettings:
    """The settings of a stack; empty ones where there is no file. Raises ``yaml.YAMLError``."""
    file = root / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        return StackSettings(file)
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    config: dict[str, Any] = content.get("config") or {}
    plain: dict[str, str] = {}
    secure = set()
    for key, value in config.items():
        full = key if ":" in key else full_key(key)
        if isinstance(value, dict) and "secure" in value:
            secure.add(full)
        elif not isinstance(value, dict | list):
            plain[full] = _text(value)
    return StackSettings(
        file, True, plain, frozenset(secure), bool(content.get("environment")), content.get("secretsprovider") or ""
    )


def placeholders(spec: SiteSpec) -> dict[str, str]:
    """A stand-in for every secret that the site requires, by key without namespace."""
    return {need.key: PLACEHOLDER + need.key for need in required(spec)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
