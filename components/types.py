"""The vocabulary of a site file: strings that mean something, checked where they are written.

Each type says what it accepts in its error, since the loader shows that error to the person who typed the value.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from components.urls import UrlOf

Arch = Literal["amd64", "arm64"]
Tier = Literal["device", "near", "far", "cloud"]


def _ascii(pattern: str) -> re.Pattern[str]:
    # Python takes an "é" for a word character and an Arabic digit for a digit; neither Kubernetes nor SSH does.
    return re.compile(pattern, re.ASCII)


_DNS_LABEL = _ascii(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOSTNAME = _ascii(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_K3S_VERSION = _ascii(r"v1\.\d{1,3}\.\d{1,3}(-rc\d+)?\+k3s\d+")
_SEMVER = _ascii(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_SHA256 = _ascii(r"[0-9a-f]{64}")
_IMAGE = _ascii(
    r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)+(:[A-Za-z0-9_][\w.-]{0,127})?@sha256:[0-9a-f]{64}"
)
_HOST_KEY = _ascii(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/]+={0,2}"
)
_LABEL_KEY = _ascii(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = _ascii(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True)
class _Matching:
    """Text of one form; the form stands in the JSON Schema, so that editors underline what does not have it."""

    pattern: re.Pattern[str]
    expected: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^({self.pattern.pattern})$"}

    def _check(self, value: str) -> str:
        if self.pattern.fullmatch(value) is None:
            raise ValueError(f"expected {self.expected}")
        return value


def _short_enough_for_a_label(value: str) -> str:
    if len(value) > 63:
        raise ValueError(f"expected at most 63 characters (it becomes a host name), this has {len(value)}")
    return value


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IPv4 or IPv6 address such as 10.20.0.11") from None


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError("expected a network in CIDR notation such as 10.42.0.0/16") from None
        raise ValueError(f"expected the network's own address: {network}") from None


def _address(value: str) -> str:
    """An IP address or a host name; four dotted numbers that are no address are a typing error, not a name."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if re.fullmatch(r"[\d.]+", value) or len(value) > 253 or _HOSTNAME.fullmatch(value) is None:
            raise ValueError(
                "expected an IP address such as 10.20.0.11, or a host name such as edge-01.example.com"
            ) from None
        return value


def _date(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a day of the calendar as YYYY-MM-DD, such as 2027-01-31") from None
    return value


DnsLabel = Annotated[
    str,
    AfterValidator(_short_enough_for_a_label),
    _Matching(_DNS_LABEL, "lower-case letters, digits and '-', beginning and ending with a letter or digit"),
]
"""RFC 1123 label, at most 63 characters: site ids, host names, Kubernetes names."""

IpAddress = Annotated[str, AfterValidator(_ip_address)]
Address = Annotated[str, AfterValidator(_address)]
"""An IP address or a host name: whatever SSH and TLS can reach."""

Cidr = Annotated[str, AfterValidator(_cidr)]
SemVer = Annotated[str, _Matching(_SEMVER, "an exact version such as 1.102.3 (no range, no 'latest')")]
K3sVersion = Annotated[str, _Matching(_K3S_VERSION, "an exact K3s release such as v1.36.3+k3s1")]
Sha256 = Annotated[str, _Matching(_SHA256, "a SHA-256 as 64 lower-case hexadecimal digits")]
ImageRef = Annotated[
    str,
    _Matching(
        _IMAGE, "an image with registry and digest, such as registry.example.com/team/app:1.2@sha256:<64 digits>"
    ),
]
HttpsUrl = Annotated[str, UrlOf(("https",))]
SshHostKey = Annotated[
    str,
    _Matching(_HOST_KEY, "a public host key as `ssh-keyscan` prints it, without the host: ssh-ed25519 AAAA..."),
]
LabelKey = Annotated[str, _Matching(_LABEL_KEY, "a Kubernetes label key")]
LabelValue = Annotated[
    str, _Matching(_LABEL_VALUE, "a Kubernetes label value: at most 63 letters, digits, '-', '_', '.'")
]
Labels = dict[LabelKey, LabelValue]
Port = Annotated[int, Field(ge=1, le=65535)]
Date = Annotated[
    str,
    AfterValidator(_date),
    _Matching(_ascii(r"\d{4}-\d{2}-\d{2}"), "a date as YYYY-MM-DD, such as 2027-01-31"),
]
"""A day, as `2027-01-31`."""

NonEmpty = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
