"""Rendered manifests go through the same rules, and none is passed over."""

from __future__ import annotations

from pathlib import Path

import yaml

from policies.manifests import read
from policies.rules import evaluate_stack
from tests.policies.cases import base


def rules(path: Path) -> set[str]:
    return {finding.rule for finding in evaluate_stack(read(path).resources)}


def test_a_rendered_workload_is_judged(tmp_path: Path) -> None:
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", **base("deployment").props}
    file = tmp_path / "inference.yaml"
    file.write_text(yaml.safe_dump(manifest))
    assert rules(file) == set()
    manifest["spec"]["template"]["spec"]["hostPID"] = True
    file.write_text(yaml.safe_dump(manifest))
    (found,) = evaluate_stack(read(file).resources)
    assert found.rule == "workload/no-host-namespaces"
    assert found.urn == f"{file}#Deployment/edge-inference/inference"


def test_all_documents_of_all_files_below_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(
        "---\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort}\n"
        "---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, spec: {hostIPC: true}}]\n"
    )
    (tmp_path / "sub" / "b.json").write_text(
        '{"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "AKIAIOSFODNN7EXAMPLE"}}'
    )
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    assert {"network/no-exposed-service", "workload/no-host-namespaces", "secrets/no-secret-in-config-map"} <= rules(
        tmp_path
    )
    assert read(tmp_path).problems == ()


def test_a_finding_has_the_line_and_column_of_its_property(tmp_path: Path) -> None:
    file = tmp_path / "pods.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {a.b/c: d}}\n---\n"
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: x\n      image: y\n"
    )
    found = read(file)
    service, pod = (resource.urn for resource in found.resources)
    assert found.place(pod, "spec.containers[0].image") == (str(file), 10, 7)
    # What is not there is as near as it gets.
    assert found.place(pod, "spec.containers[0].securityContext.privileged") == (str(file), 9, 7)
    assert found.place(pod, "spec.hostPID") == (str(file), 7, 1)
    assert found.place(service, 'metadata.annotations["a.b/c"]') == (str(file), 3, 35)
    assert found.place(pod) == (str(file), 5, 1)
    assert found.place("urn:other") is None


def test_two_objects_of_one_name_are_two_objects(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort}\n" * 2)
    found = read(file)
    assert len({resource.urn for resource in found.resources}) == 2
    places = {found.place(one.urn, one.path) for one in evaluate_stack(found.resources)}
    assert {place.line for place in places if place} == {5, 10}


def test_a_plain_secret_in_a_file_is_refused_and_an_encrypted_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    body = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {password: '%s'}\n"
    file.write_text(body % "hunter2")
    assert rules(file) == {"secrets/marked-as-secret"}
    file.write_text(body % "ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]")
    assert rules(file) == set()


def test_what_cannot_be_read_is_a_problem_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "tab.yaml").write_text("a:\n\tb: 1\n")
    (tmp_path / "values.yaml").write_text("image: x\n")
    (tmp_path / "text.yaml").write_text("just text\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "twice.yaml").write_text("apiVersion: v1\nkind: Pod\nspec: {hostPID: true}\nspec: {}\n")
    (tmp_path / "loop.yaml").write_text("apiVersion: v1\nkind: Pod\nspec: &again\n  in: *again\n")
    levels = "".join(f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 10)}]\n" for n in range(9))
    (tmp_path / "laughs.yaml").write_text(f"apiVersion: v1\nkind: ConfigMap\nx0: &x0 [a]\n{levels}")
    problems = read(tmp_path).problems
    assert len(problems) == 7
    assert f"{tmp_path / 'twice.yaml'}:4: the key `spec` is there twice" in problems
    assert f"{tmp_path / 'loop.yaml'}:3: an alias refers to what it is a part of" in problems
    assert f"{tmp_path / 'laughs.yaml'}:1: its aliases make more than 1000000 values of it" in problems
    assert any(problem.startswith(f"{tmp_path / 'tab.yaml'}:2: not YAML") for problem in problems)
    assert f"{tmp_path / 'values.yaml'}:1: is no Kubernetes object: it has no apiVersion and kind" in problems
    assert read(tmp_path / "missing").problems == (f"{tmp_path / 'missing'}: no such file or folder",)
