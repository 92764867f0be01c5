"""What a human writes about a site that stands on an AWS Outpost."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from components import ssh_keys
from components.specs import Spec
from components.types import Cidr, DnsLabel, NonEmpty
from sitefile.problems import Finding, Unfit


def _not_everywhere(value: str) -> str:
    if ipaddress.ip_network(value).prefixlen == 0:
        raise ValueError("expected a bounded network: this one is the whole internet")
    return value


def _authorized_key(value: str) -> str:
    try:
        ssh_keys.parse(value)
    except ssh_keys.NotAKey as error:
        raise Unfit(
            str(error), "a public SSH key of an operator", "write the one line of the file `id_ed25519.pub`"
        ) from None
    return value


def _destination(value: str) -> str:
    if _PREFIX_LIST.fullmatch(value):
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise Unfit(
            f"{value} is no network", "a network, or the id of a prefix list", "write `0.0.0.0/0`, or `pl-` and its id"
        ) from None


def _no_key(value: str) -> str:
    raise Unfit(
        "EKS local clusters take no KMS key for Secrets",
        "no key: the volumes of their etcd are encrypted by EBS",
        "remove it; secrets that need a key of yours can stay encrypted in Git (`gitops.decryption`)",
    )


_PREFIX_LIST = re.compile(r"pl-[0-9a-f]{8,17}")

BoundedCidr = Annotated[Cidr, AfterValidator(_not_everywhere)]
OutpostArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:outposts:[a-z]{2}(-[a-z]+)+-\d:\d{12}:outpost/op-[0-9a-f]{17}$"),
    Field(examples=["arn:aws:outposts:eu-central-1:123456789012:outpost/op-0123456789abcdef0"]),
]
RoleArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$"),
    Field(examples=["arn:aws:iam::123456789012:role/edge-nodes"]),
]
AmiId = Annotated[str, StringConstraints(pattern=r"^ami-[0-9a-f]{8,17}$"), Field(examples=["ami-0123456789abcdef0"])]
InstanceType = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$"), Field(examples=["m5.2xlarge"])
]
VpcEndpointId = Annotated[
    str, StringConstraints(pattern=r"^vpce-[0-9a-f]{8,17}$"), Field(examples=["vpce-0123456789abcdef0"])
]
PrefixListId = Annotated[str, StringConstraints(pattern=r"^pl-[0-9a-f]{8,17}$"), Field(examples=["pl-6da54004"])]
AuthorizedKey = Annotated[
    str,
    StringConstraints(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) [A-Za-z0-9+/]+={0,2}( \S+)?$"),
    AfterValidator(_authorized_key),
    Field(examples=["ssh-ed25519 AAAA... ops@example.com"]),
]
"""A public SSH key as it stands in authorized_keys, without options."""


class AwsRoute(Spec):
    """A route of the site's subnet, beside those to the local gateway."""

    to: Annotated[str, AfterValidator(_destination), Field(examples=["0.0.0.0/0"])]
    """Network, or prefix list (`pl-...`), that is reached this way."""

    via: Annotated[
        str, StringConstraints(pattern=r"^(nat|tgw|vpce)-[0-9a-f]{8,17}$"), Field(examples=["nat-0123456789abcdef0"])
    ]
    """NAT gateway (`nat-`), transit gateway (`tgw-`) or gateway load balancer endpoint (`vpce-`) of the VPC."""


class LocalGateway(Spec):
    """How the Outpost reaches the site's own network."""

    on_premises: Annotated[tuple[BoundedCidr, ...], Field(min_length=1)]
    """Networks of the site that are routed to the local gateway."""

    associate_vpc: bool = True
    """Whether to associate the VPC with the gateway's route table: once per VPC; false where another site does it.
    Nothing is associated beside a `subnet_id` or `route_table_id`."""

    customer_owned_pool: (
        Annotated[
            str,
            StringConstraints(pattern=r"^ipv4pool-coip-[0-9a-f]+$"),
            Field(examples=["ipv4pool-coip-0123456789abcdef0"]),
        ]
        | None
    ) = None
    """Pool of the site's own addresses to give the instance one from; absent with direct VPC routing."""


