"""Scripts that act on a host: how they are rendered, and how they are started over SSH.

A script is a Jinja template in the folder of its part. The functions of a prelude make steps idempotent and say what
they changed. Secrets come in by standard input only: neither the script's text nor any
command line ever holds one.

A template's values are data, by construction: ``{{ value }}`` is written as the place needs where it stands (a word,
within double quotes, in a comment), and a template with a value elsewhere does not load. What is meant as script is of
type ``Script``.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from components import shell_context
from components.shell_context import Context, NotSafe, State

_COMPONENTS = Path(__file__).parent


class Script(str):
    """Text that is script. Whatever is made of it, by concatenation or formatting, is plain text again."""


def _text(value: object) -> str:
    if isinstance(value, Script):
        raise TypeError("script cannot stand within quotes, in a comment or in arithmetic")
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises, and names it
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"expected text or a number in a script, this is {type(value).__name__}")
    if "\0" in (text := str(value)):
        raise ValueError("no script can hold the character NUL")
    return text


def _word(value: object) -> str:
    if isinstance(value, Script):
        return value
    if isinstance(value, list | tuple):
        return " ".join(_word(item) for item in value)
    return shlex.quote(_text(value))


def _double_quoted(value: object) -> str:
    return "".join(f"\\{char}" if char in '$`"\\' else char for char in _text(value))


def _comment(value: object) -> str:
    return "".join(char if char.isprintable() else " " for char in _text(value))


def _number(value: object) -> str:
    # Bash evaluates words in arithmetic, quoted ones too: `a[$(command)]` runs the command.
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected an integer in arithmetic, this is {type(value).__name__}")
    return str(value)


_WRITTEN: Mapping[Context, Callable[[object], str]] = {
    Context.WORD: _word,
    Context.DOUBLE_QUOTES: _double_quoted,
    Context.COMMENT: _comment,
    Context.ARITHMETIC: _number,
}


class _Quoting(Extension):
    """Puts behind each ``{{ value }}`` of a template the filter of its place."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        template = _Places()
        before, filter_name = "", ""
        for token in stream:
            try:
                if token.type == "data":
                    template.text(token.value)
                elif token.type == "variable_begin":
                    filter_name = template.value().name.lower()
                elif token.type == "variable_end":
                    yield Token(token.lineno, "rparen", ")")
                    yield Token(token.lineno, "pipe", "|")
                    yield Token(token.lineno, "name", filter_name)
                elif before == "block_begin":
                    template.tag(token.value)
            except NotSafe as reason:
                raise jinja2.TemplateSyntaxError(str(reason), token.lineno, stream.name, stream.filename) from None
            before = token.type
            yield token
            if token.type == "variable_begin":
                yield Token(token.lineno, "lparen", "(")
        try:
            template.end()
        except NotSafe as reason:
            raise jinja2.TemplateSyntaxError(str(reason), 1, stream.name, stream.filename) from None


@dataclass
class _Branches:
    """A condition or a loop that is open: where it began, and where its branches ended."""

    start: State
    ends: list[State]
    exhaustive: bool = False
    """Whether one of the branches is always taken."""


class _Places:
    """Follows a template through its conditions and loops. Every way through must leave the script in the same state,
    since what comes after is quoted in one way."""

    def __init__(self) -> None:
        self._state = State()
        self._open: list[_Branches] = []

    def text(self, text: str) -> None:
        self._state = self._state.read(text)

    def value(self) -> Context:
        context = self._state.context()
        self._state = self._state.after_value()
        return context

    def tag(self, name: str) -> None:
        state = self._state.before_tag()
        match name:
            case "if" | "for":
                self._open.append(_Branches(state, []))
            case "elif" | "else":
                branches = self._open[-1]
                branches.ends.append(state)
                branches.exhaustive = name == "else"
                self._state = branches.start
            case "endif" | "endfor":
                branches = self._open.pop()
                if name == "endfor" and state.in_word != branches.start.in_word:
                    raise NotSafe("a loop must end as it begins: both within a word, or both between words")
                for end in [*branches.ends, *([] if branches.exhaustive else [branches.start])]:
                    state = state.joined(end)
                self._state = state
            case "include":
                if not state.begins_a_line:
                    raise NotSafe("an include must be a line of its own, outside of quotes")
            case _:
                raise NotSafe(f"the tag {name} is not understood in a script")

    def end(self) -> None:
        self._state.end()


