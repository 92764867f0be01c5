"""AWS: what machines, networks and storage of an account may be. All rules of the group, those about IAM included.

Judges what a program makes, whoever wrote it: the part `place: {kind: outposts}` of a site, and what was added by hand.
Does not judge what is only named, such as a VPC or an image. The tables say where each kind keeps what is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.rules import aws_account, buckets, iam, prefix_lists
from policies.rules.addresses import world
from policies.rules.frameworks import cis_aws, nist
from policies.rules.iam import service_of
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node
from policies.rules.user_data import credential_in_user_data

_EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide"
_VPC = "https://docs.aws.amazon.com/vpc/latest/userguide"
_Service = tuple[str, str]

_CIDRS = ("cidrBlocks", "ipv6CidrBlocks", "cidrBlock", "ipv6CidrBlock", "cidrIpv4", "cidrIpv6", "cidrs", "ipv6Cidrs")
_INGRESS: Mapping[_Service, str] = {
    ("ec2", "SecurityGroup"): "ingress",
    ("ec2", "DefaultSecurityGroup"): "ingress",
    ("ec2", "NetworkAcl"): "ingress",
    ("ec2", "DefaultNetworkAcl"): "ingress",
    ("lightsail", "InstancePublicPorts"): "portInfos",
    ("ec2", "SecurityGroupRule"): "",
    ("ec2", "NetworkAclRule"): "",
    ("vpc", "SecurityGroupIngressRule"): "",
    ("ec2", "SecurityGroupIngressRule"): "",
}
"""Where each kind keeps its rules for incoming traffic; nothing: it is one rule itself."""

_PREFIX_LISTS: frozenset[_Service] = frozenset((("ec2", "ManagedPrefixList"), ("ec2", "ManagedPrefixListEntry")))
"""Networks by name. A rule has the list's id only, so the list is judged; `aws/prefix-list-seen` asks for it."""

_EGRESS: Mapping[_Service, str] = {
    ("ec2", "SecurityGroup"): "egress",
    ("ec2", "DefaultSecurityGroup"): "egress",
    ("ec2", "SecurityGroupRule"): "",
    ("vpc", "SecurityGroupEgressRule"): "",
    ("ec2", "SecurityGroupEgressRule"): "",
}
"""The same for outgoing traffic, but for network ACLs: they know no connections, and must let answers out."""

_MACHINES: frozenset[_Service] = frozenset(
    (
        ("ec2", "Instance"),
        ("ec2", "SpotInstanceRequest"),
        ("ec2", "LaunchTemplate"),
        ("ec2", "LaunchConfiguration"),
    )
)
_NOT_PUBLIC: Mapping[_Service, tuple[tuple[str, ...], bool | None]] = {
    ("ec2", "Instance"): (("associatePublicIpAddress",), False),
    ("ec2", "SpotInstanceRequest"): (("associatePublicIpAddress",), False),
    ("ec2", "LaunchConfiguration"): (("associatePublicIpAddress",), False),
    ("eks", "Cluster"): (("vpcConfig", "endpointPublicAccess"), False),
    ("ec2", "Subnet"): (("mapPublicIpOnLaunch",), None),
    ("ec2", "DefaultSubnet"): (("mapPublicIpOnLaunch",), False),
    ("rds", "Instance"): (("publiclyAccessible",), None),
    ("rds", "ClusterInstance"): (("publiclyAccessible",), None),
    ("redshift", "Cluster"): (("publiclyAccessible",), None),
    ("dms", "ReplicationInstance"): (("publiclyAccessible",), None),
    ("mq", "Broker"): (("publiclyAccessible",), None),
}
"""The property that makes each kind public. False: it must be there, as its default is another one, or a subnet's."""

_INTERNAL: frozenset[_Service] = frozenset(
    (("lb", "LoadBalancer"), ("alb", "LoadBalancer"), ("elb", "LoadBalancer"), ("elasticloadbalancing", "LoadBalancer"))
)
_ENCRYPTED: Mapping[_Service, str] = {
    ("ebs", "Volume"): "encrypted",
    ("ebs", "SnapshotCopy"): "encrypted",
    ("ebs", "EncryptionByDefault"): "enabled",
    ("efs", "FileSystem"): "encrypted",
    ("rds", "Instance"): "storageEncrypted",
    ("rds", "Cluster"): "storageEncrypted",
    ("docdb", "Cluster"): "storageEncrypted",
    ("neptune", "Cluster"): "storageEncrypted",
    ("redshift", "Cluster"): "encrypted",
    ("elasticache", "ReplicationGroup"): "atRestEncryptionEnabled",
}
"""The property with which each kind of storage is encrypted. All but `EncryptionByDefault` are not, by default."""


def _key(kind: Kind) -> _Service:
    return service_of(kind), kind.name


