"""NVIDIA's packages on a Debian of the lab: its real apt and dpkg, a signed repository made here, real scripts.

The packages have NVIDIA's names and versions, and in place of a driver a file that says its release. No kernel loads
it: a stand-in for `modprobe` copies that file to where the test's script looks for a loaded driver.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.expected import answers, asked, differences, probe
from components.host import nvidia
from components.host.nvidia import NvidiaPlan
from components.host.spec import OsSpec
from lab.hosts.image import image
from tests.components.site_parts import machine
from tests.sandbox import needs_root

pytestmark = needs_root

DRIVER, TOOLKIT = "nvidia-driver", "nvidia-container-toolkit"
OLD, NEW = "570.211.01", "580.159.04"
_PROGRAMS = {
    "systemctl": '[ -e /k3s-runs ] && [ "${!#}" = k3s ]',
    "modprobe": "mkdir -p /var/driver/nvidia && [ ! -e /var/driver/nvidia/version ] &&\n"
    "  cp /usr/share/nvidia/version /var/driver/nvidia/version",
}
_ENTER = """set -e
mount -t overlay overlay -o "lowerdir=$IMAGE,upperdir=$HERE/upper,workdir=$HERE/work" "$HERE/root"
mount -t proc proc "$HERE/root/proc"
mount -t tmpfs tmpfs "$HERE/root/run"
mount --rbind /dev "$HERE/root/dev"
exec chroot "$HERE/root" /bin/bash -c "$SCRIPT"
"""


def _run(*command: str, stdin: str | None = None, **environment: str) -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout


class Signer:
    """A key that signs a repository."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(mode=0o700)
        self._gpg = functools.partial(_run, "gpg", "--batch", "--quiet", "--homedir", str(home))
        self._gpg("--passphrase", "", "--quick-gen-key", "packages@example.com", "ed25519", "sign", "never")
        self.public = self._gpg("--armor", "--export")

    def signed(self, text: str) -> str:
        return self._gpg("--clearsign", stdin=text)

    def end(self) -> None:
        """Ends the agent that gpg has started for it."""
        _run("gpgconf", "--homedir", str(self._home), "--kill", "gpg-agent")


def _package(folder: Path, name: str, version: str, depends: str = "") -> None:
    """A package with a file of its own, and the driver's release where it is the driver."""
    tree = folder / f"tree-{name}-{version}"
    share = tree / "usr/share" / ("nvidia" if name == DRIVER else name)
    share.mkdir(parents=True)
    text = f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version.partition('-')[0]}  Release Build\n"
    (share / "version").write_text(text)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example.com>\n"
    control += f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(f"{control}Description: {name} of a test\n")
    _run("dpkg-deb", "--build", "--root-owner-group", str(tree), str(folder / f"{name}_{version}_all.deb"))


def _repository(folder: Path, signer: Signer) -> None:
    """A flat repository, as NVIDIA's are: packages, their index, and the signed checksum of that."""
    folder.mkdir()
    for release in (OLD, NEW):
        _package(folder, DRIVER, f"{release}-1", depends="nvidia-common")
    for version in ("1.17.9-1", "1.18.2-1"):
        _package(folder, TOOLKIT, version)
    _package(folder, "nvidia-common", "1")
    entries = []
    for deb in sorted(folder.glob("*.deb")):
        control = _run("dpkg-deb", "--field", str(deb)).rstrip("\n")
        sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{control}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n")
    index = "\n".join(entries)
    (folder / "Packages").write_text(index)
    sums = f" {hashlib.sha256(index.encode()).hexdigest()} {len(index.encode())} Packages\n"
    release = f"Origin: test\nDate: Fri, 27 Nov 2026 12:00:00 UTC\nSHA256:\n{sums}"
    (folder / "InRelease").write_text(signer.signed(release))


