"""A provider of a rehearsal as the engine meets it, asking `core` for everything.

Owns the protocol only; who listens where is in `serving`. Nothing here opens a connection or knows a resource type. The
one thing kept between calls is the configuration of a provider instance, which some decisions depend on: each instance
has a connection of its own.
"""

from __future__ import annotations

import functools
import importlib.metadata
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from engine.rehearsal import core
from engine.rehearsal.serving import PROVIDERS
from engine.rehearsal.values import from_struct, to_struct
from engine.rehearsal.world import World

_KINDS = provider_pb2.PropertyDiff.Kind


_Method = Callable[[Any, Any, Any], Any]


def _explained(method: _Method) -> _Method:
    """Says where a fault of the rehearsal is. The fault's own message is left out: it could hold a secret."""

    @functools.wraps(method)
    def call(self: Any, request: Any, context: Any) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {frame.filename.rpartition('/')[2]}, line {frame.lineno}"
        return context.abort(grpc.StatusCode.INTERNAL, f"the rehearsal of {self.name} has a fault: {where}")

    return call


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of a rehearsal. Unknown provider functions and methods are refused, never made up."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self._world = world
        self._configurations: dict[str, Mapping[str, Any]] = {}

    @cached_property
    def version(self) -> str:
        """Version of the SDK that the program uses."""
        return importlib.metadata.version(PROVIDERS[self.name])

    # The protocol's own names are in camel case.
    # ruff: noqa: N802

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Parameterize(self, request: Any, context: Any) -> Any:
        return _refuse(context, f"the rehearsal of {self.name} cannot be parameterised")

    @_explained
    def Configure(self, request: Any, context: Any) -> Any:
        self._configurations[context.peer()] = from_struct(request.args)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return self._check(request, context)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return self._diff(request, context)

    def Check(self, request: Any, context: Any) -> Any:
        return self._check(request, context)

    def Diff(self, request: Any, context: Any) -> Any:
        return self._diff(request, context)

    @_explained
    def Create(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.properties)
        if request.preview:
            made = core.preview(type_of(request.urn), request.urn, inputs, None)
            return provider_pb2.CreateResponse(id="", properties=to_struct(made))
        identity, made = core.create(type_of(request.urn), request.urn, inputs)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(made))

    def Read(self, request: Any, context: Any) -> Any:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    @_explained
    def Update(self, request: Any, context: Any) -> Any:
        decide: Callable[..., dict[str, Any]] = core.preview if request.preview else core.update
        made = decide(type_of(request.urn), request.urn, from_struct(request.news), from_struct(request.olds))
        return provider_pb2.UpdateResponse(properties=to_struct(made))

    def Delete(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    @_explained
    def Invoke(self, request: Any, context: Any) -> Any:
        try:
            answer = core.invoke(request.tok, from_struct(request.args), self._world)
        except core.Unanswerable as error:
            failure = provider_pb2.CheckFailure(property=error.property, reason=str(error))
            return provider_pb2.InvokeResponse(failures=[failure])
        return provider_pb2.InvokeResponse(**{"return": to_struct(answer)})

    def Call(self, request: Any, context: Any) -> Any:
        return _refuse(context, f"rehearsal does not run resource methods ({request.tok})")

    def Construct(self, request: Any, context: Any) -> Any:
        return _refuse(context, f"rehearsal does not run components of other packages ({request.type})")

    @_explained
    def _check(self, request: Any, context: Any) -> Any:
        inputs, problems = core.check(type_of(request.urn), request.urn, from_struct(request.news), self._world)
        failures = [provider_pb2.CheckFailure(property=problem.property, reason=problem.reason) for problem in problems]
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=failures)

    @_explained
    def _diff(self, request: Any, context: Any) -> Any:
        old = request.old_inputs if request.HasField("old_inputs") else request.olds
        configuration = self._configurations.get(context.peer())
        found = core.diff(type_of(request.urn), from_struct(old), from_struct(request.news), configuration)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found.changes else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=found.replaces,
            deleteBeforeReplace=found.delete_before_replace,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found.detailed}),
            hasDetailedDiff=True,
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=_KINDS.Value(kind), inputDiff=True)
                for path, kind in found.detailed.items()
            },
        )


def type_of(urn: str) -> str:
    """The type token in a URN, without those of its parents."""
    return urn.split("::", 3)[2].rpartition("$")[2]


def _refuse(context: Any, reason: str) -> Any:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)
