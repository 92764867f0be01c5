"""A throw-away host for scripts: the real bash and tools, on a copy-on-write layer over this machine's file system.

Programs that would act on a real machine (systemctl, ip, k3s, ...) are recording stand-ins: each call is kept with its
arguments, so that a test can say what was run and that no secret was among it. Needs root, as mount namespaces do.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")

# Processes and network too: a script that kills or unlinks must find nothing of this machine.
_UNSHARE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--net", "--uts"]

_ENTER = """set -e
mount -t tmpfs tmpfs /run
for top in etc opt usr var; do
  mkdir -p "$SANDBOX/work/$top" "$SANDBOX/disk/$top" "/$top"
  mount -t overlay overlay -o "lowerdir=/$top,upperdir=$SANDBOX/disk/$top,workdir=$SANDBOX/work/$top" "/$top"
done
exec bash -c "$SCRIPT"
"""

_RECORD = """#!/bin/bash
{ printf '%s' "${0##*/}"; printf ' %s' "$@"; printf '\\n'; } >>"$SANDBOX/calls"
"""

_CURL = """
previous='' output=''
for argument in "$@"; do
  [ "$previous" = --output ] && output=$argument
  previous=$argument
done
case " $ANSWERS " in *" $previous "*)
  [ ! -f "$SANDBOX/answered/${previous##*/}" ] || cat "$SANDBOX/answered/${previous##*/}" >"$output"
  exit 0 ;;
esac
[ -f "$SANDBOX/mirror/${previous##*/}" ] || exit 22
cat "$SANDBOX/mirror/${previous##*/}" >"$output"
"""


@dataclass(frozen=True)
class Run:
    """What a script did."""

    code: int
    stdout: str
    stderr: str
    calls: tuple[str, ...]
    """Stand-ins that ran, with their arguments, in order."""


class Sandbox:
    """``disk`` survives from run to run, as a host's does from boot to boot; ``mirror`` is all that curl can fetch."""

    def __init__(self, home: Path, commands: Mapping[str, str]) -> None:
        self.home, self.disk, self.mirror = home, home / "disk", home / "mirror"
        self.answered = home / "answered"
        for folder in (self.mirror, self.answered):
            folder.mkdir(parents=True)
        # The gate of Flatcar, which hosts run where a test names no system, looks for the second.
        for name, body in {"curl": _CURL, "update_engine_client": "", **commands}.items():
            self.install(f"/usr/local/sbin/{name}", body)

    def path(self, path: str) -> Path:
        """Where the test finds the host's ``path`` (if the host wrote it)."""
        return self.disk / path.lstrip("/")

    def install(self, path: str, body: str) -> None:
        """A recording stand-in at ``path`` that goes on with ``body``, in bash."""
        program = self.path(path)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(_RECORD + body)
        program.chmod(0o755)

    def without(self, *tools: str) -> None:
        """The host has none of ``tools``, whatever this machine has."""
        for tool in tools:
            self.path(f"/usr/local/sbin/{tool}").unlink(missing_ok=True)
            for folder in ("/usr/sbin", "/usr/bin"):
                if Path(folder, tool).exists():
                    removed = self.path(f"{folder}/{tool}")
                    removed.parent.mkdir(parents=True, exist_ok=True)
                    os.mknod(removed, stat.S_IFCHR, os.makedev(0, 0))  # an overlay takes it for a removed file

    def run(self, script: str, *, stdin: str = "", answers: Sequence[str] = ()) -> Run:
        """Run ``script`` as root on the host; ``answers`` are URLs at which a probe finds a server, which serves what
        the folder ``answered`` holds under the last part of its path."""
        calls = self.home / "calls"
        calls.write_text("")
        done = subprocess.run(
            [*_UNSHARE, "bash", "-c", _ENTER],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], "SANDBOX": str(self.home), "SCRIPT": script, "ANSWERS": " ".join(answers)},
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr, tuple(calls.read_text().splitlines()))

    def files_with(self, text: str) -> list[str]:
        """Paths of the host's files that hold ``text``."""
        return sorted(
            f"/{path.relative_to(self.disk)}"
            for path in self.disk.rglob("*")
            if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
        )


def bare_root(folder: Path) -> Path:
    """A root directory with bash and what it is linked with, and a file of three secrets; nothing else."""
    bash = shutil.which("bash")
    assert bash
    linked = subprocess.run(["ldd", bash], capture_output=True, text=True, check=True).stdout
    for path in [bash, *re.findall(r"(/\S+) \(", linked)]:
        copy = folder / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for name in ("dev", "scripts", "bin"):
        (folder / name).mkdir(exist_ok=True)
    if not (folder / "bin/bash").exists():
        shutil.copy(bash, folder / "bin/bash")
    (folder / "secrets").write_text("b25l\ndHdv\ndGhyZWU=\n")
    os.mknod(folder / "dev/null", 0o666 | 0o020000, os.makedev(1, 3))
    return folder
