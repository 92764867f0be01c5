"""The network around a site, as a part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from components.addresses import parsed
from components.consequence import Consequence
from components.egress import LOGIN, Egress
from components.host.applied import Applied, Pair
from components.host.login import PRIVATE_KEY
from components.host.machine import Machine
from components.network.consequences import EDITS, ROLE, consequences
from components.network.plan import host_checks
from components.network.spec import NetworkSpec
from components.part import Astray, Building, Part, Phase
from components.view import SecretNeed, Site
from sitefile.problems import DataPath, Finding

if TYPE_CHECKING:
    import pulumi


class NetworkPart(Part[NetworkSpec]):
    """Proxy and authorities of all hosts. What the parts make of it is ``Site.egress``."""

    spec = NetworkSpec
    phase = Phase.ON_HOSTS
    module = "components.network.component"
    component = "Network"
    edits = EDITS
    cleans = (ROLE,)

    def build(self, spec: NetworkSpec, building: Building) -> None:
        from components.network.component import Network, NetworkArgs

        site = building.site
        if not site.egress:
            return
        network = Network(
            f"{site.name}-network",
            NetworkArgs(
                egress=site.egress,
                hosts=[building.hosts[machine.name] for machine in site.machines],
                login=building.secret(LOGIN) if self.secrets(spec) else None,
                salt=_salt(building),
            ),
            building.child(),
        )
        building.egress = network.held

    def astray(self, spec: NetworkSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def secrets(self, spec: NetworkSpec) -> Sequence[SecretNeed]:
        if spec.proxy is None or not spec.proxy.login:
            return []
        return [SecretNeed(LOGIN, "user:password, for the proxy that the site goes out through")]

    def host_checks(self, spec: NetworkSpec, machine: Machine, site: Site) -> str:
        return host_checks(site.egress, machine) if site.egress else ""

    def rules(self, spec: NetworkSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        for machine in site.machines:
            if spec.proxy and parsed(machine.node_address) is None:
                yield Finding(
                    ("hosts", machine.index, "address"),
                    f"`{machine.node_address}` is a name: programs that know `{machine.name}` by its address would ask"
                    " the proxy for it",
                    "the address of each host, which is reached without the proxy",
                    "add `node_ip:` with the host's address in the site's network",
                )
            if spec.trusted_cas and machine.system.trust_store is None:
                yield Finding(
                    (*at, "trusted_cas"),
                    f"`{machine.name}` runs {machine.system.title}, whose store of authorities is not known here",
                    "an operating system with a store that is known",
                    "remove `trusted_cas`, and put the authorities into the hosts' image",
                )

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: NetworkSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, site.egress)


def _salt(building: Building) -> pulumi.Input[str]:
    """A secret that the stack holds: the hosts' key, or the cluster's where an agent holds theirs."""
    machines = building.site.machines
    if any(machine.ssh.login != "agent" for machine in machines):
        return building.secret(PRIVATE_KEY)
    return building.secret("k3s-token") if building.site.kubernetes else ""


PART = NetworkPart()
