"""Credentials in what a cloud hands to a machine at its first boot: cloud-init, Ignition or a script.

Reads it as the machine does: out of base64 and gzip, and the files in it out of base64. Returns the kind of credential,
never the credential.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

from policies.rules.patterns import credential_in, decoded

_HOST_KEYS = re.compile(
    r"\"?(?:ed25519|ecdsa|rsa)_private\"?:\s*\"?-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----"
    r"|\"path\":\s*\"/etc/ssh/ssh_host_\w+_key\",[^{}]*\"contents\":\s*\{[^{}]*\}",
    re.DOTALL,
)
"""A machine's own SSH host key, in cloud-init's `ssh_keys` or in Ignition's `/etc/ssh`. It is the half of what the site
file pins: without it nobody could tell, at first contact, whether the machine that answers is the right one."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_MOST_BYTES = 1 << 20


def credential_in_user_data(text: str, *, may_hold_host_key: bool) -> str | None:
    """What kind of credential is in ``text``, in words; None for none."""
    for layer in _layers(text, may_hold_host_key):
        found = credential_in(layer)
        if found is not None:
            return found
    return None


def _layers(text: str, may_hold_host_key: bool) -> Iterator[str]:
    packed = "".join(text.split())
    for whole in (text, decoded(packed), _unzipped(packed)):
        if not whole:
            continue
        seen = _HOST_KEYS.sub("", whole) if may_hold_host_key else whole
        yield seen
        yield from filter(None, map(decoded, _BASE64.findall(seen)))


def _unzipped(packed: str) -> str:
    try:
        data = base64.b64decode(packed, validate=True)
        return zlib.decompressobj(wbits=31).decompress(data, _MOST_BYTES).decode("utf-8", "replace")
    except (binascii.Error, ValueError, zlib.error):
        return ""
