"""The rehearsal's side of the provider protocol, asked over a channel as the engine asks."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

from engine.rehearsal import core
from engine.rehearsal.providers import PROVIDERS
from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.values import UNKNOWN, Secret, from_struct, to_struct
from engine.rehearsal.world import World

URN = "urn:pulumi:s::edge::edge:index:Host$command:remote:Command::s-a-base"
SECRET_URN = "urn:pulumi:s::edge::kubernetes:core/v1:Secret::token"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": "x"}}
INPUTS = {"create": "true", "connection": Secret({"host": "h"}), "triggers": [1]}

Stub = Callable[[str], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(World(outposts={"arn:aws:outposts:eu-west-2:1:outpost/op-1": {}})) as running:
        yield running


def address(server: RehearsalServer, name: str) -> str:
    return "127.0.0.1:" + dict(item.split(":") for item in server.debug_providers.split(","))[name]


@pytest.fixture
def provider(server: RehearsalServer) -> Iterator[Stub]:
    """A stub of one provider on a connection of its own, as each provider instance of the engine has."""
    channels: list[grpc.Channel] = []

    def connect(name: str) -> Any:
        # Without this, channels of one process to one address share a connection.
        channels.append(grpc.insecure_channel(address(server, name), options=[("grpc.use_local_subchannel_pool", 1)]))
        return provider_pb2_grpc.ResourceProviderStub(channels[-1])

    yield connect
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_reports_the_version_of_its_sdk(provider: Stub, name: str) -> None:
    assert provider(name).GetPluginInfo(empty_pb2.Empty()).version == importlib.metadata.version(PROVIDERS[name])


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_takes_secrets_and_can_preview(provider: Stub, name: str) -> None:
    stub = provider(name)
    assert stub.Handshake(pb.ProviderHandshakeRequest()).accept_secrets
    stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
    configured = stub.Configure(pb.ConfigureRequest(acceptSecrets=True))
    assert (configured.acceptSecrets, configured.supportsPreview) == (True, True)
    assert json.loads(stub.GetSchema(pb.GetSchemaRequest()).schema) is not None
    stub.Cancel(empty_pb2.Empty())


def test_a_check_returns_inputs_with_their_secrets_and_findings_by_property(provider: Stub) -> None:
    stub = provider("command")
    clean = stub.Check(pb.CheckRequest(urn=URN, news=to_struct(INPUTS)))
    assert (list(clean.failures), from_struct(clean.inputs)) == ([], INPUTS)
    broken = stub.Check(pb.CheckRequest(urn=URN, news=to_struct({**INPUTS, "creat": "x"})))
    assert [(failure.property, failure.reason) for failure in broken.failures] == [
        ("creat", 'unknown property (did you mean "create"?)')
    ]


def test_the_configuration_of_a_provider_is_checked_too(provider: Stub) -> None:
    urn = "urn:pulumi:s::edge::pulumi:providers:kubernetes::k"
    broken = provider("kubernetes").CheckConfig(pb.CheckRequest(urn=urn, news=to_struct({"kubeConfig": "x"})))
    assert [failure.property for failure in broken.failures] == ["kubeConfig"]
    old, new = to_struct({"clusterIdentifier": "a"}), to_struct({"clusterIdentifier": "b"})
    found = provider("kubernetes").DiffConfig(pb.DiffRequest(urn=urn, olds=old, old_inputs=old, news=new))
    assert list(found.replaces) == ["clusterIdentifier"]


def test_a_diff_says_what_changes_and_what_replaces(provider: Stub) -> None:
    old, new = to_struct(INPUTS), to_struct({**INPUTS, "create": "false", "triggers": [2]})
    found = provider("command").Diff(pb.DiffRequest(urn=URN, olds=old, old_inputs=old, news=new))
    assert found.changes == pb.DiffResponse.DIFF_SOME
    assert (list(found.replaces), list(found.diffs)) == (["triggers[0]"], ["create", "triggers"])
    kinds = {path: pb.PropertyDiff.Kind.Name(change.kind) for path, change in found.detailedDiff.items()}
    assert kinds == {"create": "UPDATE", "triggers[0]": "UPDATE_REPLACE"}
    same = provider("command").Diff(pb.DiffRequest(urn=URN, olds=old, old_inputs=old, news=old))
    assert same.changes == pb.DiffResponse.DIFF_NONE


def test_a_provider_instance_decides_by_its_own_configuration(provider: Stub) -> None:
    mutable, default = provider("kubernetes"), provider("kubernetes")
    mutable.Configure(pb.ConfigureRequest(args=to_struct({"enableSecretMutable": "true"})))
    default.Configure(pb.ConfigureRequest(args=to_struct({})))
    old, new = (to_struct({**SECRET, "data": {"a": Secret(value)}}) for value in ("Yg==", "Yw=="))
    request = pb.DiffRequest(urn=SECRET_URN, olds=old, old_inputs=old, news=new)
    assert list(mutable.Diff(request).replaces) == []
    assert list(default.Diff(request).replaces) == ["data.a"]


def test_creating_updating_reading_and_deleting(provider: Stub) -> None:
    stub = provider("command")
    planned = stub.Create(pb.CreateRequest(urn=URN, properties=to_struct(INPUTS), preview=True))
    assert (planned.id, from_struct(planned.properties)["stdout"]) == ("", UNKNOWN)
    made = stub.Create(pb.CreateRequest(urn=URN, properties=to_struct(INPUTS)))
    outputs = from_struct(made.properties)
    assert made.id
    assert isinstance(outputs["connection"], Secret)
    changed = to_struct({**INPUTS, "create": "false"})
    seen = stub.Update(pb.UpdateRequest(id=made.id, urn=URN, olds=made.properties, news=changed, preview=True))
    assert from_struct(seen.properties)["stdout"] is UNKNOWN
    updated = stub.Update(pb.UpdateRequest(id=made.id, urn=URN, olds=made.properties, news=changed))
    assert from_struct(updated.properties)["create"] == "false"
    read = stub.Read(pb.ReadRequest(id=made.id, urn=URN, properties=made.properties, inputs=to_struct(INPUTS)))
    assert (read.id, from_struct(read.properties)) == (made.id, outputs)
    stub.Delete(pb.DeleteRequest(id=made.id, urn=URN, properties=made.properties))


def test_a_data_source_is_answered_or_refused(provider: Stub) -> None:
    stub, token = provider("aws"), "aws:outposts/getOutpost:getOutpost"
    answer = stub.Invoke(pb.InvokeRequest(tok=token, args=to_struct({"id": "op-1"})))
    assert from_struct(getattr(answer, "return"))["ownerId"] == "1"
    refusal = stub.Invoke(pb.InvokeRequest(tok=token, args=to_struct({"id": "op-2"})))
    assert "does not declare the Outpost op-2" in refusal.failures[0].reason


def test_components_of_other_packages_and_methods_are_refused_clearly(provider: Stub) -> None:
    stub = provider("kubernetes")
    with pytest.raises(grpc.RpcError, match="components of other packages") as refusal:
        stub.Construct(pb.ConstructRequest(type="kubernetes:yaml/v2:ConfigGroup"))
    assert "ConfigGroup" in refusal.value.details()
    with pytest.raises(grpc.RpcError, match="does not run resource methods"):
        stub.Call(pb.CallRequest(tok="kubernetes:x:y"))


def test_a_fault_of_the_rehearsal_is_called_one_and_shows_no_value(
    provider: Stub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("marker")

    monkeypatch.setattr(core, "create", broken)
    with pytest.raises(grpc.RpcError, match="the rehearsal of command has a fault: ValueError") as fault:
        provider("command").Create(pb.CreateRequest(urn=URN, properties=to_struct(INPUTS)))
    assert "marker" not in fault.value.details() + "".join(capfd.readouterr())


def test_only_loopback_is_listened_on(server: RehearsalServer) -> None:
    ports = {int(item.rpartition(":")[2]) for item in server.debug_providers.split(",")}
    listening = {
        ipaddress.ip_address(connection.laddr.ip)
        for connection in psutil.Process().net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports
    }
    assert len(ports) == len(PROVIDERS)
    # Where the machine has IPv6, gRPC shows its IPv4 sockets as mapped ones.
    assert {str(getattr(address, "ipv4_mapped", None) or address) for address in listening} == {"127.0.0.1"}


def test_after_the_context_nothing_listens() -> None:
    with RehearsalServer() as running:
        target = address(running, "tls")
    with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError):
        provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty(), timeout=5)
