"""Runs one policy pack in this interpreter, as the language host asks. Imports nothing of this project.

The request is the first line of standard input, as JSON. The SDK is imported before it is read, so that a process that
was started early is ready when its request comes. When standard input ends, the host is gone, and this process exits.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import threading


def _exit_with_the_host() -> None:
    # Not sys.stdin: its lock would be held while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    """Run `python -m pulumi.policy` with the `arguments`, `environment` and `folder` that standard input describes."""
    # Where it is not installed, the pack's own import says so, with its own line.
    with contextlib.suppress(ImportError):
        import pulumi_policy  # noqa: F401
    described = sys.stdin.readline()
    if not described:
        return
    threading.Thread(target=_exit_with_the_host, daemon=True).start()
    request = json.loads(described)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["pulumi.policy", *request["arguments"]]
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
