"""A site on an AWS Outpost: its subnet, its way to the site's own network, and what runs there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_command
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.base import EdgeComponent
from components.host.machine import Machine
from components.host.plan import identity_of
from components.host.reach import Reach
from components.place.outposts import plan as plans
from components.place.outposts.eks import LocalCluster
from components.place.outposts.plan import METADATA_OPTIONS, Opening, plan
from components.place.outposts.spec import EksLocalCompute, InstanceCompute, OutpostsSpec
from components.shell import secret_lines


@dataclass(frozen=True)
class InstanceArgs:
    """The host of the site that an instance on the Outpost is."""

    machine: Machine
    reach: Reach
    private_key: pulumi.Input[str]
    """Secret half of the host key that the site file pins. Becomes a secret if it is not one yet."""


@dataclass(frozen=True)
class OutpostsArgs:
    """What a site on an Outpost is made from."""

    spec: OutpostsSpec
    site: str
    instance: InstanceArgs | None = None
    """For ``compute: {kind: instance}``."""


class Outposts(EdgeComponent):
    """``edge:index:OutpostsRegistration``: subnet, local gateway, security group, and an instance or an EKS cluster.

    Credentials for AWS are those of the operator or the pipeline. Attributes: ``instance_ready`` (what the host waits
    for; None with EKS); ``kubeconfig`` (holds no token) and ``kubernetes_provider`` (both None with an instance).
    """

    def __init__(self, name: str, args: OutpostsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        place = plan(site, spec)
        # The type is older than `place`, and frozen: another type would be another resource.
        super().__init__("OutpostsRegistration", name, {}, opts)
        self._name, self._spec, self._site = name, spec, site
        self._aws = aws.Provider(
            f"{name}-aws",
            region=place.region,
            allowed_account_ids=[spec.account_id],
            default_tags=aws.ProviderDefaultTagsArgs(tags=dict(place.tags)),
            opts=self.under(),
        )
        invoke = pulumi.InvokeOutputOptions(parent=self, provider=self._aws)
        self._subnet_id = spec.subnet_id or self._subnet(invoke).id
        network = [] if spec.subnet_id else self._network(place, invoke)
        self._group = self._security_group(place)
        self.instance_ready: pulumi.Resource | None = None
        self.kubeconfig: pulumi.Output[str] | None = None
        self.kubernetes_provider: kubernetes.Provider | None = None
        if isinstance(spec.compute, InstanceCompute):
            if args.instance is None:
                raise ValueError(f"{name}: an instance needs its host and the secret outposts-host-key")
            self.instance_ready = self._instance(spec.compute, args.instance, network)
        else:
            self._cluster(spec.compute, network)
        self.register_outputs({"subnet_id": self._subnet_id})

    def _made(self, *depends_on: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
        return self.under(*depends_on, provider=self._aws, **options)

    def _subnet(self, invoke: pulumi.InvokeOutputOptions) -> aws.ec2.Subnet:
        name, spec = self._name, self._spec
        outpost = aws.outposts.get_outpost_output(arn=spec.outpost_arn, opts=invoke)
        return aws.ec2.Subnet(
            f"{name}-subnet",
            vpc_id=spec.vpc_id,
            cidr_block=spec.subnet_cidr,
            availability_zone=outpost.availability_zone,
            outpost_arn=spec.outpost_arn,
            map_public_ip_on_launch=False,
            tags={"Name": name},
            opts=self._made(),
        )

    def _network(self, place: plans.OutpostsPlan, invoke: pulumi.InvokeOutputOptions) -> list[pulumi.Resource]:
        """Routes of the site's subnet; returns what must be there before anything on it reaches AWS or is reached."""
        name, spec, gateway = self._name, self._spec, self._spec.local_gateway
        table_id: pulumi.Input[str]
        if spec.route_table_id:
            table_id = spec.route_table_id
        else:
            table = aws.ec2.RouteTable(f"{name}-routes", vpc_id=spec.vpc_id, tags={"Name": name}, opts=self._made())
            table_id = table.id
        ready: list[pulumi.Resource] = [
            aws.ec2.RouteTableAssociation(
                f"{name}-subnet-routes", route_table_id=table_id, subnet_id=self._subnet_id, opts=self._made()
            )
        ]
        if not spec.owns_routes:
            return ready
        found = aws.ec2.get_local_gateway_route_table_output(outpost_arn=spec.outpost_arn, opts=invoke)
        # AWS refuses a route to a local gateway until the VPC is associated with the gateway's own table.
        associated = (
            [
                aws.ec2.LocalGatewayRouteTableVpcAssociation(
                    f"{name}-local-gateway",
                    local_gateway_route_table_id=found.local_gateway_route_table_id,
                    vpc_id=spec.vpc_id,
                    opts=self._made(),
                )
            ]
            if gateway.associate_vpc
            else []
        )
        ready += [
            aws.ec2.VpcEndpointRouteTableAssociation(
                f"{name}-{endpoint}", vpc_endpoint_id=endpoint, route_table_id=table_id, opts=self._made()
            )
            for endpoint in spec.gateway_endpoints
        ]
        ready += [
            aws.ec2.Route(f"{name}-{role}", route_table_id=table_id, **route, opts=self._made())
            for role, route in place.more_routes.items()
        ]
        for role, cidr in place.routes.items():
            ready.append(
                aws.ec2.Route(
                    f"{name}-{role}",
                    route_table_id=table_id,
                    destination_cidr_block=cidr,
                    local_gateway_id=found.local_gateway_id,
                    opts=self._made(*associated),
                )
            )
        return ready

    def _security_group(self, place: plans.OutpostsPlan) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            f"{self._name}-machines",
            description=f"machines of the edge site {self._site}",
            vpc_id=self._spec.vpc_id,
            ingress=[aws.ec2.SecurityGroupIngressArgs(**_rule(opening)) for opening in place.ingress],
            egress=[aws.ec2.SecurityGroupEgressArgs(**_rule(opening)) for opening in place.egress],
            tags={"Name": f"{self._name}-machines"},
            opts=self._made(),
        )

    def _instance(
        self,
        compute: InstanceCompute,
        args: InstanceArgs,
        network: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        node, host = args.machine.node, args.machine.spec
        first = None
        host_key: pulumi.Input[str] = host.host_key
        private_key = args.private_key
        if compute.host_key_from == "first-contact":
            first = tls.PrivateKey(f"{node}-first-host-key", algorithm="ED25519", opts=self.under())
            host_key, private_key = first.public_key_openssh.apply(str.strip), first.private_key_openssh
        instance = aws.ec2.Instance(
            f"{node}-instance",
            ami=compute.ami,
            instance_type=compute.instance_type,
            subnet_id=self._subnet_id,
            private_ip=host.node_ip or host.address,
            associate_public_ip_address=False,
            vpc_security_group_ids=[self._group.id],
            iam_instance_profile=compute.instance_profile,
            disable_api_termination=compute.termination_protection,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(**METADATA_OPTIONS),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                encrypted=True,
                kms_key_id=compute.kms_key_arn,
                volume_size=compute.disk_gib,
                volume_type="gp2",
                delete_on_termination=True,
            ),
            user_data=pulumi.Output.all(host_key, pulumi.Output.secret(private_key)).apply(
                lambda pair: plans.user_data(
                    first_boot=args.machine.system.first_boot,
                    node=node,
                    user=args.machine.ssh.user,
                    host_key=pair[0],
                    private_key=pair[1],
                    authorized_keys=compute.authorized_keys,
                )
            ),
            tags={"Name": node},
            opts=self._made(
                *network,
                # The address is fixed, so the old instance must be gone before the new one can have it.
                delete_before_replace=True,
                # Read at first boot only; AWS would stop and start a running site to change it.
                ignore_changes=["userData"],
                additional_secret_outputs=["userData", "userDataBase64"],
            ),
        )
        if pool := self._spec.local_gateway.customer_owned_pool:
            aws.ec2.Eip(
                f"{node}-site-address",
                customer_owned_ipv4_pool=pool,
                domain="vpc",
                instance=instance.id,
                tags={"Name": node},
                opts=self._made(),
            )
        return instance if first is None else self._host_key(args, host_key, instance)

    def _host_key(
        self, args: InstanceArgs, first_key: pulumi.Input[str], instance: aws.ec2.Instance
    ) -> pulumi_command.remote.Command:
        """Send the pinned key to an instance that starts with another one. Once for each instance: it is unknown by its
        first key from then on, so nothing of this command may ever change in place."""
        node, host = args.machine.node, args.machine.spec
        private_key: pulumi.Output[str] = pulumi.Output.secret(args.private_key)
        fixed = ["connection", "create", "stdin", "logging", "addPreviousOutputInEnv"]
        return pulumi_command.remote.Command(
            # Another pinned key is another command.
            f"{node}-host-key-{identity_of(host.host_key)}",
            connection=args.reach.connection(args.machine.ssh.dial_attempts, first_key),
            create=args.reach.started(plans.host_key_script(node, host.host_key)),
            stdin=args.reach.stdin(private_key.apply(lambda key: secret_lines([key.strip()]))),
            triggers=[instance.id],
            add_previous_output_in_env=False,
            opts=self.under(instance, ignore_changes=fixed, additional_secret_outputs=["stdout", "stderr"]),
        )

    def _cluster(self, compute: EksLocalCompute, network: Sequence[pulumi.Resource]) -> None:
        cluster = LocalCluster(
            self,
            self._site,
            compute,
            spec=self._spec,
            subnet_id=self._subnet_id,
            security_group_id=self._group.id,
            provider=self._aws,
            depends_on=network,
        )
        self.kubeconfig, self.kubernetes_provider = cluster.kubeconfig, cluster.kubernetes_provider


def _rule(opening: Opening) -> dict[str, Any]:
    return {
        "protocol": opening.protocol,
        "from_port": opening.from_port,
        "to_port": opening.to_port,
        "cidr_blocks": list(opening.cidrs) or None,
        "prefix_list_ids": list(opening.prefix_lists) or None,
        "self": opening.within or None,
        "description": opening.description,
    }
