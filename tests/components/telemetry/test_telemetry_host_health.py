"""Links of network cards and wear of SSDs: what a host writes down, and what its collector makes of it.

The host's script runs for real, on the kernel's own view of real links. smartctl is a stand-in that prints what it
prints for drives as people have them; the figures are of drives in the published test data of smartctl_exporter.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.host.plan import plan as plan_host
from components.host.systems import SYSTEMS
from components.telemetry import host_health, tools
from components.telemetry import plan as telemetry
from components.telemetry.part import PART
from stacks.catalogue import PROJECT_ROOT
from tests.components.cluster_objects import as_yaml, findings, image, problems
from tests.components.site_parts import machine, site_of
from tests.components.telemetry.test_telemetry_plan import PI, XR4000, manifests, planned, spec
from tests.components.telemetry.test_telemetry_tools import SHELLS, write
from tests.sandbox import Sandbox, needs_root

TOOLS = spec(tools_image=image("busybox"))
ASKED = spec(tools_image=image("busybox"), host_health=True)
HOST = machine("a", site="plant", distribution="debian")
PROGRAM = "/usr/local/bin/edge-host-health"
METRICS = "/var/lib/edge/health/metrics"


# What is sent.


def test_a_site_that_does_not_ask_has_neither_folder_nor_script_of_it() -> None:
    assert telemetry.folders_of(TOOLS, XR4000) == {}
    assert "edge_link" not in as_yaml(manifests(TOOLS, planned(TOOLS)))
    assert PART.host_checks(TOOLS, HOST, site_of(HOST)) == ""


def test_without_what_reads_it_nothing_is_measured() -> None:
    with pytest.raises(ValidationError, match="leaves nothing that reads"):
        spec(host_health=True)


def test_every_object_passes_every_policy_and_no_pod_mounts_a_folder_of_its_host() -> None:
    objects = manifests(ASKED, planned(ASKED))
    assert [found for item in objects for found in (*findings(item), *problems(item))] == []
    assert "hostPath" not in as_yaml(objects)


def test_the_folder_is_read_only_for_one_claim_of_its_own_host() -> None:
    volume, claim = telemetry.folders_of(ASKED, XR4000).values()
    assert volume["spec"]["local"] == {"path": "/var/lib/edge/health"}
    assert volume["spec"]["mountOptions"] == ["ro"]
    assert volume["spec"]["claimRef"] == {name: claim["metadata"][name] for name in ("namespace", "name")}
    assert XR4000.kubernetes_node in as_yaml([volume["spec"]["nodeAffinity"]])


def test_only_what_reads_the_folder_has_it() -> None:
    pod = telemetry.collector_of(ASKED, planned(ASKED), PI)["spec"]["template"]["spec"]
    mounts = {
        container["name"]: {mount["name"]: mount for mount in container["volumeMounts"]}
        for container in (*pod["containers"], *pod["initContainers"])
    }
    assert {name for name, has in mounts.items() if "host-health" in has} == {"host-metrics"}
    assert mounts["host-metrics"]["host-health"] == {
        "name": "host-health",
        "mountPath": "/var/lib/edge/health",
        "readOnly": True,
    }
    assert "supplementalGroups" not in pod["securityContext"], "everybody may read the file"
    assert planned(ASKED).cluster_role == planned(spec()).cluster_role


def served(health: Path, shell: list[str]) -> list[str]:
    """What stands beside the collector serves of ``health``, from a host without sensors."""
    script = health.parent / "host-metrics"
    script.write_text(tools.scripts(host_health=True)["host-metrics"])
    empty = health.parent / "none"
    done = subprocess.run(
        [*shell, script, empty, empty, health], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if re.match(r"edge_(link|disk)|# TYPE edge_(link|disk)", line)]


@pytest.fixture
def health(tmp_path: Path) -> Path:
    made = tmp_path / "health"
    made.mkdir()
    return made


LINES = (
    'edge_disk_life_used_percent{device="nvme0n1",kind="nvme"} 3',
    'edge_link_up{device="eno1"} 1',
    'edge_link_speed_mbps{device="eno1"} 1000',
    'edge_link_carrier_changes_total{device="eno1"} 7',
)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_host_has_written_is_served_each_metric_under_one_head(health: Path, shell: list[str]) -> None:
    write(health, {"metrics": "\n".join((*LINES, LINES[1].replace("eno1", "eno2"))) + "\n"})
    assert served(health, shell) == [
        "# TYPE edge_disk_life_used_percent gauge",
        LINES[0],
        "# TYPE edge_link_up gauge",
        LINES[1],
        LINES[1].replace("eno1", "eno2"),
        "# TYPE edge_link_speed_mbps gauge",
        LINES[2],
        "# TYPE edge_link_carrier_changes_total counter",
        LINES[3],
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_not_of_the_last_minutes_is_not_served_as_of_now(health: Path, shell: list[str]) -> None:
    write(health, {"metrics": "\n".join(LINES) + "\n"})
    subprocess.run(["touch", "--date=-6 minutes", health / "metrics"], check=True)
    assert [line for line in served(health, shell) if not line.startswith("#")] == []


def test_before_the_host_has_written_anything_its_sensors_are_served(health: Path) -> None:
    assert [line for line in served(health, ["sh"]) if not line.startswith("#")] == []


def test_a_line_that_is_no_such_sample_is_not_served(health: Path) -> None:
    bad = (
        'edge_link_up{device="a b"} 1',
        'edge_link_up{device="a"} 1 99',
        'edge_link_up{device="a"}',
        "edge_link_up 1",
    )
    write(health, {"metrics": "\n".join((*bad, LINES[1])) + "\n"})
    assert [line for line in served(health, ["sh"]) if not line.startswith("#")] == [LINES[1]]


def test_a_host_with_many_cards_makes_no_more_than_32_series_of_a_kind(health: Path) -> None:
    write(health, {"metrics": "".join(f'edge_link_up{{device="eno{number}"}} 1\n' for number in range(100))})
    assert len([line for line in served(health, ["sh"]) if not line.startswith("#")]) == 32


# What a host writes.


def greppable(value: Any, at: str = "json") -> Iterator[str]:
    """A document as `smartctl --json=g` prints it."""
    if isinstance(value, Mapping):
        yield f"{at} = {{}};"
        for key, item in value.items():
            yield from greppable(item, f"{at}.{key}")
    elif isinstance(value, list):
        yield f"{at} = [];"
        for index, item in enumerate(value):
            yield from greppable(item, f"{at}[{index}]")
    else:
        yield f'{at} = "{value}";' if isinstance(value, str) else f"{at} = {str(value).lower()};"


def attributes(*rows: tuple[int, str, int, int]) -> dict[str, Any]:
    table = [
        {
            "id": number,
            "name": name,
            "value": value,
            "worst": value,
            "thresh": 0,
            "flags": {"value": 50, "string": "-O--CK "},
            "raw": {"value": raw, "string": str(raw)},
        }
        for number, name, value, raw in rows
    ]
    return {"ata_smart_attributes": {"revision": 1, "table": table}}


def statistics(*rows: tuple[str, int | None]) -> dict[str, Any]:
    table = [
        {"offset": 8, "name": name, "size": 1, **({} if value is None else {"value": value}), "flags": {"value": 192}}
        for name, value in rows
    ]
    return {"ata_device_statistics": {"pages": [{"number": 1, "table": []}, {"number": 7, "table": table}]}}


OWN = "Percentage Used Endurance Indicator"
DRIVES: dict[str, tuple[dict[str, Any], int | None]] = {
    "NVMe, Samsung 970 EVO Plus": (
        {"nvme_smart_health_information_log": {"available_spare": 100, "percentage_used": 2, "data_units_read": 5}},
        2,
    ),
    "NVMe, beyond its life": ({"nvme_smart_health_information_log": {"percentage_used": 255}}, 255),
    "SATA, Intel S3520": (attributes((9, "Power_On_Hours", 100, 2), (233, "Media_Wearout_Indicator", 97, 0)), 3),
    "SATA, Micron 5300": (
        attributes((173, "Avg_Block-Erase_Count", 100, 16), (202, "Percent_Lifetime_Remain", 93, 7)),
        7,
    ),
    "SATA, Samsung PM883, whose 202 is something else": (
        attributes((177, "Wear_Leveling_Count", 99, 25), (202, "Exception_Mode_Status", 40, 0)),
        1,
    ),
    "SATA, Kingston KC400, whose 233 is something else": (
        attributes((231, "SSD_Life_Left", 74, 74), (233, "Flash_Writes_GiB", 10, 840007)),
        26,
    ),
    "SATA with a figure of its own, which comes first": (
        attributes((177, "Wear_Leveling_Count", 50, 25)) | statistics(("Number of Resets", 90), (OWN, 4)),
        4,
    ),
    "SATA whose figure of its own is not valid": (
        attributes((177, "Wear_Leveling_Count", 50, 25)) | statistics((OWN, None)),
        50,
    ),
    "SATA of which smartctl knows no meaning": (attributes((202, "Unknown_SSD_Attribute", 30, 0)), None),
    "SATA whose value counts from 200": (attributes((177, "Wear_Leveling_Count", 200, 25)), None),
    "a disk that cannot be asked": ({"smartctl": {"exit_status": 2, "messages": [{"string": "No such device"}]}}, None),
}
_SMARTCTL = """
cat "$SANDBOX/smart/${!###*/}"
exit 4
"""

_SYSTEMCTL = """
case $1 in
  is-active) [ -e "$SANDBOX/started" ] ;;
  restart) touch "$SANDBOX/started" ;;
