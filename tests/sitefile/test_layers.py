"""Layers: what a file leaves out, from the defaults, from the layer that it selects, and by kind."""

from __future__ import annotations

from pathlib import Path

from sitefile.yaml_source import from_text
from sitefile.yaml_tree import find, plain
from tests.sitefile.plant import FILE, Manager, NoMesh, Queue, Tailnet, Telemetry, check, layers_of, only, valid


def test_a_file_wins_over_the_layer_that_it_selects_and_that_layer_over_the_defaults(tmp_path: Path) -> None:
    layers = layers_of(
        tmp_path,
        "always: {retries: 1, proxy: a, telemetry: {gateway: g}}",
        near="description: x\ndefaults: {retries: 2, proxy: b}",
        far="defaults: {retries: 9}",
    )
    plant = valid(check("unit: x\nzone: near\nproxy: c\n", layers))
    assert (plant.retries, plant.proxy) == (2, "c")
    assert plant.telemetry is not None
    assert plant.telemetry.gateway == "g"


def test_lists_are_replaced_and_mappings_are_merged(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "always: {mesh: {kind: tailscale, version: v1, tags: [a, b]}}")
    mesh = valid(check("unit: x\nzone: near\nmesh: {tags: [c]}\n", layers)).mesh
    assert mesh == Tailnet(kind="tailscale", version="v1", tags=("c",))


