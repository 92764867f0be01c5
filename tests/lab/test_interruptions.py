"""A run that is cut short anywhere is finished by the next one: nothing is lost, doubled or left lying about."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts.lab import Lab
from lab.site import Site, lab_site

_HOSTS = ("a", "b", "c")
_UNDO = """
rm -f /etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf
hostnamectl set-hostname fresh
"""


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    for name in _HOSTS:
        lab[name].run(_UNDO)
    with lab_site(lab, tmp_path / "site") as made:
        made.write(*_HOSTS)
        yield made


def started(site: Site) -> subprocess.Popen[str]:
    return site.start("up", "--yes", "--skip-preview", "--json", "--continue-on-error", "--stack", "lab")


def wait_for_lines(run: subprocess.Popen[str], lines: int) -> None:
    """Until the run has said that much, or everything."""
    assert run.stdout is not None
    for _ in range(lines):
        if not run.stdout.readline():
            return


def is_whole(site: Site) -> None:
    """A plain `up` reaches the site, and one more finds nothing to do."""
    # What a killed `pulumi` leaves is a lock that names its owner; nobody removes it unasked.
    site.pulumi("cancel", "--yes", "--stack", "lab")
    site.up()
    assert site.up() == {}
    names = [resource["urn"] for resource in site.resources()]
    assert len(names) == len(set(names))
    for name in _HOSTS:
        host = site.lab[name]
        assert host.run("hostname").stdout.strip() == f"lab-{name}"
        assert host.run("sysctl -n kernel.panic_on_oops").stdout.strip() == "1"
        assert host.run("find / -xdev -name '.edge.??????' -not -path '/proc/*'").stdout == ""


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_pulumi_is_followed_by_a_plain_up(site: Site, seed: int) -> None:
    run = started(site)
    wait_for_lines(run, random.Random(seed).randrange(1, 40))
    run.kill()
    run.communicate()
    is_whole(site)


@pytest.mark.parametrize("seed", range(5))
def test_sessions_that_are_dropped_in_the_middle_of_a_script_are_followed_by_a_plain_up(site: Site, seed: int) -> None:
    dice = random.Random(seed)
    run = started(site)
    wait_for_lines(run, dice.randrange(1, 30))
    site.lab[dice.choice(_HOSTS)].drop_ssh()
    run.communicate()
    is_whole(site)


@pytest.mark.parametrize("seed", range(5))
def test_a_host_whose_power_is_cut_is_followed_by_a_plain_up(site: Site, seed: int) -> None:
    dice = random.Random(seed)
    run = started(site)
    wait_for_lines(run, dice.randrange(1, 30))
    host = site.lab[dice.choice(_HOSTS)]
    host.power_off()
    try:
        run.communicate()
    finally:
        host.power_on()
        host.wait_ssh(60)
        host.wait_booted(60)
    is_whole(site)
