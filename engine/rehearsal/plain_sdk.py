"""The Pulumi SDK without protobuf, threads and stack traces, for as long as one recording lasts.

`edge check` runs hundreds of programs in one process. The SDK spends most of a registration on things that only an
engine needs: stack traces, protobuf structs, a thread hop per call, four futures per property. `lean_sdk` swaps those
few functions of the pinned SDK for equivalents on plain values, and puts the originals back. What a program sees is
unchanged; `tests/stacks/test_same_graph.py` holds the result to the engine's, for every site.

Owns the list of what is swapped. Decides nothing about resources.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from pulumi import output as sdk_output
from pulumi.runtime import resource as sdk_resource
from pulumi.runtime import rpc as sdk_rpc
from pulumi.runtime import settings as sdk_settings
from pulumi.runtime import stack as sdk_stack
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.rpc_manager import RPCManager

from engine.rehearsal.values import SECRET_SIGNATURE, SIGNATURE
from engine.stand_in.quick_sdk import QUICKER, Swap, swapped

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


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET_SIGNATURE


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


_SWAPS: tuple[Swap, ...] = (
    *QUICKER,
    (sdk_rpc, "struct_pb2", _PLAIN_STRUCTS),
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
    with swapped([*_SWAPS, *((module, "SETTINGS", settings) for module in (sdk_settings, sdk_output, sdk_stack))]):
        yield
