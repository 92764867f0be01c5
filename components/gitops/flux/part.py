"""Flux as a part of a site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from components import urls
from components.consequence import Consequence
from components.egress import Egress
from components.gitops.flux.consequences import EDITS, consequences
from components.gitops.flux.credentials import required_secrets
from components.gitops.flux.plan import site_variables, wait_s
from components.gitops.flux.sources import GitSource
from components.gitops.flux.spec import FluxSpec, seconds
from components.host.applied import Applied, Pair
from components.part import Astray, Building, Part, Phase
from components.view import Download, SecretNeed, Site, Software
from sitefile.problems import DataPath, Finding
from sitefile.yaml_tree import resolve

_REASONS = {
    "git-ssh-key": "deploy key of the Git repository",
    "git-password": "password or token of the Git repository",
    "github-app-key": "private key of the GitHub App that reads the repository",
    "oci-password": "password or token at the registry of the source",
    "source-proxy-password": "password at the proxy on the way to the source",
    "sops-age-key": "decrypts the repository's SOPS files",
    "git-status-token": "may write the status of commits of the repository",
}


class FluxPart(Part[FluxSpec]):
    """The cluster pulls its workloads."""

    spec = FluxSpec
    phase = Phase.IN_CLUSTER
    module = "components.gitops.flux.component"
    component = "Flux"
    told = {"flux_version": "Flux release."}
    edits = EDITS
    belongs_to = {"operator.image": "operator.version"}

    def build(self, spec: FluxSpec, building: Building) -> None:
        from components.gitops.flux.component import Flux, FluxArgs

        site = building.site
        secrets = {key: building.secret(key) for key in required_secrets(spec)}
        Flux(
            f"{site.name}-flux",
            FluxArgs(
                spec=spec,
                site=site,
                secrets=secrets,
                egress=building.egress,
            ),
            building.in_cluster(),
        )

    def astray(self, spec: FluxSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def secrets(self, spec: FluxSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(key, _REASONS.get(key) or _of_receiver(key)) for key in required_secrets(spec)]

    def outputs(self, spec: FluxSpec, site: Site) -> Mapping[str, Any]:
        return {"flux_version": spec.distribution.version}

    def downloads(self, spec: FluxSpec, at: DataPath) -> Iterator[Download]:
        chart = urls.parse(spec.operator.chart).host
        yield Download(
            (*at, "operator", "chart"), "flux-operator's chart", chart, "name a `chart` of your own registry"
        )
        registry = spec.distribution.registry.partition("/")[0]
        remedy = "name a `registry` of your own, or add it (or `*`) to `k3s.registries`"
        yield Download((*at, "distribution", "registry"), "Flux' images", registry, remedy, of_cluster=True)

    def software(self, spec: FluxSpec, site: Site) -> Iterator[Software]:
        # Which releases of the controllers it has is written nowhere here: the operator knows.
        yield Software(
            name="flux",
            version=spec.distribution.version,
            source=spec.distribution.registry,
            packages=("pkg:golang/github.com/fluxcd/flux2",),
        )

    def rules(self, spec: FluxSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        yield from self._variables(spec, at, site)
        yield from self._by_ssh(spec, at, site)
        if (limit_s := wait_s(spec)) is not None and limit_s < seconds(spec.source.timeout):
            yield Finding(
                (*at, "wait_ready"),
                f"`up` waits {spec.wait_ready} until the source is Ready, and one attempt to read it may take "
                f"{spec.source.timeout}: `up` may give up before Flux says why it fails",
                "longer than `source.timeout`",
                "remove `wait_ready`: without it, `up` waits 15 s longer than `source.timeout`",
                advice=True,
            )

    def _by_ssh(self, spec: FluxSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        source = spec.source
        if isinstance(source, GitSource) and source.ssh and site.egress.proxy:
            host = urls.parse(source.git).host
            if not site.egress.proxy.leaves_out(host):
                yield Finding(
                    (*at, "source", "git"),
                    f"no proxy for HTTP leads to {host} by ssh",
                    "an https:// repository behind a proxy",
                    f"write an https:// URL, or add `{host}` to `network.proxy.no_proxy` if the site reaches it",
                )

    def _variables(self, spec: FluxSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        facts: Mapping[str, str] = {}
        try:
            facts = site_variables(site=site.name, tier=site.tier, region=site.region, labels=site.labels)
        except ValueError as error:
            yield Finding(("labels",), str(error), "labels whose variables differ", "rename one of them")
        if not spec.substitute:
            return
        for name in spec.variables:
            if name in facts:
                yield Finding(
                    (*at, "variables", name),
                    f"`${{{name}}}` already stands for this site's {name.replace('label_', 'label ')}",
                    "a variable of another name",
                    "rename it, also in the manifests",
                )
        values: list[tuple[DataPath, str]] = [(("site",), site.name), (("region",), site.region)]
        values += [(("labels", key), value) for key, value in site.labels.items()]
        own = [((*at, "variables", name), value) for name, value in spec.variables.items()]
        # A number or a truth value is meant as one here, as long as it stays what it is.
        values += [(path, value) for path, value in own if json.dumps(_as_yaml(value), default=str) != value]
        for path, value in values:
            if not isinstance(meant := _as_yaml(value), str):
                yield Finding(
                    path,
                    f"`{value}` is no text once Flux has put it into a manifest: YAML reads {_called(meant)}",
                    "a value that stays text, such as one with a letter in front",
                    f'write another value, or put the variable in quotes in every manifest: "${{{_variable(path)}}}"',
                    advice=True,
                )

    def consequences(
        self, before: Applied, pairs: Sequence[Pair], spec: FluxSpec | None, site: Site
    ) -> Iterator[Consequence]:
        return consequences(before, spec, site)


def _of_receiver(key: str) -> str:
    return f"address or token of the receiver {key.removeprefix('flux-alert-')}"


def _as_yaml(value: str) -> Any:
    """What Flux' controllers read where ``value`` stands without quotes. They know the words of YAML 1.1 as well."""
    if not isinstance(newer := resolve(value), str):
        return newer
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        return None


def _called(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"the number {value:g}"
    return "nothing" if value is None else "a date"


def _variable(path: DataPath) -> str:
    if "variables" in path:
        return str(path[-1])
    return f"label_{re.sub(r'[^a-z0-9]', '_', str(path[1]).lower())}" if len(path) > 1 else str(path[0])


PART = FluxPart()
