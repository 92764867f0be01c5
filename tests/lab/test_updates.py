"""A host installs updates with the real programs of its distribution, from a repository of its own, and reboots.

unattended-upgrades, dnf with dnf-automatic, and zypper are those that Debian has as packages. The host is a Debian one
in all cases: what is proved is how each program is called and what its answers mean.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.host import os_updates
from components.host.spec import OsSpec
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from tests.components.site_parts import machine
from tests.lab.published import DEBIAN, RHEL, SLE, Programs

_PROGRAM = "/usr/local/bin/edge-os-updates"


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    yield lab["c"]
    lab["c"].power_off()
    lab["c"].reimage()
    lab["c"].power_on()
    lab.pin()
    lab["c"].wait_ssh(60)
    lab["c"].wait_booted(60)


@pytest.mark.parametrize("programs", [DEBIAN, RHEL, SLE], ids=lambda one: one.distribution)
def test_a_host_installs_what_its_distribution_published_and_reboots_where_that_needs_it(
    host: LabHost, programs: Programs
) -> None:
    planned = machine("c", os=OsSpec.model_validate({"distribution": programs.distribution, "disk": "none"}))
    for path, (mode, text) in os_updates.files(planned).items():
        host.run(f"install -D -m {mode} /dev/stdin {path}", stdin=text)
    if config := planned.system.updates.config:
        host.run(f"install -D -m 0644 /dev/stdin {config.path}", stdin=config.text)
    programs.put_on(host)
    assert programs.installed(host) == "1"
    host.power_off()
    host.power_on()
    host.wait_booted(60)

    assert _complaints(host, planned.system.updates.check) == ""
    assert "up to date: no reboot is needed" in host.run(_PROGRAM).stdout

    programs.published(host, 2)
    host.run(f"{_PROGRAM} >/var/log/said 2>&1", check=False)
    wait_until(lambda: host.pid is None, "it ends, to boot again", deadline_s=60)
    host.power_on()
    host.wait_booted(60)
    assert programs.installed(host) == "2", host.run("cat /var/log/said").stdout

    assert "up to date: no reboot is needed" in host.run(_PROGRAM).stdout


def _complaints(host: LabHost, check: object) -> str:
    """What the gate says of a host that has all of it."""
    if check is None:
        return ""
    return host.run("bash -s", stdin=f'set -euo pipefail\nlack() {{ echo "$1: $2"; }}\n{check}\n').stdout
