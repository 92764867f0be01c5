"""The lab's mirror and image archive, without any host."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.builds import tools
from lab.kubernetes import mirror as mirror_module
from lab.kubernetes.archive import Image, docker_archive, zstd_frame
from lab.kubernetes.build import WITH_SQLITE
from lab.kubernetes.mirror import BINARY, IMAGES, SUMS, Mirror, release_files

VERSION = "v1.34.1+k3s1"
GO_MODULE = Path(mirror_module.__file__).with_name("k3s")
PROGRAM = Image("docker.io/edge-lab/x:lab", b"\x7fELF", "x")


@pytest.fixture
def authority() -> Iterator[Authority]:
    with Authority() as made:
        yield made


@pytest.fixture
def mirror(authority: Authority, tmp_path: Path) -> Iterator[Mirror]:
    binary, images = tmp_path / "binary", tmp_path / "images"
    binary.write_bytes(b"k3s" * 500_000)
    images.write_bytes(b"images")
    with Mirror(authority, "127.0.0.1", {VERSION: release_files(binary, images)}) as made:
        yield made


Fetch = Callable[[str], bytes]


@pytest.fixture
def fetch(authority: Authority) -> Fetch:
    trust = ssl.create_default_context(cafile=str(authority.ca_file))

    def get(url: str) -> bytes:
        with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    return get


def test_a_release_is_where_the_component_asks_for_it(mirror: Mirror, fetch: Fetch) -> None:
    assert f"{mirror.url}/v1.34.1%2Bk3s1/k3s" == mirror.file_url(VERSION, BINARY)
    assert fetch(mirror.file_url(VERSION, BINARY)) == b"k3s" * 500_000


def test_the_sums_are_those_of_the_files(mirror: Mirror, fetch: Fetch) -> None:
    lines = fetch(mirror.file_url(VERSION, SUMS)).decode().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    for name in (BINARY, IMAGES):
        assert sums[name] == hashlib.sha256(fetch(mirror.file_url(VERSION, name))).hexdigest()


@pytest.mark.parametrize("path", ["v1.34.1+k3s1/k3s", "v9.9.9%2Bk3s1/k3s", "v1.34.1%2Bk3s1/other", ""])
def test_what_is_not_there_is_not_found(mirror: Mirror, fetch: Fetch, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{mirror.url}/{path}")


def test_only_who_trusts_the_mirrors_authority_gets_anything(mirror: Mirror) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(mirror.file_url(VERSION, BINARY), timeout=10)


def test_the_same_programs_make_the_same_archive() -> None:
    assert docker_archive([PROGRAM]) == docker_archive([PROGRAM])


def test_an_image_holds_its_program_and_is_not_roots() -> None:
    with tarfile.open(fileobj=io.BytesIO(docker_archive([PROGRAM]))) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    (manifest,) = json.loads(files["manifest.json"])
    config = json.loads(files[manifest["Config"]])
    layer = files[manifest["Layers"][0]]
    assert manifest["RepoTags"] == [PROGRAM.reference]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["User"] == "65532:65532", "a restricted pod that runs as root is refused"
    with tarfile.open(fileobj=io.BytesIO(layer)) as unpacked:
        (entry,) = unpacked.getmembers()
    assert (entry.name, entry.mode) == ("x", 0o755)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd reads what was written")
@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 1_000_000])
def test_any_reader_of_zstandard_takes_the_frame(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    read = subprocess.run(["zstd", "-d", "-c"], input=zstd_frame(content), capture_output=True, check=True)
    assert read.stdout == content


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd reads what was written")
def test_a_reader_of_a_large_archive_needs_no_more_memory_than_every_reader_has() -> None:
    content = bytes(20 << 20)
    read = subprocess.run(["zstd", "-d", "-c", "--memory=8MB"], input=zstd_frame(content), capture_output=True)
    assert read.returncode == 0, read.stderr
    assert read.stdout == content


def test_the_binarys_own_tests_pass() -> None:
    try:
        go = tools(GO_MODULE, c_compiler=True)
    except EngineError as error:
        pytest.skip(str(error))
    packages = [f"./internal/{name}" for name in ("agent", "child", "config", "pki", "server", "token")]
    environment = {**os.environ, **WITH_SQLITE, "GOWORK": "off"}
    # Not vetted: that would look through all of Kubernetes first.
    command = [go, "test", "-mod=readonly", "-vet=off", *packages]
    done = subprocess.run(command, cwd=GO_MODULE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
