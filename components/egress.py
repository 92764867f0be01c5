"""How a site goes out: through which proxy, past it to where, and which authorities it trusts. Pure.

Worked out once for a site; each part takes from it what its programs understand.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from components import urls

ENVIRONMENT = "/etc/edge/egress.env"
"""On each host, the environment of programs that go out: read by shells and by systemd. It may hold a login."""

LOGIN = "proxy-login"
"""Key of the secret: `user:password`."""

ALWAYS = ("localhost", "127.0.0.0/8", "::1", "169.254.169.254", ".svc", ".cluster.local", ".cluster.local.")
"""What no site reaches through a proxy: loopback, a cloud's metadata, and the names of the cluster, which Flux'
controllers end with a dot."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)


@dataclass(frozen=True)
class Proxy:
    """A proxy, without its login."""

    url: str
    login: bool
    exceptions: tuple[str, ...]
    """Names, addresses and networks that are reached without it."""

    @property
    def host(self) -> str:
        return urls.parse(self.url).host

    @property
    def port(self) -> int:
        return urls.parse(self.url).port

    def leaves_out(self, host: str) -> bool:
        """Whether ``host``, a name or an address, is reached without it."""
        return any(_covers(exception, host) for exception in self.exceptions)

    def with_login(self, login: str) -> str:
        """The URL with ``login`` (`user:password`) in it, which is a secret."""
        if not login:
            return self.url
        user, colon, password = login.partition(":")
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{quote(user, safe='')}{colon}{quote(password, safe='')}@{rest}"


@dataclass(frozen=True)
class Egress:
    """The way out of a site. Falsy where nothing is said about it: then programs go out as they always did."""

    proxy: Proxy | None = None
    authorities: Mapping[str, str] = field(default_factory=dict)
    """By name, certificates in PEM."""

    def __bool__(self) -> bool:
        return self.proxy is not None or bool(self.authorities)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of `network` that say it."""
        return (*(("proxy",) if self.proxy else ()), *(("trusted_cas",) if self.authorities else ()))

    @property
    def certificates(self) -> Mapping[str, str]:
        """Each certificate on its own, as stores of operating systems take them, by a name that says whose it is."""
        return {
            f"{name}-{number}": text
            for name, bundle in sorted(self.authorities.items())
            for number, text in enumerate(_CERTIFICATE.findall(bundle), start=1)
        }

    @property
    def bundle(self) -> str:
        """All certificates in one file, for what does not read the host's store; empty where there is none."""
        return "".join(self.certificates.values())

    def variables(self, login: str = "") -> dict[str, str]:
        """The environment of a program that goes out. With a ``login`` its values are secret."""
        if self.proxy is None:
            return {}
        url = self.proxy.with_login(login)
        values = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": ",".join(self.proxy.exceptions)}
        # Some programs read one spelling, some the other.
        return values | {name.lower(): value for name, value in values.items()}

    def environment(self, login: str = "") -> str:
        """The text of ``ENVIRONMENT``. It changes when the authorities do: programs read these when they start."""
        lines = [f"{name}={value}" for name, value in self.variables(login).items()]
        if self.authorities:
            lines.append(f"EDGE_TRUSTED_CAS={hashlib.sha256(self.bundle.encode()).hexdigest()}")
        return "".join(f"{line}\n" for line in lines)

    @property
    def fingerprint(self) -> str:
        """Changes with everything of it that is no secret. Without one, the empty text."""
        login = "login" if self.proxy and self.proxy.login else ""
        return hashlib.sha256(f"{self.environment()}{login}".encode()).hexdigest()[:16] if self else ""


def _covers(exception: str, host: str) -> bool:
    if exception.startswith("."):
        return host.endswith(exception)
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception)
    except ValueError:
        return host == exception or host.endswith(f".{exception}")


def exceptions(values: Sequence[str]) -> tuple[str, ...]:
    """What is reached without a proxy, each once. What lies in a network of the list is left out: a further host in
    it changes nothing."""
    networks = [ipaddress.ip_network(value) for value in values if "/" in value]

    def covered(value: str) -> bool:
        try:
            one = ipaddress.ip_network(value)
        except ValueError:
            return False
        return any(one != other and one.version == other.version and one.subnet_of(other) for other in networks)  # type: ignore[arg-type]

    return tuple(dict.fromkeys(value for value in values if not covered(value)))
