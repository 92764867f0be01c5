"""A site on an AWS Outpost: network, instance or cluster, and that nothing is open to everybody."""

from __future__ import annotations

import base64
import email
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.host.reach import Reach
from components.host.spec import BastionSpec, SshSpec
from components.host.systems import SYSTEMS
from components.place.outposts.component import InstanceArgs, Outposts, OutpostsArgs
from components.place.outposts.part import PART
from components.place.outposts.plan import address_problem, kubeconfig, user_data
from components.place.outposts.spec import OutpostsSpec
from engine.rehearsal.core import World
from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from tests.components.place.place_parts import AUTHORIZED, EKS, EKS_NODES, INSTANCE, OUTPOST, outposts
from tests.components.site_parts import HOST_KEY, machine

PRIVATE = "first line of the MARKER\nlast line"
LOGIN = "a key that operators have"
SECRETS = {"ssh-private-key": LOGIN, "ssh-key-passphrase": "a phrase", "sudo-password": "a word"}


def _record(spec: OutpostsSpec, **more: Any) -> Recording:
    def program() -> None:
        host = replace(machine("a", "10.60.1.10", site="seattle"), **more)
        instance = InstanceArgs(host, Reach(host, SECRETS.__getitem__), PRIVATE)
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
    hidden = ("userData", "stdin")
    rest = [{key: value for key, value in r.inputs.items() if key not in hidden} for r in recording.resources]
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


def test_routes_and_gateway_endpoints_are_there_before_what_needs_them() -> None:
    routes = [
        {"to": "0.0.0.0/0", "via": "nat-0123456789abcdef0"},
        {"to": "10.0.0.0/8", "via": "tgw-0123456789abcdef0"},
        {"to": "pl-6da54004", "via": "vpce-0123456789abcdef1"},
    ]
    spec = outposts(compute=EKS, routes=routes, gateway_endpoints=["vpce-0123456789abcdef0"])
    recording = _record(spec)
    table = _one(recording, "seattle-outposts-routes").id
    made = {
        "seattle-outposts-route-0-0-0-0-0": ("destinationCidrBlock", "natGatewayId"),
        "seattle-outposts-route-10-0-0-0-8": ("destinationCidrBlock", "transitGatewayId"),
        "seattle-outposts-route-pl-6da54004": ("destinationPrefixListId", "vpcEndpointId"),
        "seattle-outposts-vpce-0123456789abcdef0": ("vpcEndpointId",),
    }
    cluster = _one(recording, "seattle-eks")
    for name, properties in made.items():
        one = _one(recording, name)
        assert one.inputs["routeTableId"] == table
        assert one.inputs.keys() >= set(properties), name
        assert one.urn in cluster.dependencies, f"{name}: AWS looks for its way out when it makes the cluster"


@pytest.mark.parametrize(
    "given", [{"subnet_id": "subnet-0123456789abcdef0"}, {"route_table_id": "rtb-0123456789abcdef0"}]
)
def test_a_route_table_of_the_users_is_never_changed(given: dict[str, str]) -> None:
    recording = _record(outposts(**given))
    types = {resource.type.rpartition(":")[2] for resource in recording.resources}
    assert not types & {
        "RouteTable",
        "Route",
        "VpcEndpointRouteTableAssociation",
        "LocalGatewayRouteTableVpcAssociation",
    }
    assert ("RouteTableAssociation" in types) is ("route_table_id" in given)
    instance = _one(recording, "seattle-a-instance").inputs
    expected = given.get("subnet_id") or _one(recording, "seattle-outposts-subnet").id
    assert instance["subnetId"] == expected


def test_prefix_lists_are_reached_and_open_nothing_else() -> None:
    group = _one(_record(outposts(egress_prefix_lists=["pl-6da54004"])), "seattle-outposts-machines").inputs
    assert [rule["prefixListIds"] for rule in group["egress"] if rule.get("prefixListIds")] == [["pl-6da54004"]]
    assert not any(rule.get("prefixListIds") for rule in group["ingress"])


def test_nodes_join_by_nodeadm_and_are_told_what_it_asks_for() -> None:
    recording = _record(outposts(compute=EKS))
    text = base64.b64decode(_one(recording, "seattle-eks-node").inputs["userData"]).decode()
    _, part = email.message_from_string(text).walk()
    assert part.get_content_type() == "application/node.eks.aws"
    config = yaml.safe_load(str(part.get_payload()))
    assert (config["apiVersion"], config["kind"]) == ("node.eks.aws/v1alpha1", "NodeConfig")
    cluster = config["spec"]["cluster"]
    assert cluster.keys() == {"name", "apiServerEndpoint", "certificateAuthority", "cidr", "enableOutpost", "id"}
    assert (cluster["name"], cluster["enableOutpost"], cluster["cidr"]) == ("seattle", True, "10.100.0.0/16")
    assert cluster["id"] != "seattle", "a local cluster is known by its id"
    assert "bootstrap.sh" not in text


