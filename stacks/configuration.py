"""Keys of the program in a stack's configuration (`Pulumi.<stack>.yaml`)."""

from __future__ import annotations

NAMESPACE = "edge"
"""Namespace of all keys: ``pulumi config set --secret edge:<key> -s SITE``."""

ALLOW_DESTROY = "allow-destroy"
"""Key of the consent to what destroys; see ``components.consequence.consents_of``. Not a secret."""

PLACEHOLDER = "rehearsal-placeholder-"
"""What stands in for a secret in a rehearsal, before its key."""


def full_key(key: str) -> str:
    """A key with its namespace, as the stack's settings file spells it."""
    return f"{NAMESPACE}:{key}"
