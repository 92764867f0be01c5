"""What a fleet decides: one file for `edge check` and the pack."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from policies.pack import policies
from policies.rules import DEFAULT_REGISTRIES, DEFAULT_SETTINGS, Settings, evaluate
from policies.settings import POLICIES, SettingsError, load
from tests.policies.cases import base


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path / "config.json") == DEFAULT_SETTINGS


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "edge-resources-mandatory": {
                "enforcementLevel": "mandatory",
                "more_registries": ["registry.example.com"],
                "mesh_key_hours": 48,
            },
            "all": "mandatory",
        },
    )
    assert load(path) == Settings((*DEFAULT_REGISTRIES, "registry.example.com"), 48)
    only = written(tmp_path, {"edge-resources-mandatory": {"registries": ["registry.example.com"]}})
    assert load(only).registries == ("registry.example.com",)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected a JSON object"),
        (
            {"edge-resources-mandatory": {"mesh_key_hours": "48"}},
            "edge-resources-mandatory: mesh_key_hours: expected a number",
        ),
        ({"edge-resources-mandatory": {"mesh_key_hours": 0}}, "from 1 to 2160"),
        ({"edge-resources-mandatory": {"registries": ["", "a"]}}, "registries: expected a list"),
        (
            {"edge-resources-mandatory": {"registry": ["a"]}},
            "config.json:1:31: registry is not a setting of edge-resources-mandatory: did you mean registries",
        ),
        (
            {"edge-resources-mandtory": "advisory"},
            "config.json:1:2: edge-resources-mandtory is not a policy of this pack: did you mean edge-resources-mand",
        ),
        (
            {"edge-stack-mandatory": {"mesh_key_hours": 24}},
            "mesh_key_hours is not a setting of edge-stack-mandatory",
        ),
        (
            {"edge-supply-chain-mandatory": {"more_registries": []}},
            "edge-supply-chain-mandatory is not a policy of this pack, and all settings are those of "
            "edge-resources-mandatory",
        ),
        (
            {"edge-resources-mandatory": {"enforcementLevel": "off"}},
            "enforcementLevel: expected one of advisory, mandatory",
        ),
        ({"all": "mandatry"}, "all: enforcementLevel: expected one of"),
        ({"edge-resources-mandatory": ["mesh_key_hours"]}, "expected an object of settings"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(written(tmp_path, document))


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(SettingsError, match=r"config\.json:1:2: not JSON"):
        load(path)


def test_the_life_of_a_mesh_key_is_a_setting() -> None:
    key = dataclasses.replace(base("tailnet-key"), props={**base("tailnet-key").props, "expiry": 36 * 3600.0})
    assert [finding.path for finding in evaluate(key)] == ["expiry"]
    assert evaluate(key, Settings(mesh_key_hours=36)) == ()


def test_a_registry_is_allowed_by_whole_segments_of_its_path() -> None:
    deployment = base("deployment")
    assert evaluate(deployment, Settings(registries=("nvcr.io", "registry.k8s.io/", "docker.io"))) == ()
    found = evaluate(deployment, Settings(registries=("nvcr.io/nv", "registry.k8s.io", "docker.io/curlimages/curl")))
    assert [finding.path for finding in found] == ["spec.template.spec.containers[0].image"]


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"all": "mandatory", "all": "disabled"}')
    with pytest.raises(SettingsError, match="all is there twice"):
        load(path)


def test_the_policies_of_the_settings_are_those_of_the_pack() -> None:
    assert tuple(policy.name for policy in policies()) == POLICIES
