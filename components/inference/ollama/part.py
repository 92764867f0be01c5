"""Ollama as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.consequence import Edit, Effect, Removal
from components.egress import Egress
from components.host.machine import Machine
from components.inference import accelerator_checks
from components.inference.ollama.plan import NAME, NAMESPACE, PORT, host_of, in_registry, server
from components.inference.ollama.spec import OllamaSpec
from components.inference.placement import Placement, Refused, place
from components.part import Astray, Building, Part, Phase
from components.view import Demand, Download, Site, Software, Volume
from sitefile.problems import DataPath, Finding

REMOVAL = Removal(
    Edit(
        "ollama-removed",
        "Ollama is removed",
        Effect.INTERRUPTS,
        "deletes the server and its models, which can be pulled again",
    ),
    "models are no longer served, and are pulled again when it comes back.",
)


class OllamaPart(Part[OllamaSpec]):
    """Ollama with the site's language models. It offers no metrics: its release has none in Prometheus' format."""

    spec = OllamaSpec
    phase = Phase.IN_CLUSTER
    module = "components.inference.ollama.component"
    component = "Ollama"
    told = {"ollama_endpoint": "Host and port of Ollama's API in the cluster."}
    removal = REMOVAL
    per_host = True
    belongs_to = {"device_plugin.image": "device_plugin.version"}

    def build(self, spec: OllamaSpec, building: Building) -> None:
        from components.inference.ollama.component import Ollama, OllamaArgs

        site = building.site
        installations = {name: host.identity for name, host in building.hosts.items()}
        Ollama(
            f"{site.name}-ollama",
            OllamaArgs(spec, site, installations, building.joined, building.egress),
            building.in_cluster(),
        )

    def astray(self, spec: OllamaSpec, egress: Egress) -> Mapping[str, Astray]:
        return {}

    def outputs(self, spec: OllamaSpec, site: Site) -> Mapping[str, Any]:
        return {"ollama_endpoint": f"{NAME}.{NAMESPACE}.svc:{PORT}"}

    def demands(self, spec: OllamaSpec, site: Site) -> Mapping[str, Demand]:
        placed = place(server(spec), site.machines, site.taken, time_slices=site.time_slices)
        return {host_of(placed): placed.demands[host_of(placed)]} if isinstance(placed, Placement) else {}

    def time_slices(self, spec: OllamaSpec) -> int:
        return spec.device_plugin.time_slices if spec.device_plugin and spec.device == "gpu" else 1

    def host_checks(self, spec: OllamaSpec, machine: Machine, site: Site) -> str:
        placed = place(server(spec), site.machines, site.taken, time_slices=site.time_slices)
        if spec.device != "gpu" or isinstance(placed, Refused) or machine.name != host_of(placed):
            return ""
        return accelerator_checks.checks(
            "Ollama",
            machine,
            placed,
            site.taken.get(machine.name, Demand()),
            driver=spec.driver,
            jetpack=spec.jetpack or 7,
            image="Ollama, as `inference.ollama` is written,",
            remedy="write `jetpack:` 5 or 6 below `inference.ollama`, or remove it for 7",
        )

    def software(self, spec: OllamaSpec, site: Site) -> Iterator[Software]:
        for model in spec.models:
            name, _, tag = model.name.rpartition(":")
            source = f"oci://{in_registry(model.name)}"
            yield Software(name=name, version=tag, sha256=model.digest, kind="machine-learning-model", source=source)

    def downloads(self, spec: OllamaSpec, at: DataPath) -> Iterator[Download]:
        yield Download.of_image((*at, "image"), "Ollama's image", spec.image)

    def volumes(self, spec: OllamaSpec, at: DataPath) -> Iterator[Volume]:
        yield Volume((*at, "storage_class"), spec.storage_class)

    def rules(self, spec: OllamaSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        if not site.machines:
            return
        placed = place(server(spec), site.machines, site.taken, time_slices=site.time_slices)
        if isinstance(placed, Refused):
            yield Finding(
                (*at, "models"),
                f"no host can run the language models: {'; '.join(str(refusal) for refusal in placed.refusals)}",
                f"a host with {'accelerator' if spec.device == 'gpu' else 'cores'}, memory, power and cooling for all "
                "of them, beside what other servers of the site take",
                "use fewer or smaller models, a smaller `context` or `parallel`, or a larger host",
            )
            return
        (machine,) = (machine for machine in site.machines if machine.name == host_of(placed))
        if spec.device == "gpu":
            yield from accelerator_checks.old_drivers(placed, [machine], spec.driver, (*at, "driver"))
        disk = machine.hardware.disk_gib
        if disk <= spec.storage_gib:
            yield Finding(
                (*at, "storage_gib"),
                f"the volume for models is larger than the disk of {machine.name}, which has {disk} GiB",
                "a volume that the host has room for",
                "lower `storage_gib`, or use smaller models",
            )


PART = OllamaPart()
