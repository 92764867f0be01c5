"""`edge sbom`: what sites run with its digests, who runs what, and what is known to be vulnerable."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge.run.bill import Bill, Item, bill_of, cyclonedx
from edge.run.osv import matches
from edge.run.program import recorded_site
from engine.environment import PROJECT_ROOT
from stacks.loader import load_site
from tests.edge.conftest import Project


@pytest.fixture(scope="module")
def prod() -> Bill:
    return bill_of("prod", PROJECT_ROOT)


def named(bill: Bill, name: str) -> Item:
    (found,) = (item for item in bill.items if item.name == name)
    return found


def test_binaries_have_the_digest_that_hosts_compare_them_with_and_the_hosts(prod: Bill) -> None:
    k3s = load_site("prod", root=PROJECT_ROOT).k3s
    assert k3s is not None
    found = named(prod, "k3s")
    assert (found.version, found.digest) == (k3s.version, k3s.releases[k3s.version]["amd64"])
    assert found.where == ("a", "b", "c")


def test_what_a_host_downloads_has_the_address_that_its_script_downloads_it_from() -> None:
    bill = bill_of("tower-oslo", PROJECT_ROOT)
    told = {item.name: item.source for item in bill.items if item.kind == "application" and item.digest}
    _, recording = recorded_site("tower-oslo", PROJECT_ROOT)
    scripts = "\n".join(str(one.inputs.get("create", "")) for one in recording.resources)
    assert {"k3s", "tailscale"} <= told.keys()
    for name, source in told.items():
        assert f"fetch {source} " in scripts.replace("'", ""), name


def test_every_image_that_an_object_names_is_in_it_with_its_digest(prod: Bill) -> None:
    images = {item.name: item for item in prod.items if item.kind == "image"}
    collector = images["docker.io/otel/opentelemetry-collector-contrib"]
    assert collector.where == ("edge-telemetry/otel-a", "edge-telemetry/otel-b", "edge-telemetry/otel-c")
    assert "registry.example.com/models/yolov9-spatial" in images, "an image that is mounted as a volume"
    assert all(len(item.digest) == 64 for item in images.values())


def test_charts_models_and_flux_are_in_it_and_what_has_no_digest_is_said(prod: Bill) -> None:
    kinds = {item.name.rpartition("/")[2]: item.kind for item in prod.items}
    assert kinds["flux-operator"] == kinds["nvidia-device-plugin"] == "chart"
    assert (kinds["flux"], kinds["yolov9-spatial"]) == ("application", "machine-learning-model")
    assert "flux" in {item.name for item in prod.unpinned}


def test_ollamas_models_are_in_it_with_the_digest_of_their_manifest() -> None:
    found = named(bill_of("clinic-vienna", PROJECT_ROOT), "mistral")
    assert (found.kind, found.version, len(found.digest)) == ("machine-learning-model", "7b-instruct-q4_K_M", 64)


def test_an_equal_site_has_an_equal_document_and_another_version_another_number(prod: Bill) -> None:
    document = cyclonedx(prod)
    assert document == cyclonedx(bill_of("prod", PROJECT_ROOT))
    changed = Bill(prod.site, (*prod.items[1:], Item("application", "flux", "0.0.1", where=("cluster",))))
    assert cyclonedx(changed)["serialNumber"] != document["serialNumber"]
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    references = [one["bom-ref"] for one in document["components"]]
    assert len(set(references)) == len(references) == len(prod.items)
    assert set(document["dependencies"][0]["dependsOn"]) == set(references)


def test_package_urls_follow_their_specification() -> None:
    digest = "ab" * 32
    image = Item("image", "nvcr.io/nvidia/tritonserver", "26.07-py3", digest)
    assert image.purl == (
        f"pkg:oci/tritonserver@sha256%3A{digest}?repository_url=nvcr.io%2Fnvidia%2Ftritonserver&tag=26.07-py3"
    )
    k3s = Item("application", "k3s", "v1.36.3+k3s1", packages=("pkg:golang/github.com/k3s-io/k3s",))
    assert k3s.purl == "pkg:golang/github.com/k3s-io/k3s@v1.36.3%2Bk3s1"


def test_json_is_the_document_and_out_writes_one_for_each_site(project: Project, tmp_path: Path) -> None:
    ran = project.edge("sbom", "demo", "--json")
    assert (ran.code, ran.document["bomFormat"]) == (0, "CycloneDX")
    written = project.edge("sbom", "--all", "--out", str(tmp_path / "boms"))
    assert written.code == 0
    assert json.loads((tmp_path / "boms" / "demo.cdx.json").read_text()) == ran.document


def test_json_of_several_sites_needs_a_folder(project: Project) -> None:
    sites = project.root / "stacks" / "sites"
    (sites / "other.yaml").write_text((sites / "demo.yaml").read_text().replace("site: demo", "site: other"))
    ran = project.edge("sbom", "--all", "--json")
    assert ran.code == 2
    assert "--out FOLDER" in ran.stdout + ran.stderr


def test_who_runs_something_is_found_by_name_version_and_digest(project: Project, prod: Bill) -> None:
    digest = named(prod, "k3s").digest
    for asked in ("k3s", "K3S@v1.36.3", digest[:16], f"sha256:{digest}", "pkg:golang/github.com/k3s-io"):
        ran = project.edge("sbom", "--all", "--runs", asked, "--json")
        sites = {site for one in ran.document["found"] for site in one["sites"]}
        assert sites == {"demo"}, asked
    nobody = project.edge("sbom", "--all", "--runs", "log4j")
    assert nobody.code == 0
    assert nobody.stdout.splitlines()[-1].startswith("0 of ")


def test_the_list_fits_80_columns(project: Project) -> None:
    ran = project.edge("sbom", "demo")
    assert [line for line in ran.stdout.splitlines() if len(line) > 80] == []
    assert "without a digest" in ran.stdout.splitlines()[-1]


def entry(identifier: str = "GHSA-1", name: str = "github.com/k3s-io/k3s", **affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "Go", "name": name}
    return {"id": identifier, "summary": "K3s lets strangers in", "affected": [{"package": package, **affected}]}


def versions(*events: dict[str, str], kind: str = "SEMVER") -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": list(events)}]}


K3S = Bill("x", (Item("application", "k3s", "v1.36.3+k3s1", packages=("pkg:golang/github.com/k3s-io/k3s",)),))


@pytest.mark.parametrize(
    ("affected", "found"),
    [
        (versions({"introduced": "0"}, {"fixed": "1.36.4"}), [True]),
        (versions({"introduced": "0"}, {"fixed": "1.36.3"}), []),
        (versions({"introduced": "1.36.3"}), [True]),
        (versions({"introduced": "v1.36.4"}), []),
        (versions({"introduced": "0"}, {"last_affected": "1.36.3"}), [True]),
        (versions({"introduced": "0"}, {"last_affected": "1.36.2"}), []),
        (versions({"introduced": "0"}, {"fixed": "1.35.9"}, {"introduced": "1.36.0"}, {"fixed": "1.36.9"}), [True]),
        (versions({"fixed": "1.36.9"}, {"introduced": "1.36.0"}), [True]),
        (versions({"introduced": "0"}, {"fixed": "1.35.9"}, {"introduced": "1.37.0"}), []),
        ({"versions": ["1.36.3+k3s1"]}, [True]),
        ({"versions": ["1.36.2"]}, []),
        # What cannot be compared is shown, not passed over.
        (versions({"introduced": "0"}, {"fixed": "a build of May"}), [False]),
        (versions({"introduced": "0"}, {"fixed": "6f2a4c55"}, kind="GIT"), [False]),
        ({}, [False]),
    ],
)
def test_a_version_is_compared_as_the_osv_format_says(affected: dict[str, Any], found: list[bool]) -> None:
    assert [one.certain for one in matches([K3S], iter([entry(**affected)]))] == found


def test_another_package_or_a_withdrawn_entry_is_no_match() -> None:
    everything = versions({"introduced": "0"})
    assert matches([K3S], iter([entry(name="github.com/k3s-io/k3s-root", **everything)])) == []
    assert matches([K3S], iter([{**entry(**everything), "withdrawn": "2026-01-01T00:00:00Z"}])) == []


def test_an_image_is_found_by_its_repository_and_by_its_package_url() -> None:
    image = Bill("x", (Item("image", "docker.io/otel/opentelemetry-collector-contrib", "0.160.0", "ab" * 32),))
    below = versions({"introduced": "0"}, {"fixed": "0.161.0"})
    by_name = {"id": "A", "affected": [{"package": {"ecosystem": "OCI", "name": image.items[0].name}, **below}]}
    by_purl = {"id": "B", "affected": [{"package": {"purl": "pkg:oci/opentelemetry-collector-contrib"}, **below}]}
    assert [one.id for one in matches([image], iter([by_name, by_purl]))] == ["A", "B"]


def test_the_worst_comes_first_and_the_sites_are_named() -> None:
    bad = {**entry("LOW-1", **versions({"introduced": "0"})), "database_specific": {"severity": "low"}}
    worse = {**entry("BAD-1", **versions({"introduced": "0"})), "database_specific": {"severity": "Critical"}}
    found = matches([K3S, Bill("y", K3S.items)], iter([bad, worse]))
    assert [(one.id, one.severity, one.sites) for one in found] == [
        ("BAD-1", "CRITICAL", ("x", "y")),
        ("LOW-1", "LOW", ("x", "y")),
    ]


@pytest.mark.parametrize("form", ["file", "list", "answer", "folder", "archive"])
def test_vulnerabilities_are_exit_code_1_in_every_form_of_the_list(project: Project, tmp_path: Path, form: str) -> None:
    one = entry(**versions({"introduced": "0"}, {"fixed": "1.36.4"}))
    path = tmp_path / "osv"
    if form == "folder":
        path.mkdir()
        (path / "GHSA-1.json").write_text(json.dumps(one))
    elif form == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("GHSA-1.json", json.dumps(one))
    else:
        path.write_text(json.dumps({"file": one, "list": [one], "answer": {"vulns": [one]}}[form]))
    ran = project.edge("sbom", "demo", "--osv", str(path))
    assert ran.code == 1
    assert "GHSA-1" in ran.stdout
    assert "repaired in 1.36.4" in ran.stdout
    document = project.edge("sbom", "demo", "--osv", str(path), "--json").document
    assert (document["exit"], document["matches"][0]["sites"]) == (1, ["demo"])


def test_a_list_in_which_nothing_is_about_the_site_is_exit_code_0(project: Project, tmp_path: Path) -> None:
    (tmp_path / "osv.json").write_text(json.dumps(entry(**versions({"introduced": "2.0.0"}))))
    ran = project.edge("sbom", "demo", "--osv", str(tmp_path / "osv.json"))
    assert (ran.code, ran.stdout.splitlines()[-1]) == (0, "1 entries, 1 site: nothing known")


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"id": 1}', '{"affected": []}'])
def test_a_list_that_cannot_be_read_is_exit_code_2_and_never_a_clean_fleet(
    project: Project, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "osv.json"
    if content is not None:
        path.write_text(content)
    ran = project.edge("sbom", "demo", "--osv", str(path))
    assert ran.code == 2
    assert "osv.json" in ran.stderr
    assert ran.stdout == ""


def test_two_questions_at_once_are_refused(project: Project, tmp_path: Path) -> None:
    assert project.edge("sbom", "demo", "--runs", "k3s", "--osv", str(tmp_path)).code == 2
