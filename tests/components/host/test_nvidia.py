"""Which hosts get NVIDIA's packages, by which scripts, and what the gates before and after ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.host import nvidia
from components.host.machine import Machine
from components.host.plan import plan
from components.inference.triton.part import PART as TRITON
from tests.components.inference.test_accelerator_checks import IMAGES, Box, host
from tests.components.inference.test_inference_plan import spec as triton
from tests.components.site_parts import machine, site_of
from tests.sandbox import needs_root

PACKAGES = {"nvidia-driver-580-server-open": "580.159.04-0ubuntu0.24.04.1", "nvidia-container-toolkit": "1.17.9-1"}
SPEC = {"driver": "580.159.04", "packages": PACKAGES}
BY_DKMS = {"driver": "580.159.04", "packages": {"nvidia-open-kernel-dkms": "580.159.04-1"}}


def with_packages(spec: dict[str, Any] | None = None, **fields: Any) -> Machine:
    return host(accelerators=["nvidia-l4"], os_fields={"nvidia": spec or SPEC}, **fields)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = Box(tmp_path / "box")
    box.install(
        "/usr/local/sbin/dpkg-query", '[ ! -e "$SANDBOX/installed" ] || printf "installed %s" "$(version "${!#}")"'
    )
    versions = "\n".join(f"  {name}) echo {version} ;;" for name, version in PACKAGES.items())
    box.install("/usr/local/sbin/version", f"case $1 in\n{versions}\nesac")
    return box


def gates(box: Box, which: Machine) -> tuple[str, str]:
    """What the gates before and after the packages complain of."""
    scripts = plan(which, [TRITON.host_checks(triton(images=IMAGES), which, site_of(which))])
    first, again = (
        box.run(f"export PATH=$PATH:/usr/bin\n{script.replace('/proc/driver/nvidia', '/var/driver/nvidia')}")
        for script in (scripts.facts, scripts.facts_again)
    )
    return first.stderr, again.stderr


@needs_root
def test_what_the_packages_bring_is_asked_for_after_them_and_not_before(box: Box) -> None:
    first, again = gates(box, with_packages())
    assert first == ""
    assert "NVIDIA's driver is not loaded" in again
    assert "there is no nvidia-container-runtime" in again


@needs_root
def test_once_they_are_there_the_first_gate_asks_for_all_that_they_bring(box: Box) -> None:
    (box.home / "installed").touch()
    box.gpu("525.147.05")
    for found in gates(box, with_packages()):
        assert "NVIDIA's driver is 525.147.05, and Triton needs 535 or newer" in found


@needs_root
def test_a_driver_of_nvidias_own_installer_is_refused_before_anything_is_installed(box: Box) -> None:
    box.install("/usr/bin/nvidia-uninstall", "")
    assert "its driver was installed by NVIDIA's own installer" in gates(box, with_packages())[0]


def test_only_a_host_with_a_gpu_gets_them_and_all_others_stay_as_they_are() -> None:
    plain, gpu = machine("a", distribution="ubuntu"), machine("a", distribution="ubuntu", accelerators=["nvidia-l4"])
    assert nvidia.plan(host(os_fields={"nvidia": SPEC})) is None
    for which in (plain, gpu):
        assert nvidia.plan(which) is None
        assert "nvidia" not in plan(which).facts
    assert nvidia.plan(with_packages()) is not None


def test_secure_boot_is_looked_at_where_dkms_builds_the_modules() -> None:
    asked = "Secure Boot is on, and loads no kernel module that DKMS has built here"
    assert asked in nvidia.gate(with_packages(BY_DKMS))
    assert asked not in nvidia.gate(with_packages())


def test_headers_of_the_running_kernel_come_with_dkms() -> None:
    by_dkms, prebuilt = nvidia.plan(with_packages(BY_DKMS)), nvidia.plan(with_packages())
    assert by_dkms is not None
    assert prebuilt is not None
    assert 'headers=("linux-headers-$(uname -r)")' in by_dkms.install
    assert "uname" not in prebuilt.install


def test_the_scripts_are_the_reviewed_ones(golden: Callable[[str, str], None]) -> None:
    found = nvidia.plan(with_packages())
    assert found is not None
    golden("host/nvidia-install.sh", found.install)
    golden("host/nvidia-remove.sh", found.remove)
