"""Rancher's scripts, run for real: what they ask Rancher and the cluster for, and what nobody else gets to see."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from components.registration.rancher.plan import MANIFEST_BYTES, NAMESPACES, RancherPlan, plan
from components.shell import secret_lines
from tests.components.registration.rancher_parts import (
    MANIFEST,
    PORT,
    SITE,
    TOKEN,
    authority,
    beside_rancher,
    rancher,
    server,
)
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

EMPTY: dict[str, dict[str, Any]] = {"namespace//kube-system": {"uid": "uid-1"}, "namespace//shop": {}}
AGENT = "deployment/cattle-system/cattle-cluster-agent"
MARK = "edge.rancher-cluster"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    made = server(tmp_path / "box")
    set_cluster(made, EMPTY)
    return made


@pytest.fixture
def planned(box: Sandbox) -> RancherPlan:
    certificate, both = authority(box.home, "rancher-ca")
    both.rename(box.home / "rancher.pem")
    return plan(rancher(api_url=f"https://127.0.0.1:{PORT}", ca_certs=certificate), SITE)


def set_cluster(box: Sandbox, objects: dict[str, dict[str, Any]]) -> None:
    (box.home / "cluster.json").write_text(json.dumps(objects))


def cluster(box: Sandbox) -> dict[str, dict[str, Any]]:
    objects: dict[str, dict[str, Any]] = json.loads((box.home / "cluster.json").read_text())
    return objects


def requests(box: Sandbox) -> list[str]:
    return (box.home / "requests").read_text().split()


def stdin(cluster_id: str) -> str:
    return secret_lines([f"https://127.0.0.1:{PORT}/v3/import/{TOKEN}_{cluster_id}.yaml", cluster_id])


def register(box: Sandbox, planned: RancherPlan, cluster_id: str = "c-abc12") -> Run:
    return beside_rancher(box, planned.register, stdin(cluster_id))


def done(run: Run) -> Run:
    assert run.code == 0, run.stderr
    return run


def applied(run: Run) -> int:
    return sum(call.startswith("k3s kubectl apply") for call in run.calls)


def test_a_first_run_registers_the_cluster(box: Sandbox, planned: RancherPlan) -> None:
    run = done(register(box, planned))
    assert AGENT in cluster(box)
    assert cluster(box)["namespace//cattle-system"]["annotations"] == {MARK: "c-abc12"}
    assert applied(run) == 1
    assert requests(box) == [f"/v3/import/{TOKEN}_c-abc12.yaml"]


def test_a_second_run_neither_downloads_nor_applies(box: Sandbox, planned: RancherPlan) -> None:
    done(register(box, planned))
    before = cluster(box)
    run = done(register(box, planned))
    assert "registered as c-abc12" in run.stdout
    assert applied(run) == 0, "a manifest that is applied twice disconnects the agent"
    assert len(requests(box)) == 1
    assert cluster(box) == before


def test_an_agent_that_somebody_deleted_comes_back(box: Sandbox, planned: RancherPlan) -> None:
    done(register(box, planned))
    left = cluster(box)
    del left[AGENT]
    set_cluster(box, left)
    assert applied(done(register(box, planned))) == 1
    assert AGENT in cluster(box)


def test_a_rebuilt_cluster_registers_again_under_its_new_id(box: Sandbox, planned: RancherPlan) -> None:
    done(register(box, planned))
    set_cluster(box, {"namespace//kube-system": {"uid": "uid-2"}})
    assert applied(done(register(box, planned, "c-new34"))) == 1
    assert cluster(box)["namespace//cattle-system"]["annotations"] == {MARK: "c-new34"}


def test_a_rebuilt_cluster_has_another_identity(box: Sandbox, planned: RancherPlan) -> None:
    first = done(box.run(planned.cluster_uid)).stdout
    assert done(box.run(planned.cluster_uid)).stdout == first == "uid-1"
    set_cluster(box, {"namespace//kube-system": {"uid": "uid-2"}})
    assert done(box.run(planned.cluster_uid)).stdout == "uid-2"


def test_the_agent_of_an_earlier_registration_goes_before_the_new_one_comes(box: Sandbox, planned: RancherPlan) -> None:
    done(register(box, planned))
    left = cluster(box)
    left["namespace//cattle-system"]["finalizers"] = ["controller.cattle.io/namespace-auth"]
    set_cluster(box, left)
    run = done(register(box, planned, "c-new34"))
    assert "removing the agent of c-abc12" in run.stdout
    deleted = next(i for i, call in enumerate(run.calls) if call.startswith("k3s kubectl delete namespaces"))
    assert deleted < next(i for i, call in enumerate(run.calls) if call.startswith("k3s kubectl apply"))
    assert cluster(box)["namespace//cattle-system"] == {"annotations": {MARK: "c-new34"}}


def test_an_agent_that_this_site_did_not_install_is_not_taken_over(box: Sandbox, planned: RancherPlan) -> None:
    foreign = {**EMPTY, "namespace//cattle-system": {}, AGENT: {}}
    set_cluster(box, foreign)
    run = register(box, planned)
    assert run.code == 1
    assert "did not install" in run.stderr
    assert cluster(box) == foreign
    assert requests(box) == []


def test_a_server_with_a_certificate_of_another_authority_is_refused(box: Sandbox, planned: RancherPlan) -> None:
    _, other = authority(box.home, "somebody-else")
    other.rename(box.home / "rancher.pem")
    run = register(box, planned)
    assert run.code == 1
    assert "signed by the authority in ca_certs" in run.stderr
    assert requests(box) == [], "no request, and so no token, reaches a server that nobody vouches for"
    assert cluster(box) == EMPTY


def test_authorities_of_the_host_do_not_count_beside_the_given_one(box: Sandbox, planned: RancherPlan) -> None:
    certificate, other = authority(box.home, "public-ca")
    other.rename(box.home / "rancher.pem")
    store = box.path("/etc/ssl/certs")
    store.mkdir(parents=True)
    (box.home / "public.crt").write_text(certificate)
    trusted = (
        'cp "$SANDBOX/public.crt" "/etc/ssl/certs/$(openssl x509 -hash -noout -in "$SANDBOX/public.crt").0"\n'
        'cat "$SANDBOX/public.crt" >>/etc/ssl/certs/ca-certificates.crt\n'
    )
    run = beside_rancher(box, trusted + planned.register, stdin("c-abc12"))
    assert run.code == 1
    assert requests(box) == []
    without = plan(rancher(api_url=f"https://127.0.0.1:{PORT}"), SITE)
    done(beside_rancher(box, trusted + without.register, stdin("c-abc12")))


def test_the_token_is_on_no_command_line_in_no_environment_no_output_and_no_file(
    box: Sandbox, planned: RancherPlan
) -> None:
    run = done(register(box, planned))
    seen = (box.home / "seen").read_bytes()
    assert b"curl" in seen, "curl was running when Rancher looked"
    encoded = base64.b64encode(TOKEN.encode()).decode().rstrip("=")
    for text in (TOKEN, encoded):
        assert text.encode() not in seen
        assert text not in run.stdout + run.stderr
        assert text not in "\n".join(run.calls)
        assert box.files_with(text) == []


def test_a_failure_does_not_tell_the_token_either(box: Sandbox, planned: RancherPlan) -> None:
    (box.home / "manifest").write_text(f"{MANIFEST}# REFUSED {base64.b64encode(TOKEN.encode()).decode()}\n")
    run = register(box, planned)
    assert run.code == 1
    assert "could not be applied" in run.stderr
    assert TOKEN not in run.stderr
    assert base64.b64encode(TOKEN.encode()).decode() not in run.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html>log in</html>", "not an import manifest"),
        (MANIFEST + "#" * MANIFEST_BYTES, "import manifest"),
        (MANIFEST + "#" * (MANIFEST_BYTES - len(MANIFEST) + 1), "import manifest"),
    ],
    ids=["a page", "far too large", "a little too large"],
)
def test_what_is_no_import_manifest_is_not_applied(box: Sandbox, planned: RancherPlan, content: str, said: str) -> None:
    (box.home / "manifest").write_text(content)
    run = register(box, planned)
    assert run.code == 1
    assert said in run.stderr
    assert applied(run) == 0
    assert cluster(box) == EMPTY


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:{PORT}/v3/import/x.yaml",
        f'https://127.0.0.1:{PORT}/v3/import/x.yaml"\noutput = "/etc/passwd',
        f"https://127.0.0.1:{PORT}/v3/import/$(id).yaml",
    ],
)
def test_an_address_that_is_not_plain_https_is_refused(box: Sandbox, planned: RancherPlan, url: str) -> None:
    run = beside_rancher(box, planned.register, secret_lines([url, "c-abc12"]))
    assert run.code == 1
    assert "not a plain https:// URL" in run.stderr
    assert not any(call.startswith("curl") for call in run.calls)


def test_a_cluster_that_does_not_answer_is_no_unregistered_cluster(box: Sandbox, planned: RancherPlan) -> None:
    (box.home / "cluster.json").unlink()
    box.install("/usr/local/sbin/sleep", "SECONDS=1000")
    impatient = planned.register.replace("wait_for_api 300", "wait_for_api 0")
    run = beside_rancher(box, impatient, stdin("c-abc12"))
    assert run.code == 1
    assert "does not answer" in run.stderr
    assert requests(box) == []


def test_the_wait_ends_with_a_connected_agent_and_fails_without(box: Sandbox, planned: RancherPlan) -> None:
    asked = secret_lines(["c-abc12"])
    run = box.run(planned.connected, stdin=asked)
    assert run.code == 1
    assert "not registered as c-abc12" in run.stderr
    done(register(box, planned))
    done(box.run(planned.connected, stdin=asked))
    set_cluster(box, {**cluster(box), "late//": {"yes": True}})
    run = box.run(planned.connected, stdin=asked)
    assert run.code == 1
    assert "not connected to https://127.0.0.1:8443 after 900 s" in run.stderr


def test_leaving_removes_all_that_the_agent_made_and_nothing_else(box: Sandbox, planned: RancherPlan) -> None:
    done(register(box, planned))
    marked = ["controller.cattle.io/namespace-auth"]
    set_cluster(
        box,
        {
            **cluster(box),
            "namespace//cattle-fleet-system": {"finalizers": marked},
            "deployment/cattle-fleet-system/fleet-agent": {},
            "validatingwebhookconfiguration//rancher.cattle.io": {},
            "mutatingwebhookconfiguration//rancher.cattle.io": {},
            "validatingwebhookconfiguration//cert-manager-webhook": {},
            "clusterrole//cattle-fleet-system-fleet-agent-role": {"finalizers": ["wrangler.cattle.io/auth"]},
            "clusterrole//cluster-admin": {},
            "clusterrolebinding//proxy-role-binding-kubernetes-master": {},
            "namespace//shop": {"finalizers": ["example.com/own", *marked]},
            "rolebinding/shop/crb-1": {"finalizers": marked},
            "deployment/shop/web": {},
        },
    )
    run = done(box.run(planned.leave))
    assert "Rancher's agent is gone" in run.stdout
    assert cluster(box) == {
        "namespace//kube-system": {"uid": "uid-1"},
        "validatingwebhookconfiguration//cert-manager-webhook": {},
        "clusterrole//cluster-admin": {},
        "namespace//shop": {"finalizers": ["example.com/own"]},
        "rolebinding/shop/crb-1": {"finalizers": []},
        "deployment/shop/web": {},
    }
    calls = [call for call in run.calls if " delete " in call]
    first = {
        kind: next(i for i, call in enumerate(calls) if kind in call) for kind in ("deploy", "webhook", "namespaces")
    }
    assert first["deploy"] < first["webhook"] < first["namespaces"]


def test_leaving_twice_or_without_an_agent_is_no_failure(box: Sandbox, planned: RancherPlan) -> None:
    done(box.run(planned.leave))
    assert cluster(box) == EMPTY
    done(register(box, planned))
    done(box.run(planned.leave))
    done(box.run(planned.leave))
    assert cluster(box) == EMPTY


def test_a_namespace_that_does_not_go_is_told(box: Sandbox, planned: RancherPlan) -> None:
    stuck = {**EMPTY, f"namespace//{NAMESPACES[0]}": {"finalizers": ["example.com/stays"]}}
    set_cluster(box, stuck)
    run = box.run(planned.leave)
    assert run.code == 1
    assert "namespace cattle-system does not go" in run.stderr


def test_leaving_a_host_without_k3s_or_with_a_dead_one_is_no_failure(box: Sandbox, planned: RancherPlan) -> None:
    (box.home / "cluster.json").unlink()
    run = done(box.run(planned.leave.replace("wait_for_api 60", "wait_for_api 0")))
    assert "stays in it" in run.stdout
    box.path("/usr/local/sbin/k3s").unlink()
    assert "no cluster runs here" in done(box.run(planned.leave)).stdout
