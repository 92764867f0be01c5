"""A template's values are data: bash itself says where each of them stands, and gives each of them back unchanged."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import shell
from components.shell import Script, environment, here_document
from components.shell_context import Context, State

COMPONENTS = Path(shell.__file__).parent
TEMPLATES = sorted(str(path.relative_to(COMPONENTS)) for path in COMPONENTS.rglob("*.j2"))

# What bash reads without complaint in one place only: in any other, a quote stays open or a line begins with `)`.
PROBES = {
    Context.WORD: "'\"\n)'",
    Context.DOUBLE_QUOTES: "'\n)",
    Context.COMMENT: "'\"$((",
    Context.ARITHMETIC: "1",
}


def complains(script: str) -> str:
    """What bash says of a script that it does not run; empty for a good one."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    return done.stderr


def places(template: str) -> list[str | Context]:
    """A template as text and places for values, with every branch taken, one after the other."""
    source = (COMPONENTS / template).read_text()
    found: list[str | Context] = []
    state, inside = State(), False
    for _, kind, text in environment().lex(source):
        if kind == "data":
            state = state.read(text)
            found.append(text)
        elif kind == "variable_begin":
            found.append(state.context())
            state, inside = state.after_value(), True
        elif kind == "variable_end":
            inside = False
    assert not inside
    return found


def filled(pieces: list[str | Context], probed: int | None = None) -> str:
    return "".join(
        piece if isinstance(piece, str) else (PROBES[piece] if at == probed else "1") for at, piece in enumerate(pieces)
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_bash_agrees_where_each_value_of_a_template_stands(template: str) -> None:
    pieces = places(template)
    assert complains(filled(pieces)) == ""
    for at, piece in enumerate(pieces):
        if isinstance(piece, Context):
            assert complains(filled(pieces, at)) == "", (template, piece, filled(pieces, at)[:2000])


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ('say "{} x"', PROBES[Context.WORD]),
        ("say {} x", PROBES[Context.DOUBLE_QUOTES]),
        ('say "{}"', PROBES[Context.COMMENT]),
        ("say {}", PROBES[Context.COMMENT]),
        ("# {}", PROBES[Context.WORD]),
        ("# {}", PROBES[Context.DOUBLE_QUOTES]),
    ],
)
def test_bash_complains_of_a_value_written_for_another_place(text: str, probe: str) -> None:
    assert complains(text.replace("{}", probe) + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "say '{{ x }}'",
        "say $'{{ x }}'",
        "cat <<'END'\n{{ x }}\nEND\n",
        "cat <<END\n{{ x }}\nEND\n",
        "cat <<{{ x }}\n",
        'say "${1:-{{ x }}}"',
        "say ${1:-{{ x }}}",
        "[[ $a -eq {{ x }} ]]",
        "say ${{ x }}",
        'say "${{ x }}"',
        "say \\{{ x }}",
        "say `echo {{ x }}`",
        "say $(case a in {{ x }}) ;; esac)",
        'say "{% if x %}a" b {% endif %}c"',
        "say {% if x %}'{% endif %}a'",
        "{% for y in [1] %}say {{ x }}{% endfor %}",
        "say {% if x %}a{% endif %}# {{ x }}",
        "say '{% include 'probe.sh.j2' %}'",
        "{% set y = 1 %}",
        'say "{{ x }}',
        "cat <<'END'\n",
    ],
)
def test_a_template_does_not_load_with_a_value_where_no_quoting_is_safe(text: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        environment().from_string(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("say $((1 + {{ x }}))", "a[$(id)]"),
        ("((y = {{ x }}))", "1"),
        ("((y = {{ x }}))", True),
        ('say "{{ x }}"', Script("$(id)")),
        ("# {{ x }}", Script("\nid")),
        ("say {{ x }}", None),
        ("say {{ x }}", 1.5),
        ("say {{ x }}", True),
        ("say {{ x }}", "a\0b"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(text: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        environment().from_string(text).render(x=value)


def test_a_file_cannot_hold_what_no_script_can() -> None:
    with pytest.raises(ValueError, match="NUL"):
        here_document("a\0b")


def test_text_made_of_a_script_is_no_script() -> None:
    part = Script("$(id)")
    for text in (part + "", "" + part, f"{part}", part.strip(), part.replace("x", "y"), ",".join([part])):
        assert environment().from_string("say {{ x }}").render(x=text) == "say '$(id)'"


_EVERYWHERE = """# {{ x }}
show() { printf '%s\\0' "$@"; }
a={{ x }} b="{{ x }}" c=x{{ x }}y
for each in {{ several }}; do show "$each"; done
show "$a" "$b" "${c:1:${#c}-2}" {{ x }} "a {{ x }} $(show {{ x }} | tr -d '\\0') \\"{{ x }}" # {{ x }}
show "$(printf '%s' "{{ x }}"; echo .)"
if [ {{ x }} = "$a" ]; then show yes; fi
cat {{ file }}
{% if x %}show {{ x }}{% else %}show "{{ x }}"{% endif %}

"""


@settings(deadline=None, max_examples=60)
@given(
    value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
    | st.text("'\"$`\\!#&|;<>(){}[]*?~=% \t\n\rax-", max_size=30)
)
def test_bash_gives_every_value_back_as_it_was(value: str) -> None:
    script = environment().from_string(_EVERYWHERE).render(x=value, several=[value, value], file=here_document(value))
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False, env={"LC_ALL": "C"})
    assert done.stderr == b""
    found = [text.decode() for text in done.stdout.split(b"\0")]
    stripped = value.rstrip("\n")
    inner = f'a {value} {stripped} "{value}'
    assert found[:6] == [value, value, value, value, value, value]
    assert found[6] == inner
    assert found[7] == value + "."
    assert found[8] == "yes"
    # A file's text ends with one newline, whatever it had.
    assert found[9] == f"{stripped}\n{value}"


def _shell_words() -> Iterator[str]:
    yield from ("plain", "", "a b", "it's", "$(id)", "`id`", '"', "\\", "a\nb", "~", "*", "-x", "é")


def test_harmless_words_stay_as_they_are() -> None:
    rendered = [environment().from_string("say {{ x }}").render(x=word) for word in _shell_words()]
    assert rendered == [f"say {shlex.quote(word)}" for word in _shell_words()]
    assert environment().from_string('say "{{ x }}/y" # {{ x }}').render(x="a-b.c") == 'say "a-b.c/y" # a-b.c'
