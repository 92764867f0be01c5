"""What a change of a site means, edit by edit: pure, from what the program registers of the site before."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.consequence import Consequence, Effect
from components.host.applied import Applied, Held
from components.part import Part
from edge.run.program import Configuration, recorded
from edge.run.stack_settings import placeholders
from stacks import parts
from stacks.catalogue import catalogue
from stacks.configuration import ALLOW_DESTROY, full_key
from stacks.consequences import answers, consequences, edits, held_in, in_any, of_destroy
from stacks.consequences_reference import PAGE, page
from stacks.loader import load_site, site_names
from stacks.site import SiteSpec
from tests.stacks.site_edits import ROWS, Content, Row, base
from tests.state.renew import fixture_sites, read_fixture


def spec_of(content: Content, folder: Path) -> SiteSpec:
    path = folder / f"{content['site']}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_site(path)


def applied(spec: SiteSpec, settings: Mapping[str, str] | None = None) -> Applied:
    secrets = {full_key(key): value for key, value in placeholders(spec).items()}
    recording = recorded(spec, Configuration({**secrets, **(settings or {})}, frozenset(secrets)))
    return Applied.of(
        Held(one.urn, one.inputs, {}, one.parent) for one in recording.resources if one.type != "pulumi:pulumi:Stack"
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> functools.partial[Applied]:
    @functools.cache
    def of(name: str) -> Applied:
        return applied(spec_of(base(name), tmp_path_factory.mktemp(name)))

    return functools.partial(of)


def found_in(row: Row, before: functools.partial[Applied], folder: Path) -> tuple[Consequence, ...]:
    return consequences(before(row.base), spec_of(row.site(), folder), catalogue())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_edit_is_called_what_it_is(row: Row, before: functools.partial[Applied], tmp_path: Path) -> None:
    found = found_in(row, before, tmp_path)
    assert {one.edit.name for one in found} == row.edits
    assert (found[0].effect if found else None) == row.worst


def test_every_kind_of_edit_that_destroys_or_cannot_work_has_a_way(
    before: functools.partial[Applied], tmp_path: Path
) -> None:
    for row in ROWS:
        for one in found_in(row, before, tmp_path):
            if one.effect in (Effect.DESTROYS, Effect.IMPOSSIBLE):
                assert one.way, one
            assert one.reason.endswith("."), one


def test_the_worst_comes_first(before: functools.partial[Applied], tmp_path: Path) -> None:
    for row in ROWS:
        ranks = [one.effect.rank for one in found_in(row, before, tmp_path)]
        assert ranks == sorted(ranks), row.name


def test_a_new_site_has_no_consequences(tmp_path: Path) -> None:
    assert consequences(Applied(), spec_of(base("plant"), tmp_path), catalogue()) == ()
    assert of_destroy(Applied()) == ()


@pytest.mark.parametrize("site", fixture_sites())
def test_an_upgrade_of_the_program_alone_means_nothing_but_what_the_changelog_tells(site: str) -> None:
    assert site in site_names()
    before = Applied.of(held_in(json.loads(read_fixture(site))["deployment"]["resources"]))
    assert before.held
    said = [one for one in consequences(before, load_site(site), catalogue()) if one.effect is not Effect.HARMLESS]
    # What these states were made with had no lock-down, and made nodes join by a script that no new image has.
    nodes = ["outposts-ami-family"] if site == "outpost-frankfurt" else []
    assert [one.edit.name for one in said] == [*nodes, "flux-locked-down"]


@pytest.mark.parametrize("change", ["removed", "renamed"])
def test_scripts_of_an_earlier_release_clean_up_no_host(change: str) -> None:
    """They would run on whatever host answers; this release's ask for its name."""
    before = Applied.of(held_in(json.loads(read_fixture("prod"))["deployment"]["resources"]))
    spec = load_site("prod")
    hosts = list(spec.hosts)
    if change == "removed":
        hosts.pop()
    else:
        hosts[2] = hosts[2].model_copy(update={"name": "z"})
    found = consequences(before, spec.model_copy(update={"hosts": tuple(hosts)}), catalogue())
    assert found[0].effect is Effect.IMPOSSIBLE
    assert "host-removed" not in {one.edit.name for one in found}


def test_what_a_component_announced_is_no_fact(before: functools.partial[Applied], tmp_path: Path) -> None:
    """A killed `up` has registered the components of a site that was never installed."""
    announced = Applied.of(one for one in before("plant").held if one.type.startswith("edge:"))
    assert consequences(announced, spec_of(base("shop") | {"site": "prod"}, tmp_path), catalogue()) == ()


def test_an_install_script_that_cannot_be_read_counts_as_destroying(
    before: functools.partial[Applied], tmp_path: Path
) -> None:
    opaque = Applied.of(
        Held(one.urn, {**one.inputs, "create": "exec something"}, one.outputs, one.parent)
        if one.name == "demo-a-k3s"
        else one
        for one in before("shop").held
    )
    (found,) = consequences(opaque, spec_of(base("shop"), tmp_path), catalogue())
    assert (found.edit.name, found.effect) == ("k3s-unknown", Effect.DESTROYS)


