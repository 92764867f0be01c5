"""A site as nodes and edges: nothing is left out, nothing goes in a circle, and what waits is what `up` lets wait."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import pytest

from components.part import Phase
from edge.run.events import STACK_TYPE, ResourceChange, Run
from edge.run.program import recorded_site
from edge.run.site_graph import Edges, Graph, graph_of, reduced, resources_of, strongest
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import load_site, site_names
from tests.edge.graphs import graph, previewed, recorded, resource, small

HOST = "edge:index:Host"
K3S = "edge:index:K3s"
COMMAND = "command:remote:Command"


def waits_in_the_end(edges: Edges, node: str) -> set[str]:
    """Everything that comes before a node."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for one, other in edges:
            if one == waiting[0] and other not in found:
                found.add(other)
                waiting.append(other)
        waiting.pop(0)
    return found


def before(found: Graph, node: str) -> set[str]:
    return {other for one, other in found.edges if one == node}


@pytest.mark.parametrize("site", site_names())
def test_every_resource_of_a_site_belongs_to_one_node(site: str) -> None:
    _, recording = recorded(site)
    own = [one for one in recording.resources if one.type != "edge:index:EdgeSite"]
    assert sum(node.resources for node in graph(site).nodes) == len(own)


@pytest.mark.parametrize("site", site_names())
def test_nothing_waits_in_a_circle(site: str) -> None:
    found = graph(site)
    for edges in (found.edges, found.box_edges):
        TopologicalSorter({node: [other for one, other in edges if one == node] for node, _ in edges}).prepare()
    names = {node.id for node in found.nodes}
    assert {end for edge in found.edges for end in edge} <= names
    assert {end for edge in found.box_edges for end in edge} <= {node.box for node in found.nodes}


@pytest.mark.parametrize("site", site_names())
def test_hosts_stand_in_the_order_of_the_file_and_what_is_on_them_beside_them(site: str) -> None:
    found = graph(site)
    assert [node.label for node in found.nodes if node.kind == "host"] == [host.name for host in load_site(site).hosts]
    hosts = [node.host for node in found.nodes if node.host]
    assert list(dict.fromkeys(hosts)) == [one for at, one in enumerate(hosts) if at == 0 or hosts[at - 1] != one]


@pytest.mark.parametrize("site", site_names())
def test_what_runs_in_the_cluster_comes_after_all_servers(site: str) -> None:
    found = graph(site)
    servers = {f"host:{host.name}" for host in load_site(site).servers}
    in_cluster = [node.id for node in found.nodes if node.phase is Phase.IN_CLUSTER]
    assert all(servers <= waits_in_the_end(found.box_edges, node) for node in in_cluster)


def test_servers_join_one_after_the_other_and_the_cluster_is_there_when_all_have() -> None:
    found = graph("prod")
    assert "host:a/k3s" in before(found, "host:b/k3s")
    assert "host:b/k3s" in before(found, "host:c/k3s")
    assert "host:b/k3s" not in before(found, "host:a/k3s"), "each waits for the other; the one that is done last waits"
    assert {"host:a/k3s", "host:b/k3s", "host:c/k3s"} <= waits_in_the_end(found.edges, "part:k3s")
    assert "part:k3s" in before(found, "part:flux")


def test_a_host_waits_for_its_jump_host_and_for_the_machine_that_it_is() -> None:
    lyon = graph("shelf-lyon")
    (behind,) = [node for node in lyon.nodes if node.via]
    assert behind.via == "jetson"
    assert "host:jetson" in before(lyon, behind.id)
    seattle = graph("outpost-seattle")
    (machine,) = [node for node in seattle.nodes if node.host and node.label == "outposts"]
    assert machine.id in before(seattle, f"host:{machine.host}")


def test_a_host_has_its_role_its_hardware_and_what_was_added_to_it() -> None:
    assert graph("prod").node("host:c").facts == ("server", "poweredge-xr4000", "nvidia-l4", "10.20.0.13")


def test_two_runs_of_the_program_give_the_same_document() -> None:
    spec, recording = recorded_site("plant-osaka", PROJECT_ROOT)
    again = graph_of(spec, catalogue(), resources_of(reversed(recording.resources)))
    assert again.as_dict() == graph("plant-osaka").as_dict()


