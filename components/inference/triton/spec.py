"""What a human writes about the models that Triton serves.

The keys of a model store are the stack's secrets `model-store-access-key` and `model-store-secret-key`.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, RootModel, Tag, model_validator

from components import urls
from components.inference.device_plugin import DevicePluginSpec
from components.inference.jetpack import jetpack_of
from components.inference.needs import CpuNeeds, GpuNeeds, Platform
from components.specs import Spec
from components.types import DnsLabel, HttpsUrl, ImageRef, NonEmpty
from sitefile.entries import Entries, read_entries
from sitefile.problems import Finding, Unfit
from sitefile.spec_shape import UNIT

ModelId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", examples=["yolov9-spatial"])]
Count = Annotated[int, Field(ge=0)]


def _endpoint_of_triton(value: str) -> str:
    # Its pattern of an address takes letters, digits, hyphens and dots; the whole is a bucket's name otherwise, at AWS.
    if ":" in urls.parse(value).host:
        raise Unfit(
            "Triton's client of S3 takes no IPv6 address",
            "a name, or an IPv4 address",
            "give the store a name in the DNS of the site",
        )
    return value


class Tensor(Spec):
    """One input or output of a model."""

    name: Annotated[NonEmpty, Field(examples=["images"])]
    """Name in the model."""

    type: Literal["FP32", "FP16", "BF16", "INT8", "INT16", "INT32", "INT64", "UINT8", "BOOL", "STRING"]
    """Element type."""

    dims: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(min_length=1, examples=[[3, 640, 640]])]
    """Shape; -1 stands for a dimension that varies. With `max_batch` 0 the batch dimension is part of it."""


class ModelContract(Spec):
    """A model as its clients and its server see it."""

    source: Annotated[NonEmpty, Field(examples=["measured on the bench, 2026-10"])]
    """Where the contract and the figures come from, and what is assumed."""

    backend: Literal["onnxruntime", "tensorrt", "python", "pytorch", "openvino", "ensemble"]
    """Triton backend. TensorRT plans fit the device that they were built on. An ensemble is described by its own
    configuration only, and Triton loads the models that it is made of with it."""

    configuration: Literal["generated", "repository"] = "generated"
    """Where `config.pbtxt` comes from: made from this contract, or the one that lies beside the model in its
    repository, with batching, warm-up, instance groups and all else that is in it. Models in S3 have their own in any
    case."""

    version: Annotated[int, Field(ge=1)] = 1
    """Version folder that is served."""

    max_batch: Count = 0
    """Largest batch that Triton may form; 0 when the model's own shape fixes it."""

    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    """Input tensors."""

    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    """Output tensors."""

    gpu: GpuNeeds | None = None
    """Needs on an accelerator; absent for a model that only runs on the CPU."""

    cpu: CpuNeeds | None = None
    """Needs on the CPU; absent for a model that only runs on an accelerator."""

    @model_validator(mode="after")
    def _runs_somewhere(self) -> ModelContract:
        if self.gpu is None and self.cpu is None:
            raise ValueError("expected `gpu` or `cpu`: a model without either cannot be placed")
        if self.backend == "ensemble" and self.configuration == "generated":
            raise ValueError("expected `configuration: repository`: only its own configuration says what it is made of")
        return self


class Model(ModelContract):
    """A model that the catalogue does not have."""

    name: ModelId
    """Name that clients ask for, and folder in the repository."""


class ModelCatalogue(RootModel[dict[ModelId, ModelContract]]):
    """All of `models.yaml`: name -> contract."""


CATALOGUE = Path(__file__).parent / "models.yaml"


@functools.lru_cache(maxsize=1)
def catalogue_file(path: Path = CATALOGUE) -> Entries[ModelContract]:
    """The contracts of the models that a site can name, and what is wrong with their file."""
    return read_entries(path, Path(__file__).parents[3], ModelCatalogue, ModelContract)


@functools.lru_cache(maxsize=1)
def catalogue() -> dict[str, Model]:
    """The models that a site can name, from ``models.yaml``."""
    return {
        name: Model.model_validate({**dict(contract), "name": name})
        for name, contract in catalogue_file().found.items()
    }


def _known(name: str) -> str:
    known = catalogue()
    if name in catalogue_file().broken:
        problem = catalogue_file().broken[name]
        raise ValueError(f"its description has errors, the first in {problem.file.as_posix()}:{problem.line}")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"{meant}The catalogue has {', '.join(sorted(known))}; describe any other model in full")
    return name


