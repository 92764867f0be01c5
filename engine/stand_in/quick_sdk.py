"""The few functions of the pinned Pulumi SDK that take most of a program's time, without what makes them slow.

For programs that run inside a process of ours. What a program sees is unchanged: `tests/stacks/test_same_graph.py` runs
every site with the SDK as it is, and `edge` with these. The recorder (`rehearsal.plain_sdk`), which has no engine to
talk to, goes further.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pulumi import _types as sdk_types
from pulumi import output as sdk_output
from pulumi.runtime import resource as sdk_resource
from pulumi.runtime import rpc as sdk_rpc
from pulumi.runtime import settings as sdk_settings
from pulumi.runtime import stack as sdk_stack
from pulumi.runtime.proto import source_pb2


async def wait_for_rpcs(await_all_outstanding_tasks: bool = True) -> None:
    """Until no call and no output is under way; raises what the first of them that failed raised.

    The SDK wakes up for each output that is done, and then registers with all others anew: their number, squared. This
    wakes up when all are done or one has failed.
    """
    manager = sdk_settings._get_rpc_manager()
    while True:
        while manager.rpcs:
            await asyncio.sleep(0)
            try:
                await manager.rpcs.pop()
            except Exception as failed:
                if manager.unhandled_exception is None:
                    raise
                raise failed from manager.unhandled_exception.with_traceback(manager.exception_traceback)
        if manager.unhandled_exception is not None:
            raise manager.unhandled_exception.with_traceback(manager.exception_traceback)
        while await_all_outstanding_tasks:
            settings = sdk_settings.SETTINGS
            with settings.lock:
                pending = list(settings.outputs)
                settings.outputs.clear()
            if not pending:
                break
            done, others = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                await task
            with settings.lock:
                settings.outputs.update(others)
        if not manager.rpcs:
            return


def _no_stack_trace() -> source_pb2.StackTrace:
    """Where a resource was made, for a debugger that a rehearsal or an `edge` run never has."""
    return source_pb2.StackTrace()


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


Swap = tuple[Any, str, Any]
"""Module, name, replacement."""

QUICKER: tuple[Swap, ...] = (
    (sdk_types, "unwrap_type", functools.lru_cache(maxsize=4096)(sdk_types.unwrap_type)),
    (sdk_output, "contains_unknowns", _contains_unknowns),
    (sdk_rpc, "contains_unknowns", _contains_unknowns),
    (sdk_rpc, "serialize_property", _serialize_leaf_first),
    (sdk_rpc, "transfer_properties", _transfer_properties),
)
"""Those that need no engine and no protobuf."""

_WITH_AN_ENGINE: tuple[Swap, ...] = (
    *QUICKER,
    (sdk_stack, "wait_for_rpcs", wait_for_rpcs),
    (sdk_resource, "_get_stack_trace", _no_stack_trace),
)


def quick_sdk() -> AbstractContextManager[None]:
    """While this holds, programs with an engine run on the quicker functions. For the whole process."""
    return swapped(_WITH_AN_ENGINE)


@contextmanager
def swapped(swaps: Sequence[Swap]) -> Iterator[None]:
    """Swaps functions in, and out again whatever happens. For the whole process: one user at a time."""
    originals = [(module, name, getattr(module, name)) for module, name, _ in swaps]
    for module, name, replacement in swaps:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
