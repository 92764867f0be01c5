"""The shell script that `make bench-lab` compares with has the site's steps, and comes to its end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench.shell_site import ShellSite, recorded
from engine.environment import PROJECT_ROOT
from stacks import parts
from stacks.loader import load_site

_SITE = PROJECT_ROOT / "stacks/sites/demo.yaml"


def test_the_script_of_a_site_runs_to_its_end_where_every_step_succeeds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/bash\ncat >/dev/null\nprintf "%s\\n" "$*" >>{log}\n')
    ssh.chmod(0o755)
    secrets = {need.key: "not used by a script" for need in parts.required(load_site(_SITE))}
    recording = recorded(_SITE, secrets)
    for script in (scripts := ShellSite(tmp_path, (str(ssh),), "10.0.0.1", ("true",))).up, scripts.down:
        done = subprocess.run(["bash"], input=script(recording), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    said = log.read_text()
    assert said.count("root@") > 10
    waits = re.findall(r"--for=(\S+)", said)
    assert len(waits) > 3
    assert all(re.match("'?(condition|jsonpath)=", wait) for wait in waits), "kubectl takes one condition"
