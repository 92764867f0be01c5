"""The document of `--json`."""

from __future__ import annotations

import json
from typing import Any

import typer


def print_json(document: dict[str, Any]) -> None:
    typer.echo(as_text(document))


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)