@functools.lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Templates of scripts, and what loads them."""
    # Scripts are text for bash, not HTML: `_Quoting` does what autoescape does there.
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_COMPONENTS),
        undefined=jinja2.StrictUndefined,
        # The defaults would read bash's ${#array[@]} as the start of a comment.
        comment_start_string="{=#",
        comment_end_string="#=}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        extensions=[_Quoting],
        bytecode_cache=_bytecode(),
    )
    made.filters.update({context.name.lower(): written for context, written in _WRITTEN.items()})
    return made


def _bytecode() -> jinja2.BytecodeCache | None:
    """A cache of compiled templates where Python keeps its own: halves the time to plan a small site."""
    folder = _COMPONENTS / "__pycache__"
    if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
        return None
    # Compiled templates hold how their values are quoted: another way of quoting must not meet those of an earlier one.
    quoting = hashlib.sha256(b"".join(Path(source).read_bytes() for source in (__file__, shell_context.__file__)))
    return jinja2.FileSystemBytecodeCache(str(folder), f"%s.{quoting.hexdigest()[:16]}.template")


@functools.lru_cache(maxsize=256)
def _template(path: str) -> jinja2.Template:
    return environment().get_template(path)


def render(template: str, **values: object) -> str:
    """A whole script: what it needs of the prelude, then ``template`` (a path below ``components/``) with ``values``.

    A state, a preview and the engine's messages hold every script, so none carries functions that it never calls.
    Raises ``jinja2.UndefinedError`` for a value that the template needs and did not get.
    """
    script = without_prelude(template, **values)
    called = script
    needed: list[str] = []
    # From the end, since a function calls only those before it.
    for name, text in reversed(prelude()):
        if not name or (name in called and re.search(rf"\b{name}\b", called)):
            needed.insert(0, text)
            called += text
    return "\n".join([*needed, script])


@functools.lru_cache(maxsize=1)
def prelude() -> tuple[tuple[str, str], ...]:
    """The paragraphs of the prelude, in order: the function that each defines (none: every script has it), its text."""
    paragraphs = _template("prelude.sh.j2").render().rstrip("\n").split("\n\n")
    return tuple(
        (found[1] if (found := re.search(r"^(\w+)\(\) \{", text, re.MULTILINE)) else "", f"{text}\n")
        for text in paragraphs
    )


def fragment(template: str, **values: object) -> Script:
    """A piece of another script: ``template`` without the prelude."""
    return Script(without_prelude(template, **values))


def without_prelude(template: str, **values: object) -> str:
    """A script that stays on the host, as a file: ``template`` with ``values``, and nothing else."""
    return _template(template).render(**values)


def comment(text: str) -> str:
    """A line that bash does not read, whatever ``text`` is."""
    return f"# {_comment(text)}\n"


def here_document(text: str) -> Script:
    """``text`` as the body of a quoted here-document: a delimiter that no line of it equals."""
    if "\0" in text:
        raise ValueError("no script can hold the character NUL")
    delimiter, lines = "EDGE_FILE", frozenset(text.split("\n"))
    while delimiter in lines:
        delimiter += "_"
    return Script(f"<<'{delimiter}'\n{written(text)}{delimiter}")


def written(text: str) -> str:
    """What a file holds whose content is the here-document of ``text``: one newline at its end."""
    return text.rstrip("\n") + "\n"


def with_environment(script: str, file: str) -> str:
    """``script`` with the variables of ``file``, which programs that it starts see too. They may be secrets."""
    return f"set -a\n# shellcheck source=/dev/null\n. {shlex.quote(file)} || exit\nset +a\n{script}"


# Sudo that needs no password leaves it unread, and the script must never take it for a secret of its own: root's shell
# reads up to the empty line. Asked for on its own first, a wrong password is tried once, and no other line as another.
_BY_PASSWORD = (
    "IFS= read -r password; printf '%s\\n' \"$password\" | sudo -kSp '' true || "
    "{ echo 'error: sudo does not accept the password (the secret {secret})' >&2; exit 1; }; "
    "{ printf '%s\\n\\n' \"$password\"; exec cat; } | sudo -kSp '' bash -c "
    '\'while IFS= read -r line && [ -n "$line" ]; do :; done; exec bash -c "$1"\' bash "$1"'
)
_AS_IS, _BY_SUDO = "exec bash -c", "exec sudo -n bash -c"


def _by_sudo_with(password: str) -> str:
    return f"exec bash -c {shlex.quote(_BY_PASSWORD.replace('{secret}', password))} bash"


_STARTS = re.compile(
    "|".join((re.escape(_by_sudo_with("NAME")).replace("NAME", "[a-z0-9-]+"), re.escape(_BY_SUDO), re.escape(_AS_IS)))
)


def as_root(script: str, user: str, *, password: str | None = None) -> str:
    """The command that runs ``script`` as root for an SSH ``user``; its standard input is left to the secrets.

    ``password`` is the key of the secret that sudo asks for, if any. It is then the first line of standard input
    (``with_password``).
    """
    start = _AS_IS if user == "root" else _BY_SUDO if password is None else _by_sudo_with(password)
    return f"{start} {shlex.quote(script)}"


def with_password(password: str, stdin: str) -> str:
    """Standard input of a command of ``as_root`` for which sudo asks for a password. It is on no command line."""
    return f"{password.strip()}\n{stdin}"


def script_of(command: str) -> tuple[str, str] | None:
    """A command of ``as_root`` as what starts the script, and the script; None for any other command."""
    if (start := _STARTS.match(command)) is None:
        return None
    quoted = command[start.end() :].removeprefix(" ")
    script = quoted[1:-1].replace("'\"'\"'", "'") if quoted.startswith("'") else quoted
    return (start[0], script) if command == f"{start[0]} {shlex.quote(script)}" else None


def secret_lines(values: Sequence[str]) -> str:
    """Secrets as standard input: one base64 line each, in the order in which the script reads them."""
    return "".join(base64.b64encode(value.encode()).decode() + "\n" for value in values)
