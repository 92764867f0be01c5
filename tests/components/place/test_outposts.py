"""A site on an AWS Outpost: network, instance or cluster, and that nothing is open to everybody."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.host.systems import SYSTEMS
from components.place.outposts.component import InstanceArgs, Outposts, OutpostsArgs
from components.place.outposts.part import PART
from components.place.outposts.plan import address_problem, kubeconfig, user_data
from components.place.outposts.spec import OutpostsSpec
from engine.rehearsal.core import World
from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from tests.components.place.place_parts import AUTHORIZED, EKS, INSTANCE, OUTPOST, outposts
from tests.components.site_parts import HOST_KEY, machine

PRIVATE = "first line of the MARKER\nlast line"


def _record(spec: OutpostsSpec) -> Recording:
    def program() -> None:
        instance = InstanceArgs(machine("a", "10.60.1.10", site="seattle"), "core", PRIVATE)
        on_instance = spec.compute.kind == "instance"
        Outposts("seattle-outposts", OutpostsArgs(spec, site="seattle", instance=instance if on_instance else None))

    world = World.of({"place": spec.model_dump(mode="json")})
    recording = record(program, project="edge", stack="seattle", config={}, world=world)
    assert not recording.problems, recording.problems
    return recording


def _one(recording: Recording, name: str) -> Recorded:
    return next(resource for resource in recording.resources if resource.name == name)


def _json(value: Any) -> Any:
    """A provider's input, which the SDK sends as text."""
    return json.loads(value) if isinstance(value, str) else value


def _user_data(distribution: str) -> str:
    return user_data(
        first_boot=SYSTEMS[distribution].first_boot,
        node="seattle-a",
        user="core",
        host_key=HOST_KEY,
        private_key=PRIVATE,
        authorized_keys=(AUTHORIZED,),
    )


@pytest.mark.parametrize("distribution", ["flatcar", "debian"])
def test_first_boot_is_as_reviewed(distribution: str, golden: Callable[[str, str], None]) -> None:
    golden(f"registration/outposts-{distribution}-user-data.txt", _user_data(distribution))


def test_ignition_gives_the_host_the_key_that_the_site_file_pins() -> None:
    config = json.loads(_user_data("flatcar"))
    files = {file["path"]: file for file in config["storage"]["files"]}
    key = files["/etc/ssh/ssh_host_ed25519_key"]
    assert key["mode"] == 0o600
    assert base64.b64decode(key["contents"]["source"].split(",")[1]).decode() == PRIVATE + "\n"
    assert config["passwd"]["users"] == [{"name": "core", "sshAuthorizedKeys": [AUTHORIZED]}]


def test_cloud_init_gives_the_host_the_key_that_the_site_file_pins() -> None:
    text = _user_data("debian")
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert config["ssh_keys"] == {"ed25519_private": PRIVATE + "\n", "ed25519_public": HOST_KEY}
    assert config["ssh_deletekeys"] is True, "keys that came with the image are everybody's"


@pytest.mark.parametrize(
    ("public", "name"), [("ecdsa-sha2-nistp256 AAAA", "ecdsa"), ("ssh-rsa AAAA", "rsa"), (HOST_KEY, "ed25519")]
)
def test_the_host_key_file_has_the_name_of_its_kind(public: str, name: str) -> None:
    config = user_data(
        first_boot="ignition", node="n", user="core", host_key=public, private_key=PRIVATE, authorized_keys=()
    )
    assert f'"/etc/ssh/ssh_host_{name}_key"' in config


def test_the_instance_is_on_the_outpost_at_the_address_of_the_site_file() -> None:
    recording = _record(outposts())
    subnet, instance = _one(recording, "seattle-outposts-subnet"), _one(recording, "seattle-a-instance")
    assert subnet.inputs["outpostArn"] == OUTPOST
    assert subnet.inputs["mapPublicIpOnLaunch"] is False
    assert instance.inputs["subnetId"] == subnet.id
    assert instance.inputs["privateIp"] == "10.60.1.10"
    assert instance.delete_before_replace is True


