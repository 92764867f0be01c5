"""The editor's schema: what layers fill in is not required in the file, and a union is one block."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field

from sitefile.layers import Layers, read_layers
from sitefile.schema import editor_schema
from sitefile.spec_shape import SpecShape


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Arc(Spec):
    kind: Literal["arc"]
    chart: str
    group: str


class Rancher(Spec):
    kind: Literal["rancher"]
    chart: str


Manager = Annotated[Arc | Rancher, Field(discriminator="kind")]


class Queue(Spec):
    gateway: str


class Plant(Spec):
    unit: str
    """Id of the plant."""

    zone: Literal["near", "far"]
    one: Manager = Rancher(kind="rancher", chart="1")
    managers: tuple[Manager, ...] = ()
    others: tuple[Manager, ...] | None = None
    queue: Queue | None = None


def _schema(tmp_path: Path, defaults: str = "", near: str = "") -> dict[str, Any]:
    (tmp_path / "defaults.yaml").write_text(defaults)
    (tmp_path / "near.yaml").write_text(near)
    layers = read_layers([tmp_path / "defaults.yaml"], tmp_path, {"zone": [tmp_path]}) if defaults else Layers()
    schema = editor_schema(SpecShape(Plant).schema, layers, "Plant")
    jsonschema.Draft7Validator.check_schema(schema)
    return schema


def _complaints(schema: dict[str, Any], data: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(data)]


def _plant(**more: object) -> dict[str, object]:
    return {"unit": "x", "zone": "near", **more}


def test_without_layers_the_file_is_the_whole_model(tmp_path: Path) -> None:
    schema = _schema(tmp_path)
    assert schema["title"] == "Plant"
    assert _complaints(schema, {"unit": "x"}) == ["$: 'zone' is a required property"]
    assert _complaints(schema, _plant(managers=[{"kind": "arc", "chart": "1", "group": "g"}])) == []
    assert _complaints(schema, _plant(managers=[{"kind": "rancher"}])) == [
        "$.managers[0]: 'chart' is a required property"
    ]


@pytest.mark.parametrize("path", ["managers", "others"])
def test_what_is_filled_in_by_kind_is_not_required_in_an_entry(path: str, tmp_path: Path) -> None:
    schema = _schema(tmp_path, f"when_kind: {{{path}: {{rancher: {{chart: '1'}}}}}}")
    assert _complaints(schema, _plant(**{path: [{"kind": "rancher"}]})) == []
    assert _complaints(schema, _plant(**{path: [{"kind": "rancher", "chart": None}]})) == []
    assert _complaints(schema, _plant(**{path: [{"kind": "arc", "group": "g"}]})), "the other kind has no default"


def test_what_is_filled_in_by_kind_is_not_required_in_a_block(tmp_path: Path) -> None:
    schema = _schema(tmp_path, "when_kind: {one: {arc: {chart: '1'}}}")
    assert _complaints(schema, _plant(one={"kind": "arc", "group": "g"})) == []


def test_what_a_selected_layer_fills_in_is_not_required_either(tmp_path: Path) -> None:
    schema = _schema(tmp_path, "always: {}", near="defaults: {when_present: {queue: {gateway: g}}}")
    assert _complaints(schema, _plant(queue={})) == []


def test_a_union_complains_about_the_chosen_kind_only(tmp_path: Path) -> None:
    schema = _schema(tmp_path)
    assert _complaints(schema, _plant(one={"kind": "arc", "chart": "1"})) == ["$.one: 'group' is a required property"]


def test_the_models_own_schema_is_left_alone(tmp_path: Path) -> None:
    shape = SpecShape(Plant)
    before = repr(shape.schema)
    (tmp_path / "defaults.yaml").write_text("when_kind: {managers: {rancher: {chart: '1'}}}")
    editor_schema(shape.schema, read_layers([tmp_path / "defaults.yaml"], tmp_path), "Plant")
    assert repr(shape.schema) == before
