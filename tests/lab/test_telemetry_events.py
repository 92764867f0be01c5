"""Kubernetes events as the real collector reads them from a real API server, with the rights that the plan gives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from components.telemetry import plan as telemetry
from components.telemetry.collector import QUEUE_DIRECTORY, TOKEN_FILE, configuration
from components.telemetry.plan import NAMESPACE
from components.telemetry.spec import TelemetrySpec
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.hosts.system import LabError, wait_until
from lab.telemetry import collector
from lab.telemetry.gateway import Gateway, Received
from tests.components.site_parts import machine, site_of
from tests.lab.control_plane import control_plane, missing, program

TOKEN = "lab-telemetry-token-0123456789abcdef"
# In two pieces, so that no scanner takes it for real.
SECRET = "glc_" + "eyJvIjoiMTIzNDU2IiwibiI6ImVkZ2UiLCJrIjoiYWJj"
SOON = {"lease_duration": "3s", "renew_deadline": "2s", "retry_period": "500ms"}


@dataclass
class Api:
    """The API server for one who has ``token``."""

    address: str
    authority: str
    token: str

    def asked(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        with urllib3.PoolManager(ca_certs=self.authority) as pool:
            answer = pool.request(
                method,
                f"{self.address}{path}",
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
                timeout=10,
            )
        return answer.status, json.loads(answer.data)

    def make(self, path: str, body: Any) -> Any:
        status, answer = self.asked("POST", path, body)
        assert status == 201, answer
        return answer

    def events(self, name: str) -> list[Any]:
        _, found = self.asked("GET", f"/api/v1/events?fieldSelector=involvedObject.name={name}")
        return list(found["items"])

    @property
    def kubeconfig(self) -> str:
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "lab", "cluster": {"server": self.address, "certificate-authority": self.authority}}
                ],
                "users": [{"name": "lab", "user": {"token": self.token}}],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
                "current-context": "lab",
            }
        )


@dataclass
class Reader:
    """The collector of one host, on this machine."""

    node: str
    folder: Path
    executable: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Returns when it takes part in the election."""
        before = self.said("Starting k8s leader elector")
        with (self.folder / "log").open("ab") as log:
            environment = {
                **os.environ,
                "KUBECONFIG": str(self.folder / "kubeconfig"),
                "K8S_NODE_NAME": self.node,
            }
            command = [str(self.executable), f"--config={self.folder / 'config.yaml'}"]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        wait_until(lambda: self.said("Everything is ready") > before, f"{self.node} is ready", deadline_s=60)

    def kill(self) -> None:
        """As a power cut would."""
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.wait(30)

    def said(self, words: str) -> int:
        log = self.folder / "log"
        return log.read_text().count(words) if log.exists() else 0

    @property
    def turns(self) -> int:
        """How often it has become the one that reads."""
        return self.said("Events Receiver started as leader")


@dataclass
class Site:
    admin: Api
    own: Api
    """For the collectors' account."""
    gateway: Gateway
    a: Reader
    b: Reader

    def tell(self, name: str, message: str = "told by a test") -> None:
        """An event of the object ``name``, as a controller makes it: nobody changes it afterwards."""
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "example.com/teller",
            "reportingInstance": "teller-1",
            "action": "Telling",
            "type": "Normal",
            "reason": "Told",
            "note": message,
            "regarding": {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "default"},
        }
        self.admin.make("/apis/events.k8s.io/v1/namespaces/default/events", event)

    def told(self, name: str) -> list[Received]:
        """Events of the object ``name`` that have reached the gateway."""
        return [each for each in self.gateway.logs() if each.resource.get("k8s.object.name") == name]

    def arrives(self, name: str) -> None:
        wait_until(lambda: bool(self.told(name)), f"the event of {name} is at the gateway", deadline_s=60)


def spec(gateway: str) -> TelemetrySpec:
    image = f"docker.io/x/y@sha256:{'0' * 64}"
    return TelemetrySpec.model_validate({"gateway": gateway, "image": image, "offline_hours": 1, "events": {}})


def configured(asked: TelemetrySpec, ca_file: Path, folder: Path) -> str:
    """As the component renders it, but for where things are, how soon it tries, and all that is not about events."""
    text = configuration(asked, site="lab", tier="near", region="lab", labels={}, scrapes=(), ca_file=str(ca_file))
    for there, here in (
        (QUEUE_DIRECTORY, str(folder / "queue")),
        (TOKEN_FILE, str(folder / "token")),
        # The account's token is in a kubeconfig here.
        ("auth_type: serviceAccount", "auth_type: kubeConfig"),
    ):
        assert there in text
        text = text.replace(there, here)
    document = yaml.safe_load(text)
    pipeline = document["service"]["pipelines"]["logs/events"]
    for kind in ("receivers", "processors", "exporters"):
        document[kind] = {name: document[kind][name] for name in pipeline[kind]}
    document["extensions"].pop("health_check")
    document["extensions"]["k8s_leader_elector"] |= SOON
    (exporter,) = document["exporters"].values()
    exporter["retry_on_failure"] |= {"initial_interval": "200ms", "max_interval": "1s"}
    exporter["sending_queue"]["batch"]["flush_timeout"] = "200ms"
    document["service"] = {
        "extensions": list(document["extensions"]),
        "pipelines": {"logs/events": pipeline},
        "telemetry": {"metrics": {"level": "none"}},
    }
    return yaml.safe_dump(document)


