"""Which providers of a lab run have effect, which are rehearsed, and what official plugins change about that."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.rehearsal.providers import PROVIDERS
from lab.providers.serving import WITH_EFFECT, LabProviders, OfficialPluginMissing


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with no plugins on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _names(providers: LabProviders) -> set[str]:
    return {item.partition(":")[0] for item in providers.debug_providers.split(",")}


def test_every_provider_is_served_and_the_rehearsed_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_PLUGINS", raising=False)
    with LabProviders() as providers:
        assert _names(providers) == set(PROVIDERS)
        assert set(providers.played) == set(PROVIDERS) - set(WITH_EFFECT)
        assert "command and kubernetes: the lab's own" in providers.said


def test_official_plugins_are_left_to_the_engine(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PLUGINS", "official")
    for name in WITH_EFFECT:
        (plugins / f"pulumi-resource-{name}").touch(mode=0o755)
    with LabProviders() as providers:
        assert _names(providers) == set(PROVIDERS) - set(WITH_EFFECT)
        assert "command and kubernetes: official" in providers.said


def test_one_official_plugin_goes_with_the_labs_own_provider(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PLUGINS", "kubernetes")
    (plugins / "pulumi-resource-kubernetes").touch(mode=0o755)
    with LabProviders() as providers:
        assert _names(providers) == set(PROVIDERS) - {"kubernetes"}
        assert "command: the lab's own" in providers.said
        assert "kubernetes: official" in providers.said


@pytest.mark.usefixtures("plugins")
def test_a_missing_official_plugin_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PLUGINS", "official")
    with pytest.raises(OfficialPluginMissing) as missing, LabProviders():
        pass
    assert all(f"pulumi-resource-{name}" in str(missing.value) for name in WITH_EFFECT)
    assert "unset EDGE_PLUGINS" in str(missing.value)


def test_a_name_that_has_no_plugin_here_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PLUGINS", "kubernetes,aws")
    with pytest.raises(OfficialPluginMissing, match=r"EDGE_PLUGINS=kubernetes,aws: aws is no .*Say official"):
        LabProviders()
