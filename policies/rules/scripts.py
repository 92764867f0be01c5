"""Reads shell scripts as far as the policies need: their lines, and which secrets they print.

It is not a shell parser: it knows the usual ways to write such scripts, and reports a finding when in doubt.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
from collections.abc import Iterable

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


def plain(script: str) -> str:
    """``script`` as its author wrote it: without the quoting that one shell needs to hand it to another."""
    return script.replace("'\"'\"'", "'").replace("'\\''", "'")


def lines_with(texts: Iterable[str], lines: list[tuple[int, str]]) -> list[int]:
    """Indices of the lines that hold one of ``texts``: far cheaper than an expression on every line."""
    whole = "\n".join(line for _, line in lines)
    ends = list(itertools.accumulate(len(line) + 1 for _, line in lines))
    found: set[int] = set()
    for text in texts:
        start = whole.find(text)
        while start >= 0:
            index = bisect.bisect_right(ends, start)
            found.add(index)
            start = whole.find(text, ends[index])
    return sorted(found)


@functools.lru_cache(maxsize=256)
def logical_lines(script: str) -> list[tuple[int, str]]:
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


@functools.lru_cache(maxsize=2048)
def prints_a_secret(script: str) -> bool:
    """Whether standard output carries a credential: a kubeconfig, a join token, a private key."""
    markers = [marker for marker in _SECRET_MARKERS if marker in script]
    if not markers:
        return False
    lines = logical_lines(script)
    for index in lines_with(markers, lines):
        line = lines[index][1]
        for match in (_PRINTS_FILE.search(line), _PRINTS_SECRET.search(line)):
            if match is not None and not _captured(line, match.start()) and not _KEPT.search(line):
                return True
    return False


def _captured(line: str, position: int) -> bool:
    """Whether ``position`` is inside a command substitution, whose output goes into a variable or a test."""
    before = line[:position]
    return before.count("$(") > before.count(")") or before.count("`") % 2 == 1
