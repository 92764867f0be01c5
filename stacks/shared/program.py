"""The program of the stack ``shared``, and how the program of a site reads its secrets from there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pulumi

from components.view import SecretNeed
from stacks.configuration import NAMESPACE, full_key
from stacks.shared.settings import STACK, NotYaml, shared_keys

_READ = "pulumi:pulumi:readStackOutputs"
"""The engine's own function. Unlike a `StackReference` it leaves nothing in the state of the stack that reads."""


def build(root: Path) -> None:
    """The program of the stack ``shared``: its secrets are its outputs, and it has no resources."""
    config = pulumi.Config(NAMESPACE)
    for key in sorted(_keys(root)):
        pulumi.export(key, config.require_secret(key))


def secrets_of(config: pulumi.Config, needs: Iterable[SecretNeed], root: Path) -> Callable[[str], pulumi.Output[str]]:
    """What gives a site its secrets: its own settings, and for what they lack and may be shared, the stack ``shared``.

    That stack is opened only where a secret of it is used, and once.
    """
    shareable = {need.key for need in needs if not need.own}
    keys, values = functools.cache(lambda: shareable & _keys(root)), functools.cache(_outputs)

    def secret(key: str) -> pulumi.Output[str]:
        own = config.get_secret(key)
        if own is not None:
            return own
        return pulumi.Output.secret(_value(key, values())) if key in keys() else config.require_secret(key)

    return secret


def _keys(root: Path) -> frozenset[str]:
    try:
        return shared_keys(root)
    except NotYaml as error:
        raise pulumi.RunError(f"{error.file.name} is not YAML: {error}") from error


def _outputs() -> Mapping[str, Any]:
    """All shared secrets, from the state of the stack. Where its key is not at hand, Pulumi gives none of them."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{STACK}"
    try:
        found = pulumi.runtime.invoke(_READ, {"name": name}).value
    except Exception as error:
        raise pulumi.RunError(
            f"The secrets that sites share cannot be read from the stack `{STACK}`: {error}\n"
            f"`pulumi up -s {STACK}` brings it up. It must be on the same backend."
        ) from error
    outputs: Mapping[str, Any] = (found or {}).get("outputs") or {}
    return outputs


def _value(key: str, outputs: Mapping[str, Any]) -> str:
    value = outputs.get(key)
    if not isinstance(value, str):
        raise pulumi.RunError(
            f"{full_key(key)} is in Pulumi.{STACK}.yaml, and the stack `{STACK}` does not give it. Either it was set "
            f"after the last `pulumi up -s {STACK}`, or what opens this stack (a passphrase, a cloud key) does not "
            f"open that one."
        )
    return value
