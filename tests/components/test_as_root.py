"""How a script becomes root's over SSH, run by bash with a stand-in for sudo. The lab's hosts have the real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from components.shell import as_root, script_of, secret_lines, with_password

PASSWORD = "it's \\ a $password\""

_SUDO = """#!/bin/bash
# As sudo: asks standard input for a password, byte by byte and up to three times, unless nothing is to be asked.
[ "$1" = -kSp ] || exit 99
shift 2
if [ -n "$ASKS" ]; then
  for _ in 1 2 3; do
    IFS= read -r answer || { echo 'sudo: no password was provided' >&2; exit 1; }
    echo "$answer" >>"$ASKED"
    [ "$answer" != "$ASKS" ] || exec "$@"
    echo 'Sorry, try again.' >&2
  done
  exit 1
fi
exec "$@"
"""

SCRIPT = """set -euo pipefail
mapfile -t given
printf '%s\\n' "${#given[@]}" "${given[@]}" "${password-no password}"
exit 7
"""


def run(tmp_path: Path, stdin: str, asks: str) -> subprocess.CompletedProcess[str]:
    """The script, where sudo ``asks`` for that password; empty: for none."""
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir(exist_ok=True)
    sudo.write_text(_SUDO)
    sudo.chmod(0o755)
    variables = {"PATH": f"{sudo.parent}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked")}
    return subprocess.run(
        ["sh", "-c", as_root(SCRIPT, "core", password="sudo-password-press")],
        input=stdin,
        env={**variables, **({"ASKS": asks} if asks else {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("asks", [PASSWORD, ""])
@pytest.mark.parametrize("secrets", [[], ["one", "two words"]])
def test_a_script_gets_its_secrets_and_never_the_password(tmp_path: Path, asks: str, secrets: list[str]) -> None:
    lines = secret_lines(secrets)
    done = run(tmp_path, with_password(f"{PASSWORD}\n", lines), asks)
    assert done.stdout.splitlines() == [str(len(secrets)), *lines.splitlines(), "no password"], done.stderr
    assert done.returncode == 7, "the exit status is the script's own"


def test_a_wrong_password_is_tried_once_and_no_secret_as_another(tmp_path: Path) -> None:
    done = run(tmp_path, with_password("wrong", secret_lines(["one", "two", "three"])), PASSWORD)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: sudo does not accept the password (the secret sudo-password-press)"
    assert (tmp_path / "asked").read_text() == "wrong\n"


def test_the_command_is_the_same_for_every_password() -> None:
    command = as_root(SCRIPT, "core", password="sudo-password")
    assert script_of(command) is not None
    assert script_of(command)[1] == SCRIPT  # type: ignore[index]


def test_root_needs_no_sudo() -> None:
    assert as_root(SCRIPT, "root", password="sudo-password") == as_root(SCRIPT, "root")
