"""Rehearsed AWS resources as the calls that make them, against `moto`; run by `test_aws.py`, in its own environment.

Reads resources from standard input, in the order in which they are made, and prints what the emulator holds then. Each
call goes through botocore, which checks its arguments against AWS's own model of the API. What the emulator does not
know is not called, and printed as such. Imports nothing of this project.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import boto3  # type: ignore[import-not-found]
from moto import mock_aws  # type: ignore[import-not-found]

Inputs = dict[str, Any]

NOT_SHOWN = {
    "aws:ec2/localGatewayRouteTableVpcAssociation:LocalGatewayRouteTableVpcAssociation": "moto has no local gateways",
    "aws:ec2/eip:Eip": "moto has no customer-owned pools",
}


def pascal(value: Any) -> Any:
    """The names of the provider's inputs as AWS has them."""
    if isinstance(value, dict):
        return {f"{key[0].upper()}{key[1:]}": pascal(one) for key, one in value.items()}
    return [pascal(one) for one in value] if isinstance(value, list) else value


def tags(inputs: Inputs, kind: str) -> list[Inputs]:
    given = [{"Key": key, "Value": one} for key, one in (inputs.get("tags") or {}).items()]
    return [{"ResourceType": kind, "Tags": given}]


class Replay:
    """One site. ``ids`` maps ids of the rehearsal, and of what was there before, to those of the emulator."""

    def __init__(self, region: str) -> None:
        self.ec2 = boto3.client("ec2", region_name=region)
        self.eks = boto3.client("eks", region_name=region)
        self.scaling = boto3.client("autoscaling", region_name=region)
        self.region = region
        self.ids: dict[str, str] = {}
        self.not_shown: list[str] = []

    def before(self, vpc: str, cidr: str, gateways: list[str], endpoints: list[str], lists: list[str]) -> None:
        """What the site file takes as given."""
        made = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        self.ids[vpc] = made
        outside = self.ec2.create_subnet(VpcId=made, CidrBlock=cidr.rsplit(".", 2)[0] + ".254.0/24")["Subnet"][
            "SubnetId"
        ]
        for one in gateways:
            self.ids[one] = self.ec2.create_nat_gateway(SubnetId=outside)["NatGateway"]["NatGatewayId"]
        for one in endpoints:
            name = f"com.amazonaws.{self.region}.s3"
            found = self.ec2.create_vpc_endpoint(VpcId=made, ServiceName=name, VpcEndpointType="Gateway")
            self.ids[one] = found["VpcEndpoint"]["VpcEndpointId"]
        for one in lists:
            found = self.ec2.create_managed_prefix_list(PrefixListName=one, MaxEntries=1, AddressFamily="IPv4")
            self.ids[one] = found["PrefixList"]["PrefixListId"]

    def make(self, one: Inputs) -> None:
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", one["type"].rpartition(":")[2]).lower()
        if one["type"] in NOT_SHOWN:
            self.not_shown.append(f"{one['name']}: {NOT_SHOWN[one['type']]}")
            return
        # A kind without a method here ends the replay: nothing is left out in silence.
        made = getattr(self, kind)(self.known(one["inputs"]), one["name"])
        if made:
            self.ids[one["id"]] = made

    def known(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.known(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.known(one) for one in value]
        return self.ids.get(value, value) if isinstance(value, str) else value

    def subnet(self, inputs: Inputs, name: str) -> str:
        made = self.ec2.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            AvailabilityZone=inputs["availabilityZone"],
            OutpostArn=inputs["outpostArn"],
            TagSpecifications=tags(inputs, "subnet"),
        )["Subnet"]["SubnetId"]
        self.ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]})
        return str(made)

    def route_table(self, inputs: Inputs, name: str) -> str:
        made = self.ec2.create_route_table(VpcId=inputs["vpcId"], TagSpecifications=tags(inputs, "route-table"))
        return str(made["RouteTable"]["RouteTableId"])

    def route_table_association(self, inputs: Inputs, name: str) -> str:
        return str(self.ec2.associate_route_table(**pascal(inputs))["AssociationId"])

    def route(self, inputs: Inputs, name: str) -> None:
        if "localGatewayId" in inputs:
            self.not_shown.append(f"{name}: moto has no local gateways")
            return
        self.ec2.create_route(**pascal(inputs))

    def vpc_endpoint_route_table_association(self, inputs: Inputs, name: str) -> None:
        self.ec2.modify_vpc_endpoint(VpcEndpointId=inputs["vpcEndpointId"], AddRouteTableIds=[inputs["routeTableId"]])

    def security_group(self, inputs: Inputs, name: str) -> str:
        made: str = self.ec2.create_security_group(
            GroupName=name, Description=inputs["description"], VpcId=inputs["vpcId"]
        )["GroupId"]
        # AWS lets a new group out to everywhere. The provider takes that away first, and so does this.
        new = self.ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"][0]["IpPermissionsEgress"]
        self.ec2.revoke_security_group_egress(GroupId=made, IpPermissions=new)
        rules = {
            "ingress": self.ec2.authorize_security_group_ingress,
            "egress": self.ec2.authorize_security_group_egress,
        }
        for direction, call in rules.items():
            call(GroupId=made, IpPermissions=[self._permission(rule, made) for rule in inputs[direction]])
        return made

    @staticmethod
    def _permission(rule: Inputs, own: str) -> Inputs:
        ports = {} if rule["protocol"] == "-1" else {"FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
        said = rule.get("description", "")
        return {
            "IpProtocol": rule["protocol"],
            **ports,
            "IpRanges": [{"CidrIp": cidr, "Description": said} for cidr in rule.get("cidrBlocks") or ()],
            "PrefixListIds": [{"PrefixListId": one} for one in rule.get("prefixListIds") or ()],
            "UserIdGroupPairs": [{"GroupId": own}] if rule.get("self") else [],
        }

    def instance(self, inputs: Inputs, name: str) -> str:
        disk = inputs["rootBlockDevice"]
        made = self.ec2.run_instances(
            MinCount=1,
            MaxCount=1,
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            UserData=inputs["userData"],
            MetadataOptions=pascal(inputs["metadataOptions"]),
            BlockDeviceMappings=[
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {
                        "Encrypted": disk["encrypted"],
                        "VolumeSize": int(disk["volumeSize"]),
                        "VolumeType": disk["volumeType"],
                        "DeleteOnTermination": disk["deleteOnTermination"],
                    },
                }
            ],
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": inputs["subnetId"],
                    "PrivateIpAddress": inputs["privateIp"],
                    "AssociatePublicIpAddress": inputs["associatePublicIpAddress"],
                    "Groups": inputs["vpcSecurityGroupIds"],
                }
            ],
            TagSpecifications=tags(inputs, "instance"),
        )
        return str(made["Instances"][0]["InstanceId"])

    def cluster(self, inputs: Inputs, name: str) -> str:
        network, outpost = inputs["vpcConfig"], inputs["outpostConfig"]
        more = {}
        if types := inputs.get("enabledClusterLogTypes"):
            more["logging"] = {"clusterLogging": [{"types": types, "enabled": True}]}
        self.eks.create_cluster(
            name=inputs["name"],
            version=inputs["version"],
            roleArn=inputs["roleArn"],
            resourcesVpcConfig=network,
            outpostConfig=outpost,
            **more,
        )
        return str(inputs["name"])

    def launch_template(self, inputs: Inputs, name: str) -> str:
        disks = pascal(inputs["blockDeviceMappings"])
        for disk in disks:
            # The provider has these as text.
            for key in ("Encrypted", "DeleteOnTermination"):
                disk["Ebs"][key] = disk["Ebs"][key] == "true"
            disk["Ebs"]["VolumeSize"] = int(disk["Ebs"]["VolumeSize"])
        made = self.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": inputs["imageId"],
                "InstanceType": inputs["instanceType"],
                "IamInstanceProfile": pascal(inputs["iamInstanceProfile"]),
                "SecurityGroupIds": inputs["vpcSecurityGroupIds"],
                "MetadataOptions": pascal(inputs["metadataOptions"]),
                "BlockDeviceMappings": disks,
                "UserData": inputs["userData"],
            },
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def group(self, inputs: Inputs, name: str) -> str:
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=int(inputs["minSize"]),
            MaxSize=int(inputs["maxSize"]),
            DesiredCapacity=int(inputs["desiredCapacity"]),
            VPCZoneIdentifier=",".join(inputs["vpcZoneIdentifiers"]),
            LaunchTemplate={
                "LaunchTemplateId": inputs["launchTemplate"]["id"],
                "Version": inputs["launchTemplate"]["version"],
            },
            Tags=[pascal(one) for one in inputs["tags"]],
        )
        return name

    def held(self) -> Inputs:
        """What AWS would show now."""
        found: Inputs = {
            "subnets": self.ec2.describe_subnets()["Subnets"],
            "route_tables": self.ec2.describe_route_tables()["RouteTables"],
            "endpoints": self.ec2.describe_vpc_endpoints()["VpcEndpoints"],
            "groups": self.ec2.describe_security_groups()["SecurityGroups"],
            "instances": [one for many in self.ec2.describe_instances()["Reservations"] for one in many["Instances"]],
            "volumes": self.ec2.describe_volumes()["Volumes"],
            "clusters": [
                self.eks.describe_cluster(name=one)["cluster"] for one in self.eks.list_clusters()["clusters"]
            ],
            "scaling_groups": self.scaling.describe_auto_scaling_groups()["AutoScalingGroups"],
        }
        for one in found["instances"]:
            data = self.ec2.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")
            text = data["UserData"].get("Value", "")
            # As whoever may call this sees it.
            one["UserData"] = base64.b64decode(text).decode()
        return found


def main() -> None:
    asked = json.load(sys.stdin)
    replay = Replay(asked["region"])
    replay.before(**asked["before"])
    for one in asked["resources"]:
        replay.make(one)
    answer = {"held": replay.held(), "ids": replay.ids, "not_shown": replay.not_shown}
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    with mock_aws():
        main()
