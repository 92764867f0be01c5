"""A stand-in for a kube-apiserver on loopback: keeps objects, knows who owns which field, and records all requests.

Only as much of server-side apply as the provider's requests need: maps are merged, everything else is a value. What a
controller would write is written by the test (``set_status``).
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Object = dict[str, Any]

_KINDS = {
    "v1": {
        "Namespace": ("namespaces", False),
        "Node": ("nodes", False),
        "Secret": ("secrets", True),
        "ConfigMap": ("configmaps", True),
        "Service": ("services", True),
        "Pod": ("pods", True),
    },
    "apps/v1": {"Deployment": ("deployments", True)},
    "batch/v1": {"Job": ("jobs", True)},
    "discovery.k8s.io/v1": {"EndpointSlice": ("endpointslices", True)},
}


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: Any


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class ApiServer:
    """``refuse`` may raise ``Refused`` for a request; ``finalizers`` keep deleted objects until they are emptied."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=lambda: copy.deepcopy(_KINDS))
    applied: dict[str, dict[str, Object]] = field(default_factory=dict)
    known: dict[str, Object] = field(default_factory=dict)
    finalizers: list[str] = field(default_factory=list)
    refuse: Callable[[Request], None] = lambda _request: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def kubeconfig(self) -> str:
        name = "lab"
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                "users": [{"name": name, "user": {"token": "marker-token"}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            }
        )

    def changes(self) -> list[Request]:
        """What was asked for beside reading."""
        return [request for request in self.requests if request.method != "GET"]

    def put(self, path: str, live: Object) -> None:
        """An object that others made."""
        with self.lock:
            metadata = {"uid": uuid.uuid4().hex, "generation": 1, **live["metadata"]}
            self.known[path] = {**live, "metadata": metadata}
            self.applied[path] = {"others": copy.deepcopy(live)}

    def set_status(self, path: str, **status: Any) -> None:
        """What a controller reports."""
        with self.lock:
            self.known[path] = {**self.known[path], "status": status}

    def answer(self, request: Request) -> Object:
        with self.lock:
            self.requests.append(request)
            self.refuse(request)
            if (found := self._discovery(request.path)) is not None:
                return found
            if request.method == "GET" and request.path.endswith("/endpointslices"):
                return {"items": [one for path, one in self.known.items() if path.startswith(request.path)]}
            act = {"GET": self._get, "PATCH": self._apply, "DELETE": self._delete, "POST": self._create}
            return act[request.method](request)

    def _discovery(self, path: str) -> Object | None:
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version not in self.kinds:
            if path.count("/") == 3 and path.startswith("/apis/"):
                raise Refused(404, "the server could not find the requested resource")
            return None
        resources = [
            {"kind": kind, "name": name, "namespaced": namespaced, "verbs": ["get", "patch"]}
            for kind, (name, namespaced) in self.kinds[version].items()
        ]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}

    def _get(self, request: Request) -> Object:
        if request.path not in self.known:
            raise Refused(404, f'"{request.path.rpartition("/")[2]}" not found')
        return self.known[request.path]

    def _require_namespace(self, path: str) -> None:
        parts = path.split("/")
        if "namespaces" in parts[:-2]:
            namespace = parts[parts.index("namespaces") + 1]
            if namespace != "default" and f"/api/v1/namespaces/{namespace}" not in self.known:
                raise Refused(404, f'namespaces "{namespace}" not found')

    def _create(self, request: Request) -> Object:
        name = request.body["metadata"]["generateName"] + "x1"
        body = {**request.body, "metadata": {**request.body["metadata"], "name": name}}
        return self._apply(Request("PATCH", f"{request.path}/{name}", request.query, "", body))

    def _apply(self, request: Request) -> Object:
        self._require_namespace(request.path)
        if request.query.get("fieldValidation") == "Strict" and "nonsense" in json.dumps(request.body):
            raise Refused(500, "failed to create typed patch object: .nonsense: field not declared in schema")
        manager, force = request.query["fieldManager"], request.query.get("force") == "true"
        owners = copy.deepcopy(self.applied.get(request.path, {}))
        theirs = {owner: dict(_leaves(body)) for owner, body in owners.items() if owner != manager}
        for path, value in _leaves(request.body):
            for owner, fields in theirs.items():
                if path in fields and fields[path] != value:
                    if not force:
                        raise Refused(409, f'Apply failed with 1 conflict: conflict with "{owner}": {".".join(path)}')
                    _drop(owners[owner], path)
        owners[manager] = request.body
        old = self.known.get(request.path, {})
        live: Object = {}
        for body in owners.values():
            _merge(live, body)
        namespace = request.path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in request.path else None
        _merge(live, {"metadata": {"uid": old.get("metadata", {}).get("uid") or uuid.uuid4().hex}})
        if namespace and not request.path.endswith(f"/namespaces/{namespace}"):
            live["metadata"]["namespace"] = namespace
        live["metadata"]["generation"] = old.get("metadata", {}).get("generation", 0) + 1
        live["metadata"]["managedFields"] = [{"manager": owner} for owner in owners]
        if "status" in old:
            live["status"] = old["status"]
        if not request.query.get("dryRun"):
            self.applied[request.path], self.known[request.path] = owners, live
        return live

    def _delete(self, request: Request) -> Object:
        live = self._get(request)
        if self.finalizers:
            live["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": self.finalizers}
        else:
            self.forget(request.path)
        return {"kind": "Status", "status": "Success"}

    def forget(self, path: str) -> None:
        """The object is gone."""
        with self.lock:
            del self.known[path]
            self.applied.pop(path, None)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if path or key not in ("apiVersion", "kind"):
                yield from _leaves(item, (*path, key))
    elif path not in (("metadata", "name"), ("metadata", "namespace")):
        yield path, value


def _drop(value: Object, path: tuple[str, ...]) -> None:
    for key in path[:-1]:
        value = value[key]
    value.pop(path[-1], None)


def _merge(into: Object, other: Mapping[str, Any]) -> None:
    for key, item in other.items():
        if isinstance(item, dict):
            _merge(into.setdefault(key, {}), item)
        else:
            into[key] = item


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """One that listens on loopback."""
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            target = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = yaml.safe_load(self.rfile.read(length)) if length else None
            request = Request(
                self.command, target.path, dict(parse_qsl(target.query)), self.headers.get("Content-Type") or "", body
            )
            try:
                status, answer = 200, state.answer(request)
            except Refused as refused:
                status, answer = refused.status, {"kind": "Status", "message": str(refused), "code": refused.status}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_DELETE = do_POST = _handle  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            """Tests look at ``requests``."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
