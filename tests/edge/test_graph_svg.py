"""The drawing of a site: readable everywhere, and harmless whatever a site file says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge.run.site_graph import Graph
from edge.show.graph_svg import BOX_WIDTH, svg
from stacks.loader import load_site, site_names
from tests.edge.conftest import Project
from tests.edge.graphs import graph, previewed

SVG = "{http://www.w3.org/2000/svg}"
# What would end an element, an attribute, a comment or a CDATA section, act on a terminal, or be no XML at all.
HOSTILE = "</text><script>alert(1)</script>\" onload='x' <!-- ]]> &lt; \x00\x1b[2J\x9b\u202e\ud800 \ufffe"
# Widths of the fonts at 12.5 and 13 pixels, a little more than those of usual monospace fonts.
FACT_PX, NAME_PX = 7.55, 7.9


def parsed(found: Graph) -> ElementTree.Element:
    return ElementTree.fromstring(svg(found))


def texts(found: Graph) -> list[str]:
    return [one.text or "" for one in parsed(found).iter(f"{SVG}text")]


@pytest.mark.parametrize("site", site_names())
def test_every_host_and_part_is_there_once(site: str) -> None:
    found = graph(site)
    names = [one.text or "" for one in parsed(found).iter(f"{SVG}text") if one.get("class") in (None, "name")]
    labels = [found.name(node.id) if node.kind == "host" else node.label for node in found.nodes]
    assert sorted(name for name in names if name != site) == sorted(labels)
    for host in load_site(site).hosts:
        assert host.role in texts(found)
        assert host.hardware in "".join(texts(found))


@pytest.mark.parametrize("site", site_names())
def test_a_phone_shows_it_without_making_it_small(site: str) -> None:
    width = float(parsed(graph(site)).get("viewBox", "").split()[2])
    assert width <= 404
    assert "max-width:100%" in parsed(graph(site)).get("style", "")


@pytest.mark.parametrize("site", site_names())
def test_no_text_is_wider_than_its_box(site: str) -> None:
    for box in parsed(previewed(site, {})).iter(f"{SVG}g"):
        for one in box.findall(f"{SVG}text"):
            if one.get("text-anchor") != "end":
                width = len(one.text or "") * (NAME_PX if one.get("class") == "name" else FACT_PX)
                assert float(one.get("x", "0")) + width <= BOX_WIDTH, one.text


def test_two_drawings_of_a_site_are_equal_to_the_byte() -> None:
    graph.cache_clear()
    first = svg(graph("plant-osaka"))
    graph.cache_clear()
    assert svg(graph("plant-osaka")) == first


def test_it_fetches_nothing_and_runs_nothing() -> None:
    text = svg(graph("prod"))
    assert re.findall(r"https?://[^\s\"<]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"href|url\(|@import|<script|<image|<foreignObject|\son\w+=", text)


def test_it_is_dark_where_the_reader_wants_it_dark() -> None:
    style = next(parsed(graph("demo")).iter(f"{SVG}style")).text or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    for colour in ("page", "box", "row", "line", "text", "dim", "create", "update", "replace", "delete"):
        assert f"--{colour}:#" in light
        assert f"--{colour}:#" in dark


def test_what_would_change_has_a_sign_and_a_word_beside_its_colour() -> None:
    shown = texts(previewed("prod", {"prod-a-k3s": "update", "prod-b-base": "replace"}))
    assert "~ update" in shown, "of a part on a host"
    assert {"±", "1 to replace, 3"} <= set(shown), "of a host"
    assert any(one.startswith("~ 1 to update, ± 1 to replace, ") for one in shown), "of the site"
    assert not {"~ update", "±"} & set(texts(graph("prod")))


def test_an_arrow_says_which_part_waits_for_which() -> None:
    titles = [one.text for one in parsed(graph("prod")).iter(f"{SVG}title")]
    assert any(title and "k3s on b waits for k3s on a" in title for title in titles)


def test_those_who_do_not_see_it_are_told() -> None:
    about = next(parsed(graph("prod")).iter(f"{SVG}desc")).text or ""
    assert "host c, server, poweredge-xr4000, nvidia-l4, 10.20.0.13" in about
    assert "flux, " in about
    assert "waits for k3s of the site" in about


def test_text_of_a_site_file_is_text_and_nothing_else() -> None:
    found = graph("demo")
    nodes = [dataclasses.replace(node, label=HOSTILE, facts=(HOSTILE, *node.facts)) for node in found.nodes]
    hostile = dataclasses.replace(
        found, site=HOSTILE, tier=HOSTILE, region=HOSTILE, description=HOSTILE * 3, nodes=tuple(nodes)
    )
    plain = [one.tag for one in parsed(dataclasses.replace(found, description="x" * 200)).iter()]
    tags = [one.tag for one in parsed(hostile).iter()]
    assert set(tags) == set(plain), "no element more"
    assert not any("\x1b" in text or "\x00" in text for text in texts(hostile))
    assert {name for one in parsed(hostile).iter() for name in one.attrib} == {
        name for one in parsed(found).iter() for name in one.attrib
    }, "no attribute more"


def test_the_command_writes_a_file_or_standard_output(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "demo.svg"
    assert project.edge("graph", "demo", "--svg", file).code == 0
    ran = project.edge("graph", "demo", "--svg", "-")
    assert ran.stdout == file.read_text(encoding="utf-8")
    assert ElementTree.fromstring(ran.stdout).tag == f"{SVG}svg"


def test_a_file_that_cannot_be_written_is_bad_input(project: Project, tmp_path: Path) -> None:
    ran = project.edge("graph", "demo", "--svg", tmp_path / "no" / "demo.svg")
    assert ran.code == 2
    assert "cannot be written: No such file or directory" in ran.stderr
