"""A value of a higher layer always wins, whichever section a layer says it in; and no rule of a company is left out."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pytest

from edge.run.failure import OperationError
from edge.run.judging import policies_of
from policies.own import catalogue_of
from sitefile.problems import FileError
from stacks.catalogue import catalogue
from stacks.loader import load_site

SITE = """\
site: shop
tier: near
region: eu-central
groups: [first, second]
hosts:
  - {name: a, hardware: hpe-el8000, address: 10.20.0.11, host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9}
"""  # noqa: E501
LAYERS = {
    "company": "sites/_defaults.yaml",
    "first group": "groups/first.yaml",
    "second group": "groups/second.yaml",
    "tier": "profiles/tiers/near.yaml",
    "site": "sites/shop.yaml",
}
"""From the lowest above the program, which has a release for every site."""
_HEADS = {"groups": "description: x\n", "profiles": "description: x\nlatency_ms: {min: 1, max: 5}\n"}


def write(root: Path, said: dict[str, tuple[str, str]]) -> None:
    """A project in which each layer of ``said`` asks for a release, in one of its sections."""
    for name, file in LAYERS.items():
        section, release = said.get(name, ("", ""))
        k3s = f'{{version: {release}, releases: {{{release}: {{amd64: "{"1" * 64}"}}}}}}'
        text = f"{section}: {{k3s: {k3s}}}\n" if section else "always: {}\n"
        folder = file.split("/")[0]
        if file == "sites/shop.yaml":
            text = SITE + (f"k3s: {k3s}\n" if section else "k3s: {}\n")
        elif folder in _HEADS:
            text = _HEADS[folder] + (f"defaults: {{{text.strip()}}}\n" if section else "")
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    catalogue.cache_clear()


def release_of(root: Path) -> str:
    spec = load_site("shop", root=root)
    assert spec.k3s is not None
    return spec.k3s.version


@pytest.mark.parametrize(("low", "high"), list(combinations(LAYERS, 2)))
def test_a_value_of_a_higher_layer_wins_whichever_section_says_it(tmp_path: Path, low: str, high: str) -> None:
    for sections in product(("always", "when_present"), repeat=2):
        write(tmp_path, {low: (sections[0], "v1.30.1+k3s1"), high: (sections[1], "v1.30.2+k3s1")})
        assert release_of(tmp_path) == "v1.30.2+k3s1", sections


@pytest.mark.parametrize("layer", LAYERS)
def test_a_value_of_any_layer_wins_over_the_release_of_the_program(tmp_path: Path, layer: str) -> None:
    write(tmp_path, {})
    assert release_of(tmp_path) != "v1.30.2+k3s1"
    for section in ("always", "when_present"):
        write(tmp_path, {layer: (section, "v1.30.2+k3s1")})
        assert release_of(tmp_path) == "v1.30.2+k3s1"


@pytest.mark.parametrize(
    "text",
    ["RULES = (", "RULES = ()", "raise SystemExit(0)", "RULES = [None]", "RULES = iter(())", "", "import nobody"],
)
def test_a_file_of_own_rules_is_used_or_refused_and_never_ignored(tmp_path: Path, text: str) -> None:
    pack = tmp_path / "policies"
    pack.mkdir()
    (pack / "own_rules.py").write_text(text)
    with pytest.raises(OperationError):
        policies_of(tmp_path)
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\n")
    with pytest.raises(FileError):
        policies_of(tmp_path)
    with pytest.raises(FileError):
        catalogue_of(pack)
