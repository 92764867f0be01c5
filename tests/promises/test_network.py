"""A site behind a proxy: everything goes out through it, its login stays secret, and other sites notice nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from components.network.plan import egress_of
from components.registration.rancher.part import PART as RANCHER
from components.registration.rancher.plan import agent_environment
from components.registration.rancher.spec import RancherSpec
from engine.rehearsal.in_process import Recorded, Secret
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.promises.recordings import (
    COMMAND,
    SECRET_MARK,
    SITES,
    all_resources,
    files,
    plain,
    recorded_site,
    script,
)
from tests.promises.test_secrets_in_resources import holds_secret

BEHIND = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "valid" / "behind-a-proxy.yaml"
OPEN = BEHIND.with_name("rancher-and-ollama-behind-a-proxy.yaml")
ENVIRONMENT = "/etc/edge/egress.env"
OF_THE_HOST = ("reachable", "facts", "base", "network")
"""Roles of the commands that run before a host has its way out."""


@pytest.fixture(scope="module")
def resources() -> list[Recorded]:
    return list(recorded_site(load_site(BEHIND)).resources)


@pytest.fixture(scope="module")
def behind_an_open_one() -> list[Recorded]:
    """Of a site whose proxy asks for no login."""
    return list(recorded_site(load_site(OPEN)).resources)


def on_hosts(resources: list[Recorded]) -> list[Recorded]:
    return [one for one in resources if one.type == COMMAND]


def test_a_site_without_the_block_has_nothing_of_it() -> None:
    for site, resource in all_resources():
        assert resource.type != "edge:index:Network", site
        if resource.type == COMMAND:
            for when in ("create", "update", "delete"):
                assert "egress" not in script(resource, when), f"{resource.name}: {when}"
    assert SITES


def test_every_script_that_downloads_does_so_with_the_environment_of_its_host(resources: list[Recorded]) -> None:
    downloading = 0
    for command in on_hosts(resources):
        text = script(command)
        if re.search(r"^ *fetch \S+://", text, re.MULTILINE):
            downloading += 1
            assert text.startswith(f"set -a\n# shellcheck source=/dev/null\n. {ENVIRONMENT} || exit\n"), command.name
    assert downloading == 4  # K3s and the mesh, on two hosts


def test_the_way_out_is_there_before_anything_is_downloaded(resources: list[Recorded]) -> None:
    for node in ("behind-a-proxy-a", "behind-a-proxy-b"):
        roles = [one.name.removeprefix(f"{node}-") for one in on_hosts(resources) if one.name.startswith(f"{node}-")]
        assert roles.index("base") < roles.index("network") < roles.index("tailscale") < roles.index("k3s")


def test_what_runs_on_after_the_script_has_the_environment_too(resources: list[Recorded]) -> None:
    for node, service in (("a", "k3s"), ("b", "k3s-agent")):
        for role, unit in (("k3s", service), ("tailscale", "tailscaled")):
            (command,) = [one for one in on_hosts(resources) if one.name == f"behind-a-proxy-{node}-{role}"]
            written = files(script(command))[f"/etc/systemd/system/{unit}.service"]
            assert f"EnvironmentFile=-{ENVIRONMENT}\n" in written


def test_another_login_is_another_input_of_each_program_that_must_start_anew(resources: list[Recorded]) -> None:
    for command in on_hosts(resources):
        if command.name.endswith(("-k3s", "-tailscale", "-network")) and command.name != "behind-a-proxy-k3s":
            given = command.inputs["stdin"]
            assert isinstance(given, Secret)
            assert holds_secret(given.value), command.name


def test_the_login_is_in_no_script_no_trigger_and_no_plain_input(resources: list[Recorded]) -> None:
    for resource in resources:
        for key, value in plain(resource).items():
            if not isinstance(resource.inputs.get(key), Secret) and resource.type == COMMAND and key != "connection":
                assert f"{SECRET_MARK}proxy-login" not in str(value), f"{resource.name}: {key}"
                assert not holds_secret(value), f"{resource.name}: {key}"


def test_k3s_writes_no_login_into_pods_of_its_own_charts(resources: list[Recorded]) -> None:
    """Its Helm controller gives the jobs that it makes the environment of K3s."""
    (server,) = [one for one in on_hosts(resources) if one.name == "behind-a-proxy-a-k3s"]
    assert "disable-helm-controller: true\n" in files(script(server))["/etc/rancher/k3s/config.yaml"]


def test_a_host_is_looked_at_before_it_is_changed(resources: list[Recorded]) -> None:
    for command in on_hosts(resources):
        if command.name.endswith("-facts"):
            assert "proxy.example.com 3128" in script(command)
            assert "command -v update-ca-certificates" in script(command)


def objects(resources: list[Recorded], kind: str, namespace: str) -> list[tuple[Recorded, dict[str, Any]]]:
    found = [(one, plain(one)) for one in resources if one.type.startswith("kubernetes:") and one.type.endswith(kind)]
    return [(one, body) for one, body in found if body["metadata"].get("namespace") == namespace]


def secret_of_pods(resources: list[Recorded], namespace: str) -> dict[str, Any]:
    """The variables that pods of a namespace go out with."""
    ((resource, body),) = [
        (one, body)
        for one, body in objects(resources, ":Secret", namespace)
        if body["metadata"]["name"] == "edge-egress"
    ]
    assert isinstance(resource.inputs["stringData"], Secret)
    variables: dict[str, Any] = body["stringData"]
    return variables


@pytest.mark.parametrize("namespace", ["flux-system", "edge-telemetry"])
def test_pods_that_go_out_may_reach_the_proxy_and_know_its_login(resources: list[Recorded], namespace: str) -> None:
    variables = secret_of_pods(resources, namespace)
    assert variables["HTTPS_PROXY"] == f"http://{SECRET_MARK}proxy-login@proxy.example.com:3128"
    assert "10.43.0.0/16" in variables["NO_PROXY"].split(",")
    policies = [body for _, body in objects(resources, ":NetworkPolicy", namespace)]
    ports = [
        port["port"] for one in policies for rule in one["spec"].get("egress", ()) for port in rule.get("ports", ())
    ]
    assert 3128 in ports


def test_every_controller_of_flux_goes_out_as_the_site_does(resources: list[Recorded]) -> None:
    ((resource, body),) = objects(resources, ":FluxInstance", "flux-system")
    assert not holds_secret(body)
    (patch,) = [one for one in body["spec"]["kustomize"]["patches"] if one["target"].get("labelSelector")]
    assert patch["target"] == {"kind": "Deployment", "labelSelector": "app.kubernetes.io/part-of=flux"}
    pod = json.loads(patch["patch"])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "manager"
    assert container["envFrom"] == [{"secretRef": {"name": "edge-egress"}}]
    assert container["env"] == [{"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs:/etc/edge-trusted-cas"}]
    assert pod["volumes"][0]["configMap"]["name"] == "edge-trusted-cas"
    assert "egress" in {name.rpartition("-")[2] for name in resource.dependencies}


def test_the_collector_trusts_the_authorities_of_the_site(resources: list[Recorded]) -> None:
    for _, body in objects(resources, ":StatefulSet", "edge-telemetry"):
        pod = body["spec"]["template"]["spec"]
        (container,) = [each for each in pod["containers"] if each["name"] == "collector"]
        assert container["envFrom"] == [{"secretRef": {"name": "edge-egress"}}]
        assert {"name": "edge-trusted-cas", "mountPath": "/etc/edge-trusted-cas", "readOnly": True} in container[
            "volumeMounts"
        ]
    ((_, config),) = [
        one for one in objects(resources, ":ConfigMap", "edge-telemetry") if one[1]["metadata"]["name"] == "otel-config"
    ]
    exporters = yaml.safe_load(config["data"]["config.yaml"])["exporters"].values()
    for exporter in exporters:
        assert exporter["tls"] == {"ca_file": "/etc/edge-trusted-cas/ca.pem", "include_system_ca_certs_pool": True}


def test_pods_start_anew_with_another_login_and_their_mark_does_not_tell_it(resources: list[Recorded]) -> None:
    marks = {
        body["spec"]["template"]["metadata"]["annotations"]["checksum/egress"]
        for _, body in objects(resources, ":StatefulSet", "edge-telemetry")
    }
    (mark,) = marks
    assert re.fullmatch(r"[0-9a-f]{16}", mark)
    assert mark != with_login("edge:another")
    assert mark == with_login(f"{SECRET_MARK}proxy-login")


def with_login(login: str) -> str:
    """The mark of pods at the site with another login."""
    spec = load_site(BEHIND)
    others = recorded_site(spec, {"edge:proxy-login": login}).resources
    _, body = objects(list(others), ":StatefulSet", "edge-telemetry")[0]
    found: str = body["spec"]["template"]["metadata"]["annotations"]["checksum/egress"]
    return found


def test_the_agents_of_arc_get_proxy_and_authorities_as_secrets(resources: list[Recorded]) -> None:
    (agents,) = [one for one in resources if one.name.endswith("-arc-agents")]
    settings = plain(agents)["values"]["global"]
    assert settings["isProxyEnabled"] is True
    assert settings["httpsProxy"] == f"http://{SECRET_MARK}proxy-login@proxy.example.com:3128"
    assert settings["isCustomCert"] is True
    assert settings["proxyCert"].startswith("-----BEGIN CERTIFICATE-----")


def test_models_are_pulled_through_the_proxy_and_the_server_still_has_no_way_out(
    behind_an_open_one: list[Recorded],
) -> None:
    ((job, body),) = objects(behind_an_open_one, ":Job", "edge-ollama")
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "edge-egress"}}]
    assert {"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs:/etc/edge-trusted-cas"} in container["env"]
    assert {"name": "edge-trusted-cas", "mountPath": "/etc/edge-trusted-cas", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert {"name": "edge-trusted-cas", "configMap": {"name": "edge-trusted-cas"}} in pod["volumes"]
    assert {"egress", "trusted-cas"} <= {name.rpartition("ollama-")[2] for name in job.dependencies}
    assert secret_of_pods(behind_an_open_one, "edge-ollama")["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    by_name = {
        body["metadata"]["name"]: body["spec"]
        for _, body in objects(behind_an_open_one, ":NetworkPolicy", "edge-ollama")
    }
    (_, reached) = by_name["allow-pull"]["egress"]
    assert [port["port"] for port in reached["ports"]] == [443, 3128]
    assert [name for name, policy in by_name.items() if policy.get("egress")] == ["allow-pull"]
    ((_, server),) = objects(behind_an_open_one, ":Deployment", "edge-ollama")
    assert "edge-egress" not in json.dumps(server)


def test_the_agent_of_rancher_goes_out_as_the_site_does(behind_an_open_one: list[Recorded]) -> None:
    (entry,) = [one for one in behind_an_open_one if one.type == "rancher2:index/cluster:Cluster"]
    given = {one["name"]: one["value"] for one in plain(entry)["agentEnvVars"]}
    assert given.keys() == {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    assert given["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert {"10.43.0.0/16", ".svc", "10.10.0.0/24"} <= set(given["NO_PROXY"].split(","))


def test_rancher_that_is_reached_without_the_proxy_hears_of_none() -> None:
    spec = load_site(BEHIND)
    arranged = egress_of(spec.network, ["rancher.intra.example.com"])
    rancher = RancherSpec(kind="rancher", api_url="https://rancher.intra.example.com")
    assert agent_environment(rancher, arranged) == {}
    assert "proxy" not in RANCHER.astray(rancher, arranged)
    assert "proxy" in RANCHER.astray(rancher.model_copy(update={"api_url": "https://rancher.example.com"}), arranged)


def test_an_instance_on_an_outpost_goes_out_like_any_host() -> None:
    site = recorded_site(load_site(BEHIND.with_name("instance-on-an-outpost-behind-a-proxy.yaml")))
    roles = [one.name.rpartition("-")[2] for one in site.resources if one.type == COMMAND]
    assert roles.index("network") < roles.index("k3s")


def test_no_object_in_the_cluster_holds_the_login_but_its_secrets(resources: list[Recorded]) -> None:
    for resource in resources:
        if resource.type.startswith("kubernetes:") and not resource.type.endswith(":Secret"):
            shown = json.dumps(resource.inputs, default=lambda value: "secret")
            assert not holds_secret(shown), resource.name
