"""The pool of worker processes: one result for each item, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edge.run import pool
from edge.run.pool import Lost
from stacks.catalogue import PROJECT_ROOT

_GONE_S = 10


def square(number: int) -> int:
    return number * number


def square_or_raise(number: int) -> int:
    if number == 2:
        raise ValueError("two is refused\nand more")
    return number * number


def square_or_die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        os._exit(7)
    return number * number


def process_of(_number: int) -> int:
    return os.getpid()


def wait_for_ever(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    signal.pause()


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(pool.each(square, range(20), 3)) == [number * number for number in range(20)]


def test_no_more_processes_are_started_than_asked_for_and_each_does_several_items() -> None:
    used = set(pool.each(process_of, range(12), 2))
    assert len(used) == 2
    assert os.getpid() not in used


def test_work_that_raises_is_the_result_of_its_item_only() -> None:
    assert list(pool.each(square_or_raise, range(5), 2)) == [0, 1, Lost("ValueError: two is refused"), 9, 16]


def test_a_worker_that_crashes_loses_its_own_item_and_no_other() -> None:
    found = list(pool.each(square_or_die, range(8), 2))
    assert [result for result in found if not isinstance(result, Lost)] == [0, 1, 16, 25, 36, 49]
    killed, ended = found[2], found[3]
    assert isinstance(killed, Lost)
    assert isinstance(ended, Lost)
    assert "killed" in killed.reason
    assert ended.reason == "its worker process ended with exit code 7"


def test_a_caller_that_stops_early_leaves_no_worker_behind() -> None:
    results = pool.each(process_of, range(100), 2)
    first = next(results)
    assert isinstance(first, int)
    assert isinstance(results, Iterator)
    worker = psutil.Process(first)
    results.close()  # type: ignore[attr-defined]
    worker.wait(timeout=_GONE_S)


def test_an_interrupt_at_the_terminal_ends_all_workers(tmp_path: Path) -> None:
    """^C goes to the whole process group, as a terminal sends it."""
    script = (
        "import sys; from edge.run import pool; from tests.edge.test_pool import wait_for_ever; "
        "list(pool.each(wait_for_ever, [sys.argv[1]] * 4, 2))"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=PROJECT_ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    deadline = time.monotonic() + 60
    while len(workers := [int(file.name) for file in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < deadline, "the workers did not start"
        assert caller.poll() is None, caller.communicate()
        time.sleep(0.05)
    os.killpg(caller.pid, signal.SIGINT)
    caller.communicate(timeout=60)
    assert caller.returncode != 0
    _, alive = psutil.wait_procs([psutil.Process(one) for one in workers if psutil.pid_exists(one)], timeout=_GONE_S)
    assert alive == []


@pytest.mark.parametrize(
    ("cores", "mib", "items", "workers"),
    [(8, 100_000, 50, 8), (8, 100_000, 3, 3), (8, 2 * pool.WORKER_MIB, 50, 2), (8, 1, 50, 1)],
)
def test_the_number_of_workers_fits_cores_memory_and_items(
    monkeypatch: pytest.MonkeyPatch, cores: int, mib: int, items: int, workers: int
) -> None:
    monkeypatch.setattr(pool, "available_cores", lambda: cores)
    monkeypatch.setattr(pool, "available_mib", lambda: mib)
    assert pool.size(items) == workers


def test_this_machine_has_memory_for_at_least_one_worker() -> None:
    assert pool.available_mib() > pool.WORKER_MIB
