"""Finds what a shell script fetches from elsewhere and does not check.

It is not a shell parser: it knows the usual ways to fetch and to check, and reports a finding when in doubt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from policies.rules.scripts import logical_lines

Lines = list[tuple[int, str]]
"""Logical lines of a script, each with its number."""

_REACH = 15
"""What is fetched outside of a function must be checked within so many lines."""

_START = r"(?<![\w$@{.-])(?:[\w./-]*/)?"
"""Where a program's name may begin, with the path to it."""
_TRANSFER = re.compile(
    rf"{_START}(?:curl|wget2?|aria2c|axel|lynx|w3m|https?)(?=\s)[^\n]*(?:\w+://|\$|\s--config\b|\s-K\b|\s(?:[\w-]+\.)+[\w-]+/)"
)
_COPY = re.compile(
    rf"{_START}(?:scp|sftp|rsync)\s[^\n]*(?:\S:|://)"
    rf"|{_START}(?:aws\s+(?:\S+\s+)*s3\s+(?:cp|sync)|gsutil\s+(?:\S+\s+)*(?:cp|rsync)|rclone\s+copy\w*|mc\s+cp)\s"
    rf"|{_START}az\s+storage\s+blob\s+download|{_START}(?:oras|crane|skopeo)\s+(?:pull|copy|export|blob)\b"
    rf"|{_START}(?:nc|ncat|netcat|socat|tftp|ftp)\s[^\n]*(?:>|\bget\b|-c)|/dev/tcp/"
)
_CODE = re.compile(
    r"\burllib\d?\.request\b|\burl(?:open|retrieve)\b|\brequests\.(?:get|post|request|Session)\b|\bhttp\.client\b"
    r"|\bhttpx\.|LWP::|\bHTTP::Tiny\b|\bNet::HTTP\b|\bopen-uri\b|\bURI\.open\b|file_get_contents\([\"']?http"
)
_CLONE = re.compile(rf"{_START}git(?:\s+-\S+(?:\s+[^\s-]\S*)??)*\s+(?:clone|fetch|pull|submodule)\b")
_INSTALL = re.compile(
    rf"{_START}(?:pip3?|pipx|uv\s+(?:pip|tool))\s+(?:-\S+\s+)*install\s(?![^\n]*--require-hashes)"
    rf"|-m\s+pip\s+(?:-\S+\s+)*install\s(?![^\n]*--require-hashes)"
    rf"|{_START}(?:npm|pnpm|yarn)\s+(?:-\S+\s+)*(?:install|i|add|global)\s|{_START}npx\s"
    rf"|{_START}(?:gem|cargo|go)\s+install\s"
    rf"|{_START}(?:rpm|dnf|yum|zypper|apt|apt-get|apk|snap|flatpak)\s[^\n]*"
    r"(?:https?://|--allow-unauthenticated|--nogpgcheck|--no-gpg-checks?|--allow-untrusted|--dangerous)"
    r"|\[[^\]\n]*trusted=yes|\bgpgcheck\s*=\s*(?:0|no|false)"
)
_MARKERS = (
    *(
        "curl ",
        "wget",
        "aria2c ",
        "axel ",
        "lynx ",
        "w3m ",
        "http ",
        "https ",
        "scp ",
        "sftp ",
        "rsync ",
        "s3 ",
        "gsutil",
    ),
    *(
        "rclone ",
        "mc ",
        "blob ",
        "oras ",
        "crane ",
        "skopeo ",
        "nc ",
        "ncat ",
        "netcat ",
        "socat ",
        "ftp ",
        "/dev/tcp/",
    ),
    *("urllib", "urlopen", "urlretrieve", "requests.", "http.client", "httpx.", "LWP::", "HTTP::Tiny", "Net::HTTP"),
    *(
        "open-uri",
        "URI.open",
        "file_get_contents",
        "git ",
        "install ",
        "npm ",
        "npx ",
        "yarn ",
        "--allow-u",
        "gpgcheck",
    ),
    *("--no-gpg-check", "--nogpgcheck", "--dangerous", "trusted=", "rpm ", "dnf ", "yum ", "zypper ", "apt "),
    *("apk ", "apt-get ", "snap ", "flatpak "),
)
"""Text without which no line can match."""

_INTERPRETER = r"(?:sudo\s+(?:-\S+\s+)*)?(?:/\S*/)?(?:ba|da|z|k)?sh\b|(?:/\S*/)?(?:python3?|perl|ruby|node)\b"
_PIPED = re.compile(rf"(?:curl|wget)\b[^\n]*?\|\s*(?:{_INTERPRETER})")
_SUBSTITUTED = re.compile(
    r"(?:\b(?:ba|da|z|k)?sh\s+(?:-\w+\s+)*(?:-c\s+)?|\beval\s+|\bsource\s+|(?:^|\s)\.\s+)[\"']?(?:\$\(|<\(|`)\s*(?:curl|wget)\b",
    re.MULTILINE,
)

_SUM = r"(?:g?sha(?:256|512)sum|shasum\s+-a\s*(?:256|512))"
_CHECK = re.compile(rf"\b{_SUM}\b[^\n]*(?:\s-c\b|\s--check\b|\s-\w*c\w*\b)")
_COMPARE = re.compile(rf"\[\[?\s[^\n]*\$\((?:[^()]*\b)?{_SUM}\b")
_NO_CHECK = re.compile(rf"\|\|\s*(?:true\b|:(?:\s|$)|echo\b|printf\b)|\b{_SUM}\s+[^-|\s][^|\n]*\|\s*{_SUM}\b")
"""A check that changes nothing: its failure is ignored, or a file is compared with itself."""
_COMMIT_CHECK = re.compile(
    r"\bgit\b[^\n]*\b(?:verify-commit|verify-tag|merge\s[^\n]*--verify-signatures|pull\s[^\n]*--verify-signatures)\b"
    r"|\bgit\b[^\n]*\b(?:checkout|reset|switch)\s[^\n]*(?:\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b|\$\{?\w*(?:commit|sha\d*)\w*)",
    re.IGNORECASE,
)

