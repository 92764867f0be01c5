"""A stack of the project's own program on hosts of the lab: what tests and benchmarks bring up.

The program is the checkout's `__main__.py`, run by plain `pulumi`; only the providers are the lab's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from lab.providers.serving import LabProviders
from lab.stack import Stack, new_stack
from lab.waivers import waivers_of


@dataclass
class Site(Stack):
    """A stack of the project's `__main__.py`, in a folder of its own."""

    lab: Lab
    site: str
    """Its name. The stack is always called `lab`: several sites of a lab are as many stacks, each in its own folder."""

    @property
    def file(self) -> Path:
        return self.home / f"{self.site}.yaml"

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
            "site": self.site,
            "tier": "near",
            "region": "lab",
            "hosts": hosts,
            "ssh": {"user": "root", "dial_attempts": 3, "dial_timeout_s": 2},
            "os": {"distribution": "debian", "disk": "none", "updates": {"managed": False}},
        }
        waived = {"waivers": waivers_of(changes)} if "k3s" in changes else {}
        self.file.write_text(yaml.safe_dump({**site, **waived, **changes}, sort_keys=False))

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The same, without waiting for its end; standard output is for the caller to read.

        ``variables`` go before the site's own. Standard error goes to ``stderr``.
        """
        with self.stderr.open("w") as stderr:
            return subprocess.Popen(
                [self.command, *arguments, "--stack", self.name],
                cwd=self.home,
                env={**self.environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    @property
    def stderr(self) -> Path:
        """The file with what the last run of ``start`` said beside its events."""
        return self.home / "stderr"

    def up(self) -> dict[str, str]:
        """Operation of every resource that was touched, by name. The run must succeed."""
        return self._touched(self.pulumi("up", "--yes", "--skip-preview", "--json", check=False))

    def destroy(self) -> dict[str, str]:
        return self._touched(self.pulumi("destroy", "--yes", "--skip-preview", "--json", check=False))

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
    """A new stack with its secrets set, attached to the lab's providers. ``write`` makes the site called ``name``.

    The lab's hosts are nobody's at first, whatever stack had them before.
    """
    for host in lab.hosts.values():
        with suppress(LabError):
            host.run("rm -f /var/lib/edge/owner /var/lib/edge/consents", check=False)
    with LabProviders() as providers:
        made = new_stack(
            home, "lab", providers=providers.debug_providers, config={"edge:site": str(home / f"{name}.yaml")}
        )
        site = Site(made.name, made.home, made.variables, lab, name)
        site.secret("ssh-private-key", lab.operator_key.read_text())
        yield site


def sessions(host: LabHost) -> int:
    """How often somebody has logged in since the host started."""
    return int(host.run("journalctl --unit=ssh --output=cat | grep -c '^Accepted publickey' || true").stdout)
