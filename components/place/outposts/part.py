"""AWS Outposts as a part of a site: the place where its machines stand."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from components.addresses import parsed
from components.consequence import Consequence, Edit, Effect, Removal
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.part import Astray, Building, Cluster, Part, Phase
from components.place.outposts.consequences import EDITS, consequences
from components.place.outposts.plan import address_problem
from components.place.outposts.spec import InstanceCompute, OutpostsSpec
from components.view import Network, Precondition, SecretNeed, Site
from sitefile.problems import DataPath, Finding, near_miss

HOST_KEY = "outposts-host-key"

REMOVAL = Removal(
    Edit("outposts-removed", "A site leaves its Outpost", Effect.DESTROYS, "**deletes the instance or the cluster**"),
    "the machines on the Outpost are deleted, with their volumes.",
    "save their data first; then `--allow-destroy outposts`",
)


_NOT_OUR_NODES = Astray(
    "AWS sets up the machines of an EKS local cluster, and its control plane is reached by no setting of ours",
    "remove it from `network` and give the subnet a way to AWS, or use `compute: {kind: instance}`",
)


class OutpostsPart(Part[OutpostsSpec]):
    """An instance that is one of the site's hosts, or an EKS local cluster that needs none."""

    spec = OutpostsSpec
    phase = Phase.PLACE
    module = "components.place.outposts.component"
    component = "OutpostsRegistration"
    removal = REMOVAL
    edits = EDITS

    def build(self, spec: OutpostsSpec, building: Building) -> None:
        from components.host.reach import Reach
        from components.place.outposts.component import InstanceArgs, Outposts, OutpostsArgs

        site = building.site
        instance = None
        if isinstance(spec.compute, InstanceCompute):
            machine = next(machine for machine in site.machines if machine.name == spec.compute.host)
            via = next((one for one in site.machines if one.name == machine.spec.via), None)
            through = Reach(via, building.secret) if via else None
            instance = InstanceArgs(machine, Reach(machine, building.secret, through), building.secret(HOST_KEY))
        outposts = Outposts(
            f"{site.name}-outposts", OutpostsArgs(spec=spec, site=site.name, instance=instance), building.child()
        )
        if instance is not None and outposts.instance_ready is not None:
            building.gates[instance.machine.name] = outposts.instance_ready
        if outposts.kubernetes_provider is not None:
            # Objects in it may own AWS volumes and load balancers, which are only freed when the object is deleted.
            building.cluster = Cluster(outposts.kubernetes_provider)

    def secrets(self, spec: OutpostsSpec) -> Sequence[SecretNeed]:
        if not isinstance(spec.compute, InstanceCompute):
            return []
        return [SecretNeed(HOST_KEY, "SSH host key that the Outpost's instance starts with", own=True)]

    def astray(self, spec: OutpostsSpec, egress: Egress) -> Mapping[str, Astray]:
        # An instance is a host of the site; what it is made with asks AWS from where the program runs.
        if isinstance(spec.compute, InstanceCompute):
            return {}
        return dict.fromkeys(egress.fields, _NOT_OUR_NODES)

    def own_cluster(self, spec: OutpostsSpec) -> str | None:
        return None if isinstance(spec.compute, InstanceCompute) else "an EKS local cluster"

    def preconditions(self, spec: OutpostsSpec) -> Iterator[Precondition]:
        yield Precondition(
            name=f"AWS account {spec.account_id}",
            why="everything is made in this account",
            command=("aws", "sts", "get-caller-identity", "--query", "Account", "--output", "text"),
            wanted=spec.account_id,
            remedy="aws sso login, or set AWS_PROFILE to a profile of this account",
        )

    def networks(self, spec: OutpostsSpec, at: DataPath) -> Iterator[Network]:
        yield Network((*at, "subnet_cidr"), spec.subnet_cidr, "Outpost's subnet")
        for index, text in enumerate(spec.local_gateway.on_premises):
            yield Network((*at, "local_gateway", "on_premises", index), text, "network behind the local gateway")

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: OutpostsSpec | None, site: Site
    ) -> Iterator[Consequence]:
        yield from super().consequences(before, pairs, spec, site)
        if spec is not None:
            yield from consequences(before, spec)

    def rules(self, spec: OutpostsSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        if self.own_cluster(spec) and spec.owns_routes and not (spec.routes or spec.gateway_endpoints):
            yield Finding(
                (*at, "compute", "kind"),
                "the subnet of this cluster has no way to AWS but by endpoints in the VPC; images come from S3",
                "a way to AWS before the cluster is made",
                "add `routes` (a NAT or transit gateway), or the VPC's S3 endpoint to `gateway_endpoints`",
                advice=True,
            )
        if not isinstance(spec.compute, InstanceCompute) or not site.machines:
            return
        proxy = site.egress.proxy and parsed(site.egress.proxy.host)
        if proxy and not any(proxy in ipaddress.ip_network(cidr) for cidr in spec.egress_cidrs):
            yield Finding(
                (*at, "egress_cidrs"),
                f"the site's proxy, {proxy}, is in none of these networks: the instance could not reach it",
                "every network that the site's machines go out to",
                f"add `{proxy}/{proxy.max_prefixlen}`, or the network that the proxy is in",
            )
        by_name = {machine.name: machine for machine in site.machines}
        if spec.compute.host not in by_name:
            near = near_miss(spec.compute.host, by_name)
            yield Finding(
                (*at, "compute", "host"),
                f"there is no host `{spec.compute.host}`" + (f": did you mean `{near}`?" if near else ""),
                "the name of the host that the instance is",
                "describe the instance below `hosts` as well",
            )
            return
        index, host = by_name[spec.compute.host].index, by_name[spec.compute.host].spec
        if host.via and spec.compute.host_key_from == "first-contact":
            yield Finding(
                ("hosts", index, "via"),
                f"`{host.name}` is behind another host, and gets its host key before any host of the site is reached",
                "an instance that is reached directly, or `host_key_from: user-data`",
                "remove `via`, or set `host_key_from` of `place.compute`",
            )
        if problem := address_problem(spec, host.node_ip or host.address):
            yield Finding(
                ("hosts", index, "node_ip" if host.node_ip else "address"),
                f"`{host.name}` cannot be the instance with {host.node_ip or host.address}",
                problem.removeprefix("expected "),
                "give the host an address from the subnet, or correct `subnet_cidr`",
            )


PART = OutpostsPart()
