"""Where figures go, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"


def write(name: str, figures: dict[str, Any]) -> Path:
    """Write ``figures`` to bench/results/<stamp>-<name>.json."""
    FOLDER.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = FOLDER / f"{stamp}-{name}.json"
    path.write_text(json.dumps({"measured_at": stamp, **figures}, indent=2) + "\n")
    return path


def compiled_modules_are_kept() -> None:
    """Let Python keep compiled modules, as it does for users. Some build machines turn this off."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def machine() -> dict[str, Any]:
    """What a reader must know about the machine to compare figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pulumi": version("pulumi"),
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the right, but for the first."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *cells[1:]]).rstrip())
    return "\n".join(lines)


def compared(title: str, seconds: Mapping[str, Sequence[float]], reference: str) -> tuple[str, dict[str, Any]]:
    """Medians against that of ``reference``, as a table for people and as figures for `write`."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: median / medians[reference] for name, median in medians.items()}
    rows = [
        [name, f"{medians[name]:.2f}", f"{min(times):.2f}", f"{max(times):.2f}", f"{ratios[name]:.2f}"]
        for name, times in seconds.items()
    ]
    figures = {
        "seconds": {name: round(median, 3) for name, median in medians.items()},
        "runs": {name: [round(one, 3) for one in times] for name, times in seconds.items()},
        "reference": reference,
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "machine": machine(),
    }
    return table([f"{title}, seconds", "median", "least", "most", "ratio"], rows), figures
