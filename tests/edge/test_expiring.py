"""The key that hosts join a tailnet with: alive when a host joins, and nobody's business when none does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.rehearsal import outputs
from engine.rehearsal.values import Secret
from tests.edge.conftest import Project

pytestmark = pytest.mark.engine

KEY = "demo-mesh-key"
DAY = timedelta(days=1)


class Clock:
    """What time it is for `edge`, and for the tailnet that makes keys of one day."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def key(self, token: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        ends = (self.now + DAY).isoformat().replace("+00:00", "Z")
        return "k1", {"key": Secret(f"rehearsal-not-a-key-{ends}"), "expiresAt": ends}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()

    class Time(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return made.now

    monkeypatch.setitem(outputs._MAKERS, "tailscale:index/tailnetKey:TailnetKey", made.key)
    monkeypatch.setattr("edge.run.expiring.datetime", Time)
    return made


@pytest.fixture
def joined(project: Project, clock: Clock) -> Project:
    """The site `demo` whose host has joined with a key of its stack."""

    def mesh(site: dict[str, Any]) -> None:
        site["mesh"] = {"kind": "tailscale", "key": {"source": "tailscale-provider", "tailnet": "acme.example.com"}}

    project.change("demo", mesh)
    done = project.edge("up", "demo", "--rehearse")
    assert done.code == 0, done.stdout
    return project


def _ops(document: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["op"] for one in document["resources"] if one["op"] != "same"}


def test_a_key_that_has_ended_changes_nothing_at_a_site_that_is_up(joined: Project, clock: Clock) -> None:
    clock.now += 30 * DAY
    calm = joined.edge("preview", "demo", "--rehearse", "--json").document
    assert (_ops(calm), calm["renewed"]) == ({}, [])


def test_a_host_that_joins_late_gets_a_key_that_is_alive(joined: Project, clock: Clock) -> None:
    clock.now += 30 * DAY
    # As after a reimage, or where the first attempt failed: the command that joins runs again.
    joined.change("demo", lambda site: site["mesh"].update(accept_dns=True))
    planned = joined.edge("preview", "demo", "--rehearse")
    assert "the auth key is made anew: the old one ended at" in planned.stdout
    done = joined.edge("up", "demo", "--rehearse", "--json").document
    ops = _ops(done)
    assert done["exit"] == 0
    assert ops.pop(KEY) == "replace"
    assert ops == {"demo-a-tailscale": "update"}
    assert [one["what"] for one in done["renewed"]] == ["the auth key"]
    assert _ops(joined.edge("preview", "demo", "--rehearse", "--json").document) == {}


def test_a_key_that_lives_is_used_as_it_is(joined: Project, clock: Clock) -> None:
    clock.now += DAY / 2
    joined.change("demo", lambda site: site["mesh"].update(accept_dns=True))
    done = joined.edge("up", "demo", "--rehearse", "--json").document
    assert _ops(done) == {"demo-a-tailscale": "update"}
    assert done["renewed"] == []
