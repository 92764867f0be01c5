"""`helm.sh/v3:Release` by the real `helm`. Without one a release is refused, not made up.

EDGE_LAB_HELM names another `helm` than the one on PATH; like any program in Go, it trusts what SSL_CERT_FILE holds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.rehearsal import core
from engine.rehearsal.protocol import Asked, Failure, Properties
from engine.rehearsal.values import reveal
from lab.providers.redaction import Redaction

_DEFAULT_TIMEOUT_S = 300
_FLAGS = {"createNamespace": "--create-namespace", "atomic": "--atomic", "cleanupOnFail": "--cleanup-on-fail"}


def executable() -> str:
    """Where `helm` is. Raises ``Failure``."""
    wanted = os.environ.get("EDGE_LAB_HELM", "helm")
    found = shutil.which(wanted)
    if found is None:
        raise Failure(
            f"the lab does not run Helm: a Release needs the real `helm`, and {wanted} is not there. "
            "Install it, or leave the part of the site out that brings the chart."
        )
    return found


def install(asked: Asked, inputs: Properties, kubeconfig: str) -> tuple[str, Properties]:
    """Install or upgrade a release; id and outputs."""
    known = reveal(inputs)
    name, namespace = str(known["name"]), str(known.get("namespace") or "default")
    arguments = ["upgrade", "--install", name, str(known["chart"]), "--namespace", namespace, "--values", "-"]
    timeout_s = int(known.get("timeout") or _DEFAULT_TIMEOUT_S)
    arguments += ["--timeout", f"{timeout_s}s", "--output", "json"]
    if known.get("version"):
        arguments += ["--version", str(known["version"])]
    if repository := (known.get("repositoryOpts") or {}).get("repo"):
        arguments += ["--repo", str(repository)]
    arguments += [flag for option, flag in _FLAGS.items() if known.get(option)]
    if not known.get("skipAwait"):
        arguments.append("--wait")
    # Values may hold secrets, and so go in by standard input.
    said = _run(arguments, kubeconfig, inputs, timeout_s, stdin=json.dumps(known.get("values") or {}))
    identity, outputs = core.create(asked.token, asked.urn, inputs)
    return identity, {**outputs, "status": _status(said, name, namespace)}


def uninstall(asked: Asked, identity: str, kubeconfig: str, olds: Properties) -> None:
    """Remove a release; one that is gone already is as good."""
    namespace, _, name = identity.rpartition("/")
    timeout_s = int(reveal(olds.get("timeout")) or _DEFAULT_TIMEOUT_S)
    arguments = [
        "uninstall",
        name,
        "--namespace",
        namespace,
        "--ignore-not-found",
        "--wait",
        "--timeout",
        f"{timeout_s}s",
    ]
    _run(arguments, kubeconfig, olds, timeout_s)


def _run(arguments: Sequence[str], kubeconfig: str, properties: Properties, timeout_s: int, stdin: str = "") -> str:
    with tempfile.TemporaryDirectory(prefix="edge-helm-") as folder:
        file = Path(folder) / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(kubeconfig)
        command = [executable(), *arguments, "--kubeconfig", str(file)]
        try:
            # Helm keeps its own time; this only bounds one that does not.
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s + 60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"`helm {arguments[0]}` did not end within {timeout_s + 60} s") from None
    if done.returncode != 0:
        raise Failure(Redaction(properties)(f"`helm {arguments[0]}` failed: {done.stderr.strip()}"))
    return done.stdout


def _status(said: str, name: str, namespace: str) -> dict[str, Any]:
    try:
        release = json.loads(said)
    except ValueError:
        release = {}
    chart = ((release.get("chart") or {}).get("metadata")) or {}
    return {
        "name": name,
        "namespace": namespace,
        "chart": str(chart.get("name", "")),
        "version": str(chart.get("version", "")),
        "appVersion": str(chart.get("appVersion", "")),
        "revision": int(release.get("version", 1)),
        "status": str((release.get("info") or {}).get("status", "deployed")),
    }
