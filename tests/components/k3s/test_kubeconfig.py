"""The administrator's kubeconfig: at which address, read from the host's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.k3s.part import PART
from components.k3s.plan import api_url, plan_cluster, server_config
from components.k3s.spec import K3sSpec
from tests.components.site_parts import k3s, machine, site_of
from tests.sandbox import Sandbox, needs_root

HERE = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: {server}
  name: default
contexts:
- context: {{cluster: default, user: default}}
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
"""

ADDRESSES = {
    "one server": (k3s(), {"address": "10.0.0.11"}, "https://10.0.0.11:6443"),
    "another address between nodes": (
        k3s(),
        {"address": "203.0.113.9", "node_ip": "10.0.0.11"},
        "https://203.0.113.9:6443",
    ),
    "IPv6": (k3s(), {"address": "2001:db8::11"}, "https://[2001:db8::11]:6443"),
    "a shared address": (k3s(api_address="10.0.0.10"), {"address": "10.0.0.11"}, "https://10.0.0.10:6443"),
    "a shared address of IPv6": (
        k3s(api_address="2001:db8::10"),
        {"address": "10.0.0.11", "node_ip": "10.0.0.12"},
        "https://[2001:db8::10]:6443",
    ),
    "a name": (k3s(api_address="api.example"), {"address": "10.0.0.11"}, "https://api.example:6443"),
}


@pytest.mark.parametrize(("spec", "fields", "url"), ADDRESSES.values(), ids=ADDRESSES)
def test_output_and_kubeconfig_have_one_address_which_the_server_certifies(
    spec: K3sSpec, fields: dict[str, str], url: str
) -> None:
    server = machine("a", **fields)
    assert PART.outputs(spec, site_of(server))["kubernetes_endpoint"] == url
    assert api_url(spec, [server]) == url
    certified = server_config(spec, server, [server])["tls-san"]
    assert url.removeprefix("https://").removesuffix(":6443").strip("[]") in certified


@needs_root
@pytest.mark.parametrize("own", ["https://127.0.0.1:6443", "https://[::1]:6443"])
@pytest.mark.parametrize("address", ["10.0.0.11", "2001:db8::11"])
def test_only_the_address_of_the_hosts_own_kubeconfig_changes(tmp_path: Path, own: str, address: str) -> None:
    box = Sandbox(tmp_path / "box", {})
    path = box.path("/etc/rancher/k3s/k3s.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HERE.format(server=own))
    server = machine("a", address=address)
    printed = yaml.safe_load(box.run(plan_cluster(k3s(), [server]).kubeconfig).stdout)
    assert printed["clusters"][0]["cluster"].pop("server") == api_url(k3s(), [server])
    kept = yaml.safe_load(path.read_text())
    kept["clusters"][0]["cluster"].pop("server")
    assert printed == kept
