"""How long the client certificate of a kubeconfig is good, and what to do about one that is not. Pure.

K3s' client certificates last a year, and K3s renews them at a start within the last 120 days only. The kubeconfig that
a stack holds is a copy, which nobody renews by itself.
"""

from __future__ import annotations

import base64
import binascii
import functools
import shlex
from dataclasses import dataclass
from datetime import datetime

import yaml

_KEPT = 4
"""A certificate is due for renewal in the last quarter of its life: 91 days before the end of a year."""


@dataclass(frozen=True)
class Credential:
    """The life of a client certificate, in UTC."""

    begins: datetime
    ends: datetime

    @property
    def due(self) -> datetime:
        """From when on it is renewed."""
        return self.ends - (self.ends - self.begins) / _KEPT

    @property
    def until(self) -> str:
        return f"{self.ends:%Y-%m-%d %H:%M} UTC"


@functools.lru_cache(maxsize=8)
def credential_of(kubeconfig: str) -> Credential | None:
    """None where it holds no client certificate, as in a rehearsal. Raises ValueError for one that cannot be read."""
    from cryptography import x509

    if "client-certificate-data" not in kubeconfig:
        return None
    try:
        document = yaml.load(kubeconfig, Loader=yaml.CSafeLoader)
        (user,) = document["users"]
        certificate = x509.load_pem_x509_certificate(base64.b64decode(user["user"]["client-certificate-data"]))
    except (yaml.YAMLError, KeyError, TypeError, binascii.Error, ValueError) as error:
        # The messages of these may quote what they could not read.
        raise ValueError(f"the client certificate cannot be read ({type(error).__name__})") from None
    return Credential(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def refusal(kubeconfig: str, site: str, urn: str, now: datetime) -> str | None:
    """Why nothing in the cluster of ``site`` can be changed with a kubeconfig, and the way on; None where it can.

    ``urn`` is the resource that reads the kubeconfig.
    """
    try:
        found = credential_of(kubeconfig)
    except ValueError as error:
        return f"the kubeconfig that the stack of {site} holds cannot be used: {error}. {_way(site, urn)}"
    if found is None or now < found.ends:
        return None
    return (
        f"the kubeconfig that the stack of {site} holds was valid until {found.until}: nothing in the cluster can be "
        f"changed with it. {_way(site, urn)}"
    )


def warning(kubeconfig: str, site: str, urn: str, now: datetime) -> str | None:
    """What to say of a kubeconfig that is due for renewal; None where it is not."""
    found = credential_of(kubeconfig)
    if found is None or now < found.due:
        return None
    return f"the kubeconfig that the stack of {site} holds is valid until {found.until}. {_way(site, urn)}"


def _way(site: str, urn: str) -> str:
    return f"`edge up {site}` reads a new one; so does `pulumi up --stack {site} --replace {shlex.quote(urn)}`"
