from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.stack_settings import placeholders, read_settings
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site
from stacks.parts import required
from stacks.site import SiteSpec


@pytest.fixture(scope="module")
def demo() -> SiteSpec:
    return load_site("demo")


def write(root: Path, text: str) -> None:
    (root / "Pulumi.demo.yaml").write_text(text)


def test_without_a_file_every_required_secret_is_missing(tmp_path: Path, demo: SiteSpec) -> None:
    settings = read_settings(tmp_path, "demo")
    assert not settings.exists
    assert settings.missing(demo) == required(demo)


def test_an_encrypted_secret_is_there(tmp_path: Path, demo: SiteSpec) -> None:
    write(tmp_path, "config:\n  edge:k3s-token:\n    secure: v1:abc:def\n")
    settings = read_settings(tmp_path, "demo")
    assert "k3s-token" not in [need.key for need in settings.missing(demo)]
    assert "ssh-private-key" in [need.key for need in settings.missing(demo)]
    assert settings.exposed(demo) == ()


def test_a_secret_in_plain_text_is_exposed_rather_than_missing(tmp_path: Path, demo: SiteSpec) -> None:
    write(tmp_path, "config:\n  edge:k3s-token: hunter2\n  edge:site: demo\n")
    settings = read_settings(tmp_path, "demo")
    assert settings.exposed(demo) == ("k3s-token",)
    assert "k3s-token" not in [need.key for need in settings.missing(demo)]


def test_a_key_without_a_namespace_is_the_projects(tmp_path: Path, demo: SiteSpec) -> None:
    write(tmp_path, "config:\n  k3s-token: {secure: v1:abc:def}\n")
    assert "edge:k3s-token" in read_settings(tmp_path, "demo").secure


def test_a_key_without_a_namespace_is_none_of_ours_in_a_project_of_another_name(tmp_path: Path, demo: SiteSpec) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: shops\nruntime: python\n")
    (tmp_path / "Pulumi.demo.yaml").write_text("config:\n  k3s-token: {secure: v1:x}\n")
    settings = read_settings(tmp_path, "demo")
    assert "k3s-token" in [need.key for need in settings.missing(demo)]
    assert settings.secure == {"shops:k3s-token": "v1:x"}


def test_with_an_esc_environment_the_file_does_not_tell_what_is_missing(tmp_path: Path, demo: SiteSpec) -> None:
    write(tmp_path, "environment: [edge/prod]\n")
    assert read_settings(tmp_path, "demo").missing(demo) == ()


def test_plain_values_keep_pulumis_spelling(tmp_path: Path) -> None:
    write(tmp_path, "config:\n  edge:site: demo\n  aws:skipRegionValidation: true\n  edge:n: 3\n")
    assert read_settings(tmp_path, "demo").plain == {
        "edge:site": "demo",
        "aws:skipRegionValidation": "true",
        "edge:n": "3",
    }


def test_an_empty_file_is_no_settings(tmp_path: Path) -> None:
    write(tmp_path, "# nothing yet\n")
    assert read_settings(tmp_path, "demo").plain == {}


def test_every_required_secret_has_a_placeholder_that_names_it(demo: SiteSpec) -> None:
    assert placeholders(demo) == {need.key: PLACEHOLDER + need.key for need in required(demo)}
