"""Inputs of the component are checked as a site file is, and make the same resources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from engine.environment import PROJECT_ROOT
from engine.rehearsal.in_process import Recording, Secret, record
from engine.rehearsal.values import reveal
from engine.rehearsal.world import World
from sitefile.problems import FileError
from sitefile.yaml_source import read
from sitefile.yaml_tree import plain, scalars
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site, site_checker, site_files, site_names
from stacks.package.inputs import explained, site_of
from stacks.package.provider import EdgeProvider
from stacks.package.schema import RESOURCE
from stacks.parts import required
from tests.package.yaml_program import written
from tests.promises.recordings import SECRET_MARK
from tests.promises.test_secrets_in_resources import holds_secret
from tests.registered import of_recording
from tests.stacks.test_same_graph import recorded

_INVALID = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "invalid"
_SECRET = "value-of-a-secret"


def _constructed(
    name: str,
    inputs: Mapping[str, Any],
    config: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> Recording:
    """What the component registers. ``outputs`` come as secrets, by key, from another resource that marks nothing."""
    spec = load_site("demo" if name not in site_names() else name)
    if config is None:
        config = {f"edge:{need.key}": PLACEHOLDER + need.key for need in required(spec)}

    def program() -> None:
        secrets = {key: pulumi.Output.from_input(value) for key, value in (outputs or {}).items()}
        EdgeProvider(PROJECT_ROOT).construct(name, RESOURCE, {**inputs, "secrets": secrets} if outputs else inputs)

    return record(
        program,
        project="edge",
        stack=name,
        config=config,
        secret_keys=list(config),
        world=World.of(spec.model_dump(mode="json")),
    )


@pytest.mark.parametrize("site", site_names())
def test_the_component_registers_what_the_site_file_does(site: str) -> None:
    by_program = {r.urn: of_recording(r) for r in _constructed(site, _as_the_engine_sends(written(site))).resources}
    by_file = {r.urn: of_recording(r) for r in recorded(load_site(site)).resources}
    assert by_program == by_file


def _as_the_engine_sends(value: Any) -> Any:
    """Numbers are decimal ones in the engine's protocol."""
    if isinstance(value, dict):
        return {key: _as_the_engine_sends(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_the_engine_sends(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _invalid() -> list[Path]:
    """Files whose text is fine and whose content is not, of those that are valid in no other way."""
    return [path for path in site_files(folder=_INVALID) if _comparable(path)]


def _comparable(path: Path) -> bool:
    source = read(path)
    if source.tree is None or source.problems or source.tree.entries.keys() & {"site"} != {"site"}:
        return False
    return all(node.value is not None for _, node in scalars(source.tree)) and plain(source.tree)["site"] == path.stem


@pytest.mark.parametrize("path", _invalid(), ids=lambda path: path.stem)
def test_what_a_site_file_may_not_say_an_input_may_not_either(path: Path) -> None:
    source = read(path)
    assert source.tree is not None
    problems = site_checker().check_source(source).problems
    # A secret that has no path stands in a comment, which no input has.
    by_file = {(one.path, one.what) for one in problems if one.path or one.code != "plain-secret"}
    by_input: set[tuple[str, str]] = set()
    try:
        site_of(path.stem, plain(source.tree), PROJECT_ROOT)
    except FileError as error:
        by_input = {(problem.path, problem.what) for problem in error.problems}
    assert by_input == by_file


def test_there_are_enough_invalid_files_to_compare() -> None:
    assert len(_invalid()) > 200


def _refusal(inputs: Mapping[str, Any], name: str = "demo", config: Mapping[str, str] | None = None) -> str:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        _constructed(name, inputs, config)
    assert refused.value.errors == [], "the engine shows the values of properties that are named in details"
    return refused.value.message


def test_a_value_that_is_not_known_yet_is_refused_by_its_path() -> None:
    def program() -> None:
        inputs = written("demo")
        inputs["hosts"][0]["address"] = pulumi.Output.from_input("10.10.0.11")
        with pytest.raises(FileError) as refused:
            site_of("demo", inputs, PROJECT_ROOT)
        assert "hosts[0].address: the value is a secret, or an output" in explained("demo", refused.value)

    record(program, project="edge", stack="demo", config={})


def test_the_site_has_the_name_of_its_resource() -> None:
    assert "site: the site is `demo` but the resource is `shop`" in _refusal(written("demo"), "shop")
    unnamed = {key: value for key, value in written("demo").items() if key != "site"}
    assert site_of("demo", unnamed, PROJECT_ROOT) == load_site("demo")


def test_a_default_that_does_not_hold_is_removed_by_its_path() -> None:
    inputs = {**written("demo"), "telemetry": {"gateway": "https://otlp.example.com", "out_of_order_hours": None}}
    said = _refusal(inputs)
    assert "telemetry.gateway: `telemetry.instance_id` would come from stacks/sites/_defaults.yaml" in said
    assert "list the path below `without`" in said
    spec = site_of("demo", {**inputs, "without": ["telemetry.instance_id"]}, PROJECT_ROOT)
    assert spec.telemetry is not None
    assert spec.telemetry.instance_id is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("telemetry.gateway", "`telemetry.gateway` has a value here"),
        ("uplink.kind", "`uplink.kind` is in no block that is here"),
        ("k3s.version.patch", "`k3s.version.patch` is in no block that is here"),
    ],
)
def test_a_path_that_removes_nothing_is_refused(path: str, said: str) -> None:
    inputs = {**written("demo"), "telemetry": {"gateway": "https://otlp.example.com"}, "without": [path]}
    assert f"without[0]: {said}" in _refusal(inputs)


def test_all_missing_secrets_are_named_at_once() -> None:
    said = _refusal(written("demo"), config={"edge:k3s-token": _SECRET})
    keys = {need.key for need in required(load_site("demo"))}
    missing = {key for key in keys if f"secrets.{key}: it is missing" in said}
    assert missing == keys - {"k3s-token"}
    assert _SECRET not in said


def test_a_secret_in_plain_text_is_refused_and_not_shown() -> None:
    said = _refusal({**written("demo"), "secrets": {"k3s-token": _SECRET}})
    assert "secrets.k3s-token: a secret in plain text" in said
    assert _SECRET not in said


def test_a_secret_that_no_part_needs_is_refused() -> None:
    said = _refusal({**written("demo"), "secrets": {"k3s-tokn": _SECRET}})
    assert "secrets.k3s-tokn: this site needs no such secret" in said
    assert "write `k3s-token`" in said
    assert _SECRET not in said


@pytest.mark.parametrize("site", ["clinic-vienna", "prod", "plant-osaka"])
def test_a_value_below_secrets_is_a_secret_in_every_resource(site: str) -> None:
    def unmarked(value: Any) -> str:
        if isinstance(value, dict):
            return "".join(unmarked(item) for item in value.values())
        if isinstance(value, list):
            return "".join(unmarked(item) for item in value)
        return "" if isinstance(value, Secret) else f"{value}\n"

    values = {need.key: SECRET_MARK + need.key for need in required(load_site(site))}
    made = _constructed(site, written(site), outputs=values).resources
    assert any(holds_secret(reveal(resource.inputs)) for resource in made)
    for resource in made:
        assert not holds_secret(unmarked(resource.inputs) + unmarked(resource.outputs)), resource.urn


def test_consent_that_cannot_be_read_is_refused() -> None:
    config = {f"edge:{need.key}": _SECRET for need in required(load_site("demo"))}
    with pytest.raises(pulumi.InputPropertiesError, match="edge:allow-destroy"):
        _constructed("demo", written("demo"), {**config, "edge:allow-destroy": "=,="})
