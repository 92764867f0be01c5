"""The page of `edge report`: complete, harmless whatever site files say, self-contained, and small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.generated_sites import write_sites
from components.waiver import WaiverSpec
from edge.run.check import GraphProblem, PolicyResult, Report, SiteCheck
from edge.run.overview import Overview, SiteFacts, facts_of, overview
from edge.show.html_report import html_report
from sitefile.problems import Problem
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import load_site, site_checker, site_files
from stacks.site import SiteSpec
from tests.edge.conftest import Project
from tests.edge.sites import broken_site, refused_site, site

TODAY = date(2026, 11, 26)
HOSTILE = (
    "</td></table><script>alert(1)</script><img src=x onerror='alert(2)'>"
    '" autofocus onfocus="alert(3) \x00\x1b\ud800&lt;'
)
MOST_BYTES = 3_000_000


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, the cells of each table, its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._rows: list[list[str]] = []
        self._in_cell = self._hidden = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("id") or dict(attrs).get("class") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._in_cell = True
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("tr", "table")
        self._hidden = self._hidden and tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.text += data
        if self._in_cell:
            self._rows[-1][-1] += data

    def rows(self, table: str) -> list[dict[str, str]]:
        head, *rows = self.tables[table]
        return [{name.strip(): cell.strip() for name, cell in zip(head, row, strict=True)} for row in rows]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def facts(spec: SiteSpec) -> SiteFacts:
    return facts_of(spec, catalogue())


def made(*sites: tuple[SiteCheck, SiteFacts | None], **report: Any) -> Overview:
    known = {check.file: found for check, found in sites if found is not None}
    return Overview(Report([check for check, _ in sites], **report), known, TODAY)


def one(name: str = "prod", **more: Any) -> tuple[SiteCheck, SiteFacts]:
    spec = load_site(name)
    cost = {
        "edge_usd_per_month": 5166.67,
        "cloud_usd_per_month": 22000.0,
        "saving_usd_per_month": 16833.33,
        "saving_percent": 76.5,
        "break_even_month": 3,
        "edge_pays": True,
    }
    check = SiteCheck(spec.site, Path(f"{name}.yaml"), spec.tier, len(spec.hosts), resources=50, cost=cost)
    return dataclasses.replace(check, **more), facts(spec)


def finding(level: str = "advisory", rule: str = "network/mtls-strict", remedy: str = "do this") -> PolicyResult:
    return PolicyResult(rule, level, "urn::x::y::z", "spec", "says what", remedy)


@pytest.fixture(scope="module")
def examples() -> Overview:
    return overview(site_files(), PROJECT_ROOT, jobs=1)


@pytest.fixture(scope="module")
def page(examples: Overview) -> Page:
    return Page(html_report(examples))


def test_every_site_and_every_host_is_a_row(page: Page) -> None:
    specs = [load_site(file.stem) for file in site_files()]
    assert [row["site"] for row in page.rows("sites")] == [spec.site for spec in specs]
    hosts = [(row["site"], row["host"], row["role"]) for row in page.rows("hosts")]
    assert hosts == [(spec.site, host.name, host.role) for spec in specs for host in spec.hosts]


def test_the_map_counts_sites_by_region_and_tier(page: Page, examples: Overview) -> None:
    counted = 0
    for row in page.rows("map"):
        for tier in ("device", "near", "far", "cloud"):
            here = [facts for _, facts in examples.known if (facts.region, facts.tier) == (row["region"], tier)]
            assert (row[tier].startswith(str(len(here)))) if here else row[tier] == ""
            counted += len(here)
    assert counted == len(site_files())


def test_a_host_has_the_power_of_its_profile_and_of_its_models_against_what_it_bears(page: Page) -> None:
    row = next(row for row in page.rows("hosts") if (row["site"], row["host"]) == ("prod", "a"))
    envelope = catalogue().hardware["poweredge-xr4000"].envelope
    assert float(row["W"]) == envelope.base_watts
    assert float(row["sustained W"]) == envelope.sustained_watts
    assert float(row["up to °C"]) == envelope.max_ambient_c
    assert row["load"] == f"{round(100 * envelope.base_watts / envelope.sustained_watts)} %"
    with_gpu = next(row for row in page.rows("hosts") if (row["site"], row["host"]) == ("prod", "c"))
    assert float(with_gpu["W"]) > envelope.base_watts
    assert with_gpu["hardware"] == "poweredge-xr4000 + nvidia-l4"


def test_versions_are_counted_by_site_and_by_host(page: Page, examples: Overview) -> None:
    rows = {(row["of"], row["version or name"]): row for row in page.rows("versions")}
    systems = [host.system for _, host in examples.hosts]
    assert rows["operating system", "flatcar"]["hosts"] == str(systems.count("flatcar"))
    release = load_site("prod").k3s
    assert release is not None
    on = [host for _, host in examples.hosts if host.kubernetes == release.version]
    assert rows["kubernetes", release.version]["hosts"] == str(len(on))
    assert any(kind == "tailscale" for kind, _ in rows)


def test_costs_are_summed_and_the_break_even_is_that_of_the_sum() -> None:
    paid = [one("prod"), one("demo")]
    text = Page(html_report(made(*paid))).text
    # prod: 48,000 at once, then 2,500 against 22,000 a month. demo: 18,000, then 3,000 against 12,000.
    assert "edge 9,167 USD/month, cloud 34,000 USD/month" in text
    assert "paid back: 3" in text, "66,000 / (34,000 - 5,500) = 2.3"
    assert "2 of 2 sites say what they cost" in text


def test_without_costs_the_page_says_so() -> None:
    check, found = one("demo", cost=None)
    text = Page(html_report(made((check, dataclasses.replace(found, economics=None))))).text
    assert "No site says what it costs" in text


def test_findings_that_are_alike_are_one_row_with_all_their_sites() -> None:
    names = ("prod", "demo", "tower-oslo", "pop-saopaulo")
    checks = [one(name, policies=(finding(), finding("mandatory"))) for name in names]
    rows = Page(html_report(made(*checks))).rows("policies")
    shown = [(row["verdict"], row["findings"], row["sites"]) for row in rows]
    assert shown == [("refused", "4", "4"), ("advice", "4", "4")]
    assert rows[0]["at"].startswith("prod and 3 more")
    assert "tower-oslo" in rows[0]["at"]


def test_a_waiver_says_who_and_until_when_and_whether_it_has_expired() -> None:
    waived = dataclasses.replace(finding("waived"), waiver="until 2027-01-31 by ops: vendor")
    check, found = one(policies=(waived,))
    waivers = tuple(
        WaiverSpec(rule=rule, reason="vendor", owner="ops", expires=expires, resource=resource)
        for rule, expires, resource in (
            ("network/mtls-strict", "2027-01-31", "shop-k3s"),
            ("secrets/plain-text", "2026-11-25", None),
        )
    )
    rows = Page(html_report(made((check, dataclasses.replace(found, waivers=waivers))))).rows("waivers")
    assert [(row["rule"], row["only for"], row["owner"], row["last day"], row["findings"]) for row in rows] == [
        ("network/mtls-strict", "shop-k3s", "ops", "2027-01-31", "1"),
        ("secrets/plain-text", "", "ops", "2026-11-25, expired", "0"),
    ]


def test_a_file_with_errors_is_no_site_on_the_map_and_is_not_left_out(project: Project) -> None:
    broken_site(project.sites)
    found = overview(site_files(project.root), project.root, jobs=1)
    page = Page(html_report(found))
    states = {row["site"]: row["state"] for row in page.rows("sites")}
    assert states["broken"] == "2 errors"
    assert "their files have errors: 1" in page.text
    assert "broken.yaml:2:7" in page.text


def test_what_providers_refuse_is_said_with_its_site() -> None:
    page = Page(html_report(made(one(graph=(GraphProblem("u::v::w::thing", "spec.x", "is unknown"),)))))
    assert "prod: thing: spec.x: is unknown" in page.text
    assert page.rows("sites")[0]["state"] == "1 refused"


def hostile() -> Overview:
    check, found = one("demo")
    names: dict[str, Any] = dict.fromkeys(("name", "role", "hardware", "model", "system", "kubernetes"), HOSTILE)
    host = dataclasses.replace(found.hosts[0], **names)
    texts: dict[str, Any] = dict.fromkeys(("site", "tier", "region", "description"), HOSTILE)
    waiver = WaiverSpec.model_construct(rule=HOSTILE, reason=HOSTILE, owner=HOSTILE, expires=HOSTILE)
    bad = dataclasses.replace(
        found,
        **texts,
        hosts=(host,),
        labels={HOSTILE: HOSTILE},
        parts=(HOSTILE,),
        versions={HOSTILE: HOSTILE},
        waivers=(waiver,),
    )
    result = PolicyResult(HOSTILE, "mandatory", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    problem = Problem(Path("x.yaml"), 1, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    refused = GraphProblem(HOSTILE, HOSTILE, HOSTILE)
    checked = dataclasses.replace(check, site=HOSTILE, policies=(result,), graph=(refused,))
    return made((checked, bad), between=(problem,))


def test_text_of_a_site_file_is_text_and_nothing_else() -> None:
    page = Page(html_report(hostile()))
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags
    assert len(page.all("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not {"\x00", "\x1b"} & set(page.text)
    html_report(hostile()).encode()
    assert page.rows("sites")[0]["site"].startswith("</td></table><script>alert(1)</script>")


def test_the_page_needs_nothing_but_itself(examples: Overview) -> None:
    text = html_report(examples)
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "video", "base")]
    assert not [one for one in page.all("script") if one.get("src")]
    assert [one["href"] for one in page.all("a") if not (one["href"] or "").startswith("#")] == []
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|https?:", style[1])
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert not re.search(r"https?:|fetch|XMLHttpRequest|import\(", script)


def test_no_other_script_may_run_and_nothing_may_be_fetched(examples: Overview) -> None:
    text = html_report(examples)
    (policy,) = [one["content"] or "" for one in Page(text).all("meta") if one.get("http-equiv")]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert "default-src 'none'" in policy
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in policy
    # The policy lets no style attribute's URL load anything, and there is no handler in an attribute.
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_without_javascript_everything_is_there_but_the_search(page: Page) -> None:
    hidden = [tag for tag, attributes in page.elements if "hidden" in attributes]
    assert set(hidden) == {"p"}, "only the search fields, which the script shows"
    assert len(hidden) == len(page.all("input"))


def test_a_phone_gets_cards_with_the_heading_of_each_cell(examples: Overview, page: Page) -> None:
    assert any(one.get("name") == "viewport" for one in page.all("meta"))
    text = html_report(examples)
    for table in ("sites", "hosts"):
        headings = [heading.strip() for heading in page.tables[table][0]]
        for number, heading in enumerate(headings, 1):
            assert f'#{table} td:nth-child({number})::before{{content:"{heading}"}}' in text


def test_it_is_dark_where_the_reader_wants_it_dark(examples: Overview) -> None:
    text = html_report(examples)
    colours = set(re.findall(r"var\((--\w+)\)", text))
    light, dark = text.split("@media (prefers-color-scheme:dark)")[:2]
    assert colours
    assert all(f"{colour}:#" in light and f"{colour}:#" in dark for colour in colours)


def test_two_reports_of_the_same_are_equal_to_the_byte(examples: Overview) -> None:
    first = dataclasses.replace(examples, today=TODAY)
    again = dataclasses.replace(overview(site_files(), PROJECT_ROOT, jobs=1), today=TODAY)
    assert html_report(again) == html_report(first)


def overview_of_500(folder: Path) -> Overview:
    """An unlucky fleet: every rule speaks at every site."""
    files = write_sites(folder, 500, PROJECT_ROOT)
    checker = site_checker(PROJECT_ROOT, folder)
    cost = one()[0].cost
    found = []
    for file in files:
        spec = checker.check(file).model
        assert spec is not None
        policies = tuple(finding("advisory", f"group/rule-{number}", "do this " * 20) for number in range(39))
        check = SiteCheck(spec.site, file, spec.tier, len(spec.hosts), resources=40, policies=policies, cost=cost)
        found.append((check, facts(spec)))
    return made(*found)


def test_500_sites_are_a_page_of_less_than_3_mb(tmp_path: Path) -> None:
    found = overview_of_500(tmp_path)
    text = html_report(found)
    page = Page(text)
    assert len(text.encode()) < MOST_BYTES
    assert len(page.rows("sites")) == 500
    assert len(page.rows("hosts")) == len(found.hosts)
    cells = [cell for row in page.rows("map") for cell in list(row.values())[1:] if cell]
    assert sum(int(cell.split()[0]) for cell in cells) == 500


def test_the_command_writes_the_page_and_findings_are_no_failure(project: Project, tmp_path: Path) -> None:
    site(project.sites, "shop")
    refused_site(project.sites)
    file = tmp_path / "sites.html"
    ran = project.edge("report", "--html", file)
    assert ran.code == 0, ran.stderr
    assert ran.stdout == f"3 sites in {file}\n"
    page = Page(file.read_text(encoding="utf-8"))
    states = {row["site"]: row["state"] for row in page.rows("sites")}
    assert states == {"demo": "ok", "refused": "1 refused", "shop": "ok"}


def test_the_command_takes_sites_and_standard_output(project: Project) -> None:
    site(project.sites, "shop")
    ran = project.edge("report", "shop", "--html", "-")
    assert [row["site"] for row in Page(ran.stdout).rows("sites")] == ["shop"]
    project.change("shop", lambda written: written.update(region="us-west"))
    selected = project.edge("report", "-l", "region=us-*", "--html", "-")
    assert [row["site"] for row in Page(selected.stdout).rows("sites")] == ["shop"]


def test_the_document_has_the_facts_beside_the_verdict(project: Project) -> None:
    ran = project.edge("report", "demo", "--json")
    (found,) = ran.document["sites"]
    assert found["facts"]["hosts"][0]["hardware"] == "hpe-el8000"
    assert ran.document["cost"]["break_even_month"] == 2
    assert "duration_s" not in json.dumps(ran.document)


@pytest.mark.parametrize("arguments", [(), ("--html", "-", "--json"), ("nowhere", "--html", "-")])
def test_wrong_usage_is_bad_input(project: Project, arguments: tuple[str, ...]) -> None:
    assert project.edge("report", *arguments).code == 2
