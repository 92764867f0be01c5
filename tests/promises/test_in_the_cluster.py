"""What runs in a site's cluster: closed by default, restricted, patient, and kept where it must be kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from engine.rehearsal.in_process import Recorded
from tests.promises.recordings import HELM_RELEASE, SITES, all_resources, before, objects, of_type, plain, recorded

_NOT_OURS = {"kube-system"}
_UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(duration: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def deployments(name: str) -> list[tuple[str, dict[str, Any]]]:
    found = [(site, one) for site, one in objects("Deployment") if one["metadata"]["name"] == name]
    assert found, f"no site has a Deployment {name}"
    return found


def is_arc(release: Recorded) -> bool:
    return "edge:index:Arc" in release.urn


def test_every_helm_release_is_taken_back_when_it_fails_but_arcs() -> None:
    for release in of_type(HELM_RELEASE):
        if not is_arc(release):
            assert plain(release)["atomic"] is True, release.name
            assert plain(release)["cleanupOnFail"] is True, release.name


def test_what_an_onboarding_to_arc_has_reached_is_kept_for_the_next_attempt() -> None:
    releases = [release for release in of_type(HELM_RELEASE) if is_arc(release)]
    assert releases
    for release in releases:
        assert not plain(release).get("atomic"), release.name
        assert not plain(release).get("cleanupOnFail"), release.name


def test_helm_gives_up_before_pulumi_does() -> None:
    for release in of_type(HELM_RELEASE):
        if release.custom_timeouts:
            limits = [seconds(limit) for limit in release.custom_timeouts.values()]
            assert min(limits) > plain(release)["timeout"], release.name
    assert any(release.custom_timeouts for release in of_type(HELM_RELEASE))


def test_a_first_pull_of_the_inference_server_over_a_slow_uplink_is_waited_for() -> None:
    for deployment in of_type("kubernetes:apps/v1:Deployment"):
        limits = deployment.custom_timeouts
        # 10 GB over a site's 30 Mbit/s take three quarters of an hour.
        assert seconds(limits.get("create", "")) >= 45 * 60, deployment.name
        assert seconds(limits.get("update", "")) >= 45 * 60, deployment.name


def test_collectors_are_waited_for_longer_than_the_providers_ten_minutes() -> None:
    for collector in of_type("kubernetes:apps/v1:StatefulSet"):
        assert seconds(collector.custom_timeouts.get("create", "")) > 10 * 60, collector.name
        assert seconds(collector.custom_timeouts.get("update", "")) > 10 * 60, collector.name


def denying(site: str) -> dict[str, str]:
    """Namespaces of a site that are closed in both directions: namespace -> name of the policy's resource."""
    found = {}
    for resource in recorded(site).resources:
        if resource.type.endswith(":NetworkPolicy"):
            policy = plain(resource)
            spec = policy["spec"]
            if (
                spec["podSelector"] == {}
                and set(spec["policyTypes"]) == {"Ingress", "Egress"}
                and not spec.get("ingress")
                and not spec.get("egress")
            ):
                found[policy["metadata"]["namespace"]] = resource.name
    return found


def test_every_namespace_is_closed_by_default_in_both_directions() -> None:
    for site, namespace in objects("Namespace"):
        assert namespace["metadata"]["name"] in denying(site), f"{site}: {namespace['metadata']['name']}"


def test_nothing_starts_in_a_namespace_before_it_is_closed() -> None:
    started = 0
    for site, resource in all_resources():
        namespace = _starts_in(resource)
        if namespace and namespace in denying(site):
            started += 1
            assert denying(site)[namespace] in before(site, resource), resource.name
    assert started, "nothing starts in a closed namespace"


def _starts_in(resource: Recorded) -> str:
    inputs = plain(resource)
    if resource.type == HELM_RELEASE:
        return str(inputs["namespace"])
    kinds = (":Deployment", ":StatefulSet", ":DaemonSet", ":Job")
    return str(inputs["metadata"]["namespace"]) if resource.type.endswith(kinds) else ""


def test_every_namespace_refuses_pods_that_are_not_restricted() -> None:
    for site, namespace in objects("Namespace"):
        labels = namespace["metadata"]["labels"]
        assert labels.get("pod-security.kubernetes.io/enforce") == "restricted", f"{site}: {namespace['metadata']}"


def test_the_default_account_of_every_namespace_that_is_made_has_no_token() -> None:
    # CIS 5.1.5.
    for site in SITES:
        made, without_token = set(), set()
        for resource in recorded(site).resources:
            inputs = plain(resource)
            if resource.type.endswith(":Namespace"):
                made.add(inputs["metadata"]["name"])
            elif resource.type == HELM_RELEASE and inputs.get("createNamespace"):
                made.add(inputs["namespace"])
            elif resource.type.endswith(":ServiceAccountPatch") and inputs["metadata"]["name"] == "default":
                assert inputs["automountServiceAccountToken"] is False, resource.name
                without_token.add(inputs["metadata"]["namespace"])
        assert made <= without_token, site
    assert objects("ServiceAccountPatch")


