"""Text that a person may read, without the secrets that a resource was given. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from engine.rehearsal.values import Secret, leaves, reveal

_SHOWN = "[secret]"
_SHORTEST = 4
"""Characters; anything shorter would blot out ordinary words."""


class Redaction:
    """Replaces every secret of ``properties`` in a text: whole, by its lines, and what those are in base64.

    A private key counts as a secret also where the program forgot to mark it as one.
    """

    def __init__(self, properties: Any) -> None:
        found = {form for secret in _secrets(properties) for form in _forms(secret) if len(form) >= _SHORTEST}
        # Longest first, so that no half of a secret stays behind.
        self._forms = sorted(found, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, _SHOWN)
        return text


_ALWAYS = frozenset({"privateKey", "privateKeyPassword", "password", "kubeconfig", "stdin"})


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        for _, leaf in leaves(reveal(value)):
            if isinstance(leaf, str):
                yield leaf
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(Secret(item) if key in _ALWAYS and not isinstance(item, Secret) else item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for line in secret.splitlines():
        yield line.strip()
        try:
            yield base64.b64decode(line.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
