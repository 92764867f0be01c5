"""What a rule is: its entry in the catalogue, and the shapes that its check is built from.

A ``Rule`` looks at one object. A ``StackRule`` looks at all objects of a stack together. Holds no rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Level, Severity, Violation
from policies.rules.model import hidden as hidden
from policies.rules.pods import Container, Pod
from policies.rules.subject import Subject

Check = Callable[[Subject], Iterable[Violation]]
StackCheck = Callable[[Sequence[Subject]], Iterable[tuple[Subject, Violation]]]
"""Takes the objects that the rule applies to, and returns each violation with the object that it is about."""


class Reference(NamedTuple):
    """A requirement of a published framework that a rule helps to meet."""

    framework: str
    """Name and version, such as ``CIS Kubernetes 1.10``."""

    section: str
    """What the framework calls it, such as ``5.1.1``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """What the catalogue says of a rule, whatever it looks at."""

    id: str
    """``<group>/<name>``; frozen from the first release."""

    level: Level
    severity: Severity
    title: str
    """What holds when the rule is kept, in one sentence."""

    why: str
    """What goes wrong otherwise."""

    remedy: str
    """What to do about a finding."""

    url: str
    applies: Callable[[Kind], bool] = field(repr=False)
    """Whether the rule looks at objects of this kind."""

    references: tuple[Reference, ...] = ()
    """What the rule answers to in published frameworks."""

    about: str = "workloads"
    """The kinds of resource that it judges, in words."""

    unknown: Literal["fails", "warns"] = "fails"
    """What a hidden property means: a finding at the rule's own level, or an advisory one. The latter is for rules
    whose subject is judged again, with everything known, before anything is created."""

    @property
    def group(self) -> str:
        return self.id.partition("/")[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule(Entry):
    """A rule about one object."""

    check: Check = field(repr=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class StackRule(Entry):
    """A rule about all objects of a stack: what one of them needs beside it."""

    check: StackCheck = field(repr=False)


def attempt(found: Iterator[Violation]) -> Iterator[Violation]:
    """``found``, ended by a violation where something is hidden that must be seen."""
    try:
        yield from found
    except HiddenError as error:
        yield hidden(error)


def each_pod(check: Callable[[Pod], Iterator[Violation]]) -> Check:
    """A check of every pod template of a subject."""

    def over(subject: Subject) -> Iterator[Violation]:
        for pod in subject.pods:
            yield from attempt(check(pod))

    return over


def each_container(check: Callable[[Pod, Container], Iterator[Violation]]) -> Check:
    """A check of every container of every pod template; one hidden container does not hide the others."""

    def over(subject: Subject) -> Iterator[Violation]:
        for pod in subject.pods:
            for container in pod.containers:
                if isinstance(container, HiddenError):
                    yield hidden(container)
                else:
                    yield from attempt(check(pod, container))

    return over
