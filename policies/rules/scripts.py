"""Reading shell scripts as far as policies need: what they download unchecked, and which secrets they print.

Not a shell parser. It knows the ways in which such scripts are written, and where it is in doubt it reports.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_WORD = r"(?:^|[;&|({`!]|\$\(|\b(?:if|then|else|elif|do|while|until|sudo|exec|time|env|nohup|xargs)\b(?:\s+-\S+)*)\s*"
_DOWNLOAD = re.compile(rf"{_WORD}(?:\w+=\S*\s+)*(?:/usr/bin/)?(?:curl|wget2?|aria2c)\s+\S")
_INTERPRETER = r"(?:sudo\s+(?:-\S+\s+)*)?(?:/\S*/)?(?:ba|da|z|k)?sh\b|(?:/\S*/)?(?:python3?|perl|ruby|node)\b"
_PIPED = re.compile(rf"(?:curl|wget)\b[^\n]*?\|\s*(?:{_INTERPRETER})")
_SUBSTITUTED = re.compile(
    r"(?:\b(?:ba|da|z|k)?sh\s+(?:-\w+\s+)*(?:-c\s+)?|\beval\s+|\bsource\s+|(?:^|\s)\.\s+)[\"']?(?:\$\(|<\(|`)\s*(?:curl|wget)\b",
    re.MULTILINE,
)
_CHECK = re.compile(r"\b(?:sha256sum|shasum\s+-a\s*256|gsha256sum)\b[^\n]*(?:\s-c\b|\s--check\b|\s-\w*c\w*\b)")
_COMPARE = re.compile(r"\[\[?\s[^\n]*\$\((?:[^()]*\b)?(?:sha256sum|shasum\s+-a\s*256)\b")
_URL = re.compile(r"https?://([^/\s\"'?#]+)")
_LOOPBACK = re.compile(r"(?:\S+@)?(?:localhost|127(?:\.\d+){3}|\[::1\]|169\.254\.169\.254)(?::\S+)?")
_NOTHING_KEPT = re.compile(r"(?:-o|--output|-O|>)\s*/dev/null|\s(?:-I|--head|--spider|--unix-socket)\b")
_FUNCTION = re.compile(r"^(\s*)(?:function\s+)?[\w-]+\s*\(\)\s*\{\s*$")
_LINES_TO_CHECK = 15
"""A download outside a function must be checked within so many lines."""

_SECRET_FILE = (
    r"(?:/etc/rancher/k3s/k3s\.yaml|/server/(?:node-|agent-)?token\b|/etc/rancher/node/password|\.kube/config\b"
    r"|/admin\.conf\b|/id_(?:rsa|ed25519|ecdsa)\b(?!\.pub)|/server/tls/\S*\.key\b|/server/cred/\S+|\.agekey\b"
    r"|/etc/shadow\b|\.pem\.key\b)"
)
_READER = r"\b(?:cat|sed|awk|head|tail|base64|grep|tee|jq|yq|xxd|od|gzip|cut|tr|envsubst)\b"
_PRINTS_FILE = re.compile(rf"{_READER}[^\n;&]*{_SECRET_FILE}")
_PRINTS_SECRET = re.compile(
    r"\bkubectl\b[^\n;|]*\bconfig\s+view\b[^\n;|]*--raw|\bk3s\s+token\s+(?:create|generate)\b"
    r"|\bkubeadm\s+token\s+(?:create|generate)\b|\bwg\s+(?:genkey|genpsk|showconf)\b|\bage-keygen\b(?![^\n]*\s-o)"
    r"|\bopenssl\s+gen(?:rsa|pkey)\b(?![^\n]*\s-out)"
)
_KEPT = re.compile(
    r"(?<![0-9&])>{1,2}\s*(?!&|/dev/stdout)\S|\b1>{1,2}|\bsed\s+(?:-\w+\s+)*-\w*i|\bgrep\s+(?:-\w+\s+)*-\w*q"
)
"""Output that goes to a file, or nowhere."""


class Download(NamedTuple):
    """A download that nothing checks."""

    line: int
    """Line of the script, from 1."""

    why: str


def plain(script: str) -> str:
    """``script`` as its author wrote it: without the quoting that one shell needs to hand it to another."""
    return script.replace("'\"'\"'", "'").replace("'\\''", "'")


@functools.lru_cache(maxsize=2048)
def unchecked_downloads(script: str) -> tuple[Download, ...]:
    """Downloads whose content is not compared with a SHA-256 before it is used.

    Calls to the machine itself, and those that keep nothing, are no downloads.
    """
    if "curl" not in script and "wget" not in script and "aria2c" not in script:
        return ()
    lines = _logical_lines(plain(script))
    found = []
    for index, (number, line) in enumerate(lines):
        if _PIPED.search(line) or _SUBSTITUTED.search(line):
            found.append(Download(number, "is run as it arrives"))
        elif _DOWNLOAD.search(line) and not _harmless(line) and not _checked(lines, index):
            found.append(Download(number, "is not compared with a SHA-256"))
    return tuple(found)


def _logical_lines(script: str) -> list[tuple[int, str]]:
    """Lines with their numbers: continued ones joined, comments emptied."""
    lines: list[tuple[int, str]] = []
    start, text = 0, ""
    for number, line in enumerate(script.split("\n"), 1):
        start = start or number
        if line.endswith("\\"):
            text += line[:-1] + " "
            continue
        text += line
        lines.append((start, "" if text.lstrip().startswith("#") else text))
        start, text = 0, ""
    if text:
        lines.append((start, text))
    return lines


def _harmless(line: str) -> bool:
    if _NOTHING_KEPT.search(line):
        return True
    hosts = _URL.findall(line)
    return bool(hosts) and all(_LOOPBACK.fullmatch(host) for host in hosts)


def _checked(lines: list[tuple[int, str]], index: int) -> bool:
    """Whether a check follows, in the same function or within reach, and before the next download."""
    end = _end_of_function(lines, index)
    limit = end if end is not None else index + 1 + _LINES_TO_CHECK
    for position in range(index, min(limit, len(lines))):
        line = lines[position][1]
        if position > index and _DOWNLOAD.search(line) and not _harmless(line):
            return False
        if _CHECK.search(line) or _COMPARE.search(line):
            return True
    return False


def _end_of_function(lines: list[tuple[int, str]], index: int) -> int | None:
    """Index of the line that closes the function around ``index``, or None outside of any."""
    for start in range(index, -1, -1):
        opening = _FUNCTION.match(lines[start][1])
        if opening is None:
            continue
        closing = opening[1] + "}"
        for end in range(start + 1, len(lines)):
            if lines[end][1].rstrip() == closing:
                return end if end > index else None
        return None
    return None


@functools.lru_cache(maxsize=2048)
def prints_a_secret(script: str) -> bool:
    """Whether standard output carries a credential: a kubeconfig, a join token, a private key."""
    for _, line in _logical_lines(plain(script)):
        for match in (_PRINTS_FILE.search(line), _PRINTS_SECRET.search(line)):
            if match is not None and not _captured(line, match.start()) and not _KEPT.search(line):
                return True
    return False


def _captured(line: str, position: int) -> bool:
    """Whether ``position`` is inside a command substitution, whose output goes into a variable or a test."""
    before = line[:position]
    return before.count("$(") > before.count(")") or before.count("`") % 2 == 1
