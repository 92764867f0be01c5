"""What `edge drift` checks, as an Ansible playbook: the same facts, one task for each. Changes nothing.

ansible-core comes from PyPI into a virtual environment in the user's cache; Ansible's modules need Python on the hosts,
which get the lab's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.expected import Expected
from lab.hosts.host import LabHost
from lab.hosts.image import cache_folder
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from lab.inference.server import root

ANSIBLE = "ansible-core==2.19.4"
_SETTINGS = "[defaults]\nhost_key_checking = True\nforks = 10\n[ssh_connection]\npipelining = True\n"
_INTERPRETER = "/usr/local/bin/python-for-ansible"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PYTHON = ("usr/lib/python3.11", _LIBRARIES, "lib/x86_64-linux-gnu")
# The lab's hosts have Python only as a library of Triton.
_LAUNCHER = "int Py_BytesMain(int, char **); int main(int count, char **words) { return Py_BytesMain(count, words); }"


def command() -> Path:
    """`ansible-playbook`, installed where it is not in the cache. Raises LabError."""
    folder = cache_folder() / ANSIBLE.replace("==", "-")
    if not (folder / "bin" / "ansible-playbook").exists():
        for made in ([sys.executable, "-m", "venv", folder], [folder / "bin" / "pip", "install", "--quiet", ANSIBLE]):
            done = subprocess.run([str(word) for word in made], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise LabError(f"Ansible could not be installed: {done.stderr[-500:]}")
    return folder / "bin" / "ansible-playbook"


def put_python(host: LabHost) -> None:
    """Python for Ansible's modules; the program's own scripts need none."""
    into = Path(f"/proc/{host.pid}/root/opt/python")
    into.mkdir(exist_ok=True)
    parts = [part for part in _PYTHON if (root() / part).exists()]
    subprocess.run(["cp", "--archive", "--parents", *parts, str(into)], cwd=root(), check=True)
    link = ["-L", str(root() / _LIBRARIES), "-l:libpython3.11.so.1.0", "-Wl,--allow-shlib-undefined"]
    compiled = ["gcc", "-x", "c", "-", "-o", str(into / "python"), *link]
    subprocess.run(compiled, input=_LAUNCHER, text=True, check=True)
    host.run(
        f"cat >{_INTERPRETER} && chmod 0755 {_INTERPRETER}",
        stdin=f"#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/python/{_LIBRARIES}:/opt/python/lib/x86_64-linux-gnu"
        ' PYTHONHOME=/opt/python/usr\nexec /opt/python/python "$@"\n',
    )


def written(folder: Path, lab: Lab, expected: Mapping[str, Sequence[Expected]]) -> list[str]:
    """The command that probes all hosts (by their names in the lab); its files are put into ``folder``."""
    for name, facts in expected.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump([_task(one) for one in facts], sort_keys=False))
    # One play, in which each host goes on at its own pace: plays would run one after the other.
    play = {"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": [{"include_tasks": "{{ tasks_of }}"}]}
    (folder / "playbook.yaml").write_text(yaml.safe_dump([play]))
    (folder / "ansible.cfg").write_text(_SETTINGS)
    hosts = {
        name: {
            "ansible_host": lab[name].address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(lab.operator_key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.known_hosts}",
            "ansible_python_interpreter": _INTERPRETER,
            "tasks_of": f"{folder}/{name}.yaml",
        }
        for name in expected
    }
    (folder / "inventory.yaml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return [str(command()), "--inventory", str(folder / "inventory.yaml"), str(folder / "playbook.yaml")]


def run(words: Sequence[str], folder: Path) -> str:
    """What the playbook said. Raises LabError where a host is not as expected."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(list(words), env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ansible-playbook failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def _task(one: Expected) -> dict[str, Any]:
    name = f"{one.kind} of {one.name}"
    match one.kind:
        case "content":
            asked: dict[str, Any] = {"path": one.name, "get_checksum": True, "checksum_algorithm": "sha256"}
            return {
                "name": name,
                "ansible.builtin.stat": {**asked, "follow": True},
                "register": "seen",
                "failed_when": f"seen.stat.checksum != '{one.value}'",
            }
        case "mode":
            return {
                "name": name,
                "ansible.builtin.stat": {"path": one.name, "get_checksum": False},
                "register": "seen",
                "failed_when": f"seen.stat.mode != '{one.value}'",
            }
        case "link":
            return {
                "name": name,
                "ansible.builtin.stat": {"path": one.name, "get_checksum": False},
                "register": "seen",
                "failed_when": f"seen.stat.lnk_target != '{one.value}'",
            }
        case "sysctl":
            return {
                "name": name,
                "ansible.builtin.command": {"argv": ["sysctl", "-n", one.name]},
                "register": "seen",
                "changed_when": False,
                "failed_when": f"seen.stdout != '{one.value}'",
            }
        case "active":
            return {"name": name, "ansible.builtin.systemd_service": {"name": one.name, "state": "started"}}
        case "setting":
            path, _, key = one.name.rpartition(" ")
            argv = ["grep", "--quiet", "--line-regexp", "--fixed-strings", f"{key}={one.value}", path]
            return {"name": name, "ansible.builtin.command": {"argv": argv}, "changed_when": False}
        case "one active":
            argv = ["systemctl", "is-active", "--quiet", *one.name.split()]
            return {"name": name, "ansible.builtin.command": {"argv": argv}, "changed_when": False}
        case "enabled":
            return {"name": name, "ansible.builtin.systemd_service": {"name": one.name, "enabled": True}}
        case "package":
            argv = ["dpkg-query", "--show", "--showformat=${Version}", one.name]
            command = {
                "name": name,
                "ansible.builtin.command": {"argv": argv},
                "register": "seen",
                "changed_when": False,
            }
            return {**command, "failed_when": f"seen.stdout != '{one.value}'"}
