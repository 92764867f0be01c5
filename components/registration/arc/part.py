"""Azure Arc as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.consequence import Consequence
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.part import Astray, Building, Part, Phase
from components.registration.arc.consequences import EDITS, consequences
from components.registration.arc.plan import NAMESPACES, preconditions
from components.registration.arc.spec import ArcSpec
from components.view import Precondition, Site


class ArcPart(Part[ArcSpec]):
    """The site's cluster as a resource in Azure. Its key is made by the tls provider: no secret to set."""

    spec = ArcSpec
    phase = Phase.IN_CLUSTER
    module = "components.registration.arc.component"
    component = "ArcRegistration"
    edits = EDITS
    manages_fleet = True

    def build(self, spec: ArcSpec, building: Building) -> None:
        from components.registration.arc.component import ArcArgs, ArcRegistration

        site = building.site.name
        ArcRegistration(
            f"{site}-arc", ArcArgs(spec, site, building.site.egress, building.egress), building.in_cluster()
        )

    def astray(self, spec: ArcSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def exempt_namespaces(self, spec: ArcSpec) -> Sequence[str]:
        return (*NAMESPACES, *spec.extension_namespaces)

    def preconditions(self, spec: ArcSpec) -> Iterator[Precondition]:
        return preconditions(spec)

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: ArcSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, spec)


PART = ArcPart()
