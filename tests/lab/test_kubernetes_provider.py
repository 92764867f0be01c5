"""The lab's `kubernetes` provider: its requests against a recording stand-in for an API server, and its judgement."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc, status_pb2

from engine.rehearsal.serving import serve_provider, stop
from engine.rehearsal.values import UNKNOWN, Secret, from_struct, to_struct
from lab.providers import objects, readiness
from lab.providers.cluster import Absent, Cluster
from lab.providers.kubernetes import KubernetesProvider
from lab.providers.objects import Target
from lab.providers.readiness import Never
from tests.lab.api_server import ApiServer, Refused, Request, api_server
from tests.lab.control_plane import control_plane, missing
from tests.lab.inline_run import InlineRun, inline_run

_CALL_S = 30
_DEADLINE_S = 30
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def urn(token: str) -> str:
    return f"urn:pulumi:s::edge::edge:index:GitOps$kubernetes:{token}::s-one"


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {_DEADLINE_S} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


@dataclass
class Run:
    """The provider as one engine run has it, configured for a cluster."""

    stub: Any

    def configure(self, **configuration: Any) -> None:
        self.stub.Configure(pb.ConfigureRequest(args=to_struct(configuration)), timeout=_CALL_S)

    def create(self, token: str, inputs: dict[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        request = pb.CreateRequest(urn=urn(token), properties=to_struct(inputs), preview=preview)
        made = self.stub.Create(request, timeout=_CALL_S)
        return made.id, from_struct(made.properties)

    def update(self, token: str, identity: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        request = pb.UpdateRequest(id=identity, urn=urn(token), olds=to_struct(olds), news=to_struct(news))
        return from_struct(self.stub.Update(request, timeout=_CALL_S).properties)

    def check(self, token: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        request = pb.CheckRequest(urn=urn(token), olds=to_struct(olds), news=to_struct(news))
        return from_struct(self.stub.Check(request, timeout=_CALL_S).inputs)

    def delete(self, token: str, identity: str, outputs: dict[str, Any]) -> None:
        request = pb.DeleteRequest(id=identity, urn=urn(token), properties=to_struct(outputs))
        self.stub.Delete(request, timeout=_CALL_S)

    def read(self, token: str, identity: str, outputs: dict[str, Any], inputs: dict[str, Any]) -> Any:
        request = pb.ReadRequest(id=identity, urn=urn(token), properties=to_struct(outputs), inputs=to_struct(inputs))
        return self.stub.Read(request, timeout=_CALL_S)


@pytest.fixture
def bare() -> Iterator[Run]:
    """A provider that has no configuration yet, and little patience."""
    with ExitStack() as opened:
        provider = KubernetesProvider(patience_s=0.5, poll_s=0.02)
        server, port = serve_provider(provider, opened.enter_context(ThreadPoolExecutor(8)))
        opened.callback(stop, server)
        opened.callback(provider.close)
        channel = opened.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        yield Run(provider_pb2_grpc.ResourceProviderStub(channel))


@pytest.fixture
def run(bare: Run, api: ApiServer) -> Run:
    bare.configure(kubeconfig=Secret(api.kubeconfig))
    return bare


def config_map(**data: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "facts", "namespace": "default"},
        "data": data,
    }


_FACTS = "/api/v1/namespaces/default/configmaps/facts"
_MAP = "core/v1:ConfigMap"


def test_an_object_is_applied_with_an_owner_of_its_own_and_strictly(run: Run, api: ApiServer) -> None:
    identity, outputs = run.create(_MAP, config_map(site="berlin"))
    assert identity == "default/facts"
    assert outputs["metadata"]["uid"]
    assert "managedFields" not in outputs["metadata"]
    (applied,) = api.changes()
    assert (applied.method, applied.path) == ("PATCH", _FACTS)
    assert applied.content_type == "application/apply-patch+yaml"
    assert applied.query["fieldManager"] == objects.field_manager(urn(_MAP), {})
    assert applied.query["fieldManager"].startswith("pulumi-kubernetes-")
    assert applied.query["fieldValidation"] == "Strict"
    assert applied.query["force"] == "false"
    assert "dryRun" not in applied.query


def test_an_unknown_field_is_refused_in_the_api_servers_words(run: Run) -> None:
    with pytest.raises(grpc.RpcError, match="nonsense: field not declared in schema"):
        run.create(_MAP, {**config_map(), "nonsense": 1})


def test_an_existing_object_is_not_taken_over_silently(run: Run, api: ApiServer) -> None:
    api.put(_FACTS, config_map(site="other"))
    with pytest.raises(grpc.RpcError, match="exists already"):
        run.create(_MAP, config_map(site="berlin"))
    assert api.known[_FACTS]["data"] == {"site": "other"}
    run.configure(kubeconfig=api.kubeconfig, upsertExistingObjects="true", enablePatchForce="true")
    run.create(_MAP, config_map(site="berlin"))
    assert api.known[_FACTS]["data"] == {"site": "berlin"}


def test_an_update_removes_what_the_program_no_longer_says(run: Run, api: ApiServer) -> None:
    identity, olds = run.create(_MAP, config_map(site="berlin", tier="near"))
    outputs = run.update(_MAP, identity, olds, config_map(site="hamburg"))
    assert outputs["data"] == {"site": "hamburg"}
    assert api.known[_FACTS]["data"] == {"site": "hamburg"}


def test_a_conflict_is_an_error_unless_forced(run: Run, api: ApiServer) -> None:
    identity, olds = run.create(_MAP, config_map(site="berlin"))
    api.applied[_FACTS]["kubectl"] = {"data": {"site": "berlin"}}
    with pytest.raises(grpc.RpcError, match='conflict with "kubectl"') as conflict:
        run.update(_MAP, identity, olds, config_map(site="hamburg"))
    assert "pulumi.com/patchForce" in str(conflict.value.details())
    news = config_map(site="hamburg")
    news["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert run.update(_MAP, identity, olds, news)["data"] == {"site": "hamburg"}
    assert api.changes()[-1].query["force"] == "true"


def test_an_object_that_somebody_removed_is_not_updated(run: Run, api: ApiServer) -> None:
    identity, olds = run.create(_MAP, config_map(site="berlin"))
    api.forget(_FACTS)
    with pytest.raises(grpc.RpcError, match="pulumi refresh"):
        run.update(_MAP, identity, olds, config_map(site="hamburg"))


def test_a_name_may_be_left_to_the_api_server(run: Run, api: ApiServer) -> None:
    inputs = {**config_map(), "metadata": {"generateName": "run-", "namespace": "default"}}
    assert run.create(_MAP, inputs)[0] == "default/run-x1"
    assert api.changes()[-1].method == "POST"


def test_a_preview_is_a_dry_run_and_changes_nothing(run: Run, api: ApiServer) -> None:
    _, planned = run.create(_MAP, config_map(site="berlin"), preview=True)
    (asked,) = api.changes()
    assert asked.query["dryRun"] == "All"
    assert _FACTS not in api.known
    assert planned["data"] == {"site": "berlin"}
    with pytest.raises(grpc.RpcError, match="nonsense"):
        run.create(_MAP, {**config_map(), "nonsense": 1}, preview=True)


def test_a_preview_of_what_is_not_known_yet_asks_nobody(run: Run, api: ApiServer) -> None:
    _, planned = run.create(_MAP, config_map(site=UNKNOWN), preview=True)
    assert planned["data"] == {"site": UNKNOWN}
    assert api.requests == []


def test_a_preview_goes_on_where_the_namespace_or_the_cluster_is_to_come(run: Run, api: ApiServer) -> None:
    inputs = config_map(site="berlin")
    inputs["metadata"]["namespace"] = "not-yet"
    assert run.create(_MAP, inputs, preview=True)[1]["data"] == {"site": "berlin"}
    run.configure(kubeconfig=UNKNOWN)
    assert run.create(_MAP, inputs, preview=True)[1]["data"] == {"site": "berlin"}


def test_a_namespace_that_comes_late_is_waited_for(run: Run, api: ApiServer) -> None:
    inputs = config_map(site="berlin")
    inputs["metadata"]["namespace"] = "late"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.create, _MAP, inputs)
        until(api.changes, "it was tried once")
        api.put("/api/v1/namespaces/late", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}})
        assert waiting.result(_CALL_S)[0] == "late/facts"
    inputs["metadata"]["namespace"] = "never"
    with pytest.raises(grpc.RpcError, match='namespaces "never" not found'):
        run.create(_MAP, inputs)


def test_a_kind_that_comes_late_is_waited_for(run: Run, api: ApiServer) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"}}
    with pytest.raises(grpc.RpcError, match="could not find"):
        run.create("example.com/v1:Widget", widget)
    api.kinds["example.com/v1"] = {"Widget": ("widgets", True)}
    assert run.create("example.com/v1:Widget", widget)[0] == "default/w"


def test_an_unreachable_cluster_is_one_clear_error(bare: Run) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        gone = ApiServer(port=held.getsockname()[1])
    bare.configure(kubeconfig=gone.kubeconfig)
    with pytest.raises(grpc.RpcError) as failed:
        bare.create(_MAP, config_map())
    said = str(failed.value.details())
    assert said == f"the cluster at http://127.0.0.1:{gone.port} cannot be reached: [Errno 111] Connection refused"
    assert bare.create(_MAP, config_map(), preview=True)[1]["kind"] == "ConfigMap"
    with pytest.raises(grpc.RpcError, match="cannot be reached"):
        bare.update(_MAP, "default/facts", config_map(), config_map(a="b"))
    bare.configure(kubeconfig=gone.kubeconfig, skipUpdateUnreachable="true", deleteUnreachable="true")
    assert bare.check(_MAP, config_map(), config_map(a="b")) == config_map(), "what is applied is kept"
    bare.delete(_MAP, "default/facts", config_map())


def test_a_refused_credential_is_taken_for_an_unreachable_cluster_as_the_official_plugin_does(
    bare: Run, api: ApiServer
) -> None:
    def refuse(_request: Request) -> None:
        raise Refused(401, "Unauthorized")

    api.refuse = refuse
    bare.configure(kubeconfig=api.kubeconfig, skipUpdateUnreachable="true")
    assert bare.check(_MAP, config_map(), config_map(a="b")) == config_map()
    with pytest.raises(grpc.RpcError, match="the server has asked for the client to provide credentials"):
        bare.update(_MAP, "default/facts", config_map(), config_map(a="b"))
    bare.configure(kubeconfig=api.kubeconfig)
    assert bare.check(_MAP, config_map(), config_map(a="b"))["data"] == {"a": "b"}


def test_a_kubeconfig_is_a_text_or_a_path_and_never_the_users_own(
    bare: Run, api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(api.kubeconfig)
    bare.configure(kubeconfig=str(path))
    assert bare.create(_MAP, config_map())[0] == "default/facts"
    bare.configure(kubeconfig=str(tmp_path / "nothing"))
    with pytest.raises(grpc.RpcError, match="neither a kubeconfig nor the path of one"):
        bare.create(_MAP, config_map())
    monkeypatch.setenv("KUBECONFIG", str(path))
    bare.configure()
    with pytest.raises(grpc.RpcError, match="has no kubeconfig"):
        bare.create(_MAP, config_map())


def test_rendering_to_files_is_refused_plainly(bare: Run, tmp_path: Path) -> None:
    with pytest.raises(grpc.RpcError, match="renderYamlToDirectory is not supported"):
        bare.configure(renderYamlToDirectory=str(tmp_path))


_NODE, _NODE_PATCH = "/api/v1/nodes/berlin-a", "core/v1:NodePatch"
_LABELS = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "berlin-a", "labels": {"tier": "near"}}}


def test_a_patch_owns_its_fields_and_gives_them_back(run: Run, api: ApiServer) -> None:
    api.put(_NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "berlin-a", "labels": {"os": "linux"}}})
    identity, outputs = run.create(_NODE_PATCH, _LABELS)
    assert identity == "berlin-a"
    assert api.known[_NODE]["metadata"]["labels"] == {"os": "linux", "tier": "near"}
    run.delete(_NODE_PATCH, identity, outputs)
    assert api.known[_NODE]["metadata"]["labels"] == {"os": "linux"}, "the object itself stays"
    released = api.changes()[-1]
    assert released.body == {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "berlin-a"}}
    assert released.query["fieldManager"] == api.changes()[0].query["fieldManager"]
    assert [request.method for request in api.changes()] == ["PATCH", "PATCH"]


def test_a_patch_makes_no_object_and_outlives_its_target(run: Run, api: ApiServer) -> None:
    with pytest.raises(grpc.RpcError, match="not found"):
        run.create(_NODE_PATCH, _LABELS)
    assert api.changes() == []
    run.delete(_NODE_PATCH, "berlin-a", _LABELS)


def test_a_deletion_takes_dependants_along_and_waits(run: Run, api: ApiServer) -> None:
    identity, outputs = run.create(_MAP, config_map())
    api.finalizers = ["example.com/held"]
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(run.delete, _MAP, identity, outputs)
        until(lambda: any(request.method == "DELETE" for request in api.requests), "it is being deleted")
        assert api.changes()[-1].body["propagationPolicy"] == "Foreground"
        seen = len(api.requests)
        until(lambda: len(api.requests) > seen + 2, "it is looked at again")
        assert not going.done()
        api.forget(_FACTS)
        going.result(_CALL_S)
    run.delete(_MAP, identity, outputs)


def test_a_deletion_that_is_held_up_names_the_finalizers(run: Run, api: ApiServer) -> None:
    inputs = config_map()
    inputs["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "0"}
    identity, outputs = run.create(_MAP, inputs)
    api.finalizers = ["example.com/held"]
    with pytest.raises(grpc.RpcError, match=r"still there .* \(finalizers: example.com/held\)"):
        run.delete(_MAP, identity, outputs)


def deployment(**annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "annotations": annotations},
        "spec": {"replicas": 2},
    }


_WEB, _DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web", "apps/v1:Deployment"
_ROLLED_OUT = {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def test_a_rollout_is_waited_for(run: Run, api: ApiServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        rolling = pool.submit(run.create, _DEPLOYMENT, deployment())
        until(lambda: _WEB in api.known, "it was applied")
        api.set_status(_WEB, **{**_ROLLED_OUT, "availableReplicas": 1})
        seen = len(api.requests)
        until(lambda: len(api.requests) > seen + 2, "it is looked at again")
        assert not rolling.done()
        api.set_status(_WEB, **_ROLLED_OUT)
        assert rolling.result(_CALL_S)[1]["status"]["availableReplicas"] == 2


def incomplete(error: grpc.RpcError) -> pb.ErrorResourceInitFailed:
    """What the engine is told of a resource that is there, but not done."""
    (detail,) = (item.value for item in error.trailing_metadata() if item.key == "grpc-status-details-bin")
    left = pb.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(detail).details[0].Unpack(left)
    return left


def test_an_object_that_does_not_get_done_stays_in_the_state(run: Run) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        run.create(_DEPLOYMENT, deployment(**{"pulumi.com/timeoutSeconds": "0"}))
    said = "Deployment web was applied, but is not done within 0 s: its controller has not seen this version yet"
    assert failed.value.details() == said
    left = incomplete(failed.value)
    assert (left.id, list(left.reasons)) == ("default/web", [said])
    assert from_struct(left.properties)["metadata"]["uid"]


def test_a_program_may_choose_not_to_wait(run: Run) -> None:
    assert run.create(_DEPLOYMENT, deployment(**{"pulumi.com/skipAwait": "true"}))[0] == "default/web"


def test_cancel_ends_a_wait_and_keeps_the_object(run: Run, api: ApiServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        rolling = pool.submit(run.create, _DEPLOYMENT, deployment())
        until(lambda: _WEB in api.known, "it was applied")
        run.stub.Cancel(empty_pb2.Empty(), timeout=_CALL_S)
        with pytest.raises(grpc.RpcError, match="interrupted while waiting") as ended:
            rolling.result(_CALL_S)
    assert incomplete(ended.value).id == "default/web"


def test_an_api_server_that_restarts_during_a_wait_is_no_failure(run: Run, api: ApiServer) -> None:
    failing = iter([True, True])

    def refuse(request: Request) -> None:
        if request.path == _WEB and request.method == "GET" and _WEB in api.known:
            api.set_status(_WEB, **_ROLLED_OUT)
            if next(failing, False):
                raise Refused(503, "the server is starting")

    api.refuse = refuse
    assert run.create(_DEPLOYMENT, deployment())[0] == "default/web"


def test_a_service_with_a_selector_waits_for_a_pod_behind_it(run: Run, api: ApiServer) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}},
    }
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.create, "core/v1:Service", service)
        until(lambda: [one for one in api.requests if one.path == slices], "it asks for endpoints")
        assert not waiting.done()
        asked = next(one for one in api.requests if one.path == slices)
        assert asked.query["labelSelector"] == "kubernetes.io/service-name=web"
        with api.lock:
            api.known[f"{slices}/web-1"] = {"metadata": {}, "endpoints": [{"conditions": {"ready": True}}]}
        assert waiting.result(_CALL_S)[0] == "default/web"


def test_secrets_stay_secret_in_outputs_and_out_of_errors(run: Run, api: ApiServer) -> None:
    inputs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": "default"},
        "data": {"token": "bWFya2VyLXNlY3JldA=="},
    }
    identity, outputs = run.create("core/v1:Secret", inputs)
    assert outputs["data"] == Secret({"token": "bWFya2VyLXNlY3JldA=="})
    _, marked = run.create(_MAP, config_map(site=Secret("marker-secret"), tier="near"))
    assert marked["data"] == {"site": Secret("marker-secret"), "tier": "near"}

    def refuse(request: Request) -> None:
        if request.method == "PATCH":
            raise Refused(422, f"is invalid: {json.dumps(request.body)} marker-secret")

    api.refuse = refuse
    with pytest.raises(grpc.RpcError, match="is invalid") as failed:
        run.update("core/v1:Secret", identity, outputs, inputs)
    assert "bWFya2Vy" not in str(failed.value.details())
    assert "marker-secret" not in str(failed.value.details())


def test_reading_shows_what_others_changed_and_nothing_else(run: Run, api: ApiServer) -> None:
    inputs = config_map(site="berlin", cpu="1000m", key=Secret("old"))
    identity, outputs = run.create(_MAP, inputs)
    api.known[_FACTS]["data"] |= {"site": "by hand", "cpu": "1", "key": "new", "added": "by others"}
    found = run.read(_MAP, identity, outputs, inputs)
    assert from_struct(found.inputs)["data"] == {"site": "by hand", "cpu": "1000m", "key": Secret("new")}
    assert from_struct(found.properties)["data"]["added"] == "by others"
    api.forget(_FACTS)
    assert run.read(_MAP, identity, outputs, inputs).id == ""


def test_an_import_takes_the_object_as_it_is(run: Run, api: ApiServer) -> None:
    api.put(_FACTS, config_map(site="berlin"))
    found = run.read(_MAP, "default/facts", {}, {})
    assert from_struct(found.inputs) == config_map(site="berlin")


_RELEASE = "helm.sh/v3:Release"
_CHART = {"chart": "web", "name": "web", "namespace": "default", "values": {"key": Secret("marker-secret")}}


@pytest.mark.parametrize("preview", [True, False])
def test_without_helm_a_release_is_refused_plainly(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, preview: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(grpc.RpcError, match="the lab does not run Helm"):
        run.create(_RELEASE, _CHART, preview=preview)


def test_a_release_goes_to_the_real_helm_with_its_values_on_stdin(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    helm = tmp_path / "helm"
    helm.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n/bin/cat >>{tmp_path}/stdin\n'
        'echo \'{"version": 3, "info": {"status": "deployed"}}\'\n'
    )
    helm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    identity, outputs = run.create(_RELEASE, {**_CHART, "version": "1.2.3", "atomic": True})
    assert (identity, outputs["status"]["revision"]) == ("default/web", 3)
    run.delete(_RELEASE, identity, outputs)
    install, uninstall = (tmp_path / "calls").read_text().splitlines()
    assert "upgrade --install web web --namespace default --values -" in install
    assert "--version 1.2.3 --atomic --wait" in install
    assert uninstall.startswith("uninstall web --namespace default")
    assert "marker-secret" not in install
    assert json.loads((tmp_path / "stdin").read_text()) == {"key": "marker-secret"}
    helm.write_text("#!/bin/sh\necho marker-secret is wrong >&2\nexit 1\n")
    with pytest.raises(grpc.RpcError, match=r"`helm upgrade` failed: \[secret\] is wrong"):
        run.create(_RELEASE, _CHART)


def live(kind: str, spec: dict[str, Any], status: dict[str, Any], **annotations: str) -> dict[str, Any]:
    versions = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}
    return {
        "apiVersion": versions.get(kind, "v1"),
        "kind": kind,
        "metadata": {"name": "x", "generation": 2, "annotations": annotations},
        "spec": spec,
        "status": status,
    }


_SEEN = {"observedGeneration": 2}


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (live("Namespace", {}, {"phase": "Active"}), None),
        (live("Namespace", {}, {"phase": "Terminating"}), "phase Terminating, not Active"),
        (live("ConfigMap", {}, {}), None),
        (live("Deployment", {}, {"observedGeneration": 1}), "its controller has not seen this version yet"),
        (live("Deployment", {"replicas": 0}, _SEEN), None),
        (live("Deployment", {}, {**_SEEN, "replicas": 1}), "0 of 1 replicas are of this version"),
        (
            live("Deployment", {}, {**_SEEN, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}),
            "1 replicas of an older version are still there",
        ),
        (live("Deployment", {}, {**_SEEN, "replicas": 1, "updatedReplicas": 1}), "0 of 1 replicas are available"),
        (live("StatefulSet", {"replicas": 2}, {**_SEEN, "readyReplicas": 1}), "1 of 2 replicas are ready"),
        (
            live("StatefulSet", {"replicas": 2}, {**_SEEN, "readyReplicas": 2, "updatedReplicas": 1}),
            "1 of 2 replicas are of this version",
        ),
        (
            live(
                "StatefulSet",
                {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
                {**_SEEN, "readyReplicas": 2, "updatedReplicas": 1},
            ),
            None,
        ),
        (
            live("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, {**_SEEN, "readyReplicas": 1}),
            None,
        ),
        (live("DaemonSet", {}, _SEEN), None),
        (
            live("DaemonSet", {}, {**_SEEN, "desiredNumberScheduled": 3, "updatedNumberScheduled": 2}),
            "2 of 3 nodes have this version",
        ),
        (
            live(
                "DaemonSet",
                {"updateStrategy": {"type": "OnDelete"}},
                {**_SEEN, "desiredNumberScheduled": 3, "numberAvailable": 1},
            ),
            "available on 1 of 3 nodes",
        ),
        (live("Job", {}, {}), "the job has not completed"),
        (live("Job", {}, {"conditions": [{"type": "Complete", "status": "True"}]}), None),
        (live("Pod", {}, {"phase": "Pending"}), "the pod is Pending, not ready"),
        (live("Pod", {}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), None),
        (
            live("ConfigMap", {}, {}, **{"pulumi.com/waitFor": "condition=Ready"}),
            "condition Ready is not reported, not True",
        ),
        (
            live(
                "ConfigMap",
                {},
                {"conditions": [{"type": "Ready", "status": "False", "message": "no source"}]},
                **{"pulumi.com/waitFor": "condition=Ready"},
            ),
            "condition Ready is False, not True",
        ),
        (
            live(
                "ConfigMap",
                {},
                {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]},
                **{"pulumi.com/waitFor": "condition=Ready"},
            ),
            "its controller has not seen this version yet",
        ),
        (
            live("ConfigMap", {}, {"observedGeneration": 1}, **{"pulumi.com/waitFor": "jsonpath={.kind}"}),
            "its controller has not seen this version yet",
        ),
        (
            live("ConfigMap", {}, {"phase": "Up"}, **{"pulumi.com/waitFor": "jsonpath={.status.phase}=Up"}),
            None,
        ),
        (
            live("ConfigMap", {}, {}, **{"pulumi.com/waitFor": '["jsonpath={.kind}", "jsonpath={.status.a}"]'}),
            ".status.a is absent",
        ),
    ],
)
def test_what_an_object_still_lacks(found: dict[str, Any], lacking: str | None) -> None:
    assert readiness.missing(found) == lacking


@pytest.mark.parametrize(
    "found",
    [
        live("Job", {}, {"conditions": [{"type": "Failed", "status": "True", "message": "backoff"}]}),
        live(
            "Deployment",
            {},
            {**_SEEN, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]},
        ),
        live("Pod", {}, {"phase": "Failed"}),
        live("ConfigMap", {}, {}, **{"pulumi.com/waitFor": "Ready"}),
    ],
)
def test_what_has_failed_is_not_waited_for(found: dict[str, Any]) -> None:
    with pytest.raises(Never):
        readiness.missing(found)


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ({"selector": {"a": "b"}}, True),
        ({}, False),
        ({"selector": {"a": "b"}, "clusterIP": "None"}, False),
        ({"selector": {"a": "b"}, "type": "ExternalName"}, False),
    ],
)
def test_which_services_need_a_pod(spec: dict[str, Any], needed: bool) -> None:
    assert readiness.needs_endpoints(live("Service", spec, {})) is needed


def test_a_pod_that_is_not_ready_is_no_endpoint() -> None:
    assert readiness.missing_endpoints([{"endpoints": [{"conditions": {"ready": False}}]}])
    assert readiness.missing_endpoints([{"endpoints": None}, {"endpoints": [{}]}]) is None


# The same through the real engine.


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[InlineRun]:
    with inline_run(tmp_path / "run") as made:
        yield made


def _program(kubeconfig: str, **data: str) -> Callable[[], None]:
    def program() -> None:
        cluster = kubernetes.Provider(
            "cluster",
            kubeconfig=pulumi.Output.secret(kubeconfig),
            cluster_identifier="s",
            enable_config_map_mutable=True,
        )
        opts = pulumi.ResourceOptions(provider=cluster)
        namespace = kubernetes.core.v1.Namespace("edge", metadata={"name": "edge"}, opts=opts)
        made = kubernetes.core.v1.ConfigMap(
            "facts",
            metadata={"name": "facts", "namespace": namespace.metadata["name"]},
            data=data,
            opts=pulumi.ResourceOptions(provider=cluster),
        )
        pulumi.export("uid", made.metadata["uid"])

    return program


@pytest.mark.engine
def test_a_stack_of_objects_comes_up_stays_changes_and_goes(stack: InlineRun, api: ApiServer) -> None:
    def controller(request: Request) -> None:
        """Namespaces become active when they are looked at."""
        if request.path in api.known and request.path.count("/") == 4:
            api.set_status(request.path, phase="Active")

    api.refuse = controller
    facts = "/api/v1/namespaces/edge/configmaps/facts"
    stack.program = _program(api.kubeconfig, site="berlin")
    stack.preview()
    assert api.known == {}
    stack.up()
    assert api.known[facts]["data"] == {"site": "berlin"}
    uid = stack.outputs()["uid"]
    assert uid == api.known[facts]["metadata"]["uid"]

    changes = len(api.changes())
    stack.up("--expect-no-changes")
    assert len(api.changes()) == changes, "an unchanged stack changes nothing"

    stack.program = _program(api.kubeconfig, site="hamburg")
    stack.up()
    assert api.known[facts]["data"] == {"site": "hamburg"}
    assert stack.outputs()["uid"] == uid, "changed in place"
    assert "marker-token" not in stack.state()

    stack.destroy()
    assert api.known == {}


# The same against a real control plane: ownership, garbage collection and rollouts as they really are.


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with control_plane(tmp_path_factory.mktemp("cluster") / "one") as made:
        yield made


@pytest.fixture
def real(bare: Run, kubeconfig: str) -> Run:
    bare.configure(kubeconfig=Secret(kubeconfig))
    return bare


@pytest.fixture
def seen(kubeconfig: str) -> Cluster:
    """The cluster as somebody else sees it."""
    return Cluster(kubeconfig)


def fresh(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    """An object of a name that no other test has."""
    metadata = {"name": f"x{secrets.token_hex(4)}", "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def test_a_real_cluster_takes_changes_and_gives_up_an_object(real: Run, seen: Cluster) -> None:
    inputs = fresh("ConfigMap", data={"site": "berlin", "tier": "near"})
    identity, olds = real.create(_MAP, inputs)
    real.update(_MAP, identity, olds, {**inputs, "data": {"site": "hamburg"}})
    assert seen.get(objects.target(inputs))["data"] == {"site": "hamburg"}
    found = real.read(_MAP, identity, olds, {**inputs, "data": {"site": "hamburg"}})
    assert from_struct(found.inputs) == {**inputs, "data": {"site": "hamburg"}}, "nothing has drifted"
    real.delete(_MAP, identity, olds)
    with pytest.raises(Absent):
        seen.get(objects.target(inputs))


def test_a_real_cluster_refuses_unknown_fields_also_in_a_preview(real: Run) -> None:
    for preview in (True, False):
        with pytest.raises(grpc.RpcError, match="nonsense: field not declared in schema"):
            real.create(_MAP, fresh("ConfigMap", nonsense="x"), preview=preview)


def test_a_real_conflict_names_the_owner_and_yields_to_force(real: Run, seen: Cluster) -> None:
    inputs = fresh("ConfigMap", data={"site": "berlin"})
    identity, olds = real.create(_MAP, inputs)
    changed = {**inputs, "data": {"site": "by hand"}}
    seen.apply(changed, objects.target(inputs), manager="somebody", force=True)
    news = {**inputs, "data": {"site": "hamburg"}}
    with pytest.raises(grpc.RpcError, match='conflict with "somebody"'):
        real.update(_MAP, identity, olds, news)
    news["metadata"] = {**inputs["metadata"], "annotations": {"pulumi.com/patchForce": "true"}}
    assert real.update(_MAP, identity, olds, news)["data"] == {"site": "hamburg"}


def test_a_real_patch_gives_back_only_its_own(real: Run, seen: Cluster) -> None:
    name = f"x{secrets.token_hex(4)}"

    def node(**labels: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}

    target = Target("v1", "Node", name, None)
    seen.apply(node(os="linux"), target, manager="kubelet", force=False)
    identity, outputs = real.create(_NODE_PATCH, node(tier="near"))
    assert seen.get(target)["metadata"]["labels"] == {"os": "linux", "tier": "near"}
    real.delete(_NODE_PATCH, identity, outputs)
    assert seen.get(target)["metadata"]["labels"] == {"os": "linux"}


def test_a_real_namespace_takes_all_that_is_in_it_along(real: Run, seen: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"x{secrets.token_hex(4)}"}}
    identity, outputs = real.create("core/v1:Namespace", namespace)
    assert outputs["status"]["phase"] == "Active"
    inside = fresh("ConfigMap", data={})
    inside["metadata"]["namespace"] = identity
    real.create(_MAP, inside)
    real.delete("core/v1:Namespace", identity, outputs)
    for one in (namespace, inside):
        with pytest.raises(Absent):
            seen.get(objects.target(one))


def _rollout(replicas: int, **annotations: str) -> dict[str, Any]:
    labels = {"app": secrets.token_hex(4)}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]}}
    made = fresh(
        "Deployment", "apps/v1", spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    )
    made["metadata"]["annotations"] = annotations
    return made


def test_a_real_rollout_is_waited_for_and_goes_with_its_replica_sets(real: Run) -> None:
    identity, outputs = real.create(_DEPLOYMENT, _rollout(0))
    assert outputs["status"]["observedGeneration"] == outputs["metadata"]["generation"]
    real.delete(_DEPLOYMENT, identity, outputs)


def test_a_real_rollout_without_nodes_does_not_get_done(real: Run) -> None:
    with pytest.raises(grpc.RpcError, match="not done within 3 s: 0 of 1 replicas are available") as failed:
        real.create(_DEPLOYMENT, _rollout(1, **{"pulumi.com/timeoutSeconds": "3"}))
    left = incomplete(failed.value)
    real.delete(_DEPLOYMENT, left.id, from_struct(left.properties))


def test_a_real_custom_kind_is_used_right_after_it_was_made(real: Run) -> None:
    group = f"{secrets.token_hex(4)}.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Widget", "plural": "widgets"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    token = "apiextensions.k8s.io/v1:CustomResourceDefinition"
    defined, outputs = real.create(token, definition)
    widget = fresh("Widget", f"{group}/v1", spec={"size": 1})
    # The garbage collector hears of a new kind only after half a minute, and a foreground deletion waits for it.
    widget["metadata"]["annotations"] = {"pulumi.com/deletionPropagationPolicy": "background"}
    identity, made = real.create(f"{group}/v1:Widget", widget)
    real.delete(f"{group}/v1:Widget", identity, made)
    real.delete(token, defined, outputs)


@pytest.mark.engine
def test_a_stack_on_a_real_cluster_comes_up_stays_changes_and_goes(
    stack: InlineRun, kubeconfig: str, seen: Cluster
) -> None:
    facts = Target("v1", "ConfigMap", "facts", "edge")
    stack.program = _program(kubeconfig, site="berlin")
    stack.preview()
    stack.up()
    made = seen.get(facts)
    assert made["data"] == {"site": "berlin"}
    assert stack.outputs()["uid"] == made["metadata"]["uid"]
    stack.up("--expect-no-changes")
    assert seen.get(facts)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    by_hand = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "facts", "namespace": "edge"}}
    seen.apply({**by_hand, "data": {"site": "by hand"}}, facts, manager="somebody", force=True)
    refreshed = stack.pulumi("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", "one")
    assert "updated" in refreshed.stdout, "a refresh sees what was changed by hand"
    seen.apply(by_hand, facts, manager="somebody", force=True)

    stack.program = _program(kubeconfig, site="hamburg")
    stack.up()
    assert seen.get(facts)["data"] == {"site": "hamburg"}
    stack.destroy()
    with pytest.raises(Absent):
        seen.get(Target("v1", "Namespace", "edge", None))
