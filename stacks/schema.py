"""JSON Schema of a site file: the editor's schema of ``SiteSpec``, with the names of profiles as choices."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

from components.inference.triton.spec import catalogue as models
from sitefile.schema import Json, editor_schema
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import site_layers, site_shape

FILE = Path("stacks") / "site.schema.json"


def site_schema(root: Path = PROJECT_ROOT) -> Json:
    """The schema over the defaults and profiles of the project below ``root``."""
    schema = copy.deepcopy(dict(site_shape().schema))
    _name_choices(schema, root)
    return editor_schema(schema, site_layers(root), "Edge site")


def render(root: Path = PROJECT_ROOT) -> str:
    return json.dumps(site_schema(root), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema, or with ``--check`` only say whether the file is up to date."""
    path = PROJECT_ROOT / FILE
    text = render()
    if "--check" in arguments:
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        print(f"{FILE.as_posix()} is {'up to date' if current else 'out of date: run `python -m stacks.schema`'}")
        return 0 if current else 1
    path.write_text(text, encoding="utf-8")
    print(f"wrote {FILE.as_posix()}")
    return 0


def _name_choices(schema: Json, root: Path) -> None:
    """The names of the project's profiles and models, for the editor to offer."""
    data = catalogue(root)
    host = schema["$defs"]["HostSpec"]["properties"]
    host["hardware"]["enum"] = sorted(data.hardware)
    host["accelerators"]["items"]["enum"] = sorted(data.accelerators)
    served = schema["$defs"]["TritonSpec"]["properties"]["models"]["items"]
    for option in served["oneOf"]:
        if option.get("type") == "string":
            option["enum"] = sorted(models())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
