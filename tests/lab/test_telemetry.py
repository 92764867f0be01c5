"""Telemetry for real: a collector that outlives its gateway's absence and its own death, and a site's collectors.

Two stories side by side, since the first is mostly waiting: on host c the collector alone with the configuration that
the component renders; on a and b a site by the project's own program.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.restricted import container_security, pod_security
from components.telemetry import collector as rendered
from components.telemetry.plan import NAMESPACE
from components.telemetry.spec import TelemetrySpec
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.cluster import Cluster, cluster_site
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.kubernetes.build import PROBE_IMAGE
from lab.oci.registry import Registry
from lab.telemetry import busybox, collector
from lab.telemetry.gateway import Gateway, Received
from tests.lab.k3s_site import wait_for
from tests.lab.otlp import RETRY_S, SCRAPE_S, send_log

TOKEN = "lab-telemetry-token-0123456789abcdef"
# An exporter left to its defaults gives up what it could not send within 300 s.
OUTAGE_S = 310

# In two pieces, so that no scanner takes it for real.
SECRET = "glc_" + "eyJvIjoiMTIzNDU2IiwibiI6ImVkZ2UiLCJrIjoiYWJj"

SERVICE = "otel"
PROGRAM = "/usr/local/bin/otelcol-contrib"
FILES = ("/etc/otelcol/config.yaml", rendered.TOKEN_FILE)
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
INSTALL = f"""
set -e
install -d /etc/otelcol {rendered.TOKEN_FILE.rpartition("/")[0]} {ACCOUNT}
# There is no Kubernetes on this host: its kubelet is one that does not answer.
cp /usr/local/share/ca-certificates/edge-lab.crt {ACCOUNT}/ca.crt
echo none >{ACCOUNT}/token
"""
REMOVE = f"""
systemctl stop {SERVICE} 2>/dev/null; systemctl reset-failed {SERVICE} 2>/dev/null
rm -rf {PROGRAM} /etc/otelcol /etc/otelcol-credentials /var/lib/otelcol {ACCOUNT}
"""


def texts(gateway: Gateway) -> set[str]:
    return {record.name for record in gateway.logs()}


def shown(host: LabHost) -> str:
    """What any process of the host, and whoever reads its logs, gets to see."""
    places = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager; cat /var/log/pods/*/*/*.log"
    return host.run(f"({places}) 2>/dev/null", check=False).stdout


@dataclass
class Alone:
    """The collector as a service of one host, and the gateway that it sends to."""

    host: LabHost
    gateway: Gateway
    sent: list[str] = field(default_factory=list)
    away_since: float = 0
    """On the monotonic clock: since when all of `sent` has been waiting."""

    def start(self) -> None:
        variables = {"POD_IP": self.host.address, "K8S_NODE_IP": "127.0.0.1", "K8S_NODE_NAME": "lab-c"}
        words = " ".join(f"--setenv={name}={value}" for name, value in variables.items())
        self.host.run(
            f"systemd-run --quiet --unit={SERVICE} --property=User=nobody --property=StateDirectory=otelcol {words}"
            f" {PROGRAM} --config={FILES[0]}"
        )
        try:
            wait_for("the collector is healthy", self.healthy, seconds=30)
        except AssertionError:
            pytest.fail(self.journal()[-3000:])

    def kill(self) -> None:
        """As a power cut would: it is not asked."""
        self.host.run(f"systemctl kill --signal=KILL {SERVICE}")
        wait_for(
            "systemd has seen it die",
            lambda: self.host.run(f"systemctl is-active {SERVICE}", check=False).stdout.strip() != "active",
        )
        self.host.run(f"systemctl reset-failed {SERVICE}", check=False)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host.address}:{rendered.HEALTH_PORT}/", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def send(self, count: int) -> None:
        for _ in range(count):
            text = f"record {len(self.sent)}"
            send_log(self.host.address, text, on=self.host)
            self.sent.append(text)

    def journal(self) -> str:
        return self.host.run(f"journalctl --no-pager --unit={SERVICE}").stdout


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as made:
        yield made


@pytest.fixture(scope="module")
def alone(lab: Lab, authority: Authority) -> Iterator[Alone]:
    """Fed with the gateway there, without it, and killed in between; the gateway is still away."""
    try:
        program = collector.program()
    except EngineError as error:
        pytest.skip(str(error))
    host = lab["c"]
    spec = TelemetrySpec.model_validate(
        {"gateway": f"https://{lab.layout.gateway}:4319", "image": f"docker.io/x/y@sha256:{'0' * 64}"}
    )
    text = rendered.configuration(spec, site="lab", tier="near", region="lab", labels={"customer": "acme"}, scrapes=())
    with Gateway(authority, lab.layout.gateway, TOKEN, port=4319) as gateway, ExitStack() as stack:
        stack.callback(host.run, REMOVE)
        host.run(authority.trust_script())
        host.run(INSTALL)
        with program.open("rb") as content:
            subprocess.run(host.enter("sh", "-c", f"cat >{PROGRAM} && chmod 755 {PROGRAM}"), stdin=content, check=True)
        for path, said in zip(FILES, (text, TOKEN), strict=True):
            host.run(f"install -m 440 -g nogroup /dev/stdin {path}", stdin=said)
        made = Alone(host, gateway)
        made.start()
        made.send(20)
        wait_for("the first records reach the gateway", lambda: texts(gateway) == set(made.sent), seconds=60)
        gateway.stop()
        made.send(200)
        made.kill()
        made.start()
        made.send(200)
        made.away_since = time.monotonic()
        yield made


def test_a_collector_takes_and_keeps_what_its_gateway_cannot_take(alone: Alone) -> None:
    assert alone.healthy()
    assert len(texts(alone.gateway)) == 20


@dataclass
class Telemetered:
    """A site with Kubernetes and telemetry, and its gateway."""

    cluster: Cluster
    gateway: Gateway
    telemetry: dict[str, Any]

    def up(self) -> dict[str, str]:
        self.cluster.write("a", agents=("b",), labels={"customer": "acme"}, telemetry=self.telemetry)
        return self.cluster.site.up()

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", *arguments, "--output", "json"))
        return found

    def claims(self) -> dict[str, tuple[str, str]]:
        """Identity and state of each claim, by name: queues, and logs of pods."""
        found = self.get(f"--namespace={NAMESPACE}", "persistentvolumeclaims")["items"]
        return {item["metadata"]["name"]: (item["metadata"]["uid"], item["status"]["phase"]) for item in found}

    def pod(self, host: str) -> dict[str, Any]:
        """Status of the host's collector."""
        status: dict[str, Any] = self.get(f"--namespace={NAMESPACE}", "pod", f"otel-{host}-0")["status"]
        return status

    def address(self, host: str) -> str:
        return str(self.pod(host)["podIP"])

    def ready(self, host: str) -> bool:
        found = self.get(f"--namespace={NAMESPACE}", "pods", f"--selector=app.kubernetes.io/instance={host}")["items"]
        return any(
            (condition["type"], condition["status"]) == ("Ready", "True")
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            for condition in pod["status"].get("conditions", ())
        )

    def restarts(self, host: str) -> int:
        return int(self.pod(host)["containerStatuses"][0]["restartCount"])

    def measured(self, node: str, prefix: str) -> list[Received]:
        return [
            point
            for point in self.gateway.metrics()
            if point.name.startswith(prefix) and point.resource.get("k8s.node.name") == node
        ]


