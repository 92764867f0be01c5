"""`make bench-many`: which of 500 sites a change touches, and 50 previews against `pulumi` stack after stack.

Everything runs in a clone of this checkout with generated sites. Prints a table, and writes
bench/results/<stamp>-many.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.generated_sites import write_sites
from bench.results import compiled_modules_are_kept, machine, table, write
from edge.run.stack_settings import placeholders
from engine.environment import environment
from engine.obtain.cli import locate
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.workspace import rehearsal_workspace
from engine.rehearsal.world import World
from stacks.configuration import full_key
from stacks.loader import load_site

ROOT = Path(__file__).resolve().parent.parent
_COMPONENT = "components/mesh/tailscale/join.sh.j2"
_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")


@dataclass(frozen=True)
class Measured:
    """One command, or many of them one after the other."""

    seconds: float
    cpu_seconds: float


def main() -> int:
    compiled_modules_are_kept()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=500, help="sites of the fleet")
    parser.add_argument("--previews", type=int, default=50, help="sites that are previewed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-bench-many-") as folder:
        root = _fleet(Path(folder) / "fleet", options.sites)
        names = sorted(path.stem for path in (root / "stacks" / "sites").glob("[!_]*.yaml"))[: options.previews]
        figures = {
            f"{options.sites} sites, nothing changed": measured(
                lambda: _edge(root, "check", "--changed-since", "HEAD")
            ),
            f"{options.sites} sites, all checked": measured(lambda: _edge(root, "check")),
        }
        with (root / _COMPONENT).open("a") as script:
            script.write("# Another line.\n")
        touched: list[str] = []
        one = measured(lambda: touched.extend(_touched(root)))
        figures[f"{options.sites} sites, one component changed"] = one
        _git(root, "checkout", "--quiet", ".")
        # For both, the stacks are there: making them does not count.
        _edge(root, "preview", *names, "--rehearse")
        together = measured(lambda: _edge(root, "preview", *names, "--rehearse"))
        figures[f"{len(names)} previews, edge"] = together
        alone = _plain(root, names, logged=True)
        figures[f"{len(names)} previews, pulumi one after the other"] = alone
        figures["the same, pulumi without its debug log"] = _plain(root, names, logged=False)
    rows = [[name, f"{found.seconds:.1f}", f"{found.cpu_seconds:.1f}"] for name, found in figures.items()]
    print(table(["", "seconds", "CPU seconds"], rows))
    print(f"the component is in the plans of {len(touched)} of {options.sites} sites, and they were found")
    print(f"edge previews {alone.seconds / together.seconds:.1f} times as fast (target: at least 2.5)")
    path = write(
        "many",
        {
            "figures": {name: [round(one.seconds, 2), round(one.cpu_seconds, 2)] for name, one in figures.items()},
            "touched": len(touched),
            "times_as_fast": round(alone.seconds / together.seconds, 2),
            "machine": machine(),
        },
    )
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def measured(work: Callable[[], object]) -> Measured:
    """Wall time of ``work``, and CPU time of the whole machine meanwhile: workers are no children of this process."""
    before, started = psutil.cpu_times(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - started, psutil.cpu_times()
    return Measured(seconds, after.user + after.system - before.user - before.system)


def _fleet(root: Path, count: int) -> Path:
    """A clone with ``count`` generated sites in place of the examples."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)
    sites = root / "stacks" / "sites"
    for file in sites.glob("[!_]*.yaml"):
        file.unlink()
    (root / "stacks" / "fleet.yaml").unlink()
    write_sites(sites, count, ROOT)
    _git(root, "add", "--all")
    _git(root, *_IDENTITY, "commit", "--quiet", "--message", "a fleet")
    return root


def _touched(root: Path) -> list[str]:
    document = json.loads(_edge(root, "check", "--changed-since", "HEAD", "--json").stdout)
    return [one["site"] for one in document["sites"]]


def _edge(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`edge` of the clone's own code. Advice of a policy and a refusal are results too."""
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"edge {' '.join(arguments[:2])}: {done.stdout}{done.stderr}")
    return done


def _plain(root: Path, names: Sequence[str], *, logged: bool) -> Measured:
    """`pulumi preview` with the policies of each site, one after the other; ``logged`` as anybody has it."""
    found = [_plain_preview(root, name, logged=logged) for name in names]
    return Measured(sum(one.seconds for one in found), sum(one.cpu_seconds for one in found))


def _plain_preview(root: Path, name: str, *, logged: bool) -> Measured:
    spec = load_site(name, root=root)
    settings = {full_key(key): value for key, value in placeholders(spec).items()}
    paths = rehearsal_workspace(name, root, settings)
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        variables = {**os.environ, **environment(rehearsal=server.debug_providers, project_root=root)}
        # A state of its own: that of `edge` has nothing of these stacks either.
        state = root / ".edge" / ("plain" if logged else "plain-without-log")
        state.mkdir(parents=True, exist_ok=True)
        variables["PULUMI_BACKEND_URL"] = f"file://{state}?metadata=skip"
        if logged:
            variables["PULUMI_HOME"] = str(root / ".edge" / "plain-home")
            del variables["GOGC"]

        def pulumi(*arguments: str) -> None:
            command = [str(locate().path), "--non-interactive", "--color", "never", *arguments]
            done = subprocess.run(
                command, cwd=paths.work_dir, env=variables, capture_output=True, text=True, check=False
            )
            # A site that a policy refuses is a result too.
            if done.returncode and "Policies:" not in done.stdout:
                raise SystemExit(f"pulumi {arguments[0]}: {done.stdout}{done.stderr}")

        pulumi("stack", "init", name)
        return measured(lambda: pulumi("preview", "--stack", name, "--policy-pack", str(root / "policies")))


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True)


if __name__ == "__main__":
    sys.exit(main())
