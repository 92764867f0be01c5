"""What a rehearsed resource returns: the same every time, secrets kept, unknown where a provider would not know."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_rancher2 as rancher2
import pytest

from engine.rehearsal import core
from engine.rehearsal.in_process import record
from engine.rehearsal.keys import public_key
from engine.rehearsal.values import UNKNOWN, Secret, from_struct, from_wire, leaves, to_struct, to_wire

URN = "urn:pulumi:s::edge::edge:index:Host$command:remote:Command::s-a-base"
COMMAND = "command:remote:Command"
INPUTS = {"create": "true", "stdin": Secret("marker"), "connection": Secret({"host": "h"})}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "apps"},
    "spec": {"ports": []},
}
CASES: list[tuple[str, dict[str, Any]]] = [
    (COMMAND, INPUTS),
    ("kubernetes:core/v1:Service", SERVICE),
    ("kubernetes:helm.sh/v3:Release", {"name": "flux", "namespace": "flux-system", "chart": "oci://r/flux"}),
    ("azure-native:kubernetes:ConnectedCluster", {"resourceGroupName": "edge", "clusterName": "berlin"}),
    ("aws:ec2/instance:Instance", {"ami": "ami-1"}),
    ("aws:eks/cluster:Cluster", {"name": "c", "region": "eu-west-2"}),
    ("tls:index/privateKey:PrivateKey", {"algorithm": "RSA", "rsaBits": 4096}),
    ("tailscale:index/tailnetKey:TailnetKey", {"preauthorized": True}),
    ("rancher2:index/cluster:Cluster", {"name": "berlin", "labels": {"tier": "near"}}),
    ("example:index:Thing", {"a": 1}),
]


@pytest.mark.parametrize(("token", "inputs"), CASES)
def test_the_same_inputs_give_the_same_outputs(token: str, inputs: dict[str, Any]) -> None:
    first, second = (core.create(token, URN, inputs) for _ in range(2))
    assert first == second
    assert core.create(token, f"{URN}-other", inputs)[0] != first[0] or token.startswith(
        ("kubernetes", "azure", "aws:eks")
    )


@pytest.mark.parametrize(("token", "inputs"), CASES)
def test_inputs_are_mirrored_and_stay_as_secret_as_they_were(token: str, inputs: dict[str, Any]) -> None:
    _, made = core.create(token, URN, inputs)
    for key, value in inputs.items():
        if not isinstance(value, dict):
            assert made[key] == value
            assert isinstance(made[key], Secret) == isinstance(value, Secret)


@pytest.mark.parametrize(("token", "inputs"), CASES)
def test_before_creation_only_inputs_are_known(token: str, inputs: dict[str, Any]) -> None:
    seen = core.preview(token, URN, inputs, None)
    assert {key: value for key, value in seen.items() if value is not UNKNOWN} == inputs
    assert seen.keys() == core.create(token, URN, inputs)[1].keys()


def test_unknown_inputs_do_not_hide_which_outputs_there_will_be() -> None:
    seen = core.preview(COMMAND, URN, {"create": UNKNOWN, "stdin": Secret(UNKNOWN)}, None)
    assert seen["stdout"] is UNKNOWN
    assert seen["stdin"] == Secret(UNKNOWN)


def test_a_command_that_runs_again_has_new_output_and_a_key_keeps_its_own() -> None:
    _, ran = core.create(COMMAND, URN, INPUTS)
    assert core.preview(COMMAND, URN, {**INPUTS, "create": "false"}, ran)["stdout"] is UNKNOWN
    token = "azure-native:kubernetes:ConnectedCluster"
    _, made = core.create(token, URN, {"clusterName": "berlin"})
    olds = {**made, "agentVersion": "1.2.3"}
    assert core.preview(token, URN, {"clusterName": "berlin", "tags": {}}, olds)["agentVersion"] == "1.2.3"
    assert core.update(token, URN, {"clusterName": "berlin", "tags": {}}, olds)["agentVersion"] == "1.2.3"


@pytest.mark.parametrize(
    ("token", "inputs", "secret"),
    [
        ("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"}, "privateKeyPem"),
        ("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"}, "privateKeyOpenssh"),
        ("tailscale:index/tailnetKey:TailnetKey", {}, "key"),
    ],
)
def test_what_a_provider_returns_as_a_secret_is_one_and_says_that_it_opens_nothing(
    token: str, inputs: dict[str, Any], secret: str
) -> None:
    value = core.create(token, URN, inputs)[1][secret]
    assert isinstance(value, Secret)
    assert "rehearsal" in value.value.lower()
    assert "PRIVATE KEY" not in value.value


def test_outputs_for_people_say_that_nothing_was_done() -> None:
    assert core.create(COMMAND, URN, INPUTS)[1]["stdout"] == "rehearsal: s-a-base was not run\n"


def test_identities_have_the_form_of_the_real_ones() -> None:
    ids = {token: core.create(token, URN, inputs)[0] for token, inputs in CASES}
    assert ids["kubernetes:core/v1:Service"] == "apps/web"
    assert ids["kubernetes:helm.sh/v3:Release"] == "flux-system/flux"
    assert ids["azure-native:kubernetes:ConnectedCluster"] == (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/edge"
        "/providers/Microsoft.Kubernetes/connectedClusters/berlin"
    )
    assert ids["aws:ec2/instance:Instance"].startswith("i-")
    assert len(ids["aws:ec2/instance:Instance"]) == 19
    assert ids["aws:eks/cluster:Cluster"] == "c"


def test_a_versioned_type_is_the_same_resource_in_azure() -> None:
    inputs = {"resourceGroupName": "edge", "clusterName": "berlin"}
    plain = core.create("azure-native:kubernetes:ConnectedCluster", URN, inputs)
    assert core.create("azure-native:kubernetes/v20240101:ConnectedCluster", URN, inputs) == plain


def test_what_a_kubernetes_object_was_given_is_completed_and_not_overruled() -> None:
    _, made = core.create("kubernetes:core/v1:Service", URN, SERVICE)
    assert made["metadata"]["namespace"] == "apps"
    assert made["metadata"]["uid"]
    assert made["spec"]["clusterIP"].startswith("10.43.")
    _, headless = core.create("kubernetes:core/v1:Service", URN, {**SERVICE, "spec": {"clusterIP": "None"}})
    assert headless["spec"] == {"clusterIP": "None"}


@pytest.mark.parametrize(
    ("algorithm", "bits", "words"),
    [("RSA", 4096, "4096 bit"), ("RSA", 2048, "2048 bit"), ("ED25519", 0, "ED25519 Public-Key")],
)
def test_a_made_up_public_key_is_one_that_openssl_reads(algorithm: str, bits: int, words: str, tmp_path: Path) -> None:
    pem, openssh = public_key("seed", algorithm, bits)
    file = tmp_path / "key.pem"
    file.write_text(pem)
    said = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(file), "-noout", "-text"], capture_output=True, text=True, check=True
    )
    assert words in said.stdout
    name, blob = openssh.split()
    assert base64.b64decode(blob)[4 : 4 + len(name)] == name.encode()


@pytest.mark.parametrize(
    "value",
    [
        {"a": "b", "n": 1, "f": 1.5, "t": True, "l": [1, {"x": None}]},
        {"s": Secret("x"), "deep": [{"s": Secret({"a": [1]})}]},
        {"u": UNKNOWN, "su": Secret(UNKNOWN)},
    ],
)
def test_values_survive_the_wire(value: dict[str, Any]) -> None:
    assert from_wire(to_wire(value)) == value
    assert from_struct(to_struct(value)) == value


def test_a_secret_hides_itself_from_whoever_prints_it() -> None:
    assert "marker" not in f"{Secret('marker')} {[Secret('marker')]} { ({'a': Secret('marker')})!r}"


def test_paths_quote_what_the_notation_uses() -> None:
    assert [path for path, _ in leaves({"a": [{"b.c": 1}], 'd"e': 2})] == ['a[0]["b.c"]', '["d\\"e"]']


def test_what_registers_a_cluster_with_rancher_is_secret_and_plainly_made_up() -> None:
    identity, made = core.create("rancher2:index/cluster:Cluster", URN, {"name": "berlin"})
    registration = made["clusterRegistrationToken"]
    assert isinstance(registration, Secret)
    assert registration.value["manifestUrl"] == (
        f"https://rancher.rehearsal.invalid/v3/import/{registration.value['token']}_{identity}.yaml"
    )
    assert registration.value["token"].startswith("rehearsal-not-a-token-")


def test_a_program_reads_the_manifest_url_of_a_rancher_cluster_as_a_secret() -> None:
    def program() -> None:
        cluster = rancher2.Cluster("berlin", annotations={"rancher.io/imported-cluster-version-management": "false"})
        pulumi.export("url", cluster.cluster_registration_token.manifest_url)

    recording = record(program, project="small", stack="one", config={})
    assert not recording.problems
    url = recording.outputs["url"]
    assert isinstance(url, Secret)
    assert url.value.startswith("https://rancher.rehearsal.invalid/v3/import/rehearsal-not-a-token-")
