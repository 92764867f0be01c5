"""The systemd unit of K3s on a host of the lab: its journal, its counters, and settings that a test adds for a while.

What tests look for in the journal are words of K3s itself or of systemd (lab/README.md has where they were seen).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from lab.hosts.host import LabHost
from lab.hosts.system import LabError, wait_until

_SETTINGS = "/etc/rancher/k3s/config.yaml.d/90-test.yaml"


@dataclass(frozen=True)
class Unit:
    """``k3s`` or ``k3s-agent`` on one host."""

    host: LabHost
    name: str = "k3s"

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.host.run(f"systemctl show --property={name} --value {self.name}").stdout.strip()

    @property
    def state(self) -> str:
        return self.show("ActiveState")

    @property
    def restarts(self) -> int:
        return int(self.show("NRestarts"))

    def mark(self) -> str:
        """This point of the journal, for `since`."""
        return (
            self.host.run("journalctl --sync; journalctl --lines=0 --show-cursor --quiet")
            .stdout.split(": ", 1)[1]
            .strip()
        )

    def since(self, mark: str) -> list[str]:
        """What the unit has written after ``mark``."""
        journal = f"journalctl --unit={self.name} --output=cat --no-pager --after-cursor='{mark}'"
        return self.host.run(journal).stdout.splitlines()

    def said(self, pattern: str, mark: str) -> bool:
        return any(re.search(pattern, line) for line in self.since(mark))

    def wait_said(self, pattern: str, mark: str, *, seconds: float = 120) -> None:
        """Returns when the unit has written ``pattern`` after ``mark``. If it does not, the error has what it wrote."""
        try:
            wait_until(lambda: self.said(pattern, mark), f"`{pattern}` of {self.name}", deadline_s=seconds, poll_s=0.5)
        except LabError as error:
            raise LabError("\n".join([str(error), f"{self.name}, after the mark:", *self.since(mark)[-60:]])) from None

    def flags(self, program: str) -> set[str]:
        """With which flags (without the dashes) K3s says that it last started a part of Kubernetes."""
        journal = f"journalctl --unit={self.name} --output=cat --no-pager --grep='Running {program} ' --lines=1"
        return {
            word.rstrip('"').removeprefix("--")
            for word in self.host.run(journal).stdout.split()
            if word.startswith("--")
        }

    def restart(self) -> str:
        """Starts it again from nothing, without waiting for it. The point of the journal before that."""
        mark = self.mark()
        self.host.run(f"systemctl stop {self.name}; systemctl reset-failed {self.name} 2>/dev/null || true")
        self.host.run(f"systemctl start --no-block {self.name}")
        return mark

    @contextmanager
    def told(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Runs it with further settings; the mark before it started. It has its own again at the end."""
        self.host.run(
            f"install -d -m 0700 {_SETTINGS.rpartition('/')[0]} && cat >{_SETTINGS}",
            stdin=yaml.safe_dump(dict(settings)),
        )
        try:
            yield self.restart()
        finally:
            self.host.run(f"rm -f {_SETTINGS}")
            self.restart()
