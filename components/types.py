"""The vocabulary of a site file: strings that mean something, checked where they are written.

Each type says what it accepts in its error, since the loader shows that error to the person who typed the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from components import addresses, node_labels, openpgp, pem, ssh_keys
from components.urls import UrlOf
from sitefile.problems import Unfit
from sitefile.spec_shape import FORM

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
_HOST_KEY = _ascii(r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/]+={0,2}")
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
        return {**handler(schema), "pattern": f"^({self.pattern.pattern})$", FORM: self.expected}

    def _check(self, value: str) -> str:
        if self.pattern.fullmatch(value) is None:
            raise ValueError(f"expected {self.expected}")
        return value


def _short_enough_for_a_label(value: str) -> str:
    if len(value) > 63:
        raise ValueError(f"expected at most 63 characters (it becomes a host name), this has {len(value)}")
    return value


def _ip_address(value: str) -> str:
    if (address := addresses.parsed(value)) is None:
        raise ValueError("expected an IPv4 or IPv6 address such as 10.20.0.11")
    return str(_without_zone(address))


def _cidr(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("expected a network in CIDR notation such as 10.42.0.0/16") from None
    if "/" not in value:
        raise Unfit(
            "it is one address, without the size of its network",
            "a network in CIDR notation such as 10.42.0.0/16",
            f"write the network that is meant; this address alone is `{network}`",
        )
    if value.partition("/")[0] != value and ipaddress.ip_address(value.partition("/")[0]) != network.network_address:
        raise ValueError(f"expected the network's own address: {network}")
    return str(network)


def each_family(check: Callable[[str], str]) -> Callable[[str], str]:
    """Takes one value, or one of each family with a comma between, as K3s does."""

    def checked(value: str) -> str:
        found = [check(one.strip()) for one in addresses.each(value)]
        versions = addresses.families(",".join(found))
        if len(set(versions)) != len(versions):
            raise Unfit(
                f"there are {len(found)} of one family",
                "one value, or one of IPv4 and one of IPv6 with a comma between them",
                "keep one of each family; the first one is what the cluster prefers",
            )
        return ",".join(found)

    return checked


def _address(value: str) -> str:
    """An IP address or a host name; four dotted numbers that are no address are a typing error, not a name."""
    if (address := addresses.parsed(value)) is not None:
        return str(_without_zone(address))
    if re.fullmatch(r"[\d.]+", value) or len(value) > 253 or _HOSTNAME.fullmatch(value) is None:
        raise _not_an_address(value)
    return value


_EXPECTED_ADDRESS = "an IP address such as 10.20.0.11, or a host name such as edge-01.example.com"


def _not_an_address(value: str) -> ValueError:
    """What more there is in it than an address."""
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", value.strip().lower()).rstrip("/")
    scheme = bare != value.strip().lower().rstrip("/")
    user, at, rest = bare.rpartition("@")
    match = re.fullmatch(r"\[(?P<v6>[0-9a-f:.]+)\](:(?P<port6>\d+))?|(?P<name>[a-z0-9.-]+)(:(?P<port>\d+))?", rest)
    name = (match["v6"] or match["name"]) if match else rest
    port = (match["port6"] or match["port"]) if match else None
    if addresses.parsed(name) is None and (_HOSTNAME.fullmatch(name) is None or re.fullmatch(r"[\d.]+", name)):
        if "/" in value and addresses.parsed(value.partition("/")[0]) is not None:
            name = value.partition("/")[0]
            return Unfit("it is a network", _EXPECTED_ADDRESS, f"write the address alone: `{name}`")
        return ValueError(f"expected {_EXPECTED_ADDRESS}")
    parts = [("a scheme", scheme), ("a user", bool(at)), ("a port", port is not None)]
    extra = [part for part, there in parts if there]
    places = [f"`user: {user}`"] * bool(at) + [f"`port: {port}`"] * (port is not None)
    elsewhere = f", and {' and '.join(places)} below the site's `ssh`" if places else ""
    what = f"it is more than an address: it has {' and '.join(extra)}" if extra else "it is not written as one"
    return Unfit(what, _EXPECTED_ADDRESS, f"write the address alone: `{name}`{elsewhere}")


def _without_zone(address: addresses.IpAddress) -> addresses.IpAddress:
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise Unfit(
            f"`%{address.scope_id}` names a network card of one machine",
            "an address that means the same everywhere",
            "give the host an address that is not link-local, and write that one",
        )
    return address


def _of_a_machine(value: str) -> str:
    if (address := addresses.parsed(value)) is not None and (problem := addresses.of_no_machine(address)):
        raise Unfit(problem, "the address of one machine", "write the address that the machine has in its network")
    return value


def _seen_by_others(value: str) -> str:
    address = addresses.parsed(value)
    problem = addresses.of_this_machine(address) if address is not None else None
    if value == "localhost" or value.endswith(".localhost"):
        problem = "with this name each machine means itself"
    if problem:
        raise Unfit(problem, "an address at which other machines find it", "write one of the site's own network")
    return value


def _host_key(value: str) -> str:
    """The key alone. `ssh-rsa` is refused: the command plugin offers it by that name, which OpenSSH 8.8 dropped."""
    expected = "a public host key, without the host's name and without a comment: ssh-ed25519 AAAA..."
    keyscan = "run `ssh-keyscan -t ed25519 {address}`, and write the last two words of the line that it prints"
    words = value.split()
    start = next((at for at, word in enumerate(words) if word in ssh_keys.TYPES), 0)
    try:
        key = ssh_keys.parse(" ".join(words[start:]))
    except ssh_keys.NotAKey as error:
        raise Unfit(str(error), expected, keyscan) from None
    if key.type == "ssh-rsa":
        raise Unfit(
            "no connection is made with an RSA key: OpenSSH 8.8 and newer no longer answer to `ssh-rsa`",
            "a key of the type ssh-ed25519 or ecdsa-sha2-nistp256",
            keyscan,
        )
    if start or key.comment:
        stands = "the host's name stands before it" if start else "a comment stands after it"
        raise Unfit(stands, expected, f"write `{key}`")
    return str(key)


def _node_label(key: str) -> str:
    if problem := node_labels.problem(key):
        raise Unfit(problem, "a label of your own", "write it without this domain, or with one of your own")
    return key


def _certificates(value: str) -> str:
    try:
        return pem.certificates(value)
    except pem.NotPem as error:
        raise Unfit(
            str(error),
            "one or more PEM blocks `CERTIFICATE`, and nothing else",
            "copy the whole certificate of the authority; with `|` after the colon the line ends stay",
        ) from None


def _pgp_public_key(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("expected a public key; this is a private one: revoke it, it has been written to a file")
    try:
        openpgp.check(value)
    except openpgp.NotAKey as error:
        raise Unfit(
            str(error), "one armored public key", "copy all lines that `gpg --armor --export KEY` prints"
        ) from None
    return value.strip() + "\n"


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

Address = Annotated[str, AfterValidator(_address), Field(examples=["10.20.0.11"])]
"""An IP address or a host name: whatever SSH and TLS can reach."""

MachineAddress = Annotated[Address, AfterValidator(_of_a_machine)]
"""Where one machine is reached. Loopback is allowed: a tunnel may begin there."""

SharedAddress = Annotated[Address, AfterValidator(_seen_by_others)]
"""An address or a name that means the same on every machine of a site."""

NodeAddresses = Annotated[
    str,
    AfterValidator(each_family(lambda value: _seen_by_others(_ip_address(value)))),
    Field(examples=["10.20.0.11"]),
]
"""An IP address at which the machines of a site find one of them; or one of each family."""

Cidr = Annotated[str, AfterValidator(_cidr), Field(examples=["10.42.0.0/16"])]
Cidrs = Annotated[str, AfterValidator(each_family(_cidr)), Field(examples=["10.42.0.0/16"])]
"""A network, or one of each family."""
SemVer = Annotated[str, _Matching(_SEMVER, "an exact version such as 1.102.3 (no range, no 'latest')")]
K3sVersion = Annotated[str, _Matching(_K3S_VERSION, "an exact K3s release such as v1.36.3+k3s1")]
Sha256 = Annotated[
    str,
    _Matching(_SHA256, "a SHA-256 as 64 lower-case hexadecimal digits"),
    Field(examples=["2f98a9f8fe5782479ee2d54e70a1b10a7f6fd4cae8d38ed3098452dc6eed76b5"]),
]
ImageRef = Annotated[
    str,
    _Matching(
        _IMAGE, "an image with registry and digest, such as registry.example.com/team/app:1.2@sha256:<64 digits>"
    ),
    Field(examples=[f"registry.example.com/team/app:1.2@sha256:{'6' * 64}"]),
]
HttpsUrl = Annotated[str, UrlOf(("https",)), Field(examples=["https://mirror.example.com"])]
SshHostKey = Annotated[
    str,
    AfterValidator(_host_key),
    _Matching(_HOST_KEY, "a public host key: ssh-ed25519 AAAA..."),
    Field(examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9"]),
]
Certificates = Annotated[str, AfterValidator(_certificates), Field(examples=["-----BEGIN CERTIFICATE-----..."])]
"""Certificates in PEM. They are public."""

LabelKey = Annotated[str, _Matching(_LABEL_KEY, "a Kubernetes label key")]
LabelValue = Annotated[
    str, _Matching(_LABEL_VALUE, "a Kubernetes label value: at most 63 letters, digits, '-', '_', '.'")
]
Labels = dict[LabelKey, LabelValue]
NodeLabels = dict[Annotated[LabelKey, AfterValidator(_node_label)], LabelValue]
"""Labels that the site's nodes carry."""
InterfaceName = Annotated[
    str,
    _Matching(_ascii(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}"), "the name of a network card, as `ip link` shows it"),
    Field(examples=["eth1"]),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Date = Annotated[
    str,
    AfterValidator(_date),
    _Matching(_ascii(r"\d{4}-\d{2}-\d{2}"), "a date as YYYY-MM-DD, such as 2027-01-31"),
]
"""A day, as `2027-01-31`."""

NonEmpty = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
PgpPublicKey = Annotated[
    str, AfterValidator(_pgp_public_key), Field(examples=["-----BEGIN PGP PUBLIC KEY BLOCK-----..."])
]
"""One armored OpenPGP public key, whole."""
