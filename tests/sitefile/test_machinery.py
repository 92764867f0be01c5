"""Layers, wording, recovery and secrets, shown on models of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, Field

from components.specs import Spec
from sitefile.checked_file import CheckedFile, FileChecker
from sitefile.layers import Layers, read_layers
from sitefile.problems import DataPath, Finding, Problem, render
from sitefile.yaml_source import from_text
from sitefile.yaml_tree import find

SITE = Path("x.yaml")


def _short(value: str) -> str:
    if len(value) > 20 or not value.islower():
        raise ValueError("expected at most 20 lower-case letters")
    return value


class Box(Spec):
    name: Annotated[str, AfterValidator(_short)]
    """Name of the box."""

    role: Literal["server", "agent"] = "server"
    """What it does."""

    address: Annotated[str, Field(pattern=r"^[\d.]+$")]
    """Where it is."""


class NoMesh(Spec):
    kind: Literal["none"]


class Tailnet(Spec):
    kind: Literal["tailscale"]
    version: str
    """Release."""

    tags: tuple[str, ...] = ()
    """Groups."""


class Queue(Spec):
    mib: int
    """Size in MiB."""


class Telemetry(Spec):
    gateway: str
    """Where it goes."""

    queue: Queue | None = None


class Repository(Spec):
    git: str
    branch: str = "main"


class Artifact(Spec):
    oci: str
    tag: str


class Plant(Spec):
    site: str
    """Id of the plant. More about it."""

    tier: Literal["near", "far"]
    """Distance."""

    boxes: tuple[Box, ...] = ()
    """The machines."""

    mesh: Annotated[NoMesh | Tailnet, Field(discriminator="kind")] = NoMesh(kind="none")
    telemetry: Telemetry | None = None
    source: Repository | Artifact | None = None
    proxy: str | None = "http://proxy.example.com"
    retries: int = 3


def _said(path: DataPath, what: str) -> Finding:
    return Finding(path, what, "something else", "change it")


def _rules(plant: Plant) -> Iterator[Finding]:
    servers = [box for box in plant.boxes if box.role == "server"]
    if servers and len(servers) % 2 == 0:
        yield _said(("boxes",), f"{len(servers)} servers")
    for index, box in enumerate(plant.boxes):
        if box.address.startswith("192."):
            yield _said(("boxes", index, "address"), f"{box.address} is outside")


def _layers(tmp_path: Path, defaults: str = "", **tiers: str) -> Layers:
    (tmp_path / "tiers").mkdir(exist_ok=True)
    if defaults:
        (tmp_path / "_defaults.yaml").write_text(defaults)
    for name, text in tiers.items():
        (tmp_path / "tiers" / f"{name}.yaml").write_text(text)
    return read_layers(tmp_path / "_defaults.yaml", tmp_path / "tiers", tmp_path)


def _check(text: str, layers: Layers) -> CheckedFile[Plant]:
    checker = FileChecker(Plant, layers, Path("/"), _rules, lambda tree, file: ())
    return checker.check_source(from_text(text, SITE))


@pytest.fixture
def bare(tmp_path: Path) -> Layers:
    return _layers(tmp_path)


def _sound(checked: CheckedFile[Plant]) -> Plant:
    assert checked.model is not None, render(checked.problems)
    return checked.model


def _places(checked: CheckedFile[Plant]) -> list[tuple[int, int, str]]:
    return [(p.line, p.column, p.code) for p in checked.problems]


def _only(checked: CheckedFile[Plant]) -> Problem:
    assert len(checked.problems) == 1, render(checked.problems)
    return checked.problems[0]


# Layers


def test_a_site_wins_over_its_tier_and_its_tier_over_the_defaults(tmp_path: Path) -> None:
    layers = _layers(
        tmp_path,
        "always: {retries: 1, proxy: a, telemetry: {gateway: g}}",
        near="description: x\ndefaults: {retries: 2, proxy: b}",
        far="defaults: {retries: 9}",
    )
    plant = _sound(_check("site: x\ntier: near\nproxy: c\n", layers))
    assert (plant.retries, plant.proxy) == (2, "c")
    assert plant.telemetry is not None
    assert plant.telemetry.gateway == "g"


def test_lists_are_replaced_and_mappings_are_merged(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "always: {mesh: {kind: tailscale, version: v1, tags: [a, b]}}")
    mesh = _sound(_check("site: x\ntier: near\nmesh: {tags: [c]}\n", layers)).mesh
    assert mesh == Tailnet(kind="tailscale", version="v1", tags=("c",))


def test_what_holds_when_present_adds_no_block_of_its_own(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "when_present: {telemetry: {gateway: g}, telemetry.queue: {mib: 5}}")
    assert _sound(_check("site: x\ntier: near\n", layers)).telemetry is None
    assert _sound(_check("site: x\ntier: near\ntelemetry:\n", layers)).telemetry is None
    without_queue = _sound(_check("site: x\ntier: near\ntelemetry: {}\n", layers)).telemetry
    assert without_queue == Telemetry(gateway="g")
    with_queue = _sound(_check("site: x\ntier: near\ntelemetry: {queue: {}}\n", layers)).telemetry
    assert with_queue == Telemetry(gateway="g", queue=Queue(mib=5))


def test_what_holds_for_a_kind_reaches_blocks_of_that_kind_only(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "when_kind: {mesh: {tailscale: {version: v1}}}")
    assert _sound(_check("site: x\ntier: near\nmesh: {kind: none}\n", layers)).mesh == NoMesh(kind="none")
    chosen = _sound(_check("site: x\ntier: near\nmesh: {kind: tailscale}\n", layers)).mesh
    assert chosen == Tailnet(kind="tailscale", version="v1")


def test_another_kind_takes_nothing_from_the_block_that_it_replaces(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "always: {mesh: {kind: tailscale, version: v1}}")
    assert _sound(_check("site: x\ntier: near\nmesh: {kind: none}\n", layers)).mesh == NoMesh(kind="none")


def test_an_explicit_null_removes_a_default(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "always: {telemetry: {gateway: g}, proxy: p, retries: 9}")
    plant = _sound(_check("site: x\ntier: near\ntelemetry: null\nproxy: null\nretries: null\n", layers))
    assert plant.telemetry is None
    assert plant.proxy is None, "null means none where the model knows none"
    assert plant.retries == 3, "and the model's own default where it does not"


def test_a_fault_in_a_default_is_reported_in_the_defaults_file(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "always:\n  retries: many\n")
    problem = _only(_check("site: x\ntier: near\n", layers))
    assert (problem.file.name, problem.line, problem.column) == ("_defaults.yaml", 2, 12)
    assert problem.excerpt == "  retries: many"


def test_what_a_default_leaves_out_is_missing_in_the_site(tmp_path: Path) -> None:
    layers = _layers(tmp_path, "always: {telemetry: {queue: {mib: 1}}}")
    problem = _only(_check("site: x\ntier: near\n", layers))
    assert (problem.file, problem.line, problem.column, problem.path) == (SITE, 1, 1, "telemetry.gateway")


def test_an_unknown_section_of_the_defaults_is_refused(tmp_path: Path) -> None:
    problem = _only(_check("site: x\ntier: near\n", _layers(tmp_path, "allways: {retries: 1}")))
    assert (problem.file.name, problem.line, problem.column) == ("_defaults.yaml", 1, 1)
    assert "did you mean `always`?" in problem.what


# Wording and places


def test_all_problems_of_a_file_come_at_once_in_the_order_of_its_lines(bare: Layers) -> None:
    checked = _check(
        "site: 12\ntier: neer\nboxes:\n  - {name: A, adress: 10.0.0.1}\n"
        "  - {name: b, address: x, role: srver}\nretries: x\n",
        bare,
    )
    assert _places(checked) == [
        (1, 7, "wrong-type"),
        (2, 7, "unknown-choice"),
        (3, 1, "rule"),
        (4, 12, "invalid-value"),
        (4, 15, "unknown-key"),
        (5, 24, "invalid-value"),
        (5, 33, "unknown-choice"),
        (6, 10, "wrong-type"),
    ]
    assert all(p.what and p.expected and p.remedy for p in checked.problems)


def test_a_misspelt_key_is_not_also_reported_as_missing(bare: Layers) -> None:
    problem = _only(_check("site: x\ntier: near\nboxes: [{name: a, adress: 10.0.0.1}]\n", bare))
    assert problem.what == "unknown key `adress` in `boxes[0]`: did you mean `address`?"
    assert problem.expected == "Where it is"


def test_a_key_that_is_near_none_is_answered_with_all_that_are_valid(bare: Layers) -> None:
    problem = _only(_check("site: x\ntier: near\nboxes: [{name: a, address: '1', zzz: 1}]\n", bare))
    assert problem.expected == "`name`, `role` or `address`"


def test_a_missing_key_points_at_the_block_and_says_what_it_is_for(bare: Layers) -> None:
    checked = _check("site: x\ntier: near\ntelemetry:\n  queue: {}\n", bare)
    assert _places(checked) == [(3, 1, "missing"), (4, 3, "missing")]
    assert checked.problems[0].expected == "Where it goes"


def test_of_an_untagged_union_only_the_likeliest_alternative_is_explained(bare: Layers) -> None:
    problem = _only(_check("site: x\ntier: near\nsource: {oci: y, tg: z}\n", bare))
    assert problem.what == "unknown key `tg` in `source`: did you mean `tag`?"


def test_what_is_wrong_below_a_misspelt_kind_is_reported_with_it(bare: Layers) -> None:
    checked = _check("site: x\ntier: near\nmesh: {kind: tailscael, version: v1, tags: a}\n", bare)
    assert _places(checked) == [(3, 14, "unknown-kind"), (3, 44, "wrong-type")]


def test_numbers_are_not_taken_for_text_nor_text_for_numbers(bare: Layers) -> None:
    checked = _check('site: 1.10\ntier: near\nretries: "3"\n', bare)
    assert [p.remedy for p in checked.problems] == [
        'put it in quotes: "1.10"',
        "write the number alone, without quotes or unit",
    ]


def test_a_key_without_a_value_is_said_to_have_none(bare: Layers) -> None:
    assert "has no value" in _only(_check("site:\ntier: near\n", bare)).what


def test_a_refused_key_does_not_make_its_block_incomplete_twice(bare: Layers) -> None:
    assert _only(_check("site: x\ntier: near\ntelemetry: {1: g}\n", bare)).code == "key-not-text"


# Rules between fields


def test_rules_speak_in_the_same_run_as_faults_elsewhere(bare: Layers) -> None:
    checked = _check(
        "site: x\ntier: neer\nboxes:\n  - {name: A, address: 10.0.0.1}\n  - {name: b, address: 192.0.0.1}\nfoo: 1\n",
        bare,
    )
    assert _places(checked) == [
        (2, 7, "unknown-choice"),
        (3, 1, "rule"),
        (4, 12, "invalid-value"),
        (5, 24, "rule"),
        (6, 1, "unknown-key"),
    ]


def test_rules_say_nothing_about_values_that_stand_in_for_wrong_ones(bare: Layers) -> None:
    # The stand-in for an address is from 192.0.2.0/24, which the rule complains about.
    assert _only(_check("site: x\ntier: near\nboxes: [{name: a, address: wrong}]\n", bare)).code == "invalid-value"


def test_rules_are_silent_when_a_choice_had_to_be_guessed(bare: Layers) -> None:
    text = "site: x\ntier: near\nboxes:\n  - {name: a, address: '1'}\n  - {name: b, address: '2', role: zzz}\n"
    assert _only(_check(text, bare)).code == "unknown-choice", "the second box may well be an agent"


def test_rules_are_silent_when_a_list_lost_an_entry(bare: Layers) -> None:
    text = "site: x\ntier: near\nboxes:\n  - {name: a, address: '1'}\n  - nothing\n  - {name: b, address: '2'}\n"
    assert _only(_check(text, bare)).code == "wrong-type", "three boxes were meant, so two servers prove nothing"


# Secrets

_AGE = "AGE-SECRET-KEY-" + "1EXAMPLEEXAMPLE"


@pytest.mark.parametrize(
    "value",
    [
        "tskey-" + "auth-kEXAMPLE-example",
        _AGE,
        "K10" + "abcdef::server:example",
        "glc_" + "exampleexample",
        "ghp_" + "exampleexampleexample",
        "AKIA" + "EXAMPLEEXAMPLE",
        "postgres://user:" + "word@db.example.com/k3s",
    ],
)
@pytest.mark.parametrize(
    "place", ["tier: {}", "boxes: [{{name: {}}}]", "retries: {}", "{}: 1", "tier: near # {}", "'{}"]
)
def test_a_secret_is_refused_wherever_it_stands_and_never_repeated(value: str, place: str, bare: Layers) -> None:
    checked = _check(f"site: x\n{place.format(value)}\n", bare)
    assert "plain-secret" in [p.code for p in checked.problems]
    said = render(checked.problems) + str([p.as_dict() for p in checked.problems])
    assert value not in said
    assert value[:12] not in said


def test_no_line_of_a_private_key_is_shown(bare: Layers) -> None:
    body = ["AAAABBBBCCCCDDDD", "EEEEFFFFGGGGHHHH: x: y"]
    text = "\n".join(["site: |", "  -----BEGIN " + "RSA PRIVATE KEY-----", *body])
    said = render(_check(text, bare).problems)
    assert "private key" in said
    assert not any(line in said for line in body)


def test_a_key_that_promises_a_secret_may_not_hold_text(bare: Layers) -> None:
    checked = _check("site: x\ntier: near\ntelemetry: {gateway: g, api_token: correct-horse}\n", bare)
    problem = _only(checked)
    assert (problem.line, problem.column, problem.code) == (3, 36, "plain-secret")
    assert "pulumi config set --secret api-token -s x" in problem.remedy
    assert "correct-horse" not in render([problem])


def test_a_field_of_the_model_is_no_secret_by_its_name(bare: Layers, tmp_path: Path) -> None:
    class Named(Spec):
        token_path: str

    checker = FileChecker(Named, bare, Path("/"), lambda model: (), lambda tree, file: ())
    assert checker.check_source(from_text("token_path: /etc/token\n", SITE)).problems == []


def test_a_secret_in_the_defaults_is_not_shown_either(tmp_path: Path) -> None:
    layers = _layers(tmp_path, f"always:\n  retries: {_AGE}\n")
    said = render(_check("site: x\ntier: near\n", layers).problems)
    assert "plain text" in said
    assert _AGE not in said


# Rendering


def test_a_problem_shows_its_line_with_a_caret(bare: Layers) -> None:
    assert _only(_check("site: x\ntier: neer\n", bare)).render() == "\n".join(
        [
            "x.yaml:2:7: `tier` cannot be `neer`: did you mean `near`?",
            "    2 | tier: neer",
            "      |       ^",
            "    expected: `near` or `far`",
            "    do: write `near`",
        ]
    )


def test_a_long_line_is_cut_around_the_caret(bare: Layers) -> None:
    filler = ", ".join(["a: 1"] * 60)
    rendered = _check(f"site: x\ntier: near\ntelemetry: {{{filler}, b: 2}}\n", bare).problems[-1].render().split("\n")
    shown, caret = rendered[1], rendered[2]
    assert len(shown) < 130
    assert shown[caret.index("^")] == "b"


def test_positions_survive_in_the_merged_tree(tmp_path: Path) -> None:
    checked = _check(
        "site: x\ntier: near\ntelemetry: {}\n", _layers(tmp_path, "when_present:\n  telemetry:\n    gateway: g\n")
    )
    assert checked.tree is not None
    node = find(checked.tree, ("telemetry", "gateway"))
    assert node is not None
    assert (node.place.file.name, node.place.line, node.place.column) == ("_defaults.yaml", 3, 14)
