"""Secrets that many sites share: which there are, which sites use each, and how one is set for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.exit_codes import BAD_INPUT, FAILED, INTERRUPTED
from edge.run.failure import OperationError
from edge.run.operation import opened_stack
from edge.run.secret_age import Age, ages
from edge.run.site_secrets import Change, State, readable_settings
from sitefile.problems import any_of, near_miss, shown
from stacks.configuration import full_key
from stacks.parts import required
from stacks.shared.settings import STACK
from stacks.site import SiteSpec


@dataclass(frozen=True)
class SharedSecret:
    """One secret that sites share. Never its value."""

    key: str
    """With its namespace."""
    state: State
    file: str
    age: Age = field(default_factory=Age)
    used_by: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "state": self.state,
            "file": self.file,
            "set_at": self.age.at.isoformat() if self.age.at else None,
            "age_unknown": self.age.unknown or None,
            "used_by": list(self.used_by),
        }


def shared_secrets(specs: Iterable[SiteSpec], root: Path) -> list[SharedSecret]:
    """All shared secrets, and which of these sites take theirs from there. Decrypts nothing."""
    settings = readable_settings(root, STACK)
    users: dict[str, list[str]] = {}
    for spec in specs:
        own = readable_settings(root, spec.site)
        for need in required(spec):
            if own.lends(need):
                users.setdefault(full_key(need.key), []).append(spec.site)
    since = ages(settings.secure.values(), root)
    found = [
        SharedSecret(key, "set", settings.file.name, since[value], tuple(users.get(key, ())))
        for key, value in settings.secure.items()
    ]
    # Settings that are no secrets have no place there: the stack has no other use.
    found += [SharedSecret(key, "plain text", settings.file.name) for key in settings.plain]
    return sorted(found, key=lambda one: one.key)


def require_shareable(specs: Iterable[SiteSpec], key: str) -> str:
    """The key without its namespace. Raises ``OperationError`` where no site needs it, or each needs one of its own."""
    short = key.removeprefix(full_key(""))
    needs = {need.key: need for spec in specs for need in required(spec)}
    shareable = [one.key for one in needs.values() if not one.own]
    if short in shareable:
        return short
    if short in needs:
        what = f"{short} is not shared: with the value of another, a site would join that site's cluster."
        raise OperationError(what, (f"edge secrets SITE --set {short}     sets that of one site",), code=BAD_INPUT)
    near = near_miss(short, shareable)
    what = f"No site needs a secret {shown(short)}" + (f": did you mean `{near}`?" if near else ".")
    raise OperationError(what, (f"what sites can share is {any_of(shareable)}",), code=BAD_INPUT)


def set_shared(key: str, value: str, root: Path) -> Change:
    """Set a secret that sites share, and bring its stack up, from whose outputs sites read it."""
    from edge.run.attached import attached
    from edge.run.program import main_program

    done: tuple[str, ...] = ()
    new = False
    try:
        with opened_stack(STACK, rehearse=False, root=root) as session:
            new = not session.exists()
            if new:
                session.create()
            session.set_secret(key, value)
            done = (key,)
            with attached(main_program(root), with_pack=False) as host:
                process = replace(session.process, variables={**session.process.variables, **host.variables})
                finished = process.run(["up", "--yes", "--skip-preview", "--stack", STACK, *host.arguments])
            if finished.code:
                raise OperationError(
                    f"{key} is set in Pulumi.{STACK}.yaml, and sites do not see it yet: the stack `{STACK}` was not "
                    f"brought up.\n{finished.stderr}".rstrip(),
                    (f"pulumi up -s {STACK}     brings it up, and says what is wrong",),
                    code=INTERRUPTED if finished.interrupts else FAILED,
                )
    except OperationError as error:
        return Change(STACK, done, new, error)
    return Change(STACK, done, new)
