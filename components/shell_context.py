"""Where in a bash script a place stands: as a word, within double quotes, in a comment, in arithmetic. Pure.

Reads a script piece by piece, as a template has it between its values, and knows as much of bash's grammar as quoting
needs. A place where no quoting makes a value safe is refused, and so is what this does not understand: a template that
it reads is one whose values are data. It does not know Jinja, and does not quote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum


class Context(Enum):
    """What a value at some place of a script must be written as."""

    WORD = "word"
    DOUBLE_QUOTES = "double quotes"
    COMMENT = "comment"
    ARITHMETIC = "arithmetic"


class NotSafe(ValueError):
    """No value may stand here, or the script is not understood from here on."""


@dataclass(frozen=True)
class _HereDocument:
    delimiter: str
    strips_tabs: bool


_CODE, _DOUBLE, _SINGLE, _ANSI_C = "code", "double quotes", "single quotes", "$'...'"
_PARAMETER, _ARITHMETIC, _CONDITION, _COMMENT, _BODY = "${...}", "arithmetic", "[[ ]]", "comment", "here-document"

_HERE = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n$`\\]+)\"|([A-Za-z_][A-Za-z0-9_]*))")
_AT_WORD_START = ("#", "((", "[[", "]]")
"""What has its meaning only where a word may begin."""
_HALF = ("$", "\\")
"""Characters that mean something only together with the next one."""
_SEPARATORS = frozenset(" \t\n;|&(<>)")


@dataclass(frozen=True)
class State:
    """A position in a script. ``frames`` are what is open there, innermost last."""

    frames: tuple[str, ...] = (_CODE,)
    parentheses: tuple[int, ...] = (0,)
    """Open parentheses of each frame that counts them."""
    in_word: bool | None = False
    """Whether the character before belongs to a word; None where that depends on a condition of the template."""
    pending: tuple[_HereDocument, ...] = ()
    """Here-documents whose bodies begin with the next line."""
    line: str = ""
    """What the current line of a here-document's body holds so far."""
    last: str = "\n"
    """The character before; a backslash that escapes nothing yet."""

    def context(self) -> Context:
        """How a value that stands here is written. Raises NotSafe where it must not stand."""
        top = self.frames[-1]
        if top == _COMMENT:
            return Context.COMMENT
        if self.last in _HALF:
            raise NotSafe(f"a value right after {self.last} changes what that means")
        if top == _CODE:
            return Context.WORD
        if top == _DOUBLE:
            return Context.DOUBLE_QUOTES
        if top == _ARITHMETIC:
            return Context.ARITHMETIC
        raise NotSafe(f"a value within {top} cannot be quoted: assign it to a variable, and use that here")

    @property
    def begins_a_line(self) -> bool:
        """Whether a command may begin here, at the beginning of a line."""
        return self.frames[-1] == _CODE and self.last == "\n" and not self.in_word and not self.pending

    def after_value(self) -> State:
        """The position behind a value."""
        return replace(self, in_word=True, last="x") if self.frames[-1] != _COMMENT else self

    def before_tag(self) -> State:
        """This position, if a condition or a loop of the template may begin or end here; raises NotSafe otherwise."""
        if self.last in _HALF and self.frames[-1] not in (_COMMENT, _SINGLE, _BODY):
            raise NotSafe(f"what follows {self.last} must not depend on the template")
        return self

    def joined(self, other: State) -> State:
        """The position where two ways through a template meet, such as those of a condition."""
        if self.frames != other.frames or self.parentheses != other.parentheses:
            raise NotSafe("quotes, parentheses and comments must be closed in the branch that opened them")
        if self.pending != other.pending or self.line != other.line:
            raise NotSafe("a here-document must begin and end in one branch")
        return replace(self, in_word=self.in_word if self.in_word == other.in_word else None)

    def end(self) -> None:
        """Raises NotSafe unless the script may end here."""
        left = [frame for frame in self.frames if frame not in (_CODE, _COMMENT)]
        if left or len(self.frames) > 2 or self.pending:
            raise NotSafe(f"the script ends within {(left or ['a here-document or $(...)'])[-1]}")

    def read(self, text: str) -> State:
        """The position after ``text``."""
        reader = _Reader(self)
        reader.read(text)
        return reader.state()


