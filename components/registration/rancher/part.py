"""Rancher as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.consequence import Consequence
from components.host.applied import Applied, Pair
from components.part import Building, Part, Phase
from components.registration.rancher.consequences import EDITS, consequences
from components.registration.rancher.plan import NAMESPACES
from components.registration.rancher.spec import RancherSpec
from components.view import SecretNeed, Site

TOKEN_KEY = "rancher-token-key"


class RancherPart(Part[RancherSpec]):
    """The site's cluster as an imported cluster in Rancher. The agent is brought by the first server."""

    spec = RancherSpec
    phase = Phase.IN_CLUSTER
    module = "components.registration.rancher.component"
    component = "RancherRegistration"
    edits = EDITS
    per_host = True
    manages_fleet = True

    def build(self, spec: RancherSpec, building: Building) -> None:
        from components.registration.rancher.component import RancherArgs, RancherRegistration

        site = building.site
        first = site.servers[0].name
        RancherRegistration(
            f"{site.name}-rancher",
            RancherArgs(
                spec=spec,
                site=site,
                server=building.hosts[first],
                joined=building.joined[first],
                token_key=building.secret(TOKEN_KEY),
            ),
            building.child(),
        )

    def secrets(self, spec: RancherSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(TOKEN_KEY, "Rancher's API lets the cluster be imported with it")]

    def exempt_namespaces(self, spec: RancherSpec) -> Sequence[str]:
        return NAMESPACES

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: RancherSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, spec)


PART = RancherPart()
