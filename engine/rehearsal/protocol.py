"""The provider protocol as the engine speaks it, apart from what a provider does.

Owns the messages, the configuration of each provider instance and how a failure is told. What would be refused, changed
or replaced is asked of `core`, so that every provider of this project decides alike; what creating, updating and
deleting mean is the subclass's.
"""

from __future__ import annotations

import functools
import importlib.metadata
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from engine.rehearsal import core
from engine.rehearsal.providers import PROVIDERS
from engine.rehearsal.values import from_struct, to_struct
from engine.rehearsal.world import World

Properties = dict[str, Any]

_KINDS = provider_pb2.PropertyDiff.Kind
_Method = Callable[[Any, Any, Any], Any]


class Failure(Exception):
    """A request that could not be carried out. The message is for a person and holds no secret."""


class Incomplete(Failure):
    """A resource that exists, but is not as it should be: the engine keeps it in its state and fails the run."""

    def __init__(self, message: str, identity: str, outputs: Properties) -> None:
        super().__init__(message)
        self.identity, self.outputs = identity, outputs


@dataclass(frozen=True, slots=True)
class Asked:
    """What is common to the engine's requests about one resource."""

    urn: str
    peer: str
    """The connection of the provider instance that was asked."""
    preview: bool = False
    timeout_s: float = 0
    """The program's own limit (`custom_timeouts`); 0 without one."""

    @property
    def token(self) -> str:
        """The type token in the URN, without those of its parents."""
        return self.urn.split("::", 3)[2].rpartition("$")[2]

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]


def _explained(method: _Method) -> _Method:
    """Tells the engine of a failure, and of a fault where it is. A fault's own message could hold a secret."""

    @functools.wraps(method)
    def call(self: Any, request: Any, context: Any) -> Any:
        try:
            return method(self, request, context)
        except Incomplete as failure:
            return _abort_incomplete(context, failure, request)
        except Failure as failure:
            told = str(failure)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {frame.filename.rpartition('/')[2]}, line {frame.lineno}"
            return context.abort(grpc.StatusCode.INTERNAL, f"{self.called} has a fault: {where}")
        return context.abort(grpc.StatusCode.UNKNOWN, told)

    return call


def _abort_incomplete(context: Any, failure: Incomplete, request: Any) -> Any:
    inputs = request.news if isinstance(request, provider_pb2.UpdateRequest) else request.properties
    left = provider_pb2.ErrorResourceInitFailed(
        id=failure.identity, properties=to_struct(failure.outputs), reasons=[str(failure)], inputs=inputs
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure))
    status.details.add().Pack(left)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    return context.abort(grpc.StatusCode.UNKNOWN, str(failure))


class Protocol(provider_pb2_grpc.ResourceProviderServicer):
    """One provider. Unknown provider functions and methods are refused, never made up.

    ``called`` is what messages call the provider.
    """

    def __init__(self, name: str, world: World, called: str) -> None:
        self.name, self.called = name, called
        self._world = world
        self._configurations: dict[str, Mapping[str, Any]] = {}

    # What a subclass does. Each may raise `Failure`.

    def preview(self, asked: Asked, inputs: Properties, olds: Properties | None) -> Properties:
        """Outputs as far as they are known before anything is done; ``olds`` when a resource is to be updated."""
        return core.preview(asked.token, asked.urn, inputs, olds)

    def create(self, asked: Asked, inputs: Properties) -> tuple[str, Properties]:
        """Id and outputs of what was made. May raise `Incomplete`."""
        raise NotImplementedError

    def update(self, asked: Asked, identity: str, inputs: Properties, olds: Properties) -> Properties:
        """Outputs after the change. May raise `Incomplete`."""
        raise NotImplementedError

    def delete(self, asked: Asked, identity: str, olds: Properties) -> None:
        """Undo what was made."""
        raise NotImplementedError

    def read(
        self, asked: Asked, identity: str, outputs: Properties, inputs: Properties
    ) -> tuple[Properties, Properties] | None:
        """Outputs and inputs as they are found; None where the resource is gone. Without effect: as they are known."""
        return outputs, inputs

    def configured(self, peer: str, configuration: Mapping[str, Any]) -> None:
        """The provider instance on this connection gets its configuration."""

    def cancelled(self, peer: str) -> None:
        """The run of this provider instance was interrupted."""

    def engine_is_at(self, peer: str, address: str) -> None:
        """Where the engine of this connection takes what is to be logged."""

    def configuration(self, peer: str) -> Mapping[str, Any]:
        """The configuration of the provider instance on this connection."""
        return self._configurations.get(peer, {})

    # What the engine calls. The protocol's own names are in camel case.
    # ruff: noqa: N802

    @cached_property
    def version(self) -> str:
        """Version of the SDK that the program uses."""
        return importlib.metadata.version(PROVIDERS[self.name])

    def Handshake(self, request: Any, context: Any) -> Any:
        if request.engine_address:
            self.engine_is_at(context.peer(), request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def Attach(self, request: Any, context: Any) -> Any:
        self.engine_is_at(context.peer(), request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Parameterize(self, request: Any, context: Any) -> Any:
        return self._refuse(context, "cannot be parameterised")

    @_explained
    def Configure(self, request: Any, context: Any) -> Any:
        configuration = from_struct(request.args)
        self.configured(context.peer(), configuration)
        self._configurations[context.peer()] = configuration
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled(context.peer())
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
        asked, inputs = _asked(request, context, preview=request.preview), from_struct(request.properties)
        if asked.preview:
            return provider_pb2.CreateResponse(id="", properties=to_struct(self.preview(asked, inputs, None)))
        identity, made = self.create(asked, inputs)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(made))

    @_explained
    def Read(self, request: Any, context: Any) -> Any:
        known, inputs = from_struct(request.properties), from_struct(request.inputs)
        found = self.read(_asked(request, context), request.id, known, inputs)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=to_struct(found[0]), inputs=to_struct(found[1]))

    @_explained
    def Update(self, request: Any, context: Any) -> Any:
        asked = _asked(request, context, preview=request.preview)
        news, olds = from_struct(request.news), from_struct(request.olds)
        made = self.preview(asked, news, olds) if asked.preview else self.update(asked, request.id, news, olds)
        return provider_pb2.UpdateResponse(properties=to_struct(made))

    @_explained
    def Delete(self, request: Any, context: Any) -> Any:
        self.delete(_asked(request, context), request.id, from_struct(request.properties))
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
        return self._refuse(context, f"does not run resource methods ({request.tok})")

    def Construct(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"does not run components of other packages ({request.type})")

    @_explained
    def _check(self, request: Any, context: Any) -> Any:
        asked = _asked(request, context)
        inputs, problems = core.check(asked.token, asked.urn, from_struct(request.news), self._world)
        failures = [provider_pb2.CheckFailure(property=problem.property, reason=problem.reason) for problem in problems]
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=failures)

    @_explained
    def _diff(self, request: Any, context: Any) -> Any:
        old = request.old_inputs if request.HasField("old_inputs") else request.olds
        if old == request.news:
            # Most of them, at most times; and these are compared without being read.
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE, hasDetailedDiff=True)
        configuration = self._configurations.get(context.peer())
        token = _asked(request, context).token
        found = core.diff(token, from_struct(old), from_struct(request.news), configuration)
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

    def _refuse(self, context: Any, what: str) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{self.called} {what}")


def _asked(request: Any, context: Any, *, preview: bool = False) -> Asked:
    # Checks, diffs and reads have no limit of their own.
    return Asked(request.urn, context.peer(), preview, getattr(request, "timeout", 0.0))
