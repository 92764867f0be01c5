"""URLs of a site file: parsed where they are written, so that nothing later meets one that is none. Pure.

Only what a host, a port and a path need: no character that means something to a shell, and nothing that a parser
drops in silence.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from components import ports
from sitefile.spec_shape import FORM

_PORTS = {"http": 80, "https": ports.HTTPS, "oci": ports.HTTPS, "ssh": ports.SSH}

_PATH = r"[A-Za-z0-9._~%:@!+,=/-]"
"""RFC 3986 without the characters of shells. Others are written as %XX."""

_FORM = re.compile(rf"([a-z]+)://(?:([^/@]*)@)?(\[[^/\]]*\]|[^/:@\[\]]*)(?::([^/]*))?(/{_PATH}*)?", re.ASCII)
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True)
class Url:
    """What a URL says."""

    scheme: str
    user: str | None
    host: str
    """A name or an address, in lower case; IPv6 without brackets."""
    port: int
    """The scheme's own where the URL has none."""
    path: str


def parse(text: str) -> Url:
    """Raises ValueError with what is wrong with ``text``."""
    if strange := next((char for char in text if not re.match(rf"{_PATH}|[\[\]]", char, re.ASCII)), None):
        what = "a blank or control character" if strange <= " " or not strange.isprintable() else f"`{strange}`"
        raise ValueError(f"{what} cannot be in a URL here; in a path it is written as %XX")
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("expected <scheme>://<host>[:port][/path]; an IPv6 address is in brackets: https://[fd00::1]/")
    scheme, user, host, port, path = found.groups()
    if port is not None and not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and 1 <= int(port) <= 65535):
        raise ValueError(f"expected a port from 1 to 65535 after the host, this is `{port}`")
    if not _is_host(host):
        raise ValueError(f"expected a host name or an IP address, this is `{host}`")
    return Url(scheme, user, host.strip("[]").lower(), int(port) if port else _PORTS.get(scheme, 0), path or "")


def _is_host(text: str) -> bool:
    try:
        if text.startswith("["):
            return ipaddress.IPv6Address(text[1:-1]).scope_id is None
        if re.fullmatch(r"[\d.]+", text, re.ASCII):
            return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class UrlOf:
    """Text that is a URL with one of ``schemes``. A user is for ssh, and required there; a password never is."""

    schemes: tuple[str, ...]
    needs_path: bool = False
    example: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        plain = [scheme for scheme in self.schemes if scheme != "ssh"]
        users = [r"ssh://[A-Za-z0-9._-]+@"] if "ssh" in self.schemes else []
        before = "|".join([*(f"{scheme}://" for scheme in plain), *users])
        path = rf"/{_PATH}+" if self.needs_path else rf"(/{_PATH}*)?"
        host = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:[0-9]{1,5})?"
        return {**handler(schema), "pattern": f"^({before}){host}{path}$", FORM: self._expected}

    @property
    def _expected(self) -> str:
        return self.example or f"a URL that begins with {' or '.join(f'{one}://' for one in self.schemes)}"

    def _check(self, value: str) -> str:
        expected = f"expected {self._expected}"
        scheme = value.partition("://")[0]
        if "://" not in value or scheme not in self.schemes:
            raise ValueError(expected)
        url = parse(value)
        if url.user is not None and ("ssh" not in scheme or _USER.fullmatch(url.user) is None):
            raise ValueError(f"expected no credentials in it; those are secrets of the stack ({expected})")
        if (scheme == "ssh" and url.user is None) or (self.needs_path and len(url.path) < 2):
            raise ValueError(expected)
        return value
