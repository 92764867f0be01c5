"""The install script asks the disk before it changes it: plain `pulumi up` is held by it alone."""

from __future__ import annotations

import pytest

from components.k3s.plan import plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines
from tests.components.k3s.test_scripts import (
    AGENT_STDIN,
    AGENT_TOKEN,
    CA_UNKNOWN,
    HEALTHZ,
    STDIN,
    TOKEN,
    box,
    found,
    install,
    spec_for,
)
from tests.components.site_parts import AGENT, SERVERS, VERSION
from tests.sandbox import Run, Sandbox, needs_root

__all__ = ["box"]

pytestmark = needs_root

ENDPOINT = "postgres://edge:secret@db.example.com:5432/one"
EXTERNAL = {"kind": "external", "engine": "postgresql"}


def kept(box: Sandbox) -> dict[str, bytes]:
    """What must not change: K3s' files, its data and its units."""
    roots = ("/etc/rancher", "/var/lib/rancher", "/etc/systemd/system")
    files = [file for root in roots for file in box.path(root).rglob("*") if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def release(box: Sandbox, version: str) -> None:
    """The release that runs on the host."""
    program = box.path("/opt/bin/k3s")
    program.write_text(f'#!/bin/bash\n[ "$1" != --version ] || echo "k3s version {version} (abcdef)"\n')
    program.chmod(0o755)


def refused(box: Sandbox, spec: K3sSpec, stdin: str = STDIN) -> Run:
    before = kept(box)
    ran = box.run(install(spec, SERVERS[0]), stdin=stdin, answers=[HEALTHZ])
    assert ran.code == 1, ran.stdout
    assert "Nothing was changed" in ran.stderr
    assert kept(box) == before
    assert not [call for call in ran.calls if call.startswith("systemctl")]
    return ran


def endpoint(value: str, *consent: str) -> str:
    return secret_lines([TOKEN, AGENT_TOKEN, value, CA_UNKNOWN, *consent])


def test_another_network_is_refused_and_nothing_is_touched(box: Sandbox) -> None:
    found(box, spec_for(box))
    for field in ("pod_cidr", "service_cidr"):
        ran = refused(box, spec_for(box, **{field: "10.77.0.0/16"}))
        assert "10.77.0.0/16" in ran.stderr


def test_an_external_datastore_does_not_take_the_place_of_a_cluster(box: Sandbox) -> None:
    found(box, spec_for(box))
    ran = refused(box, spec_for(box, datastore=EXTERNAL), endpoint(ENDPOINT))
    assert "new, empty cluster" in ran.stderr
    assert "edge:allow-destroy" in ran.stderr
    assert "secret@" not in ran.stdout + ran.stderr


def test_another_external_datastore_is_refused_and_another_password_is_not(box: Sandbox) -> None:
    spec = spec_for(box, datastore=EXTERNAL)
    script = install(spec, SERVERS[0])
    assert box.run(script, stdin=endpoint(ENDPOINT), answers=[HEALTHZ]).code == 0
    refused(box, spec, endpoint(ENDPOINT.replace("/one", "/two")))
    assert box.run(script, stdin=endpoint(ENDPOINT.replace("secret", "other")), answers=[HEALTHZ]).code == 0


def test_consent_counts_once(box: Sandbox) -> None:
    found(box, spec_for(box))
    there, back = spec_for(box, datastore=EXTERNAL), spec_for(box)
    first = secret_lines([TOKEN, AGENT_TOKEN, ENDPOINT, CA_UNKNOWN, "k3s-datastore-replaced:monday"])
    done = box.run(install(there, SERVERS[0]), stdin=first, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    # Consent to another change is none, and neither is one that has been used.
    for word in ("k3s-patch-downgrade:tuesday", "k3s-datastore-replaced:monday"):
        refused(box, back, secret_lines([TOKEN, AGENT_TOKEN, CA_UNKNOWN, word]))
    again = secret_lines([TOKEN, AGENT_TOKEN, CA_UNKNOWN, "k3s-datastore-replaced:tuesday"])
    assert box.run(install(back, SERVERS[0]), stdin=again, answers=[HEALTHZ]).code == 0


@pytest.mark.parametrize(
    ("runs", "says"),
    [("v1.37.1+k3s1", "downgrade"), ("v1.34.9+k3s1", "skips a minor version"), ("v1.36.4+k3s1", "downgrade")],
)
def test_a_release_that_cannot_follow_the_one_that_runs_is_refused(box: Sandbox, runs: str, says: str) -> None:
    spec = spec_for(box)
    found(box, spec)
    release(box, runs)
    assert says in refused(box, spec).stderr


def test_a_patch_goes_back_with_consent_and_a_minor_does_not(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    consent = secret_lines([TOKEN, AGENT_TOKEN, CA_UNKNOWN, "k3s-patch-downgrade:a k3s-downgrade:a"])
    release(box, "v1.37.1+k3s1")
    refused(box, spec, consent)
    release(box, "v1.36.4+k3s1")
    assert box.run(install(spec, SERVERS[0]), stdin=consent, answers=[HEALTHZ]).code == 0


@pytest.mark.parametrize("runs", ["v1.35.9+k3s1", VERSION, "v1.36.1+k3s1"])
def test_an_upgrade_goes_on(box: Sandbox, runs: str) -> None:
    spec = spec_for(box)
    found(box, spec)
    release(box, runs)
    assert box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ]).code == 0


def test_a_server_does_not_become_an_agent_in_place(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    before = kept(box)
    ran = box.run(install(spec, AGENT), stdin=AGENT_STDIN, answers=[HEALTHZ])
    assert ran.code == 1
    assert "K3s here is the node" in ran.stderr or "is a server" in ran.stderr
    assert kept(box) == before


@pytest.mark.parametrize("carries", ["config.yaml", "owner"])
def test_an_uninstall_of_another_name_removes_nothing(carries: str, box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    if carries == "owner":
        owner = box.path("/var/lib/edge/owner")
        owner.write_text(f"site=other\nnode={SERVERS[0].node}\nstack=0\n")
        box.path("/etc/rancher/k3s/config.yaml").unlink()
    before = kept(box)
    ran = box.run(plan_node(spec, SERVERS[1], SERVERS, labels={}).uninstall)
    assert ran.code == 0
    assert f"this host is {SERVERS[0].node}" in ran.stdout
    assert kept(box) == before
    assert box.run(plan_node(spec, SERVERS[0], SERVERS, labels={}).uninstall).code == 0
    assert kept(box) != before


def test_a_renamed_host_is_not_set_up_over_its_old_name(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    before = kept(box)
    ran = box.run(install(spec, SERVERS[1]), stdin=STDIN, answers=[HEALTHZ])
    assert ran.code == 1
    assert "renamed_from" in ran.stderr
    assert kept(box) == before
