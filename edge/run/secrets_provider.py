"""What encrypts the secrets of stacks: chosen once, in `Pulumi.yaml`, and whether this machine has what it needs.

`secretsprovider` in `Pulumi.yaml` is ours: Pulumi ignores it there, and uses that word in the settings of a stack.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import yaml

KEY = "secretsprovider"
PASSPHRASE, SERVICE = "passphrase", "default"
_LOGIN = {
    "awskms": "aws sso login, or set AWS_PROFILE",
    "azurekeyvault": "az login",
    "gcpkms": "gcloud auth application-default login",
    "hashivault": "export VAULT_SERVER_URL=... VAULT_SERVER_TOKEN=...",
}
"""Key in a cloud, by the scheme of its URL -> how one gets access to it."""
KINDS = (PASSPHRASE, *_LOGIN, SERVICE)
_VARIABLE, _FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def chosen(root: Path) -> str:
    """`passphrase`, `default` (the backend's own), or the URL of a key; empty where the project does not say."""
    file = root / "Pulumi.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return str((content or {}).get(KEY) or "")


def kind_of(provider: str) -> str:
    """The scheme of a URL, or the word itself."""
    return provider.partition(":")[0]


def for_new_stack(root: Path, already: str) -> str:
    """The provider for a stack that is made now; empty for Pulumi's default. ``already``: what its settings have."""
    provider = chosen(root)
    return "" if already or provider == SERVICE else provider


def init_command(stack: str, root: Path) -> str:
    """The command that makes a stack."""
    provider = chosen(root)
    return f"pulumi stack init {stack}" + (f" --secrets-provider {shlex.quote(provider)}" if provider else "")


def login(provider: str) -> str:
    """The command that gives access to a key in a cloud."""
    return _LOGIN.get(kind_of(provider), "pulumi login")


def passphrase_at_hand(variables: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Where the passphrase comes from, and what is wrong with it; either is empty. Pulumi looks in the same order."""
    if _VARIABLE in variables:
        empty = f"{_VARIABLE} is set and empty" if not variables[_VARIABLE] else ""
        return _VARIABLE, empty
    file = variables.get(_FILE, "")
    if not file:
        return "", f"neither {_VARIABLE} nor {_FILE} is set"
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        return "", f"{_FILE} is {file}, which cannot be read: {why}"
    return (f"{_FILE}, {file}", "") if text else ("", f"{_FILE} is {file}, which is empty")
