"""OpenTelemetry's collector, made of upstream modules by its own builder (`otelcol/builder.yaml`), and its image.

The image is under the name of the official one, with the lab's authority among those that it trusts, or with none.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.authority import Authority
from lab.builds import STATIC, go_program
from lab.oci.artifact import Artifact, Program, image, layer

REPOSITORY = "otel/opentelemetry-collector-contrib"

_MODULE = Path(__file__).parent / "otelcol"
_DISTRIBUTION = yaml.safe_load((_MODULE / "builder.yaml").read_text())["dist"]
_NAME, VERSION = _DISTRIBUTION["name"], _DISTRIBUTION["version"]
_USER = 10001
_AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"


def program() -> Path:
    """The static executable, built where it is not in the cache yet; raises EngineError with one clear line."""
    flags = f"{STATIC['GOFLAGS']} -tags={_DISTRIBUTION['build_tags']}"
    return go_program(_MODULE, ".", _NAME, environment={**STATIC, "GOFLAGS": flags})


def images(authority: Authority | None) -> dict[str, dict[str, Artifact]]:
    """For `lab.oci.registry.Registry`: repository -> tag -> the collector's image, which trusts ``authority``."""
    trusted = authority.ca_file.read_bytes() if authority else b""
    files = [(_NAME, program().read_bytes(), 0o755)], [(_AUTHORITIES, trusted, 0o644)]
    made = image([layer(each) for each in files], Program([f"/{_NAME}"], user=_USER))
    return {REPOSITORY: {VERSION: made}}


def reference(images: dict[str, dict[str, Artifact]]) -> str:
    """What a site's `telemetry.image` says for these ``images``."""
    return f"docker.io/{REPOSITORY}:{VERSION}@{images[REPOSITORY][VERSION].digest}"
