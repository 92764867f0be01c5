"""How long a preview that changes nothing takes, against an empty Pulumi program in the same minutes.

All variants run in turn, five times each, every one in a process of its own; medians count. Brings the rehearsal of
prod up first, so that there is nothing to change. Writes bench/results/<stamp>-preview.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.results import compared, compiled_modules_are_kept, write
from engine.environment import environment
from engine.obtain.cli import locate

ROOT = Path(__file__).resolve().parent.parent
SITE = "prod"
_EDGE = [sys.executable, "-m", "edge.cli"]

EMPTY = "empty program, pulumi"
WITH_POLICIES = f"{SITE}, edge preview"
WITHOUT_POLICIES = f"{SITE}, edge preview without policies"
PLAIN = f"{SITE}, pulumi preview without policies"
CHECK = "all sites, edge check"


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--one", choices=["without-policies", "plain"], help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one == "without-policies":
        return without_policies()
    if chosen.one == "plain":
        return plain()
    # Twice: the second shows that the first left nothing to do.
    for _ in range(2):
        _run([*_EDGE, "up", SITE, "--rehearse", "--json"])
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        measured = measure(variants(Path(folder)), chosen.runs)
    shown, figures = compared("preview", measured, EMPTY)
    print(shown)
    path = write("preview", figures)
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def variants(folder: Path) -> dict[str, Callable[[], None]]:
    """What is compared."""
    empty = empty_program(folder)
    this = [sys.executable, "-m", "bench.preview", "--one"]
    return {
        EMPTY: empty,
        WITH_POLICIES: lambda: _run([*_EDGE, "preview", SITE, "--rehearse", "--json"]),
        WITHOUT_POLICIES: lambda: _run([*this, "without-policies"]),
        PLAIN: lambda: _run([*this, "plain"]),
        CHECK: lambda: _run([*_EDGE, "check"]),
    }


def measure(commands: dict[str, Callable[[], None]], runs: int) -> dict[str, list[float]]:
    """In turn, so that other load on the machine affects all of them. The first round fills caches and is dropped."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            command()
            if number:
                times[name].append(time.perf_counter() - started)
    return times


def empty_program(folder: Path) -> Callable[[], None]:
    """A project whose program does nothing, with a stack that exists."""
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(
        f"name: empty\nruntime: {{name: python, options: {{toolchain: pip, virtualenv: {sys.prefix}}}}}\n"
    )
    (folder / "__main__.py").write_text("import pulumi\n")
    variables = {
        **os.environ,
        **environment(backend=f"file://{folder / 'state'}"),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        "PULUMI_HOME": str(folder / "home"),
    }
    pulumi = str(locate().path)

    def run(*arguments: str) -> None:
        _run([pulumi, "--non-interactive", *arguments, "--stack", "bench"], folder, variables)

    run("stack", "init")
    run("up", "--yes", "--skip-preview")
    return lambda: run("preview")


def without_policies() -> int:
    """`edge preview` without the policy pack."""
    from edge.run.operation import opened

    with opened(SITE, rehearse=True) as session:
        run, finished = session.stream(["preview", *session.program], lambda _: None)
    return finished.code or (1 if run.counts["same"] != sum(run.counts.values()) else 0)


def plain() -> int:
    """The program as `pulumi` itself runs it, against the same rehearsal."""
    from edge.run.stack_settings import placeholders
    from engine.rehearsal.serving import RehearsalServer
    from engine.rehearsal.workspace import rehearsal_workspace
    from engine.rehearsal.world import World
    from stacks.loader import load_site

    spec = load_site(SITE)
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        paths = rehearsal_workspace(SITE, config=placeholders(spec))
        variables = {**os.environ, **environment(rehearsal=server.debug_providers)}
        command = [str(locate().path), "--non-interactive", "preview", "--stack", SITE, "--expect-no-changes"]
        _run(command, paths.work_dir, variables)
    return 0


def _run(command: list[str], folder: Path = ROOT, variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
