"""A marker in place of each secret, and a search of everything that a run leaves behind or shows."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from engine.environment import PROJECT_ROOT
from stacks.secrets import REASONS, required
from tests.engine_run import Stack, stack

pytestmark = pytest.mark.engine

SITES = PROJECT_ROOT / "stacks" / "sites"
MARKERS = {key: f"marker-of-{key}-5f1c9a" for key in REASONS}


def most_secrets(folder: Path) -> Path:
    """A site that needs every secret but the password of a Git repository, which excludes its SSH key."""
    prod = yaml.safe_load((SITES / "prod.yaml").read_text())
    outpost = yaml.safe_load((SITES / "outpost-seattle.yaml").read_text())
    site = {
        **outpost,
        "site": "most-secrets",
        "k3s": {"datastore": {"kind": "external", "engine": "postgresql"}},
        "mesh": prod["mesh"],
        "gitops": prod["gitops"],
        "inference": {
            "triton": {
                "models": ["yolov9-spatial"],
                "repository": {"kind": "s3", "url": "s3://models/yolo", "region": "us-west-2"},
            }
        },
    }
    return _written(folder, site)


def git_password(folder: Path) -> Path:
    """A site that reads its repository with a password."""
    site = yaml.safe_load((SITES / "shelf-lyon.yaml").read_text())
    return _written(folder, {**site, "site": "git-password"})


def _written(folder: Path, site: dict[str, object]) -> Path:
    folder.mkdir()
    file = folder / f"{site['site']}.yaml"
    file.write_text(yaml.safe_dump(site, sort_keys=False))
    return file


@contextmanager
def command_lines(seen: set[bytes]) -> Iterator[None]:
    """Collect the command line and environment of every process below this one while the context lasts."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.add((process / name).read_bytes())
                    except OSError:
                        continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def forms(secret: str) -> list[bytes]:
    """A secret as it might be written: as it is, and in base64 at each of the three alignments."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [raw, *encoded]


def found_in(data: bytes) -> list[str]:
    return [key for key, marker in MARKERS.items() if any(form in data for form in forms(marker))]


def test_the_sites_of_this_test_need_every_secret_that_there_is(tmp_path: Path) -> None:
    from stacks.loader import load_site

    needed = {
        need.key
        for build in (most_secrets, git_password)
        for need in required(load_site(build(tmp_path / build.__name__)))
    }
    assert needed == MARKERS.keys()


def test_a_marker_in_a_file_would_be_found() -> None:
    for marker in MARKERS.values():
        assert found_in(b"a: " + marker.encode())
        assert found_in(base64.b64encode(b"token=" + marker.encode() + b"\n"))


@pytest.mark.parametrize("build", [most_secrets, git_password])
def test_no_secret_is_shown_or_kept_in_plain_text(build: Callable[[Path], Path], tmp_path: Path) -> None:
    seen: set[bytes] = set()
    home = tmp_path / "stack"
    with command_lines(seen), stack(home, build(tmp_path / "sites"), MARKERS) as run:
        done = _loud_up(run)
        shown = {
            "standard output with debug messages": done.stdout,
            "standard error": done.stderr,
            "exported state": run.export().encode(),
            "preview with its differences": run.pulumi(
                "preview", "--diff", "--json", "--stack", run.name
            ).stdout.encode(),
            "outputs": run.pulumi("stack", "output", "--json", "--stack", run.name).stdout.encode(),
        }
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"marker" not in b"".join(seen), "a secret on a command line or in an environment"
    for what, data in shown.items():
        assert not found_in(data), f"{what} holds {found_in(data)}"
    files = [path for path in home.rglob("*") if path.is_file()]
    assert (home / "events.json") in files
    assert any(path.match(f"*/stacks/*/{run.name}.json") for path in files), "the state was not searched"
    for path in files:
        assert not found_in(path.read_bytes()), f"{path.relative_to(home)} holds {found_in(path.read_bytes())}"


def _loud_up(run: Stack) -> subprocess.CompletedProcess[bytes]:
    """`up` with the most that it shows of properties, policies on, its event log, temporary files below ``home``.

    Not with `-v` or `--logtostderr`: asked for its own log, Pulumi's engine prints the values of all properties,
    secrets too, whatever the program does. SECURITY.md says so.
    """
    arguments = ["up", "--yes", "--non-interactive", "--stack", run.name, "--diff", "--show-reads", "--show-sames"]
    arguments += ["--event-log", str(run.home / "events.json"), "--policy-pack", str(PROJECT_ROOT / "policies")]
    (run.home / "tmp").mkdir()
    own = {"PULUMI_DEBUG_COMMANDS": "true", "TMPDIR": str(run.home / "tmp")}
    return subprocess.run(
        [run.command, *arguments, "--debug"],
        cwd=run.home,
        env={**os.environ, **run.variables, **own},
        capture_output=True,
        timeout=300,
        check=False,
    )
