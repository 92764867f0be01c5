"""What makes a cluster pull another image than the one that is named: what is let through, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from components.k3s.plan import registries
from components.k3s.spec import K3sSpec
from policies.rules import DEFAULT_REGISTRIES, DEFAULT_SETTINGS, Resource, evaluate
from tests.policies.cases import base

DIGEST = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
MIRROR = "registry.plant.example.com"
SETTINGS = replace(DEFAULT_SETTINGS, registries=(*DEFAULT_REGISTRIES, MIRROR, "registry.example.com/edge"))


def spec(**block: Any) -> K3sSpec:
    return K3sSpec.model_validate(
        {"version": "v1.36.3+k3s1", "releases": {"v1.36.3+k3s1": {"amd64": "0" * 64}}, **block}
    )


def said(document: Any, *, file: str = "/etc/rancher/k3s/registries.yaml") -> list[str]:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    script = f"put_file {file} 0600 <<'EDGE_FILE'\n{text}\nEDGE_FILE\n"
    # As the program hands a script to root's shell.
    props = {**base("mirrors").props, "create": "exec sudo -n bash -c '{}'".format(script.replace("'", "'\"'\"'"))}
    found = evaluate(Resource("command:remote:Command", "x", "urn:x", props), SETTINGS)
    assert {finding.rule for finding in found} <= {"supply-chain/image-mirror"}
    return [finding.message for finding in found]


@pytest.mark.parametrize(
    "mirror",
    [
        {"endpoint": [f"https://{MIRROR}"]},
        {"endpoint": [f"https://{MIRROR}/v2/"], "rewrite": {"rancher/(.*)": "anything/$1"}},
        {"endpoint": ["https://registry.example.com"], "rewrite": {"^(.*)$": "edge/docker.io/$1"}},
        {
            "endpoint": ["https://registry.example.com"],
            "rewrite": {"^rancher/(.*)": "edge/k3s/$1", ".*": "edge/all/$0"},
        },
        {"endpoint": ["https://registry-1.docker.io"]},
        None,
        {},
    ],
)
def test_a_mirror_whose_images_all_come_from_an_allowed_place_is_let_through(mirror: Any) -> None:
    assert said({"mirrors": {"docker.io": mirror}}) == []


@pytest.mark.parametrize(
    "mirror",
    [
        {"endpoint": [f"https://{MIRROR}.evil.example"]},
        {"endpoint": [f"https://{MIRROR}", "https://evil.example.com"]},
        {"endpoint": ["https://registry.example.com"]},
        {"endpoint": ["https://registry.example.com"], "rewrite": {"^rancher/(.*)": "edge/$1"}},
        {"endpoint": ["https://registry.example.com"], "rewrite": {"(.*)": "edge-lookalike/$1"}},
        {"endpoint": ["https://registry.example.com"], "rewrite": {"(.*)": "edge/$1", "rancher": "edge/rancher"}},
        {"endpoint": ["https://ghcr.io"]},
    ],
)
def test_a_mirror_from_which_anything_else_may_come_is_refused(mirror: Any) -> None:
    (message,) = said({"mirrors": {"docker.io": mirror}})
    assert "docker.io from a mirror, or a part of one, that is not an allowed registry" in message


def test_the_file_that_the_component_writes_is_what_the_rule_reads() -> None:
    mirrored = spec(registries={"*": {"endpoints": ["https://evil.example.com"]}})
    (message,) = said(registries(mirrored))
    assert "pulls images of * from a mirror" in message
    assert said(registries(spec(registries={"*": {"endpoints": [f"https://{MIRROR}"]}}, embedded_registry=True))) == []


def test_mirrors_of_containerd_itself_are_read_too() -> None:
    file = "/etc/containerd/certs.d/docker.io/hosts.toml"
    good = f"server = 'https://registry-1.docker.io'\n[host.'https://{MIRROR}']\ncapabilities = ['pull']"
    assert said(good, file=file) == []
    assert len(said(good.replace(MIRROR, "evil.example.com"), file=file)) == 1
    assert len(said(good.replace("registry-1.docker.io", "ghcr.io"), file=file)) == 1


@pytest.mark.parametrize(
    ("entry", "rules"),
    [
        ({"newName": "nvcr.io/nvidia/tritonserver"}, set()),
        ({"newTag": "26.08", "digest": DIGEST}, set()),
        ({"newName": f"{MIRROR}/tritonserver", "digest": DIGEST}, set()),
        ({"newName": "evil.example.com/tritonserver", "digest": DIGEST}, {"supply-chain/image-rewrite"}),
        ({"newTag": "26.08"}, {"supply-chain/image-rewrite"}),
        ({"newTag": 26.08}, {"supply-chain/image-rewrite"}),
    ],
)
def test_an_image_is_rewritten_to_what_could_have_been_written_in_its_place(
    entry: dict[str, Any], rules: set[str]
) -> None:
    images = [{"name": "nvcr.io/nvidia/tritonserver", **entry}]
    token, props = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", dict(base("kustomization").props)
    props["spec"] = {**props["spec"], "images": images}
    assert {finding.rule for finding in evaluate(Resource(token, "x", "urn:x", props), SETTINGS)} == rules


@pytest.mark.parametrize(
    "where",
    ["kustomize.toolkit.fluxcd.io/v1:Kustomization", "kustomize.config.k8s.io/v1beta1:Kustomization"],
)
def test_a_patch_of_an_image_is_judged_as_the_workload_that_it_changes(where: str) -> None:
    container = {"name": "triton", "image": "evil.example.com/tritonserver:latest"}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patches = [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(patch)}]
    operation = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": container["image"]}]
    patches_6902 = [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(operation)}]
    for given in (patches, patches_6902):
        props = {
            "metadata": {"name": "x"},
            **({"spec": {"patches": given}} if "toolkit" in where else {"patches": given}),
        }
        found = {finding.rule for finding in evaluate(Resource(f"kubernetes:{where}", "x", "urn:x", props), SETTINGS)}
        assert {"supply-chain/image-digest", "supply-chain/no-latest", "supply-chain/registry-allowlist"} <= found
