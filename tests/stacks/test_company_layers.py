"""The example of docs/layers.md, as a company's repository; and what is said of its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.run.explain import Value, choices, explained, values_at
from sitefile.problems import FileError, Problem, render
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import PROGRAM_DEFAULTS, load_site, shared_problems

PAGE = (PROJECT_ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^```yaml\n(# (\S+\.yaml)\n.*?)^```$", re.DOTALL | re.MULTILINE)
SITE = "warehouse-berlin-01"


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A repository that holds the files of the page and nothing else."""
    for text, name in _FILE.findall(PAGE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert shared_problems(tmp_path) == [], render(shared_problems(tmp_path))
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    catalogue.cache_clear()


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text, text
    write(root, name, text.replace(old, new, 1))


def value_of(name: str, root: Path) -> Value:
    (field,) = explained(name)
    (value,) = values_at(field, SITE, root)
    return value


def refused(root: Path, site: str = SITE) -> list[Problem]:
    with pytest.raises(FileError) as error:
        load_site(site, root=root)
    return list(error.value.problems)


def at(problem: Problem) -> str:
    return f"{problem.file.as_posix()}:{problem.line}:{problem.column}"


@pytest.mark.parametrize(
    ("name", "value", "file"),
    [
        ("k3s.version", "v1.37.1+k3s1", "sites/_defaults.yaml"),
        ("telemetry.gateway", "https://otlp.example.com", "sites/_defaults.yaml"),
        ("labels", "acme", "groups/acme.yaml"),
        ("telemetry.offline_hours", 72, "groups/acme.yaml"),
        ("region", "eu-central", f"sites/{SITE}.yaml"),
    ],
)
def test_each_value_of_the_example_comes_from_its_layer(company: Path, name: str, value: object, file: str) -> None:
    found = value_of(name, company)
    assert found.value == value
    assert found.position is not None
    assert found.position.file.as_posix() == file


def test_releases_that_nobody_overrides_come_with_the_program(company: Path) -> None:
    found = value_of("telemetry.image", company)
    assert found.position is not None
    assert company / found.position.file == PROGRAM_DEFAULTS


def test_explain_shows_what_a_value_overrides_as_the_page_says(company: Path) -> None:
    found = value_of("k3s.version", company)
    assert found.position is not None
    place = f"{found.position.file.as_posix()}:{found.position.line}:{found.position.column}"
    assert f"  k3s.version: {found.value}  # {place}\n" in PAGE
    ((below, position),) = found.overridden
    assert f"      overrides {below}  # .../{position.file.name}:{position.line}:{position.column}\n" in PAGE


def test_each_layer_wins_over_those_below_it(company: Path) -> None:
    """program < company < earlier group < later group < tier < site, whichever section a layer says it in."""
    write(company, "groups/eu-central.yaml", "description: x\ndefaults: {k3s: {version: v1.30.1+k3s1}}\n")
    said = [value_of("k3s.version", company).value]
    write(company, "groups/acme.yaml", "description: x\ndefaults: {when_present: {k3s: {version: v1.30.2+k3s1}}}\n")
    said.append(value_of("k3s.version", company).value)
    tier = "description: x\nlatency_ms: {min: 1, max: 5}\ndefaults: {k3s: {version: v1.30.3+k3s1}}\n"
    write(company, "profiles/tiers/near.yaml", tier)
    said.append(value_of("k3s.version", company).value)
    change(company, f"sites/{SITE}.yaml", "k3s: {}", "k3s: {version: v1.30.4+k3s1}")
    found = value_of("k3s.version", company)
    said.append(found.value)
    assert said == ["v1.30.1+k3s1", "v1.30.2+k3s1", "v1.30.3+k3s1", "v1.30.4+k3s1"]
    lower = ["v1.30.3+k3s1", "v1.30.2+k3s1", "v1.30.1+k3s1", "v1.37.1+k3s1", "v1.36.3+k3s1"]
    assert [value for value, _ in found.overridden] == lower


@pytest.fixture(autouse=True)
def _any_release_has_a_checksum(company: Path) -> None:
    releases = "".join(f'      v1.30.{n}+k3s1: {{amd64: "{n * 64}"}}\n' for n in "1234")
    change(
        company,
        "sites/_defaults.yaml",
        "    version: v1.37.1+k3s1\n",
        f"    version: v1.37.1+k3s1\n    releases:\n{releases}",
    )


def test_the_companys_groups_hold_for_sites_that_name_none(company: Path) -> None:
    change(company, f"sites/{SITE}.yaml", "groups: [eu-central, acme]\n", "")
    spec = load_site(SITE, root=company)
    assert spec.groups == ("eu-central",)
    assert spec.os.ntp_servers == ("ntp1.example.com", "ntp2.example.com")
    assert spec.labels == {}


def test_a_group_may_say_the_tier_of_its_sites(company: Path) -> None:
    change(company, f"sites/{SITE}.yaml", "tier: near\n", "")
    change(company, "groups/acme.yaml", "  always:\n", "  always:\n    tier: far\n")
    write(
        company,
        "profiles/tiers/far.yaml",
        "description: x\nlatency_ms: {min: 5, max: 20}\ndefaults: {labels: {zone: town}}\n",
    )
    spec = load_site(SITE, root=company)
    assert (spec.tier, spec.labels) == ("far", {"customer": "acme", "zone": "town"})


def test_a_group_that_is_not_described_is_one_error_at_its_line(company: Path) -> None:
    change(company, f"sites/{SITE}.yaml", "[eu-central, acme]", "[eu-central, acmee]")
    (problem,) = refused(company)
    assert at(problem) == f"sites/{SITE}.yaml:5:22"
    assert problem.what == "there is no group `acmee`: did you mean `acme`?"


def test_an_unknown_group_among_the_companys_defaults_is_reported_there(company: Path) -> None:
    change(company, f"sites/{SITE}.yaml", "groups: [eu-central, acme]\n", "")
    change(company, "sites/_defaults.yaml", "[eu-central]", "[eu-centrall]")
    (problem,) = refused(company)
    assert at(problem) == "sites/_defaults.yaml:3:12"


@pytest.mark.parametrize(
    ("file", "text", "place", "said"),
    [
        ("groups/nobody.yaml", "description: x\ndefaults: {telemetri: {}}\n", "2:12", "telemetri"),
        ("groups/nobody.yaml", "description: x\ndefaults: {site: x}\n", "2:12", "`site` cannot be a default here"),
        ("groups/nobody.yaml", "description: x\ndefaults: {groups: [acme]}\n", "2:12", "`groups` cannot be a default"),
        ("groups/nobody.yaml", "defaults: {}\n", "1:1", "`description`"),
        ("groups/nobody.yml", "description: x\n", "1:1", "this one would be ignored"),
        ("sites/_defaults.yaml", "always: {site: x}\n", "1:10", "`site` cannot be a default here"),
        (
            "profiles/tiers/far.yaml",
            "description: x\nlatency_ms: {min: 5, max: 20}\ndefaults: {tier: near}\n",
            "3:12",
            "`tier` cannot be a default here",
        ),
    ],
)
def test_a_layer_that_nobody_uses_is_checked(company: Path, file: str, text: str, place: str, said: str) -> None:
    write(company, file, text)
    problems = [one for one in shared_problems(company) if at(one) == f"{file}:{place}"]
    assert [one for one in problems if said in one.what], render(shared_problems(company))
    assert all(one.expected and one.remedy for one in problems)


def test_a_broken_group_is_named_to_its_sites_only(company: Path) -> None:
    write(company, "groups/eu-central.yaml", "description: [\n")
    change(company, f"sites/{SITE}.yaml", "[eu-central, acme]", "[acme]")
    assert load_site(SITE, root=company).labels == {"customer": "acme"}
    change(company, f"sites/{SITE}.yaml", "[acme]", "[eu-central]")
    assert {at(problem).split(":")[0] for problem in refused(company)} == {
        "groups/eu-central.yaml",
        f"sites/{SITE}.yaml",
    }


def test_a_companys_release_without_its_checksum_is_refused(company: Path) -> None:
    change(company, f"sites/{SITE}.yaml", "k3s: {}", "k3s: {}\nmesh: {kind: tailscale, tags: [shop]}")
    load_site(SITE, root=company)
    with (company / "sites" / "_defaults.yaml").open("a") as file:
        file.write("when_kind: {mesh: {tailscale: {version: 1.104.5}}}\n")
    (problem,) = refused(company)
    assert problem.file.as_posix() == "sites/_defaults.yaml"
    assert "program_defaults.yaml" in problem.what
    assert problem.remedy.startswith("write `sha256:` for `1.104.5` beside it")


def test_own_hardware_and_accelerators_are_beside_those_of_the_program(company: Path) -> None:
    data, program = catalogue(company), catalogue(PROJECT_ROOT)
    assert data.hardware.keys() == program.hardware.keys() | {"acme-box"}
    assert data.accelerators.keys() == program.accelerators.keys() | {"acme-npu"}
    assert data.hardware["acme-box"].accelerators == ("acme-npu",)
    change(company, f"sites/{SITE}.yaml", "hardware: hpe-el8000", "hardware: acme-box")
    assert load_site(SITE, root=company).hosts[0].hardware == "acme-box"


def test_hardware_of_the_same_name_takes_the_place_of_the_programs_and_is_named(company: Path) -> None:
    own = (company / "profiles/hardware/acme-box.yaml").read_text()
    write(company, "profiles/hardware/hpe-el8000.yaml", own.replace("tpm: true", "tpm: false"))
    assert not catalogue(company).hardware["hpe-el8000"].tpm
    (field,) = explained("hosts.hardware")
    files = {one.name: one.file for one in choices(field, company)}
    assert files["hpe-el8000"] == "profiles/hardware/hpe-el8000.yaml"
    assert files["virtual-machine"] == (PROJECT_ROOT / "stacks/profiles/hardware/virtual-machine.yaml").as_posix()
    (field,) = explained("hosts.accelerators")
    files = {one.name: one.file for one in choices(field, company)}
    assert files["acme-npu"] == "profiles/accelerators.yaml"
    assert files["nvidia-l4"] == (PROJECT_ROOT / "stacks/profiles/accelerators.yaml").as_posix()


def test_a_broken_profile_does_not_fall_back_to_the_programs(company: Path) -> None:
    write(company, "profiles/hardware/hpe-el8000.yaml", "vendor: [\n")
    (problem,) = [one for one in refused(company) if one.path == "hosts[0].hardware"]
    assert "the description of `hpe-el8000` has errors: profiles/hardware/hpe-el8000.yaml:" in problem.what


def test_a_broken_accelerator_does_not_fall_back_to_the_programs(company: Path) -> None:
    with (company / "profiles" / "accelerators.yaml").open("a") as file:
        file.write("nvidia-l4: {kind: nvidia-gpu}\n")
    catalogue.cache_clear()
    assert "nvidia-l4" not in catalogue(company).accelerators
    assert "nvidia-t4" in catalogue(company).accelerators
    assert "nvidia-l4" in catalogue(PROJECT_ROOT).accelerators


def test_a_tier_of_the_companys_is_over_the_programs(company: Path) -> None:
    tier = "description: x\nlatency_ms: {min: 1, max: 9}\ndefaults: {labels: {power: mains}}\n"
    write(company, "profiles/tiers/near.yaml", tier)
    change(company, f"sites/{SITE}.yaml", "groups:", "latency_ms: 8\ngroups:")
    assert load_site(SITE, root=company).labels == {"customer": "acme", "power": "mains"}


def test_groups_are_listed_with_their_files(company: Path) -> None:
    (field,) = explained("groups")
    assert [(one.name, one.file) for one in choices(field, company)] == [
        ("acme", "groups/acme.yaml"),
        ("eu-central", "groups/eu-central.yaml"),
    ]
