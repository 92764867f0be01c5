"""The host's scripts, run for real on this machine's own facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.host.plan import HostPlan, plan
from components.host.spec import OsSpec
from components.shell import secret_lines
from tests.components.kernel import SYSCTL
from tests.components.site_parts import machine
from tests.sandbox import Sandbox, needs_root

pytestmark = needs_root

STACK = secret_lines(["0123456789abcdef"])
SMALL = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    commands = {"uname": "echo x86_64", "modprobe": "", "sysctl": SYSCTL, "hostnamectl": 'hostname "$2"'}
    active = 'show) echo loaded ;; is-active) [ -e "$SANDBOX/active" ] ;; restart) touch "$SANDBOX/active" ;;'
    sandbox = Sandbox(tmp_path / "box", {**commands, "systemctl": f"case $1 in {active} esac"})
    sandbox.path("/etc/os-release").parent.mkdir(parents=True, exist_ok=True)
    sandbox.path("/etc/os-release").write_text("ID=flatcar\n")
    return sandbox


def scripts(os: OsSpec | None = None, **figures: object) -> HostPlan:
    return plan(machine("a", os=os or OsSpec(disk="none"), figures=SMALL | figures))


def test_a_host_that_is_what_the_file_says_prints_its_facts(box: Sandbox) -> None:
    done = box.run(scripts().facts)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("arch=amd64 os=flatcar release=unknown threads=")


def test_everything_that_differs_is_named_at_once(box: Sandbox) -> None:
    done = box.run(scripts(arch="arm64", cores=4096, memory_mib=10**9, disk_gib=10**6).facts)
    assert done.code != 0
    for what in ("architecture: expected arm64, found amd64", "CPU cores", "RAM in MiB", "in GiB"):
        assert what in done.stderr


def test_another_operating_system_is_refused(box: Sandbox) -> None:
    done = box.run(scripts(OsSpec(distribution="fedora-coreos", disk="none")).facts)
    assert done.code != 0
    assert "operating system: expected fedora-coreos, found flatcar" in done.stderr


def test_a_disk_without_encryption_is_refused_where_it_is_asked_for(box: Sandbox) -> None:
    done = box.run(scripts(OsSpec(disk="luks-tpm2")).facts)
    assert done.code != 0
    assert "disk encryption (LUKS)" in done.stderr


def test_preparing_a_host_twice_changes_it_once(box: Sandbox) -> None:
    script = scripts().base
    first = box.run(script, stdin=STACK)
    assert first.code == 0, first.stderr
    assert "changed /etc/sysctl.d/90-kubelet.conf" in first.stdout
    assert "vm.overcommit_memory = 1" in box.path("/etc/sysctl.d/90-kubelet.conf").read_text()
    assert "hostnamectl set-hostname site-a" in first.calls
    again = box.run(script, stdin=STACK)
    assert again.code == 0, again.stderr
    assert not [line for line in again.stdout.splitlines() if line.startswith("changed /etc")]
    assert not [call for call in again.calls if call.startswith(("sysctl --quiet", "systemctl restart"))]


YEARS_AGO = "case $1 in +%s) echo 86400 ;; *) echo 1970-01-02 ;; esac"


def test_a_clock_that_is_years_behind_is_waited_for(box: Sandbox) -> None:
    box.install("/usr/local/sbin/date", f'[ ! -e "$SANDBOX/set" ] || exec /bin/date "$@"\n{YEARS_AGO}')
    box.install("/usr/local/sbin/sleep", 'touch "$SANDBOX/set"')
    done = box.run(scripts().base, stdin=STACK)
    assert done.code == 0, done.stderr
    assert "the clock says 1970-01-02: waiting for systemd-timesyncd" in done.stdout


def test_a_clock_that_nobody_sets_is_refused_before_any_certificate_is_made(box: Sandbox) -> None:
    box.install("/usr/local/sbin/date", YEARS_AGO)
    box.install("/usr/local/sbin/sleep", "")
    done = box.run(scripts().base, stdin=STACK)
    assert done.code != 0
    assert "1970-01-02" in done.stderr
    assert "os.ntp_servers" in done.stderr


def test_a_host_that_leaves_keeps_nothing_that_preparing_it_wrote(box: Sandbox) -> None:
    box.run(scripts().base, stdin=STACK)
    for _ in range(2):
        done = box.run(scripts().leave)
        assert done.code == 0, done.stderr
    for path in ("/etc/sysctl.d/90-kubelet.conf", "/etc/sysctl.d/91-edge.conf", "/etc/modules-load.d/edge.conf"):
        assert not box.path(path).exists()


def test_a_file_that_drifted_is_put_right(box: Sandbox) -> None:
    script = scripts().base
    box.run(script, stdin=STACK)
    box.path("/etc/sysctl.d/90-kubelet.conf").write_text("vm.overcommit_memory = 0\n")
    done = box.run(script, stdin=STACK)
    assert "changed /etc/sysctl.d/90-kubelet.conf" in done.stdout
    assert [call for call in done.calls if call.startswith("sysctl --quiet --load")]
