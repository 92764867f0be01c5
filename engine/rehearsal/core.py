"""The one place where a rehearsal decides: what a provider would refuse, change, return and answer.

Pure: values in, values out, no engine and no process state beyond caches. The gRPC servers (`server`) and the
in-process recorder (`in_process`) both ask here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.rehearsal import kubernetes_objects, kubernetes_rules, outputs, sdk_types
from engine.rehearsal.diffs import Diff, diff
from engine.rehearsal.shapes import Problem, Report
from engine.rehearsal.values import UNKNOWN, Secret, digest
from engine.rehearsal.world import Unanswerable, World, invoke

__all__ = ["Diff", "Problem", "Unanswerable", "World", "check", "create", "diff", "invoke", "preview", "update"]

create = outputs.make
preview = outputs.preview
update = outputs.update

_RELEASE = "kubernetes:helm.sh/v3:Release"
# Inputs that the real providers fill in with a random name; here the name depends on the URN only.
_AUTO_NAMED = {
    "azure-native:kubernetes:ConnectedCluster": "clusterName",
    "azure-native:resources:ResourceGroup": "resourceGroupName",
    _RELEASE: "name",
}


def check(
    token: str, urn: str, inputs: Mapping[str, Any], world: World | None = None
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The inputs as the provider completes them, and everything it would refuse about them."""
    report = Report()
    result = dict(inputs)
    try:
        if token.startswith("kubernetes:") and token != _RELEASE:
            result = _check_object(token, urn, result, world or World(), report)
        else:
            result = _named(token, urn, result)
            sdk_types.shape(token)(result, "", report)
            if token == _RELEASE:
                _check_release(result, report)
    except (sdk_types.UnknownType, kubernetes_objects.UnknownKind) as error:
        report.add("", str(error))
    return result, tuple(Problem(urn, path, reason) for path, reason in report.findings)


def _named(token: str, urn: str, inputs: dict[str, Any]) -> dict[str, Any]:
    wanted = _AUTO_NAMED.get(sdk_types.without_api_version(token))
    if wanted is None or inputs.get(wanted) is not None:
        return inputs
    return {**inputs, wanted: auto_name(urn)}


def auto_name(urn: str) -> str:
    """The resource's name with a suffix, as providers make one up for what the program left unnamed."""
    return f"{urn.rpartition('::')[2]}-{digest('name', urn)[:8]}"


def _check_object(token: str, urn: str, inputs: dict[str, Any], world: World, report: Report) -> dict[str, Any]:
    group_version, _, type_name = token.removeprefix("kubernetes:").rpartition(":")
    api_version = inputs.get("apiVersion") or group_version.removeprefix("core/")
    kind = inputs.get("kind") or type_name
    if not isinstance(api_version, str) or not isinstance(kind, str):
        report.add("kind", "apiVersion and kind must be plain text")
        return inputs
    if type_name not in (kind, f"{kind}Patch"):
        report.add("kind", f'the resource type {token} cannot hold a "{kind}"')
    partial = type_name == f"{kind}Patch"
    metadata = inputs.get("metadata")
    if not partial and (metadata is None or (isinstance(metadata, dict) and not _has_name(metadata))):
        inputs = {**inputs, "metadata": _auto_named(metadata or {}, urn)}
    minor = world.kubernetes_minor or kubernetes_objects.DEFAULT_MINOR
    shape = kubernetes_objects.find(api_version, kind, minor, partial=partial)
    if shape is not None:
        shape(inputs, "", report)
    kubernetes_rules.check(_without_secrets(inputs), api_version, kind, report)
    return inputs


def _auto_named(metadata: Mapping[str, Any], urn: str) -> dict[str, Any]:
    given = metadata.get("annotations")
    own = given if isinstance(given, dict) else {}
    return {**metadata, "name": auto_name(urn), "annotations": {**own, "pulumi.com/autonamed": "true"}}


def _has_name(metadata: Mapping[str, Any]) -> bool:
    return metadata.get("name") is not None or metadata.get("generateName") is not None


def _without_secrets(value: Any) -> Any:
    """The tree with every secret unknown: rules between fields never look into one."""
    if isinstance(value, Secret):
        return UNKNOWN
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _check_release(inputs: Mapping[str, Any], report: Report) -> None:
    """Helm: a release name is a DNS name of at most 53 characters."""
    name = inputs.get("name")
    if isinstance(name, str):
        if len(name) > 53:
            report.add("name", f"{report.quote(name)} has {len(name)} characters; Helm allows 53")
        kubernetes_objects.check_metadata({"name": name}, "", "Release", report)
