"""Kubernetes objects between a program and an API server: what is sent, and what is kept of the answer. Pure.

Names of annotations and their meaning are those of the official provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.utils import parse_quantity

from engine.rehearsal.protocol import Failure
from engine.rehearsal.values import UNKNOWN, Secret, digest, reveal

Manifest = dict[str, Any]

DEFAULT_TIMEOUT_S = 600
_SECRET_FIELDS = ("data", "stringData")
_NOT_OURS = ("managedFields",)
_ASSIGNED = ("uid", "resourceVersion", "generation", "creationTimestamp")
_KEPT = ("uid", "creationTimestamp")
_SERVER_OWNED = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")


@dataclass(frozen=True, slots=True)
class Target:
    """Which object a resource is about."""

    api_version: str
    kind: str
    name: str | None
    """None when the API server is to choose it."""
    namespace: str | None
    """As the program says; where it says none, the provider's."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name or '(unnamed)'}"


def manifest(inputs: Mapping[str, Any]) -> Manifest:
    """The object to send, secrets revealed: without the program's nulls, which would ask to remove a field."""
    found = _without_nulls(reveal({key: value for key, value in inputs.items() if not key.startswith("__")}))
    return dict(found)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def target(body: Mapping[str, Any]) -> Target:
    """The object that a manifest describes."""
    metadata = body.get("metadata") or {}
    return Target(str(body["apiVersion"]), str(body["kind"]), metadata.get("name"), metadata.get("namespace"))


def is_patch(token: str) -> bool:
    """Whether a resource only owns some fields of an object that others made (``core/v1:NodePatch``)."""
    return token.endswith("Patch")


def field_manager(urn: str, body: Mapping[str, Any]) -> str:
    """Under which name the resource owns its fields: one of its own, so that two resources never share."""
    chosen = annotation(body, "pulumi.com/patchFieldManager")
    return chosen or f"pulumi-kubernetes-{digest('field manager', urn)[:8]}"


def forced(body: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
    """Whether fields of other owners are taken over."""
    return annotation(body, "pulumi.com/patchForce") == "true" or enabled(configuration, "enablePatchForce")


def enabled(configuration: Mapping[str, Any], option: str) -> bool:
    """A switch in a provider's configuration, where everything travels as text."""
    return str(reveal(configuration.get(option, ""))).lower() == "true"


def annotation(body: Mapping[str, Any], key: str) -> str | None:
    """An annotation of the object."""
    found = ((body.get("metadata") or {}).get("annotations") or {}).get(key)
    return None if found is None else str(found)


def awaited(body: Mapping[str, Any], *, deletion: bool = False) -> bool:
    """Whether to wait until the object is done, or gone."""
    skip = annotation(body, "pulumi.com/skipAwait")
    return skip != "true" and (deletion or skip != "ready")


def timeout_s(body: Mapping[str, Any], asked_s: float) -> float:
    """How long to wait: the program's `custom_timeouts`, the annotation, or ten minutes. Raises ``Failure``."""
    if asked_s:
        return asked_s
    wanted = annotation(body, "pulumi.com/timeoutSeconds")
    if wanted is None:
        return DEFAULT_TIMEOUT_S
    try:
        return float(wanted)
    except ValueError:
        raise Failure(f'pulumi.com/timeoutSeconds: "{wanted}" is not a number of seconds') from None


def released(body: Mapping[str, Any]) -> Manifest:
    """What gives up all fields that were applied: the object with nothing but its identity."""
    metadata = {key: value for key, value in body["metadata"].items() if key in ("name", "namespace")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}


def hidden(properties: Mapping[str, Any]) -> Any:
    """The properties, with what a Secret holds marked as secret also where the program did not."""
    if properties.get("kind") != "Secret":
        return properties
    return {key: Secret(reveal(item)) if key in _SECRET_FIELDS else item for key, item in properties.items()}


def planned(properties: Mapping[str, Any], olds: Mapping[str, Any] | None) -> dict[str, Any]:
    """Outputs of a preview, with what only the API server will say of the object: kept on an update, else unknown."""
    given, before = properties.get("metadata"), (olds or {}).get("metadata")
    if not isinstance(given, dict):
        return dict(properties)
    assigned = dict.fromkeys(_ASSIGNED, UNKNOWN)
    kept = {key: before[key] for key in _KEPT if key in before} if isinstance(before, dict) else {}
    return {**properties, "metadata": {**assigned, **kept, **given}}


def outputs(inputs: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """A live object as a resource's outputs: what was secret in the inputs stays secret."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _NOT_OURS}
    found = _marked({**live, "metadata": metadata}, inputs)
    if live.get("kind") == "Secret":
        found |= {
            key: Secret(reveal(found[key]))
            for key in _SECRET_FIELDS
            if found.get(key) and type(found[key]) is not Secret
        }
        # Written only: the API server keeps it in `data`.
        if "stringData" in inputs:
            given = inputs["stringData"]
            found["stringData"] = given if isinstance(given, Secret) else Secret(given)
    return dict(found)


def _marked(live: Any, inputs: Any) -> Any:
    if isinstance(inputs, Secret):
        return Secret(live)
    if isinstance(live, dict) and isinstance(inputs, Mapping):
        return {key: _marked(item, inputs.get(key)) for key, item in live.items()}
    if isinstance(live, list) and isinstance(inputs, list) and len(live) == len(inputs):
        return [_marked(item, given) for item, given in zip(live, inputs, strict=True)]
    return live


def inputs_found(inputs: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as the cluster has them now, so that a refresh shows what somebody else changed.

    Fields that the program never set are left out. An object that was not known before (an import) is taken whole.
    """
    if not inputs:
        metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_OWNED}
        return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}
    found = {key: _found(item, live.get(key)) for key, item in inputs.items() if key == "stringData" or key in live}
    return found | ({"stringData": inputs["stringData"]} if "stringData" in inputs else {})


def _found(given: Any, live: Any) -> Any:
    if isinstance(given, Secret):
        return Secret(_found(given.value, live))
    if isinstance(given, Mapping) and isinstance(live, Mapping):
        return {key: _found(item, live[key]) for key, item in given.items() if key in live}
    if isinstance(given, list) and isinstance(live, list) and len(given) == len(live):
        return [_found(item, other) for item, other in zip(given, live, strict=True)]
    return given if _same_quantity(given, live) else live


def _same_quantity(given: Any, live: Any) -> bool:
    """``1000m`` comes back as ``1``."""
    if isinstance(given, bool) or not isinstance(given, str | int | float) or not isinstance(live, str | int | float):
        return False
    try:
        return bool(parse_quantity(given) == parse_quantity(live))
    except ValueError:
        return False
