"""What is asked of a machine and what is changed on it, as values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from components.host.plan import plan
from components.host.spec import HardwareProfile, OsSpec, UpdateWindow
from stacks.catalogue import catalogue
from tests.components.site_parts import hardware, machine

OS = {
    "flatcar": OsSpec(),
    "fedora-coreos": OsSpec(distribution="fedora-coreos", secure_boot=True, ntp_servers=("10.20.0.1",)),
    "jetson-linux": OsSpec(distribution="jetson-linux", disk="none", ntp_servers=("time.example.com",)),
    "ubuntu": OsSpec(distribution="ubuntu", ntp_servers=("time.example.com",)),
    "rhel": OsSpec(distribution="rhel", ntp_servers=("10.20.0.1", "10.20.0.2")),
    "sle": OsSpec(distribution="sle", ntp_servers=("time.example.com",)),
}


@pytest.mark.parametrize("distribution", OS)
def test_scripts_are_as_reviewed(distribution: str, golden: Callable[[str, str], None]) -> None:
    profile = hardware("jetson-agx-orin" if distribution == "jetson-linux" else "poweredge-xr4000")
    scripts = plan(dataclasses.replace(machine("a", os=OS[distribution]), hardware=profile))
    # Nothing in `reachable` depends on the system.
    for name in ("reachable", "facts", "base", "leave") if distribution == "flatcar" else ("facts", "base", "leave"):
        golden(f"host/{distribution}-{name}.sh", getattr(scripts, name))


def test_a_new_host_key_is_a_new_identity_and_changes_no_script() -> None:
    old, new = (
        plan(machine("a")),
        plan(machine("a", host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGLVgaJAOGhtc48BrSKcDHXmjHm6Wq/lcsXGBqzuYab1")),
    )
    assert old.identity != new.identity
    assert (old.reachable, old.facts, old.base, old.leave) == (new.reachable, new.facts, new.base, new.leave)


def test_secure_boot_and_encryption_are_checked_only_where_they_are_asked_for() -> None:
    strict = plan(machine("a", os=OS["fedora-coreos"])).facts
    lax = plan(machine("a", os=OS["jetson-linux"])).facts
    assert 'expect "Secure Boot"' in strict
    assert 'expect "disk encryption' in strict
    assert 'expect "Secure Boot"' not in lax
    assert 'expect "disk encryption' not in lax


@pytest.mark.parametrize("window", ["Sunday 02:00", "Sun 2:00", "Sun 24:00", "02:00", ""])
def test_an_update_window_that_no_distribution_understands_is_refused(window: str) -> None:
    with pytest.raises(ValidationError):
        UpdateWindow(window=window)


def test_each_hardware_profile_says_where_its_figures_come_from() -> None:
    assert {"jetson-agx-orin", "qcs8550", "poweredge-xr4000", "hpe-el8000"} <= catalogue().hardware.keys()
    for name, profile in catalogue().hardware.items():
        assert all(len(source) > 10 for source in profile.sources.values()), name
        assert all(accelerator in catalogue().accelerators for accelerator in profile.accelerators), name


def test_a_figure_without_a_source_is_refused() -> None:
    data = hardware().model_dump()
    del data["sources"]["cores"]
    with pytest.raises(ValidationError, match="cores"):
        HardwareProfile.model_validate(data)


def test_no_box_is_rated_below_what_it_draws_without_accelerators() -> None:
    for name, profile in catalogue().hardware.items():
        assert profile.envelope.base_watts < profile.envelope.sustained_watts, name
