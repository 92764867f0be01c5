"""A run that is cut short anywhere is finished by the next one: nothing is lost, doubled or left lying about.

Twenty points at random, four kinds of blow: sixteen on hosts alone, four where Kubernetes is on its way.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.environment import PROJECT_ROOT
from lab.cluster import AGENT_TOKEN, SERVER_TOKEN, Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.site import Site, lab_site

_HOSTS = ("a", "b", "c")
_UNDO = """
rm -f /etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf
hostnamectl set-hostname fresh
"""
_UP = ("up", "--yes", "--skip-preview", "--json", "--continue-on-error")

Blow = Callable[[Site, random.Random, range], None]


@contextmanager
def begun(site: Site, dice: random.Random, lines: range, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """An `up` that has said as many lines as the dice tell, or everything; at the end of the block it has ended."""
    run = site.start(*_UP, variables=variables)
    assert run.stdout is not None
    for _ in range(dice.choice(lines)):
        if not run.stdout.readline():
            break
    yield run
    run.communicate()


def kill_the_cli(site: Site, dice: random.Random, lines: range) -> None:
    with begun(site, dice, lines) as run:
        run.kill()


def kill_the_providers(site: Site, dice: random.Random, lines: range) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lab.providers"], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
    ) as providers:
        assert providers.stdout is not None
        attached = providers.stdout.readline().strip().removeprefix("export PULUMI_DEBUG_PROVIDERS=")
        try:
            with begun(site, dice, lines, PULUMI_DEBUG_PROVIDERS=attached):
                providers.kill()
        finally:
            providers.kill()


def kill_sshd(site: Site, dice: random.Random, lines: range) -> None:
    with begun(site, dice, lines):
        site.lab[dice.choice(_HOSTS)].drop_ssh()


def cut_the_power(site: Site, dice: random.Random, lines: range) -> None:
    host = site.lab[dice.choice(_HOSTS)]
    with begun(site, dice, lines):
        host.power_off()
    host.power_on()
    host.wait_ssh(60)
    host.wait_booted(60)


BLOWS: tuple[Blow, ...] = (kill_the_cli, kill_the_providers, kill_sshd, cut_the_power)


def is_whole(site: Site) -> None:
    """A plain `up` reaches the site, and one more finds nothing to do."""
    # What a killed `pulumi` leaves is a lock that names its owner; nobody removes it unasked.
    site.pulumi("cancel", "--yes", check=False)
    site.up()
    assert site.up() == {}
    names = [resource["urn"] for resource in site.resources()]
    assert len(names) == len(set(names))
    for name in _HOSTS:
        host = site.lab[name]
        assert host.run("hostname").stdout.strip() == f"lab-{name}"
        assert host.run("sysctl -n kernel.panic_on_oops").stdout.strip() == "1"
        assert host.run("find / -xdev -name '.edge.??????' -not -path '/proc/*'").stdout == ""


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    for name in _HOSTS:
        lab[name].run(_UNDO)
    with lab_site(lab, tmp_path / "site") as made:
        made.write(*_HOSTS)
        yield made


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("blow", BLOWS)
def test_hosts_that_are_interrupted_are_prepared_by_a_plain_up(hosts: Site, blow: Blow, seed: int) -> None:
    blow(hosts, random.Random(seed), range(1, 40))
    is_whole(hosts)


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_site(lab, tmp_path_factory.mktemp("cluster") / "site") as made:
        yield made


@pytest.mark.parametrize("blow", BLOWS)
def test_a_cluster_that_is_interrupted_on_its_way_is_reached_by_a_plain_up(cluster: Cluster, blow: Blow) -> None:
    cluster.write("a", agents=("b", "c"))
    blow(cluster.site, random.Random(blow.__name__), range(10, 60))
    is_whole(cluster.site)
    assert cluster.nodes() == {"lab-a": True, "lab-b": True, "lab-c": True}
    for name in _HOSTS:
        left = cluster.host(name).run(f"grep -rlE '{SERVER_TOKEN}|{AGENT_TOKEN}' /tmp /var/tmp /run /dev/shm || true")
        assert left.stdout == ""
    cluster.site.destroy()
    for name in _HOSTS:
        assert cluster.left(name) == set()
