"""Runs a Pulumi program in this process and records what it would register, answered by the rehearsal core.

Uses the SDK as it is: a resource monitor of our own is handed to `pulumi.runtime.Settings`, and the program runs in
`pulumi.runtime.run_in_stack`. Settings, configuration and event loop of a run are gone when `record` returns. No
engine and no network. Does not decide what is right: `engine.rehearsal.core` checks inputs and makes up outputs, here
as behind the real engine.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

import grpc
import pulumi.runtime
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, resource_pb2, resource_pb2_grpc

from engine.rehearsal import core
from engine.rehearsal.core import Problem, Unanswerable, World
from engine.rehearsal.transforms import Transforms
from engine.rehearsal.values import UNKNOWN, Secret, from_struct, to_struct

__all__ = ["UNKNOWN", "Problem", "Recorded", "Recording", "Secret", "record"]

STACK_TYPE = "pulumi:pulumi:Stack"
_FEATURES = frozenset(
    {
        "secrets",
        "resourceReferences",
        "outputValues",
        "deletedWith",
        "replaceWith",
        "aliasSpecs",
        "transforms",
        # Hooks are registered and never called: nothing happens that they could be called for.
        "resourceHooks",
        "errorHooks",
    }
)
_one_at_a_time = threading.Lock()
_A_MOMENT_S = 0.05


@dataclass(frozen=True, slots=True)
class Recorded:
    """One registered resource, as the engine would hold it. URNs of dependencies are sorted."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    id: str
    provider: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    additional_secret_outputs: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    protect: bool = False
    retain_on_delete: bool = False
    delete_before_replace: bool | None = None
    deleted_with: str = ""
    custom_timeouts: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a program registered, in order, with its stack outputs and everything the rehearsal found wrong."""

    resources: tuple[Recorded, ...]
    outputs: dict[str, Any]
    problems: tuple[Problem, ...]


def record(
    program: Callable[[], Any],
    *,
    project: str,
    stack: str,
    config: Mapping[str, str],
    secret_keys: Collection[str] = (),
    world: World | None = None,
) -> Recording:
    """Runs ``program`` as if every resource were created, and returns what it registered.

    ``config`` has full keys (``edge:ssh-private-key``). An exception of the program is raised as it is. One run at a
    time per process: a second thread waits for the first.
    """
    monitor = _Monitor(project, stack, world or World())

    async def run() -> None:
        # Context variables of the SDK: set here, inside the task, they end with it.
        pulumi.runtime.reset_options()
        stub = resource_pb2_grpc.ResourceMonitorStub(_Channel(monitor))
        pulumi.runtime.configure(pulumi.runtime.Settings(project, stack, stub, organization="organization"))
        pulumi.runtime.set_all_config(dict(config), list(secret_keys))
        # A failed resource fails the outputs that depend on it, which nobody awaits any more.
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.set_default_executor(_AtOnce())
        await pulumi.runtime.run_in_stack(_settled(program))

    with _one_at_a_time, _collected_at_the_end(), _no_stack_traces():
        asyncio.run(run())
    return monitor.recording()


def _settled(program: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
    """``program``, which ends when its tasks have ended.

    The SDK waits for them too, but anew for all of them whenever one of them ends: a fifth of a run. A server of
    transforms never ends. So what has not moved for a moment is left to the SDK.
    """

    async def run() -> None:
        result = program()
        if isawaitable(result):
            await result
        this = asyncio.current_task()
        assert this is not None
        others: set[asyncio.Task[Any]] = set()
        # There are thousands of tasks: they are listed again only when those that were known have ended.
        while others or (others := asyncio.all_tasks() - {this}):
            try:
                ended, others = await asyncio.wait(others, timeout=_A_MOMENT_S)
            except asyncio.CancelledError:
                # ^C, once for this task. The SDK would take it for an error of the program, and go on to wait for what
                # may never end. So its own wait gets it.
                this.uncancel()
                this.cancel()
                return
            if not ended:
                return

    return run


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """Within this context, nothing is looked for that only refers to itself; at its end, all that is new is.

    A run makes some ten thousand objects that live as long as it does, and the search would go over them again and
    again. After it they are gone at once, and the next run does not start with the tasks of the last one.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(1)
        if enabled:
            gc.enable()


@contextmanager
def _no_stack_traces() -> Iterator[None]:
    """Within this context, whoever asks Python for the calls that led to a place gets the last one only.

    The SDK asks for each resource, to tell an engine which line made it: an eighth of a run, for what nobody records.
    An exception keeps its own trace, which is whole when it is shown after the run.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 1
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


class _WaitsForTheLoop(Exception):
    """A call cannot be answered in the thread of the event loop: the answer comes from the loop itself."""


class _AtOnce(ThreadPoolExecutor):
    """Answers the SDK's calls where they are made: handing one to a thread takes longer than the answer.

    What a program gives to threads itself runs in threads.
    """

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not (getattr(call, "__module__", None) or "").startswith("pulumi."):
            return super().submit(call, *args, **kwargs)
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except _WaitsForTheLoop:
            return super().submit(call, *args, **kwargs)
        except Exception as error:
            future.set_exception(error)
        return future


class _Channel:
    """A gRPC channel that ends in this process: a call is a method of ``answers``.

    Answers go through their wire form, so that an SDK with newer messages reads them as it reads those of an engine.
    """

    def __init__(self, answers: object) -> None:
        self._answers = answers

    def unary_unary(self, method: str, *, response_deserializer: Callable[[bytes], Any], **_options: Any) -> Any:
        answer: Callable[[Any], Any] = getattr(self._answers, method.rpartition("/")[2], _unimplemented)
        return lambda request: response_deserializer(answer(request).SerializeToString())


class _Unimplemented(grpc.RpcError):
    """What the SDK takes for an older engine."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNIMPLEMENTED

    def details(self) -> str:
        return "a check without an engine does not support this call"


