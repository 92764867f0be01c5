"""What a human writes about the network that a site stands in: its proxy, and the authorities that it trusts."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.specs import Spec
from components.types import Certificates, DnsLabel, InterfaceName
from components.urls import UrlOf, parse
from sitefile.problems import Unfit

_NAME = re.compile(r"\.?(?!.*\.\.)[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def _proxy_url(value: str) -> str:
    if parse(value).path not in ("", "/"):
        raise Unfit("a proxy has no path", "scheme, host and port", f"write `{value[: value.index('/', 8)]}`")
    return value.rstrip("/")


def _exception(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value)) if "/" in value else str(ipaddress.ip_address(value))
    except ValueError:
        pass
    if _NAME.fullmatch(value) is None or re.fullmatch(r"[\d.]+", value, re.ASCII):
        raise Unfit(
            "it is neither a name, an address nor a network",
            "a name (`registry.example.com`), a domain (`.example.com`), an address or a network in CIDR form",
            "write each on its own, in lower case and without `*`, scheme or port",
        )
    return value


ProxyUrl = Annotated[
    str,
    UrlOf(("http", "https")),
    AfterValidator(_proxy_url),
    Field(examples=["http://proxy.example.com:3128"]),
]
"""Address of a proxy. A login is a secret, and never part of it."""

Exempt = Annotated[str, AfterValidator(_exception), Field(examples=["10.20.0.0/24"])]
"""What is reached without a proxy."""


class ProxySpec(Spec):
    """An HTTP proxy that everything at the site goes out through."""

    url: ProxyUrl
    """Its address, for http:// and https:// alike, without a login: `http://proxy.example.com:3128`."""

    login: bool = False
    """Whether it asks for a login. It is the secret `proxy-login`, as `user:password`."""

    no_proxy: tuple[Exempt, ...] = ()
    """Names, domains (`.example.com`), addresses and networks that are reached without it, beside those that are worked
    out: loopback, pods, services, hosts, the API, the mesh, `.svc`, `.cluster.local` and the metadata address. Name
    the network of the hosts here: then another host changes nothing on those that are there."""


class NetworkSpec(Spec):
    """The network that a site stands in."""

    proxy: ProxySpec | None = None
    """The proxy of the site. A part that cannot use it yet is refused beside it. Updates of the operating system are
    the system's own business."""

    interface: InterfaceName | None = None
    """Network card of the hosts that K3s' nodes reach each other by, where it is not that of the default route; each
    host may say another one. A host needs its address there as `address` or `node_ip`."""

    trusted_cas: dict[DnsLabel, Certificates] = {}
    """Private authorities by name, each with its certificates in PEM: for a proxy that inspects TLS, or for servers of
    your own. They are added to those that the operating system trusts, on every host."""
