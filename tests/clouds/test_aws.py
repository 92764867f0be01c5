"""The rehearsed resources of sites on Outposts, made by an emulator of AWS as the calls that the provider would make.

It shows that AWS's own model of its API takes the arguments, and that what is made hangs together. It does not show an
Outpost: `docs/clouds.md` lists what the emulator does not know.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stacks.catalogue import PROJECT_ROOT
from tests.promises.recordings import SECRET_MARK, plain, with_changes

PYTHON = PROJECT_ROOT / ".venv" / "aws" / "bin" / "python"
REPLAY = Path(__file__).parent / "replay.py"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no emulator of AWS here: make emulators")

SEATTLE, FRANKFURT = "outpost-seattle", "outpost-frankfurt"
NAT = "nat-0123456789abcdef0"


def first_contact(site: dict[str, Any]) -> None:
    site["place"]["compute"]["host_key_from"] = "first-contact"


def by_nat_with_logs(site: dict[str, Any]) -> None:
    site["place"]["routes"] = [{"to": "0.0.0.0/0", "via": NAT}]
    site["place"]["compute"]["logs"] = ["api", "audit"]


CHANGES = {SEATTLE: first_contact, FRANKFURT: by_nat_with_logs}


class Aws:
    """What the emulator holds of a site."""

    def __init__(self, site: str) -> None:
        recording = with_changes(site, CHANGES[site])
        resources: list[dict[str, Any]] = [
            {"type": one.type, "name": one.name, "id": one.id, "inputs": plain(one)}
            for one in recording.resources
            if one.type.startswith("aws:")
        ]
        subnet = next(one["inputs"] for one in resources if one["type"].endswith(":Subnet"))
        text = json.dumps([one["inputs"] for one in resources])
        network = ipaddress.ip_network(subnet["cidrBlock"]).supernet(new_prefix=16)
        asked = {
            "region": subnet["availabilityZone"][:-1],
            "before": {
                "vpc": subnet["vpcId"],
                "cidr": str(network),
                "gateways": [NAT] if NAT in text else [],
                "endpoints": sorted({one["inputs"]["vpcEndpointId"] for one in resources if "Endpoint" in one["type"]}),
                "lists": ["pl-6ea54007"] if "pl-6ea54007" in text else [],
            },
            "resources": resources,
        }
        done = subprocess.run(
            [PYTHON, "-P", REPLAY],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            env={
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "AWS_EC2_METADATA_DISABLED": "true",
                # Nothing may reach AWS: what the emulator does not answer fails.
                "HTTPS_PROXY": "http://127.0.0.1:9",
            },
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answer = json.loads(done.stdout)
        self.ids, self.not_shown = answer["ids"], answer["not_shown"]
        self.held: dict[str, list[dict[str, Any]]] = answer["held"]
        self.resources = resources

    def id_of(self, name: str) -> str:
        """The emulator's id of a resource."""
        found: str = self.ids[next(one["id"] for one in self.resources if one["name"] == name)]
        return found

    def one(self, kind: str, key: str, value: str) -> dict[str, Any]:
        return next(one for one in self.held[kind] if one[key] == value)


@functools.cache
def aws(site: str) -> Aws:
    return Aws(site)


@pytest.mark.parametrize("site", [SEATTLE, FRANKFURT])
def test_the_security_group_lets_nobody_in_or_out_but_whom_the_site_names(site: str) -> None:
    group = aws(site).one("groups", "GroupId", aws(site).id_of(f"{site}-outposts-machines"))
    for rules in ("IpPermissions", "IpPermissionsEgress"):
        named = {cidr["CidrIp"] for rule in group[rules] for cidr in rule["IpRanges"]}
        assert named
        assert "0.0.0.0/0" not in named
    within = [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert within == [group["GroupId"]]


def test_the_subnets_table_leads_to_aws_and_to_s3_and_the_cluster_is_on_it() -> None:
    site = aws(FRANKFURT)
    subnet = site.id_of(f"{FRANKFURT}-outposts-subnet")
    table = site.one("route_tables", "RouteTableId", site.id_of(f"{FRANKFURT}-outposts-routes"))
    assert [one["SubnetId"] for one in table["Associations"] if not one.get("Main")] == [subnet]
    assert any(
        route.get("NatGatewayId") == site.ids[NAT] and route["DestinationCidrBlock"] == "0.0.0.0/0"
        for route in table["Routes"]
    )
    (endpoint,) = site.held["endpoints"]
    assert table["RouteTableId"] in endpoint["RouteTableIds"]
    (cluster,) = site.held["clusters"]
    assert cluster["resourcesVpcConfig"]["subnetIds"] == [subnet]
    assert cluster["resourcesVpcConfig"]["endpointPublicAccess"] is False


def test_prefix_lists_are_reached_by_the_machines() -> None:
    site = aws(FRANKFURT)
    group = site.one("groups", "GroupId", site.id_of(f"{FRANKFURT}-outposts-machines"))
    lists = [one["PrefixListId"] for rule in group["IpPermissionsEgress"] for one in rule["PrefixListIds"]]
    assert lists == [site.ids["pl-6ea54007"]]


def test_logs_of_the_control_plane_are_on() -> None:
    (cluster,) = aws(FRANKFURT).held["clusters"]
    on = [kind for one in cluster["logging"]["clusterLogging"] if one["enabled"] for kind in one["types"]]
    assert on == ["api", "audit"]


def test_nodes_start_from_the_template_in_the_number_that_is_asked_for() -> None:
    site = aws(FRANKFURT)
    (group,) = site.held["scaling_groups"]
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (3, 3, 3)
    assert group["LaunchTemplate"]["LaunchTemplateId"] == site.id_of(f"{FRANKFURT}-eks-node")
    assert len(group["Instances"]) == 3
    nodes = [one for one in site.held["instances"] if one["State"]["Name"] == "running"]
    assert {one["SubnetId"] for one in nodes} == {site.id_of(f"{FRANKFURT}-outposts-subnet")}


def test_the_instance_has_the_address_of_the_site_file_and_an_encrypted_volume() -> None:
    site = aws(SEATTLE)
    (instance,) = site.held["instances"]
    assert instance["PrivateIpAddress"] == "10.60.1.11"
    assert instance["SubnetId"] == site.id_of(f"{SEATTLE}-outposts-subnet")
    (card,) = instance["NetworkInterfaces"]
    assert [one["GroupId"] for one in card["Groups"]] == [site.id_of(f"{SEATTLE}-outposts-machines")]
    assert [one["Encrypted"] for one in site.held["volumes"]] == [True]


def test_whoever_may_describe_the_instance_reads_no_pinned_key() -> None:
    (instance,) = aws(SEATTLE).held["instances"]
    files = {one["path"]: one for one in json.loads(instance["UserData"])["storage"]["files"]}
    key = base64.b64decode(files["/etc/ssh/ssh_host_ed25519_key"]["contents"]["source"].split(",")[1]).decode()
    assert SECRET_MARK not in key
    assert SECRET_MARK not in instance["UserData"]


def test_what_the_emulator_does_not_know_is_listed_in_the_docs() -> None:
    page = (PROJECT_ROOT / "docs" / "clouds.md").read_text()
    missing = aws(SEATTLE).not_shown + aws(FRANKFURT).not_shown
    assert {one.partition(": ")[2] for one in missing} == {"moto has no local gateways"}
    assert "no local gateways" in page