@pytest.fixture(scope="module")
def site(alone: Alone, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telemetered]:
    address = lab.layout.gateway
    with cluster_site(lab, tmp_path_factory.mktemp("telemetry") / "site", ("a", "b")) as cluster:
        images = {**collector.images(cluster.authority), **busybox.images()}
        with (
            Registry(cluster.authority, address, images) as registry,
            Gateway(cluster.authority, address, TOKEN, user="123456") as gateway,
        ):
            cluster.k3s["registries"] = {"*": {"endpoints": [f"https://{registry.host}"]}}
            cluster.site.secret("telemetry-token", TOKEN)
            asked = {"pod_logs": {}, "events": {}, "host_health": True, "workload_names": True}
            made = Telemetered(cluster, gateway, gateway.site_block(collector.reference(images), **asked))
            made.up()
            yield made


def test_each_host_has_a_queue_on_its_own_disk(site: Telemetered) -> None:
    states = {name: state for name, (_, state) in site.claims().items()}
    names = [f"{what}-{host}" for host in ("a", "b") for what in ("host-health", "pod-logs", "queue-otel")]
    assert states == {f"{name}-0" if "queue" in name else name: "Bound" for name in names}
    for name in ("a", "b"):
        found = (
            site.cluster.host(name).run("find /var/lib/rancher/k3s/storage -path '*/*queue-otel-*/exporter*'").stdout
        )
        assert found.splitlines(), name
        assert all(f"queue-otel-{name}-0" in line for line in found.splitlines())


