"""Labels that a site no longer writes are taken off the Nodes: K3s adds labels and removes none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from components.host.machine import Machine
from components.k3s.plan import plan_cluster, plan_node
from tests.components.k3s.test_scripts import AGENT_STDIN, HEALTHZ, STDIN, box, spec_for
from tests.components.site_parts import AGENT, SERVERS
from tests.sandbox import Run, Sandbox, needs_root

__all__ = ["box"]

pytestmark = needs_root

PENDING = "/var/lib/edge/k3s/labels-gone"


def up(box: Sandbox, node: Machine, labels: Mapping[str, str]) -> Run:
    script = plan_node(spec_for(box), node, SERVERS, labels=labels).install
    return box.run(script, stdin=STDIN if node.is_server else AGENT_STDIN, answers=[HEALTHZ])


def labelled(ran: Run) -> list[str]:
    return [call.partition(" label node ")[2] for call in ran.calls if " label node " in call]


@pytest.fixture(params=[SERVERS[0], AGENT], ids=["server", "agent"])
def node(request: pytest.FixtureRequest, box: Sandbox) -> Machine:
    """A node that is up with the labels `ring` and `example.com/line`."""
    machine: Machine = request.param
    release = box.mirror / "k3s"
    release.write_text(release.read_text() + 'case " $* " in *" label "*) [ ! -e "$SANDBOX/no-labels" ] ;; esac\n')
    if machine.is_server:
        assert box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_permit).code == 0
    ran = up(box, machine, {"ring": "canary", "example.com/line": "3"})
    assert ran.code == 0, ran.stderr
    assert labelled(ran) == [], "a new node has none too many"
    return machine


def test_a_label_that_is_no_longer_written_is_removed_once(box: Sandbox, node: Machine) -> None:
    ran = up(box, node, {"ring": "canary"})
    assert ran.code == 0, ran.stderr
    assert labelled(ran) == [f"{node.node} example.com/line-"]
    assert labelled(up(box, node, {"ring": "canary"})) == []


def test_a_label_with_another_value_stays(box: Sandbox, node: Machine) -> None:
    ran = up(box, node, {"ring": "stable", "example.com/line": "3"})
    assert (ran.code, labelled(ran)) == (0, [])


def test_a_run_that_ended_before_the_label_was_gone_is_made_up_for(box: Sandbox, node: Machine) -> None:
    (box.home / "no-labels").touch()
    broken = up(box, node, {})
    assert broken.code == 1
    assert "the labels example.com/line ring could not be removed" in broken.stderr
    (box.home / "no-labels").unlink()
    assert labelled(up(box, node, {})) == [f"{node.node} example.com/line- ring-"]
    assert not box.path(PENDING).exists()


def test_a_label_that_is_written_again_before_it_was_gone_stays(box: Sandbox, node: Machine) -> None:
    box.path(PENDING).write_text("ring\n")
    ran = up(box, node, {"ring": "canary", "example.com/line": "3"})
    assert (ran.code, labelled(ran)) == (0, [])
    assert not box.path(PENDING).exists()
