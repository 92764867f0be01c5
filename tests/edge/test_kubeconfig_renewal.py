"""The kubeconfig that a stack holds: read again before it ends, and never taken for good after that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge.run.cluster_access import ClusterAccess
from engine.rehearsal import outputs
from tests.components.kubeconfigs import kubeconfig
from tests.edge.conftest import Project

pytestmark = pytest.mark.engine

READER = "demo-k3s-kubeconfig"
YEAR = timedelta(days=365)


class Hosts:
    """What the simulated first server answers, and what time it is."""

    def __init__(self) -> None:
        self.kubeconfig = ""

    def issue(self, begins: datetime) -> None:
        self.kubeconfig = kubeconfig(begins, begins + YEAR)

    def answer(self, token: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if urn.endswith(f"::{READER}"):
            return READER, {"stdout": self.kubeconfig, "stderr": ""}
        return urn.rpartition("::")[2], {"stdout": "done", "stderr": ""}


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    made = Hosts()
    monkeypatch.setitem(outputs._MAKERS, "command:remote:Command", made.answer)
    return made


def at(time: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return time

    monkeypatch.setattr("components.k3s.component.datetime", Clock)
    monkeypatch.setattr("edge.run.cluster_access.datetime", Clock)


def test_it_is_read_again_in_its_last_quarter_and_not_before(
    project: Project, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = datetime.now(UTC).replace(microsecond=0)
    hosts.issue(born)
    assert project.edge("up", "demo", "--rehearse").code == 0

    at(born + timedelta(days=200), monkeypatch)
    calm = project.edge("preview", "demo", "--rehearse", "--json").document
    assert calm["kubeconfig_renewed"] is None
    assert calm["counts"]["same"] == len(calm["resources"])

    later = born + timedelta(days=300)
    at(later, monkeypatch)
    previewed = project.edge("preview", "demo", "--rehearse")
    assert previewed.code == 0, previewed.stdout
    until = f"{born + YEAR:%Y-%m-%d %H:%M} UTC"
    assert f"the kubeconfig of the stack is read again: it is valid until {until}." in previewed.stdout
    hosts.issue(later)
    done = project.edge("up", "demo", "--rehearse", "--json").document
    assert (done["exit"], done["kubeconfig_renewed"]) == (0, f"it is valid until {until}")
    changed = {one["name"]: one["op"] for one in done["resources"] if one["op"] != "same"}
    assert changed.pop(READER) == "replace"
    assert set(changed.values()) <= {"update"}, "nothing in the cluster is replaced for a kubeconfig"
    assert project.edge("preview", "demo", "--rehearse", "--json").document["kubeconfig_renewed"] is None


def test_an_edit_after_its_end_comes_with_a_new_one(
    project: Project, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = datetime.now(UTC)
    hosts.issue(born)
    assert project.edge("up", "demo", "--rehearse").code == 0
    later = born + timedelta(days=400)
    at(later, monkeypatch)
    hosts.issue(later)
    project.change("demo", lambda site: site.setdefault("labels", {}).update(ring="canary"))
    done = project.edge("up", "demo", "--rehearse")
    assert done.code == 0, done.stdout
    assert "the kubeconfig of the stack was read again: it was valid until" in done.stdout


def test_hosts_that_give_out_an_expired_one_end_in_a_failed_run(
    project: Project, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = datetime.now(UTC)
    hosts.issue(born)
    assert project.edge("up", "demo", "--rehearse").code == 0
    at(born + timedelta(days=400), monkeypatch)
    failed = project.edge("up", "demo", "--rehearse")
    assert failed.code == 1, failed.stdout
    assert "was valid until" in failed.stdout
    assert "pulumi up --stack demo --replace" in failed.stdout


def test_a_cluster_that_refuses_the_new_one_too_ends_in_a_failed_run(
    project: Project, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.issue(datetime.now(UTC))
    assert project.edge("up", "demo", "--rehearse").code == 0
    monkeypatch.setattr(ClusterAccess, "refused", lambda _self, _said: "it answers: unauthorized (401)")
    for command in ("preview", "up"):
        failed = project.edge(command, "demo", "--rehearse", "--json")
        assert failed.code == 1, failed.stdout
        assert "unauthorized (401). This cluster is not offline." in failed.document["error"]["what"]
        assert failed.document["error"]["remedies"]
