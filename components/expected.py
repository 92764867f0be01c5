"""What scripts leave on a host, as plain values: what `edge drift` checks. Pure.

A part derives it from the same values that it renders into its scripts, so that a host is described once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from components.shell import render, written

Kind = Literal["content", "mode", "link", "sysctl", "active", "enabled", "one active", "setting", "package"]


@dataclass(frozen=True)
class Expected:
    """One fact about a host that can be checked."""

    kind: Kind
    name: str
    """Path, kernel setting, systemd unit or package; of `one active` several units, with blanks between; of
    `setting` a path and a key, with a blank between."""
    value: str
    """SHA-256 of a file's content; mode such as `0600`; a link's target; a setting's value; a unit's state; the version
    of a Debian package."""
    called: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Readable names of values: for example, the release that a SHA-256 belongs to."""
    text: str | None = field(default=None, compare=False, repr=False)
    """The content of a file that holds no secret and is not downloaded."""


def file(path: str, mode: str, text: str | None) -> tuple[Expected, ...]:
    """A file written by ``put_file``. One with a secret has no ``text`` here: only its existence is checked."""
    if text is None:
        return (Expected("mode", path, mode),)
    whole = written(text)
    sha256 = hashlib.sha256(whole.encode()).hexdigest()
    return Expected("content", path, sha256, text=whole), Expected("mode", path, mode)


def settings(path: str, mode: str, text: str) -> tuple[Expected, ...]:
    """A file written by ``put_settings``: our lines `KEY=VALUE`, beside those of others."""
    lines = (line.partition("=") for line in text.splitlines())
    return (
        *(Expected("setting", f"{path} {key}", value) for key, _, value in lines),
        Expected("mode", path, mode, text=written(text)),
    )


def download(path: str, mode: str, sha256: str, releases: Mapping[str, str] | None = None) -> tuple[Expected, ...]:
    """A file left by ``fetch``; ``releases`` are the known ones by SHA-256."""
    return Expected("content", path, sha256, releases or {}), Expected("mode", path, mode)


def unit(name: str) -> tuple[Expected, ...]:
    """A systemd unit of ours: active now, and enabled for the next boot."""
    return Expected("active", name, "active"), Expected("enabled", name, "enabled")


def one_active(*names: str) -> Expected:
    """One of several units is active: those of programs that exclude each other."""
    return Expected("active" if len(names) == 1 else "one active", " ".join(names), "active")


def probe() -> str:
    """The probe's script: reads ``asked`` on standard input, prints what ``answers`` parses, changes nothing."""
    return render("probe.sh.j2")


def asked(expected: Sequence[Expected]) -> str:
    """Input of the probe: a kind and a name on each line."""
    return "".join(f"{one.kind}\t{one.name}\n" for one in expected)


def answers(printed: str) -> dict[tuple[str, str], str]:
    """What the probe found, by kind and name. What does not exist is left out."""
    rows = (line.split("\t", 2) for line in printed.splitlines())
    return {(row[0], row[1]): row[2] for row in rows if len(row) == 3}


def differences(
    expected: Sequence[Expected], found: Mapping[tuple[str, str], str]
) -> list[tuple[Expected, str | None]]:
    """What is not as expected, with what is there instead; None where there is nothing."""
    differing = [(one, value) for one in expected if (value := found.get((one.kind, one.name))) != one.value]
    gone = {one.name for one, value in differing if one.kind == "content" and value is None}
    # A missing file has no mode either: it is reported once.
    return [(one, value) for one, value in differing if not (one.kind == "mode" and one.name in gone)]
