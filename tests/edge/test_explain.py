"""`edge explain`: what a field means, and the value that a site has with where it comes from."""

from __future__ import annotations

import re

import pytest

from edge.run.explain import FILES, SITE, fields_of, site_fields, values_at
from sitefile.fields import NO_DEFAULT, Field
from sitefile.problems import dotted
from stacks.loader import PROGRAM_DEFAULTS, load_site
from stacks.site import SiteSpec
from tests.edge.conftest import Project

_COUNTS = re.compile(
    r"(^|_)(port|attempts|retention|replicas|count|max_pids|max_batch|version|parallel|context|layers|kv_heads|head_size"
    r"|dims|cores|jetpack|app_id|installation_id|driver|time_slices|instances)$"
)


def every_field() -> list[Field]:
    return [field for file in FILES for field in fields_of(file).root.below()]


def test_every_field_is_described_in_every_file() -> None:
    assert [field.path for field in every_field() if not field.description] == []


def test_a_name_means_one_field_or_the_same_field_of_several_kinds() -> None:
    root = site_fields().root
    for field in root.below():
        # Alternatives that their own keys tell apart have no name of their own.
        if not field.is_kind or field.path.endswith(f".{field.name}"):
            assert any(found == field for found in site_fields().named(field.path)), field.path
            assert len({found.name for found in site_fields().named(field.path)}) == 1


def test_every_field_that_a_person_must_fill_in_has_an_example_or_choices() -> None:
    lacking = [
        field.path
        for field in site_fields().root.below()
        if not field.is_kind
        and field.default in (NO_DEFAULT, None)
        and not field.fields
        and not field.kinds
        and not (field.examples or field.allowed or field.type == "true or false")
    ]
    assert lacking == []


def test_every_number_has_a_unit_or_is_a_count() -> None:
    lacking = [
        field.path
        for field in every_field()
        if "number" in field.type and not field.unit and not _COUNTS.search(field.name)
    ]
    assert lacking == []


def test_a_field_is_explained_with_type_default_and_example(project: Project) -> None:
    said = project.edge("explain", "k3s.version")
    assert said.code == 0
    assert said.stdout.startswith("k3s.version  <text, required>\n")
    assert "Release for all hosts" in said.stdout
    assert re.search(r"default +v1\.\S+ \(\S+/program_defaults\.yaml:\d+\)", said.stdout)
    assert re.search(r"example +v1\.", said.stdout)


def test_a_block_lists_what_is_below_it_by_kind(project: Project) -> None:
    said = project.edge("explain", "k3s.datastore")
    for expected in ("kind: embedded", "kind: external", "snapshot_schedule", "engine"):
        assert expected in said.stdout
    assert re.search(r"one of +embedded, external", project.edge("explain", "k3s.datastore.kind").stdout)


@pytest.mark.parametrize(
    "name", ["", "hosts.address", "mesh.tailscale.tags", "gitops.flux.source", "place", "inference.triton.models"]
)
def test_nothing_is_wider_than_80_columns_but_what_cannot_be_broken(project: Project, name: str) -> None:
    said = project.edge("explain", *([name] if name else []))
    assert said.code == 0, said.stderr
    assert [line for line in said.stdout.splitlines() if len(line) > 80 and " " in line.strip()] == []


@pytest.mark.parametrize("file", [file for file in FILES if file != SITE])
def test_the_other_files_are_explained_by_their_own_word(project: Project, file: str) -> None:
    said = project.edge("explain", "--in", file)
    assert said.code == 0, said.stderr
    assert said.stdout.startswith(f"{FILES[file][0]}  <")
    for field in fields_of(file).root.fields:
        assert re.search(rf"^  {re.escape(field.name)}  <", said.stdout, re.MULTILINE)
    assert project.edge("explain", "--in", file, "--json").document["file"] == file


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("tailnet.operators", "fleet", "list of text"),
        ("envelope.max_ambient_c", "hardware", "degrees Celsius"),
        ("latency_ms.max", "tier", "number, ms"),
        ("watts", "accelerators", "number, W, required"),
        ("edge-resources-mandatory.mesh_key_hours", "policies", "at most 2160"),
        ("waivers.expires", "waivers", "required"),
    ],
)
def test_a_field_of_another_file_is_explained(project: Project, name: str, file: str, expected: str) -> None:
    said = project.edge("explain", name, "--in", file)
    assert said.code == 0, said.stderr
    assert said.stdout.startswith(f"{name}  <")
    assert expected in said.stdout


def test_an_unknown_field_of_another_file_says_where_to_look(project: Project) -> None:
    said = project.edge("explain", "tailnet.operatros", "--in", "fleet")
    assert said.code == 2
    assert "did you mean `tailnet.operators`?" in said.stderr
    assert "edge explain tailnet --in fleet" in said.stderr


def test_a_file_that_has_no_fields_of_its_own_is_bad_input(project: Project) -> None:
    said = project.edge("explain", "--in", "flete")
    assert said.code == 2
    assert "expected" in said.stderr
    assert "`fleet`" in said.stderr
    assert project.edge("explain", "tailnet", "--in", "fleet", "--site", "demo").code == 2


def test_an_unknown_field_is_bad_input_and_what_is_near_is_named(project: Project) -> None:
    said = project.edge("explain", "k3s.verison")
    assert said.code == 2
    assert "did you mean `k3s.version`?" in said.stderr
    assert "edge explain k3s " in said.stderr