def test_what_holds_when_present_adds_no_block_of_its_own(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_present: {telemetry: {gateway: g}, telemetry.queue: {mib: 5}}")
    assert valid(check("unit: x\nzone: near\n", layers)).telemetry is None
    assert valid(check("unit: x\nzone: near\ntelemetry:\n", layers)).telemetry is None
    without_queue = valid(check("unit: x\nzone: near\ntelemetry: {}\n", layers)).telemetry
    assert without_queue == Telemetry(gateway="g")
    with_queue = valid(check("unit: x\nzone: near\ntelemetry: {queue: {}}\n", layers)).telemetry
    assert with_queue == Telemetry(gateway="g", queue=Queue(mib=5))


def test_what_holds_for_a_kind_reaches_blocks_of_that_kind_only(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_kind: {mesh: {tailscale: {version: v1}}}")
    assert valid(check("unit: x\nzone: near\nmesh: {kind: none}\n", layers)).mesh == NoMesh(kind="none")
    chosen = valid(check("unit: x\nzone: near\nmesh: {kind: tailscale}\n", layers)).mesh
    assert chosen == Tailnet(kind="tailscale", version="v1")


def test_another_kind_takes_nothing_from_the_block_that_it_replaces(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "always: {mesh: {kind: tailscale, version: v1}}")
    assert valid(check("unit: x\nzone: near\nmesh: {kind: none}\n", layers)).mesh == NoMesh(kind="none")


def test_an_explicit_null_removes_a_default(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "always: {telemetry: {gateway: g}, proxy: p, retries: 9}")
    plant = valid(check("unit: x\nzone: near\ntelemetry: null\nproxy: null\nretries: null\n", layers))
    assert plant.telemetry is None
    assert plant.proxy is None, "null means none where the model knows none"
    assert plant.retries == 3, "and the model's own default where it does not"


def test_a_fault_in_a_default_is_reported_in_the_defaults_file(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "always:\n  retries: many\n")
    problem = only(check("unit: x\nzone: near\n", layers))
    assert (problem.file.name, problem.line, problem.column) == ("_defaults.yaml", 2, 12)
    assert problem.excerpt == "  retries: many"


def test_what_a_default_leaves_out_is_missing_in_the_file(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "always: {telemetry: {queue: {mib: 1}}}")
    problem = only(check("unit: x\nzone: near\n", layers))
    assert (problem.file, problem.line, problem.column, problem.path) == (FILE, 1, 1, "telemetry.gateway")


def test_an_unknown_section_of_the_defaults_is_refused(tmp_path: Path) -> None:
    problem = only(check("unit: x\nzone: near\n", layers_of(tmp_path, "allways: {retries: 1}")))
    assert (problem.file.name, problem.line, problem.column) == ("_defaults.yaml", 1, 1)
    assert "did you mean `always`?" in problem.what


_CHARTS = "when_kind:\n  managers:\n    arc: {chart: '1'}\n    rancher: {chart: '2', channel: latest}\n"


def test_each_entry_of_a_list_takes_the_defaults_of_its_own_kind(tmp_path: Path) -> None:
    text = "unit: x\nzone: near\nmanagers:\n  - {kind: arc}\n  - {kind: rancher, channel: alpha}\n"
    assert valid(check(text, layers_of(tmp_path, _CHARTS))).managers == (
        Manager(kind="arc", chart="1"),
        Manager(kind="rancher", chart="2", channel="alpha"),
    )


def test_a_selected_layer_wins_over_the_defaults_in_an_entry(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, _CHARTS, near="defaults: {when_kind: {managers: {rancher: {chart: '3'}}}}")
    assert valid(check("unit: x\nzone: near\nmanagers: [{kind: rancher}]\n", layers)).managers == (
        Manager(kind="rancher", chart="3", channel="latest"),
    )


def test_a_list_of_a_layer_is_filled_by_kind(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, _CHARTS + "always: {managers: [{kind: arc}]}\n")
    assert valid(check("unit: x\nzone: near\n", layers)).managers == (Manager(kind="arc", chart="1"),)


def test_an_entry_without_defaults_for_its_kind_takes_none(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_kind: {managers: {arc: {chart: '1'}}}")
    problem = only(check("unit: x\nzone: near\nmanagers: [{kind: arc}, {kind: rancher}]\n", layers))
    assert (problem.file, problem.line, problem.column) == (FILE, 3, 25)
    assert (problem.code, problem.path) == ("missing", "managers[1].chart")


def test_a_null_in_an_entry_removes_a_default_of_its_kind(tmp_path: Path) -> None:
    text = "unit: x\nzone: near\nmanagers: [{kind: rancher, channel: null}]\n"
    manager = Manager(kind="rancher", chart="2", channel="stable")
    assert valid(check(text, layers_of(tmp_path, _CHARTS))).managers == (manager,), "the model's own default is left"


def test_a_fault_in_the_defaults_of_a_kind_is_reported_in_the_defaults_file(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_kind:\n  managers:\n    arc:\n      chart: 1.33\n")
    problem = only(check("unit: x\nzone: near\nmanagers: [{kind: arc}]\n", layers))
    assert (problem.file.name, problem.line, problem.column) == ("_defaults.yaml", 4, 14)
    assert (problem.code, problem.path) == ("wrong-type", "managers[0].chart")


def test_filling_one_list_leaves_an_alias_of_it_alone(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_kind: {managers: {arc: {chart: '1'}}}")
    source = from_text("a: &shared [{kind: arc}]\nmanagers: *shared\n", FILE)
    assert source.tree is not None
    assert plain(layers.under(source.tree)) == {"a": [{"kind": "arc"}], "managers": [{"kind": "arc", "chart": "1"}]}
    assert plain(source.tree) == {"a": [{"kind": "arc"}], "managers": [{"kind": "arc"}]}


def test_the_list_may_be_anywhere_below(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "when_kind: {fleet.managers: {arc: {chart: '1'}}}")
    source = from_text("fleet: {managers: [{kind: arc}]}\n", FILE)
    assert source.tree is not None
    assert plain(layers.under(source.tree)) == {"fleet": {"managers": [{"kind": "arc", "chart": "1"}]}}


def test_positions_survive_in_the_merged_tree(tmp_path: Path) -> None:
    checked = check(
        "unit: x\nzone: near\ntelemetry: {}\n", layers_of(tmp_path, "when_present:\n  telemetry:\n    gateway: g\n")
    )
    assert checked.tree is not None
    node = find(checked.tree, ("telemetry", "gateway"))
    assert node is not None
    assert (node.position.file.name, node.position.line, node.position.column) == ("_defaults.yaml", 3, 14)
