"""Lines of text for a terminal: what cannot be seen is made visible, and long sentences end at its edge."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

_HIDDEN = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


def visible(line: str) -> str:
    """A line whose control characters are written out, so that none of them acts on the terminal."""
    return line.translate(_HIDDEN)


def paragraph(out: Console, text: str, style: str = "", indent: str = "  ") -> None:
    """A sentence. On a terminal it is wrapped between words; in a file it stays one line."""
    if not out.is_terminal:
        out.print(Text(f"{indent}{text}", style=style))
        return
    wrapped = textwrap.wrap(
        text, out.width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    for line in wrapped:
        out.print(Text(line, style=style))
