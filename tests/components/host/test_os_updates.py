"""Updates of the operating system: what a host installs, and when it reboots.

The script runs for real; programs that would act on a machine are recording stand-ins, and the cluster is a folder.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from components.host import os_updates
from components.host.plan import HostPlan, plan
from components.host.reboots import RebootWindow
from components.host.spec import OsSpec
from components.host.systems import SYSTEMS
from tests.components.host.test_systems import FIXTURES, STACK
from tests.components.kernel import SYSCTL
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

_K3S = """
lock="$SANDBOX/lock" all=$*
case "$*" in
  *'create configmap edge-reboot'*) [ -e "$SANDBOX/api" ] && [ ! -e "$lock" ] && echo "${all##*node=}" >"$lock" ;;
  *'get configmap edge-reboot'*) [ -e "$SANDBOX/api" ] && cat "$lock" ;;
  *'delete configmap edge-reboot'*) rm "$lock" ;;
  *'get nodes --selector'*) [ -e "$SANDBOX/api" ] && cat "$SANDBOX/servers" ;;
  *'get nodes --output=name'*) sed 's|^\\([^ ]*\\).*|node/\\1|' "$SANDBOX/servers" ;;
  *unschedulable*) cat "$SANDBOX/cordoned" 2>/dev/null || true ;;
  *drain*) [ ! -e "$SANDBOX/stuck" ] ;;
esac
"""
_SYSTEMCTL = """
case "$*" in
  *LoadState*) echo loaded ;;
  *enable*) ;;
  *is-active*) [ -e "$SANDBOX/active-${!#}" ] ;;
  *restart*) touch "$SANDBOX/active-${!#}" ;;
