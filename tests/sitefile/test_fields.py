"""The tree of fields: names with kinds, defaults and choices from the model, and what layers fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Pydantic

from sitefile.fields import NO_DEFAULT, Field, Fields
from sitefile.layers import read_layers
from sitefile.spec_shape import SpecShape
from sitefile.yaml_tree import plain


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Disk(Spec):
    """A disk of its own."""

    kind: Literal["disk"] = "disk"
    size_gib: Annotated[int, Pydantic(ge=1, le=64)] = 8
    """Size of the disk."""


class Remote(Spec):
    """A disk elsewhere."""

    kind: Literal["remote"]
    url: str
    """Where it is, such as `https://disk.example.com`."""


Store = Annotated[Disk | Remote, Pydantic(discriminator="kind")]


class Box(Spec):
    """One box of the plant."""

    name: Annotated[str, Pydantic(max_length=8)]
    """Name of the box."""

    zone: Literal["near", "far"] = "near"
    """Where it stands."""


class Plant(Spec):
    """A plant."""

    unit: str
    """Id of the plant."""

    boxes: tuple[Box, ...] = ()
    """Its boxes."""

    store: Store = Disk()
    """Where it keeps what it made."""

    stores: tuple[Store, ...] = ()
    """More of these."""

    mirrors: dict[str, Box] = {}
    """Boxes by the name of what they mirror."""

    seconds: float | None = None
    """No unit is in this name."""


@pytest.fixture
def fields() -> Fields:
    return Fields(SpecShape(Plant))


def one(fields: Fields, name: str) -> Field:
    (found,) = fields.named(name)
    return found


def test_a_field_says_its_type_meaning_default_and_limits(fields: Fields) -> None:
    size = one(fields, "store.disk.size_gib")
    assert (size.type, size.unit, size.description) == ("whole number", "GiB", "Size of the disk.")
    assert (size.default, size.required) == (8, False)
    assert size.limits == ("at least 1", "at most 64")


@pytest.mark.parametrize("name", ["boxes.name", "boxes[].name", "boxes[3].name"])
def test_a_list_is_passed_through_without_an_index(fields: Fields, name: str) -> None:
    assert one(fields, name).path == "boxes.name"
    assert one(fields, name).default is NO_DEFAULT
    assert one(fields, name).required


def test_a_mapping_is_passed_through_without_a_name(fields: Fields) -> None:
    assert one(fields, "mirrors").type == "mapping of names to blocks"
    assert one(fields, "mirrors.zone").allowed == ("near", "far")


def test_a_kind_is_a_word_of_the_name(fields: Fields) -> None:
    assert one(fields, "store.remote").description == "A disk elsewhere."
    assert [field.name for field in one(fields, "store.remote").fields] == ["kind", "url"]
    assert one(fields, "store.remote.url").keys == ("store", "url")


def test_the_key_that_chooses_a_kind_knows_all_kinds_and_the_default_one(fields: Fields) -> None:
    kind = one(fields, "store.kind")
    assert (kind.allowed, kind.default) == (("disk", "remote"), "disk")
    assert one(fields, "stores.kind").required


def test_without_the_kind_a_field_is_found_in_the_kinds_that_have_it(fields: Fields) -> None:
    assert [field.path for field in fields.named("store.url")] == ["store.remote.url"]
    assert [field.path for field in fields.named("stores.url")] == ["stores.remote.url"]


def test_an_example_is_taken_from_the_description(fields: Fields) -> None:
    assert one(fields, "store.remote.url").examples == ("https://disk.example.com",)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("boxs.name", ["boxes.name"]),
        ("boxes.nmae", ["boxes.name"]),
        ("store.remot.url", ["store.remote.url"]),
        ("size_gib", ["store.disk.size_gib", "stores.disk.size_gib"]),
        ("nothing.like.it", []),
    ],
)
def test_a_name_that_is_none_leads_to_those_that_are_near(fields: Fields, name: str, near: list[str]) -> None:
    assert fields.named(name) == ()
    assert fields.near(name) == near


def test_what_layers_fill_in_is_found_with_the_condition_under_which_it_holds(fields: Fields, tmp_path: Path) -> None:
    (tmp_path / "defaults.yaml").write_text(
        "always: {unit: u}\nwhen_present:\n  store: {size_gib: 5}\nwhen_kind:\n  stores: {remote: {url: x}}\n"
    )
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "u.yaml").write_text("defaults: {seconds: 7}\n")
    layers = read_layers([tmp_path / "defaults.yaml"], tmp_path, {"unit": [tmp_path / "units"]})

    def filled(name: str) -> list[tuple[str, object, int]]:
        return [
            (where, plain(node), node.position.line)
            for field in fields.named(name)
            for where, node in field.filled_in(layers)
        ]

    assert filled("unit") == [("", "u", 1)]
    assert filled("store.disk.size_gib") == [("", 5, 3)]
    assert filled("stores.remote.url") == [("", "x", 5)]
    assert filled("store.remote.url") == [], "a condition on another block"
    assert filled("seconds") == [("unit: u", 7, 1)]


def test_the_file_itself_has_all_fields(fields: Fields) -> None:
    (root,) = fields.named("")
    assert [field.name for field in root.fields] == ["unit", "boxes", "store", "stores", "mirrors", "seconds"]
    assert one(fields, "seconds").unit == ""
