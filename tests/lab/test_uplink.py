"""A whole site whose uplink is gone for a while: what it goes on doing meanwhile, and what it catches up on afterwards.

Two minutes, unless EDGE_LAB_UPLINK_LOSS_S says otherwise: `make lab-hour` has it gone for an hour.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from components.telemetry.plan import NAMESPACE
from lab.site import sessions
from lab.whole import NAMES, Whole, source
from tests.lab import inference_answers
from tests.lab.conftest import own_whole_site
from tests.lab.k3s_site import wait_for
from tests.lab.otlp import RETRY_S, SCRAPE_S, send_log

LOSS_S = float(os.environ.get("EDGE_LAB_UPLINK_LOSS_S", "120"))
ROUND_S = 15


@dataclass
class Outage:
    """What went on at a site while nobody could see it."""

    site: Whole
    since_ns: int = 0
    until_ns: int = 0
    sent: list[str] = field(default_factory=list)
    """Log records that its collectors took."""
    rounds: int = 0
    """How often the site was looked at: when the uplink was just gone, and until shortly before it came back."""
    answers: int = 0
    """How often the model answered as it should."""
    words: set[str] = field(default_factory=set)
    """What Flux had applied."""
    nodes: list[dict[str, str]] = field(default_factory=list)

    def collector(self, name: str) -> str:
        """Address of a host's collector."""
        pod = ("get", "pod", f"otel-{name}-0", f"--namespace={NAMESPACE}")
        return self.site.kubectl(*pod, "--output", "jsonpath={.status.podIP}")

    def last(self, seconds: float) -> None:
        """Takes the uplink away for so long. Everything asked is asked on the hosts themselves."""
        lab, addresses = self.site.lab, {name: self.collector(name) for name in NAMES}
        lab.cut_uplink()
        try:
            self.since_ns, began = time.time_ns(), time.monotonic()
            for word in ("second", "third"):
                self.site.world.git.commit(source(word))
            for number in itertools.count():
                for name in NAMES:
                    text = f"without uplink {number} on {name}"
                    send_log(addresses[name], text, on=lab[name])
                    self.sent.append(text)
                inference_answers.check(self.site.infer(inference_answers.picture()))
                self.answers += 1
                self.words.add(self.site.word())
                self.nodes.append(self.site.nodes())
                self.rounds += 1
                left = began + seconds - time.monotonic()
                # However slow this machine is, one look at the beginning and one later.
                if left <= 0 and self.rounds > 1:
                    break
                # Time is what this is about.
                time.sleep(min(ROUND_S, max(left, 0)))
            self.until_ns = time.time_ns()
        finally:
            lab.restore_uplink()


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    """It is over, and the site was left to itself."""
    with own_whole_site(tmp_path_factory.mktemp("uplink")) as site:
        site.up()
        wait_for("Flux applied the source", lambda: site.word() == "first")
        inference_answers.check(site.infer(inference_answers.picture()))
        made = Outage(site)
        made.last(LOSS_S)
        yield made


def test_while_it_lasts_nodes_stay_ready_and_the_model_answers(outage: Outage) -> None:
    assert outage.answers == len(outage.nodes) == outage.rounds >= 2
    assert all(nodes == {"lab-a": "True", "lab-b": "True", "lab-c": "True"} for nodes in outage.nodes)


def test_commits_made_meanwhile_are_caught_up_on(outage: Outage) -> None:
    assert outage.words == {"first"}
    wait_for("the last commit is applied", lambda: outage.site.word() == "third", seconds=180)


def test_no_record_that_was_taken_meanwhile_is_lost(outage: Outage) -> None:
    def arrived() -> Counter[str]:
        return Counter(record.name for record in outage.site.world.gateway.logs())

    wait_for("every record", lambda: set(arrived()) >= set(outage.sent), seconds=RETRY_S)
    assert len(set(outage.sent)) == len(outage.sent) == outage.answers * len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_reading_that_was_made_meanwhile_is_lost(outage: Outage, name: str) -> None:
    def times() -> list[int]:
        found = {
            point.time_ns
            for point in outage.site.world.gateway.metrics()
            if point.name == "system.memory.usage" and point.resource.get("host.name") == f"lab-{name}"
        }
        return sorted(found)

    def longest_gap_s() -> float:
        meanwhile = [each for each in times() if outage.since_ns < each < outage.until_ns]
        marks = [outage.since_ns, *meanwhile, outage.until_ns]
        return max(after - before for before, after in itertools.pairwise(marks)) / 1e9

    wait_for("every reading", lambda: longest_gap_s() < 2 * SCRAPE_S, seconds=RETRY_S)


def test_hosts_come_back_to_the_tailnet(outage: Outage) -> None:
    def online() -> set[str]:
        return {name for name, device in outage.site.world.headscale.devices().items() if device.online}

    wait_for("all hosts are online", lambda: online() == {"lab-a", "lab-b", "lab-c"}, seconds=120)


def test_nothing_has_to_be_changed_afterwards_and_hosts_are_as_planned(outage: Outage) -> None:
    before = sum(sessions(outage.site.lab[name]) for name in NAMES)
    done = outage.site.edge("up", "lab", "--yes", "--drift", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert document["counts"]["same"] == sum(document["counts"].values())
    assert document["drift"]["counts"]["differences"] == 0
    assert sum(sessions(outage.site.lab[name]) for name in NAMES) - before == len(NAMES)