def test_an_image_of_amazon_linux_2_still_joins_by_its_script() -> None:
    spec = outposts(compute={**EKS, "nodes": {**EKS_NODES, "ami_family": "al2"}})
    text = base64.b64decode(_one(_record(spec), "seattle-eks-node").inputs["userData"]).decode()
    assert "/etc/eks/bootstrap.sh seattle" in text
    assert "NodeConfig" not in text


def test_what_runs_in_the_cluster_comes_after_its_nodes_and_goes_before_them() -> None:
    recording = _record(outposts(compute=EKS))
    group, ready = _one(recording, "seattle-eks-nodes"), _one(recording, "seattle-eks-nodes-ready")
    workloads, admission = _one(recording, "seattle-eks-kubernetes"), _one(recording, "seattle-eks-aws-auth")
    assert admission.urn in group.dependencies
    assert group.urn in ready.dependencies
    # Whatever has this provider depends on it, and is deleted before what it depends on.
    assert ready.urn in workloads.dependencies
    assert "::seattle-eks-admission::" in admission.provider


def test_logs_of_the_control_plane_are_kept_where_asked_for() -> None:
    asked = _record(outposts(compute={**EKS, "logs": ["audit", "api"]}))
    assert _one(asked, "seattle-eks").inputs["enabledClusterLogTypes"] == ["audit", "api"]
    assert "enabledClusterLogTypes" not in _one(_record(outposts(compute=EKS)), "seattle-eks").inputs


def test_the_pinned_private_key_is_in_no_user_data_and_goes_to_nobody_else() -> None:
    recording = _record(outposts())
    first, instance = _one(recording, "seattle-a-first-host-key"), _one(recording, "seattle-a-instance")
    data = instance.inputs["userData"]
    assert isinstance(data, Secret)
    assert PRIVATE not in data.value
    assert base64.b64encode(PRIVATE.encode()).decode()[:-4] not in data.value
    sent = next(one for one in recording.resources if one.name.startswith("seattle-a-host-key-"))
    assert instance.urn in sent.dependencies
    assert first.urn in sent.dependencies, "who answers has to have the key that the instance started with"
    assert isinstance(sent.inputs["stdin"], Secret)
    assert "MARKER" not in repr(sent.inputs["create"])
    assert sent.inputs["triggers"] == [instance.id], "once for each instance"
    assert {"connection", "create", "stdin"} <= set(sent.ignore_changes), "it is unknown by that key from then on"


def test_an_instance_that_was_made_with_its_key_in_user_data_stays_so() -> None:
    recording = _record(outposts(compute={**INSTANCE, "host_key_from": "user-data"}))
    assert (
        PRIVATE.splitlines()[0]
        in base64.b64decode(
            json.loads(_one(recording, "seattle-a-instance").inputs["userData"].value)["storage"]["files"][1][
                "contents"
            ]["source"].split(",")[1]
        ).decode()
    )
    assert not any("host-key" in resource.name for resource in recording.resources)


def test_the_pinned_private_key_goes_the_way_that_all_scripts_of_the_host_go() -> None:
    bastion = BastionSpec(address="192.0.2.7", host_key=HOST_KEY, user="jump")
    ssh = SshSpec(user="ops", port=2222, login="key-with-passphrase", sudo="password")
    recording = _record(outposts(), ssh=ssh, bastion=bastion)
    first = _one(recording, "seattle-a-first-host-key")
    sent = next(one for one in recording.resources if one.name.startswith("seattle-a-host-key-"))
    connection = sent.inputs["connection"].value
    assert (connection["port"], connection["user"]) == (2222, "ops")
    assert connection["privateKeyPassword"] == SECRETS["ssh-key-passphrase"]
    assert (connection["proxy"]["host"], connection["proxy"]["user"]) == ("192.0.2.7", "jump")
    assert (connection["proxy"]["hostKey"], connection["hostKey"]) == (
        HOST_KEY,
        first.outputs["publicKeyOpenssh"].strip(),
    )
    assert sent.inputs["stdin"].value.startswith(SECRETS["sudo-password"] + "\n")
