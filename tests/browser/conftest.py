from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.project import PROGRAM_ROOT
from tests.browser.chromium import NAMES, Browser, executable, started


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = executable()
    if program is None:
        pytest.skip(f"no Chromium on this machine, on PATH as one of {', '.join(NAMES)} (apt install {NAMES[0]})")
    with started(program) as found:
        yield found


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where screenshots are left for people to look at: `build/screenshots`, or EDGE_SCREENSHOTS."""
    return Path(os.environ.get("EDGE_SCREENSHOTS") or PROGRAM_ROOT / "build" / "screenshots")
