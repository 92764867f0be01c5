"""What a registry serves for Flux: the images of the operator and the controllers, and the operator's chart.

The chart is a stand-in, since the original's repository is no Go module: the manifests of the operator's own module, as
a chart that takes those values of the original which a site sets.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.gitops.build import Programs, operator_version, version
from lab.oci.artifact import Artifact, Program, chart, image, layer, program_image

CHART = "charts/flux-operator"
OPERATOR_IMAGE = "controlplaneio-fluxcd/flux-operator"
CONTROLLERS = "fluxcd"
_IMAGE = "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
# What the operator looks for in its base image before it installs anything: its Dockerfile's base says the same.
_BASE = 'PRETTY_NAME="Distroless"\nID="debian"\nVERSION_ID="12"\n'
# Whole YAML nodes of the deployment that are templates: no YAML library writes those.
_NODES = {
    "RESOURCES": "{{ toJson .Values.resources }}",
    "ARGUMENTS": "{{ if .Values.web.enabled }}[]{{ else }}[--web-server-port=0]{{ end }}",
    "NAMESPACE": "{{ .Release.Namespace }}",
}


def artifacts(programs: Programs) -> dict[str, dict[str, Artifact]]:
    """Repository -> tag -> artifact, for ``lab.oci.registry.Registry``."""
    controllers = {
        f"{CONTROLLERS}/{name}": {version(f"github.com/fluxcd/{name}"): program_image(program)}
        for name, program in programs.controllers.items()
    }
    operator = operator_image(programs.operator, programs.operator_module / "config" / "data")
    return {
        **controllers,
        OPERATOR_IMAGE: {operator_version(): operator},
        CHART: {operator_version().removeprefix("v"): chart(chart_archive(programs.operator_module / "config"))},
    }


def operator_image(program: Path, data: Path) -> Artifact:
    """The operator with the manifests of the Flux releases that it can install, where its Dockerfile puts them."""
    files = [(f"/data/{path.relative_to(data)}", path.read_bytes(), 0o644) for path in _files(data)]
    system = [("/etc/os-release", _BASE.encode(), 0o644), (f"/{program.name}", program.read_bytes(), 0o755)]
    return image([layer(files), layer(system)], Program([f"/{program.name}"]))


def chart_archive(config: Path) -> bytes:
    """The chart (.tgz) of the manifests in the module's folder ``config``."""
    number = operator_version()
    files = {
        "Chart.yaml": _dump(
            {"apiVersion": "v2", "name": "flux-operator", "version": number.removeprefix("v"), "appVersion": number}
        ),
        "values.yaml": _dump(
            {
                "image": {"repository": f"ghcr.io/{OPERATOR_IMAGE}", "tag": ""},
                "resources": {},
                "web": {"enabled": True, "networkPolicy": {"create": True}},
            }
        ),
        "templates/operator.yaml": "---\n".join(map(_dump, _operator(config))),
        "templates/crds.yaml": "---\n".join(map(_dump, _definitions(config))),
    }
    for mark, node in _NODES.items():
        files["templates/operator.yaml"] = files["templates/operator.yaml"].replace(mark, node)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"flux-operator/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def _operator(config: Path) -> Iterator[dict[str, Any]]:
    for name in ("manager/account.yaml", "manager/deployment.yaml", "manager/service.yaml", "default/rbac.yaml"):
        for document in yaml.safe_load_all((config / name).read_text()):
            if document["kind"] == "Deployment":
                (container,) = document["spec"]["template"]["spec"]["containers"]
                container |= {"image": _IMAGE, "resources": "RESOURCES", "args": "ARGUMENTS"}
            for subject in document.get("subjects", ()):
                subject["namespace"] = "NAMESPACE"
            yield document


def _definitions(config: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((config / "crd" / "bases").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        # As in the original: instances stay when the chart is uninstalled.
        definition["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
        yield definition


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120)
