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
from collections.abc import Callable
from typing import Any


def _leave_with_the_host() -> None:
    # Not sys.stdin: its lock would be held while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    os._exit(0)


def _quicken(sdk: Any) -> None:
    """Convert each resource once, where the SDK does it anew for every policy, and once more to remediate nothing.

    What policies see is the same. An SDK that is written otherwise is left as it is.
    """
    convert, servicer = getattr(sdk, "json_format", None), getattr(sdk, "_PolicyAnalyzerServicer", None)
    wanted = ("deserialize_properties", "unknown_checking_proxy", "EnforcementLevel")
    if convert is None or servicer is None or not all(hasattr(sdk, name) for name in wanted):
        return
    sdk.json_format = type("json_format", (), {"MessageToDict": staticmethod(_once(convert.MessageToDict))})
    sdk.deserialize_properties = _once(sdk.deserialize_properties)
    sdk.unknown_checking_proxy = _once(sdk.unknown_checking_proxy)
    remediate = servicer.Remediate

    def remediate_if_asked(self: Any, request: Any, context: Any) -> Any:
        levels = (self._get_enforcement_level(policy) for policy in self._PolicyAnalyzerServicer__policies)
        if any(level == sdk.EnforcementLevel.REMEDIATE for level in levels):
            return remediate(self, request, context)
        return sdk.proto.RemediateResponse()

    servicer.Remediate = remediate_if_asked


def _once(convert: Callable[..., Any]) -> Callable[..., Any]:
    """``convert``, remembering what each thread made last: a resource is judged in one, from first to last."""
    kept = threading.local()

    def converted(source: Any, *options: Any) -> Any:
        if options:
            return convert(source, *options)
        # A resource and its provider take turns. What is kept cannot lend its identity to something newer.
        pairs = kept.__dict__.setdefault("pairs", [])
        for known, made in pairs:
            if known is source:
                return made
        made = convert(source)
        pairs[:] = [*pairs[-1:], (source, made)]
        return made

    return converted


def main() -> None:
    """Run `python -m pulumi.policy` with the `arguments`, `environment` and `folder` that standard input describes."""
    # Where it is not installed, the pack's own import says so, with its own line.
    with contextlib.suppress(ImportError):
        from pulumi_policy import policy as sdk

        _quicken(sdk)
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
