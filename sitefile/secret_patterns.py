"""What a secret looks like in plain text. The one list, whoever looks for them; standard library only."""

from __future__ import annotations

import re
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
    _pattern("K3s token", "K10", r"\bK10[0-9A-Za-z]*::[\w-]+:\S+"),
    _pattern("Grafana Cloud token", "glc_", r"glc_[\w+/=-]{8,}"),
    _pattern("Grafana service account token", "glsa_", r"glsa_[\w+/=-]{8,}"),
    _pattern("Git token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,}|\bgh[pousr]_[\w-]{8,}"),
    _pattern("Git token", "github_pat_", r"github_pat_[\w-]{8,}"),
    _pattern("Git token", "glpat-", r"glpat-[\w-]{8,}"),
    _pattern("AWS key", "AKIA", r"\bAKIA[0-9A-Z]{12,}"),
    _pattern("AWS key", "ASIA", r"\bASIA[0-9A-Z]{12,}"),
    _pattern("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}"),
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

SECRET_WORDS = ("password", "passwd", "passphrase", "token", "secret", "credential")
SECRET_KEYS = ("private", "api", "access", "auth")
"""Which key is meant: there are many keys that open nothing."""

SECRET_NAME = rf"{'|'.join(SECRET_WORDS)}|(?:{'|'.join(SECRET_KEYS)})[-_.]?key"
"""What is in a name whose value is a secret, as an expression to be matched in any case."""
