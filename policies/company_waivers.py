"""A company's own waivers, from one file beside its policy settings: what sites of its choice, or manifests, may break.

What is wrong with the file is an error with line and column, and never a waiver that is left out. Whether one has
expired or covers nothing is for ``edge check`` to say: a run of the engine must not depend on the day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components import waiver as rules
from components.specs import Spec
from components.types import NonEmpty
from components.waiver import WaiverSpec
from policies import WAIVERS_FILE
from policies.rules import Waiver
from policies.rules.waivers import read
from sitefile.checked_file import CheckedFile, FileChecker
from sitefile.layers import Layers
from sitefile.problems import FileError, Finding, Problem


class CompanyWaiverSpec(WaiverSpec):
    """One policy that sites or manifests may break for a time. Without `sites` and `manifests` it is for all sites."""

    sites: tuple[Annotated[NonEmpty, Field(examples=["store-*"])], ...] = ()
    """Only these sites, by the names of their stacks; `*` stands for any characters."""

    manifests: tuple[Annotated[NonEmpty, Field(examples=["clusters/*/gpu/*"])], ...] = ()
    """Not sites but what `edge check --manifests` judges: paths of files, and of folders that are rendered, from the
    project's folder; `*` stands for any characters."""

    def conflicts(self) -> Iterable[Finding]:
        if self.sites and self.manifests:
            yield Finding(
                ("manifests",),
                "`manifests` beside `sites`: no object is in both",
                "one of them",
                "remove one of the two, or write two waivers",
            )


class CompanyWaiversSpec(Spec):
    """Waivers of a company."""

    waivers: tuple[CompanyWaiverSpec, ...]
    """Policies that may be broken, each with a reason, an owner and an end."""


@dataclass(frozen=True, eq=False)
class CompanyWaivers:
    """The waivers, as rules apply them and as the file has them."""

    given: tuple[Waiver, ...]
    specs: tuple[CompanyWaiverSpec, ...]
    _checker: FileChecker[CompanyWaiversSpec]
    _checked: CheckedFile[CompanyWaiversSpec]

    @property
    def of_sites(self) -> tuple[Waiver, ...]:
        return tuple(waiver for waiver, spec in zip(self.given, self.specs, strict=True) if not spec.manifests)

    @property
    def of_manifests(self) -> tuple[tuple[Waiver, Sequence[str]], ...]:
        """Each with the paths that it is for."""
        both = zip(self.given, self.specs, strict=True)
        return tuple((waiver, spec.manifests) for waiver, spec in both if spec.manifests)

    def expired(self, today: date) -> list[Problem]:
        return self._problems("waiver-expired", rules.expired(self.specs, today))

    def unused(self, idle: Collection[Waiver]) -> list[Problem]:
        """Problems for the waivers in ``idle``, which cover no finding."""
        indices = [index for index, waiver in enumerate(self.given) if waiver in idle]
        return self._problems("waiver-unused", rules.unused(self.specs, indices))

    def _problems(self, code: str, findings: Iterable[Finding]) -> list[Problem]:
        return self._checker.finish([self._checked.problem(code, one) for one in findings], self._checked)


def load(folder: Path, known: Sequence[str]) -> CompanyWaivers | None:
    """The waivers of the pack in ``folder``; None where it has no such file. ``known`` are the ids of all rules.

    Raises ``FileError``.
    """
    file = folder / WAIVERS_FILE
    if not file.exists():
        return None
    checker = FileChecker(
        CompanyWaiversSpec, Layers(), folder.parent, rules=lambda spec, _: rules.findings(spec.waivers, lambda: known)
    )
    checked = checker.check(file)
    if checked.model is None:
        raise FileError(checked.problems)
    specs = checked.model.waivers
    return CompanyWaivers(tuple(_waivers(specs)), specs, checker, checked)


def _waivers(specs: Iterable[CompanyWaiverSpec]) -> Iterator[Waiver]:
    for spec in specs:
        waiver = read(spec.model_dump(mode="json"))
        # The model has checked each field that is read.
        assert waiver is not None
        yield replace(waiver, sites=spec.sites, origin=WAIVERS_FILE)
