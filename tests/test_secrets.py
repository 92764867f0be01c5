"""A marker in place of each secret, and a search of everything that a run leaves behind or shows."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from components.part import Part
from engine.environment import PROJECT_ROOT
from stacks.loader import load_site, site_names
from stacks.parts import PARTS, entries, required
from tests.engine_run import Rehearsed, stack

pytestmark = pytest.mark.engine

SITES = PROJECT_ROOT / "stacks" / "sites"
KEYS = (
    "ssh-private-key",
    "outposts-host-key",
    "tailscale-auth-key",
    "k3s-token",
    "k3s-agent-token",
    "k3s-datastore-endpoint",
    "git-ssh-key",
    "git-password",
    "sops-age-key",
    "telemetry-token",
    "model-store-access-key",
    "model-store-secret-key",
    "rancher-token-key",
    "proxy-login",
    "registry-login-mirror",
    "k3s-snapshot-keys",
    "github-app-key",
    "source-proxy-password",
    "oci-password",
    "flux-alert-chat",
    "flux-alert-board",
    "git-status-token",
    "ssh-key-passphrase",
    "sudo-password",
    "sudo-password-press",
)
MARKERS = {key: f"marker-of-{key}-5f1c9a" for key in KEYS}
VALUES = {
    key: f"user:{marker}" if key.endswith(("login", "-mirror", "-keys")) else marker for key, marker in MARKERS.items()
}


def most_secrets(folder: Path) -> Path:
    """A site that needs every secret but the password of a Git repository, which excludes its SSH key."""
    prod = yaml.safe_load((SITES / "prod.yaml").read_text())
    outpost = yaml.safe_load((SITES / "outpost-seattle.yaml").read_text())
    site = {
        **outpost,
        "site": "most-secrets",
        "k3s": {"datastore": {"kind": "external", "engine": "postgresql"}},
        "mesh": prod["mesh"],
        "gitops": {
            **prod["gitops"],
            "alerts": {
                "chat": {"kind": "slack"},
                "board": {"kind": "grafana", "address": "https://grafana.example.com/api/annotations"},
            },
            "commit_status": {"kind": "github", "address": "https://github.com/acme/edge-configs"},
        },
        "registrations": [{"kind": "rancher", "api_url": "https://rancher.example.com"}],
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


def behind_a_proxy(folder: Path) -> Path:
    """A site whose way out, images, snapshots and repository each ask for a login."""
    site = yaml.safe_load((PROJECT_ROOT / "tests/fixtures/sites/valid/behind-a-proxy.yaml").read_text())
    site["k3s"] = {
        "registries": {"docker.io": {"endpoints": ["https://registry.plant.example.com"], "login": "mirror"}},
        "datastore": {"kind": "embedded", "sqlite_snapshots": True, "s3": {"bucket": "snapshots"}},
    }
    site["gitops"]["source"] |= {
        "git": "https://github.com/example/configs.git",
        "github_app": {"app_id": 1, "installation_id": 2},
        "proxy": {"url": "http://proxy.example.com:3128", "username": "edge"},
    }
    return _written(folder, site)


def oci_password(folder: Path) -> Path:
    """A site that reads its source from a registry with a password."""
    site = yaml.safe_load((SITES / "shelf-lyon.yaml").read_text())
    outpost = yaml.safe_load((SITES / "outpost-seattle.yaml").read_text())
    site["gitops"]["source"] = {**outpost["gitops"]["source"], "username": "edge"}
    return _written(folder, {**site, "site": "oci-password"})


def sudo_with_a_password(folder: Path) -> Path:
    """A site whose key has a passphrase, and whose sudo asks for a password."""
    site = yaml.safe_load((SITES / "shelf-lyon.yaml").read_text())
    site["ssh"] = {"login": "key-with-passphrase", "sudo": "password"}
    site["hosts"][-1]["ssh"] = {"sudo_login": "press"}
    return _written(folder, {**site, "site": "sudo-with-a-password"})


BUILDS = (most_secrets, git_password, behind_a_proxy, oci_password, sudo_with_a_password)


def _written(folder: Path, site: dict[str, object]) -> Path:
    folder.mkdir()
    file = folder / f"{site['site']}.yaml"
    file.write_text(yaml.safe_dump(site, sort_keys=False))
    return file


def below(process: int) -> set[int]:
    """The processes that ``process`` has started, and those that they have started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name is in brackets and may hold anything; state and parent come after the last one.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [process]
    while waiting:
        started = children.get(waiting.pop(), [])
        found.update(started)
        waiting += started
    return found


@contextmanager
def command_lines(seen: set[bytes]) -> Iterator[None]:
    """Collect the command line and environment of every process below this one while the context lasts.

    No other process of the machine is looked at: what its arguments hold is not ours.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            for process in _below(os.getpid()):
                for name in ("cmdline", "environ"):
                    try:
                        seen.add(Path(f"/proc/{process}/{name}").read_bytes())
                    except OSError:
                        continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _below(process: int) -> Iterator[int]:
    """The processes that ``process`` has started, and those that they have."""
    # A thread has the children that it started itself.
    for task in Path(f"/proc/{process}/task").glob("[0-9]*"):
        try:
            children = [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from _below(child)


def forms(secret: str) -> list[bytes]:
    """A secret as it might be written: as it is, and in base64 at each of the three alignments."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [raw, *encoded]