class InstanceCompute(Spec):
    """An instance on the Outpost as one of the site's hosts; K3s runs on it. The private half of its pinned `host_key`
    is the secret `outposts-host-key`."""

    kind: Literal["instance"]
    """Selects an instance."""

    host: Annotated[DnsLabel, Field(examples=["a"])]
    """Name of the host in `hosts` that this instance is. Its `node_ip` (or `address`) is the instance's, fixed."""

    instance_type: InstanceType
    """EC2 instance type; the Outpost must have it."""

    ami: AmiId
    """Image, in the Outpost's region. Another one replaces the instance."""

    disk_gib: Annotated[int, Field(ge=16, le=16384)] = 100
    """Size of the root volume (gp2, encrypted), in GiB."""

    kms_key_arn: Annotated[NonEmpty, Field(examples=["arn:aws:kms:eu-central-1:123456789012:key/edge"])] | None = None
    """KMS key of the volume; the account's default EBS key when absent."""

    instance_profile: Annotated[NonEmpty, Field(examples=["edge"])] | None = None
    """IAM instance profile, where software on the host needs AWS credentials."""

    host_key_from: Literal["first-contact", "user-data"] = "first-contact"
    """How the instance gets that private half. `first-contact`: it starts with a key of the stack's own, by which it is
    known while the pinned one is sent to it over SSH. `user-data`: it is in the user data, which every user of the host
    and whoever may call `ec2:DescribeInstanceAttribute` can read; for instances that an earlier release made so."""

    authorized_keys: Annotated[tuple[AuthorizedKey, ...], Field(min_length=1)]
    """Public SSH keys of the operators, set at first boot; later changes do not reach an instance that runs."""

    termination_protection: bool = False
    """Whether AWS refuses to terminate the instance; `destroy` then fails on it."""


class EksNodes(Spec):
    """Worker nodes of an EKS local cluster: an auto scaling group on the Outpost."""

    instance_type: InstanceType
    """EC2 instance type; the Outpost must have it."""

    ami: AmiId
    """EKS-optimised image for the cluster's version, in the Outpost's region."""

    ami_family: Literal["al2023", "al2"] = "al2023"
    """Amazon Linux of the image. 2023 joins by nodeadm, 2 by `/etc/eks/bootstrap.sh`; AWS has published no image of the
    latter since 26 November 2025."""

    join_minutes: Annotated[int, Field(ge=2, le=60)] = 15
    """How long `up` waits until all nodes are Ready, in minutes. What runs in the cluster comes after that."""

    instance_profile: Annotated[NonEmpty, Field(examples=["edge-nodes"])]
    """Name of the IAM instance profile of the nodes."""

    role_arn: RoleArn
    """IAM role of that profile; it is what lets the nodes join."""

    count: Annotated[int, Field(ge=1, le=100)] = 3
    """How many nodes."""

    disk_gib: Annotated[int, Field(ge=20, le=16384)] = 100
    """Size of a node's root volume (gp2, encrypted), in GiB."""


class EksLocalCompute(Spec):
    """An EKS local cluster: three control plane instances and nodes on the Outpost, which go on without its region."""

    kind: Literal["eks-local"]
    """Selects an EKS local cluster."""

    version: Annotated[str, StringConstraints(pattern=r"^1\.\d{2}$"), Field(examples=["1.34"])]
    """Kubernetes version. Local clusters lag behind EKS in the region."""

    cluster_role_arn: RoleArn
    """IAM role of the control plane."""

    control_plane_instance_type: InstanceType
    """EC2 instance type of the three control plane instances."""

    placement_group: Annotated[NonEmpty, Field(examples=["edge-control-plane"])] | None = None
    """Placement group of the control plane, to spread it over the Outpost's hardware."""

    logs: tuple[Literal["api", "audit", "authenticator", "controllerManager", "scheduler"], ...] = ()
    """Logs of the control plane that AWS keeps in CloudWatch, in the region; they cost what CloudWatch costs."""

    secrets_key_arn: (
        Annotated[str, AfterValidator(_no_key), Field(examples=["arn:aws:kms:eu-central-1:123456789012:key/edge"])]
        | None
    ) = None
    """KMS key for Kubernetes Secrets. Always refused: local clusters take none."""

    nodes: EksNodes
    """Worker nodes."""


