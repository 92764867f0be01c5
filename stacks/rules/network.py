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
    egress = view(spec, data).egress
    for entry in entries(spec):
        for field, astray in entry.part.astray(entry.spec, egress).items():
            yield Finding(
                entry.at,
                f"`{dotted(entry.at)}` does not follow `network.{field}`: {astray.why}",
                "parts that follow what `network` says",
                astray.remedy,
            )
