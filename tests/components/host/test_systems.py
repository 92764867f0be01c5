"""The gate and the preparation of a host on each operating system: real scripts, on what publishers' systems say."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.host.plan import HostPlan, facts_of, plan
from components.host.spec import OsSpec
from components.host.systems import SYSTEMS
from components.shell import secret_lines
from tests.components.kernel import SYSCTL
from tests.components.site_parts import hardware, machine
from tests.sandbox import Run, Sandbox, needs_root

FIXTURES = Path(__file__).parents[2] / "fixtures" / "systems"
STACK = secret_lines(["0123456789abcdef"])

RUNS = {
    "ubuntu-22.04": "ubuntu",
    "ubuntu-24.04": "ubuntu",
    "rhel-9.6": "rhel",
    "rhel-10.0": "rhel",
    "rocky-9.5": "rhel",
    "almalinux-10.0": "rhel",
    "centos-stream-9": "rhel",
    "oracle-9.5": "rhel",
    "sles-15.7": "sle",
    "opensuse-leap-15.6": "sle",
    "opensuse-leap-16.0": "sle",
    "flatcar-4459.0.0": "flatcar",
    "fedora-coreos-40": "fedora-coreos",
    "debian-12": "debian",
    "raspbian-12": "debian",
}
"""By file of the fixtures, the `distribution` of a site file that it is."""

_SYSTEMCTL = """
unit=${!#} unit=${unit%.service}
case $* in
  *LoadState*) [ -e "$SANDBOX/unit-$unit" ] && echo loaded || echo not-found ;;
  is-active*) [ -e "$SANDBOX/active-$unit" ] ;;
  *restart*edge-*) ;;
  *restart*) [ -e "$SANDBOX/unit-$unit" ] && touch "$SANDBOX/active-$unit" ;;
esac
"""


class Box(Sandbox):
    """A machine with a system of the fixtures, and the units that it has."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            {
                "uname": "echo x86_64",
                "modprobe": "",
                "sysctl": SYSCTL,
                "hostnamectl": 'hostname "$2"',
                "systemctl": _SYSTEMCTL,
                **dict.fromkeys(("unattended-upgrade", "dnf-automatic", "dnf", "zypper", "rpm-ostree"), ""),
            },
        )
        self.path("/etc").mkdir(parents=True, exist_ok=True)

    def has(self, release: str, *units: str) -> None:
        text = (FIXTURES / f"{release}.os-release").read_text()
        self.path("/etc/os-release").write_text(text)
        for left in self.home.glob("unit-*"):
            left.unlink()
        for unit in units:
            (self.home / f"unit-{unit}").touch()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def scripts(distribution: str, **fields: object) -> HostPlan:
    os = OsSpec.model_validate({"distribution": distribution, "disk": "none", **fields})
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    return plan(machine("a", os=os, figures=small))


def units_of(distribution: str) -> list[str]:
    """Units of a machine that is as its publisher installs it."""
    system = SYSTEMS[distribution]
    return [system.time[0].unit, *filter(None, [system.updates.service, system.updates.reads_config])]


def refused(done: Run, *words: str) -> None:
    assert done.code != 0, done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


def test_every_system_has_a_machine_among_the_fixtures() -> None:
    assert set(RUNS.values()) == set(SYSTEMS) - {"jetson-linux"}, "Jetson Linux says that it is Ubuntu"


@needs_root
@pytest.mark.parametrize("release", RUNS)
def test_a_system_passes_the_gate_under_its_own_name_and_under_no_other(box: Box, release: str) -> None:
    box.has(release, *units_of(RUNS[release]), "chronyd", "systemd-timesyncd")
    done = box.run(scripts(RUNS[release]).facts)
    assert done.code == 0, done.stderr
    for other in set(SYSTEMS) - {RUNS[release], "jetson-linux"}:
        refused(box.run(scripts(other).facts), f"operating system: expected {other}, found ")


@needs_root
@pytest.mark.parametrize(
    ("release", "distribution", "version"),
    [("ubuntu-22.04", "ubuntu", "20.04"), ("rocky-9.5", "rhel", "8.10"), ("sles-15.7", "sle", "12.5")],
)
def test_a_release_that_is_too_old_is_refused(box: Box, release: str, distribution: str, version: str) -> None:
    box.has(release, *units_of(distribution))
    said = box.path("/etc/os-release")
    said.write_text(said.read_text() + f'VERSION_ID="{version}"\n')
    refused(box.run(scripts(distribution).facts), f"release of the operating system: expected {distribution}", version)


@needs_root
def test_a_read_only_sle_is_not_taken_for_one_that_can_be_written(box: Box) -> None:
    box.has("sle-micro-5.1", *units_of("sle"))
    refused(box.run(scripts("sle").facts), "expected sle, found suse-microos")


@needs_root
@pytest.mark.parametrize(("release", "distribution"), [("debian-12", "debian"), ("ubuntu-24.04", "ubuntu")])
def test_chrony_in_place_of_timesyncd_is_as_good(box: Box, release: str, distribution: str) -> None:
    box.has(release, "chrony")
    planned = scripts(distribution, ntp_servers=["10.0.0.1"])
    assert box.run(planned.facts).code == 0
    done = box.run(planned.base, stdin=STACK)
    assert done.code == 0, done.stderr
    assert "systemctl restart chrony" in done.calls
    assert box.path("/etc/chrony/sources.d/50-edge.sources").read_text() == "server 10.0.0.1 iburst prefer\n"
    assert box.run(planned.leave).code == 0
    assert not box.path("/etc/chrony/sources.d/50-edge.sources").exists()


