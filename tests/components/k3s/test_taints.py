"""The script that sets a node's taints, run against a `k3s kubectl` that keeps one Node in a file."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.k3s.plan import plan_node
from components.shell import fragment
from tests.components.site_parts import AGENT, SERVERS, k3s

_KUBECTL = """#!/usr/bin/env python3
import json, sys
words = [word for word in sys.argv[2:] if not word.startswith("--request-timeout")]
file = FILE
node = json.load(open(file))
node["calls"].append(" ".join(words))
def slot(taint):
    key, _, effect = taint.rpartition(":")
    return key.partition("=")[0] + ":" + effect
if words[0] == "get":
    print(node["note"] if "annotations" in words[-1] else "".join(slot(one) + " " for one in node["taints"]), end="")
elif words[0] == "annotate":
    node["note"] = words[-1].partition("=")[2]
else:
    given = [word for word in words[3:] if word != "--overwrite"]
    for taint in given:
        if taint.endswith("-") and taint[:-1] not in map(slot, node["taints"]):
            sys.exit(f"error: taint {taint} not found")
        node["taints"] = [one for one in node["taints"] if slot(one) != slot(taint.rstrip("-"))]
        if not taint.endswith("-"):
            node["taints"].append(taint)
json.dump(node, open(file, "w"))
"""


def after(tmp_path: Path, wanted: tuple[str, ...], *, taints: list[str], note: str) -> dict[str, Any]:
    """The Node after the script, and what it called."""
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"taints": taints, "note": note, "calls": []}))
    program = tmp_path / "k3s"
    program.write_text(_KUBECTL.replace("FILE", repr(str(file))))
    program.chmod(0o755)
    script = 'set -euo pipefail\nsay() { printf "%s\\n" "$*"; }\n' + fragment(
        "k3s/taint.sh.j2", node="site-d", taints=wanted
    )
    subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_a_taint_that_is_no_longer_written_goes_and_those_of_others_stay(tmp_path: Path) -> None:
    node = after(
        tmp_path,
        ("dedicated=audio:NoSchedule",),
        taints=["dedicated=vision:NoSchedule", "line=3:NoExecute", "other=theirs:PreferNoSchedule"],
        note="dedicated=vision:NoSchedule line=3:NoExecute",
    )
    assert sorted(node["taints"]) == ["dedicated=audio:NoSchedule", "other=theirs:PreferNoSchedule"]
    assert node["note"] == "dedicated=audio:NoSchedule"


def test_no_taints_at_all_removes_those_of_the_site(tmp_path: Path) -> None:
    node = after(tmp_path, (), taints=["a:NoSchedule", "b=c:NoSchedule"], note="a:NoSchedule")
    assert node["taints"] == ["b=c:NoSchedule"]
    assert node["note"] == ""


def test_a_taint_that_somebody_has_removed_already_is_no_error(tmp_path: Path) -> None:
    assert after(tmp_path, (), taints=[], note="a:NoSchedule")["taints"] == []


def test_a_taint_that_somebody_has_removed_by_hand_is_set_again(tmp_path: Path) -> None:
    assert after(tmp_path, ("a=b:NoSchedule",), taints=[], note="a=b:NoSchedule")["taints"] == ["a=b:NoSchedule"]


def test_a_node_without_taints_is_asked_and_not_changed(tmp_path: Path) -> None:
    calls = after(tmp_path, (), taints=[], note="")["calls"]
    assert all(call.startswith("get ") for call in calls)


@pytest.mark.parametrize(("name", "taints"), [("none", []), ("one", ["a=b:NoSchedule"])])
def test_the_script_that_waits_for_the_node_is_as_reviewed(
    name: str, taints: list[str], golden: Callable[[str, str], None]
) -> None:
    golden(
        f"k3s/taints/{name}-member.sh",
        plan_node(k3s(api_address="10.0.0.10", taints=taints), AGENT, SERVERS, labels={}).wait_ready,
    )
