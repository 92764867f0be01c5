"""Rancher as a block of a site file: what may be written, what comes of it, and where it cannot be."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.registration.rancher.part import PART
from components.registration.rancher.plan import NAMESPACES, plan
from stacks.catalogue import catalogue
from stacks.loader import load_site
from stacks.parts import required, view
from stacks.rules.site import findings
from stacks.site import SiteSpec
from tests.components.registration.rancher_parts import SITE, SPEC, authority, rancher

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBvTCCAWOgAwIBAgIUQq5v8C2pL69RFs575keQxuApFfYwCgYIKoZIzj0EAwIw
NDEUMBIGA1UECgwLU3VvbWkgUGFwZXIxHDAaBgNVBAMME1N1b21pIFBhcGVyIGVk
Z2UgQ0EwHhcNMjYxMTI2MDEwMDM4WhcNMzYxMTIzMDEwMDM4WjA0MRQwEgYDVQQK
DAtTdW9taSBQYXBlcjEcMBoGA1UEAwwTU3VvbWkgUGFwZXIgZWRnZSBDQTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABNvVLWNiHfl+0Bk+P44z6A4qjXeZncuugjTr
dyIJL6s0VkSbgKFzE7wnzK5sgUhVFYqt5sxNsvI5EAuaCVcXrK2jUzBRMB0GA1Ud
DgQWBBSWCDWtg3s0+IbLnN4S/kdWzecofzAfBgNVHSMEGDAWgBSWCDWtg3s0+IbL
nN4S/kdWzecofzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDO
jhUMKpXwsyN53YSpc/62CAU4tbIgN72sl6EabjkPvgIgdH4Ys/IXv0MqR50Xxuq8
ADMVukn/OFnAoF/kROAoe0c=
-----END CERTIFICATE-----
"""
SPECS = {"public": rancher(), "private": rancher(ca_certs=CERTIFICATE, onboarding_minutes=30)}
SCRIPTS = ("cluster_uid", "register", "connected", "leave")


@pytest.mark.parametrize(("case", "name"), [*(("private", name) for name in SCRIPTS), ("public", "register")])
def test_scripts_are_as_reviewed(case: str, name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"registration/rancher-{case}-{name.replace('_', '-')}.sh", getattr(plan(SPECS[case], SITE), name))


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("case", SPECS)
def test_scripts_satisfy_shellcheck(case: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text("#!/bin/bash\n" + getattr(plan(SPECS[case], SITE), name))
    checked = subprocess.run(
        [str(Path(sys.prefix) / "bin" / "shellcheck"), file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_labels_in_rancher_say_where_the_site_is_and_can_be_added_to() -> None:
    planned = plan(rancher(labels={"team": "paper"}), SITE)
    assert planned.cluster_name == "mill-tampere"
    assert planned.labels == {
        "edge.site": "mill-tampere",
        "edge.tier": "near",
        "edge.region": "eu-north",
        "customer": "suomi-paper",
        "ring": "production",
        "team": "paper",
    }
    assert plan(rancher(cluster_name="mill"), SITE).cluster_name == "mill"


def test_another_first_server_or_a_reapply_asks_again_and_another_server_does_not() -> None:
    first, *others = SITE.machines

    def planned(*machines: object) -> tuple[str, str]:
        made = plan(rancher(), dataclasses.replace(SITE, machines=machines))  # type: ignore[arg-type]
        return made.cluster_uid, made.register

    again = dataclasses.replace(first, spec=first.spec.model_copy(update={"reapply": "2026-11-26"}))
    reimaged = dataclasses.replace(others[0], spec=others[0].spec.model_copy(update={"reapply": "2026-11-26"}))
    before = planned(*SITE.machines)
    assert planned(first, reimaged, others[1]) == before
    for changed in (planned(again, *others), planned(*others)):
        assert changed[0] != before[0]
        assert changed[1] != before[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"api_url": "http://rancher.example.com"},
        {"api_url": "https://admin:secret@rancher.example.com"},
        {"ca_certs": "/etc/ssl/ca.pem"},
        {"ca_certs": CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n"},
        {"ca_certs": ""},
        {"insecure": True},
        {"cluster_name": "Mill"},
        {"onboarding_minutes": 0},
    ],
)
def test_what_is_open_or_unclear_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rancher(**fields)


def test_certificates_may_be_several_and_indented(tmp_path: Path) -> None:
    one, two = (authority(tmp_path, name)[0] for name in ("one", "two"))
    written = "\n\n".join(f"  {line}" for line in (one + two).splitlines())
    assert rancher(ca_certs=written).ca_certs == one + two


def test_the_agents_namespaces_are_exempt_in_k3s_and_its_token_is_required() -> None:
    assert set(NAMESPACES) <= set(view(SPEC, catalogue()).exempt_namespaces)
    assert "rancher-token-key" in [need.key for need in required(SPEC)]
    assert PART.manages_fleet


def test_a_cluster_without_hosts_of_the_site_cannot_be_imported() -> None:
    eks = load_site("outpost-frankfurt")
    assert not eks.hosts, "the example of a cluster that a cloud brings"
    with_rancher: SiteSpec = eks.model_copy(update={"registrations": (rancher(),)})
    found = [finding for finding in findings(with_rancher) if finding.path == ("registrations", 0)]
    (one,) = found
    assert "works host by host" in one.what
    assert not [finding for finding in findings(eks) if finding.path[:1] == ("registrations",)]
