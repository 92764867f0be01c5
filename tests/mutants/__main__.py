"""`make mutants`: put each fault of the catalogue into a copy of the checkout and run the tests that must catch it.

    python -m tests.mutants [--jobs N] [WORD...]      only mutants whose promise or file holds a WORD

The checkout itself is never changed: each mutant gets a copy of its own, which is thrown away. The tests run with
`--update-golden`, so that no golden file can be what catches a mutant. Exit code 1 where a mutant survives without a
written reason, is stale (its old text is not in the file any more), or breaks the program so that no test can run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.environment import PROJECT_ROOT
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

_DEADLINE_S = 600
_TESTS_FAILED = 1
"""Exit code of pytest; others mean that the tests could not be run."""


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    mutant: Mutant
    caught_by: tuple[str, ...] = ()
    trouble: str = ""
    """Why it says nothing: stale, or no test could run."""

    @property
    def accepted(self) -> bool:
        return not self.trouble and bool(self.caught_by or self.mutant.reason)

    def row(self) -> str:
        if self.trouble:
            return f"{self.mutant.promise}\n    ERROR     {self.trouble}"
        if self.caught_by:
            more = f" and {len(self.caught_by) - 1} more" if len(self.caught_by) > 1 else ""
            return f"{self.mutant.promise}\n    caught    {self.caught_by[0]}{more}"
        reason = f"accepted: {self.mutant.reason}" if self.mutant.reason else "no test caught it"
        return f"{self.mutant.promise}\n    SURVIVED  {self.mutant.file}: {reason}"


def checkout_files() -> list[str]:
    """Everything in the checkout that is under version control or would be: no build, no state, no environment."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name for name in listed.split("\0") if name and (PROJECT_ROOT / name).is_file()]


@contextmanager
def copy_of_checkout(files: Sequence[str]) -> Iterator[Path]:
    """A copy of its own, with the checkout's environment; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="edge-mutant-") as folder:
        root = Path(folder) / "checkout"
        for name in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT_ROOT / name, root / name)
        # Tests that clone the checkout ask Git for its files.
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        for compiled in {(PROJECT_ROOT / name).parent / "__pycache__" for name in files}:
            if compiled.is_dir():
                # Good for a file whose time and size are the same: not for the one that gets the fault.
                shutil.copytree(compiled, root / compiled.relative_to(PROJECT_ROOT))
        (root / ".venv").symlink_to(sys.prefix)
        yield root


def run_tests(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code of pytest in a copy, and what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--update-golden", "--tb=no", *tests]
    # First on the path, before the checkout that the environment's own `edge` belongs to.
    variables = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def tried(mutant: Mutant, files: Sequence[str]) -> Result:
    """Put the fault into a copy and run its tests there."""
    with copy_of_checkout(files) as root:
        if trouble := mutant.apply(root):
            return Result(mutant, trouble=trouble)
        try:
            code, said = run_tests(root, mutant.tests)
        except subprocess.TimeoutExpired:
            return Result(mutant, trouble=f"its tests did not finish within {_DEADLINE_S} s")
    caught = tuple(re.findall(r"^FAILED (\S+)", said, re.MULTILINE))
    if code not in (0, _TESTS_FAILED) or (code and not caught):
        return Result(mutant, trouble=f"pytest ended with exit code {code}:\n{said[-2000:]}")
    return Result(mutant, caught_by=caught)


def sound(mutants: Sequence[Mutant], files: Sequence[str]) -> str:
    """Empty where all tests pass without a fault; otherwise what they say. Without that, being caught means nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with copy_of_checkout(files) as root:
        code, said = run_tests(root, tests)
    return said if code else ""


def main() -> int:
    """See the module."""
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("words", nargs="*", metavar="WORD")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants tried at the same time")
    told = options.parse_args()
    chosen = [one for one in MUTANTS if not told.words or any(word in one.promise + one.file for word in told.words)]
    files = checkout_files()
    if failing := sound(chosen, files):
        print(f"the tests fail without any mutant:\n{failing}", file=sys.stderr)
        return 1
    started = time.monotonic()
    results: dict[Mutant, Result] = {}
    with ThreadPoolExecutor(told.jobs) as pool:
        for future in as_completed(pool.submit(tried, mutant, files) for mutant in chosen):
            result = future.result()
            results[result.mutant] = result
            word = "error" if result.trouble else "caught" if result.caught_by else "SURVIVED"
            note = f"[{len(results)}/{len(chosen)}] {word}: {result.mutant.promise}"
            print(note, file=sys.stderr, flush=True)
    print("\n".join(results[mutant].row() for mutant in chosen))
    refused = [result for result in results.values() if not result.accepted]
    caught = sum(bool(result.caught_by) for result in results.values())
    print(f"{len(chosen)} mutants: {caught} caught, {len(refused)} to look at ({time.monotonic() - started:.0f} s)")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
