"""K3s as an image: the real systemd-sysext merges real images into the /usr of a throw-away host."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from components.expected import answers, asked, differences, probe
from components.host.machine import Machine
from components.host.plan import plan
from components.host.spec import OsSpec
from components.k3s.plan import host_checks, image_of, plan_cluster, plan_node, runtime_of
from components.k3s.spec import K3sSpec
from components.shell import here_document
from tests.components.k3s.test_scripts import HEALTHZ, STDIN, box, spec_for
from tests.components.site_parts import SERVERS, VERSION, k3s, machine
from tests.sandbox import Run, Sandbox, needs_root
from tests.sysext_image import BOOTS, bake, needs_sysext

__all__ = ["box"]

pytestmark = [needs_root, needs_sysext]

LINK = "/etc/extensions/k3s.raw"


def baked(box: Sandbox, binary: bytes | None = None, *, name: str = "k3s", kib: int = 2048) -> str:
    """Puts an image on the mirror; returns its SHA-256. ``binary`` is another one than the release's, ``name`` what the
    image says it is."""
    program = binary or (box.mirror / "k3s").read_bytes()
    image = bake(box.home, name, {"/usr/local/bin/k3s": program, "/usr/local/bin/kubectl": program}, kib=kib)
    (box.mirror / f"k3s-{VERSION}-x86-64.raw").write_bytes(image)
    return hashlib.sha256(image).hexdigest()


def of_image(box: Sandbox, sha256: str) -> K3sSpec:
    return spec_for(box, sysext={"images": {VERSION: {"amd64": sha256}}})


def up(box: Sandbox, spec: K3sSpec, before: str = "", *, boots: str = BOOTS) -> Run:
    """Installs the only server; then says what systemd-sysext has merged."""
    script = plan_node(spec, SERVERS[0], SERVERS[:1], labels={}).install
    after = "trap 'systemd-sysext status >&2' EXIT\n"
    return box.run(f"{boots}{before}\n{after}{script}", stdin=STDIN, answers=[HEALTHZ])


@pytest.fixture
def one(box: Sandbox) -> tuple[Sandbox, K3sSpec]:
    """An only server whose K3s came as an image."""
    spec = of_image(box, baked(box))
    assert box.run(plan_cluster(spec, SERVERS[:1]).cluster_init_permit).code == 0
    done = up(box, spec)
    assert done.code == 0, done.stderr
    return box, spec


def linked(box: Sandbox) -> str:
    return str(box.path(LINK).readlink())


def path_of(spec: K3sSpec, node: Machine = SERVERS[0]) -> str:
    image = image_of(spec, node)
    assert image
    return image.path


def restarts(done: Run) -> int:
    return len([call for call in done.calls if " restart " in call])


def test_k3s_runs_from_the_image_and_a_second_run_changes_nothing(one: tuple[Sandbox, K3sSpec]) -> None:
    box, spec = one
    assert linked(box) == path_of(spec)
    assert not box.path("/usr/local/bin/k3s").exists(), "nothing is written to /usr"
    assert not box.path("/opt/bin/k3s").exists()
    assert "\nExecStart=/usr/local/bin/k3s server\n" in box.path("/etc/systemd/system/k3s.service").read_text()
    again = up(box, spec)
    assert (again.code, again.stdout, restarts(again)) == (0, f"k3s runs {VERSION}\n", 0)


def test_another_image_is_linked_merged_and_restarts_k3s_once(one: tuple[Sandbox, K3sSpec]) -> None:
    box, first = one
    second = of_image(box, baked(box, kib=3072))
    done = up(box, second)
    assert (done.code, restarts(done)) == (0, 1), done.stderr
    assert linked(box) == path_of(second) != path_of(first)
    assert box.path(path_of(first)).exists(), "the one before stays, to go back to"
    third = of_image(box, baked(box, kib=4096))
    assert up(box, third).code == 0
    assert {path.name for path in box.path("/opt/extensions/k3s").iterdir()} == {
        Path(path_of(spec)).name for spec in (second, third)
    }


def test_an_image_with_another_checksum_is_never_linked(one: tuple[Sandbox, K3sSpec]) -> None:
    box, spec = one
    baked(box, kib=3072)
    done = up(box, of_image(box, "0" * 64))
    assert done.code != 0
    assert "nothing was installed" in done.stderr
    assert (linked(box), restarts(done)) == (path_of(spec), 0)


@pytest.mark.parametrize("fault", ["another binary", "another name"])
def test_an_image_that_does_not_bring_the_pinned_k3s_gives_way_to_the_one_before(
    one: tuple[Sandbox, K3sSpec], fault: str
) -> None:
    box, spec = one
    bad = baked(box, b"#!/bin/bash\n") if fault == "another binary" else baked(box, name="rke2", kib=3072)
    done = up(box, of_image(box, bad))
    assert done.code != 0
    assert f"does not bring k3s {VERSION}" in done.stderr
    assert f"{path_of(spec)} is linked again" in done.stderr
    assert (linked(box), restarts(done)) == (path_of(spec), 0)
    assert "\n/usr      k3s " in done.stderr, "and merged"


def test_the_first_image_that_does_not_fit_leaves_none(box: Sandbox) -> None:
    spec = of_image(box, baked(box, name="rke2"))
    done = up(box, spec)
    assert done.code != 0
    assert "No image is linked again" in done.stderr
    assert not box.path(LINK).is_symlink()


@pytest.mark.parametrize("killed_at", ["curl", "systemd-sysext"])
def test_a_run_that_was_killed_leaves_a_whole_image_linked_and_the_next_one_ends_its_work(
    one: tuple[Sandbox, K3sSpec], killed_at: str
) -> None:
    box, first = one
    second = of_image(box, baked(box, kib=3072))
    stand_in = "/usr/local/sbin/curl" if killed_at == "curl" else "/usr/local/sbin/systemd-sysext"
    kept = box.path(stand_in).read_text() if box.path(stand_in).exists() else None
    # The whole group, which is not the first process here: that one cannot be killed.
    box.install(stand_in, "kill -KILL 0")
    script = plan_node(second, SERVERS[0], SERVERS[:1], labels={}).install
    boots = f"mount --make-rshared /; {shutil.which('systemd-sysext')} refresh; cat >/run/script"
    killed = box.run(
        f"{boots} {here_document(script)}\nsetsid --wait bash /run/script\nexit 9", stdin=STDIN, answers=[HEALTHZ]
    )
    assert killed.code == 9
    assert linked(box) == path_of(first if killed_at == "curl" else second)
    box.path(stand_in).unlink()
    if kept:
        box.path(stand_in).write_text(kept)
        box.path(stand_in).chmod(0o755)
    done = up(box, second)
    assert (done.code, restarts(done), linked(box)) == (0, 1, path_of(second)), done.stderr


def test_a_host_with_a_file_gets_the_image_and_loses_the_file_once_k3s_runs(box: Sandbox) -> None:
    plain = spec_for(box)
    assert box.run(plan_cluster(plain, SERVERS[:1]).cluster_init_permit).code == 0
    assert up(box, plain).code == 0
    assert box.path("/opt/bin/k3s").exists()
    done = up(box, of_image(box, baked(box)))
    assert (done.code, restarts(done)) == (0, 1), done.stderr
    for name in ("k3s", "kubectl", "crictl", "ctr"):
        assert not box.path(f"/opt/bin/{name}").exists()
    back = up(box, plain)
    assert (back.code, restarts(back)) == (0, 1), back.stderr
    assert "\nExecStart=/opt/bin/k3s server\n" in box.path("/etc/systemd/system/k3s.service").read_text()


def test_the_release_on_the_host_is_known_whichever_way_it_came(box: Sandbox) -> None:
    plain = spec_for(box)
    assert box.run(plan_cluster(plain, SERVERS[:1]).cluster_init_permit).code == 0
    assert up(box, plain).code == 0
    box.install("/opt/bin/k3s", 'case $1 in --version) echo "k3s version v1.99.0+k3s1 (abc)" ;; esac\n')
    done = up(box, of_image(box, baked(box)))
    assert done.code != 0
    assert "a downgrade to" in done.stderr
    assert not box.path(LINK).is_symlink()


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (":", set()),
        (f"ln -sfn /opt/other.raw {LINK}", {LINK}),
        (f"rm {LINK}; systemd-sysext refresh", {LINK, "/usr/local/bin/k3s"}),
    ],
)
def test_drift_finds_another_link_and_an_image_that_is_not_merged(
    one: tuple[Sandbox, K3sSpec], harm: str, found: set[str]
) -> None:
    box, spec = one
    expected = plan_node(spec, SERVERS[0], SERVERS[:1], labels={}).expected
    of_image = [one for one in expected if one.name in (path_of(spec), LINK, "/usr/local/bin/k3s")]
    assert {one.kind for one in of_image} == {"content", "mode", "link"}
    told = box.run(f"{BOOTS}{harm}\n{probe()}", stdin=asked(of_image))
    assert {one.name for one, _ in differences(of_image, answers(told.stdout))} == found


def test_uninstalling_leaves_no_image(one: tuple[Sandbox, K3sSpec]) -> None:
    box, spec = one
    done = box.run(
        f"{BOOTS}{plan_node(spec, SERVERS[0], SERVERS[:1], labels={}).uninstall}\n[ ! -e /usr/local/bin/k3s ]"
    )
    assert done.code == 0, done.stderr
    assert not box.path(LINK).is_symlink()
    assert not box.path("/opt/extensions/k3s").exists()


def gate(box: Sandbox, before: str = ":") -> Run:
    os = OsSpec.model_validate({"disk": "none"})
    node = machine("a", os=os, figures={"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False})
    spec = k3s(flannel_backend="host-gw", sysext={"images": {VERSION: {"amd64": "0" * 64}}})
    box.path("/etc").mkdir(exist_ok=True)
    box.path("/etc/os-release").write_text("ID=flatcar\n")
    loaded = (
        'case $* in *LoadState*) echo loaded ;; *is-enabled*sysupdate*) [ -e "$SANDBOX/sysupdate" ] ;; *) false ;; esac'
    )
    box.install("/usr/local/sbin/systemctl", loaded)
    box.install("/usr/local/sbin/modprobe", "")
    return box.run(f"{before}\n{plan(node, [host_checks(spec, node, [node])]).facts}")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("mkdir -p /etc/extensions; ln -s /opt/mine.raw /etc/extensions/k3s.raw", "is not ours (it is /opt/mine.raw)"),
        ("mkdir -p /etc/extensions; : >/etc/extensions/k3s.raw", "is not ours (it is a file)"),
        (
            'mkdir /etc/sysupdate.k3s-v1.d; : >/etc/sysupdate.k3s-v1.d/k3s.conf; : >"$SANDBOX/sysupdate"',
            "systemd-sysupdate would put another image in place of the pinned one",
        ),
    ],
)
def test_a_host_whose_images_are_somebody_elses_is_refused(box: Sandbox, before: str, said: str) -> None:
    assert said not in gate(box).stderr
    done = gate(box, before)
    assert done.code != 0
    assert said in done.stderr


RUNTIME = {"version": "v1.17.9"}
GPU = machine("a", accelerators=["nvidia-l4"])


def with_runtime(box: Sandbox, kib: int = 2048) -> K3sSpec:
    """K3s as a file, beside an image of NVIDIA's runtime as the bakery makes it."""
    files = {
        "/usr/bin/nvidia-container-runtime": b"#!/bin/bash\n",
        "/usr/lib/tmpfiles.d/10-nvidia.conf": b"f /etc/nvidia-made 0644 - - - yes\n",
    }
    image = bake(box.home, "nvidia-runtime", files, kib=kib)
    (box.mirror / "nvidia-runtime-v1.17.9-x86-64.raw").write_bytes(image)
    return spec_for(box, nvidia_runtime=RUNTIME | {"sha256": {"amd64": hashlib.sha256(image).hexdigest()}})


