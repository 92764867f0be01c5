"""Rewrites the schemas in this folder from the CustomResourceDefinitions in the pinned Go modules.

    python -m engine.rehearsal.crds.refresh

Keeps structure only: types, required, enums, patterns and bounds; no descriptions, no status. Needs `go` on PATH, which
fetches the modules by its ordinary client.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

MODULES = {
    "github.com/fluxcd/source-controller@v1.7.0": ("gitrepositories", "ocirepositories", "helmrepositories", "buckets"),
    "github.com/fluxcd/kustomize-controller@v1.7.3": ("kustomizations",),
    "github.com/controlplaneio-fluxcd/flux-operator@v0.58.1": ("fluxinstances",),
}
KEPT = (
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "maxItems",
    "minItems",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
)
HERE = Path(__file__).parent


def structure(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of an OpenAPI schema that a check needs; an object without ``additionalProperties`` is closed."""
    kept: dict[str, Any] = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("required"):
        kept["required"] = sorted(schema["required"])
    if "properties" in schema:
        kept["properties"] = {key: structure(value) for key, value in sorted(schema["properties"].items())}
    if "items" in schema:
        kept["items"] = structure(schema["items"])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        kept["additionalProperties"] = structure(extra)
    elif extra is True:
        kept["additionalProperties"] = {}
    return kept


def schemas(definition: dict[str, Any]) -> dict[str, Any]:
    """``{"<group>/<version> <kind>": schema}`` for each served version of one CustomResourceDefinition."""
    spec = definition["spec"]
    found = {}
    for version in spec["versions"]:
        if not version["served"]:
            continue
        properties = version["schema"]["openAPIV3Schema"]["properties"]
        found[f"{spec['group']}/{version['name']} {spec['names']['kind']}"] = {
            "scope": spec["scope"],
            "deprecated": bool(version.get("deprecated")),
            "spec": structure(properties["spec"]),
        }
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "go.mod").write_text("module crds\n\ngo 1.22\n")
        for module, plurals in MODULES.items():
            answer = subprocess.run(
                ["go", "mod", "download", "-json", module], cwd=folder, capture_output=True, text=True, check=True
            )
            bases = Path(json.loads(answer.stdout)["Dir"], "config", "crd", "bases")
            for file in sorted(bases.glob("*.yaml")):
                plural = file.stem.partition("_")[2]
                if plural not in plurals:
                    continue
                document = {"source": module, "kinds": schemas(yaml.safe_load(file.read_text()))}
                target = HERE / f"{plural}.json"
                target.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")
                print(target.name, ", ".join(document["kinds"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