def test_a_field_without_what_is_above_it_is_found(project: Project) -> None:
    said = project.edge("explain", "snapshot_schedule")
    assert (said.code, "`k3s.datastore.embedded.snapshot_schedule`" in said.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "value", "file", "line"),
    [
        ("tier", "near", "stacks/sites/demo.yaml", 4),
        ("hosts.address", "10.10.0.11", "stacks/sites/demo.yaml", 7),
        ("mesh.tailscale.tags", "shop", "stacks/sites/demo.yaml", 9),
        ("mesh.tailscale.version", None, PROGRAM_DEFAULTS.as_posix(), None),
        ("k3s.version", None, PROGRAM_DEFAULTS.as_posix(), None),
        ("telemetry.gateway", None, "stacks/sites/_defaults.yaml", None),
        ("k3s.pod_cidr", "10.42.0.0/16", None, None),
    ],
)
def test_a_sites_value_is_shown_with_file_and_line(
    project: Project, name: str, value: str | None, file: str | None, line: int | None
) -> None:
    (found,) = project.edge("explain", name, "--site", "demo", "--json").document["values"]
    if value is not None:
        assert found["value"] == value
    if file is None:
        assert found["from"] is None
    else:
        assert found["from"]["file"] == file
        text = (project.root / file).read_text().splitlines()[found["from"]["line"] - 1]
        assert found["value"] in text
    if line is not None:
        assert found["from"]["line"] == line


def test_a_value_that_no_file_has_is_the_programs_own(project: Project) -> None:
    said = project.edge("explain", "k3s.pod_cidr", "--site", "demo").stdout
    assert "k3s.pod_cidr: 10.42.0.0/16  # default of the program" in said


def test_the_value_of_a_tier_comes_from_the_tiers_file(project: Project) -> None:
    profiles = project.root / "stacks" / "profiles"
    real = profiles.resolve()
    profiles.unlink()
    (profiles / "tiers").mkdir(parents=True)
    for file in real.iterdir():
        if file.name != "tiers":
            (profiles / file.name).symlink_to(file)
    (profiles / "tiers" / "near.yaml").write_text(
        "description: here\nlatency_ms: {min: 1, max: 5}\ndefaults:\n  ssh: {port: 2222}\n"
    )
    (found,) = project.edge("explain", "ssh.port", "--site", "demo", "--json").document["values"]
    assert (found["value"], found["from"]["file"], found["from"]["line"]) == (
        2222,
        "stacks/profiles/tiers/near.yaml",
        4,
    )
    assert "for tier: near" in project.edge("explain", "ssh.port").stdout


def test_a_kind_that_a_site_does_not_have_has_no_value_there(project: Project) -> None:
    said = project.edge("explain", "registrations.arc.location", "--site", "demo")
    assert said.code == 0
    assert "demo has no `registrations.arc.location`." in said.stdout


def test_of_a_key_of_many_lines_the_first_one_is_shown(project: Project) -> None:
    said = project.edge("explain", "gitops.flux.source.verify.keys", "--site", "demo").stdout
    assert "-----BEGIN PGP PUBLIC KEY BLOCK----- ... (10 lines)" in said
    assert "END PGP" not in said


def test_the_values_of_a_site_are_those_of_its_model(project: Project) -> None:
    spec: SiteSpec = load_site("demo", root=project.root)
    found = {dotted(one.path): one.value for one in values_at(site_fields().root, "demo", project.root)}
    assert found["k3s.version"] == spec.k3s.version if spec.k3s else False
    assert found["hosts[0].host_key"] == spec.hosts[0].host_key
    assert found["inference.triton.models[0]"] == "yolov9-spatial"


def test_a_site_with_errors_is_said_to_have_them(project: Project) -> None:
    project.change("demo", lambda content: content.update(tier="nearby"))
    said = project.edge("explain", "tier", "--site", "demo")
    assert said.code == 2
    assert "stacks/sites/demo.yaml:" in said.stderr


def test_what_a_value_overrides_is_below_it(project: Project) -> None:
    (project.sites / "_defaults.yaml").write_text(
        (project.sites / "_defaults.yaml").read_text() + "  k3s:\n    version: v1.37.1+k3s1\n"
    )
    said = project.edge("explain", "k3s.version", "--site", "demo").stdout
    assert re.search(
        r"  k3s\.version: v1\.37\.1\+k3s1\s+# stacks/sites/_defaults\.yaml:\d+:\d+\n"
        r"      overrides v1\.36\.3\+k3s1  # \S+/program_defaults\.yaml:\d+:\d+\n",
        said,
    ), said
    (found,) = project.edge("explain", "k3s.version", "--site", "demo", "--json").document["values"]
    assert [one["value"] for one in found["overridden"]] == ["v1.36.3+k3s1"]


def test_the_groups_of_the_project_are_listed_with_their_files(project: Project) -> None:
    (project.root / "stacks" / "groups").mkdir()
    (project.root / "stacks" / "groups" / "acme.yaml").write_text("description: Sites of Acme\n")
    said = project.edge("explain", "groups").stdout
    assert "  acme  # stacks/groups/acme.yaml\n      Sites of Acme\n" in said
