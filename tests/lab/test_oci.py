"""What the lab's registry serves, as a client of the distribution protocol sees it."""

from __future__ import annotations

import hashlib
import io
import json
import ssl
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.authority import Authority
from lab.oci.artifact import Program, chart, image, layer
from lab.oci.registry import Registry

IMAGE = image([layer([("/opt/x/run", b"\x7fELF", 0o755)])], Program(["/opt/x/run"], environment={"A": "1"}))

Get = Callable[[str], tuple[bytes, Any]]


@pytest.fixture(scope="module")
def get() -> Iterator[Get]:
    with Authority() as authority, Registry(authority, "127.0.0.1", {"acme/x": {"1": IMAGE}}) as registry:
        trust = ssl.create_default_context(cafile=str(authority.ca_file))

        def answer(path: str) -> tuple[bytes, Any]:
            with urllib.request.urlopen(f"https://{registry.host}{path}", context=trust, timeout=10) as said:
                return said.read(), said.headers

        yield answer


@pytest.mark.parametrize("reference", ["1", IMAGE.digest])
def test_an_image_is_found_by_its_tag_and_by_its_digest(get: Get, reference: str) -> None:
    content, headers = get(f"/v2/acme/x/manifests/{reference}")
    assert headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert headers["Content-Type"] == json.loads(content)["mediaType"]


def test_every_blob_that_a_manifest_names_is_served_as_it_was_measured(get: Get) -> None:
    manifest = json.loads(get("/v2/acme/x/manifests/1")[0])
    for blob in (manifest["config"], *manifest["layers"]):
        content, _ = get(f"/v2/acme/x/blobs/{blob['digest']}")
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
        assert len(content) == blob["size"]


def test_tags_are_listed(get: Get) -> None:
    assert json.loads(get("/v2/acme/x/tags/list")[0])["tags"] == ["1"]


@pytest.mark.parametrize(
    "path", ["/", "/v2/acme/y/manifests/1", "/v2/acme/x/manifests/2", f"/v2/acme/x/blobs/sha256:{'0' * 64}"]
)
def test_what_is_not_there_is_not_found(get: Get, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(path)


def test_a_layer_has_the_folders_above_its_files_and_its_links() -> None:
    with tarfile.open(
        fileobj=io.BytesIO(layer([("/a/b/c", b"1", 0o644), ("/a/d", b"2", 0o600)], [("/a/e", "d")]))
    ) as archive:
        assert [(entry.name, entry.isdir(), entry.linkname) for entry in archive] == [
            ("a", True, ""),
            ("a/b", True, ""),
            ("a/b/c", False, ""),
            ("a/d", False, ""),
            ("a/e", False, "d"),
        ]


def test_a_charts_configuration_is_its_own_description() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in (("x/charts/y/Chart.yaml", b"name: y"), ("x/Chart.yaml", b"name: x\nversion: 1.0.0")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    made = chart(out.getvalue())
    config = json.loads(made.manifest)["config"]
    told = made.blobs[config["digest"]]
    assert isinstance(told, bytes)
    assert json.loads(told) == {"name": "x", "version": "1.0.0"}
