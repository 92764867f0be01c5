"""What the network around a site asks of a site file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.egress import LOGIN
from components.host.systems import SYSTEMS
from components.network.part import PART
from components.network.spec import NetworkSpec
from tests.components.network.authorities import SITE
from tests.components.site_parts import machine, site_of

PROXY = {"url": "http://proxy.example.com:3128"}


def test_only_a_proxy_that_asks_for_a_login_needs_the_secret() -> None:
    for proxy, keys in ((None, []), (PROXY, []), ({**PROXY, "login": True}, [LOGIN])):
        spec = NetworkSpec.model_validate({"proxy": proxy})
        assert [need.key for need in PART.secrets(spec)] == keys


def test_every_system_says_where_its_authorities_are() -> None:
    for system in SYSTEMS.values():
        assert system.trust_store, system.name


def test_a_system_whose_store_is_not_known_is_refused_beside_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "debian", replace(SYSTEMS["debian"], trust_store=None))
    site = site_of(machine("a", distribution="debian"))
    for cas, count in (({}, 0), ({"site": SITE}, 1)):
        found = list(PART.rules(NetworkSpec.model_validate({"trusted_cas": cas}), ("network",), site))
        assert len(found) == count
        assert all("whose store of authorities is not known here" in one.what for one in found)
