"""An EKS local cluster on an Outpost: control plane, nodes that join it, and how to reach it.

Local clusters have no managed node groups and no access entries: nodes are an auto scaling group, and ``aws-auth`` says
who they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi_command import local

from components.base import EdgeComponent
from components.place.outposts.plan import (
    METADATA_OPTIONS,
    aws_auth,
    kubeconfig,
    node_config,
    node_user_data,
    nodes_ready,
)
from components.place.outposts.spec import EksLocalCompute, EksNodes, OutpostsSpec

_CONTROL_PLANE_TIMEOUT = "90m"
"""Three instances and etcd come up on the Outpost; AWS names up to 40 minutes for it."""


class LocalCluster:
    """The resources of one cluster, all of them children of ``component``."""

    def __init__(
        self,
        component: EdgeComponent,
        site: str,
        compute: EksLocalCompute,
        *,
        spec: OutpostsSpec,
        subnet_id: pulumi.Input[str],
        security_group_id: pulumi.Input[str],
        provider: aws.Provider,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        self._component, self._site, self._provider = component, site, provider
        self._cluster = aws.eks.Cluster(
            f"{site}-eks",
            name=site,
            role_arn=compute.cluster_role_arn,
            version=compute.version,
            enabled_cluster_log_types=list(compute.logs) or None,
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                subnet_ids=[subnet_id],
                security_group_ids=[security_group_id],
                endpoint_private_access=True,
                endpoint_public_access=False,
            ),
            outpost_config=aws.eks.ClusterOutpostConfigArgs(
                outpost_arns=[spec.outpost_arn],
                control_plane_instance_type=compute.control_plane_instance_type,
                control_plane_placement=aws.eks.ClusterOutpostConfigControlPlanePlacementArgs(
                    group_name=compute.placement_group
                )
                if compute.placement_group
                else None,
            ),
            opts=component.under(
                *depends_on,
                provider=provider,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=_CONTROL_PLANE_TIMEOUT, update=_CONTROL_PLANE_TIMEOUT, delete=_CONTROL_PLANE_TIMEOUT
                ),
            ),
        )
        known = pulumi.Output.all(
            cluster_id=self._cluster.cluster_id,
            endpoint=self._cluster.endpoint,
            certificate_authority=self._cluster.certificate_authority.data,
        )
        self.kubeconfig: pulumi.Output[str] = known.apply(
            lambda values: kubeconfig(cluster=site, region=spec.region, **values)
        )
        # Nodes come after `aws-auth`, and everything else in the cluster after the nodes: by two providers.
        admission = kubernetes.core.v1.ConfigMap(
            f"{site}-eks-aws-auth",
            metadata={"name": "aws-auth", "namespace": "kube-system"},
            data={"mapRoles": aws_auth(compute.nodes.role_arn)},
            opts=component.under(provider=self._reaches(f"{site}-eks-admission")),
        )
        joins = node_config if compute.nodes.ami_family == "al2023" else node_user_data
        services = self._cluster.kubernetes_network_config.apply(lambda network: network and network.service_ipv4_cidr)
        nodes = self._nodes(
            compute.nodes,
            user_data=pulumi.Output.all(known, services).apply(
                lambda told: joins(cluster=site, service_cidr=told[1], **told[0])
            ),
            subnet_id=subnet_id,
            security_group_id=security_group_id,
            admission=admission,
        )
        joined = local.Command(
            f"{site}-eks-nodes-ready",
            create=nodes_ready(site, spec, compute.nodes),
            interpreter=["/bin/bash", "-c"],
            environment={
                "ENDPOINT": self._cluster.endpoint,
                "CLUSTER_ID": self._cluster.cluster_id,
                "CA": self._cluster.certificate_authority.data.apply(lambda data: data or ""),
            },
            opts=component.under(nodes),
        )
        # What runs in the cluster goes before its nodes do, since it depends on this provider.
        self.kubernetes_provider = self._reaches(f"{site}-eks-kubernetes", joined)

    def _reaches(self, name: str, *depends_on: pulumi.Resource) -> kubernetes.Provider:
        return kubernetes.Provider(
            name,
            kubeconfig=self.kubeconfig,
            cluster_identifier=self._site,
            enable_server_side_apply=True,
            opts=self._component.under(*depends_on),
        )

    def _nodes(
        self,
        nodes: EksNodes,
        *,
        user_data: pulumi.Output[str],
        subnet_id: pulumi.Input[str],
        security_group_id: pulumi.Input[str],
        admission: pulumi.Resource,
    ) -> aws.autoscaling.Group:
        site = self._site
        template = aws.ec2.LaunchTemplate(
            f"{site}-eks-node",
            image_id=nodes.ami,
            instance_type=nodes.instance_type,
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(name=nodes.instance_profile),
            # The control plane's group too: within it everything may talk to everything.
            vpc_security_group_ids=[security_group_id],
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(**METADATA_OPTIONS),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        encrypted="true",
                        volume_size=nodes.disk_gib,
                        volume_type="gp2",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=kind, tags={"Name": f"{site}-eks-node", "edge-site": site}
                )
                for kind in ("instance", "volume")
            ],
            user_data=user_data,
            update_default_version=True,
            opts=self._component.under(provider=self._provider),
        )
        return aws.autoscaling.Group(
            f"{site}-eks-nodes",
            min_size=nodes.count,
            max_size=nodes.count,
            desired_capacity=nodes.count,
            vpc_zone_identifiers=[subnet_id],
            launch_template=aws.autoscaling.GroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            tags=[
                aws.autoscaling.GroupTagArgs(
                    key=f"kubernetes.io/cluster/{site}", value="owned", propagate_at_launch=True
                )
            ],
            # Nodes that come up before the cluster knows their role are turned away.
            opts=self._component.under(admission, provider=self._provider),
        )
