"""The cluster of a site: hardened as CIS asks, founded once, left in order."""

from __future__ import annotations

import re
from typing import Any

import yaml

from engine.rehearsal.in_process import Recorded
from stacks.loader import load_site
from tests.promises.recordings import (
    COMMAND,
    SITES,
    all_resources,
    before,
    commands,
    files,
    k3s_servers,
    of_type,
    plain,
    recorded,
    script,
)


def api_server(config: dict[str, Any]) -> dict[str, str]:
    """Flags of the API server."""
    return dict(flag.split("=", 1) for flag in config["kube-apiserver-arg"])


def test_secrets_are_encrypted_at_rest_on_every_server() -> None:
    for command, config, _ in k3s_servers():
        assert config.get("secrets-encryption") is True, command.name
        assert config.get("secrets-encryption-provider") in ("secretbox", "aescbc"), command.name


def test_every_request_to_the_api_is_audited() -> None:
    for command, config, written in k3s_servers():
        flags = api_server(config)
        assert flags.get("audit-log-path"), command.name
        policy = yaml.safe_load(written[flags["audit-policy-file"]])
        assert policy["kind"] == "Policy"
        # The last rule is for all that no earlier one names.
        assert policy["rules"][-1] == {"level": "Metadata"}, command.name


def test_the_audit_leaves_out_leases_and_events_only() -> None:
    for _, config, written in k3s_servers():
        policy = yaml.safe_load(written[api_server(config)["audit-policy-file"]])
        left_out = [rule for rule in policy["rules"] if rule["level"] == "None"]
        resources = {name for rule in left_out for group in rule["resources"] for name in group["resources"]}
        assert resources == {"leases", "events"}


def test_pods_are_restricted_in_every_namespace_that_is_not_exempt_by_name() -> None:
    for command, config, written in k3s_servers():
        admission = yaml.safe_load(written[api_server(config)["admission-control-config-file"]])
        (security,) = [one["configuration"] for one in admission["plugins"] if one["name"] == "PodSecurity"]
        assert security["defaults"]["enforce"] == "restricted", command.name
        assert "kube-system" in security["exemptions"]["namespaces"]
        assert "default" not in security["exemptions"]["namespaces"]


def test_the_administrators_kubeconfig_is_readable_by_root_only() -> None:
    for command, config, _ in k3s_servers():
        assert config["write-kubeconfig-mode"] == "0600", command.name


def test_the_kubelet_refuses_a_host_with_other_kernel_settings() -> None:
    for command in commands("k3s"):
        config = yaml.safe_load(files(script(command))["/etc/rancher/k3s/config.yaml"])
        assert config.get("protect-kernel-defaults") is True, command.name


def test_a_pod_that_names_no_seccomp_profile_is_not_unconfined() -> None:
    # CIS 4.2.14.
    for command in commands("k3s"):
        config = yaml.safe_load(files(script(command))["/etc/rancher/k3s/config.yaml"])
        assert "seccomp-default=true" in config["kubelet-arg"], command.name


def test_the_default_account_of_kubernetes_own_namespaces_has_no_token() -> None:
    # CIS 5.1.5. What the program itself makes is in test_in_the_cluster.py.
    for command, _, written in k3s_servers():
        objects = list(yaml.safe_load_all(written["/var/lib/rancher/k3s/server/manifests/edge-hardening.yaml"]))
        closed = {
            one["metadata"]["namespace"]
            for one in objects
            if one["kind"] == "ServiceAccount"
            and one["metadata"]["name"] == "default"
            and one["automountServiceAccountToken"] is False
        }
        assert closed == {"default", "kube-node-lease", "kube-public", "kube-system"}, command.name


