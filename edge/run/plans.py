"""Plan files: what a preview found is what `up` is held to.

A plan is the CLI's own file, which `pulumi up --plan FILE` reads too, with one entry more that says of which site and
which kind of run it is. Secrets in it are encrypted with the stack's own key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.exit_codes import BAD_INPUT
from edge.run.events import Run
from edge.run.failure import OperationError

_OWN = "edge"
_VIOLATION = re.compile(
    r"(?:violates plan: |(?=\S+ is not allowed by the plan)|(?=no plan for resource)|(?=Expected a new resource plan))"
    r"(?P<what>.+)",
    re.DOTALL,
)
_PROPERTIES = re.compile(r"[=~+-]{2}([A-Za-z_][A-Za-z0-9_]*)\[")


@dataclass
class Draft:
    """A plan that is being made. It replaces nothing unless it is kept."""

    path: Path
    kept: bool = False

    def keep(self) -> None:
        self.kept = True


@contextmanager
def written(file: Path, site: str, mode: str) -> Iterator[Draft]:
    """A draft beside ``file``, which it replaces if it is kept. Readable for its owner only."""
    if not file.resolve().parent.is_dir():
        raise OperationError(f"There is no folder {file.parent} for the plan.", code=BAD_INPUT)
    target = file.resolve()
    draft = Draft(target.with_name(f".{target.name}.draft"))
    draft.path.touch(0o600)
    try:
        yield draft
        if draft.kept:
            plan = json.loads(draft.path.read_text(encoding="utf-8"))
            plan[_OWN] = {"site": site, "mode": mode}
            draft.path.write_text(json.dumps(plan, indent=1), encoding="utf-8")
            draft.path.replace(target)
    finally:
        draft.path.unlink(missing_ok=True)


def require(file: Path, site: str, mode: str) -> None:
    """Refuse a file that is no plan of this site and this kind of run. Raises ``OperationError``."""
    remedy = (f"edge preview {site} --save-plan {file}     makes one",)
    try:
        plan: Any = json.loads(file.read_text(encoding="utf-8"))
        planned = list(plan["resourcePlans"])
    except OSError as error:
        raise OperationError(f"The plan {file} cannot be read: {error.strerror}.", remedy, code=BAD_INPUT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise OperationError(f"{file} is not a plan of `edge preview --save-plan`.", remedy, code=BAD_INPUT) from error
    own = plan.get(_OWN, {})
    if not planned or any(not urn.startswith(f"urn:pulumi:{site}::") for urn in planned):
        named = own.get("site") or "another stack"
        raise OperationError(f"{file} is a plan of {named}, not of {site}.", remedy, code=BAD_INPUT)
    if own.get("mode", mode) != mode:
        was = "a rehearsal" if own["mode"] == "rehearsal" else "a real preview"
        raise OperationError(f"{file} is a plan of {was}.", remedy, code=BAD_INPUT)


def explain(run: Run, site: str, *, applied: bool) -> OperationError | None:
    """Say what exceeds the plan, in place of the engine's message, which quotes values of properties."""
    found = False
    for index, diagnostic in enumerate(run.diagnostics):
        if match := _VIOLATION.search(diagnostic.message):
            found = True
            names = _PROPERTIES.findall(match["what"])
            what = f"properties changed: {', '.join(names)}" if names else match["what"].partition("[")[0].strip()
            run.diagnostics[index] = replace(diagnostic, message=f"not as planned: {what}")
    if not found:
        return None
    done = "Part of the plan may have been applied" if applied else "Nothing was applied"
    return OperationError(
        f"{site} is not as it was when the plan was made. {done}.",
        (f"edge preview {site} --save-plan FILE     makes a new plan, to be looked at again",),
    )
