"""A real host looks at its link by its own timer: a cable that is pulled is seen; nothing stays when it goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.expected import answers, asked, differences, probe
from components.telemetry import host_health
from lab.hosts.host import LabHost
from lab.hosts.system import wait_until
from tests.components.site_parts import machine
from tests.lab.conftest import own_lab

PLANNED = machine("a", site="plant", distribution="debian")
SCRIPTS = host_health.plan(PLANNED)
UP, DOWN = 'edge_link_up{device="eth0"} 1', 'edge_link_up{device="eth0"} 0'


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    with own_lab() as lab:
        lab.up(["a"])
        yield lab["a"]


def metrics(host: LabHost) -> list[str]:
    return host.run(f"cat {host_health.FOLDER.path}/metrics").stdout.splitlines()


def unlike(host: LabHost) -> list[str]:
    """What `edge drift` would name."""
    found = host.run(probe(), stdin=asked(SCRIPTS.expected)).stdout
    return [one.name for one, _ in differences(SCRIPTS.expected, answers(found))]


def test_a_cable_that_is_pulled_is_seen_by_the_hosts_own_timer(host: LabHost) -> None:
    host.run(SCRIPTS.install)
    assert metrics(host)[0] == UP
    assert unlike(host) == []
    host.cut()
    try:
        wait_until(lambda: metrics(host)[0] == DOWN, "the timer has seen it", deadline_s=120)
    finally:
        host.restore()
    wait_until(lambda: metrics(host)[0] == UP, "the timer has seen that it is back", deadline_s=120)
    assert "host-health" not in host.run("journalctl --unit=edge-host-health.service --output=cat").stdout
    mode = host.run(f"stat -c '%a' {host_health.FOLDER.path} {host_health.FOLDER.path}/metrics").stdout
    assert mode.split() == ["755", "644"], "the collector reads it, and is not root"


def test_a_timer_that_somebody_stopped_is_a_difference(host: LabHost) -> None:
    host.run("systemctl disable --now edge-host-health.timer")
    assert "edge-host-health.timer" in unlike(host)
    host.run(SCRIPTS.install)
    assert unlike(host) == []


def test_nothing_stays_when_it_goes(host: LabHost) -> None:
    host.run(SCRIPTS.remove)
    assert set(unlike(host)) == {one.name for one in SCRIPTS.expected}
    left = "find / -xdev -name '*host-health*'; ls /var/lib/edge; systemctl list-timers --all --no-legend"
    assert "health" not in host.run(left).stdout