ModelRef = Annotated[
    Annotated[ModelId, AfterValidator(_known), Tag("name")] | Annotated[Model, Tag("model")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "model"),
]


class ImageRepository(Spec):
    """Models in an OCI image, mounted as a volume: pulled, cached and pinned like any other image."""

    kind: Literal["image"]
    """Selects this repository. Needs Kubernetes 1.35 or newer."""

    reference: ImageRef
    """The image, with folders `<model>/<version>/`."""


class S3Repository(Spec):
    """Models in an S3 bucket, read at start. It must hold their `config.pbtxt` too: the expected ones are in the
    ConfigMap `triton-models`."""

    kind: Literal["s3"]
    """Selects this repository."""

    url: Annotated[
        str,
        Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./-]*)?$", examples=["s3://models/edge"]),
    ]
    """s3://bucket/path of the repository."""

    region: Annotated[DnsLabel, Field(examples=["eu-central-1"])]
    """Region of the bucket."""

    endpoint: Annotated[HttpsUrl, AfterValidator(_endpoint_of_triton)] | None = None
    """URL of an S3-compatible store at the site, instead of AWS."""


class ClaimRepository(Spec):
    """Models on a volume of the site, with folders `<model>/<version>/`. For TensorRT plans that are built there."""

    kind: Literal["claim"]
    """Selects this repository."""

    name: Annotated[DnsLabel, Field(examples=["models"])]
    """PersistentVolumeClaim in the namespace `edge-inference`."""


Repository = Annotated[ImageRepository | S3Repository | ClaimRepository, Field(discriminator="kind")]


class TritonSpec(Spec):
    """NVIDIA Triton on ports 8000 (HTTP), 8001 (gRPC) and 8002 (metrics) of `triton.edge-inference.svc`."""

    models: Annotated[tuple[ModelRef, ...], Field(min_length=1)]
    """Models to serve: names from the catalogue, or described in full."""

    device: Literal["gpu", "cpu"] = "gpu"
    """What runs the models. A site without GPU says cpu."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 1
    """Servers, at most one on each host."""

    repository: Repository
    """Where the models' files are."""

    images: Annotated[
        dict[Platform, ImageRef],
        Field(min_length=1, examples=[{"server": "nvcr.io/nvidia/tritonserver:26.07-py3@sha256:..."}]),
    ]
    """Platform -> Triton image. A Jetson takes an `-igpu` image up to 26.02, and the server image from 26.03 on."""

    driver: Annotated[int, Field(ge=340, le=9999, examples=[575])] = 535
    """Oldest branch of NVIDIA's driver that a host with a GPU may have. 535 is what images of 2026 run with on GPUs for
    data centers (L4, T4); other GPUs need 575 or newer. A Jetson's driver is part of JetPack."""

    jetpack: Literal[6, 7] | None = None
    """JetPack release that `images.jetson` is for. Without it its tag says so: `-igpu` is for 6, any other
    for 7."""

    shared_memory_mib: (
        Annotated[int, Field(ge=64, le=262_144, examples=[1024], json_schema_extra={UNIT: "MiB"})] | None
    ) = None
    """Size of `/dev/shm`, by which Python models exchange tensors with the server, in MiB. It is part of the server's
    memory. By default containers have 64 MiB, which larger tensors exceed."""

    device_plugin: DevicePluginSpec | None = None
    """Device plugin to install; null where the cluster has one already."""

    def conflicts(self) -> Iterator[Finding]:
        told = jetpack_of(self.images.get("jetson"))
        if self.jetpack and told and self.jetpack != told:
            yield Finding(
                ("jetpack",),
                f"`images.jetson` is for JetPack {told} by its tag, and `jetpack` says {self.jetpack}",
                "an image for the JetPack that the hosts have: a tag `-igpu` for 6, one without for 7",
                "remove `jetpack`, or change the image",
            )
        names = [model.name for model in self.contracts]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Finding(
                    ("models", index), f"{name} is listed more than once", "each model once", "remove it here"
                )

    @property
    def contracts(self) -> tuple[Model, ...]:
        """The models, each described in full."""
        return tuple(catalogue()[model] if isinstance(model, str) else model for model in self.models)
