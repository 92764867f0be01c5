"""What an API server refuses in an object whose every field is well-formed: rules between fields.

Only rules whose breach is certain to be refused, on the kinds that sites deploy. Values arrive with secrets opened, and
are never quoted. Owns no schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.rehearsal.kubernetes_objects import check_labels, check_metadata
from engine.rehearsal.shapes import Report
from engine.rehearsal.values import UNKNOWN

_SELECTING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
_POD_PATHS = {
    "Pod": "spec",
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "ReplicaSet": "spec.template.spec",
    "Job": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}


def check(manifest: Mapping[str, Any], api_version: str, kind: str, report: Report) -> None:
    """All rules on one object."""
    metadata = manifest.get("metadata")
    if metadata is not UNKNOWN:
        check_metadata(metadata if isinstance(metadata, dict) else {}, api_version, kind, report)
    if kind in _SELECTING and api_version == "apps/v1":
        _selector(manifest, report)
    if kind in _POD_PATHS and api_version in ("v1", "apps/v1", "batch/v1"):
        path = _POD_PATHS[kind]
        pod = _at(manifest, path)
        if isinstance(pod, dict):
            claims = _at(manifest, "spec.volumeClaimTemplates") if kind == "StatefulSet" else None
            _pod(pod, path, {_at(claim, "metadata.name") for _, claim in _dicts(claims)}, report)
    if kind == "Service" and api_version == "v1":
        _service(manifest, report)


def _at(value: Any, path: str) -> Any:
    """The value below a path: None where nothing is, UNKNOWN where it is not known yet."""
    for key in path.split("."):
        if value is UNKNOWN:
            return UNKNOWN
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _selector(manifest: Mapping[str, Any], report: Report) -> None:
    wanted = _at(manifest, "spec.selector.matchLabels")
    carried = _at(manifest, "spec.template.metadata.labels")
    if isinstance(carried, dict):
        check_labels(carried, "spec.template.metadata.labels", report)
    if not isinstance(wanted, dict) or carried is UNKNOWN:
        return
    carried = carried if isinstance(carried, dict) else {}
    for key, value in wanted.items():
        found = carried.get(key)
        if found is not UNKNOWN and value is not UNKNOWN and found != value:
            report.add("spec.selector.matchLabels", f'label "{key}" is not on spec.template.metadata.labels alike')


def _dicts(items: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield index, item


def _pod(pod: Mapping[str, Any], path: str, claims: set[Any], report: Report) -> None:
    volumes_known = isinstance(pod.get("volumes", []), list)
    volumes = claims | {volume.get("name") for _, volume in _dicts(pod.get("volumes"))}
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in _dicts(pod.get(group)):
            here = f"{path}.{group}[{index}]"
            name = container.get("name")
            if isinstance(name, str) and name in seen:
                report.add(f"{here}.name", f'two containers are named "{name}"')
            if isinstance(name, str):
                seen.add(name)
            _limits(container, here, report)
            for mount_index, mount in _dicts(container.get("volumeMounts")):
                volume = mount.get("name")
                if volumes_known and isinstance(volume, str) and volume not in volumes and UNKNOWN not in volumes:
                    report.add(f"{here}.volumeMounts[{mount_index}].name", f'the pod has no volume "{volume}"')


def _limits(container: Mapping[str, Any], path: str, report: Report) -> None:
    limits = _at(container, "resources.limits")
    requests = _at(container, "resources.requests")
    if not isinstance(limits, dict):
        return
    for resource, limit in limits.items():
        if "/" not in resource or resource.startswith("kubernetes.io/"):
            continue
        # An extended resource cannot be overcommitted: its request, where given, must equal its limit.
        wanted = requests.get(resource) if isinstance(requests, dict) else None
        if wanted is not None and UNKNOWN not in (wanted, limit) and str(wanted) != str(limit):
            report.add(f"{path}.resources.requests", f'"{resource}" must be requested exactly as it is limited')


def _service(manifest: Mapping[str, Any], report: Report) -> None:
    ports = list(_dicts(_at(manifest, "spec.ports")))
    names = [port.get("name") for _, port in ports]
    for index, port in ports:
        name = port.get("name")
        if len(ports) > 1 and name is None:
            report.add(f"spec.ports[{index}].name", "missing: each of several ports needs a name")
        elif isinstance(name, str) and names.index(name) != index:
            report.add(f"spec.ports[{index}].name", f'two ports are named "{name}"')