def _no_open_ingress(subject: Subject) -> Iterator[Violation]:
    if _key(subject.kind) in _PREFIX_LISTS:
        entries = subject.get("entries").each() if subject.kind.name == "ManagedPrefixList" else (subject.root,)
        yield from world(entry.get("cidr") for entry in entries)
        return
    where = _INGRESS[_key(subject.kind)]
    if where:
        rules = list(subject.get(where).each())
    elif subject.kind.name == "NetworkAclRule":
        rules = [] if subject.get("egress").flag() else [subject.root]
    else:
        rules = [] if subject.get("type").text() == "egress" else [subject.root]
    for rule in rules:
        yield from attempt(_open_rule(rule))


def _no_open_egress(subject: Subject) -> Iterator[Violation]:
    where = _EGRESS[_key(subject.kind)]
    if where:
        rules = list(subject.get(where).each())
    elif subject.kind.name == "SecurityGroupRule":
        rules = [subject.root] if subject.get("type").text() == "egress" else []
    else:
        rules = [subject.root]
    for rule in rules:
        yield from attempt(world(_cidrs(rule), "leads to"))


def _open_rule(rule: Node) -> Iterator[Violation]:
    for name in ("action", "ruleAction"):
        if isinstance(rule.peek(name), str) and rule.peek(name).lower() == "deny":
            return
    yield from world(_cidrs(rule))


def _cidrs(rule: Node) -> Iterator[Node]:
    for name in _CIDRS:
        place = rule.get(name)
        if isinstance(place.value, list):
            yield from place.each()
        else:
            yield place


def _imds_v2(subject: Subject) -> Iterator[Violation]:
    options = subject.get("metadataOptions")
    if options.get("httpEndpoint").text() == "disabled":
        return
    tokens = options.get("httpTokens")
    if tokens.text() != "required":
        yield Violation(tokens.path, "is not `required`: any program of the machine can have the role's credentials")


def _no_public_address(subject: Subject) -> Iterator[Violation]:
    key = _key(subject.kind)
    if key in _NOT_PUBLIC:
        where, default = _NOT_PUBLIC[key]
        public = subject.get(*where)
        if public.flag() or (default is False and not public.present):
            yield Violation(public.path, "is true" if public.present else "is not set, so something else decides")
    elif key in _INTERNAL:
        internal = subject.get("internal")
        if not internal.flag():
            yield Violation(internal.path, "is not true: the load balancer faces the Internet")
    elif key == ("ec2", "Eip"):
        # An address out of a customer's own pool is one of the site's network, behind a local gateway.
        pool = subject.get("customerOwnedIpv4Pool")
        if not pool.text():
            yield Violation(pool.path, "is not set: the address is one of the Internet")
    elif key == ("lambda", "FunctionUrl"):
        authorization = subject.get("authorizationType")
        if authorization.text() != "AWS_IAM":
            yield Violation(authorization.path, "is not AWS_IAM: anyone may call the function")
    for card in subject.get("networkInterfaces").each() if key == ("ec2", "LaunchTemplate") else ():
        public = card.get("associatePublicIpAddress")
        if not _says(public, "false") and (public.present or not card.get("networkInterfaceId").present):
            yield Violation(public.path, "is not false")


def _says(node: Node, word: str) -> bool:
    """Whether a flag that may be written as text has this value: launch templates keep theirs so."""
    value = node.flag() if isinstance(node.value, bool) else node.text()
    return str(value).lower() == word


def _encrypted_storage(subject: Subject) -> Iterator[Violation]:
    key = _key(subject.kind)
    if key in _ENCRYPTED:
        flag = subject.get(_ENCRYPTED[key])
        default = key == ("ebs", "EncryptionByDefault")
        if not _says(flag, "true") and not (default and not flag.present):
            yield Violation(flag.path, "is not true")
    elif subject.kind.name == "LaunchTemplate":
        disks = list(subject.get("blockDeviceMappings").each())
        if not disks:
            yield Violation("blockDeviceMappings", "is not set, so the image decides whether the disks are encrypted")
        for disk in disks:
            yield from attempt(_template_disk(disk))
    else:
        yield from _disk(subject.get("rootBlockDevice"))
        for disk in subject.get("ebsBlockDevices").each():
            yield from attempt(_disk(disk))


def _template_disk(disk: Node) -> Iterator[Violation]:
    if not disk.get("noDevice").present and not disk.get("virtualName").present:
        yield from _disk(disk.get("ebs"))


def _disk(disk: Node) -> Iterator[Violation]:
    if not _says(disk.get("encrypted"), "true"):
        yield Violation(disk.get("encrypted").path, "is not true")


def _no_secret_in_user_data(subject: Subject) -> Iterator[Violation]:
    for name in ("userData", "userDataBase64"):
        yield from attempt(_user_data(subject, name))


def _user_data(subject: Subject, name: str) -> Iterator[Violation]:
    place = subject.get(name)
    marked = name in subject.resource.additional_secret_outputs
    what = credential_in_user_data(place.text() or "", may_hold_host_key=marked)
    if what is not None:
        yield Violation(place.path, f"holds {what}")


