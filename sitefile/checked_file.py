"""One YAML file over its layers -> a checked model, or everything that is wrong with the file.

Owns the order of the steps (read, layer, validate, rules) and which problems are shown with what. Generic over the
model: knows nothing of sites, and nothing of other files but the layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from sitefile.explanation import explain, place_of
from sitefile.layers import Layers
from sitefile.plain_secrets import PlainSecrets, scan
from sitefile.problems import Finding, Problem, in_order
from sitefile.recovery import remainder
from sitefile.spec_shape import SpecShape
from sitefile.yaml_source import Source, read
from sitefile.yaml_tree import MappingNode, ScalarNode, drop, lost, plain

Model = TypeVar("Model", bound=BaseModel)


Rules = Callable[[Model], Iterable[Finding]]
FileRules = Callable[[MappingNode, Path], Iterable[Problem]]


@dataclass
class CheckedFile(Generic[Model]):
    """A file: its model if all is well, its problems if not, and what positions are made from in either case."""

    source: Source
    model: Model | None = None
    tree: MappingNode | None = None
    problems: list[Problem] = field(default_factory=list)
    secrets: PlainSecrets = field(default_factory=PlainSecrets)

    def problem(self, code: str, finding: Finding) -> Problem:
        """A finding, at the place that its path has in this file or in the layer that the value came from."""
        assert self.tree is not None
        place = place_of(self.tree, finding.path, self.source.file)
        return Problem.at(place, code, finding.what, finding.expected, finding.remedy, finding.path)


class FileChecker(Generic[Model]):
    """Checks many files against one model and one set of layers."""

    def __init__(
        self,
        model: type[Model],
        layers: Layers,
        root: Path,
        rules: Rules[Model],
        file_rules: FileRules,
        shape: SpecShape | None = None,
        spare: Collection[str] = (),
    ) -> None:
        """``spare`` are the sections without which the rules say the same about all others."""
        self._model = model
        self._layers = layers
        self._root = root
        self._rules = rules
        self._file_rules = file_rules
        self._shape = shape or SpecShape(model)
        self._spare = spare
        self._layer_secrets = {
            file: scan(source, source.tree, self._shape.fields) for file, source in layers.sources.items()
        }

    def check(self, path: Path) -> CheckedFile[Model]:
        name = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        return self.check_source(read(path, shown_as=name, within=path.parent))

    def check_source(self, source: Source) -> CheckedFile[Model]:
        checked: CheckedFile[Model] = CheckedFile(
            source, secrets=scan(source, source.tree, self._shape.fields, source.file.stem)
        )
        problems = [*source.problems]
        if source.tree is not None:
            checked.tree = self._layers.under(source.tree)
            problems += self._validate(checked, checked.tree)
            places = {problem.place for problem in problems}
            problems += [p for p in self._file_rules(source.tree, source.file) if p.place not in places]
        problems = checked.secrets.without([*problems, *self._layers.problems]) + checked.secrets.problems
        for file, secrets in self._layer_secrets.items():
            problems = [p for p in problems if p.file != file or p.line not in secrets.lines] + secrets.problems
        if problems:
            checked.model = None
        checked.problems = self.finish(problems, checked)
        return checked

    def finish(self, problems: Iterable[Problem], checked: CheckedFile[Model]) -> list[Problem]:
        """In order, each with the line that it is about unless a secret stands there."""
        for secrets in (checked.secrets, *self._layer_secrets.values()):
            problems = [secrets.hide(problem) for problem in problems]
        return [self._with_excerpt(problem, checked) for problem in in_order(problems)]

    def _validate(self, checked: CheckedFile[Model], tree: MappingNode) -> Iterator[Problem]:
        try:
            model = self._parse(plain(tree), tree)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            data = plain(tree)
            rest = remainder(self._model, data, errors, tree, self._shape, self._spare)
            yield from explain([*errors, *rest.further], tree, self._shape, checked.source.file)
            for finding in self._rules(rest.model) if rest.model is not None else ():
                said = f"{finding.what} {finding.expected} {finding.remedy}"
                if rest.vouches_for(finding.path, said) and not lost(tree, finding.path):
                    yield checked.problem("rule", finding)
            return
        checked.model = model
        for finding in self._rules(model):
            if not lost(tree, finding.path):
                yield checked.problem("rule", finding)

    def _parse(self, data: Any, tree: MappingNode) -> Model:
        """Strict, as JSON: the editor's schema and this agree, and text is never taken for a number."""
        try:
            return self._model.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as invalid:
            removed = [
                at.path
                for error in invalid.errors(include_url=False)
                if isinstance((at := self._shape.locate(error["loc"], tree)).node, ScalarNode) and at.node.removes
            ]
            if not removed:
                raise
        for path in removed:
            drop(tree, path)
        return self._model.model_validate_json(json.dumps(plain(tree)), strict=True)

    def _with_excerpt(self, problem: Problem, checked: CheckedFile[Model]) -> Problem:
        if problem.file == checked.source.file:
            source, secrets = checked.source, checked.secrets
        elif problem.file in self._layer_secrets:
            source, secrets = self._layers.sources[problem.file], self._layer_secrets[problem.file]
        else:
            return problem
        if problem.line > len(source.lines) or problem.line in secrets.lines:
            return problem
        return replace(problem, excerpt=source.lines[problem.line - 1])
