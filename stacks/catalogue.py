"""Data that sites refer to by name: hardware, accelerators, tiers, groups. Read once, checked as a site file is.

The program has hardware, accelerators and tiers of its own. A project adds to them; of two with one name, the
project's counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, RootModel

from components.host.spec import Accelerator, HardwareProfile, HostSpec
from components.specs import Spec
from components.types import DnsLabel, NonEmpty
from sitefile.entries import Entries, read_entries, read_folder
from sitefile.explanation import position_of
from sitefile.problems import Finding, Problem, any_of, near_miss
from sitefile.spec_shape import UNIT
from sitefile.yaml_source import read
from stacks.project import PROGRAM_ROOT, data_folder, policies_folder, shown

PROJECT_ROOT = PROGRAM_ROOT


class LatencyRange(Spec):
    """Round trip between users and hosts that makes the tier, in ms."""

    min: Annotated[float, Field(ge=0, json_schema_extra={UNIT: "ms"})]
    """Lower bound, inclusive."""

    max: Annotated[float, Field(gt=0, json_schema_extra={UNIT: "ms"})]
    """Upper bound, exclusive."""

    def conflicts(self) -> Iterator[Finding]:
        if self.min >= self.max:
            yield Finding(
                ("max",), f"{self.max:g} is not above {self.min:g}", "a range with something in it", "correct it"
            )


class TierProfile(Spec):
    """A tier of the edge, from ``stacks/profiles/tiers/<tier>.yaml``."""

    description: NonEmpty
    """What stands there."""

    latency_ms: LatencyRange
    """Latency that makes the tier."""

    defaults: dict[str, Any] = {}
    """Site values that hold in this tier unless a site says otherwise."""


class GroupProfile(Spec):
    """Sites that have something in common, from ``groups/<group>.yaml``: a customer, a region, a ring of a roll-out."""

    description: NonEmpty
    """What these sites have in common."""

    defaults: dict[str, Any] = {}
    """Site values that hold in this group unless a tier or a site says otherwise."""


class Accelerators(RootModel[dict[DnsLabel, Accelerator]]):
    """All of `stacks/profiles/accelerators.yaml`: name -> device."""


def program_rules() -> Sequence[str]:
    """Ids of the policy rules that come with the program."""
    return _rule_ids(PROGRAM_ROOT / "policies")


def _rule_ids(folder: Path) -> Sequence[str]:
    # Only here: a site without waivers starts without the policies.
    from policies.own import rule_ids

    return rule_ids(folder)


@dataclass(frozen=True)
class Catalogue:
    """Everything that a site file may refer to by name."""

    hardware: Mapping[str, HardwareProfile]
    accelerators: Mapping[str, Accelerator]
    tiers: Mapping[str, TierProfile]
    groups: Mapping[str, GroupProfile] = field(default_factory=dict)
    policy_rules: Callable[[], Sequence[str]] = program_rules
    """Gives the ids of the policy rules that a waiver may name, a company's own among them. Raises ``FileError``."""
    broken: Mapping[tuple[str, str], Problem] = field(default_factory=dict)
    """Key of the site file and name -> what is wrong with the description of that name."""
    problems: tuple[Problem, ...] = ()
    """Everything that is wrong with the files."""

    def accelerators_of(self, host: HostSpec) -> dict[str, Accelerator]:
        """Accelerators of a host by name: those of the box, then those added to it. A second one alike is `NAME 2`."""
        found: dict[str, Accelerator] = {}
        names = (*self.hardware[host.hardware].accelerators, *host.accelerators)
        for index, name in enumerate(names):
            before = names[:index].count(name)
            found[f"{name} {before + 1}" if before else name] = self.accelerators[name]
        return found


def profiles_folders(root: Path) -> tuple[Path, ...]:
    """Where profiles are: the program's, then those of the project below ``root``, which count where both have one."""
    programs, own = data_folder(PROGRAM_ROOT) / "profiles", data_folder(root) / "profiles"
    return (own,) if own.resolve() == programs.resolve() else (programs, own)


def groups_folder(root: Path) -> Path:
    """Where the project below ``root`` describes its groups."""
    return data_folder(root) / "groups"


@functools.lru_cache(maxsize=4)
def catalogue(root: Path = PROJECT_ROOT) -> Catalogue:
    """The catalogue of the project below ``root``. A fault in one file concerns those who use it only."""
    hardware, tiers, accelerators = Entries[HardwareProfile](), Entries[TierProfile](), Entries[Accelerator]()
    for folder in profiles_folders(root):
        hardware = read_folder(folder / "hardware", root, HardwareProfile).over(hardware)
        tiers = read_folder(folder / "tiers", root, TierProfile).over(tiers)
        if (file := folder / "accelerators.yaml").exists():
            accelerators = read_entries(file, root, Accelerators, Accelerator).over(accelerators)
    groups = read_folder(groups_folder(root), root, GroupProfile)
    unknown = list(_unknown_accelerators(root, hardware.found, accelerators))
    broken = {
        (key, name): problem
        for key, read in (
            ("hardware", hardware),
            ("accelerators", accelerators),
            ("tier", tiers),
            ("groups", groups),
        )
        for name, problem in read.broken.items()
    }
    broken |= {("hardware", problem.file.stem): problem for problem in unknown}
    return Catalogue(
        hardware={name: profile for name, profile in hardware.found.items() if ("hardware", name) not in broken},
        accelerators=accelerators.found,
        tiers=tiers.found,
        groups=groups.found,
        policy_rules=functools.partial(_rule_ids, policies_folder(root)),
        broken=broken,
        problems=(*hardware.problems, *accelerators.problems, *tiers.problems, *groups.problems, *unknown),
    )


def group_file(name: str, root: Path) -> Path:
    return groups_folder(root) / f"{name}.yaml"


def accelerators_file(name: str, root: Path) -> Path:
    """The file whose accelerator ``name`` counts in the project below ``root``."""
    files = [folder / "accelerators.yaml" for folder in profiles_folders(root)]
    return next((file for file in reversed(files) if file.exists() and _has(file, name)), files[-1])


def _has(file: Path, name: str) -> bool:
    tree = read(file).tree
    return tree is not None and name in tree.entries


def profile_file(name: str, root: Path, kind: str = "hardware") -> Path:
    """The file of the profile ``name`` that counts in the project below ``root``."""
    files = [folder / kind / f"{name}.yaml" for folder in profiles_folders(root)]
    return next((file for file in reversed(files) if file.exists()), files[-1])


def _unknown_accelerators(
    root: Path, hardware: Mapping[str, HardwareProfile], accelerators: Entries[Accelerator]
) -> Iterator[Problem]:
    """Boxes with an accelerator that nobody describes."""
    known = accelerators.found.keys() | accelerators.broken.keys()
    own = profiles_folders(root)[-1] / "accelerators.yaml"
    for name, profile in hardware.items():
        for at, accelerator in enumerate(profile.accelerators):
            if accelerator in known:
                continue
            path = profile_file(name, root)
            source = read(path, shown_as=path.relative_to(root) if path.is_relative_to(root) else path)
            assert source.tree is not None
            near = near_miss(accelerator, known)
            yield Problem.at(
                position_of(source.tree, ("accelerators", at), source.file),
                "unknown-name",
                f"there is no accelerator `{accelerator}`" + (f": did you mean `{near}`?" if near else ""),
                any_of(sorted(known)),
                f"write `{near}`" if near else f"choose one of these, or describe it in {shown(own, root)}",
                ("accelerators", at),
            )
