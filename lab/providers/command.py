"""`command:remote:Command` and `command:remote:CopyToRemote` with effect: scripts and files on hosts over SSH; and
`command:local:Command`, on this machine.

Owns what happens on a host. Dialling is `ssh`'s, the protocol and all decisions are `engine.rehearsal`'s. One
connection for each operation, as the official plugin makes them; that commands of one host wait for each other is the
program's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

import asyncssh

from engine.rehearsal import core
from engine.rehearsal.protocol import Asked, Failure, Properties, Protocol
from engine.rehearsal.values import reveal
from engine.rehearsal.world import World
from lab.providers import files
from lab.providers.background import Background
from lab.providers.engine_log import EngineLog
from lab.providers.redaction import Redaction
from lab.providers.ssh import connected, endpoint

COMMAND, COPY = "command:remote:Command", "command:remote:CopyToRemote"
LOCAL = "command:local:Command"
_LOGGED = {"stdout": ("stdout",), "stderr": ("stderr",), "none": (), "stdoutAndStderr": ("stdout", "stderr")}
_PREVIOUS = {"PULUMI_COMMAND_STDOUT": "stdout", "PULUMI_COMMAND_STDERR": "stderr"}
_SHOWN_LINES = 40
"""The end of stderr that an error shows: its cause is there, and a screen holds it."""

_LOGGED_LINE = 64 * 1024
"""Bytes of a logged line at which the official plugin hangs."""

Say = Callable[[str], Any]


class CommandProvider(Protocol):
    """The `command` provider of the lab. ``close`` ends what is still being done."""

    def __init__(self, world: World | None = None) -> None:
        super().__init__("command", world or World(), "the lab's command provider")
        self._background = Background("lab-command")
        self._log = EngineLog()
        # One for each engine run: what an interrupted run was dialling must end, the next run must not.
        self._interruptions: dict[str, asyncio.Event] = {}

    def engine_is_at(self, peer: str, address: str) -> None:
        self._interruptions[peer] = asyncio.Event()
        self._log.attach(peer, address)

    def _interruption(self, peer: str) -> asyncio.Event:
        return self._interruptions.setdefault(peer, asyncio.Event())

    def cancelled(self, peer: str) -> None:
        """Pending dials stop. A running script is left to finish: half a script would leave the host in between."""
        self._background.loop.call_soon_threadsafe(self._interruption(peer).set)

    def close(self) -> None:
        """End dials, and connections with what runs on them."""
        self._background.close()
        self._log.close()

    def create(self, asked: Asked, inputs: Properties) -> tuple[str, Properties]:
        _, outputs = core.create(asked.token, asked.urn, inputs)
        if asked.token == COPY:
            self._copy(asked, inputs)
            return secrets.token_hex(4), outputs
        outputs |= self._script(asked, "create", inputs, {})
        return f"{asked.name}{secrets.token_hex(4)}", outputs

    def update(self, asked: Asked, identity: str, inputs: Properties, olds: Properties) -> Properties:
        outputs = core.update(asked.token, asked.urn, inputs, olds)
        if asked.token == COPY:
            # Another connection to the same host is no reason to copy again.
            if any(reveal(inputs.get(key)) != reveal(olds.get(key)) for key in ("source", "remotePath")):
                self._copy(asked, inputs)
            return outputs
        script = "create" if inputs.get("update") is None else "update"
        return outputs | self._script(asked, script, inputs, olds)

    def delete(self, asked: Asked, identity: str, olds: Properties) -> None:
        if asked.token in (COMMAND, LOCAL):
            self._script(asked, "delete", olds, olds)

    def _script(self, asked: Asked, which: str, inputs: Properties, olds: Properties) -> Properties:
        """Runs one of the resource's scripts; the outputs of the last one stay where there is none."""
        script = reveal(inputs.get(which))
        if script is None:
            return {key: olds.get(key) or "" for key in ("stdout", "stderr")}
        previous = {}
        if reveal(inputs.get("addPreviousOutputInEnv")) is not False:
            previous = {name: str(reveal(olds[key])) for name, key in _PREVIOUS.items() if reveal(olds.get(key))}
        known = reveal(inputs)
        redact = Redaction([inputs, olds])
        if asked.token == LOCAL:
            return _here(known, str(script), previous, redact, f"{which} of {asked.name}")
        run = _run(
            known,
            str(script),
            previous,
            self._interruption(asked.peer),
            lambda line: self._log.status(asked.peer, asked.urn, redact(line)),
        )
        stdout, stderr = self._done(run, redact, f"{which} of {asked.name}")
        return {"stdout": stdout, "stderr": stderr}

    def _copy(self, asked: Asked, inputs: Properties) -> None:
        known, redact = reveal(inputs), Redaction(inputs)
        copied = _copied(
            known,
            self._interruption(asked.peer),
            lambda line: self._log.status(asked.peer, asked.urn, redact(line)),
        )
        self._done(copied, redact, f"copy of {asked.name}")

    def _done(self, work: Any, redact: Redaction, what: str) -> Any:
        try:
            return self._background.run(work)
        except Failure as failure:
            raise Failure(redact(f"{what}: {failure}")) from None
        except CancelledError:
            raise Failure(f"{what}: ended with the provider; what the host did by then is not known") from None


