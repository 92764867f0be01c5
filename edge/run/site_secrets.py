"""The secrets of sites: which are set, which are missing, where each lies. Names only; a value is only ever written.

Values are made here or come from standard input, go to `pulumi config set --secret` by its standard input, and are in
no argument, message or file of ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from components.view import SecretNeed
from edge.exit_codes import BAD_INPUT, DONE, FAILED
from edge.run.failure import OperationError
from edge.run.operation import Session, opened_stack
from edge.run.secret_age import Age, ages
from edge.run.stack_settings import StackSettings, read_settings
from sitefile.problems import any_of, near_miss, shown
from stacks.configuration import full_key
from stacks.loader import load_site
from stacks.parts import required
from stacks.shared.settings import STACK as SHARED
from stacks.shared.settings import NotYaml
from stacks.site import SiteSpec

State = Literal["set", "shared", "missing", "plain text", "in Pulumi ESC"]
_BYTES = 32
"""Random bytes of a secret that is made here."""


@dataclass(frozen=True)
class SecretState:
    """One secret of one site. Never its value."""

    site: str
    key: str
    why: str
    state: State
    file: str
    """The stack's settings, where it lies or is to lie."""
    generated: bool
    """Whether it can be made: nobody needs to know it."""
    own: bool = False
    """Whether it must not be shared with other sites."""
    encrypted: str = field(default="", repr=False)
    """Its encrypted value, by which its age is found."""
    age: Age | None = None
    """Since when it has its value; None where it has none, or another place holds it."""

    @property
    def sound(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.state not in ("missing", "plain text")

    def as_dict(self) -> dict[str, Any]:
        return {
            "site": self.site,
            "key": full_key(self.key),
            "why": self.why,
            "state": self.state,
            "file": self.file,
            "generated": self.generated,
            "set_at": self.age.at.isoformat() if self.age and self.age.at else None,
            "age_unknown": (self.age.unknown or None) if self.age else None,
        }


@dataclass(frozen=True)
class Change:
    """What was set for one site, or why it was not."""

    site: str
    keys: tuple[str, ...] = ()
    new_stack: bool = False
    failure: OperationError | None = None

    @property
    def code(self) -> int:
        return self.failure.code if self.failure else DONE

    def as_dict(self) -> dict[str, Any]:
        error = {"error": self.failure.as_dict()} if self.failure else {}
        return {"site": self.site, "set": [full_key(key) for key in self.keys], "new_stack": self.new_stack, **error}


def sites_of(files: Sequence[Path], root: Path) -> list[SiteSpec]:
    """The sites of these files. Raises ``FileError`` for one with errors, before anything is set for another."""
    return [load_site(file, root=root) for file in files]


def readable_settings(root: Path, stack: str) -> StackSettings:
    """The settings of a stack. Raises ``OperationError`` for a file that is not YAML."""
    try:
        return read_settings(root, stack)
    except NotYaml as error:
        raise OperationError(f"{error.file.name} is not YAML: {error}.", code=BAD_INPUT) from None


def states_of(spec: SiteSpec, root: Path) -> list[SecretState]:
    """Every secret of a site, in the order in which its parts come up. Decrypts nothing."""
    settings = readable_settings(root, spec.site)
    shared = readable_settings(root, SHARED).secure
    absent = {need.key for need in settings.missing(spec)}
    exposed = set(settings.exposed(spec))

    def state(need: SecretNeed) -> SecretState:
        key = full_key(need.key)
        lent = settings.lends(need)
        found: State = "set" if key in settings.secure else "in Pulumi ESC"
        if need.key in exposed:
            found = "plain text"
        elif need.key in absent:
            found = "missing"
        elif lent:
            found = "shared"
        file = f"Pulumi.{SHARED}.yaml" if found == "shared" else settings.file.name
        encrypted = shared[key] if lent else settings.secure.get(key, "")
        return SecretState(spec.site, need.key, need.why, found, file, need.generated, need.own, encrypted)

    return [state(need) for need in required(spec)]


def with_ages(states: Sequence[SecretState], root: Path) -> list[SecretState]:
    """The same with their ages, from one walk through the Git history."""
    found = ages({one.encrypted for one in states if one.encrypted}, root)
    return [replace(one, age=found.get(one.encrypted)) for one in states]


def generate(spec: SiteSpec, root: Path) -> Change:
    """Make and set the missing secrets of a site that nobody needs to know. Replaces none that is set."""
    keys = [one.key for one in states_of(spec, root) if one.state == "missing" and one.generated]
    if not keys:
        return Change(spec.site)
    return _set(spec, {key: secrets.token_hex(_BYTES) for key in keys}, root, made=True)


def set_value(spec: SiteSpec, key: str, value: str, root: Path) -> Change:
    """Set one secret of a site, also where it has another value. ``require_key`` has checked the key."""
    return _set(spec, {key: value}, root, made=False)


def require_key(specs: Sequence[SiteSpec], key: str) -> str:
    """The key without its namespace. Raises ``OperationError`` where a site does not need such a secret."""
    short = key.removeprefix(full_key(""))
    for spec in specs:
        known = [need.key for need in required(spec)]
        if short not in known:
            near = near_miss(short, known)
            what = f"{spec.site} needs no secret {shown(short)}" + (f": did you mean `{near}`?" if near else ".")
            raise OperationError(what, (f"its secrets are {any_of(known)}",), code=BAD_INPUT)
    return short


def _set(spec: SiteSpec, values: dict[str, str], root: Path, *, made: bool) -> Change:
    done: list[str] = []
    new = False
    try:
        with opened_stack(spec.site, rehearse=False, root=root) as session:
            new = _prepare(session, made)
            for key, value in values.items():
                session.set_secret(key, value)
                done.append(key)
    except OperationError as error:
        return Change(spec.site, tuple(done), new, error)
    return Change(spec.site, tuple(done), new)


def _prepare(session: Session, made: bool) -> bool:
    """Create the stack where there is none; returns whether. Refuses to make secrets that a live site has already."""
    live = session.holds("K3s")
    if live is None:
        session.create()
        return True
    if live and made:
        raise OperationError(
            f"{session.site} is up, and the tokens of its cluster are not in {session.settings.file.name}. "
            "New ones would not fit the cluster.",
            (
                f"restore {session.settings.file.name} from version control, or set the tokens that the cluster has:",
                f"edge secrets {session.site} --set k3s-token     it is in /var/lib/rancher/k3s/server/token",
            ),
            code=FAILED,
        )
    return False
