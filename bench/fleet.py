"""`make bench-fleet`: `edge check` over 50 and over 500 generated sites, each time in a fresh process.

Measures what a user waits for, with the start of the interpreter and all imports. Writes
bench/results/<stamp>-fleet.json: seconds_50, seconds_500, per_site_ratio_500_50, peak_mib and what else explains them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.generated_sites import write_sites
from bench.results import compiled_modules_are_kept, machine, table, write

ROOT = Path(__file__).resolve().parent.parent
SIZES = (50, 500)
_SAMPLE_SECONDS = 0.05
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Measured:
    """One run of `edge check`."""

    seconds: float
    report: dict[str, Any]


def main() -> int:
    """Measure, print, write. Returns 1 if a site did not pass: the figures would mean something else."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each size; the median counts")
    runs = options.parse_args().runs
    medians: dict[int, Measured] = {}
    everything: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        folders = {}
        for size in SIZES:
            folders[size] = Path(folder) / str(size)
            folders[size].mkdir()
            write_sites(folders[size], size, ROOT)
        measured: dict[int, list[Measured]] = {size: [] for size in SIZES}
        for _ in range(runs):
            for size in SIZES:
                measured[size].append(check(folders[size]))
        for size, several in measured.items():
            medians[size] = sorted(several, key=lambda one: one.seconds)[len(several) // 2]
            everything[size] = [round(one.seconds, 3) for one in several]
        peaks = {size: peak_mib(folders[size]) for size in SIZES}
    small, large = (medians[size] for size in SIZES)
    ratio = (large.seconds / SIZES[1]) / (small.seconds / SIZES[0])
    rows = [
        [
            str(size),
            str(one.report["counts"]["resources"]),
            f"{one.seconds:.2f}",
            f"{1000 * one.seconds / size:.1f}",
            f"{peaks[size]:.0f}",
            str(one.report["counts"]["mandatory"]),
            spread(one.report),
        ]
        for size, one in medians.items()
    ]
    print(table(["sites", "resources", "seconds", "ms a site", "peak MiB", "refused", "resources a site"], rows))
    print(f"time per site at {SIZES[1]} over that at {SIZES[0]}: {ratio:.2f} (target: at most 1.15)")
    print(f"{SIZES[1]} sites in {large.seconds:.1f} s (target: at most 30 s on two cores)")
    path = write(
        "fleet",
        {
            "seconds_50": round(small.seconds, 3),
            "seconds_500": round(large.seconds, 3),
            "per_site_ratio_500_50": round(ratio, 3),
            "peak_mib": round(max(peaks.values()), 1),
            "peak_mib_by_size": {str(size): round(peak, 1) for size, peak in peaks.items()},
            "runs": {str(size): seconds for size, seconds in everything.items()},
            "resources": {str(size): one.report["counts"]["resources"] for size, one in medians.items()},
            "machine": machine(),
        },
    )
    print(f"written to {path.relative_to(ROOT)}")
    bad = sum(one.report["counts"]["problems"] + one.report["counts"]["graph"] for one in medians.values())
    if bad:
        print(f"{bad} generated sites or resources were refused: the figures are not those of a sound fleet")
    return 1 if bad else 0


def check(folder: Path) -> Measured:
    """`edge check FOLDER --json` in a process of its own."""
    started = time.perf_counter()
    process = _start(folder)
    output, _ = process.communicate()
    return Measured(time.perf_counter() - started, json.loads(output))


def peak_mib(folder: Path) -> float:
    """Peak memory of the same command, in a separate run: sampling slows it down by a fifth."""
    process = _start(folder)
    watch = _Watch(process.pid)
    watch.start()
    process.communicate()
    watch.stop()
    return watch.peak / _MIB


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge.cli", "check", str(folder), "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")


def spread(report: dict[str, Any]) -> str:
    """Smallest, middle and largest number of resources of a site."""
    counts = [site["resources"] for site in report["sites"] if not site["problems"]]
    return f"{min(counts)} / {statistics.median(counts):.0f} / {max(counts)}"


class _Watch(threading.Thread):
    """Peak memory of a process and its children together (PSS: shared pages count once)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.peak = 0.0

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, self._now())

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _now(self) -> float:
        total = 0.0
        try:
            for process in (self._process, *self._process.children(recursive=True)):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
        except psutil.Error:
            return 0.0
        return total


if __name__ == "__main__":
    sys.exit(main())
