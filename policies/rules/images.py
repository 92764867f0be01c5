"""Names of images: how a container runtime reads them, whether they are pinned, and whether their place is allowed.

Judges nothing by itself: the rules about images and about what rewrites them ask here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Image(NamedTuple):
    """A parsed image reference."""

    repository: str
    """Registry and path, with the registry that a container runtime fills in."""

    tag: str
    digest: str

    @property
    def pinned(self) -> bool:
        """Whether it is named by its digest."""
        return is_digest(self.digest)


def is_digest(text: str) -> bool:
    """Whether ``text`` is the digest of an image."""
    return _DIGEST.fullmatch(text) is not None


def parse_image(reference: str) -> Image:
    """Parses any text as a container runtime would."""
    rest, _, digest = reference.partition("@")
    head, slash, tail = rest.rpartition("/")
    name, _, tag = tail.partition(":")
    path = f"{head}{slash}{name}"
    first, slash, _ = path.partition("/")
    if not slash:
        path = f"docker.io/library/{path}"
    elif "." not in first and ":" not in first and first != "localhost":
        path = f"docker.io/{path}"
    return Image(path, tag, digest)


def is_allowed(place: str, registries: Iterable[str]) -> bool:
    """Whether ``place``, a registry or a path in one, is one of ``registries`` or below one."""
    return any(f"{place}/".startswith(f"{allowed.rstrip('/')}/") for allowed in registries)
