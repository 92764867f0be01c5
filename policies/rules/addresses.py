"""Whether a rule of a firewall admits the whole Internet, however it is written."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator

from policies.rules.model import Violation
from policies.rules.tree import Node

_MOST: dict[int, int] = {4: 2**24, 6: 2**96}
"""More public addresses than this belong to nobody in particular: a /8, or a provider's /32 of IPv6."""


def world(places: Iterable[Node], does: str = "admits") -> Iterator[Violation]:
    """A violation where the networks at ``places`` are the Internet: one by one, or all of them together.

    ``does`` says what the rule does with it.
    """
    total: dict[int, int] = {4: 0, 6: 0}
    last: Node | None = None
    wide = False
    for place in places:
        text = place.text()
        if text is None:
            continue
        family, public = _public(text.strip())
        if not family:
            yield Violation(place.path, "is not a network such as 10.20.0.0/16")
            wide = True
        elif public > _MOST[family]:
            yield Violation(place.path, f"{does} the whole Internet, or a large part of it")
            wide = True
        else:
            total[family] += public
            last = place
    if not wide and last is not None and any(total[family] > most for family, most in _MOST.items()):
        yield Violation(last.path, f"{does}, with the networks before it, a large part of the Internet")


@functools.lru_cache(maxsize=1024)
def _public(text: str) -> tuple[int, int]:
    """The family of a network, 0 where it is none, and how many public addresses are in it."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return 0, 0
    # `is_private` asks for both ends: 0.0.0.0/0 begins and ends with addresses that are no one's.
    inside = any(network.version == own.version and network.subnet_of(own) for own in _PRIVATE)  # type: ignore[arg-type]
    return network.version, 0 if inside else network.num_addresses


_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
            "fe80::/10",
            "::1/128",
        ),
    )
)
"""Networks that the Internet does not route."""