@dataclass
class Served:
    """The repository, where it is, and the keys that sign it and another one."""

    url: str
    key: str
    other_key: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("repository")
    signer, other = Signer(home / "gpg"), Signer(home / "other")
    _repository(home / "deb", signer)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(home / "deb"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Served(f"http://127.0.0.1:{server.server_port}", signer.public, other.public)
        server.shutdown()
    for one in (signer, other):
        one.end()


class Box:
    """A Debian of the lab that keeps what scripts do to it; no source but those of the scripts."""

    def __init__(self, home: Path, served: Served) -> None:
        self.home, self.served, self.upper = home, served, home / "upper"
        for name in ("upper", "work", "root"):
            (home / name).mkdir(parents=True)
        self.write("/etc/apt/sources.list", "")
        for name, body in _PROGRAMS.items():
            self.write(f"/usr/local/sbin/{name}", f"#!/bin/bash\n{body}\n").chmod(0o755)

    def write(self, path: str, text: str) -> Path:
        file = self.upper / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def plan(self, driver: str = OLD, *, toolkit: str = "1.17.9-1", key: str | None = None) -> NvidiaPlan:
        packages = {DRIVER: f"{driver}-1", TOOLKIT: toolkit}
        source = {"url": self.served.url, "key": key or self.served.key}
        spec = {"driver": driver, "packages": packages, "repositories": [source]}
        os_spec = OsSpec.model_validate({"distribution": "debian", "disk": "none", "nvidia": spec})
        found = nvidia.plan(machine("a", os=os_spec, accelerators=["nvidia-l4"]))
        assert found is not None
        return found

    def run(self, script: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"IMAGE": str(image()), "HERE": str(self.home), "PATH": os.environ["PATH"]}
        environment["SCRIPT"] = script.replace("/proc/driver/nvidia", "/var/driver/nvidia")
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        command += ["bash", "-c", _ENTER]
        return subprocess.run(
            command, input=stdin, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def install(self, driver: str = OLD, **fields: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.plan(driver, **fields).install)

    def version(self, package: str) -> str:
        shown = "dpkg-query --show --showformat='${db:Status-Status} ${Version}' "
        return self.run(shown + package).stdout.removeprefix("installed ")

    def reboots(self) -> None:
        (self.upper / "var/driver/nvidia/version").unlink(missing_ok=True)


@pytest.fixture
def box(tmp_path: Path, served: Served) -> Box:
    return Box(tmp_path / "box", served)


def test_exactly_the_named_versions_are_installed_and_a_second_run_changes_nothing(box: Box) -> None:
    done = box.install()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"nvidia_driver={OLD}"), done.stderr
    assert (box.version(DRIVER), box.version(TOOLKIT)) == (f"{OLD}-1", "1.17.9-1")
    assert box.version("nvidia-common") == "1"
    assert box.install().stdout == f"nvidia_driver={OLD}\n"


def test_updates_of_the_system_leave_them_alone_until_the_host_leaves(box: Box) -> None:
    assert box.install().returncode == 0
    upgraded = box.run("apt-get --yes dist-upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert (box.version(DRIVER), box.version(TOOLKIT)) == (f"{OLD}-1", "1.17.9-1")
    assert set(box.run("apt-mark showhold").stdout.split()) == {DRIVER, TOOLKIT}
    removed = box.run(box.plan().remove)
    assert removed.stdout == "NVIDIA's packages stay on site-a, and are no longer held\n"
    assert box.run("apt-mark showhold; ls /etc/apt/sources.list.d /etc/apt/preferences.d /etc/apt/keyrings").stdout == (
        "/etc/apt/keyrings:\n\n/etc/apt/preferences.d:\n\n/etc/apt/sources.list.d:\n"
    )
    assert box.version(DRIVER) == f"{OLD}-1"


def test_a_repository_that_another_key_has_signed_is_refused_and_nothing_is_installed(box: Box) -> None:
    done = box.install(key=box.served.other_key)
    assert done.returncode == 1
    assert "NO_PUBKEY" in done.stderr
    assert (
        "check their addresses, and that their `key` is the one that signs them. Nothing was installed" in done.stderr
    )
    assert box.version(DRIVER) == ""


def test_a_version_that_no_repository_has_is_refused_in_apts_words_and_ours(box: Box) -> None:
    done = box.install(toolkit="1.99.0-1")
    assert done.returncode == 1
    assert f"Version '1.99.0-1' for '{TOOLKIT}' was not found" in done.stderr
    assert f"check the names and versions of `os.nvidia.packages` against `apt-cache policy {DRIVER} {TOOLKIT}`" in (
        done.stderr
    )
    assert (box.version(DRIVER), box.version(TOOLKIT)) == ("", "")


def test_a_run_that_was_killed_between_unpacking_and_configuring_is_ended_by_the_next(box: Box) -> None:
    url = box.served.url
    fetched = box.run(
        f"curl -fsS -o /tmp/c.deb {url}/nvidia-common_1_all.deb -o /tmp/d.deb {url}/{DRIVER}_{OLD}-1_all.deb &&"
        " dpkg --unpack /tmp/c.deb /tmp/d.deb"
    )
    assert fetched.returncode == 0, fetched.stderr
    assert box.version(DRIVER).startswith("unpacked")
    done = box.install()
    assert done.returncode == 0, done.stderr
    assert (box.version(DRIVER), box.version(TOOLKIT)) == (f"{OLD}-1", "1.17.9-1")


def test_a_driver_is_not_exchanged_under_a_running_k3s_and_its_exchange_asks_for_a_reboot(box: Box) -> None:
    assert box.install().returncode == 0
    runs = box.write("/k3s-runs", "")
    done = box.install(NEW)
    assert done.returncode == 1
    assert "site-a gets another driver, and K3s runs" in done.stderr
    assert (done.stdout, box.version(DRIVER)) == ("", f"{OLD}-1")
    assert box.install(toolkit="1.18.2-1").returncode == 0, "the runtime alone breaks nothing that runs"
    assert box.version(TOOLKIT) == "1.18.2-1"
    runs.unlink()
    done = box.install(NEW, toolkit="1.18.2-1")
    assert done.returncode == 1
    assert f"has NVIDIA's driver {NEW} installed, and the kernel has {OLD} loaded: reboot the host" in done.stderr
    assert box.version(DRIVER) == f"{NEW}-1"
    box.reboots()
    assert box.install(NEW, toolkit="1.18.2-1").stdout == f"nvidia_driver={NEW}\n"


def test_drift_shows_another_version_and_a_package_that_is_gone(box: Box) -> None:
    plan = box.plan()
    assert box.install().returncode == 0
    found = box.run(probe(), stdin=asked(plan.expected))
    assert differences(plan.expected, answers(found.stdout)) == []
    changed = f"apt-get --quiet=2 --yes --allow-downgrades --allow-change-held-packages install {DRIVER}={NEW}-1"
    changed += f" >&2 && apt-get --quiet=2 --yes --allow-change-held-packages remove {TOOLKIT} >&2"
    assert box.run(changed).returncode == 0
    found = box.run(probe(), stdin=asked(plan.expected))
    differing = {one.name: value for one, value in differences(plan.expected, answers(found.stdout))}
    assert differing == {DRIVER: f"{NEW}-1", TOOLKIT: None}
