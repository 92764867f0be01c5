"""Shapes of Kubernetes objects, from the Kubernetes OpenAPI (the pinned `kubernetes-validate` package) and our CRDs.

An API server refuses unknown fields, missing fields, wrong types and bad names; the SDK lets all of them pass. Owns the
index of apiVersion and kind, the compiling of OpenAPI, and the rules on metadata. Rules between fields that an API
server also enforces (a selector that its template does not carry) are in `kubernetes_rules`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.rehearsal import shapes
from engine.rehearsal.shapes import Report, Shape
from engine.rehearsal.values import join

DEFAULT_MINOR = 37
"""The newest Kubernetes minor of the pinned `kubernetes-validate`; what is checked when no site says otherwise."""

# Kinds without a namespace (`kubectl api-resources --namespaced=false` of 1.37).
CLUSTER_SCOPED = frozenset(
    """
    APIService CSIDriver CSINode CertificateSigningRequest ClusterRole ClusterRoleBinding ClusterTrustBundle
    ComponentStatus CustomResourceDefinition DeviceClass DeviceTaintRule FlowSchema IPAddress IngressClass
    MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration Namespace Node
    PersistentVolume PriorityClass PriorityLevelConfiguration ResourceSlice RuntimeClass SelfSubjectAccessReview
    SelfSubjectReview SelfSubjectRulesReview ServiceCIDR StorageClass StorageVersion StorageVersionMigration
    SubjectAccessReview TokenReview ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
    ValidatingWebhookConfiguration VolumeAttachment VolumeAttributesClass
    """.split()
)
# Kinds whose names are DNS labels, since they become one label of a DNS name (API conventions, "Names").
_LABEL_NAMED = frozenset({"Namespace", "Service"})
# RBAC names are path segments: "system:node" is one of them.
_PATH_NAMED = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(rf"{_LABEL}\Z")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_PATH_SEGMENT = re.compile(r"[^/%]+\Z")
_LABEL_PART = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)\Z")
_QUANTITY = r"^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$"
_ANNOTATION_BYTES = 256 * 1024

_SPECIAL: dict[str, Shape] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": shapes.any_of(
        [shapes.matching(_QUANTITY, 'a quantity such as "500m" or "2Gi"'), shapes.number]
    ),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": shapes.any_of(
        [shapes.text, shapes.integer], "a whole number or text"
    ),
}


class UnknownKind(Exception):
    """An apiVersion and kind that cannot exist on a cluster of this version."""


@functools.cache
def schema_folder(minor: int) -> Path:
    """The folder of the schemas for Kubernetes 1.``minor``, or of the nearest minor that the package holds."""
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or found.origin is None:
        raise UnknownKind('the package "kubernetes-validate" is missing; install requirements-dev.txt')
    base = Path(found.origin).parent / "kubernetes-json-schema"
    minors = {int(path.name.split(".")[1]): path for path in base.glob("v1.*-local-strict")}
    return minors[min(minors, key=lambda held: abs(held - minor))]


class Catalogue:
    """All kinds of one Kubernetes version, compiled when first used."""

    def __init__(self, minor: int) -> None:
        document = json.loads((schema_folder(minor) / "_definitions.json").read_bytes())
        self._definitions: dict[str, Any] = document["$defs"]
        self._compiled: dict[tuple[str, bool], Shape] = {}
        self.kinds: dict[tuple[str, str], str] = {}
        for name, definition in self._definitions.items():
            kinds = definition.get("x-kubernetes-group-version-kind", ())
            # Options of delete, patch and watch requests list every group; objects that can be created list one.
            if len(kinds) == 1:
                group, version, kind = kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"]
                self.kinds[f"{group}/{version}" if group else version, kind] = name
        self.groups = {api.rpartition("/")[0] for api, _ in self.kinds}

    def shape(self, api_version: str, kind: str, *, partial: bool = False) -> Shape | None:
        """The shape of a built-in kind, None for groups that only CRDs can bring. Raises `UnknownKind`."""
        name = self.kinds.get((api_version, kind))
        if name is not None:
            return self._definition(name, partial)
        if api_version.rpartition("/")[0] not in self.groups:
            return None
        versions = sorted(api for api, known in self.kinds if known == kind)
        if versions:
            raise UnknownKind(f'"{kind}" is not in "{api_version}"; it is in {", ".join(versions)}')
        kinds = [known for api, known in self.kinds if api == api_version]
        if not kinds:
            known_versions = {api for api, _ in self.kinds}
            raise UnknownKind(f'unknown apiVersion "{api_version}"{shapes.suggestion(api_version, known_versions)}')
        raise UnknownKind(f'"{api_version}" has no kind "{kind}"{shapes.suggestion(kind, kinds)}')

    def _definition(self, name: str, partial: bool) -> Shape:
        found = self._compiled.get((name, partial))
        if found is None:
            found = _SPECIAL.get(name) or self._compile(self._definitions[name], partial)
            self._compiled[name, partial] = found
        return found

    def _compile(self, schema: Mapping[str, Any], partial: bool) -> Shape:
        reference = schema.get("$ref")
        if reference:
            name = reference.rpartition("/")[2]
            return _SPECIAL.get(name) or shapes.deferred(functools.partial(self._definition, name, partial))
        return compile_schema(schema, lambda inner: self._compile(inner, partial), partial=partial)


def compile_schema(schema: Mapping[str, Any], inner: Any, *, partial: bool = False) -> Shape:
    """The shape of one OpenAPI schema; ``inner`` compiles what it contains."""
    if schema.get("x-kubernetes-int-or-string"):
        return _SPECIAL["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    if "enum" in schema:
        return shapes.one_of([option for option in schema["enum"] if option is not None])
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return shapes.any_of([inner(option) for option in schema[choice]])
    kinds = schema.get("type", "")
    kind = next((item for item in kinds if item != "null"), "") if isinstance(kinds, list) else kinds
    if kind == "object" or "properties" in schema:
        return _object(schema, inner, partial)
    if kind == "array":
        return shapes.list_of(inner(schema["items"]) if "items" in schema else shapes.anything)
    return _scalar(kind, schema)


def _object(schema: Mapping[str, Any], inner: Any, partial: bool) -> Shape:
    extra = schema.get("additionalProperties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True
    rest = inner(extra) if isinstance(extra, dict) else (shapes.anything if open_ended else None)
    if "properties" not in schema:
        return shapes.map_of(rest or shapes.anything)
    fields = {key: inner(value) for key, value in schema["properties"].items()}
    return shapes.record_of(fields, () if partial else schema.get("required", ()), rest)


def _scalar(kind: str, schema: Mapping[str, Any]) -> Shape:
    if kind == "string":
        if schema.get("format") == "byte":
            return shapes.base64_text
        if "pattern" in schema:
            return shapes.matching(schema["pattern"], f"text like {schema['pattern']}")
        return shapes.text
    if kind == "integer":
        bits = 31 if schema.get("format") == "int32" else 63
        return shapes.bounded(shapes.integer, schema.get("minimum", -(2**bits)), schema.get("maximum", 2**bits - 1))
    if kind == "boolean":
        return shapes.boolean
    return shapes.number if kind == "number" else shapes.anything


@functools.cache
def catalogue(minor: int = DEFAULT_MINOR) -> Catalogue:
    """The catalogue of one Kubernetes minor, loaded once."""
    return Catalogue(minor)


@functools.cache
def custom_kinds() -> dict[tuple[str, str], tuple[str, Shape]]:
    """Scope and shape of the custom kinds in `crds/`, by apiVersion and kind."""
    found: dict[tuple[str, str], tuple[str, Shape]] = {}
    metadata = catalogue()._definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", False)

    def compile_inner(schema: Mapping[str, Any]) -> Shape:
        return compile_schema(schema, compile_inner)

    for file in sorted(Path(__file__).with_name("crds").glob("*.json")):
        for name, entry in json.loads(file.read_text())["kinds"].items():
            api_version, _, kind = name.partition(" ")
            fields = {
                "apiVersion": shapes.text,
                "kind": shapes.text,
                "metadata": metadata,
                "spec": compile_schema(entry["spec"], compile_inner),
            }
            found[api_version, kind] = entry["scope"], shapes.record_of(fields, ("metadata", "spec"))
    return found


def is_namespaced(api_version: str, kind: str) -> bool | None:
    """Whether objects of the kind live in a namespace; None where only the cluster would know."""
    custom = custom_kinds().get((api_version, kind))
    if custom is not None:
        return custom[0] == "Namespaced"
    if (api_version, kind) in catalogue().kinds:
        return kind not in CLUSTER_SCOPED
    return None


def find(api_version: str, kind: str, minor: int, *, partial: bool = False) -> Shape | None:
    """The shape of a kind, None for custom kinds that are not in `crds/`. Raises `UnknownKind`."""
    custom = custom_kinds()
    if (api_version, kind) in custom:
        return custom[api_version, kind][1]
    ours = [known for known in custom if known[0].partition("/")[0] == api_version.partition("/")[0]]
    if ours:
        listed = ", ".join(sorted(f"{api} {name}" for api, name in ours))
        raise UnknownKind(f'"{api_version}" has no kind "{kind}"; this group has {listed}')
    return catalogue(minor).shape(api_version, kind, partial=partial)


def check_metadata(metadata: Mapping[str, Any], api_version: str, kind: str, report: Report) -> None:
    """Names, labels and annotations as an API server validates them, and the namespace that the kind needs."""
    name = metadata.get("name")
    if isinstance(name, str):
        _check_name(name, kind, report)
    namespaced = is_namespaced(api_version, kind)
    namespace = metadata.get("namespace")
    if namespaced and namespace in (None, ""):
        report.add("metadata.namespace", f'missing: a {kind} lives in a namespace, and this one would go to "default"')
    elif namespaced is False and namespace is not None:
        report.add("metadata.namespace", f"a {kind} belongs to the whole cluster and cannot have a namespace")
    elif isinstance(namespace, str) and not _DNS_LABEL.match(namespace):
        report.add("metadata.namespace", f"{report.quote(namespace)} is not a DNS label")
    labels = metadata.get("labels")
    if isinstance(labels, dict):
        check_labels(labels, "metadata.labels", report)
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        for key in annotations:
            _check_key(key, "metadata.annotations", report)
        size = sum(len(key) + len(value) for key, value in annotations.items() if isinstance(value, str))
        if size > _ANNOTATION_BYTES:
            report.add("metadata.annotations", f"{size} bytes, but at most {_ANNOTATION_BYTES} are allowed in all")


def check_labels(labels: Mapping[str, Any], path: str, report: Report) -> None:
    """Keys and values of a label map (prefix/name, each name and value at most 63 characters)."""
    for key, value in labels.items():
        _check_key(key, path, report)
        if isinstance(value, str) and value and not _LABEL_PART.match(value):
            reason = "is not a label value: at most 63 letters, digits, - _ . with a letter or digit at both ends"
            report.add(join(path, key), f"{report.quote(value)} {reason}")


def _check_key(key: str, path: str, report: Report) -> None:
    prefix, slash, name = key.rpartition("/")
    if (slash and not (len(prefix) <= 253 and _DNS_SUBDOMAIN.match(prefix))) or not _LABEL_PART.match(name):
        report.add(join(path, key), "is not a qualified name ([prefix/]name)")


def _check_name(name: str, kind: str, report: Report) -> None:
    if kind in _LABEL_NAMED:
        if not _DNS_LABEL.match(name) or (kind == "Service" and name[0].isdigit()):
            report.add("metadata.name", f"{report.quote(name)} is not a DNS label (a-z, 0-9, -; at most 63)")
    elif kind in _PATH_NAMED:
        if not _PATH_SEGMENT.match(name) or name in (".", ".."):
            report.add("metadata.name", f"{report.quote(name)} is not a path segment")
    elif len(name) > 253 or not _DNS_SUBDOMAIN.match(name):
        report.add("metadata.name", f"{report.quote(name)} is not a DNS name (a-z, 0-9, -, .; at most 253)")