def _unimplemented(_request: Any) -> Any:
    raise _Unimplemented


class _Monitor:
    """Answers the SDK as the engine's resource monitor does, and remembers."""

    def __init__(self, project: str, stack: str, world: World) -> None:
        self._world = world
        self._suffix = f"urn:pulumi:{stack}::{project}::"
        self._resources: dict[str, Recorded] = {}
        self._problems: list[Problem] = []
        self._stack_urn = ""
        self._stack_outputs: dict[str, Any] = {}
        self._transforms = Transforms()
        # Calls come from several threads where there are transforms.
        self._lock = threading.Lock()
        self._of_the_loop = threading.get_ident()

    def recording(self) -> Recording:
        return Recording(tuple(self._resources.values()), self._stack_outputs, tuple(self._problems))

    def SupportsFeature(self, request: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURES)

    def SignalAndWaitForShutdown(self, _request: Any) -> Any:
        return empty_pb2.Empty()

    def RegisterStackTransform(self, request: Any) -> Any:
        self._transforms.register(request)
        return empty_pb2.Empty()

    def RegisterResourceHook(self, _request: Any) -> Any:
        return empty_pb2.Empty()

    RegisterErrorHook = RegisterResourceHook

    def RegisterResource(self, request: Any) -> Any:
        if request.type != STACK_TYPE and self._transforms.concern(request):
            # The SDK answers them, on the event loop.
            if threading.get_ident() == self._of_the_loop:
                raise _WaitsForTheLoop
            self._transforms.apply(request)
        with self._lock:
            return self._register(request)

    def _register(self, request: Any) -> Any:
        urn = self._urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            self._stack_urn = urn
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if above := self._resources.get(request.parent):
            _inherit(request, above)
        self._transforms.remember(urn, request)
        if urn in self._resources:
            self._problems.append(Problem(urn, "", "two resources have this URN; give one of them another name"))
        inputs = from_struct(request.object)
        identity = ""
        outputs: dict[str, Any] = {}
        if request.custom:
            inputs, problems = core.check(request.type, urn, inputs, self._world)
            self._problems.extend(problems)
            identity, outputs = core.create(request.type, urn, inputs)
            for name in request.additionalSecretOutputs:
                if name in outputs and not isinstance(outputs[name], Secret):
                    outputs[name] = Secret(outputs[name])
        self._resources[urn] = _recorded(request, urn, identity, inputs, outputs)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=to_struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> Any:
        outputs = from_struct(request.outputs)
        with self._lock:
            if request.urn == self._stack_urn:
                self._stack_outputs = outputs
            else:
                self._resources[request.urn].outputs.update(outputs)
        return empty_pb2.Empty()

    def ReadResource(self, request: Any) -> Any:
        urn = self._urn(request.parent, request.type, request.name)
        inputs = from_struct(request.properties)
        _, outputs = core.create(request.type, urn, inputs)
        with self._lock:
            self._resources[urn] = Recorded(
                urn, request.type, request.name, request.parent, True, request.id, request.provider, inputs, outputs
            )
        return resource_pb2.ReadResourceResponse(urn=urn, properties=to_struct(outputs))

    def Invoke(self, request: Any) -> Any:
        try:
            answer = core.invoke(request.tok, from_struct(request.args), self._world)
        except Unanswerable as error:
            failure = provider_pb2.CheckFailure(property=error.property, reason=str(error))
            return provider_pb2.InvokeResponse(failures=[failure])
        return provider_pb2.InvokeResponse(**{"return": to_struct(answer)})

    def _urn(self, parent: str, kind: str, name: str) -> str:
        if parent and parent != self._stack_urn:
            chain = parent.split("::", 3)[2]
            return f"{self._suffix}{chain}${kind}::{name}"
        return f"{self._suffix}{kind}::{name}"


def _inherit(request: Any, parent: Recorded) -> None:
    """What the engine gives a child that says nothing of it (source_eval.go, `inheritFromParent`)."""
    request.deletedWith = request.deletedWith or parent.deleted_with
    if not request.HasField("protect"):
        request.protect = parent.protect
    if not request.HasField("retainOnDelete"):
        request.retainOnDelete = parent.retain_on_delete


def _recorded(request: Any, urn: str, identity: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Recorded:
    timeouts = request.customTimeouts
    return Recorded(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        id=identity,
        provider=request.provider,
        inputs=inputs,
        outputs=outputs,
        dependencies=tuple(sorted(request.dependencies)),
        property_dependencies={
            name: tuple(sorted(found.urns)) for name, found in request.propertyDependencies.items() if found.urns
        },
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases),
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        deleted_with=request.deletedWith,
        custom_timeouts={
            name: getattr(timeouts, name) for name in ("create", "update", "delete") if getattr(timeouts, name)
        },
        version=request.version,
    )
