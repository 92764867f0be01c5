"""What hosts are said to be, what their gates look for, and what they have shown."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from components.host.plan import facts_of, plan, published
from edge.run.program import recorded_site
from engine.environment import PROJECT_ROOT
from policies.rules import UNKNOWN, Resource, evaluate, evaluate_together
from policies.rules.machine import ENCRYPTED, inline_key
from stacks import parts
from stacks.catalogue import catalogue
from stacks.loader import load_site, site_names
from tests.policies.cases import base

LOOKED_FOR = {
    "architecture": "expect architecture",
    "operating-system": 'expect "operating system"',
    "cores": 'expect "CPU cores"',
    "memory": 'expect "RAM in MiB"',
    "disk-size": 'expect "disk below',
    "tpm": "expect TPM",
    "disk": 'expect "disk encryption (LUKS)',
    "secure-boot": 'expect "Secure Boot"',
}
"""What the gate's script says of each thing that it looks for."""

FACTS = "arch=amd64 os=fedora threads=16 memory_mib=1000 disk_gib=100 tpm=2.0 secure_boot=on luks=tpm2"


@pytest.mark.parametrize("site", site_names())
def test_a_host_attests_what_its_gate_looks_for_and_nothing_else(site: str) -> None:
    for machine in parts.view(load_site(site), catalogue()).machines:
        script = plan(machine).facts
        attests = set(published(machine)["attests"])
        assert {name for name, text in LOOKED_FOR.items() if text in script} == attests - {"host-key"}


def test_facts_are_what_the_gate_prints_last() -> None:
    assert facts_of(f"changed nothing\n{FACTS}\n")["luks"] == "tpm2"
    assert facts_of(FACTS) == dict(pair.split("=") for pair in FACTS.split())
    assert facts_of(None) == facts_of("rehearsed") == {}


def judged(facts: Any, **props: Any) -> list[str]:
    resource = dataclasses.replace(
        base("host"), props={**base("host").props, **props}, outputs={} if facts is None else {"facts": facts}
    )
    return [finding.message for finding in evaluate_together([resource]) if finding.rule == "host/agrees-with-facts"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"luks": "no"}, "claims luks-tpm2, and the host itself has shown luks=no"),
        ({"tpm": "no"}, "claims luks-tpm2, and the host itself has shown tpm=no"),
        ({"secure_boot": "off"}, "claims Secure Boot, and the host itself has shown secure_boot=off"),
        ({"luks": UNKNOWN}, ""),
    ],
)
def test_a_host_that_shows_something_else_than_is_claimed_is_refused(change: dict[str, Any], said: str) -> None:
    assert judged({**facts_of(FACTS), **change}) == ([said] if said else [])


def test_a_host_that_claims_nothing_has_nothing_to_prove() -> None:
    facts = {**facts_of(FACTS), "luks": "no", "secure_boot": "off"}
    assert judged(facts, disk="none", secure_boot=False) == []


def test_facts_that_leave_out_what_is_claimed_are_not_taken_for_a_proof() -> None:
    assert judged({"arch": "amd64"}) == ["cannot be judged: it is not among what the host has shown"]


@pytest.mark.parametrize("facts", [None, {}, UNKNOWN, "text", 3])
def test_a_host_whose_gate_has_not_run_is_left_to_its_gate(facts: Any) -> None:
    assert judged(facts) == []


def test_a_disk_is_encrypted_wherever_a_tpm_can_unlock_it() -> None:
    def found(**props: Any) -> set[str]:
        resource = dataclasses.replace(base("virtual-host"), props={**base("virtual-host").props, **props})
        return {finding.rule for finding in evaluate(resource)}

    assert found(virtual=True, tpm=True) == set()
    assert found(virtual=False, tpm=False) == set()
    assert found(virtual=False, tpm=True) == {"host/disk-encrypted"}
    assert found(virtual=False, tpm=None) == {"host/disk-encrypted"}
    assert ENCRYPTED == "luks-tpm2"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo hunter2 | cryptsetup luksFormat /dev/sda2 -", True),
        ("cryptsetup open /dev/sda2 root <<'EOF'\nhunter2\nEOF", True),
        ("PASSWORD=hunter2 systemd-cryptenroll --tpm2-device=auto /dev/sda2", True),
        ('{"storage": {"luks": [{"name": "root", "keyFile": {"source": "data:,hunter2"}}]}}', True),
        ("storage:\n  luks:\n  - name: root\n    key_file:\n      inline: hunter2\n", True),
        ("systemd-cryptenroll --tpm2-device=auto /dev/sda2", False),
        ('printf %s "$recovery" | sha256sum', False),
        ("storage:\n  luks:\n  - name: root\n    clevis: {tpm2: true}\n", False),
        ("cryptsetup luksDump /dev/sda2 | grep systemd-tpm2", False),
    ],
)
def test_keys_of_disks_are_found_where_they_are_written(text: str, found: bool) -> None:
    assert inline_key(text) is found


def test_user_data_of_an_instance_is_searched_for_keys_of_disks() -> None:
    key = '{"storage": {"luks": [{"name": "root", "keyFile": {"source": "data:,hunter2"}}]}}'
    for kind in ("aws:ec2/instance:Instance", "aws:ec2/launchTemplate:LaunchTemplate"):
        for data in (key, base64.b64encode(key.encode()).decode()):
            found = evaluate(Resource(kind, "x", "urn:x", {"userData": data}))
            assert "host/no-inline-disk-key" in {finding.rule for finding in found}
            assert "hunter2" not in str([finding for finding in found if finding.rule.startswith("host/")])


def test_a_host_says_what_its_models_take_of_it() -> None:
    site, data = load_site("prod"), catalogue()
    demands = parts.demands(site, data)
    assert any(demand.watts > 0 and demand.accelerators for demand in demands.values())
    _, recording = recorded_site("prod", PROJECT_ROOT)
    hosts = {resource.name: resource.inputs for resource in recording.resources if resource.type == "edge:index:Host"}
    assert len(hosts) == len(site.hosts)
    for host in site.hosts:
        said, demand = hosts[site.node(host)], demands.get(host.name)
        assert said["power"]["models_watts"] == pytest.approx(demand.watts if demand else 0)
        assert said["accelerators"]["asked_for"] == (demand.accelerators if demand else 0)
