"""How long a site takes to get a lost host back: an agent, a server, the first server. With phases.

Three servers and an agent in the lab; the API's address is a load balancer. Each run takes the disk of one host, and
measures one plain `up` with its new host key. The machine is booted before the clock starts. K3s is the lab's stand-in
(`lab/README.md`), so these are no figures of K3s itself. Needs root.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.results import compiled_modules_are_kept, machine, table, write
from lab.balancer import Balancer
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.hosts.system import LabError

_SERVERS, _AGENT = ("a", "b", "c"), "d"
LOST = {"agent": "d", "server": "b", "first server": "a"}

PHASES: Mapping[str, Sequence[str]] = {
    "reached and prepared": ("reachable", "facts", "base"),
    "old node forgotten": ("k3s-admit",),
    "K3s installed, joined, Ready": ("k3s",),
    "seen by another server, rest of the run": (),
}
"""By phase, the roles of the commands that end it."""

_DONE = ("create", "create-replacement", "update")
"""Operations that do something on a host. A replaced command ends twice more: as `replace`, and when its old self
goes."""


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    runs: int = options.parse_args().runs
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in LOST}
    try:
        with site() as cluster:
            for number in range(runs):
                for what, name in LOST.items():
                    print(f"run {number + 1} of {runs}: {what}", file=sys.stderr)
                    measured[what].append(recovery(cluster, name))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    shown, figures = summary(measured)
    print(shown)
    path = write("recovery", figures)
    print(f"written to {path.relative_to(Path(__file__).resolve().parent.parent)}")
    return 0


@contextmanager
def site() -> Iterator[Cluster]:
    """A site that is up."""
    lab = Lab(Path("/var/tmp/edge-lab-recovery"), name="labrecover", subnet="10.97.201.0/24")
    names = (*_SERVERS, _AGENT)
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        try:
            lab.up(names, note=print)
            address = str(lab.layout.gateway)
            with (
                Balancer(address, [lab[name].address for name in _SERVERS]),
                cluster_site(lab, Path(folder) / "site", names, api_address=address) as cluster,
            ):
                cluster.write(*_SERVERS, agents=(_AGENT,))
                cluster.site.up()
                yield cluster
        finally:
            lab.down()


def recovery(cluster: Cluster, name: str) -> dict[str, float]:
    """Takes the disk of the host; seconds of each phase of the `up` that brings it back."""
    cluster.reimage(name)
    cluster.write(*_SERVERS, agents=(_AGENT,))
    started = time.perf_counter()
    run = cluster.site.start("up", "--yes", "--skip-preview", "--json")
    assert run.stdout is not None
    events = [(time.perf_counter() - started, json.loads(line)) for line in run.stdout]
    if run.wait() != 0:
        raise LabError(f"`up` did not bring {name} back")
    return times(events, f"lab-{name}", time.perf_counter() - started)


def times(events: Sequence[tuple[float, dict[str, Any]]], node: str, total: float) -> dict[str, float]:
    """Seconds of each phase, from the engine's events and the seconds at which they came.

    A phase that ended before the one ahead of it took none.
    """
    done = {ended: at for at, event in events if (ended := _ended(event))}
    result, before = {}, 0.0
    for phase, roles in PHASES.items():
        ends = [done[f"{node}-{role}"] for role in roles if f"{node}-{role}" in done] if roles else [total]
        end = max([before, *ends])
        result[phase] = end - before
        before = end
    return result


def summary(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> tuple[str, dict[str, Any]]:
    """Medians by phase and in all, for people and for `write`."""
    rows, figures = [], {}
    for what, runs in measured.items():
        totals = [sum(run.values()) for run in runs]
        medians = {phase: statistics.median(run[phase] for run in runs) for phase in PHASES}
        rows.append([what, *(f"{medians[phase]:.1f}" for phase in PHASES), f"{statistics.median(totals):.1f}"])
        figures[what] = {
            "seconds": round(statistics.median(totals), 2),
            "phases": {phase: round(median, 2) for phase, median in medians.items()},
            "runs": [round(total, 2) for total in totals],
        }
    shown = table(["median, seconds (K3s is the lab's stand-in)", *PHASES, "in all"], rows)
    return shown, {"k3s": "the lab's stand-in", "lost": figures, "machine": machine()}


def _ended(event: dict[str, Any]) -> str:
    """The resource whose command has run, by an event of the engine; empty for any other event."""
    metadata = event.get("resOutputsEvent", {}).get("metadata", {})
    if metadata.get("op") not in _DONE:
        return ""
    return str(metadata["urn"]).rpartition("::")[2]


if __name__ == "__main__":
    sys.exit(main())
