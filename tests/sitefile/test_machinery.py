"""Wording, positions, rules and secrets, shown on a model of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sitefile.checked_file import FileChecker
from sitefile.layers import Layers
from sitefile.problems import DataPath, Finding, render
from sitefile.yaml_source import from_text
from sitefile.yaml_tree import MappingNode
from tests.sitefile.plant import FILE, Plant, Spec, check, layers_of, only, positions


@pytest.fixture
def bare() -> Layers:
    return Layers()


# Wording and positions


def test_all_problems_of_a_file_come_at_once_in_the_order_of_its_lines(bare: Layers) -> None:
    checked = check(
        "unit: 12\nzone: neer\nboxes:\n  - {name: A, adress: 10.0.0.1}\n"
        "  - {name: b, address: x, role: srver}\nretries: x\n",
        bare,
    )
    assert positions(checked) == [
        (1, 7, "wrong-type"),
        (2, 7, "unknown-choice"),
        (4, 12, "invalid-value"),
        (4, 15, "unknown-key"),
        (5, 24, "invalid-value"),
        (5, 33, "unknown-choice"),
        (6, 10, "wrong-type"),
    ]
    assert all(p.what and p.expected and p.remedy for p in checked.problems)


def test_a_misspelt_key_is_not_also_reported_as_missing(bare: Layers) -> None:
    problem = only(check("unit: x\nzone: near\nboxes: [{name: a, adress: 10.0.0.1}]\n", bare))
    assert problem.what == "unknown key `adress` in `boxes[0]`: did you mean `address`?"
    assert problem.expected == "Where it is"


def test_a_key_that_is_near_none_is_answered_with_all_that_are_valid(bare: Layers) -> None:
    problem = only(check("unit: x\nzone: near\nboxes: [{name: a, address: '1', zzz: 1}]\n", bare))
    assert problem.expected == "`name`, `role` or `address`"


def test_a_missing_key_points_at_the_block_and_says_what_it_is_for(bare: Layers) -> None:
    checked = check("unit: x\nzone: near\ntelemetry:\n  queue: {}\n", bare)
    assert positions(checked) == [(3, 1, "missing"), (4, 3, "missing")]
    assert checked.problems[0].expected == "Where it goes"


def test_of_an_untagged_union_only_the_likeliest_alternative_is_explained(bare: Layers) -> None:
    problem = only(check("unit: x\nzone: near\nsource: {oci: y, tg: z}\n", bare))
    assert problem.what == "unknown key `tg` in `source`: did you mean `tag`?"


def test_numbers_are_not_taken_for_text_nor_text_for_numbers(bare: Layers) -> None:
    checked = check('unit: 1.10\nzone: near\nretries: "3"\n', bare)
    assert [p.remedy for p in checked.problems] == [
        'put it in quotes: "1.10"',
        "write the number alone, without quotes or unit",
    ]


def test_a_key_without_a_value_is_said_to_have_none(bare: Layers) -> None:
    assert "has no value" in only(check("unit:\nzone: near\n", bare)).what


def test_a_refused_key_does_not_make_its_block_incomplete_twice(bare: Layers) -> None:
    assert only(check("unit: x\nzone: near\ntelemetry: {1: g}\n", bare)).code == "key-not-text"


# Rules between fields


def test_rules_speak_once_the_shape_is_right(bare: Layers) -> None:
    two_servers = "boxes:\n  - {name: a, address: 10.0.0.1}\n  - {name: b, address: 192.0.0.1}\n"
    wrong_shape = check(f"unit: x\nzone: neer\n{two_servers}foo: 1\n", bare)
    assert positions(wrong_shape) == [(2, 7, "unknown-choice"), (6, 1, "unknown-key")]
    right_shape = check(f"unit: x\nzone: near\n{two_servers}", bare)
    assert positions(right_shape) == [(3, 1, "rule"), (5, 24, "rule")]
    assert right_shape.model is None


def test_rules_say_nothing_about_what_a_refused_key_may_hold(bare: Layers) -> None:
    def needs_telemetry(plant: Plant, tree: MappingNode) -> Iterator[Finding]:
        if plant.telemetry is None:
            yield Finding(("telemetry",), "no telemetry", "some", "add it")

    checker = FileChecker(Plant, bare, Path("/"), rules=needs_telemetry)
    checked = checker.check_source(from_text("unit: x\nzone: near\n1: {gateway: g}\n", FILE))
    assert [problem.code for problem in checked.problems] == ["key-not-text"]


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
    "position", ["zone: {}", "boxes: [{{name: {}}}]", "retries: {}", "{}: 1", "zone: near # {}", "'{}"]
)
def test_a_secret_is_refused_wherever_it_stands_and_never_repeated(value: str, position: str, bare: Layers) -> None:
    checked = check(f"unit: x\n{position.format(value)}\n", bare)
    assert "plain-secret" in [p.code for p in checked.problems]
    said = render(checked.problems) + str([p.as_dict() for p in checked.problems])
    assert value not in said
    assert value[:12] not in said


def test_no_line_of_a_private_key_is_shown(bare: Layers) -> None:
    body = ["AAAABBBBCCCCDDDD", "EEEEFFFFGGGGHHHH: x: y"]
    text = "\n".join(["unit: |", "  -----BEGIN " + "RSA PRIVATE KEY-----", *body])
    said = render(check(text, bare).problems)
    assert "private key" in said
    assert not any(line in said for line in body)


def test_a_key_that_promises_a_secret_may_not_hold_text(bare: Layers) -> None:
    checked = check("unit: x\nzone: near\ntelemetry: {gateway: g, api_token: correct-horse}\n", bare)
    problem = only(checked)
    assert (problem.line, problem.column, problem.code) == (3, 36, "plain-secret")
    assert (problem.expected, problem.remedy) == ("no secret in this file", "remove it here and revoke it")
    assert "correct-horse" not in render([problem])


def test_where_a_secret_belongs_is_advised_by_kind_path_and_file(tmp_path: Path) -> None:
    def advice(kind: str | None, path: DataPath, stem: str | None) -> tuple[str, str]:
        return "a vault", f"move {kind} of {path} in {stem}"

    layers = layers_of(tmp_path, f"always: {{proxy: {_AGE}}}")
    checker = FileChecker(Plant, layers, Path("/"), advice=advice)
    checked = checker.check_source(from_text("unit: x\nzone: near\ntoken: correct-horse\n", FILE))
    said = {(p.expected, p.remedy) for p in checked.problems if p.code == "plain-secret"}
    assert said == {
        ("a vault", "move None of ('token',) in x"),
        ("a vault", "move age key of ('always', 'proxy') in None"),
    }


def test_a_field_of_the_model_is_no_secret_by_its_name(bare: Layers, tmp_path: Path) -> None:
    class Named(Spec):
        token_path: str

    checker = FileChecker(Named, bare, Path("/"))
    assert checker.check_source(from_text("token_path: /etc/token\n", FILE)).problems == []


def test_a_secret_in_the_defaults_is_not_shown_either(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, f"always:\n  retries: {_AGE}\n")
    said = render(check("unit: x\nzone: near\n", layers).problems)
    assert "plain text" in said
    assert _AGE not in said


# Rendering


def test_a_problem_shows_its_line_with_a_caret(bare: Layers) -> None:
    assert only(check("unit: x\nzone: neer\n", bare)).render() == "\n".join(
        [
            "x.yaml:2:7: `zone` cannot be `neer`: did you mean `near`?",
            "    2 | zone: neer",
            "      |       ^",
            "    expected: `near` or `far`",
            "    do: write `near`",
        ]
    )


def test_a_long_line_is_cut_around_the_caret(bare: Layers) -> None:
    filler = ", ".join(["a: 1"] * 60)
    rendered = check(f"unit: x\nzone: near\ntelemetry: {{{filler}, b: 2}}\n", bare).problems[-1].render().split("\n")
    shown, caret = rendered[1], rendered[2]
    assert len(shown) < 130
    assert shown[caret.index("^")] == "b"
