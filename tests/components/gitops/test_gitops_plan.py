"""What Flux gets to see of a site, and what is refused before it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from components.gitops.flux import credentials
from components.gitops.flux import plan as gitops
from components.gitops.flux.spec import FluxSpec
from components.manifests import Manifest
from tests.components.cluster_objects import as_yaml, findings, image, problems
from tests.components.gitops.sources import (
    APP,
    AZURE,
    CA,
    ECR,
    ENTERPRISE,
    HTTPS,
    KEYLESS,
    OCI,
    PGP_KEY,
    REGISTRY,
    REPORTS,
    SITE,
    SSH,
    flux,
)

SPECS = {
    "git-ssh-signed": flux(SSH, decryption="sops-age"),
    "git-https-tag": flux(HTTPS, replicas={"inference-server": 3, "camera-gateway": 1}, interval="10m"),
    "oci-cosign": flux(
        OCI,
        operator={"version": "0.58.1", "chart": "oci://mirror.example.com/flux-operator", "image": image("operator")},
        distribution={"version": "2.9.4", "registry": "mirror.example.com/fluxcd"},
    ),
    "oci-keyless": flux(KEYLESS, replicas={}),
    "git-behind-a-proxy": flux(ENTERPRISE),
    "git-github-app": flux(APP),
    "git-azure-identity": flux(AZURE),
    "oci-of-a-cloud": flux(ECR),
    "oci-private-registry": flux(REGISTRY),
    "git-with-exceptions": flux(SSH, tenancy={"cross_namespace_refs": True}),
    "git-with-reports": flux(SSH, **REPORTS),
}


def manifests(spec: FluxSpec) -> list[Manifest]:
    planned = gitops.plan(spec, **SITE)
    return [
        planned.namespace,
        *planned.network_policies,
        planned.instance,
        *([planned.signers] if planned.signers else []),
        planned.variables,
        planned.source,
        planned.kustomization,
        *planned.reports.values(),
    ]


@pytest.mark.parametrize("name", SPECS)
def test_manifests_are_the_reviewed_ones(name: str, golden: Callable[[str, str], None]) -> None:
    values = dict(gitops.plan(SPECS[name], **SITE).operator_values)
    golden(f"gitops/{name}.yaml", as_yaml([values, *manifests(SPECS[name])]))


@pytest.mark.parametrize("name", SPECS)
def test_an_api_server_accepts_every_manifest(name: str) -> None:
    assert {manifest["kind"]: problems(manifest) for manifest in manifests(SPECS[name]) if problems(manifest)} == {}


def test_a_signed_source_passes_every_policy() -> None:
    assert [found for manifest in manifests(SPECS["git-ssh-signed"]) for found in findings(manifest)] == []
    assert [found for manifest in manifests(SPECS["oci-keyless"]) for found in findings(manifest)] == []


def test_an_unsigned_source_is_planned_as_it_is_and_left_to_the_policies() -> None:
    planned = gitops.plan(SPECS["git-https-tag"], **SITE)
    assert any("flux-source-verified" in found for found in findings(planned.source))


def test_the_kustomization_is_the_references() -> None:
    planned = gitops.plan(flux(SSH), **SITE).kustomization
    assert planned["metadata"] == {"name": "edge-inference-stack", "namespace": "flux-system"}
    spec = planned["spec"]
    assert (spec["interval"], spec["path"], spec["prune"]) == ("5m", "./edge/overlays/production", True)
    assert spec["sourceRef"] == {"kind": "GitRepository", "name": "edge-configs"}
    (patch,) = spec["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "inference-server"}
    assert json.loads(patch["patch"]) == [{"op": "replace", "path": "/spec/replicas", "value": 2}]


def test_a_source_that_was_out_of_reach_for_long_is_asked_again_within_the_interval() -> None:
    (patch,) = gitops.plan(flux(SSH, interval="2m"), **SITE).instance["spec"]["kustomize"]["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "source-controller"}
    assert [change["value"] for change in json.loads(patch["patch"])] == ["--max-retry-delay=2m"]


def test_encrypted_sources_are_decrypted_with_the_age_key_and_others_ask_for_none() -> None:
    encrypted = gitops.plan(flux(SSH, decryption="sops-age"), **SITE).kustomization["spec"]
    assert encrypted["decryption"] == {"provider": "sops", "secretRef": {"name": credentials.AGE_KEY}}
    assert "decryption" not in gitops.plan(flux(SSH), **SITE).kustomization["spec"]


def test_public_keys_reach_flux_under_the_suffix_that_it_reads() -> None:
    git = gitops.plan(flux(SSH), **SITE).signers
    oci = gitops.plan(flux(OCI), **SITE).signers
    assert git is not None
    assert oci is not None
    assert sorted(git["stringData"]) == ["alice.asc", "bob.asc"]
    assert sorted(oci["stringData"]) == ["release.pub"]


def test_an_operators_image_keeps_its_digest_through_the_charts_repository_and_tag() -> None:
    reference = f"{image('operator').split('@')[0]}:v0.58.1@{image('operator').split('@')[1]}"
    values = gitops.plan(flux(SSH, operator={"version": "0.58.1", "image": reference}), **SITE).operator_values
    assert f"{values['image']['repository']}:{values['image']['tag']}" == reference


@pytest.mark.parametrize("registry", ["registry.example.com", "10.20.0.5:5000", "[fd00:20::5]", "[fd00:20::5]:5000"])
def test_a_registry_of_charts_has_a_name_or_an_address_of_either_family(registry: str) -> None:
    chart = f"oci://{registry}/charts/flux-operator"
    assert flux(SSH, operator={"version": "0.58.1", "chart": chart}).operator.chart == chart


@pytest.mark.parametrize("registry", ["fd00:20::5", "[fd00:20::5", "[10.20.0.5]", "[fd00::20::5]", "registry:99999"])
def test_what_is_no_address_of_a_registry_is_refused(registry: str) -> None:
    with pytest.raises(ValidationError):
        flux(SSH, operator={"version": "0.58.1", "chart": f"oci://{registry}/charts/flux-operator"})


def test_labels_become_variables_that_flux_can_substitute() -> None:
    variables = gitops.site_variables(**SITE)
    assert variables == {
        "site": "warehouse-berlin-01",
        "tier": "near",
        "region": "eu-central",
        "label_customer": "acme",
        "label_edge_example_com_ring": "canary",
    }


def test_two_labels_that_would_be_one_variable_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a-b' and 'a\.b' would both be the variable label_a_b"):
        gitops.site_variables(site="s", tier="near", region="r", labels={"a-b": "1", "a.b": "2"})


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        (SPECS["git-ssh-signed"], ("git-ssh-key", "sops-age-key")),
        (SPECS["git-https-tag"], ("git-password",)),
        (flux({"git": "https://git.example.com/edge.git"}), ()),
        (SPECS["oci-cosign"], ()),
        (flux(ENTERPRISE), ("git-password", "source-proxy-password")),
        (flux(APP), ("github-app-key",)),
        (flux(AZURE), ()),
        (flux(REGISTRY), ("oci-password",)),
        (flux(SSH, **REPORTS), ("git-ssh-key", "flux-alert-board", "flux-alert-chat", "git-status-token")),
    ],
)
def test_secrets_are_asked_for_only_where_they_are_used(spec: FluxSpec, keys: tuple[str, ...]) -> None:
    assert credentials.required_secrets(spec) == keys


def test_no_policy_lets_controllers_talk_to_a_port_that_nobody_needs() -> None:
    ports = {
        port["port"]
        for policy in gitops.plan(flux(SSH), **SITE).network_policies
        for rule in policy["spec"].get("egress", [])
        for port in rule.get("ports", [])
    }
    assert ports == {53, 443, 6443, 22}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "expected either `git: <url>` or `oci:"),
        ({**SSH, **OCI}, "expected either `git: <url>` or `oci:"),
        ({**SSH, "git": "git@git.example.com:edge.git"}, "is written ssh://git@host/path"),
        ({**SSH, "git": "ssh://git:hunter2@git.example.com/edge.git"}, "without a password"),
        ({**SSH, "known_hosts": None}, "ssh-keyscan -p 22 git.example.com"),
        ({**SSH, "git": "ssh://git@git.example.com:2222/edge.git"}, r"no key for \[git.example.com\]:2222"),
        ({**SSH, "tag": "v1"}, "`tag` beside `branch`: expected one of branch, tag, semver, ref, commit"),
        ({**SSH, "verify": {"keys": {}}}, "at least 1 item"),
        ({**SSH, "verify": {"mode": "Tag", "keys": {"a": PGP_KEY}}}, "expected `tag` or `semver` for this mode"),
        ({**SSH, "verify": {"keys": {"a": PGP_KEY.replace("PUBLIC", "PRIVATE")}}}, "this is a private one"),
        ({**SSH, "verify": {"keys": {"a": "ssh-ed25519 AAAA"}}}, "gpg --armor --export"),
        ({**HTTPS, "known_hosts": SSH["known_hosts"]}, "`known_hosts` is for ssh"),
        ({**OCI, "tag": "v1"}, "`semver` beside `tag`: expected one of tag, semver, digest"),
        ({**OCI, "verify": {}}, "without one of them nothing is verified"),
        ({**OCI, "oci": "oci://registry.example.com/edge:v1"}, "without tag or digest"),
        ({**HTTPS, "ref": "refs/heads/main"}, "`ref` beside `tag`"),
        ({**HTTPS, "tag": None, "ref": "main"}, "it does not begin with `refs/`"),
        ({**HTTPS, "tag": None, "ref": "refs/heads/a..b"}, "Git allows no `..` in it"),
        ({**APP, "username": "edge"}, "`github_app` beside `username`"),
        ({**AZURE, "username": "edge"}, "`provider` beside `username`"),
        ({**HTTPS, "identity": {"a/b": "c"}}, "`identity` without a cloud"),
        ({**SSH, "ca": CA}, "`ca` is for https; a ssh server is known by its host key"),
        ({**SSH, "proxy": {"url": "http://proxy.example.com"}}, "`proxy` is for https"),
        ({**SSH, "username": "edge"}, "`username` is for https"),
        ({**SSH, "github_app": APP["github_app"]}, "`github_app` is for https"),
        ({**HTTPS, "proxy": {"url": "http://edge:pass@proxy.example.com"}}, "no credentials in it"),
        ({**HTTPS, "timeout": "0s"}, "pattern"),
        ({**HTTPS, "sparse_checkout": ["apps"]}, r"`path` \./edge/overlays/production is in none of the folders"),
        ({**REGISTRY, "provider": "aws"}, "`provider` beside `username`"),
    ],
)
def test_a_source_that_cannot_work_is_refused_with_what_was_expected(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        flux(source)


def test_a_flux_without_the_controllers_that_apply_is_refused() -> None:
    with pytest.raises(ValidationError, match="kustomize-controller"):
        flux(SSH, distribution={"version": "2.9.4", "components": ["source-controller", "helm-controller"]})


def secrets_of(spec: FluxSpec) -> dict[str, dict[str, str]]:
    """By name, what the Secrets hold; secret values by the key that they come from."""
    return {one.name: {**one.public, **one.private} for one in credentials.of_source(spec)}


def test_a_private_authority_a_login_and_a_proxy_reach_flux_in_secrets_of_its_own_names() -> None:
    assert secrets_of(flux(ENTERPRISE)) == {
        "edge-configs-credentials": {"username": "edge-reader", "password": "git-password", "ca.crt": CA},
        "edge-configs-proxy": {
            "address": "http://proxy.example.com:3128",
            "username": "edge",
            "password": "source-proxy-password",
        },
    }
    spec = gitops.plan(flux(ENTERPRISE), **SITE).source["spec"]
    assert spec["secretRef"] == {"name": "edge-configs-credentials"}
    assert spec["proxySecretRef"] == {"name": "edge-configs-proxy"}


def test_a_github_app_logs_in_by_its_number_and_its_key() -> None:
    (found,) = secrets_of(flux(APP)).values()
    assert found == {
        "githubAppID": "912345",
        "githubAppInstallationID": "51234567",
        "githubAppBaseURL": "https://github.example.com/api/v3",
        "githubAppPrivateKey": "github-app-key",
    }
    assert gitops.plan(flux(APP), **SITE).source["spec"]["provider"] == "github"


def test_a_registrys_login_is_docker_configuration_for_exactly_that_registry() -> None:
    login = next(one for one in credentials.of_source(flux(REGISTRY)) if one.registry)
    assert login.registry == "registry.example.com:5000"
    config = credentials.docker_config(login.registry, "edge-reader", "pass")
    entry = {"username": "edge-reader", "password": "pass", "auth": "ZWRnZS1yZWFkZXI6cGFzcw=="}
    assert json.loads(config) == {"auths": {"registry.example.com:5000": entry}}
    made = credentials.manifest(login, {".dockerconfigjson": config})
    assert made["type"] == "kubernetes.io/dockerconfigjson"
    assert made["stringData"] == {".dockerconfigjson": config}


def test_source_controller_alone_may_ask_its_machines_cloud_who_it_is_and_only_where_it_has_no_other_identity() -> None:
    def reaches_metadata(spec: FluxSpec) -> list[Any]:
        policies = gitops.plan(spec, **SITE).network_policies
        return [one["spec"]["podSelector"] for one in policies if "169.254.169.254" in json.dumps(one)]

    assert reaches_metadata(flux(ECR)) == [{"matchLabels": {"app": "source-controller"}}]
    for spec in (flux(AZURE), flux(HTTPS), flux(OCI)):
        assert reaches_metadata(spec) == []


def test_the_proxys_port_is_open_to_the_controllers() -> None:
    policy = gitops.plan(flux(ENTERPRISE), **SITE).network_policies[1]
    assert 3128 in {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", [])}


def test_a_sites_own_variables_stand_beside_its_facts() -> None:
    build = gitops.plan(flux(SSH, variables={"rack": "r1", "cameras": "4"}), **SITE).kustomization["spec"]["postBuild"]
    assert build == {
        "substituteFrom": [{"kind": "ConfigMap", "name": "site"}],
        "substitute": {"cameras": "4", "rack": "r1"},
    }


def test_a_repository_with_placeholders_of_its_own_is_applied_as_it_is() -> None:
    assert "postBuild" not in gitops.plan(flux(SSH, substitute=False), **SITE).kustomization["spec"]


def arguments(spec: FluxSpec) -> dict[str, str]:
    """Arguments that patches give to controllers, by the expression of their names."""
    patches = gitops.plan(spec, **SITE).instance["spec"]["kustomize"]["patches"]
    given = [(one["target"]["name"], json.loads(one["patch"])[0]["value"]) for one in patches]
    return {value: names for names, value in given if not value.startswith("--max-retry-delay")}


def test_what_the_source_holds_is_locked_into_its_namespaces_by_the_operators_own_switch() -> None:
    assert gitops.plan(flux(SSH), **SITE).instance["spec"]["cluster"]["multitenant"] is True
    assert arguments(flux(SSH)) == {}


def test_the_sites_own_kustomization_keeps_the_rights_of_its_controller() -> None:
    assert gitops.plan(flux(SSH), **SITE).kustomization["spec"]["serviceAccountName"] == "kustomize-controller"


def test_another_default_account_is_told_to_the_operator() -> None:
    cluster = gitops.plan(flux(SSH, tenancy={"default_service_account": "tenant"}), **SITE).instance["spec"]["cluster"]
    assert (cluster["multitenant"], cluster["tenantDefaultServiceAccount"]) == (True, "tenant")


@pytest.mark.parametrize(
    ("exception", "kept"),
    [
        ({"remote_bases": True}, {"--no-cross-namespace-refs=true", "--default-service-account=default"}),
        ({"cross_namespace_refs": True}, {"--no-remote-bases=true", "--default-service-account=default"}),
        ({"default_service_account": None}, {"--no-cross-namespace-refs=true", "--no-remote-bases=true"}),
    ],
)
def test_an_exception_opens_what_it_names_and_nothing_else(exception: dict[str, Any], kept: set[str]) -> None:
    spec = flux(SSH, tenancy=exception)
    assert gitops.plan(spec, **SITE).instance["spec"]["cluster"]["multitenant"] is False
    assert set(arguments(spec)) == kept


def test_an_exception_is_advised_against() -> None:
    found = findings(gitops.plan(flux(SSH, tenancy={"remote_bases": True}), **SITE).instance)
    assert [one for one in found if "flux-locked-down" in one]
    assert not findings(gitops.plan(flux(SSH), **SITE).instance)


def reported(spec: FluxSpec) -> dict[str, dict[str, Any]]:
    """What each object that reports says, by its role."""
    return {role: manifest["spec"] for role, manifest in gitops.plan(spec, **SITE).reports.items()}


def test_a_receiver_hears_of_failures_with_the_site_in_it() -> None:
    found = reported(flux(SSH, alerts={"chat": {"kind": "slack", "channel": "edge"}}))
    assert found["alert-chat-receiver"] == {
        "type": "slack",
        "channel": "edge",
        "secretRef": {"name": "edge-alert-chat"},
    }
    alert = found["alert-chat"]
    assert (alert["eventSeverity"], alert["providerRef"]) == ("error", {"name": "edge-alert-chat"})
    assert alert["eventMetadata"] == {"site": "warehouse-berlin-01", "tier": "near", "region": "eu-central"}


@pytest.mark.parametrize(("source", "kind"), [(SSH, "GitRepository"), (OCI, "OCIRepository")])
def test_a_receiver_hears_of_the_source_as_it_is_and_of_all_that_flux_applies_beside_it(source: Any, kind: str) -> None:
    found = reported(flux(source, alerts={"chat": {"kind": "slack"}}))["alert-chat"]["eventSources"]
    assert [(one["kind"], one["name"]) for one in found] == [
        (kind, "edge-configs"),
        ("Kustomization", "*"),
        ("HelmRelease", "*"),
    ]
    # Another namespace would be refused by the lock-down.
    assert not [one for one in found if "namespace" in one]


def test_the_address_of_a_webhook_and_every_token_come_from_the_stacks_secrets() -> None:
    private = {one.name: dict(one.private) for one in credentials.of_reports(flux(SSH, **REPORTS))}
    assert private == {
        "edge-alert-board": {"token": "flux-alert-board"},
        "edge-alert-chat": {"address": "flux-alert-chat"},
        "edge-commit-status": {"token": "git-status-token"},
    }


def test_a_commit_shows_each_site_under_its_own_name() -> None:
    receiver = reported(flux(SSH, **REPORTS))["commit-status-receiver"]
    assert receiver["commitStatusExpr"] == "'edge/warehouse-berlin-01'"
    alert = reported(flux(SSH, **REPORTS))["commit-status"]
    # Success has the severity `info`: a commit that is only told of failures stays pending.
    assert alert["eventSeverity"] == "info"
    assert alert["eventSources"] == [{"kind": "Kustomization", "name": "edge-inference-stack"}]


def test_the_status_goes_to_the_repository_of_the_source_unless_another_address_is_given() -> None:
    found = reported(flux(HTTPS, commit_status={"kind": "gitlab"}))
    assert found["commit-status-receiver"]["address"] == HTTPS["git"]


def test_the_ports_of_receivers_are_open_to_the_controllers() -> None:
    policy = gitops.plan(flux(SSH, **REPORTS), **SITE).network_policies[1]
    open_ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", [])}
    assert open_ports >= {9443, 3443}


def test_a_site_without_receivers_tells_nobody() -> None:
    assert gitops.plan(flux(SSH), **SITE).reports == {}


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        (SSH, {"alerts": {"chat": {"kind": "slack", "address": "https://hooks.example.com/x"}}}, "it is a secret"),
        (SSH, {"alerts": {"mail": {"kind": "generic"}}}, "`generic` without an `address`"),
        (SSH, {"alerts": {"Chat": {"kind": "slack"}}}, "Chat"),
        (SSH, {"commit_status": {"kind": "github"}}, "is not where ssh://git@git.example.com/edge.git is"),
        (OCI, {"commit_status": {"kind": "github"}}, "an OCI source, which has no commits"),
        (
            SSH,
            {
                "alerts": {"chat": {"kind": "slack"}},
                "distribution": {"version": "2.9.4", "components": ["source-controller", "kustomize-controller"]},
            },
            "`alerts` without notification-controller",
        ),
    ],
)
def test_a_report_that_would_reach_nobody_is_refused(source: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        flux(source, **changes)
