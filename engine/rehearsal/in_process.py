"""Runs a Pulumi program in this process and records what it would register, answered by the rehearsal core.

Owns the recording monitor and the isolation of one run from the next: settings, configuration, root resource and event
loop live in a context of their own and are gone when `record` returns. No engine, no gRPC, no thread. Does not decide
what is right: `engine.rehearsal.core` checks inputs and makes up outputs, here as behind the real engine.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import config as sdk_config
from pulumi.runtime import settings as sdk_settings
from pulumi.runtime.stack import Stack

from engine.rehearsal import core
from engine.rehearsal.core import Problem, Unanswerable, World
from engine.rehearsal.plain_sdk import InlineLoop, Message, RunSettings, lean_sdk
from engine.rehearsal.values import UNKNOWN, Secret, from_wire, to_wire

__all__ = ["UNKNOWN", "Problem", "Recorded", "Recording", "Secret", "record"]

STACK_TYPE = "pulumi:pulumi:Stack"
_FEATURES = {
    "secrets": True,
    "resourceReferences": True,
    "outputValues": True,
    "deletedWith": True,
    "replaceWith": True,
    "aliasSpecs": True,
    # These call back over gRPC into the program, which no part of the project does.
    "transforms": False,
    "invokeTransforms": False,
    "parameterization": False,
    "resourceHooks": False,
    "errorHooks": False,
}
_one_at_a_time = threading.Lock()


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

    ``config`` has full keys (``edge:ssh-private-key``). An exception of the program is raised as it is. Runs one after
    the other in one process do not see each other; two threads take turns.
    """
    monitor = _Monitor(project, stack, world or World())
    settings = RunSettings(project=project, stack=stack, monitor=monitor, features=_FEATURES)
    with _one_at_a_time, lean_sdk(settings):
        contextvars.copy_context().run(_run, program, settings, config, secret_keys)
    return monitor.recording()


def _run(
    program: Callable[[], Any], settings: RunSettings, config: Mapping[str, str], secret_keys: Collection[str]
) -> None:
    sdk_settings.ROOT.set(None)
    sdk_config.set_all_config(dict(config), list(secret_keys))
    loop = InlineLoop()
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        loop.run_until_complete(_drive(program, settings))
    finally:
        _abandon(loop)
        loop.close()


async def _drive(program: Callable[[], Any], settings: RunSettings) -> None:
    failure: Exception | None = None
    try:
        Stack(program)
    except Exception as error:
        failure = error
    try:
        await _quiet(settings)
    except Exception:
        # What the program itself said is worth more than what broke because of it.
        if failure is None:
            raise
    if failure is not None:
        raise failure


async def _quiet(settings: RunSettings) -> None:
    """Waits until nothing is under way, like the SDK's `wait_for_rpcs`, which asks every output again at each step."""
    calls = settings.rpc_manager.rpcs
    while calls or settings.outputs:
        while calls:
            await calls.pop()
        if settings.rpc_manager.unhandled_exception is not None:
            raise settings.rpc_manager.unhandled_exception
        pending = list(settings.outputs)
        settings.outputs.clear()
        for output in pending:
            await output


def _abandon(loop: asyncio.AbstractEventLoop) -> None:
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))


class _Monitor:
    """Answers the SDK as the engine's resource monitor does, and remembers."""

    def __init__(self, project: str, stack: str, world: World) -> None:
        self.project = project
        self.stack = stack
        self.world = world
        self._suffix = f"urn:pulumi:{stack}::{project}::"
        self._resources: dict[str, Recorded] = {}
        self._problems: list[Problem] = []
        self._stack_urn = ""
        self._stack_outputs: dict[str, Any] = {}

    def recording(self) -> Recording:
        return Recording(tuple(self._resources.values()), self._stack_outputs, tuple(self._problems))

    def RegisterResource(self, request: Any) -> Message:  # noqa: N802
        urn = self._urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            self._stack_urn = urn
            return _registered(urn, "", {})
        if urn in self._resources:
            self._problems.append(Problem(urn, "", "two resources have this URN; give one of them another name"))
        inputs = from_wire(request.object)
        identity = ""
        outputs: dict[str, Any] = {}
        if request.custom:
            inputs, problems = core.check(request.type, urn, inputs, self.world)
            self._problems.extend(problems)
            identity, outputs = core.create(request.type, urn, inputs)
            for name in request.additionalSecretOutputs or ():
                if name in outputs and not isinstance(outputs[name], Secret):
                    outputs[name] = Secret(outputs[name])
        self._resources[urn] = _recorded(request, urn, identity, inputs, outputs)
        return _registered(urn, identity, to_wire(outputs))

    def RegisterResourceOutputs(self, request: Any) -> None:  # noqa: N802
        outputs = from_wire(request.outputs)
        if request.urn == self._stack_urn:
            self._stack_outputs = outputs
        else:
            self._resources[request.urn].outputs.update(outputs)

    def ReadResource(self, request: Any) -> Message:  # noqa: N802
        urn = self._urn(request.parent, request.type, request.name)
        inputs = from_wire(request.properties)
        _, outputs = core.create(request.type, urn, inputs)
        self._resources[urn] = Recorded(
            urn, request.type, request.name, request.parent, True, request.id, request.provider or "", inputs, outputs
        )
        return Message(urn=urn, properties=to_wire(outputs))

    def Invoke(self, request: Any) -> Message:  # noqa: N802
        try:
            answer = core.invoke(request.tok, from_wire(request.args), self.world)
        except Unanswerable as error:
            return Message(failures=[Message(property=error.property, reason=str(error))], **{"return": {}})
        return Message(failures=(), **{"return": to_wire(answer)})

    def Call(self, request: Any) -> Message:  # noqa: N802
        raise NotImplementedError(f"rehearsal does not run resource methods ({request.tok})")

    def _urn(self, parent: str, kind: str, name: str) -> str:
        if parent and parent != self._stack_urn:
            chain = parent.split("::", 3)[2]
            return f"{self._suffix}{chain}${kind}::{name}"
        return f"{self._suffix}{kind}::{name}"


def _registered(urn: str, identity: str, outputs: dict[str, Any]) -> Message:
    return Message(urn=urn, id=identity, object=outputs, propertyDependencies=None, result=0)


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
        additional_secret_outputs=tuple(request.additionalSecretOutputs or ()),
        ignore_changes=tuple(request.ignoreChanges or ()),
        replace_on_changes=tuple(request.replaceOnChanges or ()),
        aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases or ()),
        protect=bool(request.protect),
        retain_on_delete=bool(request.retainOnDelete),
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        deleted_with=request.deletedWith,
        custom_timeouts={
            name: getattr(timeouts, name) for name in ("create", "update", "delete") if getattr(timeouts, name)
        }
        if timeouts is not None
        else {},
        version=request.version,
    )
