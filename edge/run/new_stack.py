"""A preview of a stack that does not exist: on one of the same name and settings, in a state that is thrown away.

`pulumi preview` needs a stack. Creating the real one would be a change, made before anybody has agreed to anything.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from edge.exit_codes import FAILED, INTERRUPTED
from edge.run.failure import OperationError
from edge.run.pulumi_process import STACK_NOT_FOUND, PulumiProcess
from edge.run.secrets_provider import init_command
from edge.run.stack_settings import StackSettings
from engine.environment import file_backend
from engine.rehearsal.workspace import write_project
from stacks.shared.settings import STACK as SHARED


@contextmanager
def standing_in(
    process: PulumiProcess, settings: StackSettings, root: Path, backend: str, *, shares: bool = False
) -> Iterator[PulumiProcess]:
    """A ``process`` in a workspace of its own, with the settings of the stack and an empty state; both are removed.

    ``shares``: the site takes secrets from the stack ``shared``, whose state is then in the workspace too.

    Raises ``OperationError`` where the settings can only be read from the backend's own stack.
    """
    stack = settings.file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    if settings.from_environment:
        raise OperationError(
            f"{stack} has no stack on {backend or 'the backend'}. Its settings come from Pulumi ESC, which needs one.",
            (f"{init_command(stack, root)}     creates it, empty",),
        )
    with tempfile.TemporaryDirectory(prefix="edge-new-stack-") as folder:
        home = Path(folder)
        write_project(home, root)
        content: dict[str, Any] = {}
        if settings.exists:
            shutil.copy(settings.file, home / settings.file.name)
            content = yaml.safe_load(settings.file.read_text(encoding="utf-8")) or {}
        state = home / "state"
        state.mkdir()
        variables = {**process.variables, "PULUMI_BACKEND_URL": file_backend(state)}
        encrypted = content.keys() & {"encryptionsalt", "secretsprovider", "encryptedkey"}
        if not encrypted and not shares:
            # Nothing is encrypted yet, so that no passphrase is needed for what is thrown away.
            variables["PULUMI_CONFIG_PASSPHRASE"] = secrets.token_hex()
        standing = replace(process, folder=home, variables=variables)
        if shares:
            _copy(SHARED, process, standing)
        yield standing


def _copy(stack: str, source: PulumiProcess, target: PulumiProcess) -> None:
    """The state of a stack as it is there, its secrets encrypted as they are. Raises ``OperationError``."""
    lines: list[str] = []
    finished = source.run(["stack", "export", "--stack", stack], lines.append)
    if finished.code == STACK_NOT_FOUND:
        # The program says what is missing, and the command that helps.
        return
    for arguments, stdin in ((["stack", "init", stack], None), (["stack", "import", "--stack", stack], "".join(lines))):
        if not finished.code:
            finished = target.run(arguments, stdin=stdin)
    if finished.code:
        raise OperationError(
            f"The stack `{stack}`, whose secrets sites share, cannot be read:\n{finished.stderr}",
            (f"pulumi stack --stack {stack}     says whether it is there",),
            code=INTERRUPTED if finished.interrupts else FAILED,
        )
