"""Reads shell scripts as far as the policies need: what they download unchecked, and which secrets they print.

It is not a shell parser: it knows the usual ways to write such scripts, and reports a finding when in doubt.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_WORD = (
    r"(?:^|\s-c\s+[\"']|[;&|({`!]|\$\("
    r"|\b(?:if|then|else|elif|do|while|until|sudo|exec|time|env|nohup|xargs)\b(?:\s+-\S+)*)\s*"
)
"""Where a command's name may be."""

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
_SECRET_ADDRESS = re.compile(
    r"^(?=.*\s--config\s+-(?:\s|$))(?=.*\s--proto\s+=https(?:\s|$))"
    r"(?!.*(?:\s-k\b|\s--insecure\b|\s-o\b|\s--output\b|\s-O\b|>))"
    r"(?!.*\|(?!\s*(?:curl|head)\s))"
)
"""An address that is a secret of the stack, handed to curl by standard input, over verified https, into no file and no
other program than `head`: an answer that a known server makes for this stack alone, such as an import manifest. No
checksum of it is published."""

_TOOLS = ("curl", "wget", "aria2c")
_SEPARATOR = re.compile(r";|&&|\|\|")
_FUNCTION = re.compile(r"^(\s*)(?:function\s+)?[\w-]+\s*\(\)\s*\{\s*$")
_LINES_TO_CHECK = 15
"""A download outside a function must be checked within so many lines."""

_SECRET_FILE = (
    r"(?:/etc/rancher/k3s/k3s\.yaml|/server/(?:node-|agent-)?token\b|/etc/rancher/node/password|\.kube/config\b"
    r"|/admin\.conf\b|/id_(?:rsa|ed25519|ecdsa)\b(?!\.pub)|/server/tls/\S*\.key\b|/server/cred/\S+|\.agekey\b"
    r"|/etc/shadow\b|\.pem\.key\b)"
)
_SECRET_MARKERS = (
    *("k3s.yaml", "token", "node/password", ".kube/config", "admin.conf", "/id_", "/server/tls/", "/server/cred/"),
    *(".agekey", "/etc/shadow", ".pem.key", "--raw", "wg ", "age-keygen", "openssl"),
)
"""Text without which nothing below can match."""

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


@functools.lru_cache(maxsize=128)
def unchecked_downloads(script: str) -> tuple[Download, ...]:
    """Downloads whose content is not compared with a SHA-256 before it is used.

    Calls to the machine itself, calls that store nothing, and answers from a secret address do not count as downloads.
    """
    tools = [tool for tool in _TOOLS if tool in script]
    if not tools:
        return ()
    lines = _logical_lines(script)
    found = []
    for index in _lines_with(tools, lines):
        number, line = lines[index]
        if _PIPED.search(line) or _SUBSTITUTED.search(line):
            found.append(Download(number, "is run as it arrives"))
        elif _downloads(line) and not _checked(lines, index):
            found.append(Download(number, "is not compared with a SHA-256"))
    return tuple(found)


def _lines_with(texts: list[str], lines: list[tuple[int, str]]) -> list[int]:
    """Indices of the lines that hold one of ``texts``: far cheaper than an expression on every line."""
    found: set[int] = set()
    for text in texts:
        found.update(index for index, (_, line) in enumerate(lines) if text in line)
    return sorted(found)


@functools.lru_cache(maxsize=16)
def _logical_lines(script: str) -> list[tuple[int, str]]:
    """Lines with their numbers: continued ones joined, comments emptied."""
    lines: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, line in enumerate(plain(script).split("\n"), 1):
        if pending or line[-1:] == "\\":
            pending, first = pending + line.removesuffix("\\") + " ", first or number
            if line[-1:] == "\\":
                continue
            line, number, pending, first = pending, first, "", 0
        lines.append((number, "" if line.lstrip()[:1] == "#" else line))
    if pending:
        lines.append((first, pending))
    return lines


def _downloads(line: str) -> bool:
    """Whether any command of the line fetches something from elsewhere and keeps it."""
    if "curl" not in line and "wget" not in line and "aria2c" not in line:
        return False
    return any(_DOWNLOAD.search(command) and not _harmless(command) for command in _SEPARATOR.split(line))


def _harmless(command: str) -> bool:
    if _NOTHING_KEPT.search(command) or _SECRET_ADDRESS.search(command):
        return True
    hosts = _URL.findall(command)
    return bool(hosts) and all(_LOOPBACK.fullmatch(host) for host in hosts)


def _checked(lines: list[tuple[int, str]], index: int) -> bool:
    """Whether a check follows, in the same function or within reach, and before the next download."""
    end = _end_of_function(lines, index)
    limit = end if end is not None else index + 1 + _LINES_TO_CHECK
    for position in range(index, min(limit, len(lines))):
        line = lines[position][1]
        if position > index and _downloads(line):
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


@functools.lru_cache(maxsize=128)
def prints_a_secret(script: str) -> bool:
    """Whether standard output carries a credential: a kubeconfig, a join token, a private key."""
    markers = [marker for marker in _SECRET_MARKERS if marker in script]
    if not markers:
        return False
    lines = _logical_lines(script)
    for index in _lines_with(markers, lines):
        line = lines[index][1]
        for match in (_PRINTS_FILE.search(line), _PRINTS_SECRET.search(line)):
            if match is not None and not _captured(line, match.start()) and not _KEPT.search(line):
                return True
    return False


def _captured(line: str, position: int) -> bool:
    """Whether ``position`` is inside a command substitution, whose output goes into a variable or a test."""
    before = line[:position]
    return before.count("$(") > before.count(")") or before.count("`") % 2 == 1