_URL = re.compile(r"\w+://([^/\s\"'?#]+)([^\s\"'?#;|&)]*)")
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
_OUTPUT = re.compile(
    r"(?:\s-[a-zA-Z]*o|\s--output(?:-document|-file)?[=\s]|\s-O(?=\s*[^-\s])|\s--out[=\s]|(?<![0-9&<])>{1,2}(?!&))"
    r"\s*[\"']?([^\s\"';|&)<>]+)"
)
_BY_ITS_OWN_NAME = re.compile(r"\s(?:-[a-zA-Z]*O|--remote-name(?:-all)?)(?=\s|$)|^\s*(?:\S+\s+)*wget2?\b(?![^\n]*\s-O)")
_SEPARATOR = re.compile(r";|&&|\|\|")
_FUNCTION = re.compile(r"^(\s*)(?:function\s+)?[\w-]+\s*\(\)\s*\{\s*$")


class Download(NamedTuple):
    """A download that nothing checks."""

    line: int
    """Line of the script, from 1."""

    why: str


@functools.lru_cache(maxsize=2048)
def unchecked_downloads(script: str) -> tuple[Download, ...]:
    """What is fetched and not compared with a SHA-256, or verified by a signature, before it is used.

    The check must name the file that was fetched. Calls to the machine itself, calls that store nothing, and answers
    from a secret address do not count as downloads.
    """
    lines = logical_lines(script.replace("\t", " "))
    indices = [index for index, (_, line) in enumerate(lines) if _may_fetch(line)]
    return tuple(Download(lines[index][0], why) for index, why in _found(lines, indices))


def _found(lines: Lines, indices: list[int]) -> Iterator[tuple[int, str]]:
    for index in indices:
        how, commands = _read(lines[index][1])
        if how == "piped":
            yield index, "is run as it arrives"
        elif how == "clone":
            if not _within_reach(lines, index, lambda text: _COMMIT_CHECK.search(text) is not None):
                yield index, "is a clone of which neither a commit's hash nor a signature is checked"
        elif how == "install":
            yield index, "is installed without the hash or the signature of its package"
        for command in commands:
            if not _checked(lines, index, _names(command)):
                yield index, "is not compared with a SHA-256"


@functools.lru_cache(maxsize=8192)
def _may_fetch(line: str) -> bool:
    """Whether the line is worth a closer look. Scripts have most of their lines in common."""
    return any(marker in line for marker in _MARKERS)


@functools.lru_cache(maxsize=8192)
def _read(line: str) -> tuple[str, tuple[str, ...]]:
    """How a line fetches, and its commands that keep a file."""
    if _PIPED.search(line) or _SUBSTITUTED.search(line):
        return "piped", ()
    if _CLONE.search(line):
        return "clone", ()
    if _INSTALL.search(line):
        return "install", ()
    if _CODE.search(line) and not _of_this_machine(line):
        # Code has separators of its own.
        return "", (line,)
    if not (_TRANSFER.search(line) or _COPY.search(line)):
        return "", ()
    parts = (part for part in _SEPARATOR.split(line) if _TRANSFER.search(part) or _COPY.search(part))
    return "", tuple(part for part in parts if not _harmless(part))


def _harmless(command: str) -> bool:
    return bool(_NOTHING_KEPT.search(command) or _SECRET_ADDRESS.search(command)) or _of_this_machine(command)


def _of_this_machine(command: str) -> bool:
    hosts = [host for host, _ in _URL.findall(command)]
    return bool(hosts) and all(_LOOPBACK.fullmatch(host) for host in hosts)


def _names(command: str) -> set[str]:
    """The files that a command writes, as a check may name them; none where that cannot be told."""
    found = set(_OUTPUT.findall(command))
    if not found and _BY_ITS_OWN_NAME.search(command):
        found = {path for _, path in _URL.findall(command)}
    if not found and _COPY.search(command):
        found = {command.split()[-1].strip("\"'")}
    plain = {name.replace("{", "").replace("}", "").strip("\"'") for name in found}
    return {name for whole in plain for name in (whole, whole.rpartition("/")[2]) if name not in ("", ".", "-")}


def _checked(lines: Lines, index: int, names: set[str]) -> bool:
    """Whether a check of one of the files follows, in the same function or within reach."""
    if not names:
        return False
    named = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names))})(?![\w.-])")

    def check(text: str) -> bool:
        if not (_CHECK.search(text) or _COMPARE.search(text)) or _NO_CHECK.search(text):
            return False
        return named.search(text.replace("${", "$").replace("}", "")) is not None

    return _within_reach(lines, index, check)


def _within_reach(lines: Lines, index: int, holds: Callable[[str], bool]) -> bool:
    end = _end_of_function(lines, index)
    limit = min(end if end is not None else index + 1 + _REACH, len(lines))
    for position in range(index, limit):
        text = lines[position][1]
        if "<<" in text:
            # A check may read its list from the lines that follow.
            text = " ".join(line for _, line in lines[position : position + _REACH])
        if holds(text):
            return True
    return False


def _end_of_function(lines: Lines, index: int) -> int | None:
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
