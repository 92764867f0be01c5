"""A small model with its rules, and short ways to check a file of it over layers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sitefile.checked_file import CheckedFile, FileChecker
from sitefile.layers import Layers, read_layers
from sitefile.problems import DataPath, Finding, Problem, render
from sitefile.yaml_source import from_text
from sitefile.yaml_tree import MappingNode

FILE = Path("x.yaml")


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _short(value: str) -> str:
    if len(value) > 20 or not value.islower():
        raise ValueError("expected at most 20 lower-case letters")
    return value


class Box(Spec):
    name: Annotated[str, AfterValidator(_short)]
    """Name of the box."""

    role: Literal["server", "agent"] = "server"
    """What it does."""

    address: Annotated[str, Field(pattern=r"^[\d.]+$")]
    """Where it is."""


class NoMesh(Spec):
    kind: Literal["none"]


class Tailnet(Spec):
    kind: Literal["tailscale"]
    version: str
    """Release."""

    tags: tuple[str, ...] = ()
    """Groups."""


class Manager(Spec):
    kind: Literal["arc", "rancher"]
    chart: str
    """Release of its chart."""

    channel: str = "stable"


class Queue(Spec):
    mib: int
    """Size in MiB."""


class Telemetry(Spec):
    gateway: str
    """Where it goes."""

    queue: Queue | None = None


class Repository(Spec):
    git: str
    branch: str = "main"


class Artifact(Spec):
    oci: str
    tag: str


class Plant(Spec):
    unit: str
    """Id of the plant. More about it."""

    zone: Literal["near", "far"]
    """Distance."""

    boxes: tuple[Box, ...] = ()
    """The machines."""

    mesh: Annotated[NoMesh | Tailnet, Field(discriminator="kind")] = NoMesh(kind="none")
    managers: tuple[Manager, ...] = ()
    """What manages it."""

    telemetry: Telemetry | None = None
    source: Repository | Artifact | None = None
    proxy: str | None = "http://proxy.example.com"
    retries: int = 3


def said(path: DataPath, what: str) -> Finding:
    return Finding(path, what, "something else", "change it")


def rules(plant: Plant, tree: MappingNode) -> Iterator[Finding]:
    servers = [box for box in plant.boxes if box.role == "server"]
    if servers and len(servers) % 2 == 0:
        yield said(("boxes",), f"{len(servers)} servers")
    for index, box in enumerate(plant.boxes):
        if box.address.startswith("192."):
            yield said(("boxes", index, "address"), f"{box.address} is outside")


def layers_of(tmp_path: Path, defaults: str = "", **zones: str) -> Layers:
    (tmp_path / "zones").mkdir(exist_ok=True)
    if defaults:
        (tmp_path / "_defaults.yaml").write_text(defaults)
    for name, text in zones.items():
        (tmp_path / "zones" / f"{name}.yaml").write_text(text)
    return read_layers([tmp_path / "_defaults.yaml"], tmp_path, {"zone": [tmp_path / "zones"]})


def check(text: str, layers: Layers) -> CheckedFile[Plant]:
    checker = FileChecker(Plant, layers, Path("/"), rules=rules)
    return checker.check_source(from_text(text, FILE))


def valid(checked: CheckedFile[Plant]) -> Plant:
    assert checked.model is not None, render(checked.problems)
    return checked.model


def positions(checked: CheckedFile[Plant]) -> list[tuple[int, int, str]]:
    return [(p.line, p.column, p.code) for p in checked.problems]


def only(checked: CheckedFile[Plant]) -> Problem:
    assert len(checked.problems) == 1, render(checked.problems)
    return checked.problems[0]
