"""`edge check --manifests`: what Flux will apply, as it will apply it, with the place of each finding."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from edge.cli import app
from edge.run import sarif
from edge.run.kustomize import manifests
from engine.obtain.pin import EngineError
from lab.gitops.build import kustomize
from lab.sarif import schema
from policies.rules import CATALOGUE
from policies.rules.selection import STANDARDS
from tests.edge.sites import broken_site, refused_site
from tests.policies.cases import base

GOOD = {"apiVersion": "apps/v1", "kind": "Deployment", **base("deployment").props}


@pytest.fixture(scope="session")
def program() -> Path:
    """A real `kustomize`."""
    try:
        return kustomize()
    except EngineError as error:
        pytest.fail(f"kustomize is needed: {error}")


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: Path) -> Any:
    """Runs `edge check --manifests` in an empty folder that is no project, with a real `kustomize` on PATH."""
    monkeypatch.delenv("EDGE_DEBUG", raising=False)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: str | None = None) -> Result:
        words = ["check", "--manifests", *(str(argument) for argument in arguments)]
        return CliRunner().invoke(app, words, input=stdin)  # type: ignore[return-value]

    return run


def written(file: Path, *documents: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump_all(documents))
    return file


def with_host_pid() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    document["spec"]["template"]["spec"]["hostPID"] = True
    return document


def test_a_manifest_that_keeps_all_rules_passes(edge: Any, tmp_path: Path) -> None:
    result = edge(written(tmp_path / "app.yaml", GOOD))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith(f"1 object judged by {len(CATALOGUE)} rules: all good (")


def test_a_mandatory_finding_is_exit_code_1_and_names_file_line_object_and_property(edge: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "apps" / "app.yaml", with_host_pid())
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "hostPID" in text)
    result = edge("apps")
    assert result.exit_code == 1
    assert "refused workload/no-host-namespaces" in result.stdout
    assert f"    apps/app.yaml:{line}\n" in result.stdout
    assert "    Deployment edge-inference/inference: spec.template.spec.hostPID is true" in result.stdout
    document = json.loads(edge("apps", "--json").stdout)
    (found,) = [one for one in document["findings"] if one["level"] == "mandatory"]
    assert (found["rule"], found["file"], found["line"]) == ("workload/no-host-namespaces", "apps/app.yaml", line)
    assert document["counts"]["mandatory"] == 1
    assert document["exit"] == 1


def test_a_kustomization_is_judged_as_kustomize_renders_it(edge: Any, tmp_path: Path) -> None:
    """The patch is the fault: no file here is one as it stands."""
    written(tmp_path / "base" / "app.yaml", GOOD)
    written(tmp_path / "base" / "kustomization.yaml", {"resources": ["app.yaml"]})
    patch = [{"op": "add", "path": "/spec/template/spec/hostPID", "value": True}]
    overlay = {
        "resources": ["../base"],
        "namePrefix": "berlin-",
        "patches": [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(patch)}],
    }
    written(tmp_path / "overlay" / "kustomization.yaml", overlay)
    assert edge("base").exit_code == 0
    for path in ("overlay", "overlay/kustomization.yaml", tmp_path / "overlay"):
        result = edge(path, "--json")
        assert result.exit_code == 1
        (found,) = [one for one in json.loads(result.stdout)["findings"] if one["level"] == "mandatory"]
        assert found["object"] == "Deployment edge-inference/berlin-inference"
        assert found["file"].endswith("base/app.yaml")


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"newName": "evil.example.com/tritonserver"}, "supply-chain/registry-allowlist"),
        ({"newTag": "26.08-py3"}, "supply-chain/image-digest"),
    ],
)
def test_an_image_that_a_kustomization_rewrites_is_judged_as_it_will_run(
    edge: Any, tmp_path: Path, entry: dict[str, str], rule: str
) -> None:
    written(tmp_path / "app.yaml", GOOD)
    images = [{"name": "nvcr.io/nvidia/tritonserver", **entry}]
    kustomization = {"resources": ["app.yaml"], "images": images}
    written(tmp_path / "kustomization.yaml", kustomization)
    result = edge(".", "--json")
    assert result.exit_code == 1
    assert {finding["rule"] for finding in json.loads(result.stdout)["findings"]} == {rule}
    # Where nobody renders it, the rewrite itself is judged.
    named = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **kustomization}
    result = edge("-", "--json", stdin=yaml.safe_dump(named))
    assert {finding["rule"] for finding in json.loads(result.stdout)["findings"]} == {"supply-chain/image-rewrite"}


def test_what_kustomize_says_of_an_objects_origin_is_no_part_of_the_object(
    edge: Any, tmp_path: Path, program: Path
) -> None:
    written(tmp_path / "app.yaml", GOOD)
    generated = [{"name": "made", "literals": ["a=b"]}]
    written(tmp_path / "kustomization.yaml", {"resources": ["app.yaml"], "configMapGenerator": generated})
    found = manifests(Path())
    by_kind = {resource.props["kind"]: resource for resource in found.resources}
    assert by_kind["Deployment"].props == GOOD
    assert found.place(by_kind["Deployment"].urn) == ("app.yaml", 0, 0)
    assert found.place(by_kind["ConfigMap"].urn) == ("kustomization.yaml", 0, 0)


def test_a_folder_without_a_kustomization_is_read_as_flux_reads_it(edge: Any, tmp_path: Path) -> None:
    """A folder below that has one is rendered in place of its files; patches in it are no objects."""
    written(tmp_path / "all" / "plain.yml", GOOD)
    written(
        tmp_path / "all" / "sub" / "kustomization.yaml", {"resources": ["app.yaml"], "patches": [{"path": "p.yaml"}]}
    )
    other = json.loads(json.dumps(GOOD))
    other["metadata"]["name"] = "other"
    written(tmp_path / "all" / "sub" / "app.yaml", other)
    fix = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": dict(other["metadata"]), "spec": {"replicas": 2}}
    written(tmp_path / "all" / "sub" / "p.yaml", fix)
    written(tmp_path / "all" / ".sops.yaml", {"creation_rules": []})
    found = manifests(tmp_path / "all")
    assert found.problems == ()
    assert [(one.name, one.props["spec"].get("replicas")) for one in found.resources] == [
        ("edge-inference/inference", GOOD["spec"].get("replicas")),
        ("edge-inference/other", 2),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("app.yaml", "a:\n\tb: 1\n", "app.yaml:2: not YAML"),
        ("app.yaml", "image: x\n", "app.yaml:1: is no Kubernetes object"),
        ("kustomization.yaml", "resources: [missing.yaml]\n", "kustomize does not render it: "),
        ("notes.md", "# nothing\n", "holds no manifest"),
    ],
)
def test_what_cannot_be_read_or_rendered_is_exit_code_2(
    edge: Any, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / name).write_text(text)
    result = edge("apps")
    assert (result.exit_code, said in result.stdout) == (2, True), result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"0 objects judged by {len(CATALOGUE)} rules: 1 not readable (")


def test_a_missing_path_is_exit_code_2(edge: Any) -> None:
    result = edge("nowhere")
    assert result.exit_code == 2
    assert "nowhere: no such file or folder" in result.stdout


def test_without_a_kustomize_a_kustomization_is_not_passed_over(
    edge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    written(tmp_path / "apps" / "kustomization.yaml", {"resources": ["app.yaml"]})
    written(tmp_path / "apps" / "app.yaml", GOOD)
    result = edge("apps")
    assert result.exit_code == 2
    assert "neither kustomize nor kubectl is on PATH" in result.stdout
    assert "`kustomize build apps | edge check --manifests -`" in result.stdout


def test_standard_input_is_judged_too(edge: Any) -> None:
    assert edge("-", stdin=yaml.safe_dump(GOOD)).exit_code == 0
    refused = edge("-", stdin=yaml.safe_dump(with_host_pid()))
    assert (refused.exit_code, "    standard input:" in refused.stdout) == (1, True)
    assert edge("-", stdin="").exit_code == 2


def test_rules_are_chosen_by_id_by_group_and_by_standard(edge: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "app.yaml", with_host_pid())
    for wanted, code in (
        (("workload/no-host-namespaces",), 1),
        (("workload",), 1),
        (("pss-baseline",), 1),
        (("pss-restricted",), 1),
        (("network", "secrets"), 0),
        (("network,secrets",), 0),
        (("workload/no-privileged", "workload/seccomp"), 0),
    ):
        options = [option for name in wanted for option in ("--rules", name)]
        assert edge(file, *options).exit_code == code, wanted
    told = json.loads(edge(file, "--rules", "pss-restricted", "--json").stdout)["rules"]
    assert set(told) == set(STANDARDS["pss-restricted"])
    unknown = edge(file, "--rules", "workload/no-priviliged")
    assert unknown.exit_code == 2
    assert "no rule and no group `workload/no-priviliged`: did you mean `workload/no-privileged`?" in unknown.stderr


def test_baseline_allows_what_restricted_does_not(edge: Any, tmp_path: Path) -> None:
    """An ordinary chart: no securityContext at all."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    file = written(tmp_path / "pod.yaml", {**pod, "spec": {"containers": [{"name": "a", "image": "b"}]}})
    assert edge(file, "--rules", "pss-baseline").exit_code == 0
    assert edge(file, "--rules", "pss-restricted").exit_code == 1


