"""Who runs `edge`, for the history of a stack: Pulumi records the author of the commit, who may be another one."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping

_CI = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
"""Who started a job."""
_ODD = re.compile(r"[^\w.@+\[\]-]", re.ASCII)
_MESSAGE = re.compile(r"edge (?:up|destroy) by (?P<who>[\w.@+\[\]-]+)", re.ASCII)


def message(operation: str, variables: Mapping[str, str] = os.environ) -> str:
    """The message of an update: `edge up by alice@laptop`."""
    return f"edge {operation} by {_ODD.sub('_', _who(variables))}"


def who(said: str) -> str:
    """Who is named in the message of an update; empty for one of another program."""
    found = _MESSAGE.fullmatch(said)
    return found["who"] if found else ""


def _who(variables: Mapping[str, str]) -> str:
    if name := next((variables[key] for key in _CI if variables.get(key)), ""):
        return name
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a number that has no name.
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
