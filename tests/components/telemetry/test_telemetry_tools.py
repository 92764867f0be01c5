"""What stands beside a collector: damaged queue files are moved aside and counted, and the host's sensors are read."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry import plan as telemetry
from components.telemetry import tools
from components.telemetry.spec import TelemetrySpec
from components.view import Site
from tests.components.cluster_objects import findings, image, problems
from tests.components.site_parts import machine, site_of

HOST = machine("a", site="warehouse")
SITE: Site = site_of(HOST, name="warehouse")
QUEUE = "exporter_otlp_http_metrics_metrics"
SHELLS = [["sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]


def spec(**changes: Any) -> TelemetrySpec:
    return TelemetrySpec.model_validate({"gateway": "https://otlp.example.com", "image": image("collector"), **changes})


WITH = spec(tools_image=image("busybox"))


def meta(page_size: int, transaction: int, pages: int) -> bytes:
    """A page of bbolt's with a meta record, as its `internal/common/meta.go` and `page.go` lay it out."""
    fields = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, page_size, 0, 3, 0, 0xFFFFFFFFFFFFFFFF, pages, transaction)
    total = 0xCBF29CE484222325
    for byte in fields:
        total = (total ^ byte) * 0x100000001B3 % 2**64
    page = struct.pack("<QHHI", transaction % 2, 4, 0, 0) + fields + struct.pack("<Q", total)
    return page.ljust(page_size, b"\0")


def database(page_size: int = 4096, pages: int = 40) -> bytes:
    """A file of bbolt's with data up to its end."""
    return meta(page_size, 8, pages) + meta(page_size, 7, pages - 1) + b"\x5a" * page_size * (pages - 2)


