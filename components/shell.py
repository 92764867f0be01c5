"""Scripts that act on a host: how they are rendered, and how they are started over SSH.

A script is a Jinja template in the folder of its part. The functions of a prelude make steps idempotent and say what
they changed. Secrets come in by standard input only: neither the script's text nor any
command line ever holds one.
"""

from __future__ import annotations

import base64
import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import jinja2

_COMPONENTS = Path(__file__).parent


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # Scripts are text for bash, not HTML: escaping is the `q` filter's work, at each place that needs it.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_COMPONENTS),
        undefined=jinja2.StrictUndefined,
        # The defaults would read bash's ${#array[@]} as the start of a comment.
        comment_start_string="{=#",
        comment_end_string="#=}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        bytecode_cache=_bytecode(),
    )
    environment.filters["q"] = lambda value: shlex.quote(str(value))
    return environment


def _bytecode() -> jinja2.BytecodeCache | None:
    """A cache of compiled templates where Python keeps its own: halves the time to plan a small site."""
    folder = _COMPONENTS / "__pycache__"
    if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
        return None
    return jinja2.FileSystemBytecodeCache(str(folder), "%s.template")


@functools.lru_cache(maxsize=256)
def _template(path: str) -> jinja2.Template:
    return _environment().get_template(path)


def render(template: str, **values: object) -> str:
    """A whole script: the prelude, then ``template`` (a path below ``components/``) with ``values``.

    Raises ``jinja2.UndefinedError`` for a value that the template needs and did not get.
    """
    return _template("prelude.sh.j2").render() + "\n" + _template(template).render(**values)


def here_document(text: str) -> str:
    """``text`` as the body of a quoted here-document: a delimiter that no line of it equals."""
    delimiter, lines = "EDGE_FILE", frozenset(text.splitlines())
    while delimiter in lines:
        delimiter += "_"
    return f"<<'{delimiter}'\n{written(text)}{delimiter}"


def written(text: str) -> str:
    """What a file holds whose content is the here-document of ``text``: one newline at its end."""
    return text.rstrip("\n") + "\n"


_STARTS = ("exec bash", "exec sudo -n bash")


def as_root(script: str, user: str) -> str:
    """The command that runs ``script`` as root for an SSH ``user``; its standard input is left to the secrets."""
    as_is, by_sudo = _STARTS
    return f"{as_is if user == 'root' else by_sudo} -c {shlex.quote(script)}"


def script_of(command: str) -> tuple[str, str] | None:
    """A command of ``as_root`` as what starts the script, and the script; None for any other command."""
    start, begins, quoted = command.partition(" -c ")
    if not begins or start not in _STARTS:
        return None
    script = quoted[1:-1].replace("'\"'\"'", "'") if quoted.startswith("'") else quoted
    return (f"{start} -c", script) if shlex.quote(script) == quoted else None


def secret_lines(values: Sequence[str]) -> str:
    """Secrets as standard input: one base64 line each, in the order in which the script reads them."""
    return "".join(base64.b64encode(value.encode()).decode() + "\n" for value in values)
