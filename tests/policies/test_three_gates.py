"""The same objects get the same verdict, word for word, in the real engine, in-process, and as manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes
import pytest
from typer.testing import CliRunner

from edge.cli import app
from engine.rehearsal.in_process import record
from policies import settings as pack_settings
from policies.pack import FOLDER, message_of
from policies.recorded import findings_of
from policies.rules import CATALOGUE, Settings
from policies.rules.kinds import kind_of
from tests.policies.cases import base, base_names, cases
from tests.policies.standard_pods import pods
from tests.policies.test_engine import Run, preview

__all__ = ["preview"]
pytestmark = pytest.mark.engine

Said = set[tuple[str, str]]
"""Level and words of each finding."""

# Nobody knows the kubeconfig yet, so no provider is asked before the policies are: they alone judge.
_PROGRAM = """
import json, pulumi, pulumi_kubernetes as kubernetes, pulumi_command as command
key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9"
host = {"host": "192.0.2.1", "host_key": key}
made = command.remote.Command("cluster", connection=host, create="true", logging="none")
provider = kubernetes.Provider("cluster", kubeconfig=made.stdout, cluster_identifier="test")
for token, name, props in json.load(open('input.json')):
    pulumi.CustomResource(token, name, props, pulumi.ResourceOptions(provider=provider))
"""
_NOT_SEEN = "secrets/marked-as-secret"
"""CrossGuard does not say what is marked as secret, and a file has no marks."""


def objects() -> dict[str, tuple[str, dict[str, Any]]]:
    """By name: each compliant base, each of its breaches, and a tenth of the pods of the standards."""
    resources = {name: base(name) for name in base_names()}
    resources |= {f"case-{number}": case.resource() for number, case in enumerate(cases())}
    found = {name: (one.type, dict(one.props)) for name, one in resources.items() if kind_of(one.type).kubernetes}
    for number, one in enumerate(pods()[::10]):
        found[f"pod-{number}"] = ("kubernetes:core/v1:Pod", one.pod)
    for number, one in enumerate(pods()[5::50]):
        patch = {"metadata": {"name": "a", "namespace": "apps"}, "spec": {"template": one.pod}}
        found[f"patch-{number}"] = ("kubernetes:apps/v1:DeploymentPatch", patch)
        listed = {"items": [{"apiVersion": "v1", "kind": "Pod", **one.pod}]}
        found[f"list-{number}"] = ("kubernetes:core/v1:PodList", listed)
    for name, (token, props) in found.items():
        if token.endswith(":Namespace"):
            # The rule about whole stacks reports two of one name once.
            props["metadata"] = {**props["metadata"], "name": name}
    return found


def in_engine(preview: Run, made: Mapping[str, tuple[str, dict[str, Any]]]) -> Said:
    done = preview([(token, name, props) for name, (token, props) in made.items()], program=_PROGRAM)
    # A policy's own promise comes before its message.
    return {(level, message.strip().splitlines()[-1]) for _, level, message in done.violations}


def in_process(made: Mapping[str, tuple[str, dict[str, Any]]], settings: Settings) -> Said:
    def program() -> None:
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="test")
        for name, (token, props) in made.items():
            pulumi.CustomResource(token, name, props, pulumi.ResourceOptions(provider=provider))

    resources = record(program, project="edge", stack="test", config={}).resources
    names = {one.urn: one.name for one in resources}
    return {(one.level, message_of(names[one.urn], one)) for one in findings_of(resources, settings, date(2026, 1, 1))}


def as_manifests(made: Mapping[str, tuple[str, dict[str, Any]]], folder: Path) -> Said:
    for name, (token, props) in made.items():
        kind = kind_of(token)
        version = token.split(":")[1].removeprefix("core/")
        document = {"apiVersion": version, "kind": kind.name + "Patch" * kind.patch, **props}
        (folder / f"{name}.json").write_text(json.dumps(document))
    done = CliRunner().invoke(app, ["check", "--manifests", str(folder), "--json"])
    document = json.loads(done.stdout)
    assert document["problems"] == []
    assert document["counts"]["objects"] == len(made)
    said = set()
    for one in document["findings"]:
        where = f"{Path(one['file']).stem}: {one['path']}" if one["path"] else f"{Path(one['file']).stem}:"
        said.add((one["level"], f"{one['rule']}: {where} {one['message']}. {one['remedy']}"))
    return said


def without_marks(said: Said) -> Said:
    return {(level, message) for level, message in said if not message.startswith(f"{_NOT_SEEN}:")}


def test_three_gates_give_one_verdict(preview: Run, tmp_path: Path) -> None:
    made = objects()
    settings = pack_settings.load(FOLDER / "config.json")
    (tmp_path / "manifests").mkdir()
    engine = without_marks(in_engine(preview, made))
    process = without_marks(in_process(made, settings))
    files = without_marks(as_manifests(made, tmp_path / "manifests"))
    assert (engine - process, process - engine) == (set(), set())
    assert (files - process, process - files) == (set(), set())
    # Equal verdicts say little where there are few of them.
    broken = {message.partition(":")[0] for _, message in engine}
    about_objects = {rule.id for rule in CATALOGUE if rule.id.startswith(("workload/", "network/", "supply-chain/"))}
    assert len(broken & about_objects) > 0.8 * len(about_objects)
