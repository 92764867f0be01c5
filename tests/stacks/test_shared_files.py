"""Profiles, accelerators, tiers and defaults are checked as site files are; a broken one concerns its users only."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.inference.triton import spec as triton
from sitefile.problems import FileError, Problem, render
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import load_site, shared_problems, site_files

Change = Callable[[str, str, str], None]


# After the project's own, so that the positions below are of lines that are here.
_MORE_DEFAULTS = """\
  k3s:
    version: v1.36.3+k3s1
when_kind:
  registrations:
    arc:
      chart_version: 1.33.0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("profiles", "groups", "sites"):
        shutil.copytree(PROJECT_ROOT / "stacks" / name, tmp_path / "stacks" / name)
    with (tmp_path / "stacks" / "sites" / "_defaults.yaml").open("a") as file:
        file.write(_MORE_DEFAULTS)
    return tmp_path


@pytest.fixture
def change(root: Path) -> Change:
    """Replace text in a file of the project, once."""

    def replace(file: str, old: str, new: str) -> None:
        path = root / "stacks" / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace


def _at(problem: Problem) -> str:
    return f"{problem.file.as_posix().removeprefix('stacks/')}:{problem.line}:{problem.column} {problem.code}"


def test_the_projects_own_files_are_right() -> None:
    assert shared_problems() == [], render(shared_problems())


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("profiles/hardware/hpe-el8000.yaml", "arch: amd64", "arch: x86", "4:7 unknown-choice"),
        ("profiles/hardware/hpe-el8000.yaml", "cores:", "core:", "5:1 unknown-key"),
        ("profiles/hardware/hpe-el8000.yaml", "tpm: true", 'tpm: "yes"', "8:6 wrong-type"),
        ("profiles/hardware/hpe-el8000.yaml", "  cores: ", "  notes: ", "11:1 rule"),
        ("profiles/hardware/hpe-el8000.yaml", "vendor:", "vendor", "3:6 syntax"),
        ("profiles/hardware/hpe-el8000.yaml", "arch:", "accelerators: [nvidia-l5]\narch:", "4:16 unknown-name"),
        ("profiles/accelerators.yaml", "watts: 72", "watts: 0", "8:54 out-of-range"),
        ("profiles/accelerators.yaml", "nvidia-l4:", "NVIDIA L4:", "8:1 invalid-value"),
        ("profiles/accelerators.yaml", "nvidia-l4:", "nvidia-t4:", "9:1 duplicate-key"),
        ("profiles/tiers/near.yaml", "max: 5", "max: 1", "3:27 rule"),
        ("profiles/tiers/near.yaml", "latency_ms", "latency", "3:1 unknown-key"),
        ("profiles/tiers/near.yaml", "latency_ms", "defaults: {os: {disk: luks}}\nlatency_ms", "3:23 unknown-choice"),
        ("sites/_defaults.yaml", "    arc:", "    arcs:", "21:5 unknown-kind"),
        ("sites/_defaults.yaml", "  telemetry:", "  telemetri:", "9:3 unknown-key"),
        ("sites/_defaults.yaml", "chart_version: 1.33.0", "chart_version: latest", "22:22 invalid-value"),
        ("sites/_defaults.yaml", "when_kind:", "when_kinds:", "19:1 unknown-key"),
        ("sites/_defaults.yaml", 'instance_id: "123456"', "instance_id: 123456", "11:18 wrong-type"),
        ("sites/_defaults.yaml", "    version: v1.36.3+k3s1", "    version: 1.36", "18:14 wrong-type"),
    ],
)
def test_each_fault_is_reported_at_its_position_with_a_remedy(
    root: Path, change: Change, file: str, old: str, new: str, said: str
) -> None:
    change(file, old, new)
    problems = shared_problems(root)
    assert f"{file}:{said}" in [_at(problem) for problem in problems], render(problems)
    for problem in problems:
        assert problem.expected, problem
        assert problem.remedy, problem


def test_a_broken_profile_is_named_to_those_who_use_it_and_to_nobody_else(root: Path, change: Change) -> None:
    change("profiles/hardware/poweredge-xr4000.yaml", "cores: 16", "cores: many")
    with pytest.raises(FileError) as refused:
        load_site("prod", root=root)
    said = [problem for problem in refused.value.problems if problem.path.endswith(".hardware")]
    assert "has errors: stacks/profiles/hardware/poweredge-xr4000.yaml:5:8: `cores` is the text `many`" in said[0].what
    assert load_site("demo", root=root).site == "demo"


