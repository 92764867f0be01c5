"""Two functions of the pinned Pulumi SDK that take half of a program's time, without what makes them slow.

For programs that run inside a process of ours, with the real engine. What a program sees is unchanged; the recorder
(`rehearsal.plain_sdk`), which has no engine to talk to, goes further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pulumi.runtime import resource as sdk_resource
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


@contextmanager
def quick_sdk() -> Iterator[None]:
    """Swaps the functions in, and out again whatever happens. For the whole process."""
    swaps = ((sdk_stack, "wait_for_rpcs", wait_for_rpcs), (sdk_resource, "_get_stack_trace", _no_stack_trace))
    originals = [(module, name, getattr(module, name)) for module, name, _ in swaps]
    for module, name, replacement in swaps:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
