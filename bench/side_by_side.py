"""`python -m bench.side_by_side`: ten sites at once through the real engine, ten times, each site in its own process.

Every run previews and brings up one rehearsed site. Prints a table, writes bench/results/<stamp>-side-by-side.json, and
ends with 1 if any run failed.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.generated_sites import write_sites
from bench.results import compiled_modules_are_kept, machine, table, write
from edge.run import pool
from edge.run.operation import opened
from stacks.loader import site_files

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ran:
    """One site, previewed and brought up."""

    seconds: float
    resources: int
    failure: str = ""


def main() -> int:
    compiled_modules_are_kept()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=10, help="sites at the same time")
    parser.add_argument("--rounds", type=int, default=10, help="how often, each time from nothing")
    options = parser.parse_args()
    started = time.perf_counter()
    ran: dict[str, list[Ran]] = {}
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory(prefix="edge-side-by-side-") as folder:
            root = _project(Path(folder), options.sites)
            files = site_files(root)
            results = pool.each(functools.partial(run, root=root), files, options.sites)
            for file, result in zip(files, results, strict=True):
                one = Ran(0.0, 0, result.reason) if isinstance(result, pool.Lost) else result
                ran.setdefault(file.stem, []).append(one)
        failed = sum(1 for several in ran.values() for one in several if one.failure)
        progress = f"round {number} of {options.rounds}: {failed} failures, {time.perf_counter() - started:.0f} s"
        print(progress, file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    rows = [
        [
            site,
            str(len(several)),
            str(sum(1 for one in several if one.failure)),
            str(max(one.resources for one in several)),
            f"{statistics.median(one.seconds for one in several):.1f}",
            f"{max(one.seconds for one in several):.1f}",
        ]
        for site, several in ran.items()
    ]
    print(table(["site", "runs", "failures", "resources", "median s", "most s"], rows))
    failures = [f"{site}: {one.failure}" for site, several in ran.items() for one in several if one.failure]
    print(f"{options.sites} sites side by side, {options.rounds} times: {len(failures)} failures, {seconds:.0f} s")
    print("\n".join(failures))
    write(
        "side-by-side",
        {
            "sites": options.sites,
            "rounds": options.rounds,
            "failures": failures,
            "seconds": round(seconds, 1),
            "machine": machine(),
        },
    )
    return 1 if failures else 0


def run(file: Path, root: Path) -> Ran:
    """Preview one site and bring it up, in this process."""
    started = time.perf_counter()
    with opened(str(file), rehearse=True, root=root) as session:
        for operation in (session.preview, session.up):
            found = operation(lambda _step: None)
            if found.code:
                said = [error.message for error in found.run.errors]
                said += [violation.message for violation in found.run.violations]
                said += [found.failure.what] if found.failure else []
                return Ran(time.perf_counter() - started, 0, "; ".join(said) or f"exit code {found.code}")
    return Ran(time.perf_counter() - started, found.run.counts["create"])


def _project(folder: Path, sites: int) -> Path:
    """A project of its own, with generated sites and no state."""
    (folder / "stacks" / "sites").mkdir(parents=True)
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "stacks" / "profiles").symlink_to(ROOT / "stacks" / "profiles")
    shutil.copy(ROOT / "stacks" / "sites" / "_defaults.yaml", folder / "stacks" / "sites")
    write_sites(folder / "stacks" / "sites", sites, ROOT)
    return folder


if __name__ == "__main__":
    sys.exit(main())
