"""Triton as a part of a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.consequence import Edit, Effect, Removal
from components.egress import Egress
from components.host.machine import Machine
from components.inference import accelerator_checks
from components.inference.jetpack import jetpack_of
from components.inference.placement import Placement, Refused, place
from components.inference.triton.plan import (
    GRPC_PORT,
    HTTP_PORT,
    METRICS_PORT,
    NAME,
    NAMESPACE,
    required_secrets,
    server,
    store_host,
)
from components.inference.triton.spec import ImageRepository, S3Repository, TritonSpec
from components.part import Astray, Building, Part, Phase
from components.view import Demand, Download, Scrape, SecretNeed, Site, Software
from sitefile.problems import DataPath, Finding

IMAGE_VOLUMES_MINOR = 35
"""Kubernetes 1.x from which on a pod can mount an image as a volume."""

_REASONS = {
    "model-store-access-key": "key id of the model store",
    "model-store-secret-key": "key of the model store",
}

_ELSEWHERE = "use an image or a claim as `repository`"
_NO_PROXY = Astray(
    # `allowSystemProxy` of the AWS SDK, in src/filesystem/implementations/s3.h of Triton's core.
    "Triton's client of S3 does not look for a proxy",
    f"name the model store in `network.proxy.no_proxy` where it is reached without, or {_ELSEWHERE}",
)
_NO_AUTHORITIES = Astray(
    "Triton's client of S3 trusts the authorities in its image, and no setting of it names others",
    f"build them into the image and remove `network.trusted_cas`, or {_ELSEWHERE}",
)

REMOVAL = Removal(
    Edit("triton-removed", "Triton is removed", Effect.INTERRUPTS, "deletes the server"),
    "models are no longer served; their repository stays as it is.",
)


class TritonPart(Part[TritonSpec]):
    """NVIDIA Triton with the site's models."""

    spec = TritonSpec
    phase = Phase.IN_CLUSTER
    module = "components.inference.triton.component"
    component = "Inference"
    told = {
        "inference_http_endpoint": "Host and port of Triton's HTTP API in the cluster.",
        "inference_grpc_endpoint": "Host and port of Triton's gRPC API in the cluster.",
        "inference_metrics_endpoint": "Host and port of Triton's metrics in the cluster.",
    }
    removal = REMOVAL
    per_host = True
    belongs_to = {"device_plugin.image": "device_plugin.version"}

    def build(self, spec: TritonSpec, building: Building) -> None:
        from components.inference.triton.component import Triton, TritonArgs

        site = building.site
        secrets = {key: building.secret(key) for key in required_secrets(spec)}
        Triton(
            f"{site.name}-inference",
            TritonArgs(
                spec=spec,
                site=site,
                installations={name: host.identity for name, host in building.hosts.items()},
                joined=building.joined,
                model_store_access_key=secrets.get("model-store-access-key"),
                model_store_secret_key=secrets.get("model-store-secret-key"),
            ),
            building.in_cluster(),
        )

    def astray(self, spec: TritonSpec, egress: Egress) -> Mapping[str, Astray]:
        # Images are containerd's business; models of a claim or an image are on the host.
        if not isinstance(spec.repository, S3Repository):
            return {}
        found = {"trusted_cas": _NO_AUTHORITIES} if egress.authorities else {}
        if egress.proxy and not egress.proxy.leaves_out(store_host(spec.repository)):
            found["proxy"] = _NO_PROXY
        return found

    def secrets(self, spec: TritonSpec) -> Sequence[SecretNeed]:
        return [SecretNeed(key, _REASONS[key]) for key in required_secrets(spec)]

    def outputs(self, spec: TritonSpec, site: Site) -> Mapping[str, Any]:
        return {
            f"inference_{protocol}_endpoint": f"{NAME}.{NAMESPACE}.svc:{port}"
            for protocol, port in (("http", HTTP_PORT), ("grpc", GRPC_PORT), ("metrics", METRICS_PORT))
        }

    def scrapes(self, spec: TritonSpec) -> Sequence[Scrape]:
        return [Scrape("inference-server", NAMESPACE, METRICS_PORT, interval_s=15, keep="nv_.*")]

    def demands(self, spec: TritonSpec, site: Site) -> Mapping[str, Demand]:
        placed = place(server(spec), site.machines, site.taken, time_slices=site.time_slices)
        return placed.demands if isinstance(placed, Placement) else {}

    def time_slices(self, spec: TritonSpec) -> int:
        return spec.device_plugin.time_slices if spec.device_plugin and spec.device == "gpu" else 1

    def host_checks(self, spec: TritonSpec, machine: Machine, site: Site) -> str:
        if spec.device != "gpu":
            return ""
        return accelerator_checks.checks(
            "Triton",
            machine,
            place(server(spec), site.machines, site.taken, time_slices=site.time_slices),
            site.taken.get(machine.name, Demand()),
            driver=spec.driver,
            jetpack=spec.jetpack or jetpack_of(spec.images.get("jetson")),
            image="`inference.triton.images.jetson`",
            remedy="write an image for the JetPack that it has there",
        )

    def software(self, spec: TritonSpec, site: Site) -> Iterator[Software]:
        # An image with models is seen as an image, with its digest. Nothing pins what a bucket or a volume holds.
        for model in spec.contracts:
            yield Software(
                name=model.name,
                version=str(model.version),
                kind="machine-learning-model",
                source=spec.repository.url if isinstance(spec.repository, S3Repository) else "",
            )

    def downloads(self, spec: TritonSpec, at: DataPath) -> Iterator[Download]:
        for platform, image in spec.images.items():
            yield Download.of_image((*at, "images", platform), "Triton's image", image)
        if isinstance(spec.repository, ImageRepository):
            yield Download.of_image((*at, "repository", "reference"), "the models' image", spec.repository.reference)

    def rules(self, spec: TritonSpec, at: DataPath, site: Site) -> Iterator[Finding]:
        # Any host may be the one that fits, so all must be known.
        if not site.machines or not all(machine.known for machine in site.machines):
            return
        placed = place(server(spec), site.machines, site.taken, time_slices=site.time_slices)
        if isinstance(placed, Refused):
            needed, more = (
                "accelerator",
                "add an accelerator to a host, use fewer or smaller models, or write `device: cpu`",
            )
            if spec.device == "cpu":
                needed, more = "cores", "use fewer or smaller models, or a larger host"
            yield Finding(
                (*at, "models"),
                f"no host can run the models: {'; '.join(str(refusal) for refusal in placed.refusals)}",
                f"a host with {needed}, memory, power and cooling for all of them",
                more,
            )
        elif placed.platform not in spec.images:
            yield Finding(
                (*at, "images"),
                f"no `{placed.platform}` image, which the hosts that fit need",
                f"an image for `{placed.platform}`",
                f"add `{placed.platform}:` with digest",
            )
        if isinstance(placed, Placement) and spec.device == "gpu":
            yield from accelerator_checks.old_drivers(placed, site.machines, spec.driver, (*at, "driver"))
        if isinstance(spec.repository, ImageRepository):
            yield from _image_volumes(site)


def _image_volumes(site: Site) -> Iterator[Finding]:
    """A server may be placed on any host that fits, so each must be new enough."""
    versions: dict[str, DataPath] = {}
    for machine in site.machines:
        own = ("hosts", machine.index, "k3s_version")
        path: DataPath = own if machine.spec.k3s_version else ("k3s", "version")
        if version := site.kubernetes.get(machine.name):
            versions.setdefault(version, path)
    for version, path in versions.items():
        if int(version.split(".")[1]) < IMAGE_VOLUMES_MINOR:
            yield Finding(
                path,
                f"models in an image need image volumes, which {version} has not",
                f"Kubernetes 1.{IMAGE_VOLUMES_MINOR} or newer",
                "upgrade K3s, or keep the models in `kind: s3` or `kind: claim`",
            )


PART = TritonPart()
