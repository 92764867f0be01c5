"""What exists once for all sites: least privilege in the tailnet, and zones that an account opts into."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.rehearsal.in_process import Recording, record
from sitefile.problems import FileError
from stacks.fleet.component import Fleet, FleetArgs
from stacks.fleet.load import load_fleet
from stacks.fleet.plan import MeshSite, acl, mesh_sites
from stacks.fleet.spec import FleetSpec, TailnetSpec
from stacks.site import SiteSpec
from tests.components.mesh.mesh_parts import tailscale

TAILNET = TailnetSpec(id="example.com", operators=("bo@example.com", "al@example.com"))
BERLIN = MeshSite("berlin", ("tag:edge-berlin", "tag:edge", "tag:warehouse"))
LYON = MeshSite("lyon", ("tag:edge-lyon", "tag:edge"), routes=("10.30.0.0/24",))
OSLO = MeshSite("oslo", ("tag:edge-oslo", "tag:edge"), ssh_users=("core",))


def _site(name: str, **mesh: Any) -> SiteSpec:
    return SiteSpec(site=name, tier="near", region="eu-central", mesh=tailscale(**mesh))


def _record(spec: FleetSpec, sites: tuple[SiteSpec, ...] = ()) -> Recording:
    recording = record(lambda: Fleet("fleet", FleetArgs(spec, sites)), project="edge", stack="fleet", config={})
    assert not recording.problems, recording.problems
    return recording


def _allowed(policy: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        triple for grant in policy["grants"] for triple in itertools.product(grant["src"], grant["dst"], grant["ip"])
    }


def test_the_policy_is_as_reviewed(golden: Callable[[str, str], None]) -> None:
    golden("fleet/acl.json", json.dumps(acl(TAILNET, [BERLIN, LYON, OSLO]), indent=2) + "\n")


def test_operators_reach_ssh_and_the_api_and_nobody_reaches_anything_else() -> None:
    allowed = _allowed(acl(TAILNET, [BERLIN, OSLO]))
    assert allowed == {
        (source, tag, port)
        for source in ("group:edge-operators", "tag:ops")
        for tag in ("tag:edge-berlin", "tag:edge-oslo")
        for port in ("tcp:22", "tcp:6443")
    }


def test_no_site_is_the_source_of_any_grant() -> None:
    policy = acl(TAILNET, [BERLIN, LYON, OSLO])
    assert not any(source.startswith(("tag:edge", "*")) for source, _, _ in _allowed(policy))
    assert not any("*" in json.dumps(policy[part]) for part in ("grants", "ssh"))


def test_the_policys_own_tests_refuse_the_way_from_each_site_to_another_and_to_the_operators() -> None:
    tests = acl(TAILNET, [BERLIN, LYON, OSLO])["tests"]
    refused = {test["src"]: test["deny"] for test in tests if "accept" not in test}
    assert refused.keys() == {"tag:edge-berlin", "tag:edge-lyon", "tag:edge-oslo"}
    for source, targets in refused.items():
        assert "tag:ops:22" in targets
        assert any(target.startswith("tag:edge-") and source not in target for target in targets)


def test_a_single_site_is_not_asked_to_refuse_itself() -> None:
    refused = acl(TAILNET, [BERLIN])["tests"][1]["deny"]
    assert refused == ["tag:ops:22"]


def test_each_tag_that_a_host_carries_has_an_owner() -> None:
    policy = acl(TAILNET, [BERLIN, LYON, OSLO])
    assert {tag for site in (BERLIN, LYON, OSLO) for tag in site.tags} <= policy["tagOwners"].keys()
    assert policy["tagOwners"]["tag:ops"] == ["group:edge-operators"]


def test_networks_behind_a_site_are_approved_for_that_site_only() -> None:
    assert acl(TAILNET, [BERLIN, LYON])["autoApprovers"] == {"routes": {"10.30.0.0/24": ["tag:edge-lyon"]}}
    assert "autoApprovers" not in acl(TAILNET, [BERLIN])


def test_tailscale_ssh_is_granted_only_where_the_site_allows_it() -> None:
    rules = acl(TAILNET, [BERLIN, OSLO])["ssh"]
    assert [(rule["dst"], rule["users"]) for rule in rules] == [(["tag:edge-oslo"], ["core"])]


def test_a_fleet_without_sites_grants_nothing() -> None:
    policy = acl(TAILNET, [])
    assert (policy["grants"], policy["ssh"], policy["tests"]) == ([], [], [])


def test_the_policy_stays_linear_in_the_number_of_sites() -> None:
    def size(count: int) -> int:
        return len(json.dumps(acl(TAILNET, [MeshSite(f"s{i:03}", (f"tag:edge-s{i:03}",)) for i in range(count)])))

    assert size(400) < size(200) * 2.1


def test_only_sites_of_the_common_tailnet_are_in_the_policy() -> None:
    headscale = _site("osaka", login_server="https://headscale.example.com")
    without = SiteSpec(site="plain", tier="near", region="eu-central")
    elsewhere = _site("turin", key={"source": "tailscale-provider", "tailnet": "example.net"})
    sites = [_site("lyon"), headscale, without, elsewhere, _site("berlin")]
    assert [site.site for site in mesh_sites(sites, TAILNET)] == [
        "berlin",
        "lyon",
    ]


def test_the_policy_is_written_once_and_outlives_the_stack() -> None:
    recording = _record(FleetSpec(tailnet=TAILNET), (_site("berlin"),))
    (policy,) = (resource for resource in recording.resources if "acl" in resource.type)
    assert policy.name == "fleet-acl"
    assert json.loads(policy.inputs["acl"]) == acl(TAILNET, mesh_sites([_site("berlin")], TAILNET))
    assert policy.inputs["resetAclOnDestroy"] is False
    assert policy.inputs["overwriteExistingContent"] is False


def test_zone_groups_are_opted_into_in_their_region_and_account() -> None:
    zones = [{"region": "us-west-2", "group": "us-west-2-lax-1"}, {"region": "us-east-1", "group": "us-east-1-wl1"}]
    recording = _record(FleetSpec.model_validate({"aws_account_id": "123456789012", "zone_groups": zones}))
    groups = {r.name: r for r in recording.resources if "AvailabilityZoneGroup" in r.type}
    assert groups.keys() == {"fleet-us-west-2-lax-1", "fleet-us-east-1-wl1"}
    assert all(group.inputs["optInStatus"] == "opted-in" and group.retain_on_delete for group in groups.values())
    assert "::fleet-aws-us-east-1::" in groups["fleet-us-east-1-wl1"].provider


def test_zone_groups_without_an_account_are_refused() -> None:
    with pytest.raises(ValidationError, match="aws_account_id"):
        FleetSpec.model_validate({"zone_groups": [{"region": "us-west-2", "group": "us-west-2-lax-1"}]})


def test_the_projects_own_fleet_file_is_sound() -> None:
    assert load_fleet(Path(__file__).parents[2]).tailnet is not None


def test_a_wrong_fleet_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "fleet.yaml").write_text("tailnet:\n  id: example.com\n  operatorz: [a@example.com]\n")
    with pytest.raises(FileError, match=r"stacks/fleet\.yaml:3:3.*operatorz"):
        load_fleet(tmp_path)