esac
"""
_NO_SMARTCTL = "rm -f -- $(type -ap smartctl)"
"""On the sandbox's own layer."""


class Box(Sandbox):
    """A host on which the part's own script has put the program."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, {"systemctl": _SYSTEMCTL, "smartctl": _SMARTCTL})
        (home / "smart").mkdir()
        self.asked: tuple[str, ...] = ()
        """How smartctl was called."""

    def ssd(self, name: str, document: Mapping[str, Any] | None = None, *, turning: int = 0) -> None:
        write(self.home / "sys", {f"block/{name}/queue/rotational": f"{turning}\n"})
        (self.home / "smart" / name).write_text("".join(f"{line}\n" for line in greppable(document or {})))

    def look(self, before: str = "", sys: str = '"$SANDBOX/sys"', times: int = 1) -> list[str]:
        """What is in the file, after the host has looked at ``sys``."""
        program = self.home / "program"
        program.write_text(_program())
        done = self.run(f'set -e\n{before}\nfor _ in $(seq {times}); do bash "$SANDBOX/program" {sys}; done')
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        self.asked = tuple(call for call in done.calls if call.startswith("smartctl"))
        return self.path(METRICS).read_text().splitlines()


def _program() -> str:
    (found,) = [one.text for one in host_health.plan(HOST).expected if one.name == PROGRAM and one.text]
    return found


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "host")


@needs_root
@pytest.mark.parametrize("drive", DRIVES)
def test_how_much_of_its_life_a_disk_has_used_is_read_where_its_meaning_is_known(box: Box, drive: str) -> None:
    document, used = DRIVES[drive]
    name, kind = ("nvme0n1", "nvme") if "NVMe" in drive else ("sda", "sata")
    box.ssd(name, document)
    expected = [] if used is None else [f'edge_disk_life_used_percent{{device="{name}",kind="{kind}"}} {used}']
    assert box.look() == expected


@needs_root
@pytest.mark.parametrize(("name", "used"), [("nvme0n1", 2), ("sda", 4)])
def test_what_smartctl_itself_has_printed_is_read(box: Box, name: str, used: int) -> None:
    """Kept output of smartctl 7.3, called as the script calls it, on drives that were imitated below it (ioctl)."""
    box.ssd(name)
    kept = PROJECT_ROOT / "tests/fixtures/smartctl" / f"{name}.txt"
    (box.home / "smart" / name).write_text(kept.read_text())
    (line,) = box.look()
    assert line.endswith(f" {used}")


@needs_root
def test_only_disks_without_moving_parts_are_asked_and_none_that_sleeps_is_woken(box: Box) -> None:
    box.ssd("sda", turning=1)
    box.ssd("sdb")
    box.ssd("vda")
    box.ssd("mmcblk0")
    box.look()
    assert box.asked == ("smartctl --json=g --nocheck=standby --attributes --log=devstat /dev/sdb",)


@needs_root
def test_disks_are_asked_once_an_hour_and_links_each_time(box: Box) -> None:
    box.ssd("nvme0n1", {"nvme_smart_health_information_log": {"percentage_used": 2}})
    assert len(box.look(times=3)) == 1
    assert len(box.asked) == 1
    an_hour = "mkdir -p /run/edge-host-health; touch --date='-61 minutes' /run/edge-host-health/disks"
    box.look(an_hour)
    assert len(box.asked) == 1


@needs_root
def test_links_are_measured_on_a_host_without_smartctl(box: Box) -> None:
    box.ssd("nvme0n1")
    write(box.home / "sys/class/net/eno1", {"device/vendor": "", "carrier": "1\n"})
    assert box.look(_NO_SMARTCTL) == ['edge_link_up{device="eno1"} 1']


@needs_root
def test_cards_are_measured_and_what_is_made_of_them_or_for_pods_is_not(box: Box) -> None:
    cards = {
        "eno1/device/vendor": "0x8086\n",
        "eno1/carrier": "1\n",
        "eno1/speed": "2500\n",
        "eno1/carrier_changes": "9\n",
        # The kernel's figure for a link that is down.
        "eno2/device/vendor": "0x8086\n",
        "eno2/carrier": "0\n",
        "eno2/speed": "-1\n",
        # Switched off: to read its carrier is an error.
        "wlp3s0/device/vendor": "0x8086\n",
        "bond0/bonding/mode": "active-backup 1\n",
        "bond0/carrier": "1\n",
        'x"y/device/vendor': "0x8086\n",
    }
    others = {f"{name}/carrier": "1\n" for name in ("lo", "cni0", "flannel.1", "veth1a2b", "wg0", "tailscale0")}
    others |= {f"{name}/carrier": "1\n" for name in ("docker0", "br-1a2b", "eno1.10", "eth0.10", "kube-ipvs0")}
    write(box.home / "sys/class/net", cards | others)
    assert box.look() == [
        'edge_link_up{device="bond0"} 1',
        'edge_link_up{device="eno1"} 1',
        'edge_link_speed_mbps{device="eno1"} 2500',
        'edge_link_carrier_changes_total{device="eno1"} 9',
        'edge_link_up{device="eno2"} 0',
        'edge_link_up{device="wlp3s0"} 0',
    ]


@needs_root
def test_a_cable_that_is_pulled_out_is_seen_by_what_the_kernel_says(box: Box) -> None:
    """A real link of the sandbox's own network, as far as a machine without a free card has one."""
    plug = (
        "mount -t sysfs sysfs /sys; ip link add eth0 type veth peer name far; ip link set eth0 up; ip link set far up"
    )
    plugged, *more = box.look(plug, "/sys")
    assert plugged == 'edge_link_up{device="eth0"} 1'
    assert [line.rpartition(" ")[0] for line in more] == [
        'edge_link_speed_mbps{device="eth0"}',
        'edge_link_carrier_changes_total{device="eth0"}',
    ]
    pulled = box.look(f"{plug}; ip link set far down", "/sys")
    assert pulled[0] == 'edge_link_up{device="eth0"} 0'
    assert "speed" not in " ".join(pulled)
    changes = [int(lines[-1].rpartition(" ")[2]) for lines in ([plugged, *more], pulled)]
    assert changes[0] < changes[1]
    assert box.look(f"{plug}; ip link set eth0 down", "/sys")[0] == 'edge_link_up{device="eth0"} 0'