Compute = Annotated[InstanceCompute | EksLocalCompute, Field(discriminator="kind")]


class OutpostsSpec(Spec):
    """AWS Outposts: AWS hardware at the site, in an existing VPC of its region."""

    kind: Literal["outposts"]
    """Selects AWS Outposts."""

    outpost_arn: OutpostArn
    """ARN of the Outpost. Its region is where everything is made."""

    account_id: Annotated[str, StringConstraints(pattern=r"^\d{12}$"), Field(examples=["123456789012"])]
    """AWS account of the site; credentials of any other account are refused before anything is made."""

    vpc_id: Annotated[
        str, StringConstraints(pattern=r"^vpc-[0-9a-f]{8,17}$"), Field(examples=["vpc-0123456789abcdef0"])
    ]
    """Existing VPC."""

    subnet_cidr: BoundedCidr
    """Network of the site's subnet on the Outpost, within the VPC's."""

    subnet_id: (
        Annotated[
            str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$"), Field(examples=["subnet-0123456789abcdef0"])
        ]
        | None
    ) = None
    """Existing subnet on the Outpost, with its routes; `subnet_cidr` is its network. None is made, and no route."""

    route_table_id: (
        Annotated[str, StringConstraints(pattern=r"^rtb-[0-9a-f]{8,17}$"), Field(examples=["rtb-0123456789abcdef0"])]
        | None
    ) = None
    """Existing route table for the site's subnet. None is made, and no route is added to it."""

    routes: tuple[AwsRoute, ...] = ()
    """Routes of the site's subnet beside those to the local gateway, such as the way to AWS."""

    gateway_endpoints: tuple[VpcEndpointId, ...] = ()
    """Existing gateway endpoints of the VPC (S3, DynamoDB) that are attached to the site's route table."""

    local_gateway: LocalGateway
    """The way between Outpost and site."""

    admin_cidrs: Annotated[tuple[BoundedCidr, ...], Field(min_length=1)]
    """Networks that may reach SSH (22) and the Kubernetes API (6443, EKS: 443)."""

    egress_cidrs: Annotated[tuple[BoundedCidr, ...], Field(min_length=1)]
    """Networks that the site's machines may reach: mirrors, registries, proxy, AWS endpoints in the VPC."""

    egress_prefix_lists: tuple[PrefixListId, ...] = ()
    """Prefix lists that the site's machines may reach: that of S3, where it is reached by a gateway endpoint."""

    tags: dict[NonEmpty, str] = {}
    """AWS tags of everything, beside `edge-site`, which is always set."""

    compute: Compute
    """What runs on the Outpost."""

    @property
    def region(self) -> str:
        """AWS region of the Outpost."""
        return self.outpost_arn.split(":")[3]

    @property
    def owns_routes(self) -> bool:
        """Whether the subnet's route table is the site's own."""
        return self.subnet_id is None and self.route_table_id is None

    def conflicts(self) -> Iterator[Finding]:
        if not self.owns_routes:
            yield from self._of_others("subnet_id" if self.subnet_id else "route_table_id")
        if ipaddress.ip_network(self.subnet_cidr).version != 4:
            yield Finding(
                ("subnet_cidr",),
                f"{self.subnet_cidr} is an IPv6 network",
                "an IPv4 network, the only kind that Outposts subnets have",
                "write the subnet's IPv4 network",
            )

    def _of_others(self, given: str) -> Iterator[Finding]:
        """Settings of a route table that the site does not own."""
        for key in ("routes", "gateway_endpoints", "route_table_id"):
            if key != given and getattr(self, key):
                yield Finding(
                    (key,),
                    f"`{given}` brings a route table of yours, which is not changed",
                    f"`{given}` or `{key}`",
                    f"remove `{key}`" + ("" if key == "route_table_id" else ", and set it in that table"),
                )
        if self.local_gateway.associate_vpc and "associate_vpc" in self.local_gateway.model_fields_set:
            yield Finding(
                ("local_gateway", "associate_vpc"),
                f"`{given}` brings a route table of yours, whose VPC is associated already",
                "no `associate_vpc` beside it",
                "remove it",
            )
