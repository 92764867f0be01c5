"""The Pulumi program for a site that is already loaded: what `__main__.py` does, without reading the file again.

`edge check` records it for many sites in one process. A test holds it to `__main__.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from stacks.catalogue import catalogue
from stacks.edge_site import EdgeSite
from stacks.secrets import NAMESPACE
from stacks.site import SiteSpec


def program(spec: SiteSpec) -> Callable[[], None]:
    """A program that builds ``spec`` and exports what the site tells the world."""

    def build() -> None:
        site = EdgeSite(spec, catalogue=catalogue(), secret=pulumi.Config(NAMESPACE).require_secret)
        for name, value in site.facts.items():
            pulumi.export(name, value)

    return build