def test_the_kubernetes_that_will_run_it_decides_how_the_standard_is_read(edge: Any, tmp_path: Path) -> None:
    document = json.loads(json.dumps(GOOD))
    sysctl = {"name": "net.ipv4.tcp_notsent_lowat", "value": "131072"}
    document["spec"]["template"]["spec"]["securityContext"]["sysctls"] = [sysctl]
    file = written(tmp_path / "app.yaml", document)
    assert json.loads(edge(file, "--json").stdout)["kubernetes"] == "1.37"
    assert edge(file).exit_code == edge(file, "--kubernetes", "v1.37.0+k3s1").exit_code == 0
    older = edge(file, "--kubernetes", "1.36")
    assert older.exit_code == 1
    assert "sysctls[0] is a safe sysctl only from Kubernetes 1.37 on; this is 1.36" in older.stdout
    assert edge(file, "--kubernetes", "new").exit_code == 2
    assert CliRunner().invoke(app, ["check", "--kubernetes", "1.36"]).exit_code == 2


def test_rules_need_manifests_and_manifests_exclude_sites(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["check", "--rules", "workload"]).exit_code == 2
    assert edge("x", "demo").exit_code == 2
    assert edge("x", "--all").exit_code == 2


def results_of(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The one run of a log that is valid by the schema of OASIS, and its results."""
    log = json.loads(file.read_text())
    check = jsonschema.FormatChecker()
    jsonschema.Draft4Validator(schema(), format_checker=check).validate(log)
    (run,) = log["runs"]
    return run, run["results"]


def test_sarif_of_manifests_has_rules_places_and_levels(edge: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "apps" / "app.yaml", with_host_pid())
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "hostPID" in text)
    assert edge("apps", "--sarif", "edge.sarif").exit_code == 1
    run, results = results_of(tmp_path / "edge.sarif")
    rules = run["tool"]["driver"]["rules"]
    assert {rule["id"] for rule in rules} == {rule.id for rule in CATALOGUE}
    (found,) = [result for result in results if result["level"] == "error"]
    assert rules[found["ruleIndex"]]["id"] == found["ruleId"] == "workload/no-host-namespaces"
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "apps/app.yaml", "uriBaseId": "%SRCROOT%"}
    assert place["region"]["startLine"] == line
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_says_what_could_not_be_judged(edge: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a:\n\tb: 1\n")
    assert edge("bad.yaml", "--sarif", "edge.sarif").exit_code == 2
    run, results = results_of(tmp_path / "edge.sarif")
    assert results == []
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "bad.yaml:2: not YAML" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_a_finding_keeps_its_fingerprint_when_its_line_moves(edge: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "app.yaml", with_host_pid())
    edge("app.yaml", "--sarif", "before.sarif")
    file.write_text(f"# moved\n\n{file.read_text()}")
    edge("app.yaml", "--sarif", "after.sarif")
    before, after = (results_of(tmp_path / name)[1] for name in ("before.sarif", "after.sarif"))
    assert before[0]["locations"] != after[0]["locations"]
    assert [one["partialFingerprints"] for one in before] == [one["partialFingerprints"] for one in after]


def test_sarif_of_sites_has_errors_in_files_by_line_and_findings_of_policies(tmp_path: Path) -> None:
    files = [refused_site(tmp_path), broken_site(tmp_path)]
    log = tmp_path / "edge.sarif"
    ran = CliRunner().invoke(app, ["check", *map(str, files), "--sarif", str(log)])
    assert ran.exit_code == 2
    _, results = results_of(log)
    by_rule = {result["ruleId"]: result for result in results}
    refused = by_rule["supply-chain/registry-allowlist"]
    assert refused["level"] == "error"
    assert "refused-a-telemetry" in refused["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]
    tier = next(result for result in results if result["ruleId"].startswith("site-file/"))
    assert tier["locations"][0]["physicalLocation"]["region"]["startLine"] > 1


def findings(levels: dict[str, int]) -> list[sarif.Result]:
    return [
        sarif.Result("workload/no-privileged", level, f"finding {n}", "stacks/sites/a.yaml", 1, 1)
        for level, count in levels.items()
        for n in range(count)
    ]


def test_a_log_that_a_code_host_would_refuse_keeps_its_gravest_results_and_says_what_is_left_out() -> None:
    (run,) = sarif.document(findings({"waived": 20_000, "advisory": 10_000, "mandatory": 3}), CATALOGUE)["runs"]
    assert len(run["results"]) == 25_000
    kept = Counter((one["level"], "suppressions" in one) for one in run["results"])
    assert kept == {("error", False): 3 + 14_997, ("warning", False): 10_000}
    assert [one["level"] for one in run["results"][:4]] == ["error", "error", "error", "warning"]
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert said["message"]["text"].startswith("5003 of 30003 findings are left out")
    assert run["invocations"][0]["executionSuccessful"] is True


def test_a_log_within_the_limits_keeps_its_order() -> None:
    (run,) = sarif.document(findings({"advisory": 1, "mandatory": 1}), CATALOGUE)["runs"]
    assert [one["level"] for one in run["results"]] == ["warning", "error"]
    assert run["invocations"][0]["toolExecutionNotifications"] == []


def test_rules_are_within_the_limits_of_a_code_host() -> None:
    (run,) = sarif.document([], CATALOGUE)["runs"]
    for rule in run["tool"]["driver"]["rules"]:
        assert len(rule["properties"]["tags"]) <= 20, rule["id"]
        assert len(rule["shortDescription"]["text"]) <= 1024, rule["id"]
        assert len(rule["fullDescription"]["text"]) <= 1024, rule["id"]
        assert len(rule["id"]) <= 255


def test_a_rule_with_many_references_keeps_twenty_tags() -> None:
    rule = next(rule for rule in CATALOGUE if rule.references)
    many = dataclasses.replace(rule, references=rule.references[:1] * 30)
    (run,) = sarif.document([], [many])["runs"]
    assert len(run["tool"]["driver"]["rules"][0]["properties"]["tags"]) == 20


def test_a_sarif_file_that_cannot_be_written_is_bad_input(edge: Any, tmp_path: Path) -> None:
    written(tmp_path / "app.yaml", GOOD)
    result = edge("app.yaml", "--sarif", "no/such/folder.sarif")
    assert result.exit_code == 2
    assert "--sarif: no/such/folder.sarif cannot be written: No such file or directory" in result.stderr
