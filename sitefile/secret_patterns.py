"""What a secret looks like in plain text. The one list, whoever looks for them; standard library only."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple


class SecretPattern(NamedTuple):
    """One kind of secret. The expressions have no capturing group, so that several can be joined into one."""

    name: str
    marker: str
    """Text without which no expression can match: searching for it first is much faster."""

    expression: re.Pattern[str]
    in_script: re.Pattern[str]
    """The same for text in which a variable or a placeholder may stand where the secret would."""

    @property
    def what(self) -> str:
        """The name with its article."""
        return f"{'an' if self.name[0] in 'aA' else 'a'} {self.name}"


def _pattern(name: str, marker: str, expression: str, in_script: str = "") -> SecretPattern:
    return SecretPattern(name, marker, re.compile(expression), re.compile(in_script or expression))


PRIVATE_KEY = _pattern("private key", "PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")

# Expressions begin with their marker wherever that is frequent in scripts: then the search skips to it.
SECRET_PATTERNS = (
    PRIVATE_KEY,
    _pattern(
        "private key in base64",
        "LS0tLS1CRUdJTi",
        # "PRIVATE KEY" has three forms in base64, by its offset from a multiple of three bytes.
        r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]*?(?:UFJJVkFURSBLRV|QUklWQVRFIEtFW|BSSVZBVEUgS0VZ)",
    ),
    _pattern("Tailscale key", "tskey-", r"tskey-[a-z]+-[\w-]+"),
    _pattern("age key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-[0-9A-Za-z]+"),
    _pattern("K3s token", "K10", r"K10(?<=\bK10)[0-9A-Za-z]*::[\w-]+:\S+"),
    _pattern("Grafana Cloud token", "glc_", r"glc_[\w+/=-]{8,}"),
    _pattern("Grafana service account token", "glsa_", r"glsa_[\w+/=-]{8,}"),
    _pattern("Git token", "gh", r"gh[pousr]_(?:[A-Za-z0-9]{36,}|(?<=\bgh._)[\w-]{8,})"),
    _pattern("Git token", "github_pat_", r"github_pat_[\w-]{8,}"),
    _pattern("Git token", "glpat-", r"glpat-[\w-]{8,}"),
    _pattern("AWS key", "AKIA", r"\bAKIA[0-9A-Z]{12,}"),
    _pattern("AWS key", "ASIA", r"\bASIA[0-9A-Z]{12,}"),
    _pattern("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}"),
    _pattern("Azure shared access key", "SharedAccessKey=", r"SharedAccessKey=[A-Za-z0-9+/]{40,}={0,2}"),
    _pattern("Azure SAS", "sig=", r"sig=(?:[A-Za-z0-9+/]|%[0-9A-Fa-f]{2}){30,}"),
    _pattern("Stripe key", "k_live_", r"[rs]k_live_[0-9A-Za-z]{8,}"),
    _pattern("npm token", "npm_", r"\bnpm_[0-9A-Za-z]{20,}"),
    _pattern("PyPI token", "pypi-", r"pypi-AgE[\w-]{20,}"),
    _pattern("NVIDIA key", "nvapi-", r"nvapi-[\w-]{20,}"),
    _pattern("Hugging Face token", "hf_", r"\bhf_[0-9A-Za-z]{20,}"),
    _pattern("Docker token", "dckr_pat_", r"dckr_pat_[\w-]{16,}"),
    _pattern("Google key", "AIza", r"\bAIza[\w-]{35}"),
    _pattern("state backend token", "pul-", r"\bpul-[0-9a-f]{40}"),
    _pattern("Slack token", "xox", r"\bxox[abeoprs]-[\w-]{10,}"),
    _pattern("Vault token", "hvs.", r"\bhvs\.[\w-]{20,}"),
    _pattern("JSON web token", "eyJ", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"),
    _pattern(
        "password in a URL",
        "://",
        r"://[^\s/:@'\"]+:[^\s/@'\"]+@",
        in_script=r"://[^\s/:@'\"$<{]+:(?![$<{*])[^\s/@'\"]{3,}@[^\s/]",
    ),
)
"""Every kind of secret that has a shape of its own. Where two match the same text, the first one is named."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_WHOLE = re.compile(r"[A-Za-z0-9+/_\s-]{20,}={0,2}\s*")
_URL_SAFE = str.maketrans("-_", "+/")
_DEPTH = 2


def decoded_texts(text: str, depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    """Texts that stand in ``text`` in base64, once or twice: each with the characters that it stands in."""
    encoded = [match.group() for match in _BASE64.finditer(text)]
    if len(encoded) > 1 and _WHOLE.fullmatch(text):
        # One value that is folded into several lines.
        encoded.append("".join(text.split()))
    for one in encoded:
        if plain := _decoded(one):
            yield one, plain
            if depth > 1:
                yield from ((one, inner) for _, inner in decoded_texts(plain, depth - 1))


def _decoded(encoded: str) -> str:
    """Base64 undone; empty where it is not base64, or not of text."""
    whole = encoded.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


SECRET_WORDS = ("password", "passwd", "passphrase", "token", "secret", "credential")
SECRET_KEYS = ("private", "api", "access", "auth")
"""Which key is meant: there are many keys that open nothing."""

SECRET_NAME = rf"{'|'.join(SECRET_WORDS)}|(?:{'|'.join(SECRET_KEYS)})[-_.]?key"
"""What is in a name whose value is a secret, as an expression to be matched in any case."""
