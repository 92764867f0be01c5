"""Flux as resources: what waits for what, and where the secrets are."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.gitops.flux.component import Flux, FluxArgs
from components.gitops.flux.spec import FluxSpec
from engine.rehearsal.in_process import Recording, Secret, record
from tests.components.gitops.sources import HTTPS, OCI, SSH, VIEW, flux

SECRETS = {"git_ssh_key": "SSH-MARKER", "git_password": "PASSWORD-MARKER", "sops_age_key": "AGE-MARKER"}


def run(spec: FluxSpec, **secrets: Any) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="warehouse-berlin-01")
        opts = pulumi.ResourceOptions(providers=[cluster])
        Flux("warehouse-berlin-01-flux", FluxArgs(spec, VIEW, **secrets), opts)

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
    for spec in (flux(SSH, decryption="sops-age"), flux(HTTPS), flux(OCI)):
        assert run(spec, **SECRETS).problems == ()


def test_custom_objects_wait_for_the_instance_that_brings_their_definitions() -> None:
    recording = run(flux(SSH, decryption="sops-age"), **SECRETS)
    assert waits_for(recording, "source") >= {"instance", "operator", "namespace", "credentials", "signers"}
    assert waits_for(recording, "kustomization") >= {"source", "variables", "age-key"}


def test_the_operator_starts_behind_closed_doors() -> None:
    assert waits_for(run(flux(SSH), **SECRETS), "operator") >= {"network-default-deny", "network-allow"}


def test_secrets_are_marked_even_when_they_were_given_as_plain_text() -> None:
    recording = run(flux(SSH, decryption="sops-age"), **SECRETS)
    inputs = {resource.name: resource.inputs for resource in recording.resources}
    credentials = inputs["warehouse-berlin-01-flux-credentials"]["stringData"]
    age_key = inputs["warehouse-berlin-01-flux-age-key"]["stringData"]
    for value in (credentials, age_key):
        assert "MARKER" not in repr(_opened_nowhere(value))


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