class _Reader:
    def __init__(self, state: State) -> None:
        self._frames, self._parentheses = list(state.frames), list(state.parentheses)
        self._in_word, self._pending = state.in_word, list(state.pending)
        self._line, self._last = state.line, state.last

    def state(self) -> State:
        return State(
            tuple(self._frames), tuple(self._parentheses), self._in_word, tuple(self._pending), self._line, self._last
        )

    def read(self, text: str) -> None:
        at = 0
        while at < len(text):
            at += self._step(text, at)

    def _open(self, frame: str) -> None:
        self._frames.append(frame)
        self._parentheses.append(0)

    def _close(self) -> None:
        self._frames.pop()
        self._parentheses.pop()

    def _step(self, text: str, at: int) -> int:
        """Takes what begins at ``at``; returns how many characters that were."""
        char, top = text[at], self._frames[-1]
        if top == _BODY:
            return self._in_body(char)
        if top == _COMMENT:
            if char == "\n":
                self._close()
                return 0  # the line's end is the command's, too
            return 1
        if top == _SINGLE:
            if char == "'":
                self._close()
                self._moved("'", in_word=True)
            return 1
        if self._last == "\\":  # escaped, in every frame that is left
            self._moved("x", in_word=self._in_word if char == "\n" else True)
            return 1
        if char == "\\":
            self._moved("\\", in_word=self._in_word)
            return 1
        if top == _ANSI_C:
            if char == "'":
                self._close()
            self._moved("x", in_word=True)
            return 1
        if char == "`":
            raise NotSafe("backquotes are not understood: write $(...)")
        if char == "$":
            return self._dollar(text, at)
        if char == '"':
            if top == _DOUBLE:
                self._close()
            else:
                self._open(_DOUBLE)
            self._moved("x", in_word=True)
            return 1
        if top == _DOUBLE:
            if char == "\n" and self._pending:
                raise NotSafe("a here-document that begins within quotes is not understood")
            self._moved(char, in_word=True)
            return 1
        if top == _PARAMETER:
            return self._in_parameter(char)
        if char == "'" and top != _ARITHMETIC:
            self._open(_SINGLE)
            return 1
        return self._in_arithmetic(text, at) if top == _ARITHMETIC else self._in_code(text, at)

    def _moved(self, last: str, *, in_word: bool | None) -> None:
        self._last, self._in_word = last, in_word

    def _dollar(self, text: str, at: int) -> int:
        for opening, frame in (("$((", _ARITHMETIC), ("$(", _CODE), ("${", _PARAMETER), ("$'", _ANSI_C)):
            if text.startswith(opening, at) and not (frame is _ANSI_C and self._frames[-1] == _DOUBLE):
                self._open(frame)
                # Not a word yet: `$(# comment` is one, and `${#name}` is none, which its frame knows.
                self._moved("(", in_word=False)
                return len(opening)
        # $#, $$, $?: a parameter, and no comment and no beginning of anything.
        if text[at + 1 : at + 2] in ("#", "$", "?", "!", "-", "@", "*"):
            self._moved("x", in_word=True)
            return 2
        self._moved("$", in_word=True)
        return 1

    def _in_parameter(self, char: str) -> int:
        if char == "'" and _DOUBLE not in self._frames:
            self._open(_SINGLE)
            return 1
        if char == "'":
            raise NotSafe("a single quote in ${...} within double quotes means different things in different shells")
        if char == "}":
            self._close()
        self._moved("x", in_word=True)
        return 1

    def _in_arithmetic(self, text: str, at: int) -> int:
        char = text[at]
        if char == "(":
            self._parentheses[-1] += 1
        elif char == ")":
            if self._parentheses[-1]:
                self._parentheses[-1] -= 1
            elif text.startswith("))", at):
                self._close()
                self._moved("x", in_word=True)
                return 2
            else:
                raise NotSafe("arithmetic that does not end in )) is not understood")
        self._moved(char, in_word=True)
        return 1

    def _in_code(self, text: str, at: int) -> int:
        char, top = text[at], self._frames[-1]
        if self._in_word is None and text.startswith(_AT_WORD_START, at):
            raise NotSafe(f"whether {char} begins a word depends on the template: put a blank or a quote before it")
        if char == "#" and not self._in_word:
            self._open(_COMMENT)
            return 1
        if char == "\n" and self._pending:
            self._moved("\n", in_word=False)
            self._open(_BODY)
            return 1
        if text.startswith("<<", at) and not text.startswith("<<<", at):
            return self._here_document(text, at)
        if text.startswith("<<<", at):
            self._moved("x", in_word=False)
            return 3
        if self._in_word is False:
            if text.startswith("((", at):
                self._open(_ARITHMETIC)
                self._moved("(", in_word=False)
                return 2
            if re.match(r"\[\[\s", text[at : at + 3]):
                self._open(_CONDITION)
                self._moved("x", in_word=False)
                return 2
            if top == _CONDITION and text.startswith("]]", at):
                self._close()
                self._moved("x", in_word=True)
                return 2
            if len(self._frames) > 1 and re.match(r"case\s", text[at : at + 5]):
                raise NotSafe("`case` within $(...) is not understood: put it in a function")
        if char in "()" and len(self._frames) > 1:  # at the top, `)` may belong to a pattern of `case`
            self._parentheses[-1] += 1 if char == "(" else -1
            if self._parentheses[-1] < 0:
                self._close()
                self._moved("x", in_word=True)
                return 1
        self._moved(char, in_word=char not in _SEPARATORS)
        return 1

    def _here_document(self, text: str, at: int) -> int:
        found = _HERE.match(text, at)
        if found is None:
            raise NotSafe("the delimiter of a here-document must be plain text: <<'NAME'")
        self._pending.append(_HereDocument(found[2] or found[3] or found[4], bool(found[1])))
        self._moved("x", in_word=True)
        return found.end() - at

    def _in_body(self, char: str) -> int:
        if char != "\n":
            self._line += char
            return 1
        line = self._line.lstrip("\t") if self._pending[0].strips_tabs else self._line
        self._line = ""
        if line == self._pending[0].delimiter:
            del self._pending[0]
            if not self._pending:
                self._close()
                self._moved("\n", in_word=False)
        return 1