def test_no_pod_of_ours_uses_the_default_account() -> None:
    for name, pod in pods():
        assert pod["serviceAccountName"] != "default", name


def pods() -> list[tuple[str, dict[str, Any]]]:
    """The pods that the program itself describes, by resource name."""
    return [
        (resource.name, plain(resource)["spec"]["template"]["spec"])
        for _, resource in all_resources()
        if resource.type.endswith((":Deployment", ":StatefulSet", ":DaemonSet", ":Job"))
    ]


def test_no_container_runs_as_root_gains_privileges_or_writes_to_its_image() -> None:
    for name, pod in pods():
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["runAsNonRoot"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name


def test_no_pod_gets_a_token_of_the_api_that_it_did_not_ask_for() -> None:
    for name, pod in pods():
        assert pod["automountServiceAccountToken"] is False, name
    for site, account in objects("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False, f"{site}: {account['metadata']}"


def test_a_pod_whose_image_is_there_starts_while_the_uplink_is_down() -> None:
    for name, pod in pods():
        for container in pod["containers"]:
            assert container["imagePullPolicy"] == "IfNotPresent", name


def test_every_image_is_pinned_by_its_digest() -> None:
    for name, pod in pods():
        for container in pod["containers"]:
            assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"]), name


def test_telemetry_that_was_not_sent_outlives_its_collector() -> None:
    for site, collector in objects("StatefulSet"):
        kept = collector["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}, site


def test_the_only_inference_server_gives_up_its_gpu_before_the_next_one_starts() -> None:
    for site, deployment in objects("Deployment"):
        strategy = deployment["spec"]["strategy"]
        surge = strategy.get("rollingUpdate", {}).get("maxSurge")
        assert strategy["type"] == "Recreate" or surge == 0, site


def test_triton_is_ready_only_with_all_its_models() -> None:
    for site, deployment in deployments("triton"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready", site
        assert "--strict-readiness=true" in container["args"], site
        assert "--model-control-mode=explicit" in container["args"], site


def test_ollama_is_ready_only_with_models_of_the_pinned_digests() -> None:
    for site, deployment in deployments("ollama"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert "present" in container["readinessProbe"]["exec"]["command"], site
        (pinned,) = [one["value"] for one in container["env"] if one["name"] == "MODELS"]
        assert re.search(r"\b[0-9a-f]{64}\b", pinned), site


@pytest.mark.parametrize("kind", ["GitRepository", "OCIRepository"])
def test_flux_applies_only_what_a_known_signer_has_signed(kind: str) -> None:
    for site, source in objects(kind):
        assert source["spec"].get("verify"), site


def test_what_is_removed_from_the_repository_is_removed_from_the_site() -> None:
    for site, kustomization in objects("Kustomization"):
        assert kustomization["spec"]["prune"] is True, site


def test_custom_objects_of_flux_wait_until_its_definitions_are_there() -> None:
    for site in SITES:
        for resource in recorded(site).resources:
            if ":source.toolkit." in resource.type or ":kustomize.toolkit." in resource.type:
                needed = before(site, resource)
                (instance,) = [one for one in recorded(site).resources if one.type.endswith(":FluxInstance")]
                assert instance.name in needed, resource.name


def test_up_ends_when_flux_has_read_the_source_and_applied_it_or_says_why_not_within_minutes() -> None:
    followed = [
        (site, one)
        for site, one in all_resources()
        if one.type.endswith((":GitRepository", ":OCIRepository", ":Kustomization"))
    ]
    assert followed
    for site, resource in followed:
        given = plain(resource)["metadata"]["annotations"]
        asked = given["reconcile.fluxcd.io/requestedAt"]
        waited = json.loads(given["pulumi.com/waitFor"])
        assert waited == ["condition=Ready", f"jsonpath={{.status.lastHandledReconcileAt}}={asked}"], site
        limits = resource.custom_timeouts
        assert set(limits) == {"create", "update"}, site
        assert all(60 <= seconds(limit) <= 180 for limit in limits.values()), site


def test_what_a_repository_holds_has_no_rights_beyond_its_namespace_unless_it_names_an_account() -> None:
    for site, instance in objects("FluxInstance"):
        assert instance["spec"]["cluster"]["multitenant"] is True, site
    for site, kustomization in objects("Kustomization"):
        assert kustomization["spec"]["serviceAccountName"] == "kustomize-controller", site
