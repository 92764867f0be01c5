"""The first `up` of a site, when much is not known yet: policies judge each value once it is, and refuse nothing."""

from __future__ import annotations

import json

import pytest

from tests.edge.clones import Clone

pytestmark = pytest.mark.engine


def first_up(clone: Clone, site: str) -> set[str]:
    """Brings ``site`` up from nothing; the rules that could not judge something before."""
    done = clone.edge("up", site, "--rehearse", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["counts"]["create"] == sum(document["counts"].values()) > 0
    return {one["rule"] for one in document["policies"] if "not known before deployment" in one["message"]}


def test_a_cluster_whose_address_aws_makes_comes_up(clone: Clone) -> None:
    assert {"aws/no-secret-in-user-data", "secrets/no-secret-in-command"} <= first_up(clone, "outpost-frankfurt")


def test_an_instance_whose_first_host_key_the_stack_makes_comes_up(clone: Clone) -> None:
    clone.replace("stacks/sites/outpost-seattle.yaml", "host_key_from: user-data", "host_key_from: first-contact")
    assert "host/pinned-host-key" in first_up(clone, "outpost-seattle")
