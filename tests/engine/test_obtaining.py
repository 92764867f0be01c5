"""Downloads and builds arrive in the cache whole or not at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.obtain import cache, download, go_build
from engine.obtain.pin import PULUMI_VERSION, EngineError
from tests.engine.conftest import WANTED_GO, Machine, Publisher, write_executable

_BUILD = "from engine.obtain import go_build; print(go_build.build())"


def _unfinished(machine: Machine) -> list[Path]:
    return [path for path in machine.cache.iterdir() if path.name not in {".lock", go_build.cached_path().parts[-3]}]


def test_the_cache_follows_xdg_and_ignores_a_relative_value(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.root() == machine.cache
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == machine.root / "home" / ".cache" / "edge" / "pulumi"


def test_a_build_is_kept_under_a_name_that_changes_with_the_pins(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = go_build.cached_path()
    pins = machine.root / "pins"
    pins.mkdir()
    for name in ("go.mod", "go.sum"):
        (pins / name).write_bytes((go_build.MODULE / name).read_bytes())
    monkeypatch.setattr(go_build, "MODULE", pins)
    assert go_build.cached_path() == before
    with open(pins / "go.sum", "a") as file:
        file.write("one more\n")
    assert go_build.cached_path() != before


def test_a_failed_build_says_what_go_said_and_leaves_nothing(machine: Machine) -> None:
    machine.go(then="echo 'cannot find module x' >&2; exit 1")
    with pytest.raises(EngineError, match="cannot find module x"):
        go_build.build()
    assert _unfinished(machine) == []
    assert not go_build.cached_path().exists()


def test_a_killed_build_leaves_nothing_that_looks_like_a_result_and_the_next_one_cleans_up(machine: Machine) -> None:
    # The stand-in has written the executable when it waits for the test to let go of its standard input.
    machine.go(then="echo written >&2; read held")
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[2])},
    )
    try:
        _wait_for(lambda: any(machine.cache.glob(".unfinished-*/bin/pulumi")))
        process.kill()
        process.wait()
        assert not go_build.cached_path().exists()
    finally:
        process.communicate()

    machine.go()
    assert go_build.build() == go_build.cached_path()
    assert os.access(go_build.cached_path(), os.X_OK)
    assert _unfinished(machine) == []


def test_a_second_build_waits_and_takes_the_result_of_the_first(machine: Machine) -> None:
    # It cannot build anything itself, so it can only succeed by taking what the first one leaves.
    machine.go(then="exit 1")
    with ThreadPoolExecutor() as threads:
        with cache.filling(go_build.cached_path().parents[1]) as aside:
            second = threads.submit(go_build.build)
            write_executable(aside / "bin" / "pulumi", "first")
        assert second.result() == go_build.cached_path()
    assert go_build.cached_path().read_text() == "first"


@pytest.mark.parametrize(
    ("version", "toolchain"), [(WANTED_GO, "local"), ("1.99.0", "local"), ("1.21.0", "auto"), ("1.99rc1", "local")]
)
def test_go_is_usable_when_it_is_new_enough_or_may_fetch_a_newer_toolchain(
    machine: Machine, version: str, toolchain: str
) -> None:
    go = machine.go(version, toolchain)
    assert go_build.find_go() == str(go)


@pytest.mark.parametrize(("version", "toolchain"), [("1.24.9", "local"), ("1.20.1", "auto")])
def test_an_old_go_is_refused_with_both_versions(machine: Machine, version: str, toolchain: str) -> None:
    machine.go(version, toolchain)
    with pytest.raises(EngineError, match=rf"needs go >= {re.escape(WANTED_GO)}; .* is version {version}"):
        go_build.find_go()


def test_an_unreachable_download_says_so_and_asks_for_nothing(machine: Machine) -> None:
    with pytest.raises(EngineError, match="cannot be reached"):
        download.fetch()


def _pulumi(folder: Path) -> None:
    write_executable(folder / "pulumi", "")


def test_an_archive_other_than_the_pinned_one_is_not_unpacked(publisher: Publisher) -> None:
    publisher.lists(publisher.publishes(_pulumi))
    publisher.pins_one("0" * 64)
    with pytest.raises(EngineError, match=r"expected 0{64}: it was not unpacked"):
        download.fetch()
    assert not download.cached_path().parents[1].exists()


def test_without_a_pin_the_publishers_list_decides(publisher: Publisher) -> None:
    sha256 = publisher.publishes(_pulumi)
    publisher.lists("0" * 64)
    with pytest.raises(EngineError, match="it was not unpacked"):
        download.fetch()
    publisher.lists(sha256)
    assert download.fetch() == download.cached_path()
    assert download.cached_path().exists()


def test_an_archive_that_no_list_has_is_not_downloaded(publisher: Publisher) -> None:
    publisher.publishes(_pulumi)
    with pytest.raises(EngineError, match="download failed"):
        download.fetch()
    (publisher.folder / f"pulumi-{PULUMI_VERSION}-checksums.txt").write_text("")
    with pytest.raises(EngineError, match="no checksum is known"):
        download.fetch()


def test_an_archive_without_an_executable_is_a_failure(publisher: Publisher) -> None:
    publisher.pins_one(publisher.publishes(lambda folder: None))
    with pytest.raises(EngineError, match="holds no pulumi/pulumi"):
        download.fetch()


def test_an_address_that_does_not_answer_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of the loopback: refused at once.
    monkeypatch.setattr(download, "_ARCHIVES", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert not download.reachable()


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"not within {seconds} s")
