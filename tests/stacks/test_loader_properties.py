"""For any file, the result is a site or a list of problems, each at a position inside the file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sitefile.problems import Problem
from sitefile.yaml_source import from_bytes, from_text
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import site_checker, site_files

SITES = [path.read_text(encoding="utf-8") for path in site_files()]
SMALL = [text for text in SITES if len(text) < 2600]
FILE = Path("stacks/sites/x.yaml")
CHECKER = site_checker()

pytestmark = pytest.mark.filterwarnings("error")
_SETTINGS = settings(max_examples=150)
_FEWER = settings(max_examples=60)
"""For tests that write files."""

keys = st.sampled_from(
    [
        "site",
        "tier",
        "region",
        "hosts",
        "k3s",
        "mesh",
        "kind",
        "gitops",
        "source",
        "git",
        "os",
        "name",
        "token",
        "x",
        "<<",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["near", "tailscale", "none", "flux", "10.0.0.1", "demo", "tskey-" + "auth-example"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=6), inner, max_size=6),
    max_leaves=25,
)


def _inside(problem: Problem, text: str) -> bool:
    if problem.file != FILE:
        return (PROJECT_ROOT / problem.file).is_file()
    lines = text.replace("\r\n", "\n").split("\n")
    return 1 <= problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def _judge(text: str) -> None:
    checked = CHECKER.check_source(from_text(text, FILE))
    assert (checked.model is None) == bool(checked.problems)
    for problem in checked.problems:
        assert _inside(problem, text), problem
        assert problem.what
        assert problem.expected, problem
        assert problem.remedy, problem
        assert problem.render()


def test_no_property_test_fails_on_a_slow_machine() -> None:
    for used in (settings.default, _SETTINGS, _FEWER):
        assert used is not None
        assert used.deadline is None
        assert HealthCheck.too_slow in used.suppress_health_check


@_SETTINGS
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    _judge(text)


@_SETTINGS
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t", max_size=120))
def test_any_punctuation(text: str) -> None:
    _judge(text)


@_SETTINGS
@given(values)
def test_any_values(value: object) -> None:
    _judge(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))


@_SETTINGS
@given(st.sampled_from(SMALL), st.data())
def test_any_edit_of_a_real_site(text: str, data: st.DataObject) -> None:
    lines = text.split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[at])))
    edit = data.draw(st.sampled_from(["cut", "drop", "double", "insert", "indent"]))
    if edit == "cut":
        lines = [*lines[:at], lines[at][:column]]
    elif edit == "drop":
        del lines[at]
    elif edit == "double":
        lines.insert(at, lines[at])
    elif edit == "indent":
        lines[at] = " " + lines[at]
    else:
        lines[at] = lines[at][:column] + data.draw(st.text(max_size=5)) + lines[at][column:]
    _judge("\n".join(lines))


@_SETTINGS
@given(st.sampled_from(SMALL), st.data())
def test_any_value_instead_of_a_right_one(text: str, data: st.DataObject) -> None:
    site = yaml.safe_load(text)
    where = site
    for _ in range(data.draw(st.integers(0, 3))):
        below = [v for v in (where.values() if isinstance(where, dict) else where) if isinstance(v, dict | list) and v]
        if not below:
            break
        where = data.draw(st.sampled_from(below))
    key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    where[key] = data.draw(values)
    _judge(yaml.safe_dump(site, sort_keys=False))


def _edited(text: str, data: st.DataObject) -> str:
    """A value of a file replaced by another one."""
    document = yaml.safe_load(text)
    where = document
    for _ in range(data.draw(st.integers(0, 4))):
        below = [v for v in (where.values() if isinstance(where, dict) else where) if isinstance(v, dict | list) and v]
        if not below:
            break
        where = data.draw(st.sampled_from(below))
    key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    where[key] = data.draw(values)
    return yaml.safe_dump(document, sort_keys=False)


def _judge_shared(problems: Iterable[Problem], text: str, file: str) -> None:
    lines = text.split("\n")
    for problem in problems:
        assert problem.file.as_posix() == file, problem
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert problem.what
        assert problem.expected, problem
        assert problem.remedy, problem
        assert problem.render()


@pytest.mark.parametrize("name", ["hardware/hpe-el8000.yaml", "accelerators.yaml", "tiers/near.yaml"])
@_FEWER
@given(st.data())
def test_any_edit_of_a_profile(name: str, data: st.DataObject) -> None:
    profiles = PROJECT_ROOT / "stacks" / "profiles"
    text = _edited((profiles / name).read_text(encoding="utf-8"), data)
    with TemporaryDirectory() as folder:
        own = Path(folder) / "stacks" / "profiles"
        (own / name).parent.mkdir(parents=True)
        (own / name).write_text(text, encoding="utf-8")
        if name != "accelerators.yaml":
            shutil.copy(profiles / "accelerators.yaml", own)
        catalogue.cache_clear()
        found = catalogue(Path(folder))
        _judge_shared(found.problems, text, f"stacks/profiles/{name}")
        assert bool(found.broken) <= bool(found.problems)


@_FEWER
@given(st.data())
def test_any_edit_of_the_defaults(data: st.DataObject) -> None:
    text = _edited((PROJECT_ROOT / "stacks" / "sites" / "_defaults.yaml").read_text(encoding="utf-8"), data)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "stacks" / "sites").mkdir(parents=True)
        (root / "stacks" / "sites" / "_defaults.yaml").write_text(text, encoding="utf-8")
        checker = site_checker(root)
        _judge_shared(checker.check_layers(), text, "stacks/sites/_defaults.yaml")
        for problem in checker.check_source(from_text(SMALL[0], FILE)).problems:
            assert problem.render()


@_SETTINGS
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    source = from_bytes(data, FILE)
    assert source.tree is not None or source.problems
