"""Rules between the parts of one site. What a field may say alone is in the specs; what concerns one part, in the part.

Pure: a site and the catalogue in, findings out. Machines are in ``hosts``, addresses and networks in ``addresses``.
"""

from __future__ import annotations

from collections.abc import Iterator

from components import waiver
from components.part import Phase
from sitefile.problems import Finding, any_of, dotted, near_miss
from stacks import parts
from stacks.catalogue import Catalogue, catalogue
from stacks.economics import SCENARIOS
from stacks.rules import addresses, air_gap, hosts, network
from stacks.shared.settings import STACK as SHARED
from stacks.site import SiteSpec

__all__ = ["OTHER_STACKS", "findings"]

OTHER_STACKS = {"fleet": "what exists once for all sites", SHARED: "the secrets that sites share"}
"""Names of the stacks that are no sites."""


def findings(spec: SiteSpec, data: Catalogue | None = None) -> Iterator[Finding]:
    """Everything that is wrong between the fields of ``spec``."""
    data = data or catalogue()
    yield from _name(spec)
    yield from _latency(spec, data)
    yield from _groups(spec, data)
    yield from hosts.findings(spec, data)
    yield from _cluster(spec)
    yield from _folders_of_hosts(spec)
    yield from _telemetry_over_the_uplink(spec)
    yield from _registrations(spec)
    yield from parts.findings(spec, data)
    yield from addresses.findings(spec)
    yield from air_gap.findings(spec)
    yield from network.findings(spec, data)
    yield from _economics(spec)
    yield from waiver.findings(spec.waivers, data.policy_rules)


def _name(spec: SiteSpec) -> Iterator[Finding]:
    """A stack has one name, and two of them are taken."""
    if spec.site in OTHER_STACKS:
        what = f"the site is called `{spec.site}`, and so is the stack of {OTHER_STACKS[spec.site]}"
        yield Finding(("site",), what, "a name that no other stack has", "rename the site, its file and its stack")


