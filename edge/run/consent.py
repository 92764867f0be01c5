"""Consent to what destroys: which consequences an `up` may have, and what it says of the others.

Pure. What an edit does is found by ``stacks.consequences``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from components.consequence import Consequence, Effect
from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from sitefile.problems import near_miss


def impossible(site: str, found: Iterable[Consequence]) -> OperationError | None:
    """The refusal of edits that cannot work; None where there are none."""
    cannot = [one for one in found if one.effect is Effect.IMPOSSIBLE]
    if not cannot:
        return None
    edits = "an edit of this site cannot work" if len(cannot) == 1 else f"{len(cannot)} edits of this site cannot work"
    return OperationError(f"{site}: {edits}; nothing was changed.", _ways(cannot))


def refusal(site: str, found: Iterable[Consequence], allowed: Collection[str]) -> OperationError | None:
    """Why `up` must not go on; None where it may. ``allowed`` are hosts and parts, as `--allow-destroy` names them."""
    found = tuple(found)
    if cannot := impossible(site, found):
        return cannot
    destroys = [one for one in found if one.effect is Effect.DESTROYS]
    if unknown := set(allowed) - {name for one in destroys for name in one.names}:
        return _nothing_of(site, sorted(unknown), destroys)
    missing = [one for one in destroys if not allowed_by(one, allowed)]
    if not missing:
        return None
    names = list(dict.fromkeys(one.names[0] for one in missing))
    flags = " ".join(f"--allow-destroy {name}" for name in (*sorted(allowed), *names))
    return OperationError(
        f"{site}: this would destroy {_listed(names)}; nothing was changed.",
        (*_ways(missing), f"edge up {site} {flags}     does it nevertheless"),
    )


def allowed_by(one: Consequence, allowed: Collection[str]) -> bool:
    """Whether somebody has consented to it."""
    return any(name in allowed for name in one.names)


def entries(found: Iterable[Consequence], nodes: Sequence[str], word: str) -> str:
    """The stack setting that lets the hosts' own scripts do what was consented to: `NODE:CHANGE:WORD` each.

    What concerns a whole part concerns each of ``nodes``. ``word`` makes the consent one that is good once.
    """
    destroys = (one for one in found if one.effect is Effect.DESTROYS)
    return " ".join(
        f"{node}:{one.edit.name}:{word}" for one in destroys for node in ([one.node] if one.node else nodes)
    )


def _nothing_of(site: str, unknown: Sequence[str], destroys: Sequence[Consequence]) -> OperationError:
    names = list(dict.fromkeys(one.names[0] for one in destroys))
    near = near_miss(unknown[0], names)
    what = f"--allow-destroy {_listed(unknown)}: nothing of that name would be destroyed at {site}"
    what += f": did you mean `{near}`?" if near else f"; only {_listed(names)}." if names else "."
    return OperationError(what, (f"edge preview {site}     shows what an `up` would do",), code=BAD_INPUT)


def _ways(found: Sequence[Consequence]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{one.host or one.part}: {one.way}" for one in found if one.way))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