def test_a_broken_accelerator_leaves_the_others_as_they_are(root: Path, change: Change) -> None:
    change("profiles/accelerators.yaml", "memory_mib: 24576", "memory_mib: -1")
    assert "nvidia-l4" not in catalogue(root).accelerators
    assert "nvidia-t4" in catalogue(root).accelerators
    with pytest.raises(FileError) as refused:
        load_site("prod", root=root)
    assert "the description of `nvidia-l4` has errors" in str(refused.value)
    assert load_site("mill-tampere", root=root).site == "mill-tampere"


def test_an_accelerator_whose_name_is_wrong_cannot_be_used(root: Path, change: Change) -> None:
    change("profiles/accelerators.yaml", "nvidia-l4:", "NVIDIA L4:")
    assert "NVIDIA L4" not in catalogue(root).accelerators


def test_a_broken_tier_is_named_to_its_sites_only(root: Path, change: Change) -> None:
    change("profiles/tiers/device.yaml", "min: 0", "min: none")
    with pytest.raises(FileError) as refused:
        load_site("tower-oslo", root=root)
    assert "the description of `device` has errors: stacks/profiles/tiers/device.yaml:3:19" in str(refused.value)
    assert load_site("demo", root=root).site == "demo"


def test_a_tier_that_is_no_yaml_fails_its_sites_only(root: Path, change: Change) -> None:
    change("profiles/tiers/device.yaml", "latency_ms: {", "latency_ms: [")
    with pytest.raises(FileError):
        load_site("tower-oslo", root=root)
    assert load_site("demo", root=root).site == "demo"


def test_defaults_that_are_no_yaml_do_not_make_a_site_lack_what_they_fill_in(root: Path, change: Change) -> None:
    change("sites/_defaults.yaml", "when_present:", "when_present: [")
    with pytest.raises(FileError) as refused:
        load_site("demo", root=root)
    assert {problem.code for problem in refused.value.problems} == {"syntax"}


def test_a_broken_model_is_named_to_those_who_serve_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    text = triton.CATALOGUE.read_text(encoding="utf-8")
    file.write_text(text.replace("backend: onnxruntime", "backend: onnx", 1), encoding="utf-8")
    broken = triton.catalogue_file(file)
    assert [problem.what for problem in broken.problems] == ["`yolov9-spatial.backend` cannot be `onnx`"]
    monkeypatch.setattr(triton, "catalogue_file", lambda: broken)
    with pytest.raises(FileError) as refused:
        load_site("demo", root=root)
    assert f"its description has errors, the first in {file}:" in str(refused.value)
    assert load_site("pop-saopaulo", root=root).site == "pop-saopaulo"


def test_files_that_would_be_ignored_are_a_problem(root: Path) -> None:
    for name in ("sites/shop.yml", "profiles/hardware/box.yml", "profiles/tiers/near.yml", "sites/_defaults.yml"):
        (root / "stacks" / name).write_text("x: 1\n")
    found = {problem.file.as_posix(): problem.remedy for problem in shared_problems(root)}
    assert found == {
        "stacks/sites/shop.yml": "rename the file",
        "stacks/sites/_defaults.yml": "remove one of the two: `_defaults.yaml` is there as well",
        "stacks/profiles/hardware/box.yml": "rename the file",
        "stacks/profiles/tiers/near.yml": "remove one of the two: `near.yaml` is there as well",
    }


def test_a_secret_in_an_unused_default_is_reported_and_not_shown(root: Path, change: Change) -> None:
    secret = "glc_" + "EXAMPLEEXAMPLE"
    change("sites/_defaults.yaml", "chart_version: 1.33.0", f"chart_version: {secret}")
    problems = shared_problems(root)
    assert [problem.code for problem in problems] == ["plain-secret"]
    assert secret not in render(problems)


def test_every_site_of_a_root_uses_the_profiles_of_that_root(root: Path, change: Change) -> None:
    change("profiles/hardware/hpe-el8000.yaml", "tpm: true", "tpm: false")
    refused = []
    for path in site_files(root):
        try:
            load_site(path, root=root)
        except FileError as error:
            refused += [path.stem] if "has no TPM" in str(error) else []
    assert "demo" in refused
