"""Nothing real is changed before a person has agreed, or `--yes` was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.run.events import ResourceChange, Run
from edge.run.operation import Operation, Outcome
from stacks.loader import load_site
from stacks.site import SiteSpec


@dataclass
class Session:
    """In place of a session with an engine: writes down what it was asked to do."""

    site: str = "demo"
    done: list[str] = field(default_factory=list)
    preview_code: int = 0
    spec: SiteSpec = field(default_factory=lambda: load_site("demo"))

    def preview(self, *_: Any) -> Outcome:
        return self._did("preview", "preview", self.preview_code)

    def up(self, *_: Any) -> Outcome:
        return self._did("up", "up")

    def preview_destroy(self, *_: Any) -> Outcome:
        return self._did("preview of destroy", "preview", self.preview_code)

    def destroy(self, *_: Any) -> Outcome:
        return self._did("destroy", "destroy")

    def _did(self, what: str, operation: Operation, code: int = 0) -> Outcome:
        self.done.append(what)
        change = ResourceChange("urn:pulumi:demo::edge::a:b:C::x", "a:b:C", "x", "", "create")
        return Outcome("demo", "real", operation, Run(resources={change.urn: change}), code=code)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    made = Session()

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Session]:
        yield made

    monkeypatch.setattr("edge.run.operation.opened", opened)
    monkeypatch.setattr("edge.run.operation.opened_stack", opened)
    return made


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `edge` with an answer typed at a terminal."""
    for command in ("up", "destroy"):
        monkeypatch.setattr(f"edge.commands.{command}.require_terminal", lambda *_: None)

    def run(*arguments: str, answer: str) -> Result:
        return CliRunner().invoke(app, list(arguments), input=answer)

    return run


@pytest.mark.parametrize(("answer", "done"), [("y\n", ["preview", "up"]), ("n\n", ["preview"]), ("\n", ["preview"])])
def test_up_changes_nothing_unless_the_answer_is_yes(
    session: Session, at_a_terminal: Callable[..., Result], answer: str, done: list[str]
) -> None:
    result = at_a_terminal("up", "demo", answer=answer)
    assert session.done == done
    assert result.exit_code == (0 if "up" in done else 1)


@pytest.mark.parametrize(("answer", "destroyed"), [("demo\n", True), ("demos\n", False), ("y\n", False)])
def test_destroy_destroys_nothing_unless_the_sites_name_is_typed(
    session: Session, at_a_terminal: Callable[..., Result], answer: str, destroyed: bool
) -> None:
    result = at_a_terminal("destroy", "demo", answer=answer)
    assert ("destroy" in session.done) == destroyed
    assert result.exit_code == (0 if destroyed else 1)


@pytest.mark.parametrize(("command", "first"), [("up", "preview"), ("destroy", "preview of destroy")])
def test_a_preview_that_fails_is_where_it_ends(
    session: Session, at_a_terminal: Callable[..., Result], command: str, first: str
) -> None:
    session.preview_code = 1
    assert at_a_terminal(command, "demo", answer="y\n").exit_code == 1
    assert session.done == [first]


def test_yes_asks_nothing_and_up_still_previews_first(session: Session) -> None:
    assert CliRunner().invoke(app, ["up", "demo", "--yes"]).exit_code == 0
    assert session.done == ["preview", "up"]
