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

MODULE = "github.com/controlplaneio-fluxcd/flux-operator@v0.58.1"
FLUX = "v2.9.4"
"""The operator has the definitions of each release of Flux that it can install."""
FILES = {
    "config/crd/bases/fluxcd.controlplane.io_fluxinstances.yaml": ("fluxinstances",),
    f"config/data/flux/{FLUX}/source-controller.yaml": (
        "gitrepositories",
        "ocirepositories",
        "helmrepositories",
        "buckets",
    ),
    f"config/data/flux/{FLUX}/kustomize-controller.yaml": ("kustomizations",),
    f"config/data/flux/{FLUX}/notification-controller.yaml": ("alerts", "providers"),
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
        answer = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], cwd=folder, capture_output=True, text=True, check=True
        )
        module = Path(json.loads(answer.stdout)["Dir"])
    for file, plurals in FILES.items():
        for definition in yaml.safe_load_all((module / file).read_text()):
            plural = (definition or {}).get("spec", {}).get("names", {}).get("plural")
            if definition is None or definition["kind"] != "CustomResourceDefinition" or plural not in plurals:
                continue
            document = {"source": f"{MODULE} {file}", "kinds": schemas(definition)}
            target = HERE / f"{plural}.json"
            target.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")
            print(target.name, ", ".join(document["kinds"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