@pytest.mark.parametrize("node", ["lab-a", "lab-b"])
@pytest.mark.parametrize("prefix", ["system.cpu.", "system.memory.", "system.filesystem.", "k8s.node.", "otelcol_"])
def test_what_a_host_measures_reaches_the_gateway(site: Telemetered, node: str, prefix: str) -> None:
    wait_for(f"{prefix} of {node}", lambda: bool(site.measured(node, prefix)), seconds=3 * SCRAPE_S)
    resource = site.measured(node, prefix)[0].resource
    told = {key: value for key, value in resource.items() if key.startswith("edge.")}
    assert told == {"edge.site": "lab", "edge.tier": "near", "edge.region": "lab", "edge.label.customer": "acme"}
    assert (resource["k8s.cluster.name"], resource["host.name"]) == ("lab", node)


def test_what_a_workload_sends_reaches_the_gateway_under_its_hosts_name(site: Telemetered) -> None:
    send_log(site.address("b"), "from a workload", on=site.cluster.host("b"))
    wait_for("the record", lambda: "from a workload" in texts(site.gateway), seconds=60)
    (found,) = [record for record in site.gateway.logs() if record.name == "from a workload"]
    assert found.resource["host.name"] == "lab-b"


TELLER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "teller"},
    "spec": {
        "selector": {"matchLabels": {"app": "teller"}},
        "template": {
            "metadata": {"labels": {"app": "teller"}},
            "spec": {
                "nodeName": "lab-b",
                "containers": [
                    {
                        "name": "probe",
                        "image": PROBE_IMAGE,
                        "imagePullPolicy": "Never",
                        # It writes what it could not reach, and ends.
                        "args": ["get", f"http://127.0.0.1:1/told-by-a-pod?key={SECRET}"],
                        "securityContext": container_security(),
                    }
                ],
                "securityContext": pod_security(65532),
            },
        },
    },
}


def test_a_line_that_a_pod_wrote_reaches_the_gateway_with_its_names_and_without_its_secret(site: Telemetered) -> None:
    site.cluster.host("a").run("k3s kubectl apply --filename=-", stdin=json.dumps(TELLER))

    def lines() -> list[Received]:
        # The first one may be read before the API has told the collector of the pod.
        told = [record for record in site.gateway.logs() if "told-by-a-pod" in record.name]
        return [record for record in told if "k8s.deployment.name" in record.resource]

    try:
        wait_for("a line of the pod", lambda: bool(lines()), seconds=120)
    finally:
        site.cluster.kubectl("delete", "deployment", "teller")
    line, resource = lines()[-1], lines()[-1].resource
    assert line.attributes == {"log.iostream": "stderr"}
    assert {key: value for key, value in resource.items() if key.startswith("k8s.") and key != "k8s.pod.name"} == {
        "k8s.cluster.name": "lab",
        "k8s.container.name": "probe",
        "k8s.deployment.name": "teller",
        "k8s.namespace.name": "default",
        "k8s.node.name": "lab-b",
    }
    assert resource["k8s.pod.name"].startswith("teller-")
    assert not any(SECRET in record.name for record in site.gateway.logs())