def test_what_k3s_needs_of_a_host_is_looked_for_before_anything_is_changed_on_it() -> None:
    installed = {command.name.removesuffix("-k3s"): script(command) for command in commands("k3s")}
    for site, facts in all_resources():
        node = facts.name.removesuffix("-facts")
        if facts.name.endswith("-facts") and node in installed:
            text = script(facts)
            config = yaml.safe_load(files(installed[node])["/etc/rancher/k3s/config.yaml"])
            assert "ip_set" in text, node
            assert "k3s_port tcp 10250" in text, node
            assert ("k3s_port tcp 6443" in text) == ("tls-san" in config), node
            encrypted = load_site(site).k3s
            assert encrypted is not None
            assert ("type wireguard" in text) == (encrypted.flannel_backend == "wireguard-native"), node
            assert facts.name in before(site, next(one for one in commands("k3s") if one.name == f"{node}-k3s")), node


def test_only_root_looks_into_the_servers_folder() -> None:
    for command, _, _ in k3s_servers():
        text = script(command)
        made = re.search(r"^install -d -m 0700 (.*)$", text, re.MULTILINE)
        assert made, command.name
        assert "/var/lib/rancher/k3s/server" in made[1].split(), command.name
        assert made.start() < text.index("\nput_file /var/lib/rancher/k3s/server/"), command.name


def waited_for(site: str) -> list[Recorded]:
    """Commands of the site that wait for a node, and remove it. An only server goes with its cluster."""
    return [
        one
        for one in recorded(site).resources
        if one.name.endswith("-k3s-member") and one.inputs.get("delete") is not None
    ]


def test_a_node_is_removed_from_the_cluster_before_its_own_host_is_uninstalled() -> None:
    # By a dependency of its own: one by way of another host is gone when that host changes in the same run.
    for site in SITES:
        by_name = {one.name: one for one in recorded(site).resources}
        for waits in waited_for(site):
            own = by_name[f"{waits.name.removesuffix('-k3s-member')}-k3s"]
            assert own.urn in waits.dependencies, waits.name


def test_a_node_that_goes_is_drained_before_it_is_forgotten() -> None:
    for command in (command for site in SITES for command in waited_for(site)):
        text = script(command, "delete")
        node = command.name.removesuffix("-k3s-member")
        assert f"kubectl drain {node}" in text, command.name
        assert text.index(f"kubectl drain {node}") < text.rindex("\nforget"), command.name


def test_a_node_is_drained_before_k3s_leaves_it_and_before_it_leaves_the_host_that_drains() -> None:
    installations = {
        plain(command)["connection"]["host"]: command.name
        for command in of_type(COMMAND)
        if command.name[-4:] == "-k3s"
    }
    drained = 0
    for site, resource in all_resources():
        if resource.type == COMMAND and "kubectl drain" in script(resource, "delete"):
            drained += 1
            needed = before(site, resource)
            assert resource.name.removesuffix("-member") in needed, resource.name
            assert installations[plain(resource)["connection"]["host"]] in needed, resource.name
    assert drained, "no node is drained"


def test_on_destroy_all_other_nodes_are_drained_before_the_first_server() -> None:
    # Each node is drained through another one: two that leave through each other at the same time lose the cluster.
    nodes = {
        (site, plain(one)["connection"]["host"]): one.name.removesuffix("-reachable")
        for site, one in all_resources()
        if one.name.endswith("-reachable")
    }
    compared = 0
    for site, ready in all_resources():
        if ready.name == f"{site}-k3s-ready":
            first = f"{nodes[site, plain(ready)['connection']['host']]}-k3s-member"
            drained = waited_for(site)
            if first in [one.name for one in drained]:
                for other in drained:
                    compared += 1
                    assert other.name == first or first in before(site, other), other.name
    assert compared > 1, "no site has a first server among others"


def test_an_only_server_is_never_removed_from_its_own_cluster() -> None:
    # What is left of several servers keeps the resource that removed a server among others.
    only = [one for one in commands("k3s-member") if one.inputs.get("delete") is None]
    assert only, "no site has an only server"
    servers = {command.name for command, _, _ in k3s_servers()}
    for command in only:
        assert command.name.removesuffix("-member") in servers, command.name


