"""A site on real hosts: the project's own program and scripts, over real SSH, through the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.cli import locate
from engine.environment import PROJECT_ROOT, environment
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

    @property
    def file(self) -> Path:
        return self.home / "lab.yaml"

    def write(self, *names: str, **changes: Any) -> None:
        """The site file: these hosts of the lab, reached as root with their pinned keys."""
        hosts = [
            {
                "name": name,
                "hardware": "virtual-machine",
                "address": self.lab[name].address,
                "host_key": self.lab[name].host_key,
            }
            for name in names
        ]
        site = {
            "site": "lab",
            "tier": "near",
            "region": "lab",
            "hosts": hosts,
            "ssh": {"user": "root", "dial_attempts": 3, "dial_timeout_s": 2},
            "os": {"distribution": "debian", "disk": "none"},
        }
        self.file.write_text(yaml.safe_dump({**site, **changes}, sort_keys=False))

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

    def up(self) -> dict[str, str]:
        """Operation of every resource that was touched, by name. The run must succeed."""
        return self._touched(self.pulumi("up", "--yes", "--skip-preview", "--json", "--stack", "lab"))

    def destroy(self) -> dict[str, str]:
        return self._touched(self.pulumi("destroy", "--yes", "--skip-preview", "--json", "--stack", "lab"))

    def _touched(self, done: subprocess.CompletedProcess[str]) -> dict[str, str]:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        found = {}
        for line in done.stdout.splitlines():
            event = json.loads(line)
            metadata = event.get("resOutputsEvent", {}).get("metadata")
            if metadata and metadata["op"] not in ("same", "read"):
                found[metadata["urn"].rpartition("::")[2]] = metadata["op"]
        return found


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "state").mkdir()
    project = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())
    project["main"] = os.path.relpath(PROJECT_ROOT, tmp_path)
    project["runtime"]["options"]["virtualenv"] = str(Path(sys.prefix))
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    with LabProviders() as providers:
        variables = environment(rehearsal=providers.debug_providers, backend=f"file://{tmp_path / 'state'}")
        made = Site(lab, tmp_path, {**variables, "PULUMI_HOME": str(tmp_path / "home")})
        assert made.pulumi("stack", "init", "lab").returncode == 0
        made.pulumi("config", "set", "edge:site", str(made.file), "--stack", "lab")
        key = lab.operator_key.read_text()
        made.pulumi("config", "set", "--secret", "edge:ssh-private-key", "--stack", "lab", stdin=key)
        yield made


def sessions(host: LabHost) -> int:
    """How often somebody has logged in since the host started."""
    return int(host.run("journalctl --unit=ssh --output=cat | grep -c '^Accepted publickey' || true").stdout)


def test_hosts_come_up_a_second_time_changes_nothing_and_nobody_is_visited(site: Site) -> None:
    site.write("a", "b", "c")
    made = site.up()
    for name in ("a", "b", "c"):
        assert {f"lab-{name}-{part}" for part in ("reachable", "facts", "base")} <= made.keys()
        assert site.lab[name].run("hostname").stdout.strip() == f"lab-{name}"
        assert site.lab[name].run("sysctl -n kernel.panic").stdout.strip() == "10"
    before = [sessions(site.lab[name]) for name in ("a", "b", "c")]
    assert site.up() == {}
    assert [sessions(site.lab[name]) for name in ("a", "b", "c")] == before


def test_a_host_that_is_added_is_the_only_one_that_is_visited(site: Site) -> None:
    site.write("a", "b")
    site.up()
    before = sessions(site.lab["a"])
    site.write("a", "b", "c")
    assert set(site.up().values()) == {"create"}
    assert sessions(site.lab["a"]) == before
    assert site.lab["c"].run("hostname").stdout.strip() == "lab-c"


def test_another_machine_at_a_hosts_address_is_not_spoken_to(site: Site) -> None:
    site.write("a")
    content = yaml.safe_load(site.file.read_text())
    content["hosts"][0]["host_key"] = site.lab["b"].host_key
    site.file.write_text(yaml.safe_dump(content))
    before = sessions(site.lab["a"])
    done = site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--stack", "lab")
    assert done.returncode != 0
    assert "host key" in (done.stdout + done.stderr).lower()
    assert sessions(site.lab["a"]) == before


def test_a_host_that_is_off_is_said_to_be_and_the_next_up_goes_on(site: Site) -> None:
    site.write("a", "b")
    site.lab["b"].power_off()
    try:
        done = site.pulumi(
            "up", "--yes", "--skip-preview", "--continue-on-error", "--stack", "lab", "--non-interactive"
        )
        assert done.returncode != 0
        assert "lab-b-reachable" in done.stdout
        assert site.lab["a"].run("hostname").stdout.strip() == "lab-a", "one host that is off holds up no other"
    finally:
        site.lab["b"].power_on()
        site.lab["b"].wait_ssh(60)
    touched = site.up()
    assert all(name.startswith("lab-b") or name == "lab" for name in touched), touched


def test_the_operators_key_is_nowhere_in_what_a_run_leaves(site: Site) -> None:
    site.write("a")
    site.up()
    body = site.lab.operator_key.read_text().splitlines()[2].encode()
    assert len(body) > 40
    for path in site.home.rglob("*"):
        if path.is_file():
            assert body not in path.read_bytes(), path
    assert body.decode() not in site.lab["a"].run("journalctl --no-pager; cat /root/.bash_history; true").stdout
