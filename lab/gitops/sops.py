"""Files that only a site can read: encrypted by the real `sops` for an age key that is made here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lab.gitops.build import Programs
from lab.hosts.system import LabError


class AgeKey:
    """A new age key. Raises LabError where age or sops refuse."""

    def __init__(self, programs: Programs) -> None:
        self._sops = programs.sops
        self.private = _run([str(programs.age_keygen)])
        """The site's secret `sops-age-key`."""
        found = re.search(r"^# public key: (age1\S+)$", self.private, re.MULTILINE)
        if found is None:
            raise LabError("age-keygen did not say the public key")
        self._recipient = found[1]

    def encrypt(self, manifest: str) -> str:
        """A Secret's manifest (YAML) with its values encrypted, as it is kept in Git."""
        values = "^(data|stringData)$"
        kind = ["--input-type", "yaml", "--output-type", "yaml"]
        command = [
            "encrypt",
            "--age",
            self._recipient,
            "--encrypted-regex",
            values,
            *kind,
            "--filename-override",
            "x.yaml",
        ]
        return _run([str(self._sops), *command, "/dev/stdin"], stdin=manifest)


def _run(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout
