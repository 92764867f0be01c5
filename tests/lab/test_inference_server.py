"""NVIDIA's server, run from the very files that the component renders, confined as its container: no Kubernetes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.addresses import endpoint
from components.inference.placement import Placement
from components.inference.spec import InferenceSpec
from components.inference.triton import plan as inference
from components.inference.triton.contract import model_configuration
from components.inference.triton.spec import catalogue
from components.view import Demand
from lab.hosts.system import LabError, require_root, wait_until
from lab.inference import client, server, site
from tests.lab import inference_answers

_CONFINED = Path(__file__).with_name("confined_container.sh")
_STARTED_S = 60


@dataclass(frozen=True)
class Server:
    """A server that is ready, or never will be; its first process as this machine numbers it."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = "127.0.0.1"
    """Where it is asked, in its own network."""

    @property
    def first_process(self) -> int:
        (pid,) = _children(self.process.pid)
        return pid

    def probe(self, probe: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """What a probe of the container comes to; raises TimeoutExpired when it takes longer than it may."""
        inside = (
            "--mount",
            "--net",
            "--pid",
            "--root",
            "--wd=/",
            f"--setuid={inference.USER}",
            f"--setgid={inference.USER}",
        )
        enter = ["nsenter", f"--target={self.first_process}", *inside, *probe["exec"]["command"]]
        limit = probe["timeoutSeconds"]
        return subprocess.run(enter, capture_output=True, text=True, timeout=limit, check=False)

    def get(self, path: str, *, port: int = inference.HTTP_PORT) -> str:
        return client.get_from(self.process.pid, f"http://{endpoint(self.address, port)}{path}").decode()

    def infer(self, protocol: client.Protocol, tensor: bytes) -> bytes:
        port = inference.GRPC_PORT if protocol == "grpc" else inference.HTTP_PORT
        return client.infer_from(self.process.pid, endpoint(self.address, port), site.MODEL, tensor, protocol=protocol)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _STARTED_S
        while not self._is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()

    def _is_ready(self) -> bool:
        try:
            self.get("/v2/health/ready")
        except OSError:
            return False
        return True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def plan() -> inference.TritonPlan:
    return planned()


def planned(*, ipv6: bool = False) -> inference.TritonPlan:
    spec = InferenceSpec.model_validate(site.block()).triton
    assert spec is not None
    placement = Placement(platform="server", hosts=("a",), demands={"a": Demand()})
    return inference.plan(spec, placement, scraper=None, ipv6=ipv6)


@contextmanager
def started(
    plan: inference.TritonPlan, folder: Path, configuration: str = "", *, address: str = "127.0.0.1"
) -> Iterator[Server]:
    """A server that is ready at ``address``; ``folder`` takes its volumes and its log. ``configuration`` is one that
    lies beside the model."""
    try:
        require_root()
    except LabError as error:
        pytest.skip(str(error))
    (folder / "contracts").mkdir()
    for name, text in plan.models["data"].items():
        (folder / "contracts" / name).write_text(text)
    version = folder / "versions" / site.MODEL / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_bytes(site.MODEL_FILE.read_bytes())
    if configuration:
        (version.parent / "config.pbtxt").write_text(configuration)
    pod = plan.deployment["spec"]["template"]["spec"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _confined(server.root(), pod, folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        made = Server(process, folder / "log", address)
        made.wait_ready()
        yield made
    finally:
        # Itself: `--kill-child` spares a program that has become another user.
        for first in _children(process.pid):
            os.kill(first, signal.SIGKILL)
        process.wait()


def _alive(namespace: str) -> list[str]:
    """What runs in a PID namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "ns/pid") == namespace:
                found.append((process / "comm").read_text().strip())
    return found


@pytest.fixture(scope="module")
def running(plan: inference.TritonPlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(plan, tmp_path_factory.mktemp("inference")) as made:
        yield made


def _confined(root: Path, pod: dict[str, Any], folder: Path) -> list[str]:
    """The command that does what the pod's container says, its volumes being below ``folder``."""
    (container,) = pod["containers"]
    empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    mounts = [
        f"{'' if mount['name'] in empty else folder / mount['name'] / mount['subPath']}:{mount['mountPath']}"
        for mount in container["volumeMounts"]
    ]
    own = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private")
    user = str(pod["securityContext"]["runAsUser"])
    started = [*container["command"], *container["args"]]
    return ["unshare", *own, "bash", str(_CONFINED), str(root), user, *mounts, "--", *started]


def test_it_lives_and_is_ready(running: Server) -> None:
    assert running.get("/v2/health/live") == running.get("/v2/health/ready") == ""


def test_it_has_no_power_and_writes_nowhere_but_in_its_volumes(running: Server) -> None:
    pid = running.first_process
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Name"] == "tritonserver"
    assert status["Uid"].split() == [str(inference.USER)] * 4
    assert int(status["CapEff"], 16) == 0
    mounts = [line.split()[4:6] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    writable = {place for place, options in mounts if options.split(",")[0] == "rw"}
    assert {place for place in writable if not place.startswith(("/dev", "/proc"))} == {"/tmp", "/models"}


def test_the_model_that_it_serves_is_the_catalogues(running: Server) -> None:
    told = json.loads(running.get(f"/v2/models/{site.MODEL}"))
    contract = catalogue()[site.MODEL]
    for ours, theirs in ((contract.inputs, told["inputs"]), (contract.outputs, told["outputs"])):
        assert [(tensor.name, tensor.type, list(tensor.dims)) for tensor in ours] == [
            (tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in theirs
        ]
    assert told["versions"] == [str(contract.version)]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_it_answers_with_what_the_model_makes_of_the_picture(running: Server, protocol: client.Protocol) -> None:
    inference_answers.check(running.infer(protocol, inference_answers.picture()))


def test_a_tensor_of_another_size_is_refused_in_its_own_words(running: Server) -> None:
    with pytest.raises(OSError, match=r"Expected 4915200, got 16"):
        running.infer("grpc", b"\0" * 16)


def test_its_metrics_count_the_inferences_of_the_model(running: Server) -> None:
    def answered() -> float:
        text = running.get("/metrics", port=inference.METRICS_PORT)
        label = f'{{model="{site.MODEL}",version="1"}}'
        (line,) = (line for line in text.splitlines() if line.startswith(f"nv_inference_request_success{label}"))
        return float(line.rpartition(" ")[2])

    before = answered()
    running.infer("grpc", inference_answers.picture())
    assert answered() == before + 1


def test_where_pods_have_ipv6_all_its_servers_and_its_probe_answer_there(tmp_path: Path) -> None:
    plan = planned(ipv6=True)
    (container,) = plan.deployment["spec"]["template"]["spec"]["containers"]
    with started(plan, tmp_path, address="::1") as running:
        for protocol in ("grpc", "http"):
            inference_answers.check(running.infer(protocol, inference_answers.picture()))
        assert "nv_inference_request_success" in running.get("/metrics", port=inference.METRICS_PORT)
        alive = running.probe(container["livenessProbe"])
        assert alive.returncode == 0, alive.stderr


def test_a_model_whose_process_is_gone_is_not_alive_though_the_server_calls_it_ready(
    plan: inference.TritonPlan, tmp_path: Path
) -> None:
    (container,) = plan.deployment["spec"]["template"]["spec"]["containers"]
    probe = container["livenessProbe"]
    with started(plan, tmp_path) as running:
        alive = running.probe(probe)
        assert alive.returncode == 0, alive.stderr
        (model,) = _children(running.first_process)
        os.kill(model, signal.SIGKILL)
        with pytest.raises(OSError, match="not healthy"):
            running.infer("grpc", inference_answers.picture())
        running.get(f"/v2/models/{site.MODEL}/ready")
        assert running.probe(probe).returncode == 1


def test_a_model_with_a_configuration_of_its_own_is_served_by_it(tmp_path: Path) -> None:
    block = site.block()
    block["triton"]["models"][0]["configuration"] = "repository"
    spec = InferenceSpec.model_validate(block).triton
    assert spec is not None
    placement = Placement(platform="server", hosts=("a",), demands={"a": Demand()})
    own = model_configuration(spec.contracts[0], on_gpu=False).replace("count: 1", "count: 2")
    with started(inference.plan(spec, placement, scraper=None), tmp_path, own) as running:
        served = json.loads(running.get(f"/v2/models/{site.MODEL}/config"))
        assert [group["count"] for group in served["instance_group"]] == [2]
        assert running.infer("grpc", inference_answers.picture())


def _states(process: int) -> set[str]:
    """The states of a process' threads, as a letter each."""
    found = (task.joinpath("stat").read_text() for task in Path(f"/proc/{process}/task").iterdir())
    return {text.rpartition(")")[2].split()[0] for text in found}


def test_a_server_that_hangs_is_not_alive_and_no_test_leaves_it_behind(
    plan: inference.TritonPlan, tmp_path: Path
) -> None:
    (container,) = plan.deployment["spec"]["template"]["spec"]["containers"]
    with ExitStack() as held:
        with started(plan, tmp_path) as running:
            # Kept open, so that no other process gets the same number for its namespace.
            file = held.enter_context(Path(f"/proc/{running.first_process}/ns/pid").open("rb"))
            namespace = os.readlink(f"/proc/self/fd/{file.fileno()}")
            assert "tritonserver" in _alive(namespace)
            os.kill(running.first_process, signal.SIGSTOP)
            # Until the kernel has stopped its last thread, it still answers.
            wait_until(lambda: _states(running.first_process) == {"T"}, "every thread is stopped", deadline_s=30)
            with pytest.raises(subprocess.TimeoutExpired):
                running.probe(container["livenessProbe"])
        assert _alive(namespace) == []
