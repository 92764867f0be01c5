"""A site whose model answers: the whole program, K3s on a host, NVIDIA's server in a pod from a registry.

The server is pulled by its digest under NVIDIA's name; the model lies on the host's disk, behind a claim.
The tests are one story, in the order in which they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from components.inference.triton import plan as inference
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.inference import client, site
from lab.oci.registry import Registry
from tests.lab import inference_answers
from tests.lab.k3s_site import wait_for


@dataclass(frozen=True)
class Answering:
    """A site with a model, asked from where its host stands in the network."""

    cluster: Cluster

    @property
    def _pid(self) -> int:
        pid = self.cluster.host("a").pid
        assert pid is not None
        return pid

    @property
    def service(self) -> str:
        """The server's address within the cluster."""
        where = f"--namespace={inference.NAMESPACE} --output=jsonpath='{{.spec.clusterIP}}'"
        return self.cluster.kubectl("get", "service", inference.NAME, where)

    def infer(self, protocol: client.Protocol) -> bytes:
        port = inference.GRPC_PORT if protocol == "grpc" else inference.HTTP_PORT
        address = f"{self.service}:{port}"
        return client.infer_from(self._pid, address, site.MODEL, inference_answers.picture(), protocol=protocol)

    def get(self, path: str, *, port: int = inference.HTTP_PORT) -> str:
        return client.get_from(self._pid, f"http://{self.service}:{port}{path}").decode()


@pytest.fixture(scope="module")
def answering(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    home = tmp_path_factory.mktemp("inference") / "site"
    with (
        cluster_site(lab, home, ["a"]) as cluster,
        Registry(cluster.authority, lab.layout.gateway, site.images()) as registry,
    ):
        cluster.k3s["registries"] = {site.REGISTRY: {"endpoints": [f"https://{registry.host}"]}}
        site.prepare(lab["a"], "lab-a")
        cluster.write("a", inference=site.block())
        cluster.site.up()
        yield Answering(cluster)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_model_answers_at_its_service(answering: Answering, protocol: client.Protocol) -> None:
    inference_answers.check(answering.infer(protocol))


def test_its_metrics_are_there_to_be_scraped(answering: Answering) -> None:
    answering.infer("grpc")
    assert f'nv_inference_request_success{{model="{site.MODEL}",version="1"}}' in answering.get(
        "/metrics", port=inference.METRICS_PORT
    )


def test_a_second_up_changes_nothing(answering: Answering) -> None:
    assert answering.cluster.site.up() == {}


def test_a_model_whose_process_dies_answers_again_by_itself(answering: Answering) -> None:
    answering.cluster.host("a").run("kill -KILL $(pgrep --exact triton_python_b)")
    with pytest.raises(OSError, match="not healthy"):
        answering.infer("grpc")

    def answers() -> bool:
        try:
            inference_answers.check(answering.infer("grpc"))
        except OSError:
            return False
        return True

    wait_for("the model answers again", answers)


def test_another_version_of_the_model_takes_over(answering: Answering) -> None:
    folder = f"{site.FOLDER}/{site.MODEL}"
    answering.cluster.host("a").run(f"cp -r {folder}/1 {folder}/2")
    block = site.block()
    block["triton"]["models"][0]["version"] = 2
    answering.cluster.write("a", inference=block)
    touched = answering.cluster.site.up()
    assert set(touched) == {"lab-inference-models", "lab-inference-server"}, touched
    assert json.loads(answering.get(f"/v2/models/{site.MODEL}"))["versions"] == ["2"]
    inference_answers.check(answering.infer("grpc"))
