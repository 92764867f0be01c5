"""Finds credentials in plain text: by their shape (``sitefile.secret_patterns``), or by name and randomness.

Returns the kind of credential that was found, never the credential.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from collections import Counter
from collections.abc import Iterator

from sitefile.secret_patterns import SECRET_KEYS, SECRET_NAME, SECRET_PATTERNS, SECRET_WORDS, decoded_texts

_NAMES = (*SECRET_WORDS, "key")
_BEFORE_KEY = re.compile(rf"(?:{'|'.join(SECRET_KEYS)})[-_.]?$")

_VALUE = r"[\"']?(?P<value>[^\s\"'`$;&|<>(){}\[\],\\]{8,})"
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
    r"|sha256[:-][0-9a-f]{64}"  # digests
    r"|\w+://.*"
    r"|ENC\[.*"
    r"|-.*"
    r"|[*.xX_-]+"
)
_BITS_PER_CHARACTER = 2.5
"""Below this a value is a word or filler, not a random string."""

_SENSITIVE_KEY = re.compile(
    rf"{SECRET_NAME}|private"
    r"|\.key$|^key$|^identity$|\.agekey$|^kubeconfig$|^\.?dockerconfigjson$|^\.dockercfg$",
    re.IGNORECASE,
)
_PUBLIC_KEY_NAME = re.compile(
    r"\.pub$|\.asc$|public|[-_](?:name|path|id|file)$|sha256|hash|digest|checksum|fingerprint", re.IGNORECASE
)


@functools.lru_cache(maxsize=4096)
def credential_in(text: str) -> str | None:
    """What kind of credential ``text`` holds, in words; None for none."""
    found = _in_plain_text(text)
    if found is not None:
        return found
    hidden = (_in_plain_text(plain) for _, plain in decoded_texts(text))
    return next((f"{what}, in base64," for what in hidden if what is not None), None)


def _in_plain_text(text: str) -> str | None:
    for pattern in SECRET_PATTERNS:
        if pattern.marker in text and pattern.in_script.search(text) is not None:
            return pattern.what
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
    one_word = len(text) >= 8 and re.search(r"\s", text) is None
    return "a password or token by its name" if one_word and is_sensitive_key(key) and looks_random(text) else None


def is_sensitive_key(key: str) -> bool:
    """Whether a key of a Secret names something that must stay secret, rather than a name or a public key."""
    return _SENSITIVE_KEY.search(key) is not None and _PUBLIC_KEY_NAME.search(key) is None


def looks_random(value: str) -> bool:
    """Whether ``value`` is a random string: enough entropy, digits among letters, and no known harmless form."""
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
