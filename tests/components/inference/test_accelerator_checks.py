"""What the host's gate finds out about NVIDIA's hardware: the real script, on what drivers and boards say.

The texts of an H100 with its driver are captured ones, with another UUID. The others are in the form of captured ones:
`/proc/driver/nvidia/version` of the closed module, GPUs in MIG mode, `/etc/nv_tegra_release`, `nvpmodel -q`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.host.machine import Machine
from components.host.plan import facts_of, plan
from components.host.spec import OsSpec, Shown
from components.inference.jetpack import jetpack_of
from components.inference.ollama.part import PART as OLLAMA
from components.inference.triton.part import PART as TRITON
from components.shell import Script
from components.view import Demand
from stacks.catalogue import catalogue
from tests.components.inference.ollama_parts import EMBED
from tests.components.inference.ollama_parts import spec as ollama
from tests.components.inference.test_inference_plan import spec as triton
from tests.components.site_parts import machine, site_of
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc 12.2.0\n"
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder@U16-I3-B03-4-3)"
    "  Thu Jan 23 22:50:36 UTC 2025\nGCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)\n"
)
H100 = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (nixbld@)  \n"
    "GCC version:  gcc version 15.3.0 (GCC) \n"
)
H100_PROFILES = Path(__file__).parents[2] / "fixtures" / "nvidia" / "h100-mig-profiles.txt"
"""What `nvidia-smi mig -lgip` of an H100 printed."""
TEGRA = (
    "# R{} (release), REVISION: {}, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n"
)
MIG_GPU = "GPU {}: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)\n"
MIG_PART = "  MIG {:<11} Device  {}: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)\n"
CONTAINERD = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
SHOWN = {"shows": Shown(cores=1, memory_mib=1), "disk_gib": 1, "tpm": False}
"""What the machine of the test shows. What models may use is that of the profile."""
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
DIGEST = f"@sha256:{'0' * 64}"
IMAGES = {
    "server": f"nvcr.io/nvidia/tritonserver:26.07-py3{DIGEST}",
    "jetson": f"nvcr.io/nvidia/tritonserver:26.02-py3-igpu{DIGEST}",
}


class Box(Sandbox):
    """A machine with what a test gives it of NVIDIA's; its driver's files are below /var/driver."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            {"systemctl": "echo loaded", "unattended-upgrade": "", "modprobe": "", "nvpmodel": 'cat "$SANDBOX/mode"'},
        )
        self.path("/etc/os-release").parent.mkdir(parents=True, exist_ok=True)
        self.path("/etc/os-release").write_text("ID=ubuntu\nVERSION_ID=24.04\n")
        (self.home / "mode").write_text("")
        (self.home / "mig").write_text("[N/A]\n")

    def write(self, path: str, text: str) -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def gpu(self, driver: str = "570.86.15", *, gpus: int = 1, form: str = OPEN) -> Box:
        self.write("/var/driver/nvidia/version", form.format(driver))
        for index in range(gpus):
            self.write(f"/var/driver/nvidia/gpus/0000:0{index}:00.0/information", "Model: NVIDIA L4\n")
        self.install("/usr/bin/nvidia-container-runtime", "")
        self.install(
            "/usr/bin/nvidia-smi",
            'if [ "$1" = -L ]; then cat "$SANDBOX/listed"; else cat "$SANDBOX/mig"; [ ! -e "$SANDBOX/mismatch" ]; fi',
        )
        return self

    def cut(self, *profiles: str, gpus: int = 1) -> Box:
        """All GPUs in MIG mode, each with these parts."""
        self.gpu("580.159.04", gpus=gpus)
        (self.home / "mig").write_text("Enabled\n" * gpus)
        parts = [MIG_PART.format(profile, index) for index, profile in enumerate(profiles)]
        listed = [line for index in range(gpus) for line in (MIG_GPU.format(index), *parts)]
        (self.home / "listed").write_text("".join(listed))
        return self

    def jetson(self, release: str, revision: str, mode: str = "MAXN") -> Box:
        self.write("/etc/nv_tegra_release", TEGRA.format(release, revision))
        (self.home / "mode").write_text(f"NVPM WARN: fan mode is not set!\nNV Power Mode: {mode}\n2\n")
        self.install("/usr/bin/nvidia-container-runtime", "")
        return self

    def asked(self, which: Machine, check: str) -> Run:
        assert check, "the gate looks for nothing"
        script = plan(which, [check]).facts.replace("/proc/driver/nvidia", "/var/driver/nvidia")
        return self.run(f"export PATH=$PATH:/usr/bin\n{script}")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def host(distribution: str = "ubuntu", *, os_fields: dict[str, Any] | None = None, **fields: Any) -> Machine:
    os = OsSpec.model_validate({"distribution": distribution, "disk": "none", **(os_fields or {})})
    return machine("a", os=os, figures={"arch": ARCH, **SHOWN}, **fields)


