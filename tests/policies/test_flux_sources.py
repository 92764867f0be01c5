"""Ways to make Flux apply what nobody signed: patches, strangers' signatures, repositories inside repositories."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from policies.rules import UNKNOWN, Resource, evaluate, evaluate_stack
from sitefile import signer_expression
from tests.policies.cases import base, put

RULE = "supply-chain/flux-source-verified"
INCLUDED = "supply-chain/flux-include-verified"
SIGNED = "- {op: add, path: /spec/verify, value: {mode: HEAD, secretRef: {name: signers}}}"


def instance(*patches: dict[str, Any], **sync: Any) -> set[tuple[str, str]]:
    props: dict[str, Any] = copy.deepcopy(dict(base("flux-instance").props))
    props["spec"]["kustomize"]["patches"] = list(patches)
    props["spec"]["sync"] |= sync
    return found("kubernetes:fluxcd.controlplane.io/v1:FluxInstance", props)


def found(token: str, props: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one.rule, one.level) for one in evaluate(Resource(token, "x", "urn:x", props)) if one.rule == RULE}


def patch(text: str, kind: str = "GitRepository", **target: Any) -> dict[str, Any]:
    return {"target": {"kind": kind, **target}, "patch": text}


GOOD = patch(SIGNED)
REFUSED = {(RULE, "mandatory")}


def test_one_patch_that_adds_a_key_is_enough() -> None:
    assert instance(GOOD) == set()
    assert instance(patch(SIGNED, name="flux-system")) == set()
    assert instance(patch(SIGNED, name="flux-.*", group=r"source\.toolkit\.fluxcd\.io")) == set()
    assert instance(patch("spec: {verify: {mode: HEAD, secretRef: {name: signers}}}")) == set()
    assert instance(GOOD, patch("- {op: add, path: /spec/replicas, value: 2}", "Deployment")) == set()
    assert instance(patch(SIGNED, name="edge"), name="edge") == set()


@pytest.mark.parametrize(
    "patches",
    [
        (),
        (GOOD, patch("- {op: remove, path: /spec/verify}")),
        (GOOD, patch("- {op: remove, path: /spec/verify/secretRef}")),
        (GOOD, patch("- {op: replace, path: /spec/verify, value: {mode: HEAD}}")),
        (GOOD, patch("- {op: replace, path: /spec/verify/secretRef, value: {}}")),
        (GOOD, patch("- {op: replace, path: /spec, value: {url: ssh://git@evil.example.com/x}}")),
        (GOOD, patch("- {op: move, from: /spec/verify, path: /spec/verify2}\n- {op: remove, path: /spec/verify}")),
        (GOOD, patch("- {op: copy, from: /spec/ref, path: /spec/verify}")),
        (GOOD, patch("spec: {verify: null}")),
        (GOOD, patch("spec: {verify: {secretRef: null}}")),
        (GOOD, patch("spec: {verify: {$patch: delete}}")),
        (GOOD, patch("spec: {$patch: replace, url: https://evil.example.com/x}")),
        (GOOD, patch("spec: null")),
        (GOOD, patch("- {op: remove, path: /spec/verify}", "Git.*")),
        (GOOD, patch("- {op: remove, path: /spec/verify}", labelSelector="a=b")),
        (GOOD, {"patch": "{kind: GitRepository, metadata: {name: flux-system}, spec: {verify: null}}"}),
        (GOOD, patch("- {op: remove, path: /spec/verify")),
        (patch(SIGNED, name="another"),),
        (patch(SIGNED, namespace="another"),),
        (patch(SIGNED, group="apps"),),
        (patch(SIGNED, labelSelector="a=b"),),
        (patch(SIGNED, "OCIRepository"),),
        (patch("# path: /spec/verify secretRef\n- {op: add, path: /spec/interval, value: 1m}"),),
        (patch("spec: {interval: 'verify: secretRef'}"),),
        (patch("- {op: test, path: /spec/verify, value: {secretRef: {name: signers}}}"),),
    ],
)
def test_patches_after_which_nothing_is_verified_are_refused(patches: tuple[dict[str, Any], ...]) -> None:
    assert instance(*patches) == REFUSED


def test_a_patch_that_is_not_known_yet_is_refused() -> None:
    assert instance({"target": {"kind": "GitRepository"}, "patch": UNKNOWN}) == REFUSED


def test_the_source_may_have_a_name_of_its_own_and_then_the_patch_must_name_it() -> None:
    assert instance(patch(SIGNED, name="flux-system"), name="edge") == REFUSED


def test_patches_of_a_kustomization_may_not_take_verification_away() -> None:
    token = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization"

    def kustomization(text: str, **target: str) -> set[tuple[str, str]]:
        return found(token, {"spec": {"patches": [{"target": target, "patch": text}]}})

    assert kustomization("- {op: remove, path: /spec/verify}", kind="GitRepository") == REFUSED
    assert kustomization("- {op: remove, path: /spec/verify}", kind="OCI.*") == REFUSED
    assert kustomization("- {op: remove, path: /spec/verify}", name="edge") == REFUSED
    assert kustomization("{kind: GitRepository, spec: {verify: null}}") == REFUSED
    assert kustomization("- {op: remove, path: /spec/verify}", kind="Cluster") == set()
    assert kustomization("- {op: replace, path: /spec/replicas, value: 1}", kind="Deployment") == set()


@pytest.mark.parametrize("value", [None, {}, {"mode": "HEAD"}, {"secretRef": {}}])
def test_a_patch_type_may_not_take_verification_away(value: Any) -> None:
    token = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepositoryPatch"
    assert found(token, {"spec": {"verify": value}}) == REFUSED
    assert found(token, {"spec": {"interval": "1m"}}) == set()


@pytest.mark.parametrize("name", ["issuer", "subject"])
@pytest.mark.parametrize(
    "expression",
    [
        *(".*", ".+", "^.*$", ".+/.+", "^.+/.+$", "..*", "", ".{3,}", "[^ ]+", "(?s).*", "^https://.*$"),
        *(
            "^https://github\\.com/.*$",
            "github",
            "https://github\\.com/acme/edge",
            "^acme|.*$",
            "^a|b$",
            "(",
            "^(?!x)a$",
        ),
    ],
)
def test_an_expression_that_trusts_strangers_is_refused(name: str, expression: str) -> None:
    oci = base("oci-repository")
    props: dict[str, Any] = copy.deepcopy(dict(oci.props))
    put(props, f"spec.verify.matchOIDCIdentity[0].{name}", expression)
    assert found(oci.type, props) == REFUSED


@pytest.mark.parametrize(
    "expression",
    [r"^https://github\.com/acme/edge/.*$", r"^(?:release|hotfix)@acme\.example$", r"^[a|b]@acme\.example$"],
)
def test_an_expression_that_names_its_signers_is_fine(expression: str) -> None:
    assert signer_expression.fault_of(expression) is None


def repository(name: str, namespace: str = "flux-system", **spec: Any) -> Resource:
    one = base("git-repository")
    props: dict[str, Any] = copy.deepcopy(dict(one.props))
    props["metadata"] |= {"name": name, "namespace": namespace}
    props["spec"] |= spec
    return Resource(one.type, name, f"urn:{name}", props)


def included(*resources: Resource) -> list[str]:
    return [one.path for one in evaluate_stack(resources) if one.rule == INCLUDED]


def test_an_included_repository_must_be_in_the_stack_where_it_is_judged_too() -> None:
    including = repository("edge", include=[{"repository": {"name": "shared"}}])
    assert included(including) == ["spec.include[0].repository.name"]
    assert included(including, repository("shared", "another")) == ["spec.include[0].repository.name"]
    assert included(including, repository("shared")) == []
    unsigned = repository("shared", verify=None)
    assert {one.rule for one in evaluate_stack([including, unsigned])} == {RULE}


def test_what_is_included_and_not_known_yet_is_refused() -> None:
    assert included(repository("edge", include=UNKNOWN)) == ["spec.include"]
    assert included(repository("edge", include=[{"repository": {"name": UNKNOWN}}])) != []
