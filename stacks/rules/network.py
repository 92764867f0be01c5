"""Parts that cannot follow the `network` of their site: refused, since nothing may go out another way in silence."""

from __future__ import annotations

from collections.abc import Iterator

from sitefile.problems import Finding, dotted
from stacks.catalogue import Catalogue
from stacks.parts import entries, view
from stacks.site import SiteSpec


def findings(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    if spec.network is None:
        return
    fields = view(spec, data).egress.fields
    for entry in entries(spec):
        for field in fields:
            if field not in entry.part.follows(entry.spec):
                yield Finding(
                    entry.at,
                    f"`{dotted(entry.at)}` does not follow `network.{field}` yet: it would go out as if that were not"
                    " there",
                    "parts that follow what `network` says",
                    f"remove `network.{field}`, or this part",
                )
