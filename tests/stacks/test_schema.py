"""The JSON Schema for editors is up to date, and agrees with the loader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sitefile.yaml_source import read
from sitefile.yaml_tree import plain
from stacks import schema
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import site_files

COMMITTED = PROJECT_ROOT / schema.FILE
VALID = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "valid"


def _written(path: Path) -> dict[str, Any]:
    tree = read(path).tree
    assert tree is not None
    data: dict[str, Any] = plain(tree)
    return data


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    document = json.loads(schema.render())
    jsonschema.Draft7Validator.check_schema(document)
    return jsonschema.Draft7Validator(document)


def _complaints(validator: jsonschema.Draft7Validator, data: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def test_the_committed_schema_is_up_to_date() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == schema.render(), "run `edge schema --write`"


@pytest.mark.parametrize("path", site_files(), ids=lambda path: path.stem)
def test_every_site_satisfies_the_schema_and_names_it(path: Path, validator: jsonschema.Draft7Validator) -> None:
    assert _complaints(validator, _written(path)) == []
    first = path.read_text(encoding="utf-8").split("\n")[0]
    assert first == "# yaml-language-server: $schema=../site.schema.json"


@pytest.mark.parametrize("path", site_files(folder=VALID), ids=lambda path: path.stem)
def test_an_unusual_but_valid_site_is_not_underlined(path: Path, validator: jsonschema.Draft7Validator) -> None:
    assert _complaints(validator, _written(path)) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lables": {}}, "lables"),
        ({"tier": "neer"}, "neer"),
        ({"hosts": [{"name": "a"}]}, "hardware"),
        ({"hosts": [{"name": "a", "hardware": "poweredge", "address": "x", "host_key": "y"}]}, "poweredge"),
        ({"mesh": {"kind": "tailscale", "tag": ["x"]}}, "tag"),
        ({"mesh": {"kind": "wireguard"}}, "wireguard"),
        ({"mesh": {}}, "kind"),
        ({"k3s": {"pod_max_pids": "many"}}, "many"),
        ({"inference": {"triton": {"models": ["yolov9-spacial"]}}}, "yolov9-spacial"),
    ],
)
def test_what_the_loader_refuses_the_editor_underlines(
    change: dict[str, Any], complaint: str, validator: jsonschema.Draft7Validator
) -> None:
    data = {**_written(PROJECT_ROOT / "stacks" / "sites" / "demo.yaml"), **change}
    complaints = _complaints(validator, data)
    assert complaints
    assert complaint in " ".join(complaints)


def test_what_defaults_fill_in_may_be_left_out_or_taken_away(validator: jsonschema.Draft7Validator) -> None:
    data = _written(PROJECT_ROOT / "stacks" / "sites" / "demo.yaml")
    assert _complaints(validator, {**data, "k3s": {}, "telemetry": {"instance_id": None}}) == []
    assert _complaints(validator, {**data, "telemetry": None}) == []
    del data["region"]
    assert _complaints(validator, data) == ["$: 'region' is a required property"]


SHARED: dict[str, Sequence[str | Path]] = {
    "stacks/defaults.schema.json": ["stacks/sites/_defaults.yaml", "stacks/program_defaults.yaml"],
    "stacks/groups.schema.json": sorted((PROJECT_ROOT / "stacks/groups").glob("*.yaml")),
    "stacks/fleet.schema.json": ["stacks/fleet.yaml"],
    "stacks/profiles/hardware.schema.json": sorted((PROJECT_ROOT / "stacks/profiles/hardware").glob("*.yaml")),
    "stacks/profiles/accelerators.schema.json": ["stacks/profiles/accelerators.yaml"],
    "stacks/profiles/tiers.schema.json": sorted((PROJECT_ROOT / "stacks/profiles/tiers").glob("*.yaml")),
    "components/inference/triton/models.schema.json": ["components/inference/triton/models.yaml"],
}


def test_the_settings_of_the_policies_satisfy_their_schema() -> None:
    document = json.loads((PROJECT_ROOT / "policies/config.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(document)
    settings = json.loads((PROJECT_ROOT / "policies/config.json").read_text(encoding="utf-8"))
    every_level = {
        "all": "advisory",
        "edge-resources-mandatory": {"enforcementLevel": "disabled", "mesh_key_hours": 12},
    }
    for valid in (settings, {}, {"$schema": "config.schema.json", **every_level}):
        assert _complaints(jsonschema.Draft7Validator(document), valid) == []


@pytest.mark.parametrize("file", schema.SCHEMAS, ids=lambda file: file.name)
def test_each_committed_schema_is_up_to_date(file: Path) -> None:
    assert (PROJECT_ROOT / file).read_text(encoding="utf-8") == schema.render(file), "run `edge schema --write`"


@pytest.mark.parametrize(
    ("name", "data"), [(name, PROJECT_ROOT / file) for name, files in SHARED.items() for file in files]
)
def test_every_shared_file_satisfies_its_schema_and_names_it(name: str, data: Path) -> None:
    document = json.loads((PROJECT_ROOT / name).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(document)
    assert _complaints(jsonschema.Draft7Validator(document), _written(data)) == []
    named = data.read_text(encoding="utf-8").split("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert (data.parent / named).resolve() == PROJECT_ROOT / name


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("stacks/defaults.schema.json", {"always": {"teir": "near"}}, "teir"),
        ("stacks/defaults.schema.json", {"when_present": {"k3s": {"pod_max_pids": "many"}}}, "many"),
        ("stacks/defaults.schema.json", {"allways": {}}, "allways"),
        ("stacks/profiles/hardware.schema.json", {"vendor": "x"}, "model"),
        ("stacks/profiles/accelerators.schema.json", {"x": {"kind": "gpu"}}, "gpu"),
        ("stacks/profiles/tiers.schema.json", {"description": "x"}, "latency_ms"),
        ("components/inference/triton/models.schema.json", {"x": {"backend": "onnx"}}, "onnx"),
        ("policies/waivers.schema.json", {"waivers": [{"rule": "network/mtls-strict"}]}, "reason"),
        ("policies/waivers.schema.json", {"waivers": [{"site": "demo"}]}, "site"),
        ("policies/config.schema.json", {"edge-resources-mandatory": {"mesh_key_hours": 9000}}, "not valid"),
        ("policies/config.schema.json", {"edge-netwrok-mandatory": "advisory"}, "netwrok"),
    ],
)
def test_a_wrong_shared_file_is_underlined(name: str, data: dict[str, Any], complaint: str) -> None:
    document = json.loads((PROJECT_ROOT / name).read_text(encoding="utf-8"))
    assert complaint in " ".join(_complaints(jsonschema.Draft7Validator(document), data))


def test_every_field_has_a_description_to_show() -> None:
    document = schema.site_schema()
    silent = [
        f"{name}.{key}"
        for name, body in [("site", document), *document["definitions"].items()]
        for key, field in body.get("properties", {}).items()
        if not field.get("description")
    ]
    assert silent == []
