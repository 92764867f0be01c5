"""A site's registration with Azure Arc: what Azure is asked for, what runs in the cluster, and what never changes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pydantic import ValidationError

from components.registration.arc.component import ArcArgs, ArcRegistration
from components.registration.arc.part import PART
from components.registration.arc.plan import RESOURCE_TYPE, plan
from components.registration.arc.spec import ArcSpec
from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from tests.components.registration.registration_parts import GROUP, SCOPE, arc

SPECS = {
    "direct": arc(),
    "private-link": arc(private_link_scope_id=SCOPE, tags={"owner": "edge"}),
    "proxy": arc(
        cluster_name="Berlin-01",
        auto_update=True,
        custom_locations_oid=GROUP,
        proxy={"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128"},
    ),
}


def _record(spec: ArcSpec) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="berlin")
        opts = pulumi.ResourceOptions(providers=[cluster])
        ArcRegistration("berlin-arc", ArcArgs(spec, site="berlin"), opts)

    recording = record(program, project="edge", stack="berlin", config={})
    assert not recording.problems, recording.problems
    return recording


def _one(recording: Recording, name: str) -> Recorded:
    return next(resource for resource in recording.resources if resource.name == name)


@pytest.mark.parametrize("case", SPECS)
def test_values_of_the_agents_are_as_reviewed(case: str, golden: Callable[[str, str], None]) -> None:
    golden(f"registration/arc-{case}.json", json.dumps(plan("berlin", SPECS[case]).release.values, indent=2) + "\n")


def test_the_cluster_is_registered_at_a_stable_api() -> None:
    cluster = _one(_record(SPECS["private-link"]), "berlin-arc-cluster")
    assert cluster.type == RESOURCE_TYPE == "azure-native:kubernetes/v20240101:ConnectedCluster"
    assert cluster.inputs["identity"] == {"type": "SystemAssigned"}
    assert (cluster.inputs["distribution"], cluster.inputs["infrastructure"]) == ("k3s", "generic")
    assert cluster.inputs["privateLinkState"] == "Enabled"
    assert cluster.inputs["privateLinkScopeResourceId"] == SCOPE
    assert cluster.inputs["arcAgentProfile"] == {"agentAutoUpgrade": "Disabled"}
    assert cluster.inputs["tags"] == {"owner": "edge", "edge-site": "berlin"}
    assert "pulumi:providers:azure-native::berlin-arc-azure" in cluster.provider


def test_agents_come_after_the_cluster_they_belong_to() -> None:
    recording = _record(arc())
    assert _one(recording, "berlin-arc-cluster").urn in _one(recording, "berlin-arc-agents").dependencies


def test_a_failed_onboarding_is_left_for_the_next_run_to_finish() -> None:
    agents = _one(_record(arc(onboarding_minutes=45)), "berlin-arc-agents")
    assert (agents.inputs["atomic"], agents.inputs["cleanupOnFail"]) == (False, False)
    assert agents.inputs["timeout"] == 45 * 60
    assert agents.custom_timeouts["create"] == "55m", "Helm has to give up before the engine does"


def test_no_edit_makes_another_key() -> None:
    key = _one(_record(arc()), "berlin-arc-key")
    assert (key.inputs["algorithm"], key.inputs["rsaBits"]) == ("RSA", 4096)
    assert set(key.ignore_changes) == {"algorithm", "rsaBits", "ecdsaCurve"}


def test_protection_covers_what_a_new_registration_would_cost() -> None:
    protected = {resource.name for resource in _record(arc(protect=True)).resources if resource.protect}
    assert protected == {"berlin-arc-key", "berlin-arc-cluster"}
    assert not any(resource.protect for resource in _record(arc()).resources)


def test_the_private_key_is_a_secret_wherever_it_is() -> None:
    recording = _record(arc())
    values = _one(recording, "berlin-arc-agents").inputs["values"]
    values = values.value if isinstance(values, Secret) else values
    assert isinstance(values, dict)
    key = values["global"]
    key = key if isinstance(key, Secret) else key["onboardingPrivateKey"]
    assert isinstance(key, Secret)
    assert "privateKeyPem" in _one(recording, "berlin-arc-key").additional_secret_outputs


def test_the_public_half_of_the_key_is_what_azure_gets() -> None:
    cluster = _one(_record(arc()), "berlin-arc-cluster")
    certificate = cluster.inputs["agentPublicKeyCertificate"]
    der = subprocess.run(["base64", "-d"], input=certificate.encode(), capture_output=True, check=True).stdout
    shown = subprocess.run(
        ["openssl", "rsa", "-RSAPublicKey_in", "-inform", "DER", "-noout", "-text"],
        input=der,
        capture_output=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_registering_needs_no_secret_of_the_site() -> None:
    assert PART.secrets(arc()) == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"private_link_scope_id": SCOPE, "custom_locations_oid": GROUP}, "custom locations need cluster connect"),
        ({"private_link_scope_id": SCOPE, "admin_groups": [GROUP]}, "cluster connect"),
        ({"azure_rbac": True, "admin_groups": [GROUP]}, "webhooks"),
        ({"proxy": {"http": "http://me:secret@proxy:1", "https": "http://proxy:1"}}, "proxy.http"),
        ({"subscription_id": "my-subscription"}, "subscription_id"),
        ({"location": "West Europe"}, "location"),
        ({"chart_version": "latest"}, "chart_version"),
    ],
)
def test_what_azure_would_refuse_is_refused_here(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        arc(**fields)