def test_an_event_of_the_site_reaches_the_gateway_once(site: Telemetered) -> None:
    def told() -> list[Received]:
        events = [
            record for record in site.gateway.logs() if record.resource.get("service.name") == "kubernetes-events"
        ]
        return [record for record in events if record.resource["k8s.object.name"] == "teller"]

    # The controller said so when the test before made the Deployment, and will not do so again.
    wait_for("the event of the Deployment", lambda: bool(told()), seconds=60)
    scaled = [record for record in told() if record.attributes["k8s.event.reason"] == "ScalingReplicaSet"]
    assert len(scaled) == 1
    assert scaled[0].name.startswith("Scaled up replica set teller-")


@pytest.mark.parametrize("node", ["lab-a", "lab-b"])
def test_what_only_the_host_itself_sees_reaches_the_gateway(site: Telemetered, node: str) -> None:
    """By its own timer, in a file that the container beside the collector reads."""
    wait_for("the link of the host", lambda: bool(site.measured(node, "edge_link_up")), seconds=3 * SCRAPE_S)
    assert {point.attributes["device"] for point in site.measured(node, "edge_link_up")} == {"eth0"}
    assert site.measured(node, "edge_queue_files_damaged_total"), "of the same container"


def test_collectors_send_no_line_of_their_own(site: Telemetered) -> None:
    lines = [record for record in site.gateway.logs() if "log.iostream" in record.attributes]
    namespaces = {record.resource.get("k8s.namespace.name") for record in lines}
    assert "kube-system" in namespaces
    assert NAMESPACE not in namespaces


def test_a_collector_may_read_pods_and_write_nothing(site: Telemetered) -> None:
    def may(*what: str) -> str:
        who = f"--as=system:serviceaccount:{NAMESPACE}:otel"
        return site.cluster.host("a").run(f"k3s kubectl auth can-i {' '.join(what)} {who}", check=False).stdout.strip()

    assert may("list", "pods", "--all-namespaces") == "yes"
    assert may("list", "events", "--all-namespaces") == "yes", "they send them"
    for what in ("list secrets", "list namespaces", "delete events", "delete pods", "create pods", "list nodes"):
        assert may(*what.split(), "--all-namespaces") == "no", what


def test_the_logs_of_pods_stay_as_the_kubelet_made_them(site: Telemetered) -> None:
    host = site.cluster.host("b")
    owners = host.run("find /var/log/pods -printf '%u:%g %m\\n' | sort -u").stdout.splitlines()
    assert {line.partition(" ")[0] for line in owners} == {"root:root"}, owners


def test_a_second_up_changes_nothing(site: Telemetered) -> None:
    assert site.up() == {}


def test_a_longer_outage_to_endure_changes_the_collectors_and_keeps_their_queues(site: Telemetered) -> None:
    before = site.claims()
    site.telemetry["offline_hours"] = 25
    touched = site.up()
    assert {"lab-a-telemetry", "lab-b-telemetry"} <= set(touched)
    assert all("telemetry" in name for name in touched), touched
    assert site.claims() == before
    assert site.ready("a")
    assert site.ready("b")


