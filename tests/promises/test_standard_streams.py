"""What scripts read and print, so that Pulumi's own command plugin can run them.

The plugin fails when a script that succeeds has left standard input unread, and hangs on a line of more than 64 KiB.
Each script runs in an empty root directory with bash alone; what it asks of the machine is answered by chance,
with lines that are too long among the answers.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components import expected
from tests.promises.recordings import scripts
from tests.sandbox import bare_root, needs_root

LINE = 64 * 1024
"""Bytes of a line with which the plugin hangs."""

_MACHINE = f"""
RANDOM=$1
printf -v much '%{LINE + 1}s' x
command_not_found_handle() {{
  local answers=("${{!#}}" Running yes 1 '' "$1 said $much")
  printf '%s\\n' "${{answers[RANDOM % 6]}}"
  return $((RANDOM % 2))
}}
slept=0
sleep() {{
  SECONDS=$((SECONDS + 200))
  [ $((++slept)) -lt 20 ] || builtin exit
}}
"""
_RUN = r"""
cd /
for script in /scripts/*; do
  for chance in 1 2 3; do
    {
      bash "$script" "$chance" >/printed 2>&1
      if IFS= read -r line; then echo "${script##*/} left standard input: $line"; fi
    } </secrets
    while IFS= read -r line; do
      # What a program prints by itself, such as a table of nodes, has short lines: here it stands in for others.
      # And no path is as long as these, about which bash complains.
      [[ ${#line} -lt $LINE || $line =~ ^[^\ ]+\ said\  || $line =~ ^/scripts/.*:\ line ]] ||
        echo "${script##*/} printed a line of ${#line} bytes: ${line:0:100}"
    done </printed
  done
done
echo done
"""


def ran(root: Path, texts: dict[str, str]) -> list[str]:
    """What was wrong with scripts, by name, when they ran in ``root``."""
    for name, text in texts.items():
        (root / "scripts" / name.replace("/", "-")).write_text(_MACHINE + text)
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "chroot", root, "/bin/bash", "-c", _RUN],
        env={"PATH": "/bin:/usr/bin:/sbin:/usr/sbin", "LINE": str(LINE), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    *wrong, end = done.stdout.splitlines()
    assert end == "done"
    return wrong


def every_script() -> dict[str, str]:
    """One name for each text: hosts of the same kind have the same scripts but for names and addresses."""
    found = {text: name for name, text in scripts()}
    found[expected.probe()] = "probe"
    return {name: text for text, name in found.items()}


@needs_root
def test_no_script_leaves_standard_input_unread_or_prints_a_line_of_64_kib(tmp_path: Path) -> None:
    texts = every_script()
    print(f"{len(texts)} scripts")
    assert ran(bare_root(tmp_path), texts) == []


@needs_root
@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("IFS= read -r one", "left standard input"),
        ("read -r one; exit 0; cat", "left standard input"),
        ('mapfile -t given; printf "%s\\n" "$much"', "printed a line"),
        ('mapfile -t given; for i in {1..99}; do echo "error: $(curl)" >&2; done', "printed a line"),
    ],
)
def test_what_the_plugin_cannot_bear_is_noticed(tmp_path: Path, script: str, wrong: str) -> None:
    (said, *_) = ran(bare_root(tmp_path), {"one": script})
    assert wrong in said