def own_account(admin: Api, asked: TelemetrySpec) -> Api:
    """The collectors' account, with what the plan gives it for events and nothing else."""
    shared = telemetry.plan(asked, site_of(machine("a", site="lab"), name="lab"))
    admin.make("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    admin.make(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", shared.service_account)
    for manifest in shared.of_events.values():
        namespace = manifest["metadata"].get("namespace")
        within = f"namespaces/{namespace}/" if namespace else ""
        admin.make(f"/apis/rbac.authorization.k8s.io/v1/{within}{manifest['kind'].lower()}s", manifest)
    name = shared.service_account["metadata"]["name"]
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token"
    made = admin.make(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    return Api(admin.address, admin.authority, made["status"]["token"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if why := missing():
        pytest.skip(why)
    try:
        executable = collector.program()
    except (EngineError, LabError) as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("events")
    with ExitStack() as stack:
        authority = stack.enter_context(Authority())
        kubeconfig = yaml.safe_load(stack.enter_context(control_plane(home / "cluster")))
        cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
        admin = Api(cluster["server"], cluster["certificate-authority"], user["token"])
        with (home / "scheduler").open("wb") as log:
            words = [f"--kubeconfig={home / 'cluster/kubeconfig'}", "--leader-elect=false", "--secure-port=0"]
            scheduler = subprocess.Popen([*program("kube-scheduler"), *words], stdout=log, stderr=log)
        stack.callback(scheduler.wait, 30)
        stack.callback(scheduler.kill)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        gateway = stack.enter_context(Gateway(authority, "127.0.0.1", TOKEN, port=port))
        asked = spec(gateway.url)
        own = own_account(admin, asked)
        readers = []
        for node in ("lab-a", "lab-b"):
            reader = Reader(node, home / node, executable)
            reader.folder.mkdir()
            (reader.folder / "config.yaml").write_text(configured(asked, authority.ca_file, reader.folder))
            (reader.folder / "kubeconfig").write_text(own.kubeconfig)
            (reader.folder / "token").write_text(TOKEN)
            stack.callback(reader.kill)
            readers.append(reader)
        made = Site(admin, own, gateway, *readers)
        made.a.start()
        wait_until(lambda: made.a.turns == 1, "the first one reads", deadline_s=30)
        made.b.start()
        yield made


def test_the_rights_are_those_to_read_events_and_to_change_one_lease(site: Site) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"
    answers = {
        path: site.own.asked("GET", path)[0]
        for path in (
            *("/api/v1/events", leases.format(NAMESPACE, "otel-events"), leases.format(NAMESPACE, "another")),
            *("/api/v1/pods", "/api/v1/secrets", "/api/v1/nodes", leases.format("kube-system", "otel-events")),
        )
    }
    assert list(answers.values()) == [200, 200, 403, 403, 403, 403, 403], answers


def test_an_event_of_the_scheduler_reaches_the_gateway_and_says_what_about_what(site: Site) -> None:
    container = {"name": "one", "image": "example.com/none@sha256:" + "0" * 64}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "homeless"}, "spec": {"containers": [container]}}
    site.admin.make("/api/v1/namespaces/default/pods", pod)
    site.arrives("homeless")
    found = site.told("homeless")[0]
    assert "no nodes available" in found.name
    assert found.severity == "Warning"
    assert found.attributes == {"k8s.event.reason": "FailedScheduling", "k8s.namespace.name": "default"}
    assert found.resource == {
        "edge.region": "lab",
        "edge.site": "lab",
        "edge.tier": "near",
        "k8s.cluster.name": "lab",
        "k8s.node.name": "",
        "k8s.object.kind": "Pod",
        "k8s.object.name": "homeless",
        "service.instance.id": "lab-a",
        "service.name": "kubernetes-events",
        "service.namespace": "lab",
    }


def test_of_two_collectors_one_reads(site: Site) -> None:
    site.tell("once")
    site.tell("and-another")
    site.arrives("and-another")
    assert len(site.told("once")) == 1
    assert (site.a.turns, site.b.turns) == (1, 0)


def test_a_secret_in_an_event_does_not_leave_the_host(site: Site) -> None:
    site.tell("teller", f"cannot pull with {SECRET}")
    site.arrives("teller")
    assert [each.name for each in site.told("teller")] == ["cannot pull with ****"]


def test_an_event_waits_on_disk_while_the_gateway_is_away(site: Site) -> None:
    queue = site.a.folder / "queue"
    site.gateway.stop()
    site.tell("without-uplink")
    wait_until(
        lambda: any(b"without-uplink" in file.read_bytes() for file in queue.iterdir()), "it is queued", deadline_s=30
    )
    assert site.told("without-uplink") == []
    site.gateway.start()
    site.arrives("without-uplink")
    assert len(site.told("without-uplink")) == 1


def test_another_host_reads_on_and_sends_those_again_that_came_since_it_started(site: Site) -> None:
    site.a.kill()
    site.tell("while-nobody-reads")
    site.arrives("while-nobody-reads")
    assert [each.resource["service.instance.id"] for each in site.told("while-nobody-reads")] == ["lab-b"]
    # The receiver keeps no place: it drops what is older than its own process, and this is not.
    wait_until(lambda: len(site.told("once")) == 2, "one that was sent comes again", deadline_s=30)
    assert [each.resource["service.instance.id"] for each in site.told("once")] == ["lab-a", "lab-b"]


def test_what_was_sent_is_not_sent_again_when_all_collectors_start_anew(site: Site) -> None:
    names = ("once", "without-uplink", "while-nobody-reads")
    wait_until(lambda: len(site.told("without-uplink")) == 2, "what the other one sent again is there", deadline_s=30)
    before = {name: len(site.told(name)) for name in names}
    site.b.kill()
    site.a.start()
    site.b.start()
    site.tell("afterwards")
    site.arrives("afterwards")
    assert {name: len(site.told(name)) for name in names} == before
    assert all(site.admin.events(name) for name in names), "they are in the API still"