def test_a_resource_belongs_to_the_host_with_the_longest_name_that_fits() -> None:
    found = small(
        resource(HOST, "demo-a"),
        resource(HOST, "demo-a-b"),
        resource(K3S, "demo-k3s"),
        resource(COMMAND, "demo-a-b-k3s", f"{K3S}::demo-k3s"),
    )
    assert [node.id for node in found.nodes] == ["host:a", "host:a-b", "host:a-b/k3s", "part:k3s"]


def test_what_a_company_adds_is_drawn_too() -> None:
    bucket = resource("aws:s3:Bucket", "own", "pulumi:pulumi:Stack::stack")
    found = small(resource("other:index:Thing", "demo-thing"), bucket)
    assert [(node.id, node.kind) for node in found.nodes] == [("resource:thing", "resource"), ("outside", "resource")]


def test_a_provider_that_the_engine_adds_is_no_part_of_the_site() -> None:
    assert small(resource("pulumi:providers:command", "default_1_2_1", "pulumi:pulumi:Stack::stack")).nodes == ()


def test_two_parts_that_wait_for_each_other_wait_in_one_direction() -> None:
    first, second = "edge:index:Flux::demo-flux", "edge:index:Telemetry::demo-telemetry"
    found = small(
        resource("edge:index:Flux", "demo-flux"),
        resource("edge:index:Telemetry", "demo-telemetry"),
        resource("x:y:Z", "1", first),
        resource("x:y:Z", "2", second, "x:y:Z::1"),
        resource("x:y:Z", "3", first, "x:y:Z::2"),
    )
    assert found.edges == (("part:flux", "part:telemetry"),)


def test_what_only_the_state_has_is_drawn_as_deleted() -> None:
    spec, recording = recorded("demo")
    run = Run()
    for one in recording.resources:
        run.resources[one.urn] = ResourceChange(one.urn, one.type, one.name, one.parent, "same")
    around = next(one.urn for one in recording.resources if one.type == "edge:index:EdgeSite")
    for kind, name, parent in (
        (STACK_TYPE, "edge-demo", ""),
        (HOST, "demo-old", around),
        (COMMAND, "demo-old-base", f"urn::{HOST}::demo-old"),
        ("edge:index:RancherRegistration", "demo-rancher", around),
    ):
        run.resources[f"urn::{kind}::{name}"] = ResourceChange(f"urn::{kind}::{name}", kind, name, parent, "delete")
    found = graph_of(spec, catalogue(), resources_of(recording.resources, run), "rehearsal")
    gone = {node.id: node for node in found.nodes if node.op == "delete"}
    assert set(gone) == {"host:old", "part:rancher"}
    assert gone["host:old"].operations == {"delete": 2}
    assert gone["host:old"].facts == ("not in the site file",)
    assert all(node.op == "same" for node in found.nodes if node.id not in gone)


@pytest.mark.parametrize(
    ("operations", "word"),
    [
        ({}, None),
        ({"same": 3}, "same"),
        ({"create": 3}, "create"),
        ({"delete": 1}, "delete"),
        ({"create": 1, "same": 2}, "update"),
        ({"delete": 1, "same": 2}, "update"),
        ({"create": 1, "delete": 1}, "update"),
        ({"update": 1, "replace": 1, "same": 1}, "replace"),
    ],
)
def test_a_part_comes_or_goes_only_as_a_whole(operations: Any, word: str | None) -> None:
    assert strongest(operations) == word


def test_what_follows_from_other_edges_is_not_drawn() -> None:
    assert reduced((("b", "a"), ("c", "a"), ("c", "b"), ("d", "a"))) == (("b", "a"), ("c", "b"), ("d", "a"))


def test_the_document_says_what_would_happen_to_each_node() -> None:
    document = previewed("demo", {"demo-a-base": "update"}).as_dict()
    (host,) = [node for node in document["nodes"] if node["id"] == "host:a"]
    assert (host["op"], host["operations"]) == ("update", {"same": 3, "update": 1})
    assert {"node": "part:flux", "waits_for": "part:k3s"} in document["edges"]
    assert "op" not in graph("demo").as_dict()["nodes"][0]
