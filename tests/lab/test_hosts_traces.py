"""Whatever became of a lab, `down` leaves nothing of it on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lab.hosts import image as image_module
from lab.hosts.image import cache_folder, digest, image, ready_image
from lab.hosts.lab import Lab
from lab.hosts.system import LabError, wait_until

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")

_UP = """
import sys
from pathlib import Path
from lab.hosts.lab import Lab
Lab(Path(sys.argv[1]), name=sys.argv[2], subnet=sys.argv[3]).up(["x", "y"])
print("up", flush=True)
sys.stdin.read()
"""


_KEPT = tuple(kind for kind in _NAMESPACES if kind != "mnt")
"""Namespaces that can be kept open without keeping a host's disk."""


def namespaces_of(pid: int | str, kinds: tuple[str, ...] = _NAMESPACES) -> set[str]:
    try:
        return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
    except OSError:
        return set()


def namespaces_in_use() -> set[str]:
    return {one for process in Path("/proc").glob("[0-9]*") for one in namespaces_of(process.name)}


Keep = Callable[[Lab], set[str]]


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Keeps the namespaces of a lab's hosts open until the test ends, and says which they are.

    The kernel gives the number of a namespace that is gone to the next one, such as that of another lab beside this.
    """
    own = namespaces_of("self", _KEPT)
    with ExitStack() as opened:

        def kept(lab: Lab) -> set[str]:
            found = set()
            for host in lab.hosts.values():
                for kind in _KEPT if host.pid else ():
                    with suppress(OSError):
                        file = opened.enter_context(Path(f"/proc/{host.pid}/ns/{kind}").open("rb"))
                        found.add(os.readlink(f"/proc/self/fd/{file.fileno()}"))
            return found - own

        yield kept


def traces(lab: Lab) -> list[str]:
    """What on this machine has the lab's name or its folder in it; others' things come and go meanwhile."""
    name, folder = lab.layout.name, str(lab.folder)
    links = [link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-json", "link", "show"]))]
    found = [f"link {link}" for link in links if link == lab.layout.bridge or link.startswith(f"{name}-")]
    found += [f"group {group}" for group in Path("/sys/fs/cgroup").glob(f"*/{name}-*")]
    found += [f"group {group}" for group in Path("/sys/fs/cgroup").glob(f"{name}-*")]
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if folder in backing.read_text():
                found.append(f"loop device {backing.parts[3]}")
        except OSError:
            continue
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if folder.encode() in told or f"{name}-".encode() in told:
                found.append(f"process {process.name}")
        except OSError:
            continue
    if lab.folder.exists():
        found += [f"file {path}" for path in [lab.folder, *lab.folder.rglob("*")]]
    return found


def test_down_leaves_no_trace_and_can_be_repeated(other_lab: Lab, keep: Keep) -> None:
    own = namespaces_of("self")
    other_lab.up(["x", "y"])
    made = keep(other_lab)
    every = {one for host in other_lab.hosts.values() for one in namespaces_of(host.pid or 0)} - own
    assert len(every) == 2 * len(_NAMESPACES), "a host shares a namespace with this machine or with another host"
    assert traces(other_lab)
    other_lab["y"].run("nohup sleep 600 >/dev/null 2>&1 &")
    other_lab["y"].slow(delay_ms=10)
    other_lab.down()
    assert traces(other_lab) == []
    assert not made & namespaces_in_use()
    other_lab.down()
    assert traces(other_lab) == []


def test_a_lab_leaves_another_one_alone(lab: Lab, other_lab: Lab) -> None:
    before = {name: host.pid for name, host in lab.hosts.items()}
    other_lab.up(["x"])
    assert other_lab["x"].run(f"ping -c 1 -W 1 {lab['a'].address}", check=False).returncode != 0, (
        "labs reach each other"
    )
    other_lab.down()
    assert {name: host.pid for name, host in lab.hosts.items()} == before
    assert all(host.ssh("true").returncode == 0 for host in lab.hosts.values())


def crash(lab: Lab, *, when_up: bool) -> Lab:
    """A process that brings the lab up is killed on the way, or afterwards. Returns the lab as another one finds it."""
    arguments = [str(lab.folder), lab.layout.name, str(lab.layout.subnet)]
    command = [sys.executable, "-c", _UP, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        if when_up:
            assert process.stdout.readline() == "up\n"
        else:
            booting = lab.layout.host_folder("x") / "pid"
            wait_until(booting.exists, "the first host begins to boot", deadline_s=60)
        # The whole group, as a terminal that is closed or interrupted does it.
        os.killpg(process.pid, signal.SIGKILL)
    left = Lab(lab.folder)
    assert set(left.hosts) == {"x", "y"}
    return left


def test_hosts_outlive_a_killed_up_and_down_removes_them(other_lab: Lab, keep: Keep) -> None:
    left = crash(other_lab, when_up=True)
    made = keep(left)
    assert made
    assert all(host.ssh("true").returncode == 0 for host in left.hosts.values())
    left.down()
    assert traces(left) == []
    assert not made & namespaces_in_use()


def test_down_removes_what_a_killed_up_had_only_begun(other_lab: Lab, keep: Keep) -> None:
    left = crash(other_lab, when_up=False)
    made = keep(left)
    left.down()
    assert traces(other_lab) == []
    assert not made & namespaces_in_use()


def test_up_goes_on_where_a_killed_one_stopped(other_lab: Lab) -> None:
    again = crash(other_lab, when_up=False)
    again.up(["x", "y"])
    assert all(host.ssh("true").returncode == 0 for host in again.hosts.values())


def test_down_finds_a_lab_whose_folder_is_gone_by_its_name(other_lab: Lab) -> None:
    crash(other_lab, when_up=True)
    shutil.rmtree(other_lab.folder)
    Lab(other_lab.folder, name=other_lab.layout.name).down()
    assert traces(other_lab) == []


def test_up_keeps_what_is_up_and_adds_what_is_not(other_lab: Lab) -> None:
    other_lab.up(["x"])
    pid, key = other_lab["x"].pid, other_lab["x"].host_key
    again = Lab(other_lab.folder)
    again.up(["x", "y"])
    assert (again["x"].pid, again["x"].host_key) == (pid, key)
    assert again["y"].address != again["x"].address
    assert again["y"].ssh("true").returncode == 0


def test_a_folder_with_files_of_somebody_else_stays(other_lab: Lab) -> None:
    other_lab.folder.mkdir()
    kept = other_lab.folder / "notes.txt"
    kept.write_text("mine")
    try:
        other_lab.up(["x"])
        other_lab.down()
        assert [path.name for path in other_lab.folder.iterdir()] == ["notes.txt"]
    finally:
        shutil.rmtree(other_lab.folder)


def test_an_image_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(folder: Path, lock: int) -> None:
        (folder / "bin").mkdir()
        raise LabError("no archive")

    monkeypatch.setattr(image_module, "_build", fails)
    with pytest.raises(LabError, match="no archive"):
        image()
    assert ready_image() is None
    assert list(cache_folder().glob("building-*")) == []

    (cache_folder() / "building-of-a-killed-one" / "bin").mkdir(parents=True)
    monkeypatch.setattr(image_module, "_build", lambda folder, lock: (folder / "bin").mkdir())
    assert image() == cache_folder() / f"rootfs-{digest()}"
    assert sorted(path.name for path in cache_folder().iterdir()) == ["build.lock", f"rootfs-{digest()}"]
