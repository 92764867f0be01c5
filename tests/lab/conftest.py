"""What tests on real hosts share: one lab with the hosts a, b and c, booted once for all of them.

A test that damages a host puts it right again. Runs at the same time get labs of their own, by number.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from engine.obtain.pin import EngineError
from lab.hosts.lab import Lab
from lab.hosts.system import LabError, require_root
from lab.providers.official import kubernetes_plugin
from lab.proxy import only_way_out
from lab.whole import NAMES, Whole, whole_site

_LABS = 32


@contextmanager
def own_lab() -> Iterator[Lab]:
    """A lab that no other run of the tests uses, empty; whatever an earlier run left of it is gone."""
    try:
        require_root()
    except LabError as error:
        pytest.skip(str(error))
    for number in range(_LABS):
        # A lock without a file: it goes with this process, however that ends.
        with socket.socket(socket.AF_UNIX) as lock:
            try:
                lock.bind(f"\0edge-lab-test-{number}")
            except OSError:
                continue
            folder, name = Path(f"/var/tmp/edge-lab-test-{number}"), f"labtest{number}"
            made = Lab(folder, name=name, subnet=f"10.98.{number}.0/24")
            made.down()
            try:
                yield made
            finally:
                # Not `made`: it may know less than is on the disk by now.
                Lab(folder, name=name).down()
            return
    pytest.fail(f"{_LABS} runs of the lab's tests at the same time")


@contextmanager
def own_whole_site(
    home: Path, *, names: Sequence[str] = NAMES, behind_proxy: bool = False, ipv6: bool = False
) -> Iterator[Whole]:
    """A whole site on hosts of a lab of its own, not brought up yet. ``home`` is for its files."""
    with own_lab() as made:
        made.up(names)
        try:
            with (
                only_way_out(made) if behind_proxy else nullcontext() as proxy,
                whole_site(made, home, names=names, proxy=proxy, ipv6=ipv6) as site,
            ):
                yield site
        except EngineError as error:
            pytest.skip(str(error))


@contextmanager
def official_kubernetes() -> Iterator[None]:
    """Runs use the publisher's Kubernetes plugin, built from its Go module, unless EDGE_PLUGINS names others."""
    with pytest.MonkeyPatch.context() as patched:
        if "EDGE_PLUGINS" not in os.environ:
            patched.setenv("EDGE_PLUGINS", "kubernetes")
            patched.setenv("PATH", f"{kubernetes_plugin().parent}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Hosts a, b and c, answering on SSH. The first time on a machine, their root file system is built (minutes)."""
    with own_lab() as made:
        made.up(["a", "b", "c"])
        yield made


@pytest.fixture
def other_lab() -> Iterator[Lab]:
    """A second lab without any host yet, for tests of what a lab leaves behind."""
    with own_lab() as made:
        yield made


# Files that take minutes, the longest first: a worker that starts one of them last would work alone at the end.
_LONG = (
    "test_site_servers.py",
    "test_whole_site.py",
    "test_site_behind_a_proxy.py",
    "test_site_ipv6.py",
    "test_site_trust.py",
    "test_uplink.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(_LONG)))
