"""`make bench-lab-site`: a whole real site brought up by `edge`, against a shell script with the same steps.

Three hosts, K3s, mesh, Flux, collectors, a model, all of it in the lab. Between two runs everything is taken off the
hosts. Both start where preparing ended: images, downloads and servers are there. Needs root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.results import compared, compiled_modules_are_kept, write
from bench.shell_site import ShellSite, recorded
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from lab.whole import NAMES, SERVER, Whole, whole_site

SCRIPT, FIRST, AGAIN = "shell script, same steps", "edge up, first", "edge up, no changes"


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    runs = options.parse_args().runs
    times: dict[str, list[float]] = {SCRIPT: [], FIRST: [], AGAIN: []}
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        lab = Lab(Path("/var/tmp/edge-lab-bench"), name="labbench", subnet="10.97.200.0/24")
        try:
            lab.up(NAMES, note=print)
            with whole_site(lab, Path(folder)) as site:
                for number in range(runs):
                    print(f"run {number + 1} of {runs}", file=sys.stderr)
                    measure(site, times)
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            lab.down()
    shown, figures = compared("a whole site", times, SCRIPT)
    print(shown)
    path = write("lab-site", figures)
    print(f"written to {path.relative_to(Path(__file__).resolve().parent.parent)}")
    return 0


def measure(site: Whole, times: dict[str, list[float]]) -> None:
    """One of each, from hosts with nothing on them."""
    with tempfile.TemporaryDirectory(prefix="edge-bench-script-") as folder:
        scripts = shell_site(site, Path(folder))
        recording = recorded(site.file, {**site.world.secrets, "ssh-private-key": "not used by a script"})
        times[SCRIPT].append(timed(scripts.up(recording)))
        timed(scripts.down(recording))
    for name in (FIRST, AGAIN):
        started = time.perf_counter()
        site.up()
        times[name].append(time.perf_counter() - started)
    done = site.edge("destroy", "lab", "--yes")
    if done.returncode != 0:
        raise LabError(f"destroy failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def shell_site(site: Whole, folder: Path) -> ShellSite:
    """Scripts for the hosts of ``site``."""
    lab = site.lab
    options = ("-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "BatchMode=yes", "-i", str(lab.operator_key))
    helm = (site.world.environment["EDGE_LAB_HELM"], "--ca-file", site.world.environment["EDGE_LAB_CA_FILE"])
    return ShellSite(folder, ("ssh", *options), lab[SERVER].address, helm)


def timed(script: str) -> float:
    """Seconds of a script that has to succeed."""
    started = time.perf_counter()
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"the script failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
