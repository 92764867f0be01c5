"""The Pulumi program. What a company adds to every stack (transforms, tags, resources) goes below the call."""

from __future__ import annotations

from pathlib import Path

from stacks.program import build

build(Path(__file__).parent)
