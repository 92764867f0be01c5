"""What encrypts the secrets of stacks: whether it is written down, whether all stacks use it, whether it opens them.

Decrypts one secret of each kind of stack, of `shared`, and of the site that is named. No value comes into this process.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.hosts.doctor_item import Item
from edge.run.pulumi_process import STACK_NOT_FOUND
from edge.run.secrets_provider import (
    KEY,
    KINDS,
    PASSPHRASE,
    SERVICE,
    chosen,
    init_command,
    kind_of,
    login,
    passphrase_at_hand,
)
from edge.run.stack_settings import StackSettings, read_settings
from engine.obtain.cli import PulumiCli
from sitefile.problems import any_of, shown
from stacks.shared.settings import STACK as SHARED
from stacks.shared.settings import NotYaml

_SUBJECT = "secrets of stacks"
_TIMEOUT_S = 60
"""Two rounds of key derivation on a slow machine, or a cloud that does not answer."""
_AGE = 'export PULUMI_CONFIG_PASSPHRASE="$(age --decrypt --identity KEY FILE)", with `secretsprovider: passphrase`'


def encryption(cli: PulumiCli | None, variables: Mapping[str, str], root: Path, site: str | None) -> Iterator[Item]:
    """All checks of it; ``site`` is that whose stack is opened for certain."""
    provider = chosen(root)
    yield _written_down(provider)
    stacks = {}
    for file in sorted(root.glob("Pulumi.*.yaml")):
        name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        try:
            stacks[name] = read_settings(root, name)
        except NotYaml as error:
            yield Item(_SUBJECT, error.file.name, "broken", f"is not YAML: {error}")
    yield from _others(provider, stacks)
    wrong = ""
    if _passphrase_needed(provider, stacks, site, variables):
        where, wrong = passphrase_at_hand()
        if wrong:
            remedy = "export PULUMI_CONFIG_PASSPHRASE_FILE=FILE     FILE holds the passphrase"
            yield Item(_SUBJECT, "encryption", "broken", f"with a passphrase: {wrong}", remedy)
        else:
            yield Item(_SUBJECT, "encryption", "ok", f"with a passphrase, from {where}")
    if cli is None:
        return
    for name in _tried(stacks, site):
        if not (wrong and stacks[name].secrets_provider == PASSPHRASE):
            yield _opened(cli, variables, root, name, stacks[name])


def _written_down(provider: str) -> Item:
    if not provider:
        detail = f"not written down: a new stack gets Pulumi's default (no `{KEY}` in Pulumi.yaml)"
        return Item(
            _SUBJECT, "provider", "note", detail, f"write `{KEY}: passphrase`, or the URL of a key, into Pulumi.yaml"
        )
    if (kind := kind_of(provider)) not in KINDS:
        detail = f"Pulumi has no secrets provider {shown(kind)}; it has {any_of(KINDS)}"
        remedy = _AGE if kind == "age" else f"write one of them as `{KEY}` into Pulumi.yaml"
        return Item(_SUBJECT, "provider", "broken", detail, remedy)
    return Item(_SUBJECT, "provider", "ok", f"{provider}, by Pulumi.yaml")


def _others(provider: str, stacks: Mapping[str, StackSettings]) -> Iterator[Item]:
    """Stacks that are encrypted otherwise than the project says, by what they use."""
    if not provider or kind_of(provider) not in KINDS:
        return
    wanted = "" if provider == SERVICE else provider
    groups: dict[str, list[str]] = {}
    for name, settings in stacks.items():
        used = settings.secrets_provider
        if used != wanted and (used or settings.secure):
            groups.setdefault(used, []).append(name)
    for used, names in groups.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        detail = f"{', '.join(names[:3])}{more}: encrypted by {used or 'the backend'}"
        remedy = f"pulumi stack change-secrets-provider {shlex.quote(provider)} --stack {names[0]}"
        yield Item(
            _SUBJECT, "another one", "note", detail, remedy + ("     and so for each" if more or names[1:] else "")
        )


def _passphrase_needed(
    provider: str, stacks: Mapping[str, StackSettings], site: str | None, variables: Mapping[str, str]
) -> bool:
    used = {settings.secrets_provider for settings in stacks.values()}
    if PASSPHRASE in (*used, provider):
        return True
    url = variables.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL", "")
    # Pulumi's default for a stack that is made now, unless its service keeps the secrets.
    return site is not None and not provider and not (used - {""}) and not url.startswith("https://")


def _tried(stacks: Mapping[str, StackSettings], site: str | None) -> list[str]:
    """Stacks to open, of those with secrets: one for each provider, that of shared secrets, that of the site."""
    first: dict[str, str] = {}
    for name, settings in stacks.items():
        if settings.secure:
            first.setdefault(settings.secrets_provider, name)
    wanted = {*first.values(), SHARED, site}
    return [name for name, settings in stacks.items() if name in wanted and settings.secure]


def _opened(cli: PulumiCli, variables: Mapping[str, str], root: Path, stack: str, settings: StackSettings) -> Item:
    key = next(iter(settings.secure))
    try:
        asked = subprocess.run(
            [str(cli.path), "config", "get", key, "--stack", stack, "--non-interactive", "--color", "never"],
            cwd=root,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            # The value goes nowhere: that it was decrypted is all that is asked.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Item(_SUBJECT, stack, "broken", f"not opened within {_TIMEOUT_S} s", login(settings.secrets_provider))
    if not asked.returncode:
        return Item(_SUBJECT, stack, "ok", "its secrets can be decrypted")
    if asked.returncode == STACK_NOT_FOUND:
        detail = "has secrets in its settings, and no stack on this backend, so that they cannot be tried"
        return Item(_SUBJECT, stack, "note", detail, init_command(stack, root))
    reason = (asked.stderr.strip() or "no reason given").splitlines()[-1].removeprefix("error: ")
    if settings.secrets_provider == PASSPHRASE:
        remedy = f"export PULUMI_CONFIG_PASSPHRASE_FILE=FILE     FILE holds the passphrase of {stack}"
    else:
        remedy = login(settings.secrets_provider)
    return Item(_SUBJECT, stack, "broken", f"its secrets cannot be decrypted: {reason}", remedy)
