"""Benchmarks that need real hosts come to their end: nothing else runs them until somebody wants a figure."""

from __future__ import annotations

from pathlib import Path

from bench import lab_hosts
from lab.hosts.lab import Lab


def test_hosts_are_brought_up_by_the_script_and_by_the_program(lab: Lab, tmp_path: Path) -> None:
    times = lab_hosts.measure(lab, tmp_path, 1)
    assert {name: len(seconds) for name, seconds in times.items()} == {
        lab_hosts.SCRIPT: 1,
        lab_hosts.FIRST: 1,
        lab_hosts.AGAIN: 1,
    }
    lab_hosts.put_back(lab)
