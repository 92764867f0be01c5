"""What a credential looks like in plain text. Names the kind of credential that was found, never the credential."""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class _Pattern(NamedTuple):
    marker: str
    """Text without which the expression cannot match; looked for first, since that is fast."""
    expression: re.Pattern[str]
    what: str


# Expressions begin with their marker wherever that is frequent in scripts: then the search skips to it.
_PATTERNS = (
    _Pattern("PRIVATE KEY", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"), "a PEM private key"),
    _Pattern("eyJ", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"), "a JSON web token"),
    _Pattern("tskey-", re.compile(r"tskey-[a-z]+-\w{6,}"), "a Tailscale key"),
    _Pattern("glc_", re.compile(r"glc_[A-Za-z0-9+/=]{20,}"), "a Grafana Cloud token"),
    _Pattern("glsa_", re.compile(r"glsa_\w{20,}"), "a Grafana service account token"),
    _Pattern("AGE-SECRET-KEY-", re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]{20,}"), "an age secret key"),
    _Pattern("K10", re.compile(r"\bK10[0-9a-f]{20,}::\w+:\w{4,}"), "a K3s token"),
    _Pattern("AKIA", re.compile(r"\bAKIA[0-9A-Z]{16}\b"), "an AWS access key"),
    _Pattern("ASIA", re.compile(r"\bASIA[0-9A-Z]{16}\b"), "an AWS session key"),
    _Pattern("gh", re.compile(r"gh[pousr]_[A-Za-z0-9]{36,}"), "a GitHub token"),
    _Pattern("github_pat_", re.compile(r"github_pat_\w{22,}"), "a GitHub token"),
    _Pattern("glpat-", re.compile(r"glpat-[\w-]{20,}"), "a GitLab token"),
    _Pattern("xox", re.compile(r"\bxox[abeoprs]-[\w-]{10,}"), "a Slack token"),
    _Pattern("hvs.", re.compile(r"\bhvs\.[\w-]{20,}"), "a Vault token"),
    _Pattern("://", re.compile(r"://[^\s/:@'\"$<{]+:(?![$<{*])[^\s/@'\"]{3,}@[^\s/]"), "a URL with a password"),
    _Pattern("AccountKey=", re.compile(r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}"), "an Azure storage key"),
)

_NAMES = ("password", "passwd", "passphrase", "secret", "token", "key")
_BEFORE_KEY = re.compile(r"(?:api|access|auth|private)[_-]?$")
"""What makes a key one that opens something; there are many others."""

_VALUE = r"[\"']?(?P<value>[^\s\"'`$;&|<>(){}\[\],\\]{10,})"
_ASSIGNED = re.compile(rf"[\"']?\s*[:=]\s*{_VALUE}")
_ARGUMENT = re.compile(rf"\s+{_VALUE}")
_OPTION = re.compile(r"(?:^|\s)-{1,2}[\w-]*$")
_REACH = 40
"""Characters before a name in which the option that it is a part of begins."""

_ORDINARY = re.compile(
    r"[A-Za-z]+"
    # Names made of words, with an ordinary word among them: edge-token-2, otel/collector:v1
    r"|(?=(?:.*[-._/:])?[A-Za-z]{3,}(?:[-._/:]|$))(?:[A-Za-z]+|[A-Za-z0-9]{1,10})(?:[-._/:]+(?:[A-Za-z]+|[A-Za-z0-9]{1,10}))+"
    r"|(?:file:)?[~.]?/.*"  # paths
    r"|(?:sha256[:-])?[0-9a-f]{64}"  # digests
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # identifiers
    r"|\w+://.*"
    r"|ENC\[.*"
    r"|-.*"
    r"|[*.xX_-]+"
)
_BITS_PER_CHARACTER = 3.0
"""Below this a value is a word or a pattern of filler, not something that was drawn at random."""

_ENCODED_PEM = re.compile(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,}")

_SENSITIVE_KEY = re.compile(
    r"(?:password|passwd|passphrase|token|secret|credential|api[-_.]?key|access[-_.]?key|auth[-_.]?key|private"
    r"|\.key$|^key$|^identity$|\.agekey$|^kubeconfig$|^\.?dockerconfigjson$|^\.dockercfg$)",
    re.IGNORECASE,
)
_PUBLIC_KEY_NAME = re.compile(r"\.pub$|\.asc$|public|_name$|-name$|_path$|-path$", re.IGNORECASE)


@functools.lru_cache(maxsize=1024)
def credential_in(text: str) -> str | None:
    """What kind of credential ``text`` holds, in words; None for none."""
    for marker, expression, what in _PATTERNS:
        if marker in text and expression.search(text) is not None:
            return what
    if "LS0tLS1CRUdJTi" in text and any("PRIVATE KEY" in decoded(match) for match in _ENCODED_PEM.findall(text)):
        return "a PEM private key in base64"
    return "a password or token by its name" if any(map(looks_random, _named_values(text))) else None


def _named_values(text: str) -> Iterator[str]:
    """What is assigned to names such as password or api_key, or follows them as an option's argument."""
    folded = text.lower()
    if len(folded) != len(text):
        text = folded
    for name in _NAMES:
        start = folded.find(name)
        while start >= 0:
            end = start + len(name)
            if name != "key" or _BEFORE_KEY.search(folded, max(0, start - 8), start) is not None:
                match = _ASSIGNED.match(text, end)
                if match is None and _OPTION.search(folded, max(0, start - _REACH), start) is not None:
                    match = _ARGUMENT.match(text, end)
                if match is not None:
                    yield match["value"]
            start = folded.find(name, end)


def credential_under(key: str, text: str) -> str | None:
    """As ``credential_in``, for a value whose own key may already say that it is a credential."""
    found = credential_in(text)
    if found is not None:
        return found
    one_word = len(text) >= 10 and re.search(r"\s", text) is None
    return "a password or token by its name" if one_word and is_sensitive_key(key) and looks_random(text) else None


def is_sensitive_key(key: str) -> bool:
    """Whether a key of a Secret names something that must stay secret, rather than a name or a public key."""
    return _SENSITIVE_KEY.search(key) is not None and _PUBLIC_KEY_NAME.search(key) is None


def looks_random(value: str) -> bool:
    """Whether ``value`` was drawn rather than written: enough entropy, digits among letters, and no known shape."""
    if _ORDINARY.fullmatch(value) is not None or value.startswith("ssh-"):
        return False
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= _BITS_PER_CHARACTER


def decoded(text: str) -> str:
    """Base64 undone, as Kubernetes keeps binary data; nothing where it is not base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
