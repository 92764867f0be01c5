"""How a site goes out, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from components.egress import ALWAYS, Egress
from components.network.plan import egress_of
from components.network.spec import NetworkSpec
from tests.components.network.authorities import OTHER, SITE

URL = "http://proxy.example.com:3128"


def egress(near: Sequence[str] = (), **fields: Any) -> Egress:
    """The way out of a site with the proxy ``URL``."""
    proxy = {"url": URL, **fields.pop("proxy", {})}
    return egress_of(NetworkSpec.model_validate({"proxy": proxy, **fields}), near)


def test_a_site_without_the_block_goes_out_as_it_always_did() -> None:
    for spec in (None, NetworkSpec()):
        nothing = egress_of(spec, ["10.0.0.11"])
        assert not nothing
        assert (nothing.environment(), nothing.variables(), nothing.fingerprint, nothing.fields) == ("", {}, "", ())


def test_both_spellings_of_each_variable_are_there() -> None:
    variables = egress().variables()
    assert {name.upper() for name in variables} == {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    assert all(variables[name] == variables[name.lower()] for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"))
    assert variables["HTTPS_PROXY"] == URL


def test_what_belongs_to_the_site_is_reached_without_the_proxy() -> None:
    found = egress(["10.0.0.11", "api.site.example.com", "10.42.0.0/16"], proxy={"no_proxy": [".intra.example.com"]})
    assert found.proxy
    assert found.proxy.exceptions == (
        *ALWAYS,
        ".intra.example.com",
        "10.0.0.11",
        "api.site.example.com",
        "10.42.0.0/16",
    )


def test_another_host_in_a_network_of_the_exceptions_changes_nothing() -> None:
    network = {"no_proxy": ["10.0.0.0/24"]}
    one, two = egress(["10.0.0.11"], proxy=network), egress(["10.0.0.11", "10.0.0.12"], proxy=network)
    assert one.environment() == two.environment()
    assert egress(["10.0.0.11"]).environment() != egress(["10.0.0.11", "10.0.0.12"]).environment()


def test_a_login_is_written_as_a_url_has_it() -> None:
    proxy = egress(proxy={"login": True}).proxy
    assert proxy
    assert proxy.with_login("edge@site:p:a/s s%$`'\"#") == (
        "http://edge%40site:p%3Aa%2Fs%20s%25%24%60%27%22%23@proxy.example.com:3128"
    )


def test_no_value_of_the_environment_means_anything_to_a_shell_or_to_systemd() -> None:
    found = egress(["::1", "fd00::/8"], proxy={"login": True, "url": "http://[fd00::5]:3128"})
    for line in found.environment("u$(reboot):`p`;'\"\\ %n").splitlines():
        name, _, value = line.partition("=")
        assert name.isidentifier()
        assert not set(value) & set("$`;'\"\\ \t&|<>(){}*?#~")


def test_the_fingerprint_holds_no_login_and_changes_with_all_else() -> None:
    variants = [
        egress(),
        egress(proxy={"login": True}),
        egress(proxy={"no_proxy": ["10.9.0.0/16"]}),
        egress(proxy={"url": "https://proxy.example.com"}),
        egress(trusted_cas={"site": SITE}),
        egress(trusted_cas={"site": OTHER}),
    ]
    assert len({one.fingerprint for one in variants}) == len(variants)


def test_another_authority_is_another_environment() -> None:
    """Programs read the host's store when they start, so they must start anew."""
    assert egress(trusted_cas={"site": SITE}).environment() != egress(trusted_cas={"site": OTHER}).environment()


def test_each_certificate_of_a_bundle_stands_alone() -> None:
    certificates = egress(trusted_cas={"site": SITE + OTHER, "b": OTHER}).certificates
    assert certificates == {"b-1": OTHER, "site-1": SITE, "site-2": OTHER}


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/24", "http://x.example.com", "x.example.com:443", "X Y", "10.0.0", "a..b", ""]
)
def test_an_exception_that_programs_read_in_different_ways_is_refused(entry: str) -> None:
    with pytest.raises(ValidationError):
        NetworkSpec.model_validate({"proxy": {"url": URL, "no_proxy": [entry]}})
