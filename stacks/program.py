"""The Pulumi program for a site that is already loaded: what `__main__.py` does, without reading the file again.

`edge check` records it for many sites in one process; preview and up run it inside `edge`, where what it imports is
loaded while the engine starts. A test holds it to `__main__.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from sitefile.problems import SiteError
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.edge_site import EdgeSite
from stacks.fleet import component as fleet
from stacks.loader import load_site
from stacks.secrets import NAMESPACE, PLACEHOLDER
from stacks.site import SiteSpec

Program = Callable[[], None]
Built = Callable[[EdgeSite], None]
"""Called inside of the program, where the stack's settings can be read, once the site is built."""


def program(spec: SiteSpec, *, rehearsed: bool = False, built: Built = lambda _site: None) -> Program:
    """A program that builds ``spec`` and exports what the site tells the world.

    ``rehearsed``: secrets are placeholders that name their key; otherwise they are those of the stack's settings.
    """

    def build() -> None:
        secret = placeholder if rehearsed else pulumi.Config(NAMESPACE).require_secret
        site = EdgeSite(spec, catalogue=catalogue(), secret=secret)
        built(site)
        for name, value in site.outputs.items():
            pulumi.export(name, value)

    return build


def placeholder(key: str) -> pulumi.Output[str]:
    """What stands in for a secret; as secret to the engine as the real one would be."""
    return pulumi.Output.secret(PLACEHOLDER + key)


def build() -> None:
    """Build the running stack: the site that its `edge:site` says, its own name where that is absent; or the fleet."""
    config = pulumi.Config(NAMESPACE)
    name = config.get("site") or pulumi.get_stack()
    try:
        if name == fleet.STACK:
            fleet.build(PROJECT_ROOT)
        else:
            program(load_site(name))()
    except SiteError as error:
        raise pulumi.RunError(str(error)) from None
