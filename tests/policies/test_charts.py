"""Charts: rendered by the real `helm` from a registry, judged by the same rules, and from then on by their record."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.authority import Authority
from lab.gitops.build import helm
from lab.oci.artifact import chart as chart_artifact
from lab.oci.registry import Registry
from policies import charts
from policies.rules import DEFAULT_SETTINGS, UNKNOWN, Resource, Rule, Settings, evaluate
from policies.rules.catalogue import CATALOGUE, Catalogue
from policies.rules.chart_records import Records, Review
from policies.settings import SettingsError
from policies.settings import load as load_settings
from tests.policies.test_unseen import BAD, GOOD, IMAGE

TODAY = date(2026, 11, 26)
OPAQUE = "supply-chain/opaque"


def archive(container: dict[str, Any], name: str = "app", *, version: str = "1.2.3") -> bytes:
    """A chart with one Deployment, whose privilege is also one of its values."""
    body = yaml.safe_dump({"containers": [container], "automountServiceAccountToken": False})
    pod = "\n".join(f"      {line}" for line in body.splitlines())
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\nspec:\n"
        "  selector: {matchLabels: {app: app}}\n  template:\n    metadata: {labels: {app: app}}\n    spec:\n"
        f"      hostNetwork: {{{{ .Values.host }}}}\n{pod}\n"
    )
    files = {
        "Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version}),
        "values.yaml": "host: false\n",
        "templates/app.yaml": deployment,
        "templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
        "stringData: {password: {{ .Values.password | quote }}}\n",
        "templates/new.yaml": '{{ if semverCompare ">=1.37-0" .Capabilities.KubeVersion.Version }}\n'
        'apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: {{ .Values.type | default "ClusterIP" }}}\n'
        "{{ end }}\n",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as folder:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(text.encode())
            folder.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@dataclass
class World:
    """A registry with charts, and a project whose record is empty at first."""

    host: str
    root: Path
    settings: Settings

    def release(self, name: str = "good", version: str = "1.2.3", **inputs: Any) -> Resource:
        props = {"name": "app", "namespace": "apps", "chart": f"oci://{self.host}/{name}/app", "version": version}
        return Resource("kubernetes:helm.sh/v3:Release", name, f"urn:{name}", {**props, **inputs})

    def renew(self, *resources: Resource, catalogue: Catalogue = CATALOGUE) -> charts.Renewal:
        found = charts.renew([resources], self.settings, str(helm()), self.root, TODAY, catalogue)
        (self.root / "policies").mkdir(exist_ok=True)
        charts.save(self.root / "policies" / charts.FILE, found.records)
        # As the next run reads it.
        self.settings = dataclasses.replace(self.settings, charts=charts.load(self.root / "policies" / charts.FILE))
        return found

    def mandatory(self, resource: Resource) -> set[str]:
        return {one.rule for one in evaluate(resource, self.settings) if one.level == "mandatory"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Registry, Path]]:
    artifacts = {
        "good/app": {"1.2.3": chart_artifact(archive(GOOD))},
        "bad/app": {"1.2.3": chart_artifact(archive(BAD))},
        "untagged/app": {"1.2.3": chart_artifact(archive({**GOOD, "image": "ghcr.io/fluxcd/tool:v1"}))},
        "away/app": {"1.2.3": chart_artifact(archive({**GOOD, "image": IMAGE.replace("ghcr.io", "evil.test")}))},
    }
    with Authority() as authority, Registry(authority, "127.0.0.1", artifacts) as registry:
        yield registry, authority.ca_file


@pytest.fixture
def world(served: tuple[Registry, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    registry, authority = served
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("HELM_CACHE_HOME", str(tmp_path / "helm"))
    allowed = (*DEFAULT_SETTINGS.registries, registry.host)
    return World(registry.host, tmp_path, dataclasses.replace(DEFAULT_SETTINGS, registries=allowed))


def test_a_chart_that_nobody_has_rendered_is_refused(world: World) -> None:
    assert world.mandatory(world.release()) == {OPAQUE}


def test_a_good_chart_passes_by_its_record_and_says_so(world: World) -> None:
    found = world.renew(world.release())
    assert found.problems == ()
    assert world.mandatory(world.release()) == set()
    (said,) = charts.used_records([world.release()], world.settings)
    assert "not rendered in this run; judged by its record of 2026-11-26 (sha256:" in said
    (verdict,) = world.settings.charts.verdicts.values()
    assert verdict.images == (GOOD["image"],)
    assert verdict.kubernetes == ("1.34", "1.35", "1.36", "1.37")


def test_what_a_chart_renders_to_is_judged_as_if_it_were_a_resource(world: World) -> None:
    world.renew(world.release("bad"))
    (found,) = [one for one in evaluate(world.release("bad"), world.settings) if one.level == "mandatory"]
    assert found.rule == "workload/no-privileged"
    assert found.path == ("chart: Deployment/app: spec.template.spec.containers[0].securityContext.privileged")


@pytest.mark.parametrize(
    ("name", "rule"), [("untagged", "supply-chain/image-digest"), ("away", "supply-chain/registry-allowlist")]
)
def test_the_images_of_a_chart_are_judged(world: World, name: str, rule: str) -> None:
    world.renew(world.release(name))
    assert world.mandatory(world.release(name)) == {rule}


def test_a_registry_that_is_allowed_later_needs_no_new_record(world: World) -> None:
    world.renew(world.release("away"))
    allowed = (*world.settings.registries, "evil.test")
    world.settings = dataclasses.replace(world.settings, registries=allowed)
    assert world.mandatory(world.release("away")) == set()


@pytest.mark.parametrize(
    "inputs",
    [
        {"values": {"host": True}},
        {"values": {"type": "NodePort"}},
        {"namespace": "other"},
        {"version": "1.2.4"},
        {"chart": "oci://ghcr.io/fluxcd/app"},
    ],
)
def test_a_record_is_of_one_chart_with_one_set_of_values(world: World, inputs: dict[str, Any]) -> None:
    world.renew(world.release())
    assert OPAQUE in world.mandatory(world.release(**inputs))


def test_values_decide_what_is_found(world: World) -> None:
    bad = world.release(values={"host": True, "type": "NodePort"})
    assert world.renew(bad).problems == ()
    # The second is only there from Kubernetes 1.37 on.
    assert world.mandatory(bad) == {"workload/no-host-namespaces", "network/no-exposed-service"}


@pytest.mark.parametrize("password", ["hunter2-hunter2", UNKNOWN, "another"])
def test_a_credential_among_the_values_is_neither_rendered_nor_recorded(world: World, password: Any) -> None:
    world.renew(world.release(values={"password": "hunter2-hunter2"}))
    assert world.mandatory(world.release(values={"password": password})) == set()
    assert "hunter2" not in (world.root / "policies" / charts.FILE).read_text()


def test_a_value_that_is_unknown_is_refused(world: World) -> None:
    world.renew(world.release())
    assert OPAQUE in world.mandatory(world.release(values={"host": UNKNOWN}))


def test_numbers_are_the_same_from_every_source(world: World) -> None:
    world.renew(world.release(values={"replicas": 2, "none": None}))
    assert world.mandatory(world.release(values={"replicas": 2.0})) == set()


def test_a_rule_that_is_newer_than_the_record_is_not_passed_over(world: World) -> None:
    world.renew(world.release(), catalogue=Catalogue(rules=CATALOGUE.rules[1:]))
    (found,) = [one for one in evaluate(world.release(), world.settings) if one.level == "mandatory"]
    assert found.rule == CATALOGUE.rules[0].id
    assert "the rule is newer; run `edge check --charts` again" in found.message


def test_a_chart_that_changed_under_its_version_is_refused(world: World) -> None:
    world.renew(world.release())
    (verdict,) = world.settings.charts.verdicts.values()
    other = {"x": dataclasses.replace(verdict, digest=f"sha256:{'0' * 64}")}
    world.settings = dataclasses.replace(world.settings, charts=Records(other))
    (problem,) = world.renew(world.release()).problems
    assert "somebody changed it under the same version" in problem
    assert world.mandatory(world.release()) == {OPAQUE}


def test_a_chart_that_cannot_be_fetched_says_why_and_stays_refused(world: World) -> None:
    missing = world.release("missing")
    (problem,) = world.renew(missing).problems
    assert "helm pull failed" in problem
    assert world.mandatory(missing) == {OPAQUE}


def test_a_name_that_helm_would_take_for_an_option_is_not_given_to_it(world: World) -> None:
    (problem,) = world.renew(world.release(chart="--post-renderer=/bin/sh")).problems
    assert "--post-renderer=/bin/sh is no name, address or version" in problem


def test_the_chart_of_a_release_of_flux_is_found_through_its_source(world: World) -> None:
    source = Resource(
        "kubernetes:source.toolkit.fluxcd.io/v1:HelmRepository", "repository", "urn:r",
        {"metadata": {"name": "apps", "namespace": "apps"}, "spec": {"type": "oci", "url": f"oci://{world.host}/bad"}},
    )  # fmt: skip
    release = Resource(
        "kubernetes:helm.toolkit.fluxcd.io/v2:HelmRelease", "app", "urn:app",
        {"metadata": {"name": "app", "namespace": "apps"}, "spec": {"chart": {"spec": {
            "chart": "app", "version": "1.2.3", "sourceRef": {"kind": "HelmRepository", "name": "apps"}}}}},
    )  # fmt: skip
    assert world.mandatory(source) == set()
    assert world.renew(release).problems[0].endswith("HelmRepository/apps/apps is not among the resources of the stack")
    assert world.renew(source, release).problems == ()
    assert world.mandatory(release) == {"workload/no-privileged"}


def test_a_chart_of_k3s_is_rendered_with_its_text_of_values(world: World) -> None:
    props = {
        "metadata": {"name": "app", "namespace": "kube-system"},
        "spec": {
            "chart": f"oci://{world.host}/good/app",
            "version": "1.2.3",
            "targetNamespace": "apps",
            "valuesContent": "host: true\n",
            "set": {"type": "NodePort"},
        },
    }
    chart = Resource("kubernetes:helm.cattle.io/v1:HelmChart", "app", "urn:app", props)
    assert world.mandatory(chart) == {OPAQUE}
    assert world.renew(chart).problems == ()
    assert world.mandatory(chart) == {"workload/no-host-namespaces", "network/no-exposed-service"}


def test_a_chart_of_the_project_is_known_for_as_long_as_its_files_are_the_same(world: World) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(GOOD))) as files:
        files.extractall(world.root)
    local = world.release(chart="./app", version="")
    world.renew(local)
    assert world.mandatory(local) == set()
    (world.root / "app" / "values.yaml").write_text("host: true\n")
    file = world.root / "policies" / charts.FILE
    world.settings = dataclasses.replace(world.settings, charts=charts.load(file))
    assert world.mandatory(local) == {OPAQUE}


def test_a_company_may_answer_for_a_chart_that_it_has_read(world: World) -> None:
    review = Review("app", "1.2.3", "read line by line", "platform team", "2026-11-01")
    world.settings = dataclasses.replace(world.settings, charts=Records(reviews=(review,)))
    assert world.mandatory(world.release("bad")) == set()
    assert world.mandatory(world.release("bad", version="1.2.4")) == {OPAQUE}
    (said,) = charts.used_records([world.release("bad")], world.settings)
    assert "not rendered; platform team answers for it since 2026-11-01: read line by line" in said
    # What is known of it all the same is shown.
    rendered = charts.renew([[world.release("bad")]], world.settings, str(helm()), world.root, TODAY)
    world.settings = dataclasses.replace(world.settings, charts=rendered.records)
    (waived,) = [one for one in evaluate(world.release("bad"), world.settings) if one.level == "waived"]
    assert (waived.rule, waived.waiver) == ("workload/no-privileged", "read line by line (platform team)")


@pytest.mark.parametrize(
    "document",
    [[], {"verdict": {}}, {"reviews": [{"chart": "a"}]}, {"verdicts": {"x": {"chart": "a"}}},
     {"reviews": [{"chart": "a", "version": "1", "reason": " ", "owner": "b", "reviewed": "2026-01-01"}]},
     {"reviews": [{"chart": "a", "version": "1", "reason": "c", "owner": "b", "reviewed": "soon"}]}],
)  # fmt: skip
def test_a_record_that_cannot_be_read_ends_the_run(tmp_path: Path, document: Any) -> None:
    (tmp_path / charts.FILE).write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=r"charts\.json: expected verdicts and reviews of charts"):
        load_settings(tmp_path / "config.json")


def test_a_record_is_written_and_read_again_without_loss(world: World) -> None:
    found = world.renew(world.release("bad"))
    assert world.settings.charts == found.records


def test_rules_of_a_company_judge_what_a_chart_renders_to(world: World) -> None:
    rule = dataclasses.replace(CATALOGUE.rules[0], id="acme/known")
    assert isinstance(rule, Rule)
    catalogue = Catalogue(rules=(*CATALOGUE.rules, rule))
    world.renew(world.release("bad"), catalogue=catalogue)
    found = evaluate(world.release("bad"), world.settings, catalogue=catalogue)
    assert {one.rule for one in found if one.level == "mandatory"} == {"workload/no-privileged", "acme/known"}
