"""`python -m lab.providers`: the lab's providers for `pulumi` and `edge` run by hand, or killed by a test.

Prints the variables to export and serves until Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading

from lab.providers.serving import LabProviders, OfficialPluginMissing


def main() -> int:
    """Serve until the process is asked to end. 1 when the official plugins are asked for and absent."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with LabProviders() as running:
            print(f"export PULUMI_DEBUG_PROVIDERS={running.debug_providers}")
            print("export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true", flush=True)
            print(running.said, file=sys.stderr)
            ended.wait()
    except OfficialPluginMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
