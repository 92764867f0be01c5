"""The processes that run programs and policy packs for the language host.

Owns how they are started, that one can be started before its request is known, and that none outlives the host. Knows
no gRPC, so that a process which drives the engine can start one before it imports anything slow.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from engine.stand_in import python_environment

PROGRAM = Path(__file__).with_name("program_exec.py")
PACK = Path(__file__).with_name("policy_exec.py")
_GRACE_SECONDS = 1.0

Process = subprocess.Popen[bytes]


class Runners:
    """The processes of one host.

    ``own_groups``: each in a process group of its own, for a host whose group is sent a terminal's ^C.
    """

    def __init__(self, *, own_groups: bool = False) -> None:
        self._options: dict[str, Any] = {"process_group": 0} if own_groups else {}
        self._running: set[Process] = set()
        self._ready: dict[tuple[Path, Path], Process] = {}
        self._lock = threading.Lock()

    def start(self, command: list[str], **options: Any) -> Process:
        """Start a process and keep it until `ended`."""
        process: Process = subprocess.Popen(command, **self._options, **options)
        with self._lock:
            self._running.add(process)
        return process

    def make_ready(self, script: Path, interpreter: Path) -> None:
        """Start ``script`` (`PROGRAM` or `PACK`) for a request that will probably come."""
        with self._lock:
            if (script, interpreter) in self._ready:
                return
        process = self._start_script(script, interpreter)
        with self._lock:
            self._ready[script, interpreter] = process

    def take(self, script: Path, interpreter: Path) -> Process:
        """A process that waits for its request on standard input: the one that is ready, or a new one."""
        with self._lock:
            process = self._ready.pop((script, interpreter), None)
        return process or self._start_script(script, interpreter)

    def ended(self, process: Process) -> None:
        """Forget a process that has been waited for."""
        with self._lock:
            self._running.discard(process)

    def kill(self) -> None:
        """End all of them now; the engine waits until nobody holds this host's output."""
        with self._lock:
            for process in self._running:
                process.kill()

    def _start_script(self, script: Path, interpreter: Path) -> Process:
        # A program writes to the user, a pack to the engine.
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} if script == PACK else {}
        return self.start(
            [str(interpreter), "-u", "-P", str(script)],
            stdin=subprocess.PIPE,
            env=python_environment.activated(interpreter, os.environ),
            **pipes,
        )


def end(process: Process) -> None:
    """End one process, by force if it does not go."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
