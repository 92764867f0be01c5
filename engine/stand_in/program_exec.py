"""Runs one Pulumi program in this interpreter, as the language host asks. Imports nothing of this project.

It may run in another virtual environment than the host's, so it is started by its path. The request comes as JSON on
standard input, not in arguments or the environment, because it holds decrypted configuration. Exit codes: 0 done,
32 failed and the user has been told why, anything else failed and the engine says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

TOLD_THE_USER = 32
# The SDK's calls wait in threads; four for each parallel operation keeps the engine busy.
_THREADS_PER_OPERATION = 4


def from_user_code(trace: TracebackType | None, folder: str) -> TracebackType | None:
    """The part of a traceback that starts in the program's folder, or all of it when none does."""
    frame = trace
    while frame is not None:
        if frame.tb_frame.f_code.co_filename.startswith(folder + os.sep):
            return frame
        frame = frame.tb_next
    return trace


def explain(error: BaseException, folder: str) -> str:
    """An unhandled exception as a user reads it, beginning with a line of their own program."""
    # A syntax error carries its own place; the frames are those of the import system.
    trace = None if isinstance(error, SyntaxError) else from_user_code(error.__traceback__, folder)
    lines = traceback.TracebackException(type(error), error, trace).format()
    return "Program failed with an unhandled exception:\n" + "".join(lines)


def make_importable(path: str, folder: str) -> None:
    """Put the program's own folder, or for a single file the folder it is in, first on the import path."""
    own = path if os.path.isdir(path) else os.path.dirname(path)
    for one in (folder, own):
        if one in sys.path:
            sys.path.remove(one)
        sys.path.insert(0, one)


def configure(request: dict[str, Any]) -> None:
    """Tell the SDK of this process what it is running for."""
    import pulumi.runtime

    pulumi.runtime.set_all_config(request["config"], request["secret_keys"])
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=request["monitor"],
            engine=request["engine"],
            project=request["project"],
            stack=request["stack"],
            organization=request["organization"],
            root_directory=request["root"],
            parallel=request["parallel"],
            dry_run=request["dry_run"],
        )
    )


def run(path: str, folder: str, parallel: int) -> int:
    """Run the program until all its resources are registered; the exit code."""
    import pulumi.runtime

    def program() -> None:
        runpy.run_path(path, run_name="__main__")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    threads = ThreadPoolExecutor(max_workers=max(parallel, 1) * _THREADS_PER_OPERATION)
    loop.set_default_executor(threads)
    # After a failed resource the outputs that depend on it are never awaited; asyncio's words about that help nobody.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    except BaseException as error:
        # Nor do Python's words about coroutines that were not awaited, which closing the loop brings forth.
        warnings.simplefilter("ignore", RuntimeWarning)
        if isinstance(error, pulumi.RunError):
            pulumi.log.error(str(error))
        elif isinstance(error, Exception):
            pulumi.log.error(explain(error, folder))
        else:
            raise
        return TOLD_THE_USER
    finally:
        threads.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> int:
    """Run the program that standard input describes; see LanguageService.Run for the fields."""
    # The engine interrupts the whole process group of the host; the host then ends this process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import pulumi.runtime
    except ImportError:
        traceback.print_exc()
        print(
            f"{sys.executable} cannot import the Pulumi SDK. Run `make setup`, or install requirements.txt there.",
            file=sys.stderr,
        )
        return 1

    # Read after the import, so that a process that was started early has done the slow part when its request comes.
    described = sys.stdin.read()
    if not described:
        return 0
    request: dict[str, Any] = json.loads(described)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)

    os.chdir(request["working_folder"])
    folder = os.path.abspath(request["folder"])
    path = os.path.normpath(os.path.join(folder, request["entry_point"]))
    make_importable(path, folder)
    sys.argv = [request["entry_point"], *request["arguments"]]
    configure(request)
    if os.path.isdir(path) and not os.path.isfile(os.path.join(path, "__main__.py")):
        pulumi.log.error(f"There is no __main__.py in {path}; a Pulumi program needs one, or `main` in Pulumi.yaml.")
        return TOLD_THE_USER
    return run(path, folder, request["parallel"])


if __name__ == "__main__":
    sys.exit(main())
