"""JSON Schemas for the files that people write: sites, their defaults, profiles, models, the fleet, policy settings.

Each is the editor's schema of the model that checks the file. That of a site has the names of profiles as choices.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from components.host.spec import HardwareProfile
from components.inference.triton.spec import ModelCatalogue
from components.inference.triton.spec import catalogue as models
from sitefile.layers import Layers
from sitefile.schema import Json, editor_schema, layer_schema
from sitefile.spec_shape import SpecShape
from stacks.catalogue import PROJECT_ROOT, Accelerators, GroupProfile, TierProfile, catalogue
from stacks.fleet.spec import FleetSpec
from stacks.loader import site_layers, site_shape
from stacks.project import PROGRAM_ROOT, data_folder

FILE = Path("stacks") / "site.schema.json"
"""The schema of a site file."""


def site_schema(root: Path = PROJECT_ROOT) -> Json:
    """The schema over the defaults and profiles of the project below ``root``."""
    schema = copy.deepcopy(dict(site_shape().schema))
    _name_choices(schema, root)
    return editor_schema(schema, site_layers(root), "Edge site")


def defaults_schema(root: Path = PROJECT_ROOT) -> Json:
    """What sites leave out: parts of a site, each below the condition under which it holds."""
    schema = copy.deepcopy(dict(site_shape().schema))
    _name_choices(schema, root)
    return layer_schema(schema, "Defaults of edge sites")


def _with_defaults(model: type[BaseModel], title: str) -> Callable[[Path], Json]:
    """The schema of a file that selects a layer: plain defaults, or defaults below the condition for them."""

    def schema(root: Path) -> Json:
        own = _of(model, title)(root)
        site = defaults_schema(root)
        own["definitions"] = {**site["definitions"], **own["definitions"]}
        own["properties"]["defaults"] |= {"anyOf": [site["properties"]["always"], {"properties": site["properties"]}]}
        return own

    return schema


def _of(model: type[BaseModel], title: str) -> Callable[[Path], Json]:
    def schema(_root: Path) -> Json:
        return editor_schema(SpecShape(model).schema, Layers(), title)

    return schema


def _waivers(root: Path) -> Json:
    # Only here, as below: the policies are no part of what describes a site.
    from policies.company_waivers import CompanyWaiversSpec

    return _of(CompanyWaiversSpec, "Waivers of a company")(root)


def _settings(_root: Path) -> Json:
    from policies.settings import file_schema

    return file_schema()


SCHEMAS: Mapping[Path, Callable[[Path], Json]] = {
    FILE: site_schema,
    Path("stacks/defaults.schema.json"): defaults_schema,
    Path("stacks/fleet.schema.json"): _of(FleetSpec, "Fleet of edge sites"),
    Path("stacks/profiles/hardware.schema.json"): _of(HardwareProfile, "Hardware profile"),
    Path("stacks/profiles/accelerators.schema.json"): _of(Accelerators, "Accelerators"),
    Path("stacks/profiles/tiers.schema.json"): _with_defaults(TierProfile, "Tier"),
    Path("stacks/groups.schema.json"): _with_defaults(GroupProfile, "Group of edge sites"),
    Path("policies/waivers.schema.json"): _waivers,
    Path("policies/config.schema.json"): _settings,
    Path("components/inference/triton/models.schema.json"): _of(ModelCatalogue, "Models"),
}
"""Where editors look for each schema -> what makes it."""


def render(file: Path = FILE, root: Path = PROJECT_ROOT) -> str:
    return json.dumps(SCHEMAS[file](root), indent=2, ensure_ascii=False) + "\n"


def places(root: Path) -> dict[Path, Path]:
    """Schema -> where editors look for it below ``root``. A company's repository has no files of models."""
    data = data_folder(root).relative_to(root)
    own = {file: data / file.relative_to("stacks") for file in SCHEMAS if file.parts[0] == "stacks"}
    own |= {file: file for file in SCHEMAS if file.parts[0] == "policies"}
    return {file: own.get(file, file) for file in SCHEMAS if file in own or root == PROGRAM_ROOT}


def write(root: Path = PROJECT_ROOT, *, check_only: bool = False) -> dict[Path, str]:
    """Write the files that are out of date, or only say which; each file with its state."""
    states = {}
    for schema, file in places(root).items():
        path, text = root / file, render(schema, root)
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        if not current and not check_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        states[file] = "up to date" if current else "out of date" if check_only else "written"
    return states


def main(arguments: list[str]) -> int:
    """Write the schemas, or with ``--check`` only say whether the files are up to date."""
    states = write(check_only="--check" in arguments)
    for file, state in states.items():
        print(f"{file.as_posix()}: {state}")
    return 1 if "out of date" in states.values() else 0


def _name_choices(schema: Json, root: Path) -> None:
    """The names of the project's profiles and models, for the editor to offer."""
    data = catalogue(root)
    host = schema["$defs"]["HostSpec"]["properties"]
    host["hardware"]["enum"] = sorted(data.hardware)
    host["accelerators"]["items"]["enum"] = sorted(data.accelerators)
    if data.groups:
        schema["properties"]["groups"]["items"]["enum"] = sorted(data.groups)
    served = schema["$defs"]["TritonSpec"]["properties"]["models"]["items"]
    for option in served["oneOf"]:
        if option.get("type") == "string":
            option["enum"] = sorted(models())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
