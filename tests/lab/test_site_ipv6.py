"""A site without IPv4, and all that it needs at IPv6 addresses: from nothing to the model that answers, and back.

One story, in the order in which the tests stand. What is IPv4 on the hosts is their loopback, and their tailnet's own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_network
from socket import AF_INET6

import pytest

from edge.hosts.contact import unusable
from edge.hosts.login import Login
from lab.hosts.network import has_ipv6
from lab.hosts.system import LabError, wait_until
from lab.inference import client
from lab.outside import IPV6
from lab.whole import MODEL_HOST, SERVER, Whole
from stacks.loader import load_site
from tests.lab import inference_answers
from tests.lab.conftest import own_whole_site
from tests.lab.k3s_site import wait_for
from tests.lab.probe_pod import pod

PODS, SERVICES = ip_network(IPV6["pod_cidr"]), ip_network(IPV6["service_cidr"])
HOSTS = (SERVER, MODEL_HOST)


@dataclass(frozen=True)
class Story:
    """The site, and what its hosts held before it came."""

    site: Whole
    before: dict[str, set[str]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with own_whole_site(tmp_path_factory.mktemp("ipv6"), names=HOSTS, ipv6=True) as site:
        yield Story(site, {name: site.held(name) for name in HOSTS})


@pytest.fixture
def site(story: Story) -> Whole:
    return story.site


def test_its_hosts_have_no_ipv4_address(site: Whole) -> None:
    for name in HOSTS:
        assert site.lab[name].run("ip -4 -brief address | awk '{print $1}'").stdout.split() == ["lo"]


def test_the_site_comes_up_by_one_command(site: Whole) -> None:
    document = site.up()
    assert [finding for finding in document["policies"] if finding["level"] == "mandatory"] == []


def test_nodes_are_ready_by_their_ipv6_addresses(site: Whole) -> None:
    assert site.nodes() == {f"lab-{name}": "True" for name in HOSTS}
    for node in json.loads(site.kubectl("get", "nodes", "--output", "json"))["items"]:
        name = node["metadata"]["name"].removeprefix("lab-")
        addresses = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert addresses == [site.lab[name].address6]
        assert ip_network(node["spec"]["podCIDR"]).subnet_of(PODS)  # type: ignore[arg-type]


def test_flux_has_applied_the_signed_commit(site: Whole) -> None:
    wait_for("Flux applied the source", lambda: site.word() == "first")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_model_answers(site: Whole, protocol: client.Protocol) -> None:
    inference_answers.check(site.infer(inference_answers.picture(), protocol=protocol))


def test_telemetry_of_all_hosts_and_of_the_model_is_counted_at_the_gateway(site: Whole) -> None:
    def arrived() -> bool:
        points = site.world.gateway.metrics()
        hosts = {point.resource.get("host.name") for point in points if point.name.startswith("system.")}
        return {"lab-a", "lab-b"} <= hosts and any(point.name.startswith("nv_") for point in points)

    wait_for("readings of all hosts and of the model", arrived, seconds=150)


def test_every_host_is_in_the_tailnet(site: Whole) -> None:
    assert {name for name, one in site.world.headscale.devices().items() if one.online} == {"lab-a", "lab-b"}


def test_a_second_up_changes_nothing(site: Whole) -> None:
    counts = site.up()["counts"]
    assert counts["same"] == sum(counts.values())


def test_edge_reaches_the_hosts_by_ipv6(site: Whole) -> None:
    login = Login({"ssh-private-key": site.lab.operator_key.read_text()})
    assert unusable(load_site(site.file), login, HOSTS) == {}


def test_pods_of_two_hosts_reach_each_other_by_address_and_by_name(site: Whole) -> None:
    for name in HOSTS:
        site.lab[SERVER].run("k3s kubectl apply --filename -", stdin=pod(f"server-{name}", host=name))
        site.kubectl("wait", "--for=condition=Ready", f"pod/server-{name}", "--timeout=60s")
    site.kubectl("expose", "pod", "server-b", "--port=80", "--target-port=8080")
    own, other = (
        site.kubectl("get", "pod", f"server-{name}", "--output", "jsonpath={.status.podIP}") for name in HOSTS
    )
    assert ip_address(own) in PODS
    service = site.kubectl("get", "service", "server-b", "--output", "jsonpath={.spec.clusterIP}")
    assert ip_address(service) in SERVICES
    wait_until(lambda: asked(site, f"http://[{other}]:8080") != "", "the pod may connect", deadline_s=60)
    for url in (f"http://[{other}]:8080", f"http://[{service}]", "http://server-b.default.svc.cluster.local"):
        assert asked(site, url).startswith(f"server-b saw [{own}]:"), url


@contextmanager
def listening(address: str) -> Iterator[str]:
    """A web server of this machine that answers who asked; its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.client_address[0].encode())

        def log_message(self, *_: object) -> None:
            return

    class Server(HTTPServer):
        address_family = AF_INET6

    with Server((address, 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://[{address}]:{server.server_port}"
        finally:
            server.shutdown()


def test_pods_leave_the_cluster_with_the_address_of_their_host(site: Whole) -> None:
    with listening(site.lab.layout.gateway6) as url:
        assert asked(site, url) == site.lab[SERVER].address6


def asked(site: Whole, url: str) -> str:
    """What ``url`` answers to a pod on host a; empty where it does not."""
    return site.lab[SERVER].run(f"k3s kubectl exec server-a -- /probe get {url}", check=False).stdout


def test_destroy_leaves_clean_hosts(site: Whole, story: Story) -> None:
    done = site.edge("destroy", "lab", "--yes", "--json")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for name in HOSTS:
        # A host leaves the tailnet when the session that tells it to has ended.
        with suppress(LabError):
            wait_for("it is as it was", lambda: site.held(name) == story.before[name], seconds=40)  # noqa: B023
        assert site.held(name) ^ story.before[name] == set()
        tables = site.lab[name].run("ip6tables-save | grep -c -e KUBE- -e FLANNEL || true").stdout
        assert tables.strip() == "0"
        assert str(PODS).partition("::")[0] not in site.lab[name].run("ip -6 route").stdout
