"""What a company waives in `policies/waivers.yaml`: at sites of its choice and in manifests, for a time."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.run import check
from edge.run.judging import policies_of
from edge.run.overview import overview
from edge.show.html_report import html_report
from stacks.loader import site_files
from tests.edge.conftest import Project
from tests.edge.sites import site
from tests.edge.test_html_report import Page
from tests.policies.cases import base

UNENCRYPTED = {"k3s": {"flannel_backend": "host-gw"}}
WAIVER = {"rule": "network/mtls-strict", "reason": "no WireGuard", "owner": "platform", "expires": "2999-12-31"}
PACK = {
    "PulumiPolicy.yaml": "runtime: python\n",
    "__main__.py": "from pathlib import Path\nfrom policies.pack import pack\npack(Path(__file__).parent)\n",
    "config.json": '{"edge-resources-mandatory": {"more_registries": ["registry.example.com/models"]}}\n',
}


@pytest.fixture
def company(project: Project) -> Project:
    """A project with a pack of its own, and one site that breaks a rule."""
    folder = project.root / "policies"
    folder.mkdir()
    for name, text in PACK.items():
        (folder / name).write_text(text)
    site(project.sites, "store-1", UNENCRYPTED)
    return project


def waive(company: Project, *waivers: dict[str, Any]) -> Path:
    file = company.root / "policies" / "waivers.yaml"
    file.write_text(yaml.safe_dump({"waivers": list(waivers)}, sort_keys=False))
    policies_of.cache_clear()
    return file


def test_a_company_s_waiver_covers_all_sites_and_is_shown(company: Project) -> None:
    assert company.edge("check").code == 1
    waive(company, WAIVER)
    ran = company.edge("check")
    assert ran.code == 0, ran.stdout
    assert "store-1: waived network/mtls-strict" in ran.stdout
    assert "until 2999-12-31 by platform: no WireGuard (waivers.yaml)" in ran.stdout


@pytest.mark.parametrize(("sites", "code"), [(["store-*"], 0), (["x", "store-1"], 0), (["store"], 1), (["demo"], 1)])
def test_a_company_s_waiver_is_for_the_sites_that_it_names(company: Project, sites: list[str], code: int) -> None:
    waive(company, {**WAIVER, "sites": sites})
    assert company.edge("check", "store-1").code == code


def test_a_company_s_waiver_is_for_the_resource_that_it_names(company: Project) -> None:
    waive(company, {**WAIVER, "resource": "store-1-*"})
    assert company.edge("check", "store-1").code == 0
    waive(company, {**WAIVER, "resource": "demo-*"})
    assert company.edge("check", "store-1").code == 1


def test_an_expired_waiver_fails_the_check_at_its_line_and_its_findings_count(
    company: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    waive(company, {**WAIVER, "expires": "2026-11-30"})
    monkeypatch.setattr(check, "today", lambda: date(2026, 11, 30))
    assert company.edge("check").code == 0
    monkeypatch.setattr(check, "today", lambda: date(2026, 12, 1))
    ran = company.edge("check")
    assert ran.code == 2
    assert "policies/waivers.yaml:5:12: the waiver of `network/mtls-strict` has expired" in ran.stdout
    assert "refused network/mtls-strict" in ran.stdout


def test_a_waiver_that_covers_nothing_at_any_site_fails_the_check_of_all_sites(company: Project) -> None:
    waive(company, WAIVER, {**WAIVER, "sites": ["demo"]})
    ran = company.edge("check")
    assert ran.code == 2
    assert "policies/waivers.yaml:6:9: the waiver of `network/mtls-strict` covers nothing" in ran.stdout
    # Of one site nobody can tell.
    assert company.edge("check", "store-1").code == 0


@pytest.mark.parametrize(
    ("waiver", "said"),
    [
        ({**WAIVER, "rule": "network/mtls-strikt"}, "2:9: there is no policy rule `network/mtls-strikt`: did you mean"),
        ({key: WAIVER[key] for key in WAIVER if key != "reason"}, "2:3: `reason` is missing in `waivers[0]`"),
        ({**WAIVER, "expires": "soon"}, "5:12: "),
        ({**WAIVER, "site": "demo"}, "6:3: "),
        ({**WAIVER, "sites": ["demo"], "manifests": ["apps/*"]}, "`manifests` beside `sites`"),
        ({**WAIVER, "image": "nginx:latest"}, "6:10: "),
        ({**WAIVER, "workload": "gpu/plugin"}, "6:13: "),
    ],
)
def test_a_wrong_waiver_is_an_error_with_its_place_and_never_left_out(
    company: Project, waiver: dict[str, Any], said: str
) -> None:
    waive(company, waiver)
    ran = company.edge("check", "store-1")
    assert ran.code == 2
    assert "policies/waivers.yaml:" in ran.stderr
    assert said in ran.stderr


def test_the_report_lists_a_company_s_waivers_with_what_they_cover(company: Project) -> None:
    waive(company, {**WAIVER, "sites": ["store-*"], "resource": "store-1-k3s"})
    rows = Page(html_report(overview(site_files(company.root), company.root, jobs=1))).rows("waivers")
    (row,) = rows
    assert (row["site"], row["rule"], row["only for"]) == ("store-* (company)", "network/mtls-strict", "store-1-k3s")
    assert (row["owner"], row["findings"]) == ("platform", "1")


@pytest.fixture
def apps(company: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of the project that shares the host's processes."""
    monkeypatch.chdir(company.root)
    manifest: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", **base("deployment").props}
    manifest["spec"]["template"]["spec"]["hostPID"] = True
    (company.root / "apps").mkdir()
    (company.root / "apps" / "probe.yaml").write_text(yaml.safe_dump(manifest))
    return company.root / "apps"


HOST_PID = {**WAIVER, "rule": "workload/no-host-namespaces"}


def test_a_manifest_is_waived_by_path_and_workload(company: Project, apps: Path) -> None:
    assert company.edge("check", "--manifests", "apps").code == 1
    # For sites, and so not for this.
    waive(company, HOST_PID)
    assert company.edge("check", "--manifests", "apps").code == 1
    workload = "edge-inference/Deployment/inference"
    for bound, code in (
        ({"manifests": ["apps/*"]}, 0),
        ({"manifests": ["apps/*"], "workload": workload}, 0),
        ({"manifests": ["apps/other.yaml"]}, 1),
    ):
        waive(company, {**HOST_PID, **bound})
        for path in ("apps", str(apps), "apps/probe.yaml"):
            assert company.edge("check", "--manifests", path).code == code, (bound, path)
    waive(company, {**HOST_PID, "manifests": ["apps/*"]})
    shown = company.edge("check", "--manifests", "apps").stdout
    assert "waived workload/no-host-namespaces" in shown
    assert "until 2999-12-31 by platform: no WireGuard (waivers.yaml)" in shown


def test_a_waiver_of_manifests_that_covers_nothing_in_them_is_an_error(company: Project, apps: Path) -> None:
    waive(company, {**HOST_PID, "manifests": ["apps/*"]}, {**HOST_PID, "manifests": ["apps/*"], "workload": "a/B/c"})
    ran = company.edge("check", "--manifests", "apps")
    assert ran.code == 2
    assert "covers nothing" in ran.stdout
    # Not all rules were asked for.
    assert company.edge("check", "--manifests", "apps", "--rules", "network").code == 0