def gpu_up(box: Sandbox, spec: K3sSpec, before: str = "") -> Run:
    script = plan_node(spec, GPU, [GPU], labels={}).install
    # What K3s looks for when it starts.
    after = "trap '[ -e /usr/bin/nvidia-container-runtime ] && echo the runtime is there' EXIT\n"
    return box.run(f"{BOOTS}{before}\n{after}{script}", stdin=STDIN, answers=[HEALTHZ])


def test_nvidias_runtime_is_there_before_k3s_starts_and_another_one_restarts_it(box: Sandbox) -> None:
    spec = with_runtime(box)
    assert box.run(plan_cluster(spec, [GPU]).cluster_init_permit).code == 0
    done = gpu_up(box, spec)
    assert done.code == 0, done.stderr
    assert "the runtime is there" in done.stdout
    assert done.stdout.index("nvidia-runtime") < done.stdout.index("starting k3s")
    assert box.path("/etc/nvidia-made").exists(), "its files in /etc, as a boot makes them"
    assert box.path("/opt/bin/k3s").exists(), "K3s stays a file"
    again = gpu_up(box, spec)
    assert (again.code, restarts(again)) == (0, 0), again.stdout
    assert restarts(gpu_up(box, with_runtime(box, kib=3072))) == 1


def test_an_image_that_was_linked_and_not_merged_is_merged_by_the_next_run(box: Sandbox) -> None:
    spec = with_runtime(box)
    assert box.run(plan_cluster(spec, [GPU]).cluster_init_permit).code == 0
    assert gpu_up(box, spec).code == 0
    pending = gpu_up(box, spec, "touch /run/edge-sysext-nvidia-runtime")
    assert "merged /opt/extensions/nvidia-runtime/" in pending.stdout


