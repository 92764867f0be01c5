"""Which sites the command line means: names, globs, selectors; and that nothing selected is never all good."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.run.failure import OperationError
from edge.run.selection import Selection, selected
from stacks.catalogue import PROJECT_ROOT


def test_a_site_is_found_by_its_name_even_where_a_folder_is_called_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stacks" / "sites" / "lab.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("site: lab\n")
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    assert selected(["lab"], tmp_path) == [file]
    (tmp_path / "lab" / "other.yaml").write_text("site: other\n")
    assert selected(["lab/"], tmp_path) == [Path("lab/other.yaml")]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A project of four sites; `tier` of one comes from the defaults, as may any value."""
    sites = tmp_path / "stacks" / "sites"
    sites.mkdir(parents=True)
    (tmp_path / "stacks" / "profiles").symlink_to(PROJECT_ROOT / "stacks" / "profiles")
    (sites / "_defaults.yaml").write_text("always: {tier: near}\n")
    for name, said in {
        "store-lyon": "region: eu-west\ngroups: [eu, acme]\nlabels: {customer: acme, ring: canary}\n",
        "store-oslo": "region: eu-north\ngroups: [eu]\nlabels: {customer: acme}\n",
        "store-osaka": "region: ap-east\ntier: far\nlabels: {customer: kansai}\n",
        "depot": "region: eu-west\ntier: far\nlabels: {group: all}\n",
    }.items():
        (sites / f"{name}.yaml").write_text(f"site: {name}\n{said}")
    return tmp_path


def names(selection: Selection, root: Path) -> list[str]:
    return [file.stem for file in selection.files(root)]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(("store-*",)), ["store-lyon", "store-osaka", "store-oslo"]),
        (Selection(("depot", "store-o*", "depot")), ["depot", "store-osaka", "store-oslo"]),
        (Selection(selectors=("tier=near",)), ["store-lyon", "store-oslo"]),
        (Selection(selectors=("region=eu-*",)), ["depot", "store-lyon", "store-oslo"]),
        (Selection(selectors=("region=eu-*,tier=near, customer=acme",)), ["store-lyon", "store-oslo"]),
        (Selection(selectors=("region=eu-*", "ring=canary")), ["store-lyon"]),
        (Selection(("store-*",), ("tier=far",)), ["store-osaka"]),
        (Selection(selectors=("customer=*",)), ["store-lyon", "store-osaka", "store-oslo"]),
        (Selection(selectors=("group=eu",)), ["store-lyon", "store-oslo"]),
        (Selection(selectors=("group=acme,region=eu-*",)), ["store-lyon"]),
        (Selection(selectors=("group=[ae]*",)), ["depot", "store-lyon", "store-oslo"]),
        (Selection(everything=True), ["depot", "store-lyon", "store-osaka", "store-oslo"]),
    ],
    ids=str,
)
def test_names_globs_and_terms_select_sites(fleet: Path, selection: Selection, expected: list[str]) -> None:
    assert names(selection, fleet) == expected


@pytest.mark.parametrize(
    ("selection", "said", "remedy"),
    [
        (Selection(("shop-*",)), "No site is named like `shop-*`.", "`store-lyon`"),
        (Selection(selectors=("tier=device",)), "No site fits -l tier=device.", "tier is `far` or `near`"),
        (
            Selection(selectors=("tier=far,customer=acme",)),
            "No site fits -l tier=far,customer=acme.",
            "customer is `acme` or `kansai`",
        ),
        (
            Selection(selectors=("custmer=acme",)),
            "did you mean `customer`?",
            "`customer`, `group`, `region`, `ring` or `tier`",
        ),
        (Selection(selectors=("hardware=jetson",)), "no site has the label `hardware`.", "the keys are"),
        (Selection(selectors=("tier",)), "`tier` is no term", "-l tier=near,region=eu-*"),
        (Selection(selectors=("tier!=far",)), "`tier!=far` is no term", "-l tier=near"),
        (Selection(selectors=("tier==far",)), "`tier==far` is no term", "-l tier=near"),
        (Selection(selectors=("tier=far,",)), "`` is no term", "-l tier=near"),
    ],
    ids=str,
)
def test_what_selects_nothing_is_bad_input_and_says_what_there_is(
    fleet: Path, selection: Selection, said: str, remedy: str
) -> None:
    with pytest.raises(OperationError) as raised:
        selection.files(fleet)
    assert raised.value.code == 2
    assert said in raised.value.what
    assert any(remedy in one for one in raised.value.remedies)


def test_all_and_a_name_are_two_different_wishes() -> None:
    with pytest.raises(OperationError) as raised:
        Selection(("depot",), everything=True)
    assert raised.value.code == 2


def test_a_file_that_does_not_tell_its_tier_is_selected_so_that_its_fault_is_shown(fleet: Path) -> None:
    (fleet / "stacks" / "sites" / "broken.yaml").write_text("site: broken\n\ttier: far\n")
    assert names(Selection(selectors=("tier=far",)), fleet) == ["broken", "depot", "store-osaka"]
    assert "broken" in names(Selection(selectors=("customer=acme",)), fleet)
    # What does not tell a label has none.
    assert "depot" not in names(Selection(selectors=("customer=acme",)), fleet)


def test_only_one_site_that_is_named_as_itself_is_a_single_one(fleet: Path) -> None:
    sites = fleet / "stacks" / "sites"
    assert Selection(("depot",)).single == "depot"
    assert Selection((str(sites / "depot.yaml"),)).single == str(sites / "depot.yaml")
    for several in (
        Selection(("depot", "depot")),
        Selection(("depo*",)),
        Selection(("depot",), ("tier=far",)),
        Selection(("depot",), changed_since="main"),
        Selection((str(sites),)),
        Selection(everything=True),
    ):
        assert several.single is None


def test_every_command_on_sites_takes_the_same_selection() -> None:
    for command in ("check", "render", "preview", "up", "outputs", "drift"):
        said = CliRunner().invoke(app, [command, "--help"], terminal_width=200).stdout
        for option in ("--selector", "-l", "--all", "--changed-since"):
            assert option in said, f"edge {command} {option}"


@pytest.mark.parametrize("command", ["render", "preview", "up", "outputs"])
def test_what_runs_or_prints_much_asks_which_sites_are_meant(command: str) -> None:
    ran = CliRunner().invoke(app, [command])
    assert ran.exit_code == 2
    assert "--all" in ran.output
