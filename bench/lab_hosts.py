"""`make bench-lab`: three real hosts brought up by the program, against a shell script with the same steps.

The script runs what the program renders, over the same SSH: the hosts side by side, the steps of each one after the
other, a connection for each step. Hosts are put back before each run. Needs root; writes
bench/results/<stamp>-lab.json.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.results import compared, compiled_modules_are_kept, write
from bench.shell_site import ShellSite, recorded, run_script, ssh_to
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from lab.site import lab_site

NAMES = ("a", "b", "c")
SCRIPT = "shell script, same steps"
FIRST = "first up"
AGAIN = "up without changes"
_UNDO = """
rm -f /etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf /etc/modules-load.d/edge.conf
rm -rf /var/lib/edge
hostnamectl set-hostname fresh
"""


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    runs = options.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        lab = Lab(Path(folder) / "lab", name="labbench", subnet="10.97.200.0/24")
        try:
            lab.up(NAMES, note=print)
            times = measure(lab, Path(folder), runs)
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            lab.down()
    shown, figures = compared(f"{len(NAMES)} hosts", times, SCRIPT)
    print(shown)
    path = write("lab", figures)
    print(f"written to {path.relative_to(Path(__file__).resolve().parent.parent)}")
    return 0


def measure(lab: Lab, folder: Path, runs: int) -> dict[str, list[float]]:
    """In turn; the first round is dropped."""
    times: dict[str, list[float]] = {SCRIPT: [], FIRST: [], AGAIN: []}
    for number in range(runs + 1):
        with lab_site(lab, folder / f"site-{number}") as site:
            site.write(*NAMES)
            scripts = ShellSite(folder, ssh_to(lab), lab[NAMES[0]].address)
            script = scripts.up(recorded(site.file, {"ssh-private-key": "not used by a script"}))
            found = {
                SCRIPT: timed(functools.partial(run_script, script), lab),
                FIRST: timed(site.up, lab),
                AGAIN: timed(site.up),
            }
        if number:
            for name, seconds in found.items():
                times[name].append(seconds)
    return times


def put_back(lab: Lab) -> None:
    """Takes what a run left off all hosts."""
    for name in NAMES:
        lab[name].run(_UNDO)


def timed(act: Callable[[], object], fresh: Lab | None = None) -> float:
    """Seconds; on hosts that are put back first where ``fresh`` says which."""
    if fresh is not None:
        put_back(fresh)
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
