"""A site on real hosts: the project's own program and scripts, over real SSH, through the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts.lab import Lab
from lab.site import Site, lab_site, sessions


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with lab_site(lab, tmp_path / "site") as made:
        yield made


def test_hosts_come_up_a_second_time_changes_nothing_and_nobody_is_visited(site: Site) -> None:
    site.write("a", "b", "c")
    made = site.up()
    for name in ("a", "b", "c"):
        assert {f"lab-{name}-{part}" for part in ("reachable", "facts", "base")} <= made.keys()
        assert site.lab[name].run("hostname").stdout.strip() == f"lab-{name}"
        assert site.lab[name].run("sysctl -n kernel.panic").stdout.strip() == "10"
    before = [sessions(site.lab[name]) for name in ("a", "b", "c")]
    assert site.up() == {}
    assert [sessions(site.lab[name]) for name in ("a", "b", "c")] == before


def test_a_host_that_is_added_is_the_only_one_that_is_visited(site: Site) -> None:
    site.write("a", "b")
    site.up()
    before = sessions(site.lab["a"])
    site.write("a", "b", "c")
    assert set(site.up().values()) == {"create"}
    assert sessions(site.lab["a"]) == before
    assert site.lab["c"].run("hostname").stdout.strip() == "lab-c"


def test_another_machine_at_a_hosts_address_is_not_spoken_to(site: Site) -> None:
    site.write("a", of_host={"a": {"host_key": site.lab["b"].host_key}})
    before = sessions(site.lab["a"])
    done = site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    assert done.returncode != 0
    assert "host key" in (done.stdout + done.stderr).lower()
    assert sessions(site.lab["a"]) == before


def test_a_host_that_is_off_is_said_to_be_and_the_next_up_goes_on(site: Site) -> None:
    site.write("a", "b")
    site.lab["b"].power_off()
    try:
        done = site.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", "--non-interactive", check=False)
        assert done.returncode != 0
        assert "lab-b-reachable" in done.stdout
        assert site.lab["a"].run("hostname").stdout.strip() == "lab-a", "one host that is off holds up no other"
    finally:
        site.lab["b"].power_on()
        site.lab["b"].wait_ssh(60)
    touched = site.up()
    assert all(name.startswith("lab-b") or name == "lab" for name in touched), touched


def test_a_host_behind_a_slow_and_lossy_link_comes_up_all_the_same(site: Site) -> None:
    # With the limits of a site file that names none: the lab's own are for links that lose nothing.
    site.write("a", "b", ssh={"user": "root"})
    site.lab["b"].slow(delay_ms=200, loss_percent=3)
    try:
        assert "lab-b-base" in site.up()
        assert site.up() == {}
    finally:
        site.lab["b"].ease()
    assert site.lab["b"].run("hostname").stdout.strip() == "lab-b"


def test_a_host_whose_clock_is_years_behind_says_so_and_the_next_up_goes_on(site: Site) -> None:
    site.write("a", "b")
    site.lab["b"].skew(-200_000)
    try:
        done = site.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", "--non-interactive", check=False)
        assert done.returncode != 0
        assert "the clock of lab-b says 20" in done.stdout
    finally:
        site.lab["b"].set_clock()
    touched = site.up()
    assert all(name.startswith("lab-b") or name == "lab" for name in touched), touched


def test_the_operators_key_is_nowhere_in_what_a_run_leaves(site: Site) -> None:
    site.write("a")
    site.up()
    body = site.lab.operator_key.read_text().splitlines()[2].encode()
    assert len(body) > 40
    for path in site.home.rglob("*"):
        if path.is_file():
            assert body not in path.read_bytes(), path
    assert body.decode() not in site.lab["a"].run("journalctl --no-pager; cat /root/.bash_history; true").stdout
