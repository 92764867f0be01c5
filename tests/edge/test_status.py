"""`edge status`: what the states say of each site, read without a passphrase. What cannot be read is said."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from edge.run import actor, status
from edge.run.status import SiteStatus
from engine.environment import environment, file_backend
from stacks.loader import load_site
from stacks.provenance import built_from
from tests.edge.conftest import Project
from tests.edge.sites import site

HEAD = "0123456789abcdef0123456789abcdef01234567"


def deployment(name: str, pending: tuple[str, ...] = ()) -> dict[str, Any]:
    stack = f"urn:pulumi:{name}::edge::"
    return {
        "manifest": {"time": "2026-11-20T10:11:12.123456789+01:00", "version": "v3.260.0"},
        "resources": [
            {
                "urn": f"{stack}pulumi:pulumi:Stack::edge-{name}",
                "type": "pulumi:pulumi:Stack",
                "outputs": {"built_from": "abcdef0123456789"},
            },
            {"urn": f"{stack}edge:index:K3s::{name}", "type": "edge:index:K3s"},
        ],
        "pending_operations": [
            {"type": "creating", "resource": {"urn": f"{stack}a:b:C::{one}", "type": "a:b:C"}} for one in pending
        ],
    }


def entry(result: str = "succeeded", kind: str = "update") -> dict[str, Any]:
    about = {"git.head": HEAD, "git.dirty": "true"}
    said = "edge up by alice@laptop"
    return {"kind": kind, "result": result, "endTime": 1795661911, "message": said, "environment": about}


@pytest.fixture
def states(project: Project) -> Path:
    """What the project's own file backend keeps."""
    folder = project.root / ".edge" / "state" / ".pulumi"
    (folder / "stacks" / "edge").mkdir(parents=True)
    return folder


def write(states: Path, name: str, latest: dict[str, Any], *entries: dict[str, Any]) -> None:
    checkpoint = {"version": 3, "checkpoint": {"stack": name, "latest": latest}}
    (states / "stacks" / "edge" / f"{name}.json").write_text(json.dumps(checkpoint))
    history = states / "history" / "edge" / name
    history.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(entries):
        (history / f"{name}-{9 + number}.history.json").write_text(json.dumps(one))


def test_a_row_says_what_was_applied_when_and_how_it_ended(project: Project, states: Path) -> None:
    write(states, "demo", deployment("demo"), entry("failed"), entry())
    ran = project.edge("status")
    assert ran.code == 0
    header, row, *_, last = ran.stdout.splitlines()
    assert header.split("  ")[0] == "site"
    assert row.split() == ["demo", "2026-11-20", "09:11", "01234567*", "abcdef01", "1", "ok,", "by", "alice@laptop"]
    assert last == "1 site: 1 applied"
    assert max(len(line) for line in (header, row)) <= 80
    document = project.edge("status", "demo", "--json").document
    assert document["sites"] == [
        {
            "site": "demo",
            "state": "applied",
            "applied": "2026-11-20T09:11:12Z",
            "built_from": "abcdef0123456789",
            "pulumi": "v3.260.0",
            "resources": 1,
            "pending": [],
            "last_update": {
                "kind": "update",
                "result": "succeeded",
                "ended": "2026-11-26T02:58:31Z",
                "revision": HEAD,
                "dirty": True,
                "by": "alice@laptop",
            },
            "drift_seen": None,
        }
    ]


def test_the_newest_run_counts_however_many_digits_its_time_has(project: Project, states: Path) -> None:
    write(states, "demo", deployment("demo"), entry("failed"), entry("succeeded"))
    (document,) = project.edge("status", "--json").document["sites"]
    assert document["last_update"]["result"] == "succeeded"


def test_a_site_without_a_state_was_never_applied_and_a_stack_without_a_file_is_named(
    project: Project, states: Path
) -> None:
    write(states, "gone", deployment("gone"), entry())
    write(states, "fleet", deployment("fleet"), entry())
    write(states, "shared", deployment("shared"), entry())
    ran = project.edge("status")
    assert ran.code == 0
    assert "never applied" in ran.stdout.splitlines()[1]
    assert "stacks without a site file: gone" in ran.stdout
    assert project.edge("status", "gone", "--json").document["sites"][0]["state"] == "applied"
    misspelt = project.edge("status", "dmo")
    assert (misspelt.code, "did you mean `demo`?" in misspelt.stderr) == (2, True)


