"""The comment on a pull request: what matters most comes first and is never cut; sites that change alike are one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from edge.show.pull_request import LIMIT, MARK, PullRequest, SiteChange, comment
from tests.edge.clones import Clone

COUNTS = {"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 70}
COST = {"edge_usd_per_month": 100.0, "cloud_usd_per_month": 300.0, "edge_pays": True, "break_even_month": 5}


def script(site: str, address: str, version: str) -> str:
    return f"# {site}-a at {address}\nset -e\nfetch k3s {version}\necho done\n"


def updated(site: str, version: str = "2", **more: Any) -> SiteChange:
    """A site whose one host gets another script."""
    change = {
        "urn": f"urn:pulumi:{site}::edge::command:remote:Command::{site}-a-k3s",
        "type": "command:remote:Command",
        "name": f"{site}-a-k3s",
        "op": "update",
        "changes": [
            {
                "path": "create",
                "kind": "update",
                "before": script(site, f"10.0.0.{len(site)}", "1"),
                "after": script(site, f"10.0.0.{len(site)}", version),
            }
        ],
    }
    document: dict[str, Any] = {"site": site, "counts": {**COUNTS, "update": 1}, "resources": [change], "exit": 0}
    return SiteChange(site, (f"{site}-a",), {**document, **more})


def pull_request(*sites: SiteChange, **more: Any) -> PullRequest:
    return PullRequest("main", "0123456789abcdef", sites, **more)


def destroys(site: str) -> dict[str, Any]:
    reason = f"the datastore of {site}-a is replaced by an empty one."
    return {"class": "destroys", "edit": "datastore", "part": "k3s", "host": "a", "reason": reason, "way": "restore"}


def test_sites_that_change_alike_share_one_difference() -> None:
    text = comment(pull_request(*(updated(f"store-{number}") for number in range(212)), unchanged=8))
    assert "212 of 220 change" in text
    assert "these 212 sites change alike" in text
    assert text.count("+ fetch k3s 2") == 1
    assert text.count("- fetch k3s 1") == 1
    assert "HOST-k3s" in text
    # What differs between the sites, and is the same before and after, is no difference.
    assert "10.0.0." not in text


def test_sites_that_change_otherwise_are_shown_apart_and_the_larger_group_first() -> None:
    text = comment(pull_request(updated("odd", "3"), updated("one"), updated("two")))
    assert re.findall(r"<summary>(.*)</summary>", text) == ["one, two change alike", "odd changes"]


def test_signs_stand_in_the_first_column_of_a_diff() -> None:
    text = comment(pull_request(updated("one")))
    fenced = text.split("```diff\n")[1].split("\n```")[0].splitlines()
    assert fenced == ["! update Command HOST-k3s", "! create", "- fetch k3s 1", "+ fetch k3s 2"]


def test_counts_come_first_and_what_destroys_before_all_differences() -> None:
    sites = [updated("one"), updated("two", consequences=[destroys("two")])]
    text = comment(pull_request(*sites, unchanged=1, deleted=["gone"]))
    assert text.startswith(f"{MARK}\n### Edge sites: 2 of 3 change\n")
    order = [
        "| 2 changed | 0 | 2 | 0 | 0 |",
        "Deleted files: gone",
        "#### Destroys",
        "**two/a**",
        "restore",
        "<details>",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_the_hash_of_the_program_makes_no_site_a_changed_one_and_no_two_sites_differ() -> None:
    def built(site: str, version: str) -> list[dict[str, str]]:
        return [{"path": "built_from", "kind": "update", "before": f"{site} 1", "after": f"{site} {version}"}]

    same = SiteChange("one", (), {"counts": COUNTS, "exit": 0, "output_changes": built("one", "2")})
    assert "nothing changes" in comment(pull_request(same))
    alike = [updated(name, output_changes=built(name, "2")) for name in ("one", "two")]
    assert "one, two change alike" in comment(pull_request(*alike))


def test_nothing_to_change_is_said() -> None:
    same = SiteChange("one", (), {"counts": COUNTS, "exit": 0})
    text = comment(pull_request(same, unchanged=4))
    assert "nothing changes" in text
    assert "| 5 not changed |" in text
    assert "<details>" not in text


def test_five_hundred_sites_that_all_differ_fit_and_name_each_site_that_is_destroyed() -> None:
    long = "x" * 200
    sites = [
        updated(f"store-{number:03}", f"{number} {long}", consequences=[destroys(f"store-{number:03}")])
        for number in range(500)
    ]
    text = comment(pull_request(*sites))
    assert len(text.encode()) <= LIMIT
    assert all(f"store-{number:03}/a" in text for number in range(500))
    assert "Not shown, for want of room: the differences of" in text
    assert "500 of 500 change" in text


def test_findings_are_grouped_over_sites_and_refusals_are_not_folded() -> None:
    def finding(site: str, level: str) -> dict[str, Any]:
        urn = f"urn:pulumi:{site}::edge::kubernetes:core/v1:Pod::{site}-pod"
        message = f"pods/no-root: runs as root.\n  Write `run_as: 10001` below `pods` of {site}"
        return {"level": level, "rule": "pods/no-root", "policy": "edge-pods", "urn": urn, "message": message}

    sites = [updated(name, policies=[finding(name, "mandatory"), finding(name, "advisory")]) for name in ("one", "two")]
    text = comment(pull_request(*sites))
    refused = text.split("#### Policies: refused")[1].split("<details>")[0]
    assert refused.count("runs as root") == 1
    assert "(one, two)" in refused
    assert "run" in refused
    assert "below" in refused
    assert "<summary>Advice: 1</summary>" in text


def test_cost_is_shown_before_and_after_where_it_changes() -> None:
    dearer = {**COST, "edge_usd_per_month": 400.0, "edge_pays": False, "break_even_month": None}
    sites = [SiteChange("one", (), {**updated("one").document, "cost": dearer}, cost_before=COST)]
    text = comment(pull_request(*sites))
    assert "| one | 100.00 → 400.00 | 300.00 | yes → no | 5 → never |" in text
    kept = SiteChange("two", (), {**updated("two").document, "cost": COST}, cost_before=COST)
    assert "Cost" not in comment(pull_request(kept))


def test_what_is_fetched_over_each_uplink_is_said_the_longest_first_and_alike_sites_together() -> None:
    def fetching(site: str, size: int, seconds: int | None, *unknown: str) -> SiteChange:
        uplink = {"known_bytes": size, "seconds": seconds, "known": ["k3s 2"], "unknown": unknown}
        return replace(updated(site), uplink=uplink)

    text = comment(
        pull_request(
            fetching("fast", 80_000_000, 6),
            *(fetching(f"store-{number}", 1_500_000_000, 1_200) for number in range(5)),
            fetching("odd", 0, None, "triton 26.07"),
        )
    )
    table = text.split("#### Fetched over the uplink")[1].split("\n\n")[1].splitlines()[2:]
    assert table == [
        "| store-0, store-1, store-2 and 2 more | 1,500 | 20 |  |",
        "| fast | 80 | less than 1 |  |",
        "| odd | 0 |  | triton 26.07 |",
    ]
    assert "`edge sbom --all --sizes`" in text


def test_a_change_that_fetches_nothing_has_no_table_of_uplinks() -> None:
    uplink = {"known_bytes": 0, "seconds": 0, "known": [], "unknown": []}
    assert "uplink" not in comment(pull_request(replace(updated("one"), uplink=uplink), updated("two")))


@pytest.mark.engine
def test_a_new_image_is_fetched_once_by_hosts_that_share_theirs_and_nothing_else_is(clone: Clone) -> None:
    old = "799dc6cf12c96192af37b5bdba804da8c10b3bc563b43cb90c3f3c58d9572ad6"
    clone.replace("stacks/program_defaults.yaml", old, "f" * 64)
    sizes = {digest: {"amd64": 70_000_000} for digest in (old, "f" * 64)}
    (clone.root / "stacks" / "sizes.json").write_text(json.dumps(sizes))
    done = clone.edge("pr", "--base", "HEAD", "--json", "prod")
    (prod,) = json.loads(done.stdout)["sites"]
    assert prod["uplink"]["known_bytes"] == 70_000_000
    assert [name.rpartition("/")[2] for name in prod["uplink"]["known"]] == ["opentelemetry-collector-contrib 0.160.0"]
    assert prod["uplink"]["unknown"] == []


def test_a_site_that_cannot_be_previewed_is_said_with_its_reason() -> None:
    broken = SiteChange("one", error="stacks/sites/one.yaml:3:5: unknown field `hots`")
    found = pull_request(broken, updated("two"))
    text = comment(found)
    assert "#### Not possible as it is" in text
    assert "unknown field" in text
    assert [one.site for one in found.refused] == ["one"]
    assert found.as_dict()["refused"] == ["one"]


def test_a_new_site_is_said_to_be_new_without_a_difference() -> None:
    new = updated("one", against={"program": "none"}, counts={**COUNTS, "create": 73, "same": 0})
    text = comment(pull_request(new))
    assert "| 1 new | 73 | 0 | 0 | 0 |" in text
    assert "one is new" in text
    assert "```" not in text


HOSTILE = "</details>\n```\n@everyone <script>alert(1)</script> [x](http://evil) | *a*"


def test_text_of_a_site_file_is_no_markup_of_the_comment() -> None:
    change = updated("one", consequences=[{**destroys("one"), "reason": HOSTILE, "way": HOSTILE}])
    (resource,) = change.document["resources"]
    resource["changes"][0]["after"] = HOSTILE
    text = comment(pull_request(change, SiteChange("two", error=HOSTILE)))
    outside = re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", text)
    assert "<script>" not in outside
    assert "@everyone" not in outside
    assert outside.count("<details>") == outside.count("</details>") == 1
    # The fence is longer than any in the text, so it ends where it should.
    assert "````diff" in text


# The whole of it, through the real engine.


@pytest.mark.engine
def test_three_sites_of_a_pull_request_one_changed_one_broken_one_deleted(clone: Clone) -> None:
    sites = clone.root / "stacks" / "sites"
    clone.replace("stacks/sites/prod.yaml", "10.20.0.12", "10.20.0.22")
    (sites / "store-madrid.yaml").write_text("site: store-madrid\nhots: []\n")
    (sites / "demo.yaml").unlink()
    done = clone.edge("pr", "--base", "HEAD", "--json", "--out", "comment.md")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["deleted"] == ["demo"]
    assert document["refused"] == ["store-madrid"]
    (prod,) = (one for one in document["sites"] if one["site"] == "prod")
    counts = prod["preview"]["counts"]
    assert counts["update"] > 0
    assert counts["create"] == 0
    text = (clone.root / "comment.md").read_text()
    assert "stacks/sites/store-madrid.yaml:2:1" in text.replace("\\", "")
    assert "prod changes" in text


@pytest.mark.engine
def test_a_finding_that_a_company_waives_is_shown_with_the_waiver_and_refuses_nothing(clone: Clone) -> None:
    clone.replace("stacks/sites/demo.yaml", "k3s: {}", "k3s: {flannel_backend: host-gw}")
    done = clone.edge("pr", "--base", "HEAD", "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["refused"] == ["demo"]
    waiver = {"rule": "network/mtls-strict", "sites": ["demo"], "expires": "2999-12-31"}
    waiver |= {"reason": "this hall has a network of its own", "owner": "platform"}
    (clone.root / "policies" / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))
    done = clone.edge("pr", "--base", "HEAD", "--json", "--out", "comment.md")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["refused"] == []
    (demo,) = (one for one in document["sites"] if one["site"] == "demo")
    (finding,) = (one for one in demo["preview"]["policies"] if one["level"] == "waived")
    assert finding["rule"] == "network/mtls-strict"
    text = (clone.root / "comment.md").read_text()
    assert "Policies: refused" not in text
    (said,) = re.findall(r"(?s)<summary>Policies: waived: 1</summary>(.*?)</details>", text)
    for word in ("flannel", "this hall has a network of its own", "platform", "2999-12-31", "(demo)"):
        assert word in said.replace("\\", ""), said


@pytest.mark.engine
def test_a_pull_request_that_changes_no_plan_says_so_and_starts_no_engine(clone: Clone) -> None:
    (clone.root / "README.md").write_text("another\n")
    done = clone.edge("pr", "--base", "HEAD")
    assert done.returncode == 0, done.stderr
    assert "nothing changes" in done.stdout


def test_a_base_that_is_no_revision_is_bad_input(clone: Clone) -> None:
    done = clone.edge("pr", "--base", "no-such-branch")
    assert done.returncode == 2
    assert "There is no revision 'no-such-branch'" in done.stderr
