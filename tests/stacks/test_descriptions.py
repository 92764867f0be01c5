"""Sites as people have them, by ten other tools: what each says is said by a site file, or is refused here by name.

Each folder in `fixtures/descriptions` has what somebody would bring, written in the form of its tool, and
`compared.yaml`: values that both have, what a site file cannot say, and what it asks for beside that. The site file is
beside the folder.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.run.check import SiteCheck, check_file
from stacks.catalogue import PROJECT_ROOT
from tests.policies.cases import drop, put

FOLDER = PROJECT_ROOT / "tests" / "fixtures" / "descriptions"
COMPARED = {file.parent.name: yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*/compared.yaml"))}
ALWAYS_ASKED = ("tier", "region", "hosts[0].hardware", "hosts[0].host_key")
"""What none of the tools has a word for."""


def site(tool: str) -> Any:
    return yaml.safe_load((FOLDER / f"{COMPARED[tool]['site']}.yaml").read_text())


def original(tool: str) -> str:
    return "\n".join((FOLDER / tool / name).read_text() for name in COMPARED[tool]["original"].split())


def at(content: Any, path: str) -> Any:
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        content = content[int(index) if index else key]
    return content


def checked(tool: str, content: Any, folder: Path) -> SiteCheck:
    (folder / "_defaults.yaml").write_text((FOLDER / "_defaults.yaml").read_text())
    file = folder / f"{COMPARED[tool]['site']}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return check_file(file)


def each(key: str) -> list[Any]:
    return [
        pytest.param(tool, entry, id=f"{tool}-{number}")
        for tool, compared in COMPARED.items()
        for number, entry in enumerate(compared.get(key, ()))
    ]


def test_each_of_the_ten_has_its_site_file() -> None:
    assert len(COMPARED) == 10
    assert {file.stem for file in FOLDER.glob("*.yaml")} == {one["site"] for one in COMPARED.values()} | {"_defaults"}


@pytest.mark.parametrize("tool", COMPARED)
def test_the_site_file_passes_edge_check(tool: str) -> None:
    found = check_file(FOLDER / f"{COMPARED[tool]['site']}.yaml")
    assert found.problems == ()
    assert found.graph == ()
    assert found.mandatory == ()


@pytest.mark.parametrize("tool", COMPARED)
def test_each_host_of_the_site_file_is_one_of_the_original(tool: str) -> None:
    words = re.findall(r"[0-9.]+", original(tool))
    for host in site(tool)["hosts"]:
        assert host["address"] in {word.strip(".") for word in words}


@pytest.mark.parametrize(("tool", "entry"), each("same"))
def test_what_can_be_said_has_the_same_value_in_both(tool: str, entry: list[str]) -> None:
    path, text = entry
    assert text in original(tool)
    # A name with a dot in it is one key.
    *_, registry = ("", *re.findall(r"registries\.(.+)\.endpoints$", path))
    value = site(tool)["k3s"]["registries"][registry]["endpoints"] if registry else at(site(tool), path)
    given = value if isinstance(value, list) else [value]
    assert text in [str(one).lower() if isinstance(one, bool) else str(one) for one in given]


@pytest.mark.parametrize(("tool", "entry"), each("cannot"))
def test_what_cannot_be_said_is_refused_where_it_stands(tool: str, entry: dict[str, Any], tmp_path: Path) -> None:
    assert entry["original"] in original(tool)
    assert entry["why"]
    ((path, value),) = entry["try"].items()
    content = copy.deepcopy(site(tool))
    put(content, path, value)
    refused = [problem.path for problem in checked(tool, content, tmp_path).problems]
    assert [one for one in refused if one.startswith(path)], (
        f"{path} can be said now: say it in the site file ({refused})"
    )


@pytest.mark.parametrize("tool", COMPARED)
def test_what_a_site_file_asks_for_beside_that_must_be_there(tool: str, tmp_path: Path) -> None:
    for path in (*ALWAYS_ASKED, *(entry["path"] for entry in COMPARED[tool].get("asks", ()))):
        content = copy.deepcopy(site(tool))
        drop(content, path)
        assert checked(tool, content, tmp_path).problems, f"{path} is not asked for"
