"""The Pulumi program: one stack, one site. The stack's `edge:site` says which; its own name where that is absent."""

from __future__ import annotations

import pulumi

from stacks import fleet
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.edge_site import EdgeSite
from stacks.loader import SiteError, load_site
from stacks.secrets import NAMESPACE

config = pulumi.Config(NAMESPACE)
name = config.get("site") or pulumi.get_stack()
try:
    if name == fleet.STACK:
        fleet.build(PROJECT_ROOT)
    else:
        site = EdgeSite(load_site(name), catalogue=catalogue(), secret=config.require_secret)
        for key, value in site.outputs.items():
            pulumi.export(key, value)
except SiteError as error:
    raise pulumi.RunError(str(error)) from None
