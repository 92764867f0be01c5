"""One YAML file over its layers -> a checked model, or everything that is wrong with the file.

Owns the order of the steps (read, layer, validate, rules) and which problems are shown together. Generic over the
model: knows no other files than the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from sitefile.explanation import explain, position_of
from sitefile.layer_check import problems_of
from sitefile.layers import Layers
from sitefile.plain_secrets import Advice, PlainSecrets, general_advice, scan
from sitefile.problems import DataPath, Finding, Problem, in_order
from sitefile.spec_shape import SpecShape
from sitefile.validation import StandIn, Validation
from sitefile.yaml_source import Source, read
from sitefile.yaml_tree import MappingNode, lost

Model = TypeVar("Model", bound=BaseModel)


Rules = Callable[[Model, MappingNode], Iterable[Finding]]
"""What is wrong between the values of a valid model; its tree says where each was written."""
FileRules = Callable[[MappingNode, Path], Iterable[Problem]]


@dataclass
class CheckedFile(Generic[Model]):
    """A file: its model if it is valid, its problems if not, and what positions are found in for both."""

    source: Source
    model: Model | None = None
    tree: MappingNode | None = None
    problems: list[Problem] = field(default_factory=list)
    advice: list[Problem] = field(default_factory=list)
    """What is worth knowing of a valid file; empty where there are problems."""
    secrets: PlainSecrets = field(default_factory=PlainSecrets)

    def problem(self, code: str, finding: Finding) -> Problem:
        """A finding, at the position of its path in this file or in the layer that the value came from."""
        assert self.tree is not None
        position = position_of(self.tree, finding.path, self.source.file)
        return Problem.at(position, code, finding.what, finding.expected, finding.remedy, finding.path)


class FileChecker(Generic[Model]):
    """Checks many files against one model and one set of layers."""

    def __init__(
        self,
        model: type[Model],
        layers: Layers,
        root: Path,
        *,
        rules: Rules[Model] = lambda model, tree: (),
        file_rules: FileRules = lambda tree, file: (),
        shape: SpecShape | None = None,
        advice: Advice = general_advice,
        stand_in: StandIn = lambda path: None,
    ) -> None:
        """``rules`` check a valid model, ``file_rules`` the file's own tree and name. ``stand_in`` lets rules speak
        about a file with faults.

        ``shape`` is that of ``model``, for callers that have it already. ``advice`` says where a secret in plain text
        belongs instead.
        """
        self._model = model
        self._layers = layers
        self._root = root
        self._rules = rules
        self._file_rules = file_rules
        self._shape = shape or SpecShape(model)
        self._advice = advice
        self._stand_in = stand_in
        self._layer_secrets = {
            file: scan(source, source.tree, self._shape.fields, advice, None) for file, source in layers.sources.items()
        }

    def check(self, path: Path) -> CheckedFile[Model]:
        name = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        return self.check_source(read(path, shown_as=name, within=path.parent))

    def check_source(self, source: Source) -> CheckedFile[Model]:
        secrets = scan(source, source.tree, self._shape.fields, self._advice, source.file.stem)
        checked: CheckedFile[Model] = CheckedFile(source, secrets=secrets)
        problems = [*source.problems]
        if source.tree is not None:
            checked.tree = self._layers.under(source.tree)
            problems += self._validate(checked, checked.tree)
            positions = {problem.position for problem in problems}
            problems += [p for p in self._file_rules(source.tree, source.file) if p.position not in positions]
        layers = self._layers.of(source.tree) if source.tree is not None else self._layers.common
        if unusable := [problem for layer in layers for problem in layer.problems]:
            # What is missing may be in the part of a layer that was refused.
            problems = [problem for problem in problems if problem.code != "missing"] + unusable
        problems = checked.secrets.without(problems) + checked.secrets.problems
        for layer in layers:
            if layer.file is not None:
                secrets = self._layer_secrets[layer.file]
                problems = [p for p in problems if p.file != layer.file or p.line not in secrets.lines]
                problems += secrets.problems
        if problems:
            checked.model = None
        checked.problems = self.finish(problems, checked)
        checked.advice = [] if problems else self.finish(checked.advice, checked)
        return checked

    def check_layers(self) -> list[Problem]:
        """Everything that is wrong with the layers themselves, whether a file uses them or not."""
        problems: list[Problem] = []
        for layer in self._layers.all:
            if layer.file is not None:
                secrets = self._layer_secrets[layer.file]
                found = [*layer.problems, *problems_of(layer, layer.file, self._model, self._shape)]
                problems += [p for p in secrets.without(found) if p.line not in secrets.lines] + secrets.problems
        return self.finish(problems, None)

    def finish(self, problems: Iterable[Problem], checked: CheckedFile[Model] | None) -> list[Problem]:
        """The problems in order, each with the line that it is about unless that line holds a secret."""
        for secrets in (*([checked.secrets] if checked else []), *self._layer_secrets.values()):
            problems = [secrets.hide(problem) for problem in problems]
        return [self._with_excerpt(problem, checked) for problem in in_order(problems)]

    def _validate(self, checked: CheckedFile[Model], tree: MappingNode) -> Iterator[Problem]:
        """All errors of the shape, and what the rules say about the model."""
        validation = Validation(self._model, tree, self._shape)
        checked.model = validation.model
        if validation.model is not None:
            yield from self._by_rules(checked, validation.model, tree)
            return
        yield from explain(validation.errors, tree, self._shape, checked.source.file)
        if (repaired := validation.without_faults(self._stand_in)) is not None:
            model, replaced = repaired
            yield from self._by_rules(checked, model, tree, replaced)

    def _by_rules(
        self, checked: CheckedFile[Model], model: Model, tree: MappingNode, replaced: Sequence[DataPath] = ()
    ) -> Iterator[Problem]:
        """What the rules say, but for what is about values that are not the file's."""
        for finding in self._rules(model, tree):
            if any(_related(finding.path, path) for path in replaced) or lost(tree, finding.path):
                continue
            if finding.advice:
                checked.advice.append(checked.problem("advice", finding))
            else:
                yield checked.problem("rule", finding)

    def _with_excerpt(self, problem: Problem, checked: CheckedFile[Model] | None) -> Problem:
        if checked is not None and problem.file == checked.source.file:
            source, secrets = checked.source, checked.secrets
        elif problem.file in self._layer_secrets:
            source, secrets = self._layers.sources[problem.file], self._layer_secrets[problem.file]
        else:
            return problem
        if problem.line > len(source.lines) or problem.line in secrets.lines:
            return problem
        return replace(problem, excerpt=source.lines[problem.line - 1])


def _related(one: DataPath, other: DataPath) -> bool:
    """Whether one of two paths is within the other."""
    return all(a == b for a, b in zip(one, other, strict=False))
