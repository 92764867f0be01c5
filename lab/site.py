"""A stack of the project's own program on hosts of the lab: what tests and benchmarks bring up.

The program is the checkout's `__main__.py`, run by plain `pulumi`; only the providers are the lab's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from engine.environment import PROJECT_ROOT, environment, file_backend
from engine.obtain.cli import locate
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.providers.serving import LabProviders

_DEADLINE_S = 300


@dataclass(frozen=True)
class Site:
    """A stack of the project's `__main__.py`, in a folder of its own."""

    lab: Lab
    home: Path
    variables: dict[str, str]
    name: str = "lab"
    """The site's, not the stack's: several sites of a lab are as many stacks `lab`, each in its own folder."""

    @property
    def file(self) -> Path:
        return self.home / f"{self.name}.yaml"

    def write(
        self,
        *names: str,
        agents: Sequence[str] = (),
        of_host: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        **changes: Any,
    ) -> None:
        """The site file: these hosts of the lab, reached as root with their pinned keys; ``of_host`` adds fields."""
        hosts = [
            {
                "name": name,
                "hardware": "virtual-machine",
                "address": self.lab[name].address,
                "host_key": self.lab[name].host_key,
                "role": "agent" if name in agents else "server",
                **of_host.get(name, {}),
            }
            for name in (*names, *agents)
        ]
        site = {
            "site": self.name,
            "tier": "near",
            "region": "lab",
            "hosts": hosts,
            "ssh": {"user": "root", "dial_attempts": 3, "dial_timeout_s": 2},
            "os": {"distribution": "debian", "disk": "none"},
        }
        self.file.write_text(yaml.safe_dump({**site, **changes}, sort_keys=False))

    def secret(self, key: str, value: str) -> None:
        """Keep a secret of the site in the stack's settings, encrypted; it goes there by standard input."""
        done = self.pulumi("config", "set", "--secret", f"edge:{key}", "--stack", "lab", stdin=value)
        assert done.returncode == 0, done.stderr

    def pulumi(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(locate().path), *arguments],
            cwd=self.home,
            env={**os.environ, **self.variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The same, without waiting for its end; standard output is for the caller to read.

        ``variables`` go before the site's own.
        """
        return subprocess.Popen(
            [str(locate().path), *arguments],
            cwd=self.home,
            env={**os.environ, **self.variables, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds."""
        found: list[dict[str, Any]] = json.loads(self.pulumi("stack", "export", "--stack", "lab").stdout)["deployment"][
            "resources"
        ]
        return found

    def up(self) -> dict[str, str]:
        """Operation of every resource that was touched, by name. The run must succeed."""
        return self._touched(self.pulumi("up", "--yes", "--skip-preview", "--json", "--stack", "lab"))

    def destroy(self) -> dict[str, str]:
        return self._touched(self.pulumi("destroy", "--yes", "--skip-preview", "--json", "--stack", "lab"))

    def _touched(self, done: subprocess.CompletedProcess[str]) -> dict[str, str]:
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0, "".join(_errors(events)) + done.stderr
        found = {}
        for event in events:
            metadata = event.get("resOutputsEvent", {}).get("metadata")
            if metadata and metadata["op"] not in ("same", "read"):
                found[metadata["urn"].rpartition("::")[2]] = metadata["op"]
        return found


def _errors(events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What went wrong in a run, by resource."""
    for event in events:
        said = event.get("diagnosticEvent", {})
        if said.get("severity") not in (None, "info", "debug"):
            yield f"{said.get('urn', '').rpartition('::')[2]}: {said['message']}"
        if failed := event.get("resOpFailedEvent"):
            yield f"failed: {failed['metadata']['op']} {failed['metadata']['urn'].rpartition('::')[2]}\n"


@contextmanager
def lab_site(lab: Lab, home: Path, *, name: str = "lab") -> Iterator[Site]:
    """A new stack with its secrets set, attached to the lab's providers. ``write`` makes the site called ``name``."""
    (home / "state").mkdir(parents=True)
    project = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())
    project["main"] = os.path.relpath(PROJECT_ROOT, home)
    project["runtime"]["options"]["virtualenv"] = str(Path(sys.prefix))
    (home / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    with LabProviders() as providers:
        variables = environment(rehearsal=providers.debug_providers, backend=file_backend(home / "state"))
        made = Site(lab, home, {**variables, "PULUMI_HOME": str(home / "home")}, name)
        assert made.pulumi("stack", "init", "lab").returncode == 0
        made.pulumi("config", "set", "edge:site", str(made.file), "--stack", "lab")
        made.secret("ssh-private-key", lab.operator_key.read_text())
        yield made


def sessions(host: LabHost) -> int:
    """How often somebody has logged in since the host started."""
    return int(host.run("journalctl --unit=ssh --output=cat | grep -c '^Accepted publickey' || true").stdout)
