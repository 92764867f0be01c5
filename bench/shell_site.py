"""A site as the shell script that somebody would write by hand: the program's own steps, without Pulumi.

The steps are those of a recording. What depends on nothing more runs side by side; then the next ones.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.k3s.plan import CA_IS
from edge.run import program
from edge.run.program import Configuration
from engine.rehearsal.in_process import Recorded, Recording
from engine.rehearsal.values import reveal
from lab.hosts.lab import Lab
from lab.hosts.system import LabError
from stacks.loader import load_site

_COMMAND = "command:remote:Command"
_HELM = "kubernetes:helm.sh/v3:Release"
_ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class ShellSite:
    """What the scripts need to reach hosts and charts."""

    folder: Path
    """Where manifests and inputs lie; nobody else may read it, since secrets are among them."""
    ssh: Sequence[str]
    """The command before `root@ADDRESS`."""
    server: str
    """Address of the host whose `kubectl` is used."""
    helm: Sequence[str] = ()
    """The command and its options for a chart's registry."""

    def up(self, recording: Recording) -> str:
        """The script that brings the site up."""
        return _script(self._steps(number, level) for number, level in enumerate(levels(recording)))

    def down(self, recording: Recording) -> str:
        """The script that takes everything off the hosts again."""
        undone = (
            [
                self._on(reveal(one.inputs)["connection"]["host"], str(reveal(one.inputs)["delete"]))
                for one in steps
                if one.type == _COMMAND and one.inputs.get("delete")
            ]
            for steps in reversed(levels(recording))
        )
        return _script(undone)

    def _steps(self, number: int, level: Sequence[Recorded]) -> list[str]:
        """A session for each command on a host, and one for all objects: sshd refuses bursts."""
        objects = [one for one in level if one.type not in (_COMMAND, _HELM)]
        steps = [self._command(one) if one.type == _COMMAND else self._helm(one) for one in level if one not in objects]
        return [*steps, self._objects(number, objects)] if objects else steps

    def _command(self, one: Recorded) -> str:
        inputs = reveal(one.inputs)
        host, script = inputs["connection"]["host"], str(inputs["create"])
        kept = f" >{self._file('kubeconfig')}" if one.name.endswith("-k3s-kubeconfig") else ""
        stdin = self._kept(one.name, str(inputs.get("stdin") or ""))
        if one.name.endswith("-k3s-admit"):
            kept = f" >{self._file(f'{one.name}.said')}"
        if one.name.endswith("-k3s"):
            return self._joins(one.name, stdin) + self._on(host, script, stdin)
        return self._on(host, script, stdin) + kept

    def _joins(self, name: str, stdin: Path) -> str:
        """Puts the hash of the cluster's CA into what ``name`` reads last, once a server has printed it."""
        said = self._file(f"{name}-admit.said")
        replaced = f'sed -i "\\$d" {stdin} && printf %s "$ca" | base64 --wrap=0 >>{stdin} && echo >>{stdin}'
        return f"ca=$(sed -n 's/^{CA_IS}//p' {said} 2>/dev/null || true); [ -z \"$ca\" ] || {{ {replaced}; }}; "

    def _helm(self, one: Recorded) -> str:
        inputs = reveal(one.inputs)
        values = self._kept(one.name, json.dumps(inputs.get("values") or {}))
        where = ["--namespace", str(inputs["namespace"]), "--version", str(inputs["version"])]
        release = ["upgrade", "--install", str(inputs["name"]), str(inputs["chart"]), *where, "--wait"]
        config = ["--kubeconfig", str(self._file("kubeconfig")), "--values", str(values)]
        return shlex.join([*self.helm, *release, *config])

    def _objects(self, number: int, objects: Sequence[Recorded]) -> str:
        manifests = [reveal(one.inputs) for one in objects]
        applied = [manifest for manifest in manifests if manifest["kind"] != "NodePatch"]
        steps = ["k3s kubectl apply --server-side --force-conflicts --filename=-"] if applied else []
        steps += [_labelled(manifest) for manifest in manifests if manifest["kind"] == "NodePatch"]
        steps += [wait for manifest in applied for wait in _awaited(manifest)]
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": applied})
        return self._on(self.server, " && ".join(steps), self._kept(f"objects-{number}", listed))

    def _on(self, host: str, script: str, stdin: Path | None = None) -> str:
        command = shlex.join([*self.ssh, f"root@{host}", script])
        return f"{command} <{stdin or '/dev/null'}"

    def _kept(self, name: str, content: str) -> Path:
        path = self._file(f"{name}.input")
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def _file(self, name: str) -> Path:
        return self.folder / name


def _labelled(patch: Mapping[str, Any]) -> str:
    labels = [f"{key}={value}" for key, value in patch["metadata"]["labels"].items()]
    return shlex.join(["k3s", "kubectl", "label", "--overwrite", "node", patch["metadata"]["name"], *labels])


def _awaited(manifest: Mapping[str, Any]) -> Iterator[str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    where = (f"{kind}/{metadata['name']}", "--namespace", metadata.get("namespace", "default"), "--timeout=600s")
    if kind in _ROLLED_OUT:
        yield shlex.join(["k3s", "kubectl", "rollout", "status", *where])
    for wanted in _conditions(metadata.get("annotations", {}).get("pulumi.com/waitFor", "")):
        yield shlex.join(["k3s", "kubectl", "wait", f"--for={wanted}", *where])


def _conditions(written: str) -> list[str]:
    """Of the annotation: one condition, or several as JSON."""
    if written.startswith("["):
        return list(json.loads(written))
    return [written] if written else []


def recorded(file: Path, secrets: Mapping[str, str]) -> Recording:
    """The site's steps; ``secrets`` by their keys."""
    spec = load_site(file)
    config = {f"edge:{key}": value for key, value in secrets.items()}
    return program.recorded(spec, Configuration(config, frozenset(config)))


def levels(recording: Recording) -> list[list[Recorded]]:
    """What is done, each as soon as all that it depends on is done."""
    known = {one.urn: one for one in recording.resources if one.custom}
    depth: dict[str, int] = {}

    def of(urn: str) -> int:
        if urn not in known:
            return -1
        if urn not in depth:
            before = [*known[urn].dependencies, known[urn].provider.rpartition("::")[0]]
            depth[urn] = 1 + max((of(one) for one in before), default=-1)
        return depth[urn]

    for urn in known:
        of(urn)
    done = [one for one in known.values() if one.type == _COMMAND or one.type.startswith("kubernetes:")]
    numbers = sorted({depth[one.urn] for one in done})
    return [[one for one in done if depth[one.urn] == number] for number in numbers]


def _script(steps: Iterable[Sequence[str]]) -> str:
    lines = ["set -e"]
    for together in steps:
        started = (f"({step}) &\njobs+=($!)" for step in together)
        lines += ["jobs=()", *started, 'for job in "${jobs[@]}"; do wait "$job"; done']
    return "\n".join(lines) + "\n"


def ssh_to(lab: Lab) -> tuple[str, ...]:
    """The command before `root@ADDRESS`, for hosts of ``lab``."""
    options = ("-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "BatchMode=yes", "-i", str(lab.operator_key))
    return ("ssh", *options)


def run_script(script: str) -> None:
    """Raises LabError where it fails."""
    succeeded(subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False))


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    """Raises LabError with what a failed run said."""
    if done.returncode != 0:
        raise LabError(f"{' '.join(done.args[-3:])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