def with_gpus(*names: str) -> Machine:
    return host(accelerators=list(names or ("nvidia-l4",)))


def with_parts(mig: str, gpus: int = 1) -> Machine:
    return host(accelerators=["nvidia-h100"] * gpus, mig=mig)


def orin() -> Machine:
    return host("jetson-linux", hardware="jetson-agx-orin")


def said(box: Box, which: Machine, *, taken: Demand | None = None, **fields: Any) -> str:
    """What the gate complains of."""
    site = site_of(which, taken={which.name: taken} if taken else {})
    done = box.asked(which, TRITON.host_checks(triton(**{"images": IMAGES, **fields}), which, site))
    assert (done.code == 0) == (done.stderr == ""), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("gpu", machine("a", distribution="ubuntu", accelerators=["nvidia-l4"])),
        ("mig", machine("a", distribution="ubuntu", accelerators=["nvidia-h100"], mig="3g.40gb")),
        ("jetson", machine("a", distribution="jetson-linux", hardware="jetson-agx-orin")),
    ],
)
def test_the_gates_are_the_reviewed_ones(name: str, which: Machine, golden: Callable[[str, str], None]) -> None:
    golden(
        f"inference/{name}-facts.sh",
        plan(which, [TRITON.host_checks(triton(images=IMAGES), which, site_of(which))]).facts,
    )


@pytest.mark.parametrize(
    ("form", "driver"), [(CLOSED, "535.183.01"), (OPEN, "570.86.15"), (OPEN, "580.95"), (H100, "580.159.04")]
)
def test_a_host_with_driver_programs_and_runtime_passes_and_shows_its_driver(box: Box, form: str, driver: str) -> None:
    which = with_gpus()
    done = box.gpu(driver, form=form).asked(which, TRITON.host_checks(triton(images=IMAGES), which, site_of(which)))
    assert (done.code, done.stderr) == (0, "")
    assert facts_of(done.stdout)["nvidia_driver"] == driver


def test_a_host_without_a_driver_is_told_where_its_system_has_one(box: Box) -> None:
    found = said(box, with_gpus())
    assert "NVIDIA's driver is not loaded: install it and reboot the host: `apt install nvidia-driver-" in found
    assert "there is no nvidia-container-runtime in /usr/bin, where K3s looks for it" in found


def test_a_driver_that_is_older_than_the_image_needs_is_refused(box: Box) -> None:
    box.gpu("525.147.05")
    assert "NVIDIA's driver is 525.147.05, and Triton needs 535 or newer" in said(box, with_gpus())
    assert said(box, with_gpus(), driver=525) == ""
    assert "Triton needs 575 or newer" in said(box, with_gpus(), driver=575)


def test_fewer_gpus_than_the_site_file_has_are_refused(box: Box) -> None:
    two = with_gpus("nvidia-l4", "nvidia-t4")
    assert "GPUs that NVIDIA's driver sees: expected at least 2, found 1" in said(box.gpu(), two)
    assert said(box.gpu(gpus=2), two) == ""


def test_a_driver_without_its_programs_is_refused(box: Box) -> None:
    box.gpu().path("/usr/bin/nvidia-smi").unlink()
    assert "there is no nvidia-smi" in said(box, with_gpus())
    box.install("/opt/bin/nvidia-smi", 'echo "[N/A]"')
    assert said(box, with_gpus()) == "", "Flatcar has it there"


def test_a_driver_that_its_libraries_do_not_fit_is_refused_with_its_own_words(box: Box) -> None:
    box.gpu()
    (box.home / "mismatch").touch()
    (box.home / "mig").write_text("Failed to initialize NVML: Driver/library version mismatch\n")
    assert "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch" in said(box, with_gpus())


def test_a_gpu_in_mig_mode_is_refused_where_whole_ones_are_offered(box: Box) -> None:
    box.gpu()
    (box.home / "mig").write_text("Disabled\n")
    assert said(box, with_gpus()) == ""
    (box.home / "mig").write_text("Enabled\n")
    assert "a GPU is in MIG mode" in said(box, with_gpus())


def test_the_parts_of_an_h100_are_those_that_its_driver_lists() -> None:
    listed = re.findall(r"MIG (\S+) +\d+ +\d+/(\d+) +([\d.]+) +\S+ +(\d+)", H100_PROFILES.read_text())
    known = catalogue().accelerators["nvidia-h100"]
    assert {name for name, *_ in listed if "+" not in name} == known.mig.keys()
    for name, instances, gib, multiprocessors in listed:
        if part := known.mig.get(name):
            assert (part.instances, part.memory_mib) == (int(instances), int(float(gib) * 1024))
            assert part.tops_int8 == int(known.tops_int8 * int(multiprocessors) / 132)


def test_gpus_that_are_cut_as_the_site_file_says_pass_and_show_it(box: Box) -> None:
    which = with_parts("1g.10gb")
    assert said(box.cut(*["1g.10gb"] * 7), which) == ""
    done = box.asked(which, TRITON.host_checks(triton(images=IMAGES), which, site_of(which)))
    assert facts_of(done.stdout)["nvidia_mig"] == "1g.10gb"
    assert said(box.cut("3g.40gb", "3g.40gb", gpus=2), with_parts("3g.40gb", 2)) == ""


def test_a_gpu_that_is_to_be_cut_and_is_whole_is_refused_with_the_command_that_cuts_it(box: Box) -> None:
    box.gpu("580.159.04")
    for shown in ("Disabled\n", "[N/A]\n", "Enabled\nDisabled\n"):
        (box.home / "mig").write_text(shown)
        found = said(box, with_parts("3g.40gb"))
        assert "a GPU is not in MIG mode, and the site file has `mig: 3g.40gb`: `nvidia-smi -mig 1`" in found
        assert "`nvidia-smi mig -cgi 3g.40gb,3g.40gb -C`" in found


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ((), "into 1 nothing, and the site file has 2 of 3g.40gb"),
        (("3g.40gb",), "into 1 3g.40gb, and"),
        (("4g.40gb", "3g.40gb"), "into 1 3g.40gb 1 4g.40gb, and"),
        (("3g.40gb", "3g.40gb", "1g.10gb"), "into 1 1g.10gb 2 3g.40gb, and"),
        (("1c.3g.40gb", "3g.40gb"), "into 1 1c.3g.40gb 1 3g.40gb, and"),
    ],
)
def test_gpus_that_are_cut_otherwise_are_refused(box: Box, profiles: tuple[str, ...], words: str) -> None:
    found = said(box.cut(*profiles), with_parts("3g.40gb"))
    assert f"MIG has cut its GPUs {words}" in found
    assert "at each boot" in found


def test_a_k3s_that_started_before_the_runtime_was_there_is_told_to_restart(box: Box) -> None:
    box.gpu().write(CONTAINERD, "version = 3\n")
    assert "K3s was started before nvidia-container-runtime was there" in said(box, with_gpus())
    box.write(CONTAINERD, "BinaryName = '/usr/bin/nvidia-container-runtime'\n")
    assert said(box, with_gpus()) == ""


