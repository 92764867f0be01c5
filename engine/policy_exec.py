"""Runs one policy pack in this interpreter, as the language host asks. Imports nothing of this project.

The request is the first line of standard input, as JSON. What a pack needs is imported before it is read, so that a
process that was started early has done the slow part when its request comes. The end of standard input is the end of
the host, and of this process with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import threading


def _leave_with_the_host() -> None:
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
    threading.Thread(target=_leave_with_the_host, daemon=True).start()
    request = json.loads(described)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["pulumi.policy", *request["arguments"]]
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
