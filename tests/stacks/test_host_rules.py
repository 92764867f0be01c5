"""What a host's own system means, and what no hardware of the catalogue brings about. The rest is in the fixtures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from components.host.plan import plan
from components.host.spec import HardwareProfile
from sitefile.problems import Finding
from stacks.catalogue import Catalogue, catalogue
from stacks.parts import machine_of
from stacks.rules import site as site_rules
from stacks.site import SiteSpec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9"


def _site(*hosts: dict[str, Any], **values: Any) -> SiteSpec:
    machines = [
        {"name": f"h{n}", "hardware": "box", "address": f"10.10.0.{n}", "host_key": f"{KEY[:-1]}{n}", **host}
        for n, host in enumerate(hosts, start=1)
    ]
    return SiteSpec.model_validate(
        {"site": "shop", "tier": "near", "region": "eu-central", "hosts": machines, **values}
    )


def _findings(spec: SiteSpec, **hardware: Any) -> list[Finding]:
    """Of a site whose hardware `box` is a known one with some of its figures changed."""
    known = catalogue()
    box = HardwareProfile.model_validate({**known.hardware["hpe-el8000"].model_dump(), **hardware})
    found = site_rules.findings(spec, dataclasses.replace(known, hardware={**known.hardware, "box": box}))
    return [finding for finding in found if not finding.advice]


def _with_own_jetson() -> Catalogue:
    """The catalogue of a company that describes its Jetson as `box`, and its GPU under a name of its own."""
    known = catalogue()
    gpu = known.accelerators["nvidia-jetson-orin"]
    jetson = known.hardware["jetson-agx-orin"].model_copy(update={"accelerators": ("our-orin",)})
    return dataclasses.replace(
        known,
        hardware={**known.hardware, "box": jetson},
        accelerators={**known.accelerators, "our-orin": gpu},
    )


def test_fedora_coreos_unlocks_no_disk_by_tpm_with_little_memory() -> None:
    spec = _site({}, os={"distribution": "fedora-coreos", "disk": "luks-tpm2"})
    (finding,) = _findings(spec, memory_mib=4095)
    assert finding.path == ("os", "disk")
    assert finding.what == "Fedora CoreOS cannot unlock a disk by TPM with the 4095 MiB of RAM of box (`h1`)"
    assert _findings(spec, memory_mib=4096) == []


def test_a_disk_that_nothing_unlocks_is_said_once() -> None:
    spec = _site({}, os={"distribution": "fedora-coreos", "disk": "luks-tpm2"})
    (finding,) = _findings(spec, memory_mib=2048, tpm=False)
    assert "has no TPM" in finding.what


def test_a_box_too_small_for_an_agent_is_not_offered_to_be_one() -> None:
    k3s = {"version": "v1.36.3+k3s1", "releases": {"v1.36.3+k3s1": {"amd64": "1" * 64}}}
    (finding,) = _findings(_site({"hardware": "hpe-el8000"}, {"role": "agent"}, k3s=k3s), memory_mib=511)
    assert finding.path == ("hosts", 1, "role")
    assert finding.remedy == "use a machine with more memory"


def test_one_value_that_is_wrong_for_several_hosts_is_said_once_and_names_them() -> None:
    spec = _site({}, {}, {"hardware": "hpe-el8000"}, os={"secure_boot": True, "distribution": "debian"})
    (finding,) = _findings(spec, secure_boot=False)
    assert finding.what == "box has no Secure Boot (`h1`, `h2`)"


def test_what_a_host_says_of_its_system_leaves_the_rest_as_the_site_has_it() -> None:
    spec = _site(
        {"os": {"disk": "none"}},
        {},
        os={"distribution": "debian", "ntp_servers": ["10.10.0.1"], "updates": {"window": "Sat 22:00"}},
    )
    assert spec.os_of(spec.hosts[0]) == spec.os.model_copy(update={"disk": "none"})
    assert spec.os_of(spec.hosts[1]) == spec.os


def test_a_jetson_whose_accelerator_has_another_name_runs_jetson_linux() -> None:
    spec, own = _site({}, os={"distribution": "jetson-linux", "disk": "none"}), _with_own_jetson()
    assert [finding for finding in site_rules.findings(spec, own) if not finding.advice] == []
    machine = machine_of(spec, 0, own)
    assert machine.system.title == "Jetson Linux"
    assert "jetson-linux" in plan(machine).facts


@pytest.mark.parametrize("distribution", ["flatcar", "fedora-coreos", "debian"])
def test_a_jetson_whose_accelerator_has_another_name_is_never_told_to_run_flatcar(distribution: str) -> None:
    spec = _site({}, os={"distribution": distribution, "disk": "none"})
    (finding,) = [found for found in site_rules.findings(spec, _with_own_jetson()) if not found.advice]
    assert finding.what == f"{distribution} does not run on box (`h1`)"
    assert finding.remedy == "write `os: {distribution: jetson-linux}` for such a host"


@pytest.mark.parametrize(
    "unknown", [{"hardware": "boks"}, {"accelerators": ["nvidia-l5"]}], ids=["hardware", "accelerator"]
)
def test_a_host_of_unknown_hardware_hides_nothing_else_and_its_own_figures_are_not_judged(
    unknown: dict[str, Any],
) -> None:
    k3s = {"version": "v1.36.3+k3s1", "releases": {"v1.36.3+k3s1": {"arm64": "1" * 64}}, "api_address": "10.10.0.9"}
    alone, beside = _findings(_site(unknown, k3s=k3s)), _findings(_site(unknown, {}, k3s=k3s))
    assert [finding.what.partition(" `")[0].partition(":")[0] for finding in alone] == [
        f"there is no {'hardware profile' if 'hardware' in unknown else 'accelerator'}"
    ]
    assert {finding.path for finding in beside} == {alone[0].path, ("hosts",), ("k3s", "version")}
