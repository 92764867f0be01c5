"""`edge sbom --sizes`: what registries and publishers say, asked by the real `crane`; what `edge pr` adds up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge.run.bill import Item, bill_of
from edge.run.failure import OperationError
from edge.run.sizes import asked_for, load, renew, size_of
from edge.run.uplink import Before, Fetched, fetched
from engine.environment import PROJECT_ROOT
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.https import Answer, FileServer
from lab.oci.artifact import Artifact, Program, image, layer
from lab.oci.build import crane
from lab.oci.registry import Registry
from stacks.loader import load_site

_INDEX = "application/vnd.oci.image.index.v1+json"
FILE = b"x" * 12_345


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as made:
        yield made


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


@pytest.fixture
def with_crane(trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        folder = crane().parent
    except EngineError as error:
        pytest.fail(f"crane is needed: {error}")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def without_crane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sites").mkdir()
    return tmp_path


def of_two_architectures() -> dict[str, Artifact]:
    """An image for amd64 and arm64, as a registry keeps it, by tag."""
    found = {
        arch: image([layer([("/program", arch.encode() * size, 0o755)])], Program(["/program"]), arch=arch)
        for arch, size in (("amd64", 1_000), ("arm64", 5_000))
    }
    children = [
        {
            "mediaType": one.media_type,
            "digest": one.digest,
            "size": len(one.manifest),
            "platform": {"os": "linux", "architecture": arch},
        }
        for arch, one in found.items()
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": children}).encode()
    return {"1": Artifact(index, {}, _INDEX), **found}


def weight(artifact: Artifact) -> int:
    """Bytes of all blobs."""
    return sum(len(blob) for blob in artifact.blobs.values() if isinstance(blob, bytes))


def asked(item: Item, *archs: str) -> Sequence[tuple[Item, str]]:
    return list(asked_for([item], archs))


@pytest.mark.usefixtures("with_crane")
def test_an_image_has_the_bytes_of_its_layers_for_each_architecture(authority: Authority, project: Path) -> None:
    tags = of_two_architectures()
    with Registry(authority, "127.0.0.1", {"tools/program": tags}) as registry:
        pinned = Item("image", f"{registry.host}/tools/program", "1", tags["1"].digest.removeprefix("sha256:"))
        found = renew(asked(pinned, "amd64", "arm64"), project)
    assert found.problems == ()
    assert load(project) == {pinned.digest: {arch: weight(tags[arch]) for arch in ("amd64", "arm64")}}
    assert size_of(pinned, ["amd64", "arm64"], load(project)) == weight(tags["arm64"])


@pytest.mark.usefixtures("with_crane")
def test_a_model_in_a_registry_has_the_bytes_of_its_layers_if_it_is_the_pinned_one(
    authority: Authority, project: Path
) -> None:
    model = image([layer([("/model", b"m" * 9_000, 0o644)])], Program(["/model"]))
    with Registry(authority, "127.0.0.1", {"library/model": {"7b": model}}) as registry:
        source = f"oci://{registry.host}/library/model:7b"
        pinned = Item("machine-learning-model", "model", "7b", model.digest.removeprefix("sha256:"), source=source)
        other = Item("machine-learning-model", "other", "7b", "c" * 64, source=source)
        found = renew([*asked(pinned, "amd64"), *asked(other, "amd64")], project)
    assert load(project) == {pinned.digest: {"any": weight(model)}}
    (problem,) = found.problems
    assert "other 7b" in problem
    assert "something else under this name" in problem


@pytest.mark.usefixtures("trusted")
def test_a_file_has_the_length_that_its_publisher_says_and_needs_no_crane(
    authority: Authority, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer(authority, "127.0.0.1", lambda path: Answer(FILE) if path == "/k3s" else None) as server:
        there = Item("application", "k3s", "1", "a" * 64, source=f"https://{server.host}/k3s", arch="amd64")
        gone = Item("application", "gone", "1", "b" * 64, source=f"https://{server.host}/gone", arch="amd64")
        monkeypatch.setenv("PATH", str(project))
        found = renew([*asked(there), *asked(gone)], project)
    assert load(project) == {"a" * 64: {"any": len(FILE)}}
    (problem,) = found.problems
    assert "gone 1 (amd64)" in problem
    assert "404" in problem


@pytest.mark.usefixtures("without_crane")
def test_what_is_recorded_is_not_asked_for_again(project: Path) -> None:
    (project / "sizes.json").write_text(json.dumps({"a" * 64: {"amd64": 7}}))
    found = renew(asked(Item("image", "example.com/program", "1", "a" * 64), "amd64"), project)
    assert (found.asked, found.problems) == (0, ())


@pytest.mark.usefixtures("without_crane")
def test_images_without_crane_are_refused_before_anything_is_asked(project: Path) -> None:
    with pytest.raises(OperationError, match="crane not found on PATH"):
        renew(asked(Item("image", "example.com/program", "1", "a" * 64), "amd64"), project)
    assert not (project / "sizes.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"amd64": "much"}}'])
def test_a_damaged_record_is_refused_and_says_the_way_out(project: Path, text: str) -> None:
    (project / "sizes.json").write_text(text)
    with pytest.raises(OperationError, match=r"sizes\.json cannot be used") as raised:
        load(project)
    assert "edge sbom --all --sizes" in "".join(raised.value.remedies)


# What a change fetches.


def test_a_new_site_fetches_all_that_it_runs_and_images_once_where_hosts_share_them() -> None:
    bill = bill_of("prod", PROJECT_ROOT)
    (collector,) = (item for item in bill.items if item.name.endswith("opentelemetry-collector-contrib"))
    (triton,) = (item for item in bill.items if item.name.endswith("tritonserver"))
    (k3s,) = (item for item in bill.items if item.name == "k3s")
    sizes = {collector.digest: {"amd64": 100}, triton.digest: {"amd64": 10_000}, k3s.digest: {"any": 1}}
    found = fetched("prod", PROJECT_ROOT, None, sizes)
    hosts = len(load_site("prod", root=PROJECT_ROOT).hosts)
    assert found.known_bytes == 100 + 10_000 + hosts * 1
    assert {name.partition(" ")[0] for name in found.unknown} >= {"flux", "tailscale"}
    assert not any("flux-operator" in name for name in (*found.known, *found.unknown)), (
        "charts are not fetched by a site"
    )


def test_hosts_that_share_no_images_fetch_each_their_own() -> None:
    (collector,) = (
        item for item in bill_of("shelf-lyon", PROJECT_ROOT).items if item.name.endswith("collector-contrib")
    )
    assert len(collector.where) == 2
    sizes = {collector.digest: dict.fromkeys(("amd64", "arm64"), 100)}
    assert fetched("shelf-lyon", PROJECT_ROOT, None, sizes).known_bytes == 2 * 100


def test_without_a_state_nothing_is_taken_to_be_there() -> None:
    spec = load_site("prod", root=PROJECT_ROOT)
    assert fetched("prod", PROJECT_ROOT, Before(spec, PROJECT_ROOT, None), {}) == fetched(
        "prod", PROJECT_ROOT, None, {}
    )


def test_time_is_that_of_the_uplinks_usual_throughput() -> None:
    assert Fetched(1_250_000, (), (), down_mbps=10).seconds == 1.0
    assert Fetched(1_250_000, (), ()).seconds is None
