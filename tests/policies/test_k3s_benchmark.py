"""The benchmark as data, what K3s sets by itself, and what the component's own configurations come to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.k3s.plan import CONFIG
from components.k3s.plan import configurations as published
from components.k3s.plan import files as planned_files
from policies.rules.benchmark.checks import CHECKS, flag_checks
from policies.rules.benchmark.effective import arguments, effective
from policies.rules.benchmark.flags import FLAGS
from policies.rules.benchmark.model import Check, FileCheck
from policies.rules.k3s import RULES, weak_arguments
from stacks import parts
from stacks.catalogue import catalogue
from stacks.loader import load_site, site_names

SITES = [site for site in site_names() if load_site(site).k3s is not None]
"""A cloud brings the clusters of the others."""

GUIDE = {
    "protect-kernel-defaults": True,
    "secrets-encryption": True,
    "kube-apiserver-arg": [
        "enable-admission-plugins=NodeRestriction,EventRateLimit",
        "admission-control-config-file=/var/lib/rancher/k3s/server/psa.yaml",
        "audit-log-path=/var/lib/rancher/k3s/server/logs/audit.log",
        "audit-policy-file=/var/lib/rancher/k3s/server/audit.yaml",
        "audit-log-maxage=30",
        "audit-log-maxbackup=10",
        "audit-log-maxsize=100",
        "service-account-extend-token-expiration=false",
    ],
    "kube-controller-manager-arg": ["terminated-pod-gc-threshold=100"],
    "kubelet-arg": [
        "streaming-connection-idle-timeout=5m",
        "tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ],
}
"""What K3s' hardening guide says, and no more."""


def failing(config: dict[str, object], minor: int = 35) -> set[str]:
    flags = effective(config, server=True, datastore="etcd")
    return {
        check.id
        for check in flag_checks(minor, "etcd", flags)
        if check.reason is None and not check.met(flags.get(check.process, {}))
    }


def by_id(number: str) -> Check:
    (found,) = (check for check in CHECKS if check.id == number)
    return found


def test_the_profile_is_whole_and_in_its_order() -> None:
    numbers = [tuple(int(part) for part in check.id.split(".")) for check in CHECKS]
    assert numbers == sorted(set(numbers))
    # 130 of the profile, and those of the newest releases that it does not have yet.
    assert len([check for check in CHECKS if check.id not in ("1.2.30", "4.2.14")]) == 130


def test_k3s_as_it_is_shipped_lacks_what_its_hardening_guide_adds() -> None:
    assert failing({}) == {
        *("1.2.3", "1.2.9", "1.2.16", "1.2.17", "1.2.18", "1.2.19", "1.2.20", "1.2.27", "1.2.28", "1.2.30"),
        *("1.3.1", "3.2.1", "4.2.12", "4.2.13"),
    }


def test_the_hardening_guide_leaves_three_checks_to_us() -> None:
    assert failing(GUIDE) == {"1.2.3", "1.2.20", "4.2.13"}


def test_a_newer_release_is_asked_for_more() -> None:
    assert failing(GUIDE, 36) - failing(GUIDE, 35) == {"4.2.14"}


@pytest.mark.parametrize("site", SITES)
def test_every_node_of_a_site_meets_every_check(site: str) -> None:
    spec = load_site(site)
    seen = parts.view(spec, catalogue())
    assert spec.k3s is not None
    found = published(spec.k3s, seen.machines, seen.exempt_namespaces)
    assert {one["role"] for one in found} == {"server", "agent"}
    for one in found:
        flags = effective(one["config"], server=one["role"] == "server", datastore=one["datastore"])
        for check in flag_checks(36, one["datastore"], flags):
            assert check.reason or check.met(flags.get(check.process, {})), f"{site} {one['role']}: {check.id}"


@pytest.mark.parametrize("site", SITES)
def test_what_is_published_is_what_is_written_on_each_host(site: str) -> None:
    spec = load_site(site)
    seen = parts.view(spec, catalogue())
    assert spec.k3s is not None
    found = published(spec.k3s, seen.machines, seen.exempt_namespaces)
    for machine in seen.machines:
        written = planned_files(spec.k3s, machine, seen.servers, seen.node_labels, seen.exempt_namespaces)
        config = yaml.safe_load(written[CONFIG][1])
        (one,) = (
            one for one in found if one["role"] == machine.spec.role and one["version"] == seen.kubernetes[machine.name]
        )
        assert one["config"].items() <= config.items()
        for key in ("kubelet-arg", "protect-kernel-defaults", *(("kube-apiserver-arg",) if machine.is_server else ())):
            assert key in one["config"]
        for key, path in (("admission", "psa.yaml"), ("audit", "audit.yaml")):
            texts = [text for name, (_, text) in written.items() if name.endswith(path)]
            assert [yaml.safe_load(text) for text in texts] == ([one[key]] if machine.is_server else [])


