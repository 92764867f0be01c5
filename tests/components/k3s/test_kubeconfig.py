"""The administrator's kubeconfig: at which address, read from the host's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.k3s.credential import credential_of, refusal, warning
from components.k3s.part import PART
from components.k3s.plan import api_url, plan_cluster, server_config
from components.k3s.spec import K3sSpec
from tests.components.kubeconfigs import kubeconfig
from tests.components.site_parts import k3s, machine, site_of
from tests.sandbox import Sandbox, needs_root

ADDRESSES: dict[str, tuple[K3sSpec, dict[str, Any], str]] = {
    "one server": (k3s(), {"address": "10.0.0.11"}, "https://10.0.0.11:6443"),
    "another address between nodes": (
        k3s(),
        {"address": "203.0.113.9", "node_ip": "10.0.0.11"},
        "https://203.0.113.9:6443",
    ),
    "IPv6": (k3s(), {"address": "2001:db8::11"}, "https://[2001:db8::11]:6443"),
    "a shared address": (k3s(api_address="10.0.0.10"), {"address": "10.0.0.11"}, "https://10.0.0.10:6443"),
    "a shared address of IPv6": (
        k3s(api_address="2001:db8::10"),
        {"address": "10.0.0.11", "node_ip": "10.0.0.12"},
        "https://[2001:db8::10]:6443",
    ),
    "a name": (k3s(api_address="api.example"), {"address": "10.0.0.11"}, "https://api.example:6443"),
}


@pytest.mark.parametrize(("spec", "fields", "url"), ADDRESSES.values(), ids=ADDRESSES)
def test_output_and_kubeconfig_have_one_address_which_the_server_certifies(
    spec: K3sSpec, fields: dict[str, Any], url: str
) -> None:
    server = machine("a", **fields)
    assert PART.outputs(spec, site_of(server))["kubernetes_endpoint"] == url
    assert api_url(spec, [server]) == url
    certified = server_config(spec, server, [server])["tls-san"]
    assert url.removeprefix("https://").removesuffix(":6443").strip("[]") in certified


NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
YEAR, HOUR = timedelta(days=365), timedelta(hours=1)


def host_with(folder: Path, text: str, *, at_restart: str = "") -> Sandbox:
    """A server with this kubeconfig; K3s writes ``at_restart`` when it starts again."""
    (folder / "later").write_text(at_restart)
    box = Sandbox(
        folder / "box", {"systemctl": f"cat {folder / 'later'} >/etc/rancher/k3s/k3s.yaml", "k3s": "", "sleep": ""}
    )
    path = box.path("/etc/rancher/k3s/k3s.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return box


@needs_root
@pytest.mark.parametrize("own", ["https://127.0.0.1:6443", "https://[::1]:6443"])
@pytest.mark.parametrize("address", ["10.0.0.11", "2001:db8::11"])
def test_only_the_address_of_the_hosts_own_kubeconfig_changes(tmp_path: Path, own: str, address: str) -> None:
    now = datetime.now(UTC)
    box = host_with(tmp_path, kubeconfig(now, now + YEAR, server=own))
    server = machine("a", address=address)
    done = box.run(plan_cluster(k3s(), [server]).kubeconfig)
    printed = yaml.safe_load(done.stdout)
    assert printed["clusters"][0]["cluster"].pop("server") == api_url(k3s(), [server])
    kept = yaml.safe_load(box.path("/etc/rancher/k3s/k3s.yaml").read_text())
    kept["clusters"][0]["cluster"].pop("server")
    assert printed == kept
    assert not any(call.startswith("systemctl") for call in done.calls)


@needs_root
@pytest.mark.parametrize("life", [YEAR, HOUR])
@pytest.mark.parametrize("lived", [0.8, 1.2])
def test_a_server_whose_own_certificate_is_due_restarts_k3s_which_renews_it(
    tmp_path: Path, life: timedelta, lived: float
) -> None:
    now = datetime.now(UTC)
    old = kubeconfig(now - life * lived, now - life * lived + life)
    new = kubeconfig(now, now + life)
    box = host_with(tmp_path, old, at_restart=new)
    done = box.run(plan_cluster(k3s(), [machine("a")]).kubeconfig)
    assert done.code == 0, done.stderr
    assert [call for call in done.calls if call.startswith("systemctl")] == ["systemctl --no-block restart k3s"]
    assert credential_of(done.stdout) == credential_of(new)
    assert "restarting K3s, which renews it" in done.stderr


@needs_root
@pytest.mark.parametrize("lived", [0.1, 0.7])
def test_a_server_whose_own_certificate_lasts_is_left_alone(tmp_path: Path, lived: float) -> None:
    now = datetime.now(UTC)
    text = kubeconfig(now - YEAR * lived, now + YEAR * (1 - lived))
    done = host_with(tmp_path, text).run(plan_cluster(k3s(), [machine("a")]).kubeconfig)
    assert (done.code, done.calls) == (0, ()), done.stderr


@needs_root
def test_a_certificate_that_cannot_be_read_is_not_taken_for_a_good_one(tmp_path: Path) -> None:
    box = host_with(tmp_path, "users:\n- name: default\n  user:\n    client-certificate-data: Q0VSVA==\n")
    done = box.run(plan_cluster(k3s(), [machine("a")]).kubeconfig)
    assert done.code == 1
    assert done.stdout == ""
    assert "cannot read in /etc/rancher/k3s/k3s.yaml how long its client certificate is valid" in done.stderr


def test_a_kubeconfig_is_renewed_in_the_last_quarter_of_its_life_and_refused_after_it() -> None:
    text = kubeconfig(NOW, NOW + YEAR)
    for days, warned, refused in ((0, False, False), (273, False, False), (274, True, False), (365, True, True)):
        then = NOW + timedelta(days=days)
        assert (warning(text, "prod", "urn", then) is not None) == warned, days
        assert (refusal(text, "prod", "urn", then) is not None) == refused, days


def test_what_is_said_names_the_end_and_both_ways_on() -> None:
    text = kubeconfig(NOW - HOUR, NOW)
    for said in (warning(text, "prod", "urn:x$y", NOW), refusal(text, "prod", "urn:x$y", NOW)):
        assert said is not None
        assert "valid until 2026-11-26 09:00 UTC" in said
        assert "`edge up prod`" in said
        assert "`pulumi up --stack prod --replace 'urn:x$y'`" in said


def test_what_holds_no_certificate_is_not_judged_and_a_damaged_one_is_an_error() -> None:
    assert credential_of("rehearsal: prod-k3s-kubeconfig was not run\n") is None
    with pytest.raises(ValueError, match="cannot be read"):
        credential_of("users: [{user: {client-certificate-data: Q0VSVA==}}]")
