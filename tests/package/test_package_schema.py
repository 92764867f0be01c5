"""The schema of the package says what a site file says: the same types, choices, words, and what may be left out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from engine.environment import PROJECT_ROOT
from sitefile.spec_shape import TAGS
from stacks.catalogue import catalogue
from stacks.edge_site import outputs
from stacks.loader import load_site, site_names, site_shape
from stacks.package import schema as schema_module
from stacks.package.outputs import OUTPUTS
from stacks.package.schema import RESOURCE, SECRETS, WITHOUT, package_schema
from stacks.provenance import OUTPUT as BUILT_FROM
from stacks.site import SiteSpec

_PYTHON = {"string": str, "number": float, "integer": int, "boolean": bool}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return package_schema(PROJECT_ROOT)


def _properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every property of an input, by type and name."""
    resource = schema["resources"][RESOURCE]
    found = {f"EdgeSite.{name}": body for name, body in resource["inputProperties"].items()}
    for token, body in schema["types"].items():
        found |= {f"{token}.{name}": field for name, field in body.get("properties", {}).items()}
    return found


def test_a_copy_that_is_installed_nowhere_has_the_version_of_its_project_file(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = package_schema(PROJECT_ROOT)["version"]

    def nowhere(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(schema_module, "version", nowhere)
    assert package_schema(PROJECT_ROOT)["version"] == installed


def test_the_inputs_are_the_keys_of_a_site_file_with_secrets_and_without(schema: dict[str, Any]) -> None:
    inputs = schema["resources"][RESOURCE]["inputProperties"]
    assert inputs.keys() == {*SiteSpec.model_fields, SECRETS, WITHOUT}


def test_only_what_neither_the_model_nor_a_default_knows_is_required(schema: dict[str, Any]) -> None:
    assert schema["resources"][RESOURCE]["requiredInputs"] == ["tier", "region"]
    types = schema["types"]
    assert types["edge:index:HostSpec"]["required"] == ["name", "hardware", "address", "host_key"]
    # The defaults have the version of K3s and the gateway of telemetry.
    assert "required" not in types["edge:index:K3sSpec"] or types["edge:index:K3sSpec"]["required"] == []
    assert types["edge:index:TailscaleSpec"]["required"] == ["kind"]


def test_a_block_of_several_kinds_is_a_union_that_its_kind_tells_apart(schema: dict[str, Any]) -> None:
    mesh = schema["resources"][RESOURCE]["inputProperties"]["mesh"]
    assert mesh["discriminator"] == {
        "propertyName": "kind",
        "mapping": {"none": "#/types/edge:index:NoMesh", "tailscale": "#/types/edge:index:TailscaleSpec"},
    }
    assert {option["$ref"] for option in mesh["oneOf"]} == set(mesh["discriminator"]["mapping"].values())
    assert schema["types"]["edge:index:TailscaleSpec"]["properties"]["kind"]["const"] == "tailscale"


def test_every_union_of_the_model_is_one_in_the_schema(schema: dict[str, Any]) -> None:
    def unions(value: Any) -> int:
        if isinstance(value, list):
            return sum(map(unions, value))
        if not isinstance(value, dict):
            return 0
        below = {key: item for key, item in value.items() if key not in (TAGS, "discriminator", "examples", "default")}
        return ("discriminator" in value) + sum(map(unions, below.values()))

    assert unions(dict(site_shape().schema)) > 5
    found = [body for body in _walk(schema) if "discriminator" in body]
    assert len(found) == unions(dict(site_shape().schema))


def _walk(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in _walk(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(found for item in value.values() for found in _walk(item))]


def test_every_property_and_output_is_described(schema: dict[str, Any]) -> None:
    assert [name for name, body in _properties(schema).items() if not body.get("description")] == []
    assert [name for name, output in OUTPUTS.items() if not output.description] == []


def test_every_reference_leads_to_a_type_and_every_type_is_used(schema: dict[str, Any]) -> None:
    references = {body["$ref"].removeprefix("#/types/") for body in _walk(schema) if "$ref" in body}
    assert references == schema["types"].keys()


@pytest.mark.parametrize("site", site_names())
def test_each_output_of_a_site_is_declared_with_its_type(site: str) -> None:
    found = {**outputs(load_site(site), catalogue()), BUILT_FROM: "0123456789abcdef"}
    assert found.keys() <= OUTPUTS.keys()
    assert {name for name, output in OUTPUTS.items() if output.always} <= found.keys()
    wrong = {
        name: value
        for name, value in found.items()
        if value is not None and not isinstance(value, _PYTHON[OUTPUTS[name].type])
    }
    assert wrong == {}


def test_the_examples_have_every_output_that_is_declared() -> None:
    told = {name for site in site_names() for name in outputs(load_site(site), catalogue())}
    assert told | {BUILT_FROM} == OUTPUTS.keys()