def test_a_host_without_the_gpu_or_with_another_system_gets_no_runtime() -> None:
    spec = k3s(nvidia_runtime=RUNTIME | {"sha256": {"amd64": "0" * 64}})
    assert runtime_of(spec, GPU)
    assert runtime_of(spec, SERVERS[0]) is None
    assert runtime_of(spec, machine("a", distribution="debian", accelerators=["nvidia-l4"])) is None


def gpu_gate(box: Sandbox, before: str) -> Run:
    figures = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    node = machine("a", os=OsSpec.model_validate({"disk": "none"}), figures=figures, accelerators=["nvidia-l4"])
    spec = k3s(flannel_backend="host-gw", nvidia_runtime=RUNTIME | {"sha256": {"amd64": "0" * 64}})
    box.path("/etc").mkdir(exist_ok=True)
    box.path("/etc/os-release").write_text("ID=flatcar\n")
    box.install("/usr/local/sbin/systemctl", "case $* in *LoadState*) echo loaded ;; *) false ;; esac")
    box.install("/usr/local/sbin/modprobe", "")
    return box.run(f"{before}\n{plan(node, [host_checks(spec, node, [node])]).facts}")


def test_a_host_whose_driver_is_not_enabled_is_refused_before_k3s(box: Sandbox) -> None:
    refused = gpu_gate(box, ":")
    assert refused.code != 0
    assert "NVIDIA's driver is not enabled: write a line such as `nvidia-drivers-570-open`" in refused.stderr
    enabled = "mkdir -p /etc/flatcar; printf 'podman\\nnvidia-drivers-570-open\\n' >/etc/flatcar/enabled-sysext.conf"
    done = gpu_gate(box, enabled)
    assert "driver is not enabled" not in done.stderr


def test_other_systems_keep_the_file() -> None:
    spec = k3s(sysext={"images": {VERSION: {"amd64": "0" * 64}}})
    assert image_of(spec, machine("a", distribution="debian")) is None
    assert image_of(k3s(), SERVERS[0]) is None