def _of(*tables: object) -> frozenset[_Service]:
    return frozenset(key for table in tables for key in table)  # type: ignore[attr-defined]


_PUBLIC_KINDS = _of(_NOT_PUBLIC, _INTERNAL, (("ec2", "Eip"), ("lambda", "FunctionUrl"), ("ec2", "LaunchTemplate")))
_DISK_KINDS = _of(_ENCRYPTED, _MACHINES)


def _filters_traffic(kind: Kind) -> bool:
    return kind.provider == "aws" and (_key(kind) in _INGRESS or _key(kind) in _PREFIX_LISTS)


def _filters_what_leaves(kind: Kind) -> bool:
    return kind.provider == "aws" and _key(kind) in _EGRESS


def _is_machine(kind: Kind) -> bool:
    return kind.provider == "aws" and _key(kind) in _MACHINES


def _may_be_public(kind: Kind) -> bool:
    return kind.provider == "aws" and _key(kind) in _PUBLIC_KINDS


def _has_disks(kind: Kind) -> bool:
    return kind.provider == "aws" and _key(kind) in _DISK_KINDS


RULES = (
    Rule(
        id="aws/no-open-ingress",
        level="mandatory",
        severity="critical",
        title="No firewall rule admits the Internet.",
        why="Scanners find an open port within minutes, and nobody is at the site.",
        remedy="In a site file, list the operators' networks in `place.admin_cidrs`; in your own code, name the "
        "networks of your sites and offices, or another security group.",
        url=f"{_VPC}/security-group-rules.html",
        applies=_filters_traffic,
        check=_no_open_ingress,
        about="security groups and their rules, network ACLs, managed prefix lists",
        references=cis_aws("5.1", "5.2", "5.3"),
    ),
    Rule(
        id="aws/no-open-egress",
        level="advisory",
        severity="medium",
        title="No security group lets a machine reach the whole Internet.",
        why="A program that was broken into fetches its tools and sends away what it has found, to wherever it likes.",
        remedy="In a site file, list what the site needs in `place.egress_cidrs`; in your own code, name the networks, "
        "prefix lists or endpoints of a VPC that the machines need.",
        url=f"{_VPC}/security-group-rules.html",
        applies=_filters_what_leaves,
        check=_no_open_egress,
        about="security groups and their rules",
        references=nist("SC-7(5)"),
    ),
    Rule(
        id="aws/imds-v2",
        level="mandatory",
        severity="high",
        title="The metadata service of every machine asks for a session token (IMDSv2).",
        why="With IMDSv1, a program that can be tricked into fetching a URL hands out the credentials of the machine.",
        remedy="Set `metadataOptions.httpTokens: required`.",
        url=f"{_EC2}/configuring-instance-metadata-service.html",
        applies=_is_machine,
        check=_imds_v2,
        about="EC2 Instance, SpotInstanceRequest, LaunchTemplate, LaunchConfiguration",
        references=cis_aws("5.6"),
    ),
    Rule(
        id="aws/no-public-address",
        level="mandatory",
        severity="high",
        title="Nothing has a public address.",
        why="A site is reached through its mesh or its own network; what has no public address cannot be scanned.",
        remedy="Set `associatePublicIpAddress: false`, `internal: true` or `publiclyAccessible: false`; use the mesh.",
        url=f"{_EC2}/using-instance-addressing.html",
        applies=_may_be_public,
        check=_no_public_address,
        about="machines, subnets, addresses, load balancers, databases, EKS clusters",
        references=cis_aws("2.3.3"),
    ),
    Rule(
        id="aws/encrypted-storage",
        level="mandatory",
        severity="high",
        title="Every disk, file system and database is encrypted.",
        why="An Outpost stands in a building of yours, and its disks can be carried out of it.",
        remedy="Set `encrypted: true` on each disk, the root disk included.",
        url="https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html",
        applies=_has_disks,
        check=_encrypted_storage,
        about="EBS volumes, disks of machines and launch templates, EFS, RDS, Redshift, ElastiCache",
        references=cis_aws("2.2.1", "2.3.1", "2.4.1"),
    ),
    Rule(
        id="aws/no-secret-in-user-data",
        level="mandatory",
        severity="critical",
        title="No user data holds a key, token or password.",
        why="Every local user of the machine can read it, and so can everyone with ec2:DescribeInstanceAttribute.",
        remedy="Let the machine ask for the value with its role (Secrets Manager, SSM), or send it over SSH. Only the "
        "machine's own SSH host key may be there, with `additionalSecretOutputs: [userData]`.",
        url=f"{_EC2}/user-data.html",
        applies=_is_machine,
        check=_no_secret_in_user_data,
        about="EC2 Instance, SpotInstanceRequest, LaunchTemplate, LaunchConfiguration",
        unknown="warns",
        references=nist("IA-5(7)"),
    ),
    *buckets.RULES,
    *iam.RULES,
    *aws_account.RULES,
)

STACK_RULES = (*aws_account.STACK_RULES, *buckets.STACK_RULES, *prefix_lists.STACK_RULES)