@needs_root
def test_the_file_is_for_everybody_to_read_and_no_other_is_in_the_folder(box: Box) -> None:
    box.look("umask 077")
    folder = box.path(METRICS).parent
    assert [path.name for path in folder.iterdir()] == ["metrics"]
    assert (folder.stat().st_mode & 0o777, box.path(METRICS).stat().st_mode & 0o777) == (0o755, 0o644)


# How it comes onto a host, and leaves it.


def test_the_scripts_of_a_host_are_the_reviewed_ones(golden: Callable[[str, str], None]) -> None:
    scripts = host_health.plan(HOST)
    golden("telemetry/with-host-health/install.sh", scripts.install)
    golden("telemetry/with-host-health/remove.sh", scripts.remove)
    golden("telemetry/with-host-health/edge-host-health.sh", _program())
    golden("telemetry/with-host-health/checks.sh", plan_host(HOST, [host_health.host_checks(HOST)]).facts)


@needs_root
def test_the_script_installs_what_drift_expects_and_the_other_takes_it_away(box: Box) -> None:
    scripts = host_health.plan(HOST)
    first, again = box.run(scripts.install), box.run(scripts.install)
    assert (first.code, again.code) == (0, 0), first.stderr
    assert "systemctl enable --quiet edge-host-health.timer" in first.calls
    assert "systemctl start edge-host-health.service" in first.calls
    assert again.calls == ("systemctl is-active --quiet edge-host-health.timer",), "nothing to do"
    written = {one.name: one.text for one in scripts.expected if one.text}
    assert {path: box.path(path).read_text() for path in written} == written
    assert {one.name for one in scripts.expected if one.kind == "active"} == {"edge-host-health.timer"}

    assert box.run(f"touch {METRICS}\n{scripts.remove}").code == 0
    assert [path for path in (*written, METRICS) if box.path(path).is_file()] == []
    assert not box.path(METRICS).parent.is_dir()