def _here(
    inputs: Mapping[str, Any], script: str, previous: Mapping[str, str], redact: Redaction, what: str
) -> Properties:
    """Runs ``script`` on this machine, as the official plugin does; its outputs lose the white space at their ends."""
    done = subprocess.run(
        [*(inputs.get("interpreter") or ("/bin/sh", "-c")), script],
        input=inputs.get("stdin"),
        cwd=inputs.get("dir"),
        env={**os.environ, **previous, **(inputs.get("environment") or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(redact(f"{what}: exit status {done.returncode}: {done.stderr.strip()}"))
    return {"stdout": done.stdout.strip(), "stderr": done.stderr.strip()}


async def _run(
    inputs: Mapping[str, Any], script: str, previous: Mapping[str, str], interrupted: asyncio.Event, say: Say
) -> tuple[str, str]:
    """stdout and stderr of ``script``, each without its last newline. Raises ``Failure`` with the end of stderr.

    ``previous`` are variables that a server may refuse; those of the resource's ``environment`` it may not.
    """
    target = endpoint(inputs["connection"])
    logged = _LOGGED[inputs.get("logging") or "stdoutAndStderr"]
    environment: Mapping[str, str] = inputs.get("environment") or {}
    async with connected(target, interrupted, say) as connection:
        try:
            await _require_accepted(connection, target.called, environment)
            process = await connection.create_process(script, env={**previous, **environment}, errors="replace")
        except (OSError, asyncssh.Error) as error:
            raise Failure(f"{target.called}: the command could not be started: {error}") from None
        collected = {"stdout": "", "stderr": ""}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_feed(process, str(inputs.get("stdin") or "")))
                streams = {"stdout": process.stdout, "stderr": process.stderr}
                readers = {
                    name: group.create_task(_collect(stream, say if name in logged else None))
                    for name, stream in streams.items()
                }
            collected = {name: reader.result() for name, reader in readers.items()}
            await process.wait_closed()
        except* (OSError, asyncssh.Error) as errors:
            # The connection's end, which an exit status that never came tells below.
            collected["stderr"] += str(errors.exceptions[0])
        for name in logged:
            longest = max((len(line.encode()) for line in collected[name].split("\n")), default=0)
            if longest >= _LOGGED_LINE:
                raise Failure(
                    f"{target.called}: a line of {longest} bytes on {name}. Pulumi's own plugin hangs at 64 KiB: print "
                    "shorter lines, or leave them out of the log (`logging`)"
                )
        if process.exit_status != 0:
            raise Failure(f"{target.called}: {_ended(process, collected['stderr'])}")
        return collected["stdout"].removesuffix("\n"), collected["stderr"].removesuffix("\n")


async def _require_accepted(
    connection: asyncssh.SSHClientConnection, called: str, environment: Mapping[str, str]
) -> None:
    """A server says nothing when it drops a variable, so it is asked."""
    if not environment:
        return
    names = " ".join(shlex.quote(name) for name in environment)
    asked = await connection.run(f"printenv {names} >/dev/null", env=dict(environment))
    if asked.exit_status != 0:
        raise Failure(
            f"{called}: the SSH server drops environment variables ({', '.join(environment)}). Its AcceptEnv must name "
            "them; values that are secret go in by `stdin`."
        )


async def _feed(process: asyncssh.SSHClientProcess[str], text: str) -> None:
    try:
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionResetError):
        # The script ended without reading all of it; its exit status says whether that was right.
        return


async def _collect(stream: asyncssh.SSHReader[str], say: Say | None) -> str:
    lines: list[str] = []
    told: Future[None] | None = None
    async for line in stream:
        lines.append(line)
        if say is not None and line.strip():
            told = say(line.rstrip("\n"))
    if told is not None:
        # A resource's last line comes before its end.
        await asyncio.wrap_future(told)
    return "".join(lines)


def _ended(process: asyncssh.SSHClientProcess[str], stderr: str) -> str:
    """Why a command is a failure, with the end of what it said about that."""
    lines = stderr.rstrip().splitlines()
    shown = "\n".join(lines[-_SHOWN_LINES:]) or "(nothing on stderr)"
    if process.exit_signal is not None:
        return f"the command was ended by signal {process.exit_signal[0]}:\n{shown}"
    if process.exit_status is None:
        return f"the connection was lost while the command ran; whether it finished is not known:\n{shown}"
    return f"the command failed with exit status {process.exit_status}:\n{shown}"


async def _copied(inputs: Mapping[str, Any], interrupted: asyncio.Event, say: Say) -> None:
    target = endpoint(inputs["connection"])
    async with connected(target, interrupted, say) as connection:
        try:
            async with connection.start_sftp_client() as sftp:
                await files.copy(sftp, inputs["source"], str(inputs["remotePath"]))
        except asyncssh.SFTPError as error:
            raise Failure(f"{target.called}: {inputs['remotePath']}: {error.reason}") from None
        except (OSError, asyncssh.Error) as error:
            raise Failure(f"{target.called}: the copy to {inputs['remotePath']} broke off: {error}") from None
