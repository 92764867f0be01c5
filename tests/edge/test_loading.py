from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.loading import SiteLoading, WorldOf
from sitefile.problems import SiteError
from stacks import loader
from stacks.catalogue import PROJECT_ROOT
from tests.edge.sites import broken_site, site


def test_a_site_is_read_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    load_site = loader.load_site

    def counted(name: str, *, root: Path) -> object:
        read.append(name)
        return load_site(name, root=root)

    monkeypatch.setattr(loader, "load_site", counted)
    loading = SiteLoading("demo", PROJECT_ROOT, rehearsed=True)
    for _ in range(3):
        loading.begin()
    assert loading.spec.site == "demo"
    loading.wait()
    assert read == ["demo"]


def test_what_is_wrong_with_the_site_is_raised_where_it_is_needed(tmp_path: Path) -> None:
    loading = SiteLoading(str(broken_site(tmp_path)), PROJECT_ROOT, rehearsed=True)
    loading.begin()
    for ask in (loading.wait, lambda: loading.spec, loading.run):
        with pytest.raises(SiteError):
            ask()


def test_the_world_is_asked_for_only_when_something_of_it_is(tmp_path: Path) -> None:
    world = WorldOf(SiteLoading(str(broken_site(tmp_path)), PROJECT_ROOT, rehearsed=True))
    with pytest.raises(SiteError):
        _ = world.region

    sound = WorldOf(SiteLoading(str(site(tmp_path, "shop")), PROJECT_ROOT, rehearsed=True))
    assert sound.kubernetes_minor == 36