def test_pending_operations_and_a_failed_update_are_said(project: Project, states: Path) -> None:
    write(states, "demo", deployment("demo", ("demo-a-k3s",)), entry("failed"))
    ran = project.edge("status")
    assert "failed, 1 pending, by alice@laptop" in ran.stdout
    assert "demo: begun and not finished: creating demo-a-k3s" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "1 site: 1 applied, 1 failed last, 1 with pending operations"


def test_a_job_names_who_started_it_and_a_person_is_named_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    assert actor.who(actor.message("up", {})) == "alice@laptop"
    assert actor.who(actor.message("destroy", {"GITHUB_ACTOR": "renovate[bot]"})) == "renovate[bot]"
    assert actor.who(actor.message("up", {"GITLAB_USER_LOGIN": "x\x1b[31m y"})) == "x_[31m_y"
    assert actor.who("a commit's first line") == ""
    assert actor.who("edge up by \x1b[31m") == ""


@pytest.mark.parametrize("content", [b"", b'{"version": 3, "checkp', b"[]", b'{"checkpoint": {"latest": []}}'])
def test_a_state_that_cannot_be_read_is_a_failure_of_its_site_only(
    project: Project, states: Path, content: bytes
) -> None:
    site(project.sites, "shop")
    write(states, "shop", deployment("shop"), entry())
    (states / "stacks" / "edge" / "demo.json").write_bytes(content)
    ran = project.edge("status", "--json")
    assert ran.code == ran.document["exit"] == 1
    assert [one["state"] for one in ran.document["sites"]] == ["unreadable", "applied"]
    assert str(states / "stacks" / "edge" / "demo.json") in project.edge("status").stdout


def test_a_state_that_is_gone_is_not_taken_for_a_site_that_was_never_applied(project: Project, states: Path) -> None:
    backup = {"checkpoint": {"latest": deployment("demo")}}
    (states / "stacks" / "edge" / "demo.json.bak").write_text(json.dumps(backup))
    (found,) = project.edge("status", "--json").document["sites"]
    assert (found["state"], "is missing" in found["error"]["what"]) == ("unreadable", True)


def test_a_compressed_state_is_read_too_and_a_destroyed_site_is_empty(project: Project, states: Path) -> None:
    destroyed = {**deployment("demo"), "resources": []}
    write(states, "demo", destroyed, entry(kind="destroy"))
    file = states / "stacks" / "edge" / "demo.json"
    file.with_suffix(".json.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    (found,) = project.edge("status", "--json").document["sites"]
    assert (found["state"], found["resources"], found["last_update"]["kind"]) == ("empty", 0, "destroy")


def test_the_states_of_500_sites_are_read_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    states = tmp_path / ".edge" / "state" / ".pulumi"
    (states / "stacks" / "edge").mkdir(parents=True)
    names = [f"site-{number}" for number in range(500)]
    latest = deployment("x")
    # As large as that of the demo site: 46 resources with their scripts.
    latest["resources"] += [
        {"urn": f"urn:pulumi:x::edge::a:b:C::{n}", "type": "a:b:C", "inputs": {"create": "x" * 6000}} for n in range(46)
    ]
    for name in names:
        write(states, name, latest, entry())
    started = time.monotonic()
    found = status.status(names, tmp_path)
    assert found.counts["applied"] == 500
    assert time.monotonic() - started < 30


@pytest.mark.engine
def test_what_was_rehearsed_is_told_by_its_state_and_pulumi_says_the_same_without_a_passphrase(
    project: Project,
) -> None:
    """Of a backend that is no folder, `pulumi` is asked. Here it is asked about a folder, to compare."""
    assert project.edge("up", "demo", "--rehearse").code == 0
    (found,) = project.edge("status", "--rehearse", "--json").document["sites"]
    assert found["state"] == "applied"
    assert found["built_from"] == built_from(load_site("demo", root=project.root), project=project.root)
    assert found["last_update"]["result"] == "succeeded"
    assert found["last_update"]["by"] == actor.who(actor.message("up"))
    assert project.edge("status", "--json").document["sites"][0]["state"] == "never"
    backend = file_backend(project.root / ".edge" / "rehearsal")
    variables = environment(project_root=project.root, backend=backend)
    assert not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & {*os.environ, *variables}
    told, stacks = status._asked(["demo", "other"], project.root, variables)
    assert stacks == ["demo"]
    assert told[1] == SiteStatus("other", "never")
    assert told[0].as_dict() == found
