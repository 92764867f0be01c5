"""A whole real site in the lab: brought up, probed, repaired. Three hosts, K3s, mesh, Flux, collectors, a model.

- `edge up` from nothing, against a shell script with the same steps over the same SSH;
- `edge up --drift` without changes (and `edge up`, then `edge drift`), against `ansible-playbook` with the same facts;
- from a dead agent to its replacement with the model answering.

Between two runs everything is removed from the hosts. Downloads, images and servers are ready before. Needs root.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import playbook
from bench.results import compared, compiled_modules_are_kept, write
from bench.shell_site import ShellSite, recorded, run_script, ssh_to, succeeded
from edge.hosts.drift import expectations
from lab.hosts.lab import Lab
from lab.hosts.system import LabError, wait_until
from lab.whole import MODEL_HOST, NAMES, SERVER, Whole, put_model, whole_site
from stacks.loader import load_site

SCRIPT, FIRST = "shell script, same steps", "edge up, first"
LOOK, APART = "edge up --drift, no change", "edge up, then edge drift"
PLAYBOOK = "ansible-playbook, equal checks"
RECOVERY = "dead agent to model answering"
_TABLES = {
    "a whole site from nothing": (SCRIPT, FIRST),
    "no change, and a look": (LOOK, APART, PLAYBOOK),
    "loss": (RECOVERY,),
}


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument(
        "--look", action="store_true", help="only the second: no change, with a drift probe (three minutes)"
    )
    chosen = options.parse_args()
    runs: int = chosen.runs
    times: dict[str, list[float]] = {name: [] for names in _TABLES.values() for name in names}
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        lab = Lab(Path("/var/tmp/edge-lab-bench"), name="labbench", subnet="10.97.200.0/24")
        try:
            lab.up(NAMES, note=print)
            with whole_site(lab, Path(folder)) as site:
                if chosen.look:
                    site.up()
                    looked(site, times)
                for number in range(0 if chosen.look else runs):
                    print(f"run {number + 1} of {runs}", file=sys.stderr)
                    measure(site, times)
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            lab.down()
    written = {}
    for title, names in _TABLES.items():
        if not times[names[0]]:
            continue
        shown, written[title] = compared(title, {name: times[name] for name in names}, names[0])
        print(shown + "\n")
    path = write("lab-site-look" if chosen.look else "lab-site", written)
    print(f"written to {path.relative_to(Path(__file__).resolve().parent.parent)}")
    return 0


def measure(site: Whole, times: dict[str, list[float]]) -> None:
    """One of each, from hosts with nothing on them."""
    with tempfile.TemporaryDirectory(prefix="edge-bench-script-") as folder:
        scripts = shell_site(site, Path(folder))
        recording = recorded(site.file, {**site.world.secrets, "ssh-private-key": "not used by a script"})
        put_model(site.lab)
        times[SCRIPT].append(seconds(functools.partial(run_script, scripts.up(recording))))
        run_script(scripts.down(recording))
        settled(site)
    # What lies below K3s' own folder went with it.
    put_model(site.lab)
    times[FIRST].append(seconds(site.up))
    looked(site, times)
    times[RECOVERY].append(seconds(lambda: recover(site)))
    succeeded(site.edge("destroy", "lab", "--yes"))
    settled(site)


def settled(site: Whole) -> None:
    """Wait until all hosts have left the tailnet, which they do after the session has ended. Then forget them."""
    for name in NAMES:
        gone = functools.partial(site.lab[name].run, "test ! -e /opt/tailscale", check=False)
        wait_until(lambda: gone().returncode == 0, f"{name} has left the tailnet", deadline_s=60)  # noqa: B023
    for device in site.world.headscale.devices():
        site.world.headscale.remove(device)


def looked(site: Whole, times: dict[str, list[float]]) -> None:
    """The same facts, read both ways, in turn. Ansible's first run does not count, since it fills its caches."""
    for name in NAMES:
        playbook.put_python(site.lab[name])
    config = {f"edge:{key}": "-" for key in (*site.world.secrets, "ssh-private-key")}

    def look() -> None:
        succeeded(site.edge("up", "lab", "--yes", "--drift", "--json"))

    def apart() -> None:
        site.up()
        succeeded(site.edge("drift", "lab"))

    with tempfile.TemporaryDirectory(prefix="edge-bench-playbook-") as temporary:
        folder = Path(temporary)
        words = playbook.written(folder, site.lab, expectations(load_site(site.file), config))
        playbook.run(words, folder)
        for _ in range(3):
            times[LOOK].append(seconds(look))
            times[APART].append(seconds(apart))
            times[PLAYBOOK].append(seconds(lambda: playbook.run(words, folder)))


def recover(site: Whole) -> None:
    """The agent with the model is dead: a fresh machine takes its place, and a plain `up` follows."""
    site.replace(MODEL_HOST)
    site.up()
    site.infer(bytes(4 * 3 * 640 * 640), deadline_s=180)


def shell_site(site: Whole, folder: Path) -> ShellSite:
    """Scripts for the hosts of ``site``."""
    helm = (site.world.environment["EDGE_LAB_HELM"], "--ca-file", str(site.world.authority.ca_file))
    return ShellSite(folder, ssh_to(site.lab), site.lab[SERVER].address, helm)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
