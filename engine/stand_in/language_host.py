"""Entry point of the thin Python language host: serves, prints its port, and exits with the engine.

It stands in for `pulumi-language-python` where the official one is absent (engine/obtain/setup.py decides that). What
it answers is in language_service.py beside this file; how a program is run is in program_exec.py.

The engine stops a plugin with SIGINT, and with SIGKILL five seconds later. A Python gRPC server would spend that time
joining worker threads that still serve a policy pack, so on a signal the host kills its children and exits at once.
"""

from __future__ import annotations

import importlib.machinery
import os
import select
import signal
import sys
import types

# Configuration and plugin environments may be large; the engine allows 400 MiB a message.
_MESSAGE_LIMIT_BYTES = 400 * 1024 * 1024
# Every policy pack holds one worker for as long as it runs. Threads start only when needed.
_WORKERS = 64
_ENGINE_POLL_SECONDS = 1.0


def bare_sdk_packages() -> None:
    """Make `pulumi.runtime.proto` importable without running `pulumi/__init__.py`.

    The stubs need 0.03 s, the SDK 0.3 s, and every engine run starts a host. Only for a process that is nothing but a
    host: `import pulumi` does not work there afterwards.
    """
    spec = importlib.machinery.PathFinder.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("pulumi-language-python: the Pulumi SDK is not installed here; run `make setup`")
    folder = next(iter(spec.submodule_search_locations))
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(folder, *name.split(".")[1:])]
        sys.modules[name] = package


def _wait_for_the_end(engine: int, signalled: int) -> None:
    """Return when a signal has been written to `signalled`, or when the engine is gone."""
    while os.getppid() == engine:
        readable, _, _ = select.select([signalled], [], [], _ENGINE_POLL_SECONDS)
        if readable:
            return


def main() -> None:
    """Serve until the engine sends SIGINT or SIGTERM, or is gone."""
    # Before anything slow: what adopts this process when the engine is killed meanwhile must not be taken for it.
    engine = os.getppid()
    bare_sdk_packages()
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from engine.stand_in.language_service import LanguageService, register
    from engine.stand_in.runners import Runners

    # The system gives a signal to any thread, and Python runs its handler when the main thread next wakes up, which may
    # be never. A byte in a pipe wakes it whichever thread was hit.
    signalled, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    runners = Runners()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=_WORKERS),
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT_BYTES),
        ],
    )
    register(LanguageService(runners), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()

    _wait_for_the_end(engine, signalled)
    runners.kill()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
