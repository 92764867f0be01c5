"""Every site of the project loads, and every fixture is refused at the position and with the message that it names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sitefile.problems import FileError, Problem, render
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_all, load_site, site_checker, site_files, site_names

FIXTURES = PROJECT_ROOT / "tests" / "fixtures" / "sites"
INVALID = FIXTURES / "invalid"
ADVICE = FIXTURES / "advice"
_EXPECTED = re.compile(
    r"^\ufeff?# expect: (?:(?P<file>\S+?):)?(?P<line>\d+):(?P<column>\d+) (?P<code>[\w-]+)(?: (?P<text>.+))?$"
)


def _expectations(path: Path) -> list[tuple[str, int, int, str, str]]:
    """What the header of a fixture says: ``# expect: [FILE:]LINE:COLUMN CODE part of the message``."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _EXPECTED.match(line):
            file = match["file"] or path.name
            found.append((file, int(match["line"]), int(match["column"]), match["code"], match["text"] or ""))
    return found


def _check(problems: list[Problem], expected: list[tuple[str, int, int, str, str]]) -> None:
    said = render(problems)
    assert [(p.file.name, p.line, p.column, p.code) for p in problems] == [entry[:4] for entry in expected], said
    for problem, (*_, text) in zip(problems, expected, strict=True):
        assert text in problem.what, said
        assert problem.what
        assert problem.expected, said
        assert problem.remedy, said


@pytest.mark.parametrize("path", site_files(), ids=lambda path: path.stem)
def test_every_site_of_the_project_is_valid(path: Path) -> None:
    assert load_site(path).site == path.stem


def test_the_sites_of_the_project_do_not_clash() -> None:
    sites, problems = load_all()
    assert problems == [], render(problems)
    assert [site.site for site in sites] == site_names()
    assert len(sites) >= 8


@pytest.mark.parametrize("path", site_files(folder=FIXTURES / "valid"), ids=lambda path: path.stem)
def test_an_unusual_but_valid_site_is_accepted(path: Path) -> None:
    assert load_site(path).site == path.stem


@pytest.mark.parametrize(
    "folder", sorted(path for path in (FIXTURES / "valid").iterdir() if path.is_dir()), ids=lambda folder: folder.name
)
def test_similar_sites_that_do_not_clash_are_accepted(folder: Path) -> None:
    sites, problems = load_all(folder=folder)
    assert problems == [], render(problems)
    assert [site.site for site in sites] == [path.stem for path in site_files(folder=folder)]


@pytest.mark.parametrize("path", site_files(folder=INVALID), ids=lambda path: path.stem)
def test_each_fault_is_refused_at_its_position_with_reason_and_remedy(path: Path) -> None:
    expected = _expectations(path)
    assert expected, f"{path.name} does not say what to expect"
    with pytest.raises(FileError) as refused:
        load_site(path)
    _check(list(refused.value.problems), expected)


@pytest.mark.parametrize("path", site_files(folder=ADVICE), ids=lambda path: path.stem)
def test_what_is_worth_knowing_is_said_at_its_position_and_refuses_nothing(path: Path) -> None:
    expected = _expectations(path)
    assert expected, f"{path.name} does not say what to expect"
    checked = site_checker(folder=ADVICE).check(path)
    assert checked.model is not None, render(checked.problems)
    _check(checked.advice, expected)


@pytest.mark.parametrize("path", site_files(), ids=lambda path: path.stem)
def test_the_sites_of_the_project_take_their_own_advice(path: Path) -> None:
    said = [problem.path for problem in site_checker().check(path).advice]
    # The board has no TPM: what that means is for its readers to see.
    assert said == (["hosts[1].os.disk"] if path.stem == "shelf-lyon" else [])


def test_a_file_with_errors_gets_no_advice(tmp_path: Path) -> None:
    text = (ADVICE / "disk-not-encrypted.yaml").read_text(encoding="utf-8")
    (tmp_path / "disk-not-encrypted.yaml").write_text(text.replace("tier: near", "tier: neer"))
    assert site_checker(folder=tmp_path).check(tmp_path / "disk-not-encrypted.yaml").advice == []