def found_in(data: bytes) -> list[str]:
    return [key for key, marker in MARKERS.items() if any(form in data for form in forms(marker))]


def test_the_sites_of_this_test_need_every_secret_that_there_is(tmp_path: Path) -> None:
    sites = [load_site(build(tmp_path / build.__name__)) for build in BUILDS]
    needed = {need.key for site in sites for need in required(site)}
    assert needed == MARKERS.keys()
    assert {need.key for name in site_names() for need in required(load_site(name))} <= needed
    tried = {entry.part for site in sites for entry in entries(site)}
    left_out = [part for part in PARTS if part not in tried and type(part).secrets is not Part.secrets]
    assert left_out == [], "parts that have secrets, and that no site of this test asks for"


def test_a_command_line_of_a_process_below_this_one_is_seen_and_no_other() -> None:
    seen: set[bytes] = set()
    with command_lines(seen):
        # The shell within waits for a line, with the word among its arguments.
        process = subprocess.Popen(["sh", "-c", 'sh -c "read -r line" "$0"; :', "two-below"], stdin=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not any(line.startswith(b"sh\0-c\0read -r line\0two-below") for line in seen):
            assert time.monotonic() < deadline, "a process two levels below was not seen"
            threading.Event().wait(0.01)
        process.communicate(b"\n", timeout=20)
    assert Path("/proc/1/cmdline").read_bytes() not in seen


def test_a_marker_in_a_file_would_be_found() -> None:
    for marker in MARKERS.values():
        assert found_in(b"a: " + marker.encode())
        assert found_in(base64.b64encode(b"token=" + marker.encode() + b"\n"))


def _seen_within(seconds: float, data: bytes, seen: set[bytes]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(data in one for one in seen.copy()):
            return True
        time.sleep(0.01)
    return False


def test_a_secret_on_the_command_line_of_an_own_process_is_seen() -> None:
    seen: set[bytes] = set()
    with (
        command_lines(seen),
        subprocess.Popen(["bash", "-c", "exec -a marker-of-own sleep 600"]) as grandchild,
    ):
        try:
            assert _seen_within(10, b"marker-of-own", seen)
        finally:
            grandchild.kill()


def test_what_other_processes_of_the_machine_say_is_not_looked_at(tmp_path: Path) -> None:
    told = tmp_path / "process"
    # In a session of its own and left by its parent, so that it is nobody's child here.
    command = f"echo $$ >{told}.new; mv {told}.new {told}; exec -a marker-of-others sleep 600"
    subprocess.run(["setsid", "--fork", "bash", "-c", command], check=True)
    while not told.exists():
        time.sleep(0.01)
    other = int(told.read_text())
    seen: set[bytes] = set()
    try:
        with command_lines(seen), subprocess.Popen(["bash", "-c", "exec -a marker-of-own sleep 600"]) as own:
            assert _seen_within(10, b"marker-of-own", seen), "nobody looked"
            own.kill()
    finally:
        os.kill(other, signal.SIGKILL)
    assert not [one for one in seen if b"marker-of-others" in one]


@pytest.mark.parametrize("build", BUILDS)
def test_no_secret_is_shown_or_kept_in_plain_text(build: Callable[[Path], Path], tmp_path: Path) -> None:
    seen: set[bytes] = set()
    home = tmp_path / "stack"
    with command_lines(seen), stack(home, build(tmp_path / "sites"), VALUES) as run:
        done = _loud_up(run)
        shown = {
            "standard output with debug messages": done.stdout,
            "standard error": done.stderr,
            "exported state": run.export().encode(),
            "preview with its differences": run.pulumi("preview", "--diff", "--json").stdout.encode(),
            "outputs": run.pulumi("stack", "output", "--json").stdout.encode(),
        }
    assert done.returncode == 0, done.stdout[-2000:]
    assert any(b"pulumi" in one for one in seen), "no process of the run was looked at"
    exposed = found_in(b"".join(seen))
    assert not exposed, f"{exposed} on a command line or in an environment"
    for what, data in shown.items():
        assert not found_in(data), f"{what} holds {found_in(data)}"
    files = [path for path in home.rglob("*") if path.is_file()]
    assert (home / "events.json") in files
    assert any(path.match(f"*/stacks/*/{run.name}.json") for path in files), "the state was not searched"
    for path in files:
        assert not found_in(path.read_bytes()), f"{path.relative_to(home)} holds {found_in(path.read_bytes())}"


def _loud_up(run: Rehearsed) -> subprocess.CompletedProcess[bytes]:
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
        env={**run.environment, **own},
        capture_output=True,
        timeout=300,
        check=False,
    )
