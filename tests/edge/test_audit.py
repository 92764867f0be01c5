"""`edge audit`: every check with what was found, what fails, what is waived, and what hosts show over real SSH."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.k3s import hardening
from edge.run.audit import Planned, planned
from edge.run.audit import rows as rows_of
from policies.rules.benchmark.checks import CHECKS
from policies.rules.benchmark.files import FILES
from tests.edge.conftest import Project, Ran
from tests.edge.sites import broken_site, site
from tests.edge.test_drift import Server, public, server, shops  # noqa: F401

WEAK = tuple(
    "audit-log-maxage=7" if argument.startswith("audit-log-maxage") else argument
    for argument in hardening.API_SERVER_ARGS
)
WAIVER = {"rule": "host/k3s-audit", "reason": "a small disk", "owner": "platform", "expires": "2999-01-01"}


def rows(ran: Ran) -> dict[str, dict[str, Any]]:
    (found,) = ran.document["sites"]
    return {row["id"]: row for row in found["checks"]}


def test_a_site_of_ours_fails_no_check_and_every_check_has_a_verdict(project: Project) -> None:
    ran = project.edge("audit", "demo", "--json")
    found = rows(ran)
    assert ran.code == ran.document["exit"] == 0
    assert list(found) == [check.id for check in CHECKS]
    assert {row["verdict"] for row in found.values()} == {"pass", "waived", "n/a", "manual", "host"}
    assert (found["1.2.1"]["required"], found["1.2.1"]["found"]) == ("false", "false")
    assert found["1.2.11"]["verdict"] == "waived"
    assert "uplink" in found["1.2.11"]["waiver"]
    assert [row["id"] for row in found.values() if row["verdict"] == "host"] == [check.id for check in FILES]


def test_the_table_has_every_check_within_80_columns(project: Project) -> None:
    ran = project.edge("audit", "demo")
    lines = ran.stdout.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert {check.id for check in CHECKS} <= {line.split()[0] for line in lines if line.strip()}
    assert lines[-1] == "1 site, 132 checks: none failed; 18 only with `--live`"


def test_a_check_that_fails_is_exit_code_1_and_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "API_SERVER_ARGS", WEAK)
    ran = project.edge("audit", "demo")
    assert ran.code == 1
    assert "found at server v1.36.3+k3s1: 7" in ran.stdout
    assert "do: Write `audit-log-maxage=30` in `kube-apiserver-arg`." in ran.stdout
    found = rows(project.edge("audit", "demo", "--json"))
    # The policy of that group of checks fails with it.
    assert [number for number, row in found.items() if row["verdict"] == "fail"] == ["1.2.17", "3.2.2"]


def test_a_waiver_of_the_site_is_shown_and_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "API_SERVER_ARGS", WEAK)
    project.change("demo", lambda content: content.update(waivers=[WAIVER]))
    ran = project.edge("audit", "demo", "--json")
    row = rows(ran)["1.2.17"]
    assert ran.code == 0
    assert (row["verdict"], row["found"]) == ("waived", "7")
    assert row["waiver"] == "until 2999-01-01 by platform: a small disk"


def test_the_flags_are_those_of_each_process(project: Project) -> None:
    ran = project.edge("audit", "demo", "--flags", "--json")
    assert ran.code == 0
    assert set(ran.document) == {
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
    }
    assert ran.document["kube-apiserver"]["anonymous-auth"] == "false"
    assert ran.document["kube-apiserver"]["audit-log-maxage"] == "30"
    assert ran.document["kubelet"]["pod-max-pids"] == "4096"
    assert "  --audit-log-maxage=30" in project.edge("audit", "demo", "--flags").stdout.splitlines()


def test_bad_input_is_exit_code_2(project: Project) -> None:
    broken = broken_site(project.sites)
    assert project.edge("audit", broken).code == 2
    assert project.edge("audit", broken, "--flags", "--json").code == 2
    assert project.edge("audit").code == 2
    assert project.edge("audit", "--all", "--flags").code == 2
    assert project.edge("audit", "nowhere").code == 2


def test_a_site_whose_cluster_is_a_clouds_has_nothing_to_audit(project: Project) -> None:
    file = site(project.sites, "bare", dict.fromkeys(("k3s", "mesh", "gitops", "telemetry", "inference")))
    ran = project.edge("audit", file)
    assert ran.code == 0
    assert "no K3s of its own" in ran.stdout


def test_a_release_is_asked_for_what_its_profile_has(project: Project) -> None:
    found = planned(project.sites / "demo.yaml", project.root)
    assert isinstance(found, Planned)
    assert "4.2.14" in {row.check.id for row in rows_of(found.nodes, found.findings)}
    older = [dataclasses.replace(node, version="v1.33.1+k3s1") for node in found.nodes]
    assert "4.2.14" not in {row.check.id for row in rows_of(older, found.findings)}


def live_site(folder: Path, server: Server, name: str = "shop") -> Path:  # noqa: F811
    settings = folder.parent / f"Pulumi.{name}.yaml"
    settings.write_text(yaml.safe_dump({"config": {"edge:ssh-private-key": {"secure": "v1:..."}}}))
    one = {"name": "a", "hardware": "hpe-el8000", "address": "127.0.0.1", "node_ip": "10.9.0.1"}
    one |= {"host_key": public(server.host_key)}
    parts = dict.fromkeys(("mesh", "gitops", "telemetry", "inference"))
    return site(
        folder, name, {**parts, "hosts": [one], "ssh": {"user": "root", "port": server.port, "dial_timeout_s": 5}}
    )


def as_planned(project: Project, file: Path) -> str:
    """What the probe prints on a host that runs as planned, with the modes that K3s sets."""
    found = planned(file, project.root)
    assert isinstance(found, Planned)
    (node,) = found.nodes
    flags = [
        f"flag\t{process}\t{flag}\t{value}\n" for process, own in node.flags.items() for flag, value in own.items()
    ]
    seen = [f"seen\t{process}\n" for process in node.flags]
    files = [f"file\t{check.paths[0].replace('*', 'x')}\t0600\troot:root\n" for check in FILES]
    return "".join([*seen, *flags, *files]).replace("db/etcd\t0600", "db/etcd\t0700")


def test_hosts_are_asked_once_each_and_pass_as_planned(project: Project, shops: Path, server: Server) -> None:  # noqa: F811
    file = live_site(shops, server)
    server.answer = as_planned(project, file)
    ran = project.edge("audit", file, "--live", "--json")
    assert ran.code == 0, ran.stdout
    assert len(server.asked) == 1
    assert "host" not in {row["verdict"] for row in rows(ran).values()}
    assert ran.document["sites"][0]["changed"] == []


def test_a_host_that_runs_with_another_flag_fails_and_says_what_was_planned(
    project: Project,
    shops: Path,  # noqa: F811
    server: Server,  # noqa: F811
) -> None:
    file = live_site(shops, server)
    server.answer = as_planned(project, file).replace("anonymous-auth\tfalse", "anonymous-auth\ttrue")
    ran = project.edge("audit", file, "--live", "--json")
    assert ran.code == 1
    assert rows(ran)["1.2.1"]["verdict"] == "fail"
    assert rows(ran)["1.2.1"]["node"] == "shop-a"
    assert ran.document["sites"][0]["changed"][0] == {
        "node": "shop-a",
        "process": "kube-apiserver",
        "flag": "anonymous-auth",
        "planned": "false",
        "found": "true",
    }


def test_a_file_that_others_can_read_fails(project: Project, shops: Path, server: Server) -> None:  # noqa: F811
    file = live_site(shops, server)
    server.answer = as_planned(project, file).replace(
        "admin.kubeconfig\t0600\troot:root", "admin.kubeconfig\t0644\troot:root"
    )
    found = rows(project.edge("audit", file, "--live", "--json"))
    assert found["1.1.13"]["found"] == "0644 /var/lib/rancher/k3s/server/cred/admin.kubeconfig"
    assert [number for number, row in found.items() if row["verdict"] == "fail"] == ["1.1.13"]


def test_what_a_host_does_not_show_counts_as_unseen_and_fails(
    project: Project,
    shops: Path,  # noqa: F811
    server: Server,  # noqa: F811
) -> None:
    file = live_site(shops, server)
    ran = project.edge("audit", file, "--live")
    assert ran.code == 1
    assert "this start of K3s has left the journal" in " ".join(ran.stdout.split())


def test_a_host_that_cannot_be_reached_fails_the_audit(
    project: Project,
    shops: Path,  # noqa: F811
    server: Server,  # noqa: F811
) -> None:
    file = live_site(shops, server)
    server.code = 1
    ran = project.edge("audit", file, "--live")
    assert ran.code == 1
    assert "shop-a  not asked: the probe failed" in ran.stdout


def test_without_the_key_of_the_hosts_it_says_so(project: Project, shops: Path) -> None:  # noqa: F811
    file = site(shops, "locked")
    ran = project.edge("audit", file, "--live")
    assert ran.code == 1
    assert "ssh-private-key" in ran.stdout
