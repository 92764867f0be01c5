"""`edge check --charts`: renders what a site installs, writes the record, and judges by it from then on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge.run.judging import policies_of
from lab.authority import Authority
from lab.gitops.build import helm
from lab.oci.artifact import chart
from lab.oci.registry import Registry
from policies.own import catalogue_of
from policies.pack import FOLDER
from tests.edge.conftest import Project
from tests.policies.test_charts import archive
from tests.policies.test_unseen import BAD, GOOD


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    charts = {
        "good/flux-operator": {"1.2.3": chart(archive(GOOD, "flux-operator"))},
        "bad/flux-operator": {"1.2.3": chart(archive(BAD, "flux-operator"))},
    }
    with Authority() as authority, Registry(authority, "127.0.0.1", charts) as served:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        monkeypatch.setenv("HELM_CACHE_HOME", str(tmp_path / "helm"))
        monkeypatch.setenv("PATH", f"{helm().parent}:{os.environ['PATH']}")
        yield served


@pytest.fixture
def company(project: Project, registry: Registry) -> Project:
    """A project with a pack of its own that allows the registry; its site takes the operator from there."""
    folder = project.root / "policies"
    folder.mkdir()
    for name in ("PulumiPolicy.yaml", "__main__.py"):
        shutil.copy(FOLDER / name, folder)
    (project.root / ".venv").symlink_to(sys.prefix)
    allowed = {"edge-resources-mandatory": {"more_registries": [registry.host, "registry.example.com/models"]}}
    (folder / "config.json").write_text(json.dumps(allowed))
    from_registry(project, registry, "good")
    for cached in (policies_of, catalogue_of):
        cached.cache_clear()
    return project


def from_registry(project: Project, registry: Registry, name: str) -> None:
    operator = {"chart": f"oci://{registry.host}/{name}/flux-operator", "version": "1.2.3"}
    project.change("demo", lambda content: content["gitops"].update(operator=operator))


def rules(project: Project, *options: str) -> tuple[int, set[str]]:
    ran = project.edge("check", "demo", "--json", *options)
    (site,) = ran.document["sites"]
    return ran.code, {one["rule"] for one in site["policies"] if one["level"] == "mandatory"}


def test_a_chart_is_refused_until_it_is_rendered_and_passes_by_its_record_then(
    company: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rules(company) == (1, {"supply-chain/opaque"})
    ran = company.edge("check", "demo", "--charts")
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "rendered oci://" in ran.stdout
    monkeypatch.setenv("PATH", "/nowhere")
    assert rules(company) == (0, set())
    assert "1 chart judged by record, not rendered" in company.edge("check", "demo").stdout


def test_what_a_chart_renders_to_refuses_the_site(company: Project, registry: Registry) -> None:
    from_registry(company, registry, "bad")
    assert rules(company, "--charts") == (1, {"workload/no-privileged"})


def test_a_chart_that_cannot_be_rendered_fails_the_check_and_says_why(company: Project, registry: Registry) -> None:
    from_registry(company, registry, "missing")
    ran = company.edge("check", "demo", "--charts")
    assert ran.code == 1
    assert "not rendered demo-flux-operator: chart oci://" in " ".join(ran.stdout.split())
    assert "helm pull failed" in " ".join(ran.stdout.split())


def test_without_helm_nothing_is_rendered_and_one_line_says_so(
    company: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ran = company.edge("check", "demo", "--charts")
    assert ran.code == 1
    assert "helm not found on PATH" in ran.stdout + ran.stderr


def test_without_a_pack_of_its_own_there_is_no_place_for_a_record(project: Project, registry: Registry) -> None:
    ran = project.edge("check", "demo", "--charts")
    assert ran.code == 1
    assert "has no policy pack of its own" in " ".join((ran.stdout + ran.stderr).split())


@pytest.mark.engine
def test_a_rehearsal_uses_the_record_and_says_so(company: Project) -> None:
    assert company.edge("check", "demo", "--charts").code == 0
    ran = company.edge("preview", "demo", "--rehearse", "--json")
    assert ran.code == 0, ran.stderr
    (said,) = ran.document["charts"]
    assert "flux-operator 1.2.3: not rendered in this run; judged by its record of " in said
    assert not [one for one in ran.document["policies"] if one["level"] != "advisory"]


def test_charts_that_flux_will_install_are_rendered_for_their_manifests(company: Project, registry: Registry) -> None:
    source = {"type": "oci", "url": f"oci://{registry.host}/bad"}
    chart = {"chart": "flux-operator", "version": "1.2.3", "sourceRef": {"kind": "HelmRepository", "name": "a"}}
    metadata = {"name": "a", "namespace": "apps"}
    documents = [
        {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": metadata, "spec": source},
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": metadata,
            "spec": {"chart": {"spec": chart}},
        },
    ]
    file = company.root / "apps.yaml"
    file.write_text(yaml.safe_dump_all(documents))

    def judged(*options: str) -> tuple[int, set[str]]:
        ran = company.edge("check", "--manifests", file, "--json", *options)
        return ran.code, {one["rule"] for one in ran.document["findings"] if one["level"] == "mandatory"}

    assert judged() == (1, {"supply-chain/opaque"})
    assert judged("--charts") == (1, {"workload/no-privileged"})
    assert judged() == (1, {"workload/no-privileged"})
    file.write_text(yaml.safe_dump_all(documents[1:]).replace("1.2.3", "1.2.4"))
    ran = company.edge("check", "--manifests", file, "--charts")
    assert ran.code == 1
    assert "its source HelmRepository/apps/a is not among the resources" in " ".join(ran.stdout.split())
