"""From nothing: `edge up lab` brings a whole site up on three hosts, with everything real around it.

Objects of Kubernetes are the official plugin's; other files have whole sites by the lab's own.

One story, in the order in which the tests stand: K3s on a server and two agents, a tailnet, Flux, collectors, a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.site import sessions
from lab.whole import MODEL_HOST, NAMES, Whole
from tests.lab import inference_answers
from tests.lab.conftest import official_kubernetes, own_whole_site
from tests.lab.k3s_site import wait_for


@dataclass(frozen=True)
class Story:
    """The site, and what its hosts held before it came."""

    site: Whole
    before: dict[str, set[str]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with official_kubernetes(), own_whole_site(tmp_path_factory.mktemp("whole")) as site:
        yield Story(site, {name: site.held(name) for name in NAMES})


@pytest.fixture
def whole(story: Story) -> Whole:
    return story.site


def test_a_whole_site_comes_up_by_one_command(whole: Whole) -> None:
    document = whole.up()
    assert document["counts"]["create"] == sum(document["counts"].values()) > 50
    assert [finding for finding in document["policies"] if finding["level"] == "mandatory"] == []


def test_all_nodes_are_ready(whole: Whole) -> None:
    assert whole.nodes() == {"lab-a": "True", "lab-b": "True", "lab-c": "True"}


def test_flux_has_applied_the_signed_commit(whole: Whole) -> None:
    wait_for("Flux applied the source", lambda: whole.word() == "first")


def test_the_model_answers(whole: Whole) -> None:
    inference_answers.check(whole.infer(inference_answers.picture()))


def test_telemetry_of_all_hosts_and_of_the_model_is_counted_at_the_gateway(whole: Whole) -> None:
    def arrived() -> bool:
        points = whole.world.gateway.metrics()
        hosts = {point.resource.get("host.name") for point in points if point.name.startswith("system.")}
        names = {point.name.partition("_")[0] for point in points}
        seen[:] = [sorted(map(str, hosts)), sorted(names)]
        return {"lab-a", "lab-b", "lab-c"} <= hosts and "nv" in names

    seen: list[list[str]] = []
    wait_for(f"readings of all hosts and of the model; there are {seen}", arrived, seconds=150)


def test_every_host_is_in_the_tailnet(whole: Whole) -> None:
    assert set(whole.world.headscale.devices()) == {"lab-a", "lab-b", "lab-c"}


def test_a_second_up_changes_nothing_and_opens_no_more_sessions_than_there_are_hosts(whole: Whole) -> None:
    before = sum(sessions(whole.lab[name]) for name in NAMES)
    counts = whole.up()["counts"]
    assert counts["same"] == sum(counts.values())
    assert sum(sessions(whole.lab[name]) for name in NAMES) - before <= len(NAMES)


def test_up_looks_at_the_hosts_as_well_where_it_is_asked_to(whole: Whole) -> None:
    def looked() -> tuple[int, list[tuple[str, str, str | None]]]:
        done = whole.edge("up", "lab", "--yes", "--drift", "--json")
        document = json.loads(done.stdout)
        assert document["counts"]["same"] == sum(document["counts"].values())
        (site,) = document["drift"]["sites"]
        assert [host["not_reached"] for host in site["hosts"]] == [None, None, None]
        assert done.returncode == document["exit"]
        found = [(host["host"], one["name"], one["found"]) for host in site["hosts"] for one in host["differences"]]
        return done.returncode, found

    before = sum(sessions(whole.lab[name]) for name in NAMES)
    assert looked() == (0, [])
    assert sum(sessions(whole.lab[name]) for name in NAMES) - before == len(NAMES)
    whole.lab["c"].run("sysctl --write vm.overcommit_memory=0")
    assert looked() == (1, [("lab-c", "vm.overcommit_memory", "0")])
    whole.lab["c"].run("sysctl --write vm.overcommit_memory=1")


def test_a_dead_agent_is_replaced_by_a_plain_up_and_the_model_answers_again(whole: Whole) -> None:
    whole.replace(MODEL_HOST)
    whole.up()
    assert whole.nodes() == {"lab-a": "True", "lab-b": "True", "lab-c": "True"}
    inference_answers.check(whole.infer(inference_answers.picture(), deadline_s=180))
    assert set(whole.world.headscale.devices()) == {"lab-a", "lab-b", "lab-c"}


def test_no_secret_is_in_a_log_or_a_process_of_a_host(whole: Whole) -> None:
    for name in NAMES:
        shown = whole.lab[name].run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager").stdout
        for key, value in whole.world.secrets.items():
            assert value not in shown, (key, name)


def test_destroy_leaves_hosts_as_they_were(whole: Whole, story: Story) -> None:
    done = whole.edge("destroy", "lab", "--yes", "--json")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for name in NAMES:
        # A host leaves the tailnet when the session that tells it to has ended.
        wait_for(f"{name} is as it was", lambda: whole.held(name) == story.before[name], seconds=120)  # noqa: B023
