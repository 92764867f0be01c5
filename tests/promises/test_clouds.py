"""What a site has in a cloud: encrypted, closed, and not made anew by accident."""

from __future__ import annotations

from typing import Any

from tests.promises.recordings import of_type, plain, recorded, with_changes

INSTANCE = "aws:ec2/instance:Instance"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ARC_KEY = "tls:index/privateKey:PrivateKey"
ARC_CLUSTER = "azure-native:kubernetes/v20240101:ConnectedCluster"


def test_every_volume_of_an_outpost_is_encrypted() -> None:
    for instance in of_type(INSTANCE):
        assert plain(instance)["rootBlockDevice"]["encrypted"] is True, instance.name
    for template in of_type(LAUNCH_TEMPLATE):
        for volume in plain(template)["blockDeviceMappings"]:
            assert volume["ebs"]["encrypted"] == "true", template.name


def test_no_pod_can_pick_up_the_credentials_of_its_machine() -> None:
    for machine in (*of_type(INSTANCE), *of_type(LAUNCH_TEMPLATE)):
        options = plain(machine)["metadataOptions"]
        assert options["httpTokens"] == "required", machine.name
        assert options["httpPutResponseHopLimit"] == 1, machine.name


def test_a_new_instance_waits_until_the_old_one_has_given_up_its_address() -> None:
    for instance in of_type(INSTANCE):
        assert instance.delete_before_replace is True, instance.name


def test_another_first_boot_does_not_restart_a_running_site() -> None:
    for instance in of_type(INSTANCE):
        assert "userData" in instance.ignore_changes, instance.name


def test_the_host_key_in_an_instances_user_data_is_secret() -> None:
    for instance in of_type(INSTANCE):
        assert {"userData", "userDataBase64"} <= set(instance.additional_secret_outputs), instance.name


def test_the_api_of_a_local_cluster_is_not_on_the_internet() -> None:
    for cluster in of_type("aws:eks/cluster:Cluster"):
        network = plain(cluster)["vpcConfig"]
        assert network["endpointPublicAccess"] is False
        assert network["endpointPrivateAccess"] is True


def test_nodes_of_a_local_cluster_come_up_once_it_knows_their_role() -> None:
    for group in of_type("aws:autoscaling/group:Group"):
        assert any(urn.endswith("-eks-aws-auth") for urn in group.dependencies), group.name


def test_no_instance_has_a_public_address() -> None:
    for instance in of_type(INSTANCE):
        assert plain(instance)["associatePublicIpAddress"] is False, instance.name
    for subnet in of_type("aws:ec2/subnet:Subnet"):
        assert plain(subnet)["mapPublicIpOnLaunch"] is False, subnet.name


def test_no_edit_makes_another_key_for_arc() -> None:
    for key in of_type(ARC_KEY):
        assert {"algorithm", "rsaBits", "ecdsaCurve"} <= set(key.ignore_changes), key.name


def test_a_protected_registration_protects_its_key_and_its_cluster() -> None:
    def protect(content: dict[str, Any]) -> None:
        content["registrations"][0]["protect"] = True

    site = "prod"
    protected = {one.type for one in with_changes(site, protect).resources if one.protect}
    assert protected == {ARC_KEY, ARC_CLUSTER}
    assert not [one.name for one in recorded(site).resources if one.protect], "protected though nobody asked for it"


def test_azure_has_the_time_that_it_takes_to_register_a_cluster() -> None:
    for cluster in of_type(ARC_CLUSTER):
        assert set(cluster.custom_timeouts) == {"create", "update", "delete"}, cluster.name


def test_a_device_of_the_mesh_stays_when_it_is_offline() -> None:
    for key in of_type("tailscale:index/tailnetKey:TailnetKey"):
        assert plain(key)["ephemeral"] is False
        assert plain(key)["preauthorized"] is True
        assert plain(key)["tags"], "an untagged device belongs to a person and leaves with their key"