@pytest.mark.parametrize(
    "folder", sorted(path for path in INVALID.iterdir() if path.is_dir()), ids=lambda folder: folder.name
)
def test_each_fault_between_sites_is_refused_at_its_position(folder: Path) -> None:
    expected = [entry for path in site_files(folder=folder) for entry in _expectations(path)]
    assert expected, f"no file of {folder.name} says what to expect"
    sites, problems = load_all(folder=folder)
    _check(problems, expected)
    clashing = {entry[0] for entry in expected}
    assert not clashing & {f"{site.site}.yaml" for site in sites}, "a site that clashes is not returned"


def test_several_faults_of_one_file_read_as_one_report(golden: Callable[[str, str], None]) -> None:
    with pytest.raises(FileError) as refused:
        load_site(INVALID / "many-faults.yaml")
    golden("stacks/many-faults.txt", str(refused.value) + "\n")


def _secrets(path: Path) -> set[str]:
    """The made-up secrets of a fixture and of its defaults, recognised by their words."""
    text = "".join(
        file.read_text(encoding="utf-8", errors="replace") for file in (path, path.parent / "_defaults.yaml")
    )
    return set(re.findall(r"\w*(?:EXAMPLE|example|hunter2|battery|RVhBTVBMRU|48151623)\w*", text)) - {"example"}


WITH_SECRETS = [
    path
    for path in sorted(INVALID.rglob("*.yaml"))
    if path.name[0] != "_" and "plain-secret" in path.read_text(encoding="utf-8", errors="replace")
]


@pytest.mark.parametrize(
    "path", [*WITH_SECRETS, INVALID / "secret-in-a-block.yaml"], ids=lambda path: str(path.relative_to(INVALID))
)
def test_no_fixture_shows_its_secret(path: Path) -> None:
    secrets = _secrets(path)
    assert secrets, f"{path.name} holds no secret that this test knows"
    with pytest.raises(FileError) as refused:
        load_site(path)
    said = str(refused.value) + str([problem.as_dict() for problem in refused.value.problems])
    assert [secret for secret in sorted(secrets) if secret in said] == []


def test_a_link_out_of_the_sites_folder_is_refused(tmp_path: Path) -> None:
    sites = tmp_path / "stacks" / "sites"
    sites.mkdir(parents=True)
    outside = tmp_path / "demo.yaml"
    shutil.copy(PROJECT_ROOT / "stacks" / "sites" / "demo.yaml", outside)
    (sites / "demo.yaml").symlink_to(outside)
    with pytest.raises(FileError) as refused:
        load_site("demo", root=tmp_path)
    problem = refused.value.problems[0]
    assert (problem.file.as_posix(), problem.line, problem.column, problem.code) == (
        "stacks/sites/demo.yaml",
        1,
        1,
        "symlink",
    )


def test_for_an_unknown_name_a_similar_one_is_suggested() -> None:
    with pytest.raises(FileError) as refused:
        load_site("prodd")
    assert "did you mean `prod`?" in str(refused.value)


def test_a_site_is_found_by_name_and_by_path() -> None:
    assert load_site("prod") == load_site(PROJECT_ROOT / "stacks" / "sites" / "prod.yaml")


def test_a_file_that_would_be_ignored_is_a_problem(tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "stacks" / "sites" / "demo.yaml", tmp_path / "demo.yml")
    _, problems = load_all(folder=tmp_path)
    assert [p.code for p in problems] == ["suffix"]


def test_problems_are_plain_data_for_machines() -> None:
    with pytest.raises(FileError) as refused:
        load_site(INVALID / "unknown-tier.yaml")
    assert refused.value.problems[0].as_dict() == {
        "file": "tests/fixtures/sites/invalid/unknown-tier.yaml",
        "line": 4,
        "column": 7,
        "path": "tier",
        "code": "unknown-choice",
        "what": "`tier` cannot be `neer`: did you mean `near`?",
        "expected": "`device`, `near`, `far` or `cloud`",
        "remedy": "write `near`",
    }


def test_where_there_is_no_site_yet_an_unknown_one_is_answered_by_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    with pytest.raises(FileError) as raised:
        load_site("shop", root=tmp_path)
    assert "edge new SITE" in raised.value.problems[0].remedy


@pytest.mark.parametrize("stack", ["fleet", "shared"])
def test_a_stack_that_is_no_site_is_answered_by_the_commands_for_it(stack: str) -> None:
    with pytest.raises(FileError) as raised:
        load_site(stack)
    (problem,) = raised.value.problems
    assert "is no site but the stack of" in problem.what
    assert f"pulumi up -s {stack}" in problem.remedy
