"""`python -m engine.rehearsal`: the providers of a rehearsal, for `pulumi` commands run by hand.

Without arguments it prints the variables to export and serves until Ctrl-C. `plugin NAME` is one provider as an
executable that the engine starts itself, as it starts an official plugin: it prints its port and serves.
"""

from __future__ import annotations

import signal
import sys
import threading

from engine.rehearsal.providers import PROVIDERS
from engine.rehearsal.serving import RehearsalServer, serve


def main(arguments: list[str]) -> int:
    """Serve until the process is asked to end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if arguments[:1] == ["plugin"] and len(arguments) > 1 and arguments[1] in PROVIDERS:
        server, port = serve(arguments[1])
        print(port, flush=True)
        ended.wait()
        server.stop(grace=None).wait()
        return 0
    if arguments:
        print(f"usage: python -m engine.rehearsal [plugin {'|'.join(PROVIDERS)}]", file=sys.stderr)
        return 2
    with RehearsalServer() as running:
        print(f"export PULUMI_DEBUG_PROVIDERS={running.debug_providers}")
        print("export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
