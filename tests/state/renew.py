"""Renew the states that `test_across.py` starts from: `python -m tests.state.renew COMMIT [SITE...]`.

Run it after a release, with the commit that live sites were last brought up by. It checks the commit out beside this
one, runs `make setup` there, rehearses each of its sites with `edge up SITE --rehearse`, and writes what
`pulumi stack export --show-secrets` says to `fixtures/SITE.json.gz`, and the commit to `fixtures/commit`: minutes.

The secrets in a rehearsed state are placeholders of the program, known to everybody: no fixture holds a real one. Times
are left out; ids of providers and the order of what comes up side by side still differ from one renewal to the next.
Fixtures of sites that the commit does not have are removed. With SITE, only those are renewed; their
commit must be the one that is already there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.environment import PROJECT_ROOT, environment

FIXTURES = Path(__file__).with_name("fixtures")
_COMMIT = FIXTURES / "commit"
_VARIES = {"created", "modified"}


def fixture_sites() -> list[str]:
    """Names of the sites that have a fixture."""
    return sorted(path.name.removesuffix(".json.gz") for path in FIXTURES.glob("*.json.gz"))


def fixture_commit() -> str:
    """The commit that made the fixtures."""
    return _COMMIT.read_text().strip()


def read_fixture(site: str) -> str:
    """The deployment of ``site``, as `pulumi stack import` takes it."""
    return gzip.decompress(_fixture(site).read_bytes()).decode()


def _fixture(site: str) -> Path:
    return FIXTURES / f"{site}.json.gz"


def without_times(exported: dict[str, Any]) -> dict[str, Any]:
    """An exported deployment without the times in it."""
    deployment = dict(exported["deployment"])
    deployment["manifest"] = {**deployment["manifest"], "time": "0001-01-01T00:00:00Z"}
    deployment["resources"] = [
        {key: value for key, value in resource.items() if key not in _VARIES} for resource in deployment["resources"]
    ]
    return {**exported, "deployment": deployment}


def export(checkout: Path, site: str) -> None:
    """Write the fixture of a site that has been rehearsed in ``checkout``."""
    done = subprocess.run(
        ["pulumi", "stack", "export", "--show-secrets", "--stack", site],
        cwd=checkout / ".edge" / "workspaces" / site,
        env={**os.environ, **environment(rehearsal="", project_root=checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the state of {site} cannot be exported: {done.stderr.strip()}")
    text = json.dumps(without_times(json.loads(done.stdout)), sort_keys=True, separators=(",", ":"))
    _fixture(site).write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """See the module."""
    options = argparse.ArgumentParser(prog="python -m tests.state.renew", description=__doc__)
    options.add_argument("commit")
    options.add_argument("sites", nargs="*", metavar="SITE")
    told = options.parse_args()
    commit = _run("git", "rev-parse", "--verify", f"{told.commit}^{{commit}}", cwd=PROJECT_ROOT).strip()
    if told.sites and (not _COMMIT.is_file() or commit != _COMMIT.read_text().strip()):
        raise SystemExit("the other fixtures are of another commit: renew all of them")
    with tempfile.TemporaryDirectory(prefix="edge-state-") as folder:
        checkout = Path(folder) / "checkout"
        _run("git", "worktree", "add", "--detach", str(checkout), commit, cwd=PROJECT_ROOT)
        try:
            _renew(checkout, told.sites)
        finally:
            _run("git", "worktree", "remove", "--force", str(checkout), cwd=PROJECT_ROOT)
    _COMMIT.write_text(f"{commit}\n")


def _renew(checkout: Path, chosen: list[str]) -> None:
    FIXTURES.mkdir(exist_ok=True)
    _run("make", "setup", cwd=checkout)
    files = (checkout / "stacks" / "sites").glob("[!_]*.yaml")
    sites = chosen or sorted(path.stem for path in files)
    for site in sites:
        print(f"{site}: rehearsing it on {checkout}", file=sys.stderr)
        _run(str(checkout / ".venv" / "bin" / "edge"), "up", site, "--rehearse", "--yes", cwd=checkout)
        export(checkout, site)
    if not chosen:
        for site in set(fixture_sites()) - set(sites):
            _fixture(site).unlink()


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