def test_the_instance_meets_the_rules_for_aws() -> None:
    instance = _one(_record(outposts()), "seattle-a-instance").inputs
    assert instance["metadataOptions"]["httpTokens"] == "required"
    assert instance["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert instance["associatePublicIpAddress"] is False
    assert instance["rootBlockDevice"]["encrypted"] is True
    assert instance["rootBlockDevice"]["volumeType"] == "gp2"


def test_the_host_key_is_a_secret_and_a_later_one_does_not_restart_the_site() -> None:
    recording = _record(outposts())
    instance = _one(recording, "seattle-a-instance")
    assert isinstance(instance.inputs["userData"], Secret)
    assert instance.ignore_changes == ("userData",)
    assert "userData" in instance.additional_secret_outputs
    rest = [{key: value for key, value in r.inputs.items() if key != "userData"} for r in recording.resources]
    assert "MARKER" not in repr(rest)
    assert [need.key for need in PART.secrets(outposts())] == ["outposts-host-key"]


def test_the_way_to_the_sites_network_is_there_before_the_instance() -> None:
    recording = _record(outposts())
    route = _one(recording, "seattle-outposts-route-192-168-40-0-22")
    association = _one(recording, "seattle-outposts-local-gateway")
    assert route.inputs["destinationCidrBlock"] == "192.168.40.0/22"
    assert "localGatewayId" in route.inputs
    assert association.urn in route.dependencies
    assert route.urn in _one(recording, "seattle-a-instance").dependencies


def test_an_association_that_another_site_owns_is_left_to_it() -> None:
    spec = outposts(local_gateway={"on_premises": ["192.168.40.0/22"], "associate_vpc": False})
    assert not any("VpcAssociation" in resource.type for resource in _record(spec).resources)


def test_an_address_of_the_sites_own_pool_is_given_where_asked_for() -> None:
    gateway = {"on_premises": ["192.168.40.0/22"], "customer_owned_pool": "ipv4pool-coip-0123456789abcdef0"}
    recording = _record(outposts(local_gateway=gateway))
    assert _one(recording, "seattle-a-site-address").inputs["customerOwnedIpv4Pool"] == gateway["customer_owned_pool"]
    assert not any("eip" in resource.type for resource in _record(outposts()).resources)


@pytest.mark.parametrize("compute", [INSTANCE, EKS], ids=["instance", "eks-local"])
def test_nothing_is_open_to_everybody(compute: dict[str, object]) -> None:
    recording = _record(outposts(compute=compute))
    group = _one(recording, "seattle-outposts-machines").inputs
    assert "0.0.0.0/0" not in repr(group)
    assert "::/0" not in repr(group)
    opened = {(rule["fromPort"], rule["protocol"]) for rule in group["ingress"] if rule.get("cidrBlocks")}
    assert opened == {(22, "tcp"), (6443 if compute is INSTANCE else 443, "tcp")}


def test_everything_is_made_in_the_outposts_region_and_account_and_is_tagged() -> None:
    recording = _record(outposts(tags={"owner": "edge"}))
    provider = _one(recording, "seattle-outposts-aws")
    assert provider.inputs["region"] == "us-west-2"
    assert "123456789012" in repr(provider.inputs["allowedAccountIds"])
    assert {"edge-site", "owner"} <= _json(provider.inputs["defaultTags"])["tags"].keys()
    made = [resource for resource in recording.resources if resource.type.startswith("aws:")]
    assert made
    assert all("pulumi:providers:aws::seattle-outposts-aws" in resource.provider for resource in made)


def test_a_local_cluster_has_its_control_plane_and_nodes_on_the_outpost() -> None:
    recording = _record(outposts(compute=EKS))
    cluster = _one(recording, "seattle-eks")
    assert cluster.inputs["outpostConfig"] == {
        "outpostArns": [OUTPOST],
        "controlPlaneInstanceType": "m5.xlarge",
    }
    assert cluster.inputs["vpcConfig"]["endpointPublicAccess"] is False
    template = _one(recording, "seattle-eks-node").inputs
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"
    admission = _one(recording, "seattle-eks-aws-auth")
    assert "role/edge-eks-node" in admission.inputs["data"]["mapRoles"]
    assert admission.urn in _one(recording, "seattle-eks-nodes").dependencies
    assert _one(recording, "seattle-eks-kubernetes").inputs["clusterIdentifier"] == "seattle"
    assert PART.secrets(outposts(compute=EKS)) == []


def test_a_local_clusters_kubeconfig_asks_for_a_token_and_holds_none() -> None:
    config = json.loads(
        kubeconfig(
            cluster="seattle",
            cluster_id="id-1",
            endpoint="https://1.eks",
            certificate_authority="Q0E=",
            region="us-west-2",
        )
    )
    user = config["users"][0]["user"]
    assert user.keys() == {"exec"}
    assert user["exec"]["args"][-2:] == ["--cluster-id", "id-1"]


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("10.60.1.10", True),
        ("10.60.1.4", True),
        ("10.60.1.3", False),
        ("10.60.1.255", False),
        ("10.60.2.10", False),
        ("seattle.example.com", False),
        ("fd00::1", False),
    ],
)
def test_the_hosts_address_must_be_one_that_the_subnet_can_give(address: str, fits: bool) -> None:
    assert (address_problem(outposts(), address) is None) is fits


@pytest.mark.parametrize(
    "fields",
    [
        {"admin_cidrs": ["0.0.0.0/0"]},
        {"egress_cidrs": ["::/0"]},
        {"admin_cidrs": []},
        {"outpost_arn": "op-0123456789abcdef0"},
        {"subnet_cidr": "fd00::/64"},
        {"compute": {**INSTANCE, "authorized_keys": []}},
        {"compute": {**INSTANCE, "authorized_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}},
        {"compute": {"kind": "lambda"}},
    ],
)
def test_what_is_open_or_unclear_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        outposts(**fields)
