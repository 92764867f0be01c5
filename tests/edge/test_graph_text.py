"""`edge graph` in a terminal: a tree that says everything without colour, in 80 columns, in ASCII if need be."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import pytest
from rich.cells import cell_len

from edge.run.site_graph import Graph
from edge.show import render
from edge.show.graph_text import tree
from stacks.loader import load_site, site_names
from tests.edge.conftest import Project
from tests.edge.graphs import graph, previewed
from tests.edge.sites import FOREIGN_IMAGE


def shown(found: Graph, *, encoding: str = "utf-8", colour: bool = False, width: int = 80) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    out = render._Terminal(
        file=file,
        highlight=False,
        markup=False,
        soft_wrap=True,
        width=width,
        force_terminal=colour or None,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    tree(out, found)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("site", site_names())
@pytest.mark.parametrize("mode", ["written", "preview"])
def test_it_fits_80_columns(site: str, mode: str) -> None:
    found = graph(site) if mode == "written" else previewed(site, {f"{site}-a-base": "replace"})
    lines = shown(found).splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_hosts_are_in_their_order_with_jump_hosts_and_parts_below_them() -> None:
    text = shown(graph("shelf-lyon"))
    hosts = [host.name for host in load_site("shelf-lyon").hosts]
    at = [found.start() for name in hosts if (found := re.search(rf"host {name}(?!\S)", text))]
    assert len(at) == len(hosts)
    assert at == sorted(at)
    assert "via jetson" in text
    below = text[at[0] : at[1]].splitlines()
    assert any(line.lstrip("│ ").startswith(("├─ k3s", "└─ k3s")) for line in below)


def test_what_waits_for_what_is_said() -> None:
    lines = [" ".join(line.split()) for line in shown(graph("prod")).splitlines()]
    at = next(number for number, line in enumerate(lines) if "host b" in line)
    assert any("waits for" in line and "k3s on a" in line for line in lines[at : at + 8])
    assert any("flux" in line and "waits for k3s of the site" in line for line in lines)


def test_a_sign_in_the_first_column_tells_what_would_change() -> None:
    found = previewed("prod", {"prod-a-k3s": "update", "prod-b-base": "replace"})
    lines = shown(found).splitlines()
    signs = {line[0]: line for line in lines[2:-1] if line[0] in "+~±-"}
    assert "k3s" in signs["~"]
    assert "host b" in signs["±"]
    assert lines[-1].startswith("~ 1 to update, ± 1 to replace, ")
    assert lines[-1].endswith(" unchanged")


def test_colour_adds_nothing_that_is_not_there_without_it() -> None:
    found = previewed("prod", {"prod-a-k3s": "update", "prod-b-base": "replace"})
    coloured = shown(found, colour=True)
    assert "\x1b[" in coloured
    plain = io.StringIO()
    escape = False
    for character in coloured:
        escape = escape or character == "\x1b"
        if not escape:
            plain.write(character)
        escape = escape and character != "m"
    assert plain.getvalue() == shown(found)


def test_a_terminal_that_knows_ascii_only_gets_a_tree_of_ascii() -> None:
    text = shown(previewed("prod", {"prod-b-base": "replace"}), encoding="ascii")
    assert "|- host a" in text
    assert any(line.startswith("!") and "host b" in line for line in text.splitlines())
    assert "! 1 to replace" in text.splitlines()[-1]


def test_a_terminal_obeys_nothing_that_a_site_file_says() -> None:
    hostile = "\x1b[2J\x1b]0;x\x07\x9b31m\r\n" + "字" * 60
    found = graph("demo")
    nodes = [dataclasses.replace(node, label=hostile, facts=(hostile,)) for node in found.nodes]
    text = shown(dataclasses.replace(found, site="s", description=hostile, nodes=tuple(nodes)))
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(text)
    assert "·[2J" in text


def test_without_options_a_site_is_drawn_as_written(project: Project) -> None:
    ran = project.edge("graph", "demo")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.splitlines()[:2] == ["demo", "near, eu-central, as written"]
    assert "unchanged" not in ran.stdout


def test_a_site_file_with_errors_is_bad_input_with_the_place(project: Project) -> None:
    project.change("demo", lambda site: site.update(tier="nearby"))
    ran = project.edge("graph", "demo")
    assert ran.code == 2
    assert "stacks/sites/demo.yaml:" in ran.stderr


def test_the_document_holds_nodes_edges_and_the_exit_code(project: Project) -> None:
    document = project.edge("graph", "demo", "--json").document
    assert (document["site"], document["mode"], document["exit"]) == ("demo", "written", 0)
    assert {edge["node"] for edge in document["edges"]} <= {node["id"] for node in document["nodes"]}


@pytest.mark.parametrize("arguments", [("--against", "main"), ("--svg", "-", "--json")])
def test_options_that_contradict_each_other_are_refused(project: Project, arguments: tuple[str, ...]) -> None:
    assert project.edge("graph", "demo", *arguments).code == 2


@pytest.mark.engine
def test_a_rehearsal_marks_what_comes_and_after_an_edit_what_changes_and_goes(project: Project) -> None:
    new = project.edge("graph", "demo", "--rehearse", "--json")
    assert new.code == 0, new.stderr
    assert {node["op"] for node in new.document["nodes"]} == {"create"}
    assert project.edge("up", "demo", "--rehearse").code == 0

    def edit(site: dict[str, Any]) -> None:
        del site["telemetry"]
        site["os"] = {"updates": {"window": "Mon 03:00"}}

    project.change("demo", edit)
    ran = project.edge("graph", "demo", "--rehearse", "--json")
    ops = {node["id"]: node["op"] for node in ran.document["nodes"]}
    assert (ops["part:telemetry"], ops["host:a"], ops["part:k3s"]) == ("delete", "update", "same")
    text = project.edge("graph", "demo", "--rehearse").stdout
    assert any(line.startswith("- ") and "telemetry" in line for line in text.splitlines())


@pytest.mark.engine
def test_a_preview_that_is_refused_is_drawn_and_fails(project: Project) -> None:
    project.change("demo", lambda site: site.update(telemetry={"image": FOREIGN_IMAGE}))
    ran = project.edge("graph", "demo", "--rehearse")
    assert ran.code == 1
    assert "host a" in ran.stdout
    assert "edge preview demo --rehearse" in ran.stderr
