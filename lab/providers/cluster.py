"""One cluster over its API: the requests that the provider makes, and the API server's refusals in plain words.

Built on the official client's dynamic API. Discovery is asked for one group at a time and kept only here: the client's
own keeps it in a file that outlives a cluster.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError

from engine.rehearsal.protocol import Failure
from lab.providers.objects import Manifest, Target

_CONNECT_S, _ANSWER_S = 5, 60


class Unreachable(Failure):
    """The cluster does not answer."""


class Busy(Failure):
    """The cluster answers that it cannot answer now."""


class Unauthorized(Failure):
    """The cluster answers, and does not take the credential."""


class Absent(Failure):
    """The object, its namespace, or its kind is not there."""


class Conflict(Failure):
    """Fields belong to somebody else."""


class Cluster:
    """``kubeconfig`` is a kubeconfig or the path of one. Raises ``Failure`` when it is neither."""

    def __init__(self, kubeconfig: str, *, context: str | None = None, namespace: str | None = None) -> None:
        document = _document(kubeconfig)
        context = context or document.get("current-context")
        configuration = client.Configuration()
        # No retry here: the caller decides which failures to try again.
        configuration.retries = urllib3.Retry(total=0)
        try:
            made = config.new_client_from_config_dict(
                document, context=context, persist_config=False, client_configuration=configuration
            )
        except config.ConfigException as error:
            raise Failure(f"the kubeconfig cannot be used: {error}") from None
        self.address = str(configuration.host)
        self._client = dynamic.DynamicClient(made, discoverer=_NoDiscovery)
        self._kinds: dict[tuple[str, str], dynamic.Resource] = {}
        self._lock = threading.Lock()
        self.namespace = namespace or _namespace(document, context) or "default"

    def schema(self) -> None:
        """Read what the cluster knows of its kinds. Raises ``Unreachable``, ``Unauthorized``, ``Busy``, ``Failure``."""
        self._discover(Target("v1", "ConfigMap", None, None))

    def namespace_of(self, target: Target) -> str | None:
        """The namespace that the object is in; None for an object of the whole cluster."""
        return (target.namespace or self.namespace) if self._resource(target).namespaced else None

    def get(self, target: Target) -> Manifest:
        """The live object. Raises ``Absent``."""
        return self._asked(target, "get", name=target.name, namespace=self.namespace_of(target))

    def apply(self, body: Manifest, target: Target, *, manager: str, force: bool, dry_run: bool = False) -> Manifest:
        """Server-side apply, unknown and doubled fields refused. Raises ``Absent``, ``Conflict``, ``Failure``."""
        return self._asked(
            target,
            "server_side_apply",
            body=body,
            name=target.name,
            namespace=self.namespace_of(target),
            field_manager=manager,
            force_conflicts=force,
            **_strict(dry_run),
        )

    def create(self, body: Manifest, target: Target, *, manager: str, dry_run: bool = False) -> Manifest:
        """A new object whose name the API server chooses."""
        return self._asked(
            target,
            "create",
            body=body,
            namespace=self.namespace_of(target),
            field_manager=manager,
            **_strict(dry_run),
        )

    def delete(self, target: Target, *, propagation: str) -> None:
        """Begin the deletion. Raises ``Absent``."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        self._asked(target, "delete", name=target.name, namespace=self.namespace_of(target), body=options)

    def endpoint_slices(self, service: Target) -> list[Manifest]:
        """The slices of a Service."""
        slices = Target("discovery.k8s.io/v1", "EndpointSlice", None, service.namespace)
        found = self._asked(
            slices,
            "get",
            namespace=self.namespace_of(service),
            label_selector=f"kubernetes.io/service-name={service.name}",
        )
        items: list[Manifest] = found.get("items") or []
        return items

    def _resource(self, target: Target) -> dynamic.Resource:
        key = target.api_version, target.kind
        with self._lock:
            if key not in self._kinds:
                self._discover(target)
            return self._kinds[key]

    def _discover(self, target: Target) -> None:
        group, _, version = target.api_version.rpartition("/")
        prefix = "apis" if group else "api"
        path = f"/{prefix}/{target.api_version}"
        listed = self._answer(
            target, lambda: self._client.request("get", path, serialize=False, _request_timeout=_LIMITS)
        )
        for one in listed["resources"]:
            if "/" not in one["name"]:
                self._kinds[target.api_version, one["kind"]] = dynamic.Resource(
                    prefix=prefix,
                    group=group,
                    api_version=version,
                    kind=one["kind"],
                    namespaced=one["namespaced"],
                    name=one["name"],
                    verbs=one["verbs"],
                    client=self._client,
                )
        if (target.api_version, target.kind) not in self._kinds:
            raise Absent(f'{target}: this cluster\'s "{target.api_version}" has no kind "{target.kind}"')

    def _asked(self, target: Target, verb: str, **arguments: Any) -> Manifest:
        resource = self._resource(target)
        call = getattr(resource, verb)
        return self._answer(target, lambda: call(serialize=False, _request_timeout=_LIMITS, **arguments))

    def _answer(self, target: Target, call: Any) -> Manifest:
        try:
            answer: Manifest = json.loads(call().data)
        except (ApiException, DynamicApiError) as error:
            raise _refusal(target, error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the cluster at {self.address} cannot be reached: {_reason(error)}") from None
        return answer


_BUSY = (429, 503, 504)
_LIMITS = (_CONNECT_S, _ANSWER_S)


class _NoDiscovery:
    def __init__(self, client: Any, cache_file: str | None) -> None:
        """Nothing is asked before it is needed."""


def _strict(dry_run: bool) -> dict[str, Any]:
    return {"query_params": [("fieldValidation", "Strict")], "dry_run": "All" if dry_run else None}


def _document(kubeconfig: str) -> dict[str, Any]:
    for text in (kubeconfig, _file(kubeconfig)):
        try:
            document = yaml.safe_load(text) if text else None
        except yaml.YAMLError:
            continue
        if isinstance(document, dict) and "clusters" in document:
            return document
    raise Failure("the provider's kubeconfig is neither a kubeconfig nor the path of one")


def _file(path: str) -> str | None:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, ValueError):
        return None


def _namespace(document: Mapping[str, Any], context: str | None) -> str | None:
    for one in document.get("contexts") or ():
        if one.get("name") == context:
            found: str | None = (one.get("context") or {}).get("namespace")
            return found
    return None


def _refusal(target: Target, error: ApiException | DynamicApiError) -> Failure:
    try:
        said = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.reason or f"status {error.status}")
    if error.status == 404:
        return Absent(f"{target}: {said}")
    if error.status == 409:
        hint = (
            'the annotation pulumi.com/patchForce: "true" takes the fields over' if "conflict" in said else "try again"
        )
        return Conflict(f"{target}: {said} ({hint})")
    if error.status in _BUSY:
        return Busy(f"{target}: the API server asks to come again: {said}")
    if error.status == 401:
        return Unauthorized(f"{target}: the server has asked for the client to provide credentials")
    if error.status == 403:
        return Failure(f"{target}: the kubeconfig's user may not do this: {said}")
    return Failure(f"{target}: the API server refuses it: {said}")


def _reason(error: BaseException) -> str:
    """The innermost cause; what wraps it only repeats the address."""
    cause: Any = getattr(error, "reason", None) or error
    text = str(cause.args[-1] if cause.args else cause)
    return text.rpartition(">: ")[2].rpartition("object at")[0] or text.rpartition(": ")[2]
