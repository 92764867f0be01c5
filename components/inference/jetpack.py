"""Which release of JetPack an image of Triton's is for. Pure."""

from __future__ import annotations

import re
from typing import Literal

from components.types import ImageRef

JetPack = Literal[5, 6, 7]

_JETSON_TAG = re.compile(r":[^:@/]*-igpu(?:@|$)")
_TAG = re.compile(r":[^:@/]+(?:@|$)")


def jetpack_of(image: ImageRef | None) -> JetPack | None:
    """By the image's tag, as NVIDIA writes it: `-igpu` is for JetPack 6, any other one for 7. None without a tag."""
    if image is None or not _TAG.search(image.partition("@")[0]):
        return None
    return 6 if _JETSON_TAG.search(image) else 7
