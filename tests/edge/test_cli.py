from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edge.cli import COMMANDS, app
from edge.run.events import Run
from edge.run.operation import Outcome
from engine.obtain.cli import PulumiCli
from engine.obtain.pin import PULUMI_VERSION, EngineError
from stacks.catalogue import catalogue
from stacks.edge_site import outputs
from stacks.loader import load_site
from tests.edge.sites import broken_site, refused_site, site


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("EDGE_DEBUG", raising=False)
    runner = CliRunner()

    def run(*arguments: object) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments])  # type: ignore[return-value]

    return run


def test_check_ends_with_one_line_that_sums_up(edge: Any, tmp_path: Path) -> None:
    result = edge("check", site(tmp_path, "shop"), "--verbose")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split()[:2] == ["site", "tier"]
    assert result.stdout.splitlines()[1].split()[0] == "shop"
    assert result.stdout.splitlines()[-1].startswith("1 site: all good (1 host,")


def test_check_has_a_row_only_for_a_site_of_which_there_is_something_to_say(edge: Any, tmp_path: Path) -> None:
    result = edge("check", site(tmp_path, "shop"), refused_site(tmp_path), broken_site(tmp_path))
    rows = [line.split()[0] for line in result.stdout.split("\n\n")[0].splitlines()]
    assert rows == ["site", "refused", "broken"]
    alone = edge("check", site(tmp_path, "shop"))
    assert not [line for line in alone.stdout.splitlines() if line.startswith(("site ", "shop "))]


def test_check_names_the_rule_that_refuses_and_what_to_do(edge: Any, tmp_path: Path) -> None:
    result = edge("check", refused_site(tmp_path))
    assert result.exit_code == 1
    assert "refused: refused supply-chain/registry-allowlist" in result.stdout
    assert "refused-a-telemetry" in result.stdout
    assert "do: " in result.stdout


def test_check_says_where_a_file_is_wrong(edge: Any, tmp_path: Path) -> None:
    file = broken_site(tmp_path)
    result = edge("check", file)
    assert result.exit_code == 2
    assert f"{file}:2:7:" in result.stdout
    assert "Traceback" not in result.output


def test_bad_input_outweighs_a_refusal(edge: Any, tmp_path: Path) -> None:
    assert edge("check", refused_site(tmp_path), broken_site(tmp_path)).exit_code == 2


def test_check_as_json_is_one_document_and_nothing_else(edge: Any, tmp_path: Path) -> None:
    result = edge("check", site(tmp_path, "shop"), refused_site(tmp_path), "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit"] == 1
    assert [one["site"] for one in document["sites"]] == ["shop", "refused"]
    assert document["counts"]["sites"] == 2
    assert document["counts"]["mandatory"] == len(document["sites"][1]["policies"])
    assert set(document["sites"][0]) >= {"tier", "hosts", "resources", "policies", "cost", "secrets", "exit"}


def test_the_order_of_the_rows_is_that_of_the_arguments(edge: Any, tmp_path: Path) -> None:
    files = [site(tmp_path, f"shop-{number}") for number in (3, 1, 2)]
    result = edge("check", *files, "--jobs", 2, "--verbose")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == ["shop-3", "shop-1", "shop-2"]


