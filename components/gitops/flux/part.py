"""Flux as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.consequence import Consequence
from components.gitops.flux.consequences import EDITS, consequences
from components.gitops.flux.plan import required_secrets, site_variables
from components.gitops.flux.spec import FluxSpec
from components.host.applied import Applied, Pair
from components.part import Building, Part, Phase
from components.view import SecretNeed, Site
from sitefile.problems import DataPath, Finding

_REASONS = {
    "git-ssh-key": "deploy key of the Git repository",
    "git-password": "password or token of the Git repository",
    "sops-age-key": "decrypts the repository's SOPS files",
}


class FluxPart(Part[FluxSpec]):
    """The cluster pulls its workloads."""

    spec = FluxSpec
    phase = Phase.IN_CLUSTER
    module = "components.gitops.flux.component"
    component = "Flux"
    edits = EDITS

    def build(self, spec: FluxSpec, building: Building) -> None:
        from components.gitops.flux.component import Flux, FluxArgs

        site = building.site
        secrets = {key: building.secret(key) for key in required_secrets(spec)}
        Flux(
            f"{site.name}-flux",
            FluxArgs(
                spec=spec,
                site=site,
                git_ssh_key=secrets.get("git-ssh-key"),
                git_password=secrets.get("git-password"),
                sops_age_key=secrets.get("sops-age-key"),
            ),
            building.in_cluster(),
        )

    def secrets(self, spec: FluxSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(key, _REASONS[key]) for key in required_secrets(spec)]

    def outputs(self, spec: FluxSpec, site: Site) -> Mapping[str, Any]:
        return {"flux_version": spec.distribution.version}

    def rules(self, spec: FluxSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        try:
            site_variables(site=site.name, tier=site.tier, region=site.region, labels=site.labels)
        except ValueError as error:
            yield Finding(("labels",), str(error), "labels whose variables differ", "rename one of them")

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: FluxSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, spec, site)


PART = FluxPart()