def check(folder: Path, shell: list[str]) -> str:
    script = folder.parent / "check-queue"
    script.write_text(tools.scripts()["check-queue"])
    done = subprocess.run([*shell, script, folder], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "queue"
    made.mkdir()
    return made


DAMAGED = {
    "cut short by a page": database()[:-4096],
    "cut short by one byte": database()[:-1],
    "shorter than its meta pages": database()[:5000],
    "shorter than one page": database()[:60],
    "both meta pages zeroed": bytes(8192) + database()[8192:],
    "both checksums wrong": database().replace(b"\xed\xda\x0c\xed", b"\xed\xda\x0c\xee"),
    "one bit of both meta pages": b"".join(
        page[:40] + b"\x01" + page[41:] for page in (database()[:4096], database()[4096:8192])
    )
    + database()[8192:],
    "nothing of bbolt's": b"\x17" * 20000,
    "cut short with pages of 16 KiB": database(16384)[:-1],
}
WHOLE = {
    "as it was written": database(),
    "longer than needed, as bbolt grows it": database() + bytes(65536),
    "first meta page zeroed": bytes(4096) + database()[4096:],
    "second meta page zeroed": database()[:4096] + bytes(4096) + database()[8192:],
    "pages of 16 KiB, first meta page zeroed": bytes(16384) + database(16384)[16384:],
    "empty, as a new one": b"",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_with_which_the_collector_never_starts_is_moved_aside_and_counted(
    folder: Path, name: str, shell: list[str]
) -> None:
    (folder / QUEUE).write_bytes(DAMAGED[name])
    said = check(folder, shell)
    assert f"{QUEUE} is damaged" in said
    assert not (folder / QUEUE).exists()
    assert (folder / f"{QUEUE}.damaged").read_bytes() == DAMAGED[name]
    assert (folder / ".damaged").read_text() == "1\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_the_collector_can_open_stays(folder: Path, name: str, shell: list[str]) -> None:
    (folder / QUEUE).write_bytes(WHOLE[name])
    assert check(folder, shell) == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {QUEUE: WHOLE[name]}


def test_each_damage_is_counted_and_only_the_last_file_of_a_queue_is_kept(folder: Path) -> None:
    for content in (b"\x01" * 9000, b"\x02" * 9000):
        (folder / QUEUE).write_bytes(content)
        (folder / f"{QUEUE}.backup").write_bytes(b"of the collector's own")
        check(folder, ["sh"])
    (folder / "exporter_otlp_http_logs_logs").write_bytes(b"\x03" * 9000)
    check(folder, ["sh"])
    assert (folder / ".damaged").read_text() == "3\n"
    assert (folder / f"{QUEUE}.damaged").read_bytes() == b"\x02" * 9000
    assert (folder / f"{QUEUE}.backup").read_bytes() == b"of the collector's own"


def test_a_queue_without_a_file_yet_keeps_nothing_from_starting(folder: Path) -> None:
    assert check(folder, ["sh"]) == ""
    assert list(folder.iterdir()) == []


def measured(queue: Path, sys: Path) -> dict[str, float]:
    done = subprocess.run(
        ["sh", "-s", queue, sys],
        input=tools.scripts()["host-metrics"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("Content-Type: text/plain; version=0.0.4")
    series = [line.rpartition(" ") for line in body.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in series}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_temperature_power_supply_and_wear_are_read_from_the_hosts_sys(folder: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "sys/class",
        {
            "thermal/thermal_zone0/temp": "48500\n",
            "thermal/thermal_zone0/type": "x86_pkg_temp\n",
            "thermal/thermal_zone1/temp": "-5000",
            "hwmon/hwmon2/name": 'ny"x\\y\n',
            "hwmon/hwmon2/temp1_input": "61850\n",
            "hwmon/hwmon2/power1_average": "12500000\n",
            "hwmon/hwmon3/temp1_input": "none\n",
            "power_supply/AC/online": "1\n",
            "power_supply/BAT0/capacity": "87\n",
            "mmc_host/mmc0/mmc0:0001/life_time": "0x02 0x0b\n",
            "mmc_host/mmc1/mmc1:0001/life_time": "0xff zz\n",
        },
    )
    (folder / ".damaged").write_text("4\n")
    assert measured(folder, tmp_path / "sys") == {
        "edge_queue_files_damaged_total": 4,
        'edge_temperature_celsius{sensor="thermal_zone0",kind="x86_pkg_temp"}': 48.5,
        'edge_temperature_celsius{sensor="thermal_zone1",kind="unknown"}': -5,
        'edge_temperature_celsius{sensor="hwmon2_temp1",kind="nyxy"}': 61.85,
        'edge_power_watts{sensor="hwmon2_power1",kind="nyxy"}': 12.5,
        'edge_power_supply_online{supply="AC"}': 1,
        'edge_battery_percent{supply="BAT0"}': 87,
        'edge_disk_life_used_percent{device="mmc0:0001"}': 110,
    }


def test_power_of_a_jetsons_rails_is_what_their_volts_and_amperes_make(folder: Path, tmp_path: Path) -> None:
    """Names and units of the kernel's `drivers/hwmon/ina3221.c`: in1 to in3 are the rails, in4 to in7 their shunts."""
    write(
        tmp_path / "class/hwmon",
        {
            "hwmon1/name": "ina3221\n",
            "hwmon1/in1_label": "VDD_IN\n",
            "hwmon1/in1_input": "5032\n",
            "hwmon1/curr1_input": "1208\n",
            "hwmon1/in2_input": "4960\n",
            "hwmon1/curr2_input": "-8\n",
            # A rail that is switched off.
            "hwmon1/in3_label": "VDD_SOC\n",
            "hwmon1/curr3_input": "400\n",
            "hwmon1/in4_input": "6\n",
            "hwmon1/curr4_input": "1000\n",
            # Another chip, on which the same number is not the same wire.
            "hwmon2/name": "nct6798\n",
            "hwmon2/in1_input": "1000\n",
            "hwmon2/curr1_input": "1000\n",
        },
    )
    measurements = measured(folder, tmp_path)
    assert {name: value for name, value in measurements.items() if name.startswith("edge_power_watts")} == {
        'edge_power_watts{sensor="hwmon1_rail1",kind="VDD_IN"}': 6.079,
        'edge_power_watts{sensor="hwmon1_rail2",kind="ina3221"}': -0.04,
    }


def test_a_host_without_sensors_still_counts_damage(folder: Path, tmp_path: Path) -> None:
    assert measured(folder, tmp_path) == {"edge_queue_files_damaged_total": 0}


def test_a_host_with_many_sensors_makes_no_more_than_32_series_of_a_kind(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, {f"class/thermal/thermal_zone{number}/temp": "1000" for number in range(100)})
    assert len(measured(folder, tmp_path)) == 1 + 32


def pod(telemetry_spec: TelemetrySpec) -> dict[str, Any]:
    shared = telemetry.plan(telemetry_spec, SITE)
    found: dict[str, Any] = telemetry.collector_of(telemetry_spec, shared, HOST)["spec"]["template"]
    return found


def test_without_the_image_a_collector_is_alone_as_before() -> None:
    template = pod(spec())
    assert "initContainers" not in template["spec"]
    assert [container["name"] for container in template["spec"]["containers"]] == ["collector"]
    assert set(telemetry.plan(spec(), SITE).config_map["data"]) == {"config.yaml"}


def test_what_stands_beside_a_collector_gets_no_right_and_no_folder_of_the_host() -> None:
    shared = telemetry.plan(WITH, SITE)
    stateful = telemetry.collector_of(WITH, shared, HOST)
    for manifest in (stateful, shared.config_map):
        assert (findings(manifest), problems(manifest)) == ([], [])
    plain = telemetry.plan(spec(), SITE)
    assert shared.cluster_role == plain.cluster_role
    assert shared.network_policies == plain.network_policies
    described = pod(WITH)["spec"]
    assert all("hostPath" not in volume for volume in described["volumes"])
    for container in (*described["initContainers"], described["containers"][1]):
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {"tools", "queue"}, "neither the gateway's token nor the cluster's"


def test_the_collector_asks_for_the_hosts_metrics_where_they_are_served() -> None:
    shared = telemetry.plan(WITH, SITE)
    document = yaml.safe_load(shared.configuration)
    (job,) = [
        each
        for each in document["receivers"]["prometheus"]["config"]["scrape_configs"]
        if each["job_name"] == "host-metrics"
    ]
    (target,) = job["static_configs"][0]["targets"]
    command = pod(WITH)["spec"]["containers"][1]["command"]
    assert command[command.index("-p") + 1] == target
    (volume,) = [each for each in pod(WITH)["spec"]["volumes"] if each["name"] == "tools"]
    paths = {f"/{item['path']}" for item in volume["configMap"]["items"]}
    assert job["metrics_path"] in paths
    assert {item["key"] for item in volume["configMap"]["items"]} <= set(shared.config_map["data"])
    assert re.fullmatch(job["metric_relabel_configs"][0]["regex"], "edge_queue_files_damaged_total")


def test_a_changed_script_starts_the_pod_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pod(WITH)["metadata"]["annotations"]
    monkeypatch.setattr(tools, "scripts", lambda **_: {"check-queue": "exit 0\n"})
    assert pod(WITH)["metadata"]["annotations"] != before