def test_a_runtime_that_comes_with_k3s_is_not_asked_for_before(box: Box) -> None:
    which = with_gpus()
    box.gpu().path("/usr/bin/nvidia-container-runtime").unlink()
    check = TRITON.host_checks(triton(images=IMAGES), which, site_of(which))
    assert "there is no nvidia-container-runtime" in box.asked(which, check).stderr
    # As K3s' own checks say it, which come first.
    done = box.asked(which, Script(f"nvidia_runtime_comes=yes\n{check}"))
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize(("release", "revision", "jetpack"), [("35", "4.1", "5"), ("38", "2.0", "7"), ("39", "2", "7")])
def test_a_jetson_whose_jetpack_is_not_that_of_the_image_is_refused(
    box: Box, release: str, revision: str, jetpack: str
) -> None:
    found = said(box.jetson(release, revision), orin())
    assert (
        f"it has JetPack {jetpack} (L4T {release}.{revision}), and `inference.triton.images.jetson` is for JetPack 6"
        in found
    )


def test_a_jetson_with_the_jetpack_of_the_image_passes_and_shows_what_it_has(box: Box) -> None:
    assert said(box.jetson("36", "4.3"), orin()) == ""
    seven = {**IMAGES, "jetson": IMAGES["server"]}
    assert said(box.jetson("39", "2.0"), orin(), images=seven) == ""
    assert "is for JetPack 7" in said(box.jetson("36", "4.3"), orin(), images=seven)
    which = orin()
    done = box.asked(which, TRITON.host_checks(triton(images=IMAGES), which, site_of(which)))
    assert {key: facts_of(done.stdout)[key] for key in ("jetson_linux", "jetpack", "power_mode")} == {
        "jetson_linux": "36.4.3",
        "jetpack": "6",
        "power_mode": "MAXN",
    }


def test_the_release_is_read_from_the_package_where_the_file_is_gone(box: Box) -> None:
    box.jetson("36", "4.3").path("/etc/nv_tegra_release").unlink()
    assert "its release of JetPack cannot be told" in said(box, orin())
    box.install("/usr/local/sbin/dpkg-query", "printf 36.4.3-20250107174145")
    assert said(box, orin()) == ""


def test_a_power_mode_below_what_the_models_take_is_refused(box: Box) -> None:
    box.jetson("36", "4.3", "MODE_15W")
    assert "its power mode MODE_15W holds it to 15 W, and the models and the rest of it take" in said(box, orin())
    assert said(box.jetson("36", "4.3", "MODE_50W"), orin()) == ""
    assert "take 60 W" in said(box, orin(), taken=Demand(watts=30)), "what other servers of the site take counts"


def test_an_image_without_a_tag_leaves_the_release_to_the_site_file(box: Box) -> None:
    untagged = {**IMAGES, "jetson": f"registry.example.com/triton{DIGEST}"}
    box.jetson("39", "2.0")
    assert said(box, orin(), images=untagged) == ""
    assert "is for JetPack 6" in said(box, orin(), images=untagged, jetpack=6)


def test_ollama_on_a_jetson_is_held_to_the_jetpack_that_its_block_names(box: Box) -> None:
    which = orin()
    box.jetson("36", "4.3")
    for jetpack, refused in ((6, False), (None, True)):
        done = box.asked(which, OLLAMA.host_checks(ollama(jetpack=jetpack, models=[EMBED]), which, site_of(which)))
        assert ("is for JetPack 7" in done.stderr) == refused, done.stderr


@pytest.mark.parametrize(
    ("tag", "jetpack"), [(":26.02-py3-igpu", 6), (":26.07-py3", 7), ("", None), (":5000/triton", None)]
)
def test_the_tag_of_an_image_tells_its_jetpack(tag: str, jetpack: int | None) -> None:
    assert jetpack_of(f"registry.example.com{tag}{DIGEST}") == jetpack


def test_nothing_is_looked_for_where_no_model_runs_on_an_accelerator() -> None:
    gpu, plain = with_gpus(), host()
    assert TRITON.host_checks(triton(device="cpu"), gpu, site_of(gpu)) == ""
    assert TRITON.host_checks(triton(), plain, site_of(plain)) == ""
    assert OLLAMA.host_checks(ollama(device="cpu"), gpu, site_of(gpu)) == ""