def test_where_a_killed_up_leaves_two_answers_both_count(before: functools.partial[Applied], tmp_path: Path) -> None:
    changed = base("shop")
    changed["k3s"]["datastore"] = {"kind": "external", "engine": "postgresql"}
    (tmp_path / "changed").mkdir()
    begun = applied(spec_of(changed, tmp_path / "changed"))
    for written in (base("shop"), changed):
        found = in_any([before("shop"), begun], spec_of(written, tmp_path), catalogue())
        assert [one.edit.name for one in found] == ["k3s-datastore-replaced"]


def test_what_a_killed_up_had_begun_is_a_second_answer_of_the_state(
    before: functools.partial[Applied], tmp_path: Path
) -> None:
    """An `up` to another datastore was killed: whether its scripts ran is not known, and going back may destroy too."""
    changed = base("shop")
    changed["k3s"]["datastore"] = {"kind": "external", "engine": "postgresql"}
    (tmp_path / "changed").mkdir()
    begun = applied(spec_of(changed, tmp_path / "changed"))
    was = before("shop").held

    def state(one: Held) -> dict[str, Any]:
        return {"urn": one.urn, "inputs": one.inputs, "outputs": one.outputs, "parent": one.parent}

    deployment: dict[str, Any] = {"resources": [state(one) for one in before("shop").held]}
    (alone,) = answers(deployment)
    spec = spec_of(base("shop"), tmp_path)
    assert consequences(alone, spec, catalogue()) == ()
    pending = [{"type": "updating", "resource": state(one)} for one in begun.held if one not in was]
    found = in_any(answers({**deployment, "pending_operations": pending}), spec, catalogue())
    assert [one.edit.name for one in found] == ["k3s-datastore-replaced"]


@pytest.mark.parametrize(
    ("setting", "node"), [("prod-a:k3s-patch-downgrade:monday", "prod-a"), ("prod-d:k3s-agent-downgrade:x", "prod-d")]
)
def test_consent_goes_to_the_named_host_alone_by_standard_input(
    setting: str, node: str, before: functools.partial[Applied], tmp_path: Path
) -> None:
    spec = spec_of(base("plant"), tmp_path)
    given = applied(spec, {full_key(ALLOW_DESTROY): setting})
    were = {one.urn: one for one in before("plant").held}
    differ = {one.name: one for one in given.held if one != were[one.urn]}
    # The gate of the host, which asks whose it is, and K3s' install script, which asks the disk.
    assert set(differ) == {f"{node}-reachable", f"{node}-k3s"}
    line = base64.b64encode(setting.partition(":")[2].encode()).decode()
    for name, now in differ.items():
        was = before("plant").command(name)
        assert was is not None
        assert {key for key in now.inputs if now.inputs[key] != was.inputs.get(key)} == {"stdin"}
        assert now.inputs["stdin"].value == f"{was.inputs['stdin'].value}{line}\n"


@pytest.mark.parametrize("setting", ["prod-a", "prod-a:x", "prod-a:k3s-downgrade:", "a:b:c:d", "a:b;c:d", "$(id):b:c"])
def test_consent_of_another_form_stops_the_program(setting: str, tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match="NODE:CHANGE:WORD"):
        applied(spec_of(base("shop"), tmp_path), {full_key(ALLOW_DESTROY): setting})


def test_each_edit_has_one_name() -> None:
    names = [edit.name for edit in edits()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("part", parts.PARTS, ids=[part.name for part in parts.PARTS])
def test_the_removal_of_a_part_is_never_silent(
    part: Part[Any], before: functools.partial[Applied], tmp_path: Path
) -> None:
    """Also of one that says nothing of its own: nobody knows what goes with it."""
    made = Held(f"urn:pulumi:prod::edge::edge:index:EdgeSite$edge:index:{part.component}$x:y:Z::prod-x-cluster")
    command = Held(f"urn:pulumi:prod::edge::edge:index:{part.component}$command:remote:Command::prod-a-{part.name}")
    held = (*(one for one in before("plant").held if "Host" in one.urn), made, command)
    site = parts.view(spec_of(base("plant"), tmp_path), catalogue())
    of_part = [
        *part.consequences(Applied(held), (), None, site),
        *Part.consequences(part, Applied(held), (), None, site),
    ]
    assert of_part
    assert {one.part for one in of_part} == {part.name}


def test_every_kind_of_edit_has_a_row() -> None:
    """But for removals, and for what the states of other tests show."""
    elsewhere = {"host-removed-by-old-scripts", "k3s-unknown", "site-destroyed", "host-adopted"}
    elsewhere |= {edit.name for edit in edits() if edit.name.endswith("-removed")} - {"host-removed"}
    shown = {name for row in ROWS for name in row.edits}
    assert {edit.name for edit in edits()} - elsewhere == shown - elsewhere


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m stacks.consequences_reference"


def test_every_kind_of_edit_is_on_the_page() -> None:
    text = page()
    for edit in edits():
        assert f"| {edit.title} |" in text
        assert f"| `{edit.name}` |" in text
