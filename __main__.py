"""The Pulumi program: one stack, one site. The stack's `edge:site` says which; its own name where that is absent."""

from __future__ import annotations

import pulumi

from stacks.catalogue import catalogue
from stacks.edge_site import EdgeSite
from stacks.loader import SiteError, load_site
from stacks.secrets import NAMESPACE


def main() -> None:
    """Load the site, build it, export what it tells the world."""
    config = pulumi.Config(NAMESPACE)
    try:
        spec = load_site(config.get("site") or pulumi.get_stack())
    except SiteError as error:
        raise pulumi.RunError(str(error)) from None
    site = EdgeSite(spec, catalogue=catalogue(), secret=config.require_secret)
    for name, value in site.facts.items():
        pulumi.export(name, value)


main()