def test_a_missing_engine_is_a_message_with_what_to_do(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineError("There is no usable Pulumi CLI yet.\nRun `make setup`.")

    monkeypatch.setattr("edge.run.operation.locate", missing)
    result = edge("preview", "demo", "--rehearse")
    assert result.exit_code == 1
    assert "make setup" in result.stderr
    assert "Traceback" not in result.output


def test_a_fault_of_edge_is_called_one_and_shows_no_trace(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.run.operation.locate", lambda: 1 / 0)
    result = edge("preview", "demo", "--rehearse")
    assert result.exit_code == 1
    assert "EDGE_DEBUG=1" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["up", "destroy"])
def test_nothing_real_is_changed_unasked(edge: Any, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr("edge.run.operation.opened_stack", lambda *_, **__: pytest.fail("opened"))
    result = edge(command, "demo")
    assert result.exit_code == 2
    assert "--yes" in result.stderr


@pytest.fixture
def slow_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` that waits a minute, as for a backend that is far; the file that is returned is there if it did."""
    script, waited = tmp_path / "pulumi", tmp_path / "waited"
    script.write_text(f"#!/bin/bash\ntrap 'kill $!; exit 1' INT\nsleep 60 &\nwait\ntouch {waited}\n")
    script.chmod(0o755)
    monkeypatch.setattr("edge.run.operation.locate", lambda: PulumiCli(script, PULUMI_VERSION, "path"))
    return waited


def test_a_real_run_says_all_secrets_that_are_missing_and_waits_for_no_engine(edge: Any, slow_engine: Path) -> None:
    result = edge("preview", "demo")
    assert result.exit_code == 1
    assert not slow_engine.exists()
    for key in ("ssh-private-key", "k3s-token", "telemetry-token"):
        assert key in result.stderr
    assert "edge preview demo --rehearse" in result.stderr


@pytest.mark.parametrize(("written", "code", "state"), [("{}\n", 0, "up to date"), ("{ }\n", 1, "out of date")])
def test_a_schema_that_is_out_of_date_is_found_and_left_alone(
    edge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, code: int, state: str
) -> None:
    monkeypatch.setattr("edge.run.project.project_root", lambda: tmp_path)
    monkeypatch.setattr("stacks.schema.render", lambda *_: "{}\n")
    assert edge("schema", "--write").exit_code == 0
    file = tmp_path / "stacks" / "site.schema.json"
    file.write_text(written)
    result = edge("schema", "--check", "--json")
    files = json.loads(result.stdout)["files"]
    assert (result.exit_code, files.pop("stacks/site.schema.json")) == (code, state)
    assert set(files.values()) == {"up to date"}
    assert file.read_text() == written


def test_the_schema_is_written_where_editors_look_for_it(
    edge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.run.project.project_root", lambda: tmp_path)
    monkeypatch.setattr("stacks.schema.render", lambda *_: "{}\n")
    assert edge("schema", "--write").exit_code == 0
    assert (tmp_path / "stacks" / "site.schema.json").read_text() == "{}\n"


def test_the_schema_goes_to_standard_output(edge: Any) -> None:
    assert json.loads(edge("schema").stdout)["title"] == "Edge site"
    assert json.loads(edge("schema", "hardware.schema.json").stdout)["title"] == "Hardware profile"
    assert edge("schema", "hardware").exit_code == 2


def test_checking_and_writing_the_schema_exclude_each_other(edge: Any) -> None:
    assert edge("schema", "--check", "--write").exit_code == 2


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_an_example_of_the_help_names_outputs_and_sites_that_there_are(module: Any) -> None:
    known = outputs(load_site("prod"), catalogue())
    assert set(re.findall(r"\.outputs\.(\w+)", module.EXAMPLES)) <= known.keys()


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_every_command_explains_itself_with_an_example_and_offers_json(edge: Any, command: str) -> None:
    result = edge(command, "--help")
    assert result.exit_code == 0
    assert f"edge {command}" in result.stdout.split("Examples:")[1]
    assert "--json" in result.stdout


@pytest.mark.parametrize("arguments", [("preview",), ("check", "--jobs", "0"), ("fly",)])
def test_wrong_usage_is_bad_input(edge: Any, arguments: tuple[str, ...]) -> None:
    assert edge(*arguments).exit_code == 2


def test_the_document_of_a_preview_has_the_promised_keys() -> None:
    document = Outcome("demo", "rehearsal", "preview", Run(), placeholders=("k3s-token",)).as_dict()
    assert set(document) >= {
        *("site", "mode", "resources", "counts", "output_changes", "policies", "judged", "cost", "secrets", "exit")
    }
    # Two previews of the same are the same document: it holds no time.
    assert "duration_s" not in document
    assert "duration_s" in Outcome("demo", "rehearsal", "up", Run()).as_dict()
    assert document["counts"] == {"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 0}
    assert document["secrets"] == {"placeholders": ["k3s-token"]}