def _latency(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    if (problem := data.broken.get(("tier", spec.tier))) is not None:
        yield hosts.broken(("tier",), spec.tier, problem)
    if spec.latency_ms is None or spec.tier not in data.tiers:
        return
    bounds = data.tiers[spec.tier].latency_ms
    if bounds.min <= spec.latency_ms < bounds.max:
        return
    fitting = [
        name for name, tier in data.tiers.items() if tier.latency_ms.min <= spec.latency_ms < tier.latency_ms.max
    ]
    yield Finding(
        ("latency_ms",),
        f"{spec.latency_ms:g} ms is not what makes the tier `{spec.tier}`",
        f"from {bounds.min:g} to below {bounds.max:g} ms",
        f"measure again, or write `tier: {fitting[0]}`" if fitting else "measure again: no tier is that far away",
    )


def _groups(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    for index, name in enumerate(spec.groups):
        path = ("groups", index)
        if name in spec.groups[:index]:
            yield Finding(path, f"the group `{name}` is named twice", "each group once", "remove one of the two")
        elif ("groups", name) in data.broken:
            yield hosts.broken(path, name, data.broken["groups", name])
        elif name not in data.groups:
            near = near_miss(name, data.groups)
            yield Finding(
                path,
                f"there is no group `{name}`" + (f": did you mean `{near}`?" if near else ""),
                any_of(sorted(data.groups)) if data.groups else "a group that is described",
                f"write `{near}`" if near else f"describe it in `groups/{name}.yaml`, beside `sites/`",
            )


def _cluster(spec: SiteSpec) -> Iterator[Finding]:
    """Who brings the machines and Kubernetes: the site, or the cloud."""
    chosen = parts.entries(spec)
    brought = next((name for entry in chosen if (name := entry.part.own_cluster(entry.spec))), None)
    if brought is not None:
        yield from _beside(spec, brought)
        return
    if not spec.hosts:
        yield Finding(("hosts",), "the site has no host", "at least one host", "list the machines below `hosts`")
    if spec.k3s is None:
        for key in dict.fromkeys(str(entry.at[0]) for entry in chosen if entry.part.phase is Phase.IN_CLUSTER):
            yield Finding((key,), f"`{key}` has no cluster to run in", "a site with `k3s`", "add `k3s: {}`")


def _beside(spec: SiteSpec, brought: str) -> Iterator[Finding]:
    """What a site must not have beside ``brought``, the cluster that comes with its place."""
    written = {"hosts": bool(spec.hosts), "k3s": spec.k3s is not None}
    for key in (key for key, is_written in written.items() if is_written):
        what = f"`{key}` beside {brought}, which brings its own"
        yield Finding((key,), what, f"a site without `{key}`", f"remove `{key}`, or use `compute: {{kind: instance}}`")
    # They would be set up for each host of the site, that is, not at all.
    on_hosts = [entry for entry in parts.entries(spec) if entry.part.per_host and entry.at[0] != "k3s"]
    for at in (entry.at for entry in on_hosts if not spec.hosts):
        key = dotted(at)
        yield Finding(
            at,
            f"`{key}` works host by host, and the nodes of {brought} are not hosts of the site",
            f"a site without `{key}`",
            f"remove `{key}` and let GitOps bring its like, or use `compute: {{kind: instance}}`",
        )


def _folders_of_hosts(spec: SiteSpec) -> Iterator[Finding]:
    """SELinux lets containers read folders of a host by a type that the restricted Pod Security Standard refuses."""
    if spec.telemetry is None or spec.k3s is None or not spec.k3s.selinux:
        return
    if spec.telemetry.host_health:
        yield Finding(
            ("telemetry", "host_health"),
            "`k3s.selinux` confines containers, and a confined collector cannot read what the host has measured",
            "a site with one of the two",
            "remove `host_health`, or `k3s.selinux`",
        )
    if spec.telemetry.pod_logs is not None:
        yield Finding(
            ("telemetry", "pod_logs"),
            "`k3s.selinux` confines containers, and a confined collector cannot read the logs of pods",
            "a site with one of the two",
            "remove `pod_logs` (workloads can send logs by OTLP), or `k3s.selinux`",
        )


def _telemetry_over_the_uplink(spec: SiteSpec) -> Iterator[Finding]:
    """What telemetry may take of the uplink, at the rates that its queues are sized for. Compressed, it is less."""
    if spec.telemetry is None or spec.uplink is None:
        return
    rate = spec.telemetry.rate
    kib = (rate.metrics + rate.logs + rate.traces) * len(spec.hosts)
    if (mbps := kib * 8 * 1024 / 1e6) > spec.uplink.up_mbps:
        yield Finding(
            ("telemetry", "rate"),
            f"at these rates all hosts together make {mbps:.1f} Mbit/s of telemetry, and the uplink takes"
            f" {spec.uplink.up_mbps:g} Mbit/s: after an outage the queues may never be empty again",
            "rates that leave room in `uplink.up_mbps`",
            "lower `rate` to what hosts really make, or send less: fewer logs, fewer namespaces in `pod_logs`",
            advice=True,
        )
    elif spec.uplink.metered and spec.telemetry.pod_logs is not None:
        month_gb = rate.logs * len(spec.hosts) * 1024 * 86400 * 30 / 1e9
        yield Finding(
            ("telemetry", "pod_logs"),
            f"logs of pods go over an uplink that is paid by volume: up to {month_gb:.0f} GB a month at `rate.logs`,"
            " before they are compressed",
            "logs that are worth their price",
            "exclude namespaces below `pod_logs`, or accept it",
            advice=True,
        )


def _registrations(spec: SiteSpec) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, registration in enumerate(spec.registrations):
        first = seen.setdefault(registration.kind, index)
        if first != index:
            yield Finding(
                ("registrations", index, "kind"),
                f"the site is registered with `{registration.kind}` twice: registrations[{first}] is the other one",
                "each kind of registration at most once",
                "remove one of the two",
            )


def _economics(spec: SiteSpec) -> Iterator[Finding]:
    if spec.economics is None or spec.economics.scenario is not None:
        return
    for key in ("cloud_usd_per_month", "edge_opex_usd_per_month"):
        if getattr(spec.economics, key) is None:
            yield Finding(
                ("economics", key),
                f"`{key}` is missing, and no scenario fills it in",
                "both monthly amounts, or a scenario",
                f"add `{key}:`, or `scenario:` with {any_of(SCENARIOS)}",
            )
