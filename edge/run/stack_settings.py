"""What a stack's settings file says about secrets: which are set, which are missing. Decrypts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.view import SecretNeed
from stacks.configuration import PLACEHOLDER, full_key
from stacks.parts import required
from stacks.project import project_name
from stacks.shared.settings import loaded, shared_keys
from stacks.site import SiteSpec


@dataclass(frozen=True)
class StackSettings:
    """The parts of `Pulumi.<stack>.yaml` that `edge` reads."""

    file: Path
    exists: bool = False
    plain: Mapping[str, str] = field(default_factory=dict)
    """Values that are not encrypted, by full key."""
    secure: Mapping[str, str] = field(default_factory=dict)
    """Encrypted values, by full key."""
    from_environment: bool = False
    """Whether Pulumi ESC supplies values too; this file then does not tell which secrets are missing."""
    secrets_provider: str = ""
    """What encrypts the secrets: the URL of a key, or `passphrase`; empty for the backend's own key, or nothing yet."""

    shared: frozenset[str] = frozenset()
    """Full keys of the encrypted secrets that sites share (`Pulumi.shared.yaml`)."""

    def missing(self, spec: SiteSpec) -> tuple[SecretNeed, ...]:
        """Secrets that the site requires and that are not set, not even in plain text (see ``exposed``)."""
        if self.from_environment:
            return ()
        held = {*self.secure, *self.plain}
        return tuple(need for need in required(spec) if full_key(need.key) not in held and not self.lends(need))

    def lends(self, need: SecretNeed) -> bool:
        """Whether the site has this secret from what sites share: its own value comes first, and so does Pulumi ESC."""
        return not need.own and self.takes_shared(full_key(need.key))

    def takes_shared(self, key: str) -> bool:
        """Whether the value of a full key is that of the stack `shared`, as far as the settings tell."""
        own = key in self.secure or key in self.plain or self.from_environment
        return not own and key in self.shared

    def other_site(self, site: str) -> str:
        """What `edge:site` says where that is not ``site``: the site that `pulumi up` would build. Empty if it is."""
        named = self.plain.get(full_key("site"), site)
        return "" if Path(named).stem == site else named

    def exposed(self, spec: SiteSpec) -> tuple[str, ...]:
        """Keys of secrets that are in the file in plain text."""
        return tuple(need.key for need in required(spec) if full_key(need.key) in self.plain)


def read_settings(root: Path, stack: str) -> StackSettings:
    """The settings of a stack; empty ones where there is no file. Raises ``NotYaml``."""
    file = root / f"Pulumi.{stack}.yaml"
    shared = frozenset(map(full_key, shared_keys(root)))
    if not file.is_file():
        return StackSettings(file, shared=shared)
    content = loaded(file)
    config: dict[str, Any] = content.get("config") or {}
    plain: dict[str, str] = {}
    secure: dict[str, str] = {}
    for key, value in config.items():
        # As Pulumi reads it: the namespace that is left out is the name of the project.
        full = key if ":" in key else f"{project_name(root)}:{key}"
        if isinstance(value, dict) and "secure" in value:
            secure[full] = str(value["secure"])
        elif not isinstance(value, dict | list):
            plain[full] = _text(value)
    return StackSettings(
        file,
        True,
        plain,
        secure,
        bool(content.get("environment")),
        content.get("secretsprovider") or ("passphrase" if content.get("encryptionsalt") else ""),
        shared,
    )


def placeholders(spec: SiteSpec) -> dict[str, str]:
    """A stand-in for every secret that the site requires, by key without namespace."""
    return {need.key: PLACEHOLDER + need.key for need in required(spec)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
