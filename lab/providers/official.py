"""The official Kubernetes plugin, built from its publisher's Go module, whose pins are in kubernetes_plugin/.

Some minutes on two cores the first time, none after. The module is of January 2026 and has a version of that day only,
so the engine warns that it is older than the SDK. The command plugin is not published as a module.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.obtain.pin import EngineError
from lab.builds import completed_program, pinned

_PINS = Path(__file__).with_name("kubernetes_plugin")
_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
_PACKAGE = "cmd/pulumi-resource-kubernetes"
_COMPLETED = "schema and mapping"


def kubernetes_plugin() -> Path:
    """`pulumi-resource-kubernetes`, built where it is not in the cache; raises EngineError with one clear line."""
    return completed_program(
        _PINS,
        _MODULE,
        _PACKAGE,
        "pulumi-resource-kubernetes",
        _put_schema,
        _COMPLETED,
        link=f"-s -w -X {_MODULE}/pkg/version.Version={version()}",
    )


def version() -> str:
    """What the plugin says that it is."""
    return pinned(_PINS, _MODULE).removeprefix("v")


def _put_schema(module: Path) -> None:
    """What the publisher's `go generate` makes of the schema: the same, with its version."""
    package = module / _PACKAGE
    schema = json.loads((package / "schema.json").read_text())
    (package / "schema-embed.json").write_text(json.dumps({**schema, "version": version()}))
    (package / "terraform-mapping-embed.json").write_bytes((package / "terraform-mapping.json").read_bytes())


def _main() -> None:
    try:
        print(kubernetes_plugin().parent)
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    _main()