@needs_root
def test_a_clean_up_leaves_a_host_of_another_name_alone(box: Box) -> None:
    scripts = host_health.plan(HOST)
    box.run(scripts.install)
    box.run("mkdir -p /var/lib/edge; printf 'site=plant\\nnode=plant-b\\n' >/var/lib/edge/owner")
    assert "nothing was removed" in box.run(scripts.remove).stdout
    assert box.path(PROGRAM).is_file()


@needs_root
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("there", [True, False])
def test_a_host_without_smartctl_is_told_how_to_get_it_and_not_refused(box: Box, system: str, *, there: bool) -> None:
    which = machine("a", distribution=system)
    checks = str(host_health.host_checks(which)).replace("/sys/", '"$SANDBOX"/sys/')
    box.ssd("nvme0n1")
    without = "" if there else _NO_SMARTCTL
    done = box.run(f'say() {{ echo "$@"; }}\nlack() {{ exit 1; }}\n{without}\n{checks}')
    assert done.code == 0, done.stderr
    remedy = which.system.smartctl
    assert ("(nvme0n1) is not measured: " + remedy in done.stdout) == (not there)
    assert "smart" in remedy
    assert checks.replace('"$SANDBOX"/sys/', "/sys/") in plan_host(which, [host_health.host_checks(which)]).facts


@needs_root
def test_a_host_without_an_ssd_is_told_nothing(box: Box) -> None:
    box.ssd("sda", turning=1)
    checks = str(host_health.host_checks(HOST)).replace("/sys/", '"$SANDBOX"/sys/')
    assert box.run(f'say() {{ echo "$@"; }}\n{_NO_SMARTCTL}\n{checks}').stdout == ""
