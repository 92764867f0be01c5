"""What the policy pack costs: a stack of 100 resources, judged in a real preview and in this process.

The floor of a preview is the same program without a pack; a pack with one rule that looks at nothing shows what any
pack costs. In this process, the floor is the program recorded and not judged.
Writes bench/results/<stamp>-policies.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.preview import measure
from bench.results import compared, compiled_modules_are_kept, write
from components.restricted import allow, default_account, default_deny, namespace, service_account
from engine.environment import environment
from engine.obtain.cli import locate
from engine.rehearsal.in_process import Recording, record
from engine.rehearsal.serving import RehearsalServer
from policies.recorded import findings_of
from policies.rules import CATALOGUE, DEFAULT_SETTINGS
from policies.rules.kinds import manifest_token

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = 10
RESOURCES = 10 * NAMESPACES

NO_PACK = "preview, no pack"
EMPTY_PACK = "preview, a pack of one rule that sees nothing"
PACK = f"preview, this pack of {len(CATALOGUE)} rules"
RECORDED = "in process, recorded only"
JUDGED = "in process, recorded and judged"

_DIGEST = "sha256:" + "0123456789abcdef" * 4
_RUNTIME = "runtime: {{name: python, options: {{toolchain: pip, virtualenv: {prefix}}}}}\n"
_PROGRAM = """
import json, pulumi, pulumi_kubernetes
provider = pulumi_kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="bench")
for token, name, props in json.load(open("input.json")):
    pulumi.CustomResource(token, name, props, pulumi.ResourceOptions(provider=provider))
"""
_EMPTY = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy
nothing = ResourceValidationPolicy("nothing", "Looks at nothing.", lambda args, report: None)
PolicyPack("empty", policies=[nothing], enforcement_level=EnforcementLevel.MANDATORY)
"""


def main() -> int:
    """Measure, print, write."""
    compiled_modules_are_kept()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    runs = options.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder, RehearsalServer() as server:
        preview = measure(previews(Path(folder), server.debug_providers), runs)
    inside = measure({RECORDED: recorded, JUDGED: judged}, runs)
    shown, figures = compared(f"{RESOURCES + 1} resources, real preview", preview, NO_PACK)
    shown_inside, figures_inside = compared(f"{RESOURCES + 1} resources, in process", inside, RECORDED)
    print(f"{shown}\n\n{shown_inside}")
    path = write("policies", {"rules": len(CATALOGUE), "preview": figures, "in_process": figures_inside})
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def stack() -> list[tuple[str, str, dict[str, Any]]]:
    """Type token, name and properties of ``RESOURCES`` objects on which nothing is wrong."""
    made = []
    for number in range(NAMESPACES):
        space = f"apps-{number}"
        label = {"app": space}
        manifests = [namespace(space), default_deny(space), default_account(space), service_account("app", space)]
        manifests += [allow(space, label, egress=({"ports": [{"port": 443}]},)), *_settings(space)]
        manifests += [_service(space), _deployment(f"{space}-a", space), _deployment(f"{space}-b", space)]
        for manifest in manifests:
            props = {**manifest, "kind": manifest["kind"].removesuffix("Patch")}
            name = f"{space}-{manifest['kind'].lower()}-{manifest['metadata']['name']}"
            made.append((manifest_token(manifest["apiVersion"], manifest["kind"]), name, props))
    return made


def _settings(space: str) -> list[dict[str, Any]]:
    text = "\n".join(f"key_{line}: value {line}" for line in range(100))
    meta = {"name": "settings", "namespace": space}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"settings.yaml": text}}]


def _service(space: str) -> dict[str, Any]:
    spec = {"selector": {"app": space}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": space}, "spec": spec}


def _deployment(name: str, space: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    container = {
        "name": "server",
        "image": f"registry.k8s.io/acme/server:1.0.0@{_DIGEST}",
        "ports": [{"containerPort": 8080}],
        "env": [{"name": f"SETTING_{number}", "value": str(number)} for number in range(10)],
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "16Mi"},
            "limits": {"memory": "32Mi", "ephemeral-storage": "16Mi"},
        },
        "livenessProbe": probe,
        "readinessProbe": probe,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    template = {"metadata": {"labels": {"app": space}}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": space}}, "template": template}
    meta = {"name": name, "namespace": space}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def previews(folder: Path, providers: str) -> dict[str, Callable[[], None]]:
    """First previews of the stack, with and without a pack, by one engine against the rehearsal."""
    runtime = _RUNTIME.format(prefix=sys.prefix)
    empty = folder / "empty"
    for place in (folder / "state", empty):
        place.mkdir()
    (folder / "Pulumi.yaml").write_text(f"name: bench\n{runtime}")
    (folder / "__main__.py").write_text(_PROGRAM)
    (folder / "input.json").write_text(json.dumps(stack()))
    (empty / "PulumiPolicy.yaml").write_text(runtime)
    (empty / "__main__.py").write_text(_EMPTY)
    variables = {
        **os.environ,
        **environment(rehearsal=providers, backend=f"file://{folder / 'state'}", project_root=folder),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
    }

    def run(*arguments: str, pack: Path | None = None) -> None:
        # The CLI takes packs relative to the project.
        packs = ["--policy-pack", os.path.relpath(pack, folder)] if pack else []
        command = [str(locate().path), *arguments, *packs, "--non-interactive", "--stack", "bench"]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")

    run("stack", "init")
    return {
        NO_PACK: lambda: run("preview"),
        EMPTY_PACK: lambda: run("preview", pack=empty),
        PACK: lambda: run("preview", pack=ROOT / "policies"),
    }


def recorded() -> None:
    """The program, not judged."""
    _recording()


def judged() -> None:
    """The program, judged as `edge check` does. Ends the benchmark where anything is found: the stack is compliant."""
    found = findings_of(_recording().resources, DEFAULT_SETTINGS, datetime.now(UTC).date())
    if found:
        sys.exit(f"the stack of the benchmark is not compliant: {found[0]}")


def _recording() -> Recording:
    import pulumi
    import pulumi_kubernetes

    def program() -> None:
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="bench")
        for token, name, props in stack():
            pulumi.CustomResource(token, name, props, pulumi.ResourceOptions(provider=provider))

    return record(program, project="bench", stack="bench", config={})


if __name__ == "__main__":
    sys.exit(main())
