"""The Pulumi SDK without protobuf, threads and stack traces, for as long as one recording lasts.

`edge check` runs hundreds of programs in one process. The SDK spends most of a registration on things that only an
engine needs: stack traces, protobuf structs, a thread hop per call, four futures per property. `lean_sdk` swaps those
few functions of the pinned SDK for equivalents on plain values, and puts the originals back. What a program sees is
unchanged; `tests/stacks/test_same_graph.py` holds the result to the engine's, for every site.

Owns the list of what is swapped. Decides nothing about resources.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from pulumi import _types as sdk_types
from pulumi import output as sdk_output
from pulumi.runtime import resource as sdk_resource
from pulumi.runtime import rpc as sdk_rpc
from pulumi.runtime import settings as sdk_settings
from pulumi.runtime import stack as sdk_stack
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.rpc_manager import RPCManager

from engine.rehearsal.values import SECRET_SIGNATURE, SIGNATURE

# `pulumi.runtime` re-exports a function of the same name over this module.
sdk_invoke: Any = importlib.import_module("pulumi.runtime.invoke")


class Message(SimpleNamespace):
    """A request or response with the field names of the protobuf message it stands for."""


class _RegisterResourceRequest(Message):
    PropertyDependencies = Message
    CustomTimeouts = resource_pb2.RegisterResourceRequest.CustomTimeouts
    ResourceHooksBinding = resource_pb2.RegisterResourceRequest.ResourceHooksBinding


class _NeverAnInstance:
    """Stands where the SDK asks whether a value is a raw protobuf value; on plain values none ever is."""


_PLAIN_STRUCTS = SimpleNamespace(Struct=dict, ListValue=list, Value=_NeverAnInstance, NULL_VALUE=None)
_PLAIN_MESSAGES = SimpleNamespace(
    RegisterResourceRequest=_RegisterResourceRequest,
    RegisterResourceOutputsRequest=Message,
    ReadResourceRequest=Message,
    ResourceInvokeRequest=Message,
    ResourceCallRequest=resource_pb2.ResourceCallRequest,
    RegisterResourceResponse=Message,
    Result=resource_pb2.Result,
)


class InlineLoop(asyncio.SelectorEventLoop):
    """An event loop whose "executor" is the caller: the monitor answers at once, so no thread is ever needed."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class _NoUrn:
    """The fallback URN the SDK computes for a run without monitor; there always is one here."""

    async def future(self) -> None:
        return None


_NO_URN = _NoUrn()


def _transfer_properties(res: Any, props: Mapping[str, Any], custom: bool) -> dict[str, Any]:
    """One future per output property, where the SDK makes four and a task to join them."""
    resolvers: dict[str, Any] = {}
    loop = asyncio.get_running_loop()
    for name in props:
        if name == "urn" or (name == "id" and custom):
            continue
        future: asyncio.Future[Any] = loop.create_future()

        def resolve(
            value: Any,
            is_known: bool,
            is_secret: bool,
            deps: set[Any] | None,
            failed: Exception | None,
            future: asyncio.Future[Any] = future,
        ) -> None:
            if failed is not None:
                future.set_exception(failed)
                return
            resources = {*deps, res} if deps else {res}
            future.set_result(sdk_output._OutputData(resources, value, is_known, is_secret))

        resolvers[name] = resolve
        res.__dict__[name] = sdk_output.Output._from_data(future)
    return resolvers


_LEAVES = frozenset({str, int, float, bool, type(None)})
_Unknown = sdk_output.Unknown


def _contains_unknowns(value: Any) -> bool:
    kind = type(value)
    if kind in _LEAVES:
        return False
    if kind is _Unknown:
        return True
    if isinstance(value, dict):
        return any(_contains_unknowns(value[key]) for key in value)
    if isinstance(value, list):
        return any(map(_contains_unknowns, value))
    return False


_serialize_property = sdk_rpc.serialize_property


async def _serialize_leaf_first(value: Any, *args: Any, **options: Any) -> Any:
    """Nine values of ten are plain text or numbers, which serialize to themselves."""
    if type(value) in _LEAVES and not options:
        return value
    return await _serialize_property(value, *args, **options)


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET_SIGNATURE


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


_SWAPS: tuple[tuple[Any, str, Any], ...] = (
    (sdk_types, "unwrap_type", functools.lru_cache(maxsize=4096)(sdk_types.unwrap_type)),
    (sdk_output, "contains_unknowns", _contains_unknowns),
    (sdk_rpc, "contains_unknowns", _contains_unknowns),
    (sdk_rpc, "serialize_property", _serialize_leaf_first),
    (sdk_rpc, "struct_pb2", _PLAIN_STRUCTS),
    (sdk_rpc, "transfer_properties", _transfer_properties),
    (sdk_rpc, "_is_rpc_struct_secret", _is_secret),
    (sdk_resource, "resource_pb2", _PLAIN_MESSAGES),
    (sdk_resource, "_get_stack_trace", lambda: None),
    (sdk_resource, "_get_source_position", lambda _stack: None),
    (sdk_resource, "create_urn", lambda *_args: _NO_URN),
    (sdk_resource, "wrap_with_context", _same),
    (sdk_invoke, "resource_pb2", _PLAIN_MESSAGES),
    (sdk_invoke, "wrap_with_context", _same),
)


class RunSettings:
    """The SDK's settings of one run as plain attributes, where the SDK has context variables behind properties."""

    def __init__(self, *, project: str, stack: str, monitor: Any, features: Mapping[str, bool]) -> None:
        self.rpc_manager: Any = RPCManager()  # type: ignore[no-untyped-call]
        self.outputs: set[Any] = set()
        self.lock = threading.Lock()
        self.project = project
        self.stack = stack
        self.monitor = monitor
        self.feature_support = dict(features)
        self.package_refs: dict[str, str] = {}
        self.organization = "organization"
        self.root_directory = None
        self.engine = None
        self.parallel = None
        self.callbacks = None
        self.dry_run = False
        self.legacy_apply_enabled = False


@contextmanager
def lean_sdk(settings: RunSettings) -> Iterator[None]:
    """Swaps the functions above in, and out again whatever happens. Process-wide: one recording at a time."""
    swaps = [*_SWAPS, *((module, "SETTINGS", settings) for module in (sdk_settings, sdk_output, sdk_stack))]
    originals = [(module, name, getattr(module, name)) for module, name, _ in swaps]
    for module, name, replacement in swaps:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
