"""Data that files refer to by name: a folder with a file for each name, or one file with a block for each name.

One that is broken is reported where it is wrong, and leaves the others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, RootModel, ValidationError

from sitefile.checked_file import FileChecker
from sitefile.layers import Layers
from sitefile.plain_secrets import Advice, general_advice
from sitefile.problems import Problem
from sitefile.yaml_tree import plain

Entry = TypeVar("Entry", bound=BaseModel)


@dataclass(frozen=True)
class Entries(Generic[Entry]):
    """What there is under which name."""

    found: Mapping[str, Entry] = field(default_factory=dict)
    broken: Mapping[str, Problem] = field(default_factory=dict)
    """Names whose entry cannot be used -> the first thing that is wrong with it."""
    problems: tuple[Problem, ...] = ()

    def over(self, below: Entries[Entry]) -> Entries[Entry]:
        """These and those of ``below``. Of two with one name only this one counts, broken or not."""
        own = self.found.keys() | self.broken.keys()
        return Entries(
            {**{name: one for name, one in below.found.items() if name not in own}, **self.found},
            {**{name: one for name, one in below.broken.items() if name not in own}, **self.broken},
            (*below.problems, *self.problems),
        )


def read_folder(
    folder: Path, root: Path, model: type[Entry], advice: Advice = general_advice, suffix: str = ".yaml"
) -> Entries[Entry]:
    """A folder of files, each named after what it describes."""
    checker = FileChecker(model, Layers(), root, advice=advice)
    found: dict[str, Entry] = {}
    broken: dict[str, Problem] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob(f"*{suffix}")):
        checked = checker.check(path)
        problems += checked.problems
        if checked.model is not None:
            found[path.stem] = checked.model
        else:
            broken[path.stem] = checked.problems[0]
    return Entries(found, broken, tuple(problems))


def read_entries(
    path: Path, root: Path, file: type[RootModel[Any]], model: type[Entry], advice: Advice = general_advice
) -> Entries[Entry]:
    """One file: a mapping from names to blocks. ``file`` is the model of all of it, ``model`` that of one block."""
    checked = FileChecker(file, Layers(), root, advice=advice).check(path)
    found: dict[str, Entry] = {}
    broken: dict[str, Problem] = {}
    for name, node in checked.source.tree.entries.items() if checked.source.tree is not None else ():
        wrong = [problem for problem in checked.problems if problem.path.startswith((f"{name}.", f"{name}["))]
        wrong += [problem for problem in checked.problems if problem.path == name]
        try:
            found[name] = model.model_validate_json(json.dumps(plain(node)), strict=True)
        except ValidationError:
            wrong = wrong or checked.problems[:1]
        if wrong:
            found.pop(name, None)
            broken[name] = wrong[0]
    return Entries(found, broken, tuple(checked.problems))
