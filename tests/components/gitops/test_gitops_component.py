"""Flux as resources: what waits for what, and where the secrets are."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.gitops.flux import credentials
from components.gitops.flux.component import Flux, FluxArgs
from components.gitops.flux.spec import FluxSpec
from engine.rehearsal.in_process import Recording, Secret, record
from engine.rehearsal.values import reveal
from tests.components.gitops.sources import APP, AZURE, ECR, ENTERPRISE, HTTPS, OCI, REGISTRY, REPORTS, SSH, VIEW, flux

SECRETS = {
    "git-ssh-key": "SSH-MARKER",
    "git-password": "PASSWORD-MARKER",
    "sops-age-key": "AGE-MARKER",
    "oci-password": "OCI-MARKER",
    "github-app-key": "APP-MARKER",
    "source-proxy-password": "PROXY-MARKER",
    "flux-alert-chat": "CHAT-MARKER",
    "flux-alert-board": "BOARD-MARKER",
    "git-status-token": "STATUS-MARKER",
}


def run(spec: FluxSpec, **secrets: Any) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="warehouse-berlin-01")
        opts = pulumi.ResourceOptions(providers=[cluster])
        Flux("warehouse-berlin-01-flux", FluxArgs(spec, VIEW, secrets), opts)

    return record(program, project="edge", stack="warehouse-berlin-01", config={}, secret_keys=())


def waits_for(recording: Recording, name: str) -> set[str]:
    """Names of everything that must exist before ``name``, however indirectly."""
    by_urn = {resource.urn: resource for resource in recording.resources}
    waiting = [resource for resource in recording.resources if resource.name == f"warehouse-berlin-01-flux-{name}"]
    seen: set[str] = set()
    while waiting:
        for urn in waiting.pop().dependencies:
            if urn in by_urn and urn not in seen:
                seen.add(urn)
                waiting.append(by_urn[urn])
    return {by_urn[urn].name.removeprefix("warehouse-berlin-01-flux-") for urn in seen}


def test_the_rehearsal_finds_nothing_wrong() -> None:
    sources = (HTTPS, OCI, ENTERPRISE, APP, AZURE, ECR, REGISTRY)
    for spec in (
        flux(SSH, decryption="sops-age"),
        flux(SSH, **REPORTS),
        *(flux(source) for source in sources),
    ):
        assert run(spec, **SECRETS).problems == ()


def test_custom_objects_wait_for_the_instance_that_brings_their_definitions() -> None:
    recording = run(flux(SSH, decryption="sops-age"), **SECRETS)
    assert waits_for(recording, "source") >= {"instance", "operator", "namespace", "credentials", "signers"}
    assert waits_for(recording, "kustomization") >= {"source", "variables", "age-key"}


def test_the_operator_starts_behind_closed_doors() -> None:
    assert waits_for(run(flux(SSH), **SECRETS), "operator") >= {"network-default-deny", "network-allow"}


def followed(spec: FluxSpec, **secrets: Any) -> dict[str, Any]:
    """Source and Kustomization, with their annotations, secrets shown."""
    recording = run(spec, **(secrets or SECRETS))
    found = {one.name.removeprefix("warehouse-berlin-01-flux-"): one for one in recording.resources}
    return {role: found[role] for role in ("source", "kustomization")}


def annotations_of(resource: Any) -> dict[str, str]:
    shown: dict[str, str] = reveal(resource.inputs)["metadata"]["annotations"]
    return shown


def asked(spec: FluxSpec, **secrets: Any) -> dict[str, str]:
    return {role: annotations_of(one)[REQUESTED] for role, one in followed(spec, **secrets).items()}


REQUESTED = "reconcile.fluxcd.io/requestedAt"


@pytest.mark.parametrize("source", [SSH, HTTPS, OCI])
def test_source_and_kustomization_are_done_when_flux_has_dealt_with_them_and_they_are_ready(source: Any) -> None:
    for resource in followed(flux(source)).values():
        given = annotations_of(resource)
        handled = f"jsonpath={{.status.lastHandledReconcileAt}}={given[REQUESTED]}"
        assert json.loads(given["pulumi.com/waitFor"]) == ["condition=Ready", handled]


def test_what_people_have_asked_of_flux_by_hand_stops_no_up() -> None:
    for resource in followed(flux(SSH)).values():
        assert annotations_of(resource)["pulumi.com/patchForce"] == "true"


@pytest.mark.parametrize(
    ("changes", "limit"), [({}, "75s"), ({"source": {**SSH, "timeout": "3m"}}, "195s"), ({"wait_ready": "5m"}, "300s")]
)
def test_the_wait_for_flux_has_a_deadline_which_its_deletion_does_not_have(changes: Any, limit: str) -> None:
    for resource in followed(flux(**{"source": SSH, **changes})).values():
        assert resource.custom_timeouts == {"create": limit, "update": limit}


def test_a_site_that_does_not_wait_still_asks_flux_to_look_at_once() -> None:
    for resource in followed(flux(SSH, wait_ready="never")).values():
        assert set(annotations_of(resource)) == {"pulumi.com/patchForce", REQUESTED}
        assert resource.custom_timeouts == {}


def test_flux_is_asked_again_exactly_when_something_that_it_reads_has_changed() -> None:
    spec = flux(HTTPS, decryption="sops-age")
    before = asked(spec)
    assert asked(spec) == before

    def again(other: FluxSpec, **secrets: str) -> set[str]:
        after = asked(other, **{**SECRETS, **secrets})
        return {role for role in before if after[role] != before[role]}

    assert again(spec, **{"git-password": "another"}) == {"source", "kustomization"}
    assert again(spec, **{"sops-age-key": "another"}) == {"kustomization"}
    assert again(spec, **{"git-ssh-key": "another"}) == set(), "it is not used over https"
    assert again(flux({**HTTPS, "tag": "v2"}, decryption="sops-age")) == {"source", "kustomization"}
    assert again(flux({**HTTPS, "username": "b"}, decryption="sops-age")) == {"source", "kustomization"}
    assert again(flux(HTTPS, decryption="sops-age", path="./other")) == {"kustomization"}


def test_what_is_asked_of_flux_is_in_no_plain_state_where_a_secret_is_in_it() -> None:
    for resource in followed(flux(HTTPS, decryption="sops-age")).values():
        assert isinstance(resource.inputs["metadata"]["annotations"][REQUESTED], Secret)


def test_the_mark_of_a_secret_tells_another_one_at_each_site() -> None:
    assert credentials.mark("a", {"k": "secret"}) != credentials.mark("b", {"k": "secret"})
    assert len(credentials.mark("a", {"k": "secret"})) == 6


def test_secrets_are_marked_even_when_they_were_given_as_plain_text() -> None:
    for spec in (flux(SSH, decryption="sops-age"), flux(ENTERPRISE), flux(APP), flux(REGISTRY)):
        held = [one.inputs for one in run(spec, **SECRETS).resources if one.type.endswith(":Secret")]
        assert "MARKER" in repr(reveal(held))
        assert "MARKER" not in repr([reveal(_opened_nowhere(inputs)) for inputs in held])


def test_a_missing_secret_is_an_error_that_says_how_to_set_it() -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set --secret edge:git-ssh-key"):
        run(flux(SSH))


def _opened_nowhere(value: Any) -> Any:
    """``value`` with secrets left out: what would be in plain text in a state file."""
    if isinstance(value, Secret):
        return "secret"
    if isinstance(value, dict):
        return {key: _opened_nowhere(item) for key, item in value.items()}
    return value


def test_receivers_come_after_the_definitions_and_their_secrets_and_hold_the_source_up_in_nothing() -> None:
    recording = run(flux(SSH, **REPORTS), **SECRETS)
    assert waits_for(recording, "alert-chat-receiver") >= {"instance", "alert-chat-login"}
    assert waits_for(recording, "commit-status") >= {"instance", "commit-status-login"}
    assert not {role for role in waits_for(recording, "kustomization") if role.startswith(("alert", "commit"))}


def test_addresses_and_tokens_of_receivers_are_secret_in_the_state() -> None:
    recording = run(flux(SSH, **REPORTS), **SECRETS)
    logins = [one for one in recording.resources if one.name.endswith(("-chat-login", "-board-login", "status-login"))]
    assert len(logins) == 3
    for login in logins:
        assert "MARKER" not in str(login.inputs)
        assert "MARKER" in str(reveal(login.inputs))
