"""A document that a command writes where its user says: into a file, or to standard output for `-`."""

from __future__ import annotations

from pathlib import Path

import typer

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError

STANDARD_OUTPUT = "-"


def write_text(file: str, text: str) -> None:
    """Write ``text`` as UTF-8, whatever the terminal's own encoding is. Raises ``OperationError`` (bad input)."""
    if file == STANDARD_OUTPUT:
        typer.echo(text.encode(), nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperationError(
            f"{file} cannot be written: {error.strerror}.", ("name a file in a folder that exists",), code=BAD_INPUT
        ) from error