def test_a_node_more_changes_nothing_of_what_is_published() -> None:
    spec = load_site("plant-osaka")
    seen = parts.view(spec, catalogue())
    assert spec.k3s is not None
    agents = [machine for machine in seen.machines if not machine.is_server]
    assert len(agents) > 1
    fewer = [machine for machine in seen.machines if machine is not agents[-1]]
    assert published(spec.k3s, fewer) == published(spec.k3s, seen.machines)


def test_arguments_replace_defaults_and_add_to_them_as_k3s_does_it() -> None:
    flags = effective(
        {
            "kube-apiserver-arg": ["--enable-admission-plugins+=EventRateLimit", "profiling"],
            "kubelet-arg": "anonymous-auth=true",
            "kube-apiserver-arg+": ["tls-cipher-suites-=X"],
        },
        server=True,
    )
    assert flags["kube-apiserver"]["enable-admission-plugins"] == "NodeRestriction,EventRateLimit"
    assert flags["kube-apiserver"]["profiling"] == "true"
    assert flags["kube-apiserver"]["tls-cipher-suites"].startswith("X,TLS_ECDHE")
    assert flags["kubelet"]["anonymous-auth"] == "true"
    assert arguments(["a=b=c", "--d"]) == [("a", "b=c"), ("d", "true")]


def test_an_agent_has_no_control_plane_and_sqlite_no_etcd() -> None:
    assert set(effective({}, server=False)) == {"kubelet", "kube-proxy"}
    sqlite = effective({}, server=True, datastore="sqlite")
    assert "etcd" not in sqlite
    assert not [check.id for check in flag_checks(36, "sqlite", sqlite) if check.id.startswith("2.")]


def test_every_flag_is_judged_by_a_rule_that_there_is() -> None:
    rules = {rule.id for rule in RULES}
    assert {f"host/{check.rule}" for check in FLAGS} <= rules
    for rule in RULES:
        assert rule.references, rule.id


def test_what_is_left_out_has_its_reason() -> None:
    waived = {check.id: check.reason.text for check in FLAGS if check.reason and check.reason.kind == "waived"}
    assert waived == {"1.2.11": "a site must start pods while its uplink is down; images are pinned by digest"}


@pytest.mark.parametrize(
    ("number", "mode", "owner", "met"),
    [
        ("1.1.20", 0o600, "root:root", True),
        ("1.1.20", 0o400, "x:x", True),
        ("1.1.20", 0o644, "root:root", False),
        ("1.1.11", 0o700, "root:root", True),
        ("1.1.11", 0o2700, "root:root", False),
        ("1.1.14", 0o777, "root:root", True),
        ("1.1.14", 0o600, "root:adm", False),
    ],
)
def test_modes_and_owners_are_compared(number: str, mode: int, owner: str, met: bool) -> None:
    check = by_id(number)
    assert isinstance(check, FileCheck)
    assert check.met(mode, owner) is met


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("k3s server --kube-apiserver-arg=anonymous-auth=true", ("anonymous-auth",)),
        ("k3s agent --kubelet-arg=--read-only-port=10255", ("read-only-port",)),
        ("k3s server --secrets-encryption=false", ("secrets-encryption",)),
        ("kube-scheduler-arg:\n- bind-address=0.0.0.0", ("bind-address",)),
        ("k3s server --kube-apiserver-arg=anonymous-auth=false", ()),
        ("kubelet-arg: [healthz-bind-address=0.0.0.0]", ()),
        ("kubelet-arg: [authorization-mode=Webhook]", ()),
        ("mysqld --bind-address=0.0.0.0", ()),
    ],
)
def test_weak_arguments_are_found_where_they_are_given_to_k3s(script: str, found: tuple[str, ...]) -> None:
    assert weak_arguments(script) == found


def test_the_scripts_of_the_components_give_no_weak_argument() -> None:
    golden = sorted((Path(__file__).parents[1] / "golden" / "k3s").rglob("*install.sh"))
    assert golden
    for file in golden:
        assert weak_arguments(file.read_text()) == ()
