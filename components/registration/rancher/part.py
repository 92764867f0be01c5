"""Rancher as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.consequence import Consequence
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.part import Astray, Building, Part, Phase
from components.registration.rancher.consequences import EDITS, consequences
from components.registration.rancher.plan import NAMESPACES, agent_environment
from components.registration.rancher.spec import RancherSpec
from components.view import SecretNeed, Site

TOKEN_KEY = "rancher-token-key"


_NO_LOGIN = Astray(
    "Rancher writes its agent's proxy into a Deployment and into its own database, where a login could be read",
    "let Rancher's host through without a login and name it in `network.proxy.no_proxy`, or remove this part",
)
_OWN_AUTHORITIES = Astray(
    "Rancher's agent trusts the authority that Rancher names, and no other",
    "write `ca_certs` with the authority that signs Rancher's certificate, as the site sees it, or remove this part",
)


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

    def astray(self, spec: RancherSpec, egress: Egress) -> Mapping[str, Astray]:
        found = {}
        if egress.proxy and egress.proxy.login and agent_environment(spec, egress):
            found["proxy"] = _NO_LOGIN
        if egress.authorities and not spec.ca_certs:
            found["trusted_cas"] = _OWN_AUTHORITIES
        return found

    def secrets(self, spec: RancherSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(TOKEN_KEY, "Rancher's API lets the cluster be imported with it")]

    def exempt_namespaces(self, spec: RancherSpec) -> Sequence[str]:
        return NAMESPACES

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: RancherSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, spec)


PART = RancherPart()
