"""The list of parts: complete, and one budget of each host for all of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from components.inference.triton.part import PART as TRITON
from components.mesh.spec import NoMesh
from components.mesh.tailscale.part import PART as TAILSCALE
from components.mesh.tailscale.spec import TailscaleSpec
from components.part import Part
from components.registration.arc.part import PART as ARC
from components.registration.spec import ArcSpec
from components.specs import Spec
from components.telemetry.part import TelemetryPart
from components.view import Demand
from stacks import parts
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.parts import PARTS, check_complete
from stacks.site import SiteSpec
from tests.components.cluster_objects import image
from tests.components.site_parts import HOST_KEY, VERSION


class NebulaSpec(Spec):
    """A member of a union that nobody builds."""

    kind: Literal["nebula"]


def without(part: Part[Any]) -> list[Part[Any]]:
    return [other for other in PARTS if other is not part]


def test_every_block_of_a_site_file_has_its_part() -> None:
    check_complete(SiteSpec, PARTS)


@pytest.mark.parametrize(
    ("field", "annotation"),
    [
        ("mesh", Annotated[TailscaleSpec | NoMesh | NebulaSpec, Field(discriminator="kind")]),
        ("registrations", tuple[Annotated[ArcSpec | NebulaSpec, Field(discriminator="kind")], ...]),
        ("overlay", NebulaSpec | None),
    ],
    ids=["member of a union", "entry of a list", "block of its own"],
)
def test_a_block_that_no_part_builds_is_refused_by_its_name(field: str, annotation: Any) -> None:
    fields: dict[str, Any] = {field: (annotation, ...)}
    model = create_model("Model", __base__=SiteSpec, **fields)
    with pytest.raises(ImportError, match=r"a site file can ask for NebulaSpec, and no part in stacks/parts\.py"):
        check_complete(model, PARTS)


@pytest.mark.parametrize(("part", "name"), [(TAILSCALE, "TailscaleSpec"), (ARC, "ArcSpec"), (TRITON, "TritonSpec")])
def test_a_part_that_is_not_listed_is_missed(part: Part[Any], name: str) -> None:
    with pytest.raises(ImportError, match=name):
        check_complete(SiteSpec, without(part))


def test_the_list_is_checked_when_it_is_imported() -> None:
    program = (
        "from components.mesh import spec\n"
        "from typing import Annotated, Literal\n"
        "from pydantic import Field\n"
        "class NebulaSpec(spec.NoMesh):\n"
        "    kind: Literal['nebula']\n"
        "spec.Mesh = Annotated[spec.TailscaleSpec | spec.NoMesh | NebulaSpec, Field(discriminator='kind')]\n"
        "import stacks.parts\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.rstrip().endswith(
        "ImportError: a site file can ask for NebulaSpec, and no part in stacks/parts.py builds it"
    )


def site(**triton: Any) -> SiteSpec:
    """Telemetry and Triton on one host that has one accelerator."""
    return SiteSpec.model_validate(
        {
            "site": "shop",
            "tier": "near",
            "region": "eu-central",
            "hosts": [
                {
                    "name": "a",
                    "hardware": "poweredge-xr4000",
                    "address": "10.10.0.11",
                    "host_key": HOST_KEY,
                    "accelerators": ["nvidia-l4"],
                }
            ],
            "k3s": {"version": VERSION, "releases": {VERSION: {"amd64": "1" * 64}}},
            "telemetry": {"gateway": "https://collect.example.com", "image": image("collector")},
            "inference": {
                "triton": {
                    "models": ["yolov9-spatial"],
                    "repository": {"kind": "image", "reference": image("models")},
                    "images": {"server": image("triton")},
                    **triton,
                }
            },
        }
    )


def test_each_part_sees_what_those_before_it_take_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Demand(memory_mib=1000, cores=2, watts=30, accelerators=1)
    monkeypatch.setattr(TelemetryPart, "demands", lambda _part, _spec, _site: {"a": taken})
    seen = {entry.part.spec.__name__: view.taken for entry, view in parts.views(site(), catalogue())}
    assert seen["K3sSpec"] == seen["TelemetrySpec"] == {}
    assert seen["TritonSpec"] == {"a": taken}


@pytest.mark.parametrize(("device", "slices"), [("gpu", 3), ("cpu", 1)])
def test_time_slices_count_where_their_plugin_is_installed(device: str, slices: int) -> None:
    shop = site(device=device, device_plugin={"version": "0.20.0", "time_slices": 3})
    assert {view.time_slices for _, view in parts.views(shop, catalogue())} == {slices}


@pytest.mark.parametrize(
    ("taken", "device", "words"),
    [
        (Demand(memory_mib=129000), "gpu", "MiB RAM, available"),
        (Demand(cores=16), "gpu", "cores CPU, available 0 cores"),
        (Demand(watts=140), "gpu", "W power and cooling, available 0 W"),
        (Demand(accelerators=1), "gpu", "NVIDIA accelerator, available 0"),
        (Demand(memory_mib=129000), "cpu", "MiB RAM, available"),
        (Demand(cores=16), "cpu", "cores CPU, available 0 cores"),
        (Demand(watts=140), "cpu", "W power and cooling, available 0 W"),
    ],
)
def test_models_that_fit_alone_are_refused_beside_what_another_part_takes(
    taken: Demand, device: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = site(device=device)
    assert list(parts.findings(shop, catalogue())) == []
    monkeypatch.setattr(TelemetryPart, "demands", lambda _part, _spec, _site: {"a": taken})
    (finding,) = parts.findings(shop, catalogue())
    assert finding.path == ("inference", "triton", "models")
    assert words in finding.what
    assert "other servers of the site" in finding.what


def test_triton_says_what_it_takes_of_each_host_that_it_may_run_on() -> None:
    entry, view = list(parts.views(site(), catalogue()))[-1]
    assert entry.part is TRITON
    demands = TRITON.demands(entry.spec, view)
    assert demands.keys() == {"a"}
    assert demands["a"].accelerators == 1
    assert min(demands["a"].memory_mib, demands["a"].cores, demands["a"].watts) > 0
