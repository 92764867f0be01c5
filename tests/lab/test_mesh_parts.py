"""What the lab's tailnet is made of: the archive, and the policy in the form that Headscale takes. Nothing runs."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.obtain.pin import EngineError
from lab.mesh import programs
from lab.mesh.headscale import acls_of
from stacks.fleet.plan import MeshSite, acl
from stacks.fleet.spec import TailnetSpec

POLICY = acl(
    TailnetSpec(id="lab", operators=("ada@lab.example",)),
    [
        MeshSite("lab", ("tag:edge-lab", "tag:edge"), routes=("10.20.0.0/24",)),
        MeshSite("other", ("tag:edge-other", "tag:edge"), ssh_users=("root",)),
    ],
)


def _built(name: str) -> Path:
    try:
        return programs.headscale() if name == "headscale" else programs.tailscale(name)
    except EngineError as error:
        pytest.skip(str(error))


def _verdict(policy: Mapping[str, Any], folder: Path) -> str:
    """What Headscale says of ``policy``."""
    file = folder / "policy.json"
    file.write_text(json.dumps(policy))
    command = [str(_built("headscale")), "policy", "check", "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def test_headscale_takes_the_fleets_policy_in_its_own_form(tmp_path: Path) -> None:
    made = acls_of(POLICY)
    assert _verdict(made, tmp_path) == "Policy is valid"
    assert {"groups", "tagOwners", "ssh", "autoApprovers"} <= made.keys()
    assert [(rule["proto"], rule["dst"]) for rule in made["acls"]] == [
        ("tcp", [f"{one}:{port}" for one in ("tag:edge-lab", "tag:edge-other", "10.20.0.0/24")]) for port in (22, 6443)
    ]


@pytest.mark.parametrize("field", ["grants", "tests"])
def test_headscale_refuses_what_is_not_handed_to_it(field: str, tmp_path: Path) -> None:
    assert f'unknown field "{field}"' in _verdict({**acls_of(POLICY), field: POLICY[field]}, tmp_path)


def test_a_fleet_without_sites_allows_nothing(tmp_path: Path) -> None:
    nothing = acls_of(acl(TailnetSpec(id="lab", operators=("ada@lab.example",)), []))
    assert nothing["acls"] == []
    assert _verdict(nothing, tmp_path) == "Policy is valid"


def test_the_archive_is_laid_out_as_its_publisher_does_and_always_the_same() -> None:
    for name in ("tailscale", "tailscaled"):
        said = subprocess.run([_built(name), "--version"], capture_output=True, text=True, check=True).stdout
        assert said.splitlines()[0] == programs.VERSION
    content = programs.archive("9.9.9")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert [(entry.name, oct(entry.mode)) for entry in archive if entry.isfile()] == [
            ("tailscale_9.9.9_amd64/tailscale", "0o755"),
            ("tailscale_9.9.9_amd64/tailscaled", "0o755"),
            ("tailscale_9.9.9_amd64/systemd/tailscaled.defaults", "0o644"),
            ("tailscale_9.9.9_amd64/systemd/tailscaled.service", "0o644"),
        ]
        assert {entry.mtime for entry in archive} == {0}
    assert programs.archive("9.9.9") == content