def test_a_host_joins_with_what_a_member_said_once_it_had_forgotten_the_old_node() -> None:
    for site in SITES:
        admitted = {one.name: one for one in recorded(site).resources if one.name.endswith("-k3s-admit")}
        for name, forgotten in admitted.items():
            host = name.removesuffix("-k3s-admit")
            (installed,) = [one for one in recorded(site).resources if one.name == f"{host}-k3s"]
            assert name in before(site, installed), name
            (ready,) = [one for one in recorded(site).resources if one.name == f"{site}-k3s-ready"]
            first = next(
                one.name.removesuffix("-reachable")
                for one in recorded(site).resources
                if one.name.endswith("-reachable")
                and plain(one)["connection"]["host"] == plain(ready)["connection"]["host"]
            )
            if host != first:
                # Then a cluster is there, and silence is a failure.
                assert f"{first}-k3s" in before(site, forgotten), name


def test_an_old_node_is_forgotten_for_a_new_installation_only() -> None:
    for command in commands("k3s-admit"):
        assert "\nforget\n" in script(command).replace("  forget\n", "forget\n"), command.name
        assert "kubectl" not in script(command, "update"), f"{command.name} could forget a node that only is not Ready"
        assert plain(command).get("triggers"), command.name


def test_no_host_joins_with_a_token_that_names_no_ca() -> None:
    for command in commands("k3s"):
        text = script(command)
        assert "server: https://" not in text or 'names_its_ca "$joining" ||' in text, command.name
        assert re.search(r"^\s*put_token /etc/rancher/k3s/(agent-)?token ", text, re.MULTILINE), command.name


def test_no_start_of_k3s_blocks() -> None:
    for command in commands("k3s"):
        for line in script(command).splitlines():
            assert not re.search(r"systemctl (re)?start\b", line), f"{command.name}: {line}"


def test_a_permit_is_dropped_only_when_the_node_is_ready() -> None:
    for command, _, _ in k3s_servers():
        text = script(command)
        if "permit=" not in text:
            continue  # an external datastore says itself whether there is a cluster
        assert text.rindex("until ready; do") < text.index('drop_file "$permit"'), command.name


def test_k3s_is_uninstalled_with_all_its_data_on_destroy() -> None:
    for command in commands("k3s"):
        text = script(command, "delete")
        assert "/var/lib/rancher/k3s" in text, command.name
        assert "systemctl disable --now k3s" in text, command.name


def test_the_permit_to_found_a_cluster_is_granted_once() -> None:
    for command in commands("k3s-birth"):
        assert "cluster" in script(command), command.name
        again = script(command, "update")
        assert again, f"{command.name} would run again after a change"
        after_prelude = again.rpartition("\n}\n")[2]
        assert "put_file" not in after_prelude, command.name


def test_an_unreachable_cluster_does_not_stop_an_update_of_the_rest() -> None:
    for provider in of_type("pulumi:providers:kubernetes"):
        if "k3s" in provider.name:
            assert plain(provider).get("skipUpdateUnreachable") in (True, "true"), provider.name


def test_a_new_kubeconfig_does_not_replace_what_is_in_the_cluster() -> None:
    for site, provider in all_resources():
        if provider.type == "pulumi:providers:kubernetes":
            assert plain(provider).get("clusterIdentifier") == site, provider.name


def test_a_download_is_verified_before_it_is_installed() -> None:
    for name, _, text in _scripts_that_fetch():
        for line in re.findall(r"^\s*fetch .*", text, re.MULTILINE):
            assert re.search(r"\b[0-9a-f]{64}\b", line), f"{name}: {line}"
        outside = [line for line in text.splitlines() if re.search(r"\b(curl|wget)\b.*--output(?! /dev/null)", line)]
        assert len(outside) <= 1, f"{name} downloads without `fetch`: {outside}"


def _scripts_that_fetch() -> list[tuple[str, str, str]]:
    found = [
        (command.name, "create", script(command))
        for command in of_type(COMMAND)
        if re.search(r"^\s*fetch \S", script(command), re.MULTILINE)
    ]
    assert found, "no script downloads anything"
    return found
