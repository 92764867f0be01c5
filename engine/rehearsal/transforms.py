"""Transforms that a program registers (`pulumi.runtime.register_resource_transform`), applied without an engine.

The SDK serves them as callbacks over gRPC. They are called as the engine calls them: those of the resource, then those
of its parents from the nearest on, then those of the stack; each gets what the one before it returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

# Fields of the options that a transform may set, with those of the request that carry them.
_PLAIN = {
    "protect": "protect",
    "version": "version",
    "provider": "provider",
    "plugin_download_url": "pluginDownloadURL",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "import": "importId",
}
_LISTS = {
    "depends_on": "dependencies",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "aliases": "aliases",
    "additional_secret_outputs": "additionalSecretOutputs",
    "replace_with": "replace_with",
}


class Transforms:
    """The transforms of one run."""

    def __init__(self) -> None:
        self._of_stack: list[Any] = []
        self._of_resources: dict[str, Sequence[Any]] = {}
        self._parents: dict[str, str] = {}

    def register(self, callback: Any) -> None:
        """Add a transform of the whole stack."""
        self._of_stack.append(callback)

    def remember(self, urn: str, request: Any) -> None:
        """A resource has been registered: its transforms hold for its children too."""
        self._parents[urn] = request.parent
        self._of_resources[urn] = request.transforms

    def concern(self, request: Any) -> bool:
        """Whether any transform concerns a request to register a resource."""
        return bool(self._concerned(request))

    def apply(self, request: Any) -> None:
        """Change a request to register a resource as all transforms say that concern it. Waits for the SDK."""
        for callback in self._concerned(request):
            asked = resource_pb2.TransformRequest(
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                properties=request.object,
                options=_options(request),
            )
            answer = resource_pb2.TransformResponse.FromString(_call(callback, asked))
            request.object.CopyFrom(answer.properties)
            if answer.HasField("options"):
                _set_options(request, answer.options)

    def _concerned(self, request: Any) -> list[Any]:
        found = list(request.transforms)
        above = request.parent
        while above:
            found += self._of_resources.get(above, ())
            above = self._parents.get(above, "")
        return found + self._of_stack


def _call(callback: Any, asked: Any) -> bytes:
    with grpc.insecure_channel(callback.target) as channel:
        request = callback_pb2.CallbackInvokeRequest(token=callback.token, request=asked.SerializeToString())
        answer: bytes = callback_pb2_grpc.CallbacksStub(channel).Invoke(request).response
        return answer


def _options(request: Any) -> Any:
    options = resource_pb2.TransformResourceOptions()
    for name, field in _PLAIN.items():
        setattr(options, name, getattr(request, field))
    for name, field in _LISTS.items():
        getattr(options, name).extend(getattr(request, field))
    options.providers.update(request.providers)
    options.custom_timeouts.CopyFrom(request.customTimeouts)
    if request.deleteBeforeReplaceDefined:
        options.delete_before_replace = request.deleteBeforeReplace
    return options


def _set_options(request: Any, options: Any) -> None:
    for name, field in _PLAIN.items():
        setattr(request, field, getattr(options, name))
    for name, field in _LISTS.items():
        request.ClearField(field)
        getattr(request, field).extend(getattr(options, name))
    request.providers.clear()
    request.providers.update(options.providers)
    request.customTimeouts.CopyFrom(options.custom_timeouts)
    request.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")
    request.deleteBeforeReplace = options.delete_before_replace