esac
"""
_PROGRAM = "/usr/local/bin/edge-os-updates"


class Box(Sandbox):
    """A host of a cluster, prepared by its own script."""

    def __init__(self, home: Path) -> None:
        # Minutes pass while the script sleeps.
        commands = {"uname": "echo x86_64", "modprobe": "", "sysctl": SYSCTL, "hostnamectl": 'hostname "$2"'}
        super().__init__(
            home, {**commands, "systemctl": _SYSTEMCTL, "sleep": "", "apt-get": "", "timeout": 'shift; "$@"'}
        )
        self.path("/etc").mkdir(parents=True, exist_ok=True)
        self.path("/etc/os-release").write_text((FIXTURES / "debian-12.os-release").read_text())
        self.install("/usr/local/bin/k3s", _K3S)
        (self.home / "api").touch()

    def prepared(self, release: str = "debian-12", *, server: bool = True, **fields: object) -> HostPlan:
        self.path("/etc/os-release").write_text((FIXTURES / f"{release}.os-release").read_text())
        planned = planned_for("debian", **fields)
        done = self.run(planned.base, stdin=STACK)
        assert done.code == 0, done.stderr
        if server:
            self.path("/etc/rancher/k3s").mkdir(parents=True, exist_ok=True)
            self.path("/etc/rancher/k3s/k3s.yaml").write_text("")
        self.servers("site-a True")
        return planned

    def servers(self, *states: str) -> None:
        (self.home / "servers").write_text("".join(f"{state}\n" for state in states))

    def update(self, *, kernel: bool = True, before: str = ":") -> Run:
        self.install("/usr/local/sbin/unattended-upgrade", "touch /run/reboot-required" if kernel else "")
        return self.run(f"{before}\n{_PROGRAM}")


def planned_for(distribution: str, **fields: object) -> HostPlan:
    os = OsSpec.model_validate({"distribution": distribution, "disk": "none", **fields})
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    return plan(machine("a", os=os, figures=small))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def reboots(done: Run) -> bool:
    return "systemctl reboot" in done.calls


def test_the_timer_begins_with_the_hosts_part_of_the_window(box: Box) -> None:
    box.prepared(updates={"window": "Tue 03:30", "hours": 1})
    assert "OnCalendar=Tue *-*-* 03:30:00\n" in box.path(f"/etc/systemd/system/{os_updates.TIMER}").read_text()
    part = dataclasses.replace(
        machine("a", distribution="debian"), part_of_window=RebootWindow(begin=6 * 24 * 60 + 160, minutes=30)
    )
    files = os_updates.files(part)
    assert "OnCalendar=Sun *-*-* 02:40:00\n" in files[f"/etc/systemd/system/{os_updates.TIMER}"][1]
    assert '"$SECONDS" -ge 1800' in files[_PROGRAM][1]


def test_nothing_that_needs_a_reboot_reboots_nothing(box: Box) -> None:
    box.prepared()
    done = box.update(kernel=False)
    assert done.code == 0, done.stderr
    assert done.calls[0] == "apt-get update"
    assert "unattended-upgrade" in {call.strip() for call in done.calls}
    assert not reboots(done)
    assert not (box.home / "lock").exists()


def test_updates_that_could_not_be_installed_are_a_failure_and_no_reboot(box: Box) -> None:
    box.prepared()
    box.install("/usr/local/sbin/apt-get", "exit 100")
    done = box.update()
    assert done.code != 0
    assert not reboots(done)


def test_the_only_server_reboots_without_a_drain_that_could_move_nothing(box: Box) -> None:
    box.prepared()
    done = box.update()
    assert done.code == 0, done.stderr
    assert reboots(done)
    assert not [call for call in done.calls if "drain" in call]


def test_a_server_takes_the_lock_drains_and_gives_both_back_after_the_reboot(box: Box) -> None:
    box.prepared()
    box.servers("site-a True", "site-b True", "site-c True")
    done = box.update()
    drain = next(index for index, call in enumerate(done.calls) if "drain site-a" in call)
    assert drain < done.calls.index("systemctl reboot")
    assert (box.home / "lock").read_text() == "site-a\n"
    back = box.run(f"{_PROGRAM} done")
    assert back.code == 0, back.stderr
    assert "k3s kubectl uncordon site-a" in back.calls
    assert not (box.home / "lock").exists()
    again = box.run(f"{_PROGRAM} done")
    assert not [call for call in again.calls if "uncordon" in call], "a host that somebody cordons later stays so"


@pytest.mark.parametrize(
    ("servers", "lock", "api"),
    [
        (("site-a True", "site-b True", "site-c True"), "site-b", True),
        (("site-a True", "site-b False", "site-c True"), None, True),
        (("site-a True", "site-b Unknown", "site-c True"), None, True),
        (("site-a True", "site-b True", "site-c True"), None, False),
    ],
    ids=["another holds the lock", "another is not Ready", "another is gone", "the API does not answer"],
)
def test_never_two_servers_at_once(box: Box, servers: tuple[str, ...], lock: str | None, api: bool) -> None:
    box.prepared()
    box.servers(*servers)
    if lock:
        (box.home / "lock").write_text(f"{lock}\n")
    if not api:
        (box.home / "api").unlink()
    # An hour passes with each sleep.
    script = box.path(_PROGRAM)
    script.write_text(script.read_text().replace("sleep 15", "SECONDS=$((SECONDS + 3600))"))
    done = box.update()
    assert done.code != 0
    assert not reboots(done)
    assert not [call for call in done.calls if "drain" in call]
    assert "this host reboots in its next window" in done.stdout
    held = (box.home / "lock").read_text() if (box.home / "lock").exists() else None
    assert held == (f"{lock}\n" if lock else None), "its own lock is given back, another's stays"


def test_a_pod_that_does_not_go_holds_up_the_reboot_for_minutes_and_not_for_ever(box: Box) -> None:
    box.prepared()
    box.servers("site-a True", "site-b True", "site-c True")
    (box.home / "stuck").touch()
    done = box.update()
    assert reboots(done)
    assert "not all pods could be moved within 300 s" in done.stdout


def test_no_reboot_begins_after_the_window(box: Box) -> None:
    box.prepared()
    box.servers("site-a True", "site-b True")
    script = box.path(_PROGRAM)
    script.write_text(script.read_text().replace("! too_late || give_up", "SECONDS=7200\n! too_late || give_up"))
    done = box.update()
    assert done.code != 0
    assert not reboots(done)
    assert "k3s kubectl uncordon site-a" in done.calls
    assert not (box.home / "lock").exists()


def test_a_host_that_somebody_has_cordoned_stays_cordoned(box: Box) -> None:
    box.prepared()
    box.servers("site-a True", "site-b True", "site-c True")
    (box.home / "cordoned").write_text("true")
    assert reboots(box.update())
    back = box.run(f"{_PROGRAM} done")
    assert not [call for call in back.calls if "uncordon" in call]
    assert not (box.home / "lock").exists()


def test_an_agent_reboots_in_its_window_without_a_credential_of_the_cluster(box: Box) -> None:
    box.prepared(server=False)
    done = box.update()
    assert reboots(done)
    assert not [call for call in done.calls if call.startswith("k3s")]


def test_a_host_whose_updates_are_no_longer_ours_loses_the_timer_and_one_that_leaves_loses_all(box: Box) -> None:
    box.prepared()
    timer = box.path(f"/etc/systemd/system/{os_updates.TIMER}")
    assert timer.exists()
    box.prepared(updates={"managed": False})
    assert not timer.exists()
    planned = box.prepared()
    assert timer.exists()
    assert box.run(planned.leave).code == 0
    for path in (_PROGRAM, "/etc/apt/apt.conf.d/95-edge", f"/etc/systemd/system/{os_updates.TIMER}"):
        assert not box.path(path).exists()


@pytest.mark.parametrize(
    ("release", "distribution", "program"),
    [
        ("debian-12", "debian", "unattended-upgrade"),
        ("rocky-9.5", "rhel", "dnf-automatic"),
        ("sles-15.7", "sle", "zypper"),
        ("flatcar-4459.0.0", "flatcar", "update_engine_client"),
        ("fedora-coreos-40", "fedora-coreos", "rpm-ostree"),
    ],
)
def test_a_host_without_the_program_that_updates_it_is_refused(
    box: Box, release: str, distribution: str, program: str
) -> None:
    box.path("/etc/os-release").write_text((FIXTURES / f"{release}.os-release").read_text())
    box.path("/usr/local/sbin/update_engine_client").unlink()
    done = box.run(planned_for(distribution).facts)
    assert done.code != 0
    assert f"there is no {program}, which installs its updates" in done.stderr
    assert "`managed: false` below `os.updates`" in done.stderr
    assert box.run(planned_for(distribution, updates={"managed": False}).facts).code == 0
    box.install(f"/usr/local/sbin/{program}", "")
    box.install("/usr/local/sbin/dnf", "")
    assert box.run(planned_for(distribution).facts).code == 0


def test_a_masked_update_service_is_refused(box: Box) -> None:
    box.path("/etc/os-release").write_text((FIXTURES / "flatcar-4459.0.0.os-release").read_text())
    box.install("/usr/local/sbin/systemctl", 'case "$*" in *update-engine*) echo masked ;; *) echo loaded ;; esac')
    done = box.run(planned_for("flatcar").facts)
    assert done.code != 0
    assert "its service for updates, update-engine, is missing or masked" in done.stderr


def test_dnf_automatic_that_reboots_in_no_window_is_refused(box: Box) -> None:
    box.path("/etc/os-release").write_text((FIXTURES / "rhel-9.6.os-release").read_text())
    box.install("/usr/local/sbin/dnf-automatic", "")
    box.install("/usr/local/sbin/dnf", "")
    config = box.path("/etc/dnf/automatic.conf")
    config.parent.mkdir(parents=True)
    config.write_text("[commands]\nreboot = when-needed\n")
    assert "dnf-automatic reboots by itself" in box.run(planned_for("rhel").facts).stderr
    config.write_text("[commands]\nreboot = never\n")
    assert box.run(planned_for("rhel").facts).code == 0


@pytest.mark.parametrize(("codes", "reboot"), [("0", False), ("102", True), ("103 102", True)])
def test_suses_patches_are_installed_again_when_zypper_itself_was_one_of_them(
    box: Box, codes: str, reboot: bool
) -> None:
    files = os_updates.files(machine("a", distribution="sle"))
    box.path(_PROGRAM).parent.mkdir(parents=True, exist_ok=True)
    box.path(_PROGRAM).write_text(files[_PROGRAM][1])
    box.path(_PROGRAM).chmod(0o755)
    (box.home / "codes").write_text("".join(f"{code}\n" for code in codes.split()))
    box.install(
        "/usr/local/sbin/zypper",
        'case "$*" in *needs-rebooting*) exit "$(cat "$SANDBOX/reboot")" ;; esac\n'
        'code=$(head -n 1 "$SANDBOX/codes"); sed -i 1d "$SANDBOX/codes"; exit "$code"',
    )
    (box.home / "reboot").write_text("102" if reboot else "0")
    done = box.run(_PROGRAM)
    assert reboots(done) is reboot
    assert (box.home / "codes").read_text() == ""


_ENGINE = """\
LAST_CHECKED_TIME=1764208612
PROGRESS=0.000000
CURRENT_OP=%s
NEW_VERSION=4459.2.1
NEW_SIZE=501219328
"""
"""What `update_engine_client -status` prints. Source: its code."""


class Immutable(Box):
    """A server of three with an image in place of packages."""

    def of(self, distribution: str) -> Run:
        """What its update script does, once its own script has prepared it."""
        release = {"flatcar": "flatcar-4459.0.0", "fedora-coreos": "fedora-coreos-40"}[distribution]
        self.path("/etc/os-release").write_text((FIXTURES / f"{release}.os-release").read_text())
        (self.home / "active-zincati").touch()
        done = self.run(planned_for(distribution).base, stdin=STACK)
        assert done.code == 0, done.stderr
        self.path("/etc/rancher/k3s").mkdir(parents=True, exist_ok=True)
        self.path("/etc/rancher/k3s/k3s.yaml").write_text("")
        self.servers("site-a True", "site-b True", "site-c True")
        folder = SYSTEMS[distribution].bin_dir
        self.install(f"{folder}/k3s", _K3S)
        return self.run(f"{self.before}\n{folder}/edge-os-updates")

    before = ":"

    def engine(self, operation: str) -> None:
        (self.home / "status").write_text(_ENGINE % operation)
        self.install(
            "/usr/local/sbin/update_engine_client", 'echo "[1127/020000:INFO] Querying" >&2; cat "$SANDBOX/status"'
        )


@pytest.fixture
def immutable(tmp_path: Path) -> Immutable:
    return Immutable(tmp_path / "box")


@pytest.mark.parametrize(
    ("operation", "reboot"),
    [("UPDATE_STATUS_UPDATED_NEED_REBOOT", True), ("UPDATE_STATUS_IDLE", False), ("UPDATE_STATUS_DOWNLOADING", False)],
)
def test_flatcar_reboots_into_an_image_that_is_ready_under_the_lock_and_drained(
    immutable: Immutable, operation: str, reboot: bool
) -> None:
    immutable.engine(operation)
    done = immutable.of("flatcar")
    assert done.code == 0, done.stderr
    assert reboots(done) is reboot
    assert bool([call for call in done.calls if "drain site-a" in call]) is reboot
    assert (immutable.home / "lock").exists() is reboot


def test_flatcar_reboots_into_an_extension_that_asks_for_it(immutable: Immutable) -> None:
    immutable.engine("UPDATE_STATUS_IDLE")
    immutable.before = "touch /run/reboot-required"
    assert reboots(immutable.of("flatcar"))


@pytest.mark.parametrize("said", ["exit 1", "echo CURRENT_OP=(null)"])
def test_an_update_engine_that_does_not_answer_is_a_failure_and_not_nothing_to_do(
    immutable: Immutable, said: str
) -> None:
    immutable.install("/usr/local/sbin/update_engine_client", said.replace("(", "\\(").replace(")", "\\)"))
    done = immutable.of("flatcar")
    assert done.code != 0
    assert "update-engine does not say whether there is an update" in done.stdout


@pytest.mark.parametrize("staged", [True, False])
def test_fedora_coreos_takes_what_zincati_has_staged_under_the_lock_and_drained(
    immutable: Immutable, staged: bool
) -> None:
    immutable.install("/usr/local/sbin/rpm-ostree", "")
    if staged:
        immutable.before = (
            "mkdir /run/ostree && touch /run/ostree/staged-deployment /run/ostree/staged-deployment-locked"
        )
    done = immutable.of("fedora-coreos")
    assert done.code == 0, done.stderr
    taken = "rpm-ostree finalize-deployment --allow-missing-checksum --allow-unlocked"
    assert (taken in done.calls) is staged
    assert (immutable.home / "lock").exists() is staged
    assert not reboots(done), "a mere reboot leaves behind what is staged under its lock"


def test_a_zincati_that_does_not_run_is_a_failure_and_not_nothing_to_do(immutable: Immutable) -> None:
    immutable.before = 'rm "$SANDBOX/active-zincati"'
    done = immutable.of("fedora-coreos")
    assert done.code != 0
    assert "zincati does not run" in done.stdout


@pytest.mark.parametrize(
    ("distribution", "file", "text", "refused"),
    [
        ("flatcar", "/etc/flatcar/update.conf", "GROUP=lts\nSERVER=disabled\n", True),
        ("flatcar", "/etc/flatcar/update.conf", "SERVER=https://updates.example.com/v1/update/\n", False),
        ("fedora-coreos", "/etc/zincati/config.d/90-disable-auto-updates.toml", "[updates]\nenabled = false\n", True),
        ("fedora-coreos", "/etc/zincati/config.d/99-now.toml", '[updates]\nstrategy = "immediate"\n', True),
        ("fedora-coreos", "/etc/zincati/config.d/30-updates-strategy.toml", '[updates]\nstrategy = ""\n', False),
        ("fedora-coreos", "/etc/zincati/config.d/90-identity.toml", "[identity]\nrollout_wariness = 0.5\n", False),
    ],
)
def test_a_host_whose_updates_are_turned_off_or_reboot_in_no_window_is_refused(
    immutable: Immutable, distribution: str, file: str, text: str, refused: bool
) -> None:
    release = {"flatcar": "flatcar-4459.0.0", "fedora-coreos": "fedora-coreos-40"}[distribution]
    immutable.path("/etc/os-release").write_text((FIXTURES / f"{release}.os-release").read_text())
    immutable.install("/usr/local/sbin/rpm-ostree", "")
    immutable.path(file).parent.mkdir(parents=True, exist_ok=True)
    immutable.path(file).write_text(text)
    done = immutable.run(planned_for(distribution).facts)
    assert (done.code != 0) is refused, done.stderr
    assert not refused or "or write `managed: false` below `os.updates`" in done.stderr
    assert immutable.run(planned_for(distribution, updates={"managed": False}).facts).code == 0


@pytest.mark.parametrize("distribution", ["flatcar", "fedora-coreos"])
def test_an_image_that_is_no_longer_ours_to_update_has_its_own_way_again(
    immutable: Immutable, distribution: str
) -> None:
    immutable.engine("UPDATE_STATUS_IDLE")
    immutable.of(distribution)
    config = SYSTEMS[distribution].updates.config
    assert config
    assert immutable.path(config.path).exists()
    done = immutable.run(planned_for(distribution, updates={"managed": False}).base, stdin=STACK)
    assert done.code == 0, done.stderr
    assert not immutable.path(config.path).exists()
    assert f"systemctl restart {SYSTEMS[distribution].updates.reads_config}" in done.calls


@pytest.mark.parametrize(
    ("path", "status", "kind"), [("/v1/steady-state", 200, None), ("/v1/pre-reboot", 409, "in_its_window")]
)
def test_zincati_may_stage_updates_and_never_reboots_by_itself(
    path: str, status: int, kind: str | None, tmp_path: Path
) -> None:
    answerer = tmp_path / "answerer"
    answerer.write_text(
        os_updates.files(machine("a", distribution="fedora-coreos"))["/usr/local/bin/edge-fleet-lock"][1]
    )
    ours, theirs = socket.socketpair()
    with (
        theirs,
        subprocess.Popen(
            ["bash", str(answerer)], stdin=ours.fileno(), stdout=ours.fileno(), stderr=subprocess.PIPE
        ) as process,
    ):
        ours.close()
        client = http.client.HTTPConnection("loopback", timeout=20)
        client.sock = theirs
        body = json.dumps({"client_params": {"group": "default", "id": "c988d2509fdf5cdcbed39037c56406fb"}})
        client.request("POST", path, body, {"fleet-lock-protocol": "true"})
        answer = client.getresponse()
        said = answer.read()
        assert (answer.status, process.wait(20), process.stderr and process.stderr.read()) == (status, 0, b"")
    assert (json.loads(said)["kind"] if said else None) == kind


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("distribution", SYSTEMS)
def test_systemd_itself_reads_the_units_and_knows_when_the_window_begins(distribution: str, tmp_path: Path) -> None:
    files = os_updates.files(machine("a", distribution=distribution))
    units = []
    for path, (mode, text) in files.items():
        local = tmp_path / Path(path).name
        # `@` stands for an instance, which systemd-analyze asks for.
        local.write_text(re.sub(r"(ExecStart=)\S+/", rf"\1{tmp_path}/", text))
        local.chmod(int(mode, 8))
        units += [local] if local.suffix in (".service", ".timer", ".socket") else []
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "edge-" in line] == []
    assert len(units) == len(set(files)) - sum(mode == "0755" for mode, _ in files.values())
    (calendar,) = [
        line.removeprefix("OnCalendar=")
        for line in (tmp_path / os_updates.TIMER).read_text().splitlines()
        if "OnCalendar" in line
    ]
    told = subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=True).stdout
    assert "Normalized form: Sun *-*-* 02:00:00" in told