@needs_root
@pytest.mark.parametrize("release", RUNS)
def test_a_host_without_a_time_service_is_refused_before_anything_is_changed(box: Box, release: str) -> None:
    box.has(release)
    refused(box.run(scripts(RUNS[release]).facts), "there is no time service")


@needs_root
def test_a_file_of_the_distribution_that_ours_replaces_is_put_back(box: Box) -> None:
    box.has("rhel-9.6", "chronyd")
    config = box.path("/etc/chrony.conf")
    config.write_text("pool 2.rhel.pool.ntp.org iburst\n")
    planned = scripts("rhel", ntp_servers=["10.0.0.1"])
    for _ in range(2):
        assert box.run(planned.base, stdin=STACK).code == 0
        assert config.read_text().startswith("server 10.0.0.1 iburst\n")
    for _ in range(2):
        assert box.run(planned.leave).code == 0
    assert config.read_text() == "pool 2.rhel.pool.ntp.org iburst\n"


@needs_root
@pytest.mark.parametrize(
    ("profile", "cores", "memory_mib"), [("jetson-agx-orin", 8, 62_800), ("raspberry-pi-zero-2w", 4, 416)]
)
def test_what_good_machines_show_of_their_hardware_is_taken(
    box: Box, profile: str, cores: int, memory_mib: int
) -> None:
    """An Orin in its 30 W mode has four of its cores off; the firmware of a Pi Zero keeps almost 100 MiB."""
    box.has("debian-12", "systemd-timesyncd")
    real = hardware(profile)
    kept = {"cores": real.cores, "memory_mib": real.memory_mib, "shows": real.shows}
    figures = {"arch": "amd64", "disk_gib": 1, "tpm": False, **kept}
    facts = plan(machine("a", os=OsSpec(distribution="debian", disk="none"), figures=figures)).facts

    def shown(cores: int, memory_mib: int) -> Run:
        box.install("/usr/local/sbin/getconf", f"echo {cores}")
        meminfo = f"printf 'MemTotal:       %s kB\\n' {memory_mib * 1024} >/run/meminfo"
        return box.run(f"{meminfo}; mount --bind /run/meminfo /proc/meminfo\n{facts}")

    done = shown(cores, memory_mib)
    assert done.code == 0, done.stderr
    refused(shown(cores - 1, memory_mib), "CPU cores")
    refused(shown(cores, memory_mib * 3 // 4), "RAM in MiB")


@needs_root
def test_group_and_server_of_flatcars_updates_stay_as_the_image_has_them(box: Box) -> None:
    box.has("flatcar-4459.0.0", *units_of("flatcar"))
    config = box.path("/etc/flatcar/update.conf")
    config.parent.mkdir(parents=True)
    config.write_text("GROUP=lts\nREBOOT_STRATEGY=etcd-lock\nSERVER=https://updates.example.com/v1/update/\n")
    planned = scripts("flatcar")
    for _ in range(2):
        done = box.run(planned.base, stdin=STACK)
        assert done.code == 0, done.stderr
        assert config.read_text() == ("GROUP=lts\nSERVER=https://updates.example.com/v1/update/\nREBOOT_STRATEGY=off\n")
    assert box.run(planned.leave).code == 0
    assert config.read_text() == "GROUP=lts\nSERVER=https://updates.example.com/v1/update/\n"


@needs_root
def test_nothing_is_left_of_a_file_that_held_no_settings_of_others(box: Box) -> None:
    box.has("flatcar-4459.0.0", *units_of("flatcar"))
    planned = scripts("flatcar")
    assert box.run(planned.base, stdin=STACK).code == 0
    assert box.run(planned.leave).code == 0
    assert not box.path("/etc/flatcar/update.conf").exists()


@needs_root
@pytest.mark.parametrize(
    ("enforce", "package", "said"),
    [
        ("1", True, {"selinux": "enforcing", "selinux_package": "yes"}),
        ("0", False, {"selinux": "permissive", "selinux_package": "no"}),
        ("", False, {"selinux": "disabled", "selinux_package": "no"}),
    ],
)
@pytest.mark.parametrize("release", ["rhel-9.6", "fedora-coreos-40"])
def test_a_host_says_whether_selinux_confines_k3s(
    box: Box, release: str, enforce: str, package: bool, said: dict[str, str]
) -> None:
    box.has(release, *units_of(RUNS[release]))
    box.install("/usr/local/sbin/rpm", "" if package else "exit 1")
    mode = f"mkdir /sys/fs/selinux; echo {enforce} >/sys/fs/selinux/enforce" if enforce else ":"
    done = box.run(f"mount -t tmpfs tmpfs /sys/fs; {mode}\n{scripts(RUNS[release]).facts}")
    assert done.code == 0, done.stderr
    assert said.items() <= facts_of(done.stdout).items()
