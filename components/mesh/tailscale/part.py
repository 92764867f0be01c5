"""Tailscale as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components import sysext, urls
from components.addresses import TAILNET
from components.consequence import Consequence
from components.egress import Egress
from components.host.applied import Applied, Pair
from components.host.machine import Machine
from components.mesh.tailscale.consequences import EDITS, ROLE, consequences
from components.mesh.tailscale.plan import download_url, host_checks, image_of, places
from components.mesh.tailscale.spec import ConfiguredKey, MadeKey, TailscaleSpec
from components.part import Astray, Building, Expiring, Part, Phase
from components.view import Download, MeshDomain, Network, SecretNeed, Site, Software
from sitefile.problems import DataPath, Finding

AUTH_KEY = "tailscale-auth-key"

DEVICES = TAILNET


class TailscalePart(Part[TailscaleSpec]):
    """All hosts of a site as devices of a tailnet."""

    spec = TailscaleSpec
    phase = Phase.ON_HOSTS
    module = "components.mesh.tailscale.component"
    component = "Tailscale"
    told = {"tailscale_version": "Tailscale release on the hosts."}
    edits = EDITS
    cleans = (ROLE,)
    per_host = True
    belongs_to = {"sha256": "version", "sysext.sha256": "version"}

    def build(self, spec: TailscaleSpec, building: Building) -> None:
        from components.mesh.tailscale.component import Tailscale, TailscaleArgs

        site = building.site
        mesh = Tailscale(
            f"{site.name}-mesh",
            TailscaleArgs(
                spec=spec,
                site=site.name,
                hosts=[building.hosts[machine.name] for machine in site.machines],
                auth_key=building.secret(AUTH_KEY) if _is_configured(spec) else None,
                environment=building.egress.environment if building.egress else None,
            ),
            building.child(),
        )
        if mesh.key is not None:
            needed_by = [join.urn for join in mesh.joined.values()]
            building.expiring.append(Expiring("the auth key", mesh.key.urn, mesh.key.expires_at, needed_by))

    def astray(self, spec: TailscaleSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def secrets(self, spec: TailscaleSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(AUTH_KEY, "hosts join the tailnet with it")] if _is_configured(spec) else []

    def outputs(self, spec: TailscaleSpec, site: Site) -> Mapping[str, Any]:
        return {"tailscale_version": spec.version}

    def networks(self, spec: TailscaleSpec, at: DataPath) -> Iterator[Network]:
        yield Network(
            (*at, "kind"),
            DEVICES,
            "network of the tailnet's devices",
            default=True,
            fixed="the addresses of the tailnet's devices",
        )
        tenant = spec.key.tailnet if isinstance(spec.key, MadeKey) else None
        domain = MeshDomain((spec.login_server or "").rstrip("/").lower(), tenant)
        for index, route in enumerate(spec.advertise_routes):
            yield Network((*at, "advertise_routes", index), route, "network that the mesh routes", mesh=domain)

    def host_checks(self, spec: TailscaleSpec, machine: Machine, site: Site) -> str:
        return host_checks(spec, machine)

    def places(self, spec: TailscaleSpec, machine: Machine) -> str:
        return places(machine)

    def downloads(self, spec: TailscaleSpec, at: DataPath) -> Iterator[Download]:
        yield Download(
            (*at, "mirror"),
            "Tailscale",
            urls.parse(spec.mirror).host,
            "name a `mirror` of your own for the mesh",
        )

        if spec.sysext:
            yield Download(
                (*at, "sysext", "mirror"),
                "the image of Tailscale",
                urls.parse(spec.sysext.mirror).host,
                "name a `mirror` of your own",
            )

    def software(self, spec: TailscaleSpec, site: Site) -> Iterator[Software]:
        for machine in site.machines:
            image = image_of(spec, machine)
            if sha256 := image.sha256 if image else spec.sha256.get(machine.arch):
                yield Software(
                    name="tailscale",
                    version=spec.version,
                    sha256=sha256,
                    hosts=(machine.name,),
                    arch=machine.arch,
                    source=image.url if image else download_url(spec, machine.arch),
                    packages=("pkg:golang/tailscale.com",),
                )

    def rules(self, spec: TailscaleSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        for arch in sorted({machine.arch for machine in site.machines if machine.known} - spec.sha256.keys()):
            yield Finding(
                (*at, "sha256"),
                f"no SHA-256 of tailscale_{spec.version}_{arch}.tgz, which hosts of this site need",
                "a checksum for each architecture of the site",
                f"add `{arch}:` with the one from {spec.mirror}",
            )

        yield from _images(spec, at, site)

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: TailscaleSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, pairs, spec)


def _images(spec: TailscaleSpec, at: DataPath, site: Site) -> Iterator[Finding]:
    if spec.sysext is None:
        return
    taking = [machine for machine in site.machines if machine.system.extensions]
    if site.machines and not taking:
        yield Finding(
            (*at, "sysext"),
            "no host has Flatcar, whose publisher adds programs by images",
            "hosts with Flatcar",
            "remove `sysext`",
        )
    version = f"v{spec.version.removeprefix('v')}"
    for arch in sorted({machine.arch for machine in taking if machine.known} - spec.sysext.sha256.keys()):
        yield Finding(
            (*at, "sysext"),
            f"mesh.sysext has no SHA-256 of {sysext.file_name('tailscale', version, arch)}",
            "a checksum for each architecture of the site",
            f"add `sha256:` with the one that {sysext.sums('tailscale', version)} has",
        )


def _is_configured(spec: TailscaleSpec) -> bool:
    return isinstance(spec.key, ConfiguredKey)


PART = TailscalePart()