def test_collectors_have_nothing_to_complain_of(site: Telemetered) -> None:
    for host in ("a", "b"):
        logs = site.cluster.kubectl("logs", f"--namespace={NAMESPACE}", f"otel-{host}-0", "--container=collector")
        lines = logs.splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        assert said
        complaints = [entry["msg"] for entry in said if entry["level"] not in ("debug", "info")]
        # The client of the API writes lines of its own, which begin with their level.
        complaints += [line for line in lines if not line.startswith(("{", "I"))]
        # Of file systems a collector measures the one of its queue, and that is the container's.
        assert [each for each in complaints if not each.startswith("No `root_path` config set")] == []
        for beside in ("check-queue", "host-metrics"):
            words = ("logs", f"--namespace={NAMESPACE}", f"otel-{host}-0", f"--container={beside}")
            assert site.cluster.kubectl(*words) == "", beside


def test_a_host_without_uplink_keeps_what_it_is_sent_and_what_it_measures(site: Telemetered) -> None:
    host, address = site.cluster.host("b"), site.address("b")
    sent = {f"without uplink {number}" for number in range(50)}
    restarts = site.restarts("b")
    host.cut()
    try:
        since = time.time_ns()
        for text in sent:
            send_log(address, text, on=host)
        wait_for("two readings are due", lambda: time.time_ns() - since > 2 * SCRAPE_S * 1e9, seconds=3 * SCRAPE_S)
        until = time.time_ns()
        assert not texts(site.gateway) & sent
    finally:
        host.restore()

    def readings() -> int:
        times = {point.time_ns for point in site.measured("lab-b", "system.memory.usage")}
        return sum(since < each < until for each in times)

    wait_for("what it was sent", lambda: texts(site.gateway) >= sent, seconds=RETRY_S)
    wait_for("what it measured", lambda: readings() >= 2, seconds=RETRY_S)
    assert site.restarts("b") == restarts


def test_a_reimaged_host_has_a_collector_with_a_new_queue(site: Telemetered) -> None:
    site.cluster.reimage("b")
    site.up()
    wait_for("the collector of the new host is ready", lambda: site.ready("b"), seconds=180)
    send_log(site.address("b"), "from the new host", on=site.cluster.host("b"))
    wait_for("its record", lambda: "from the new host" in texts(site.gateway), seconds=60)


def test_the_sites_token_is_in_no_log_and_on_no_command_line(site: Telemetered) -> None:
    for name in ("a", "b"):
        seen = shown(site.cluster.host(name))
        assert "otelcol" in seen
        assert TOKEN not in seen
    assert TOKEN not in site.gateway.log


def test_destroy_takes_the_collectors_and_their_volumes_along(site: Telemetered) -> None:
    assert set(site.cluster.site.destroy().values()) == {"delete"}
    assert site.cluster.left("a") == set()
    assert "otelcol" not in site.cluster.host("b").run("ps -eo args").stdout
    assert site.cluster.host("b").run("ls /var/lib/rancher /var/lib/kubelet 2>/dev/null", check=False).stdout == ""


def test_nothing_is_lost_in_an_outage_longer_than_a_default_exporter_endures(alone: Alone) -> None:
    wait_for("the outage is long enough", lambda: time.monotonic() - alone.away_since > OUTAGE_S, seconds=OUTAGE_S + 5)
    assert len(texts(alone.gateway)) == 20
    alone.gateway.start()
    wait_for("everything that was taken", lambda: texts(alone.gateway) >= set(alone.sent), seconds=RETRY_S)
    assert texts(alone.gateway) == set(alone.sent)

    def without_gaps() -> bool:
        """Whether all readings are there. They come in any order: each waits for a retry of its own."""
        times = sorted({point.time_ns for point in alone.gateway.metrics() if point.name == "system.memory.usage"})
        gaps = [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times)]
        return len(times) > OUTAGE_S / SCRAPE_S and max(gaps) < SCRAPE_S + 10

    wait_for("readings without a gap", without_gaps, seconds=RETRY_S)


def test_the_token_is_in_no_log_and_on_no_command_line(alone: Alone) -> None:
    seen = shown(alone.host)
    assert "otelcol" in seen
    assert TOKEN not in seen
    assert TOKEN not in alone.gateway.log
