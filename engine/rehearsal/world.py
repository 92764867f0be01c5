"""What a site declares about the clouds around it, and the answers to data sources that follow from it.

A rehearsal has no account to ask. What the site declares (its Outpost, its account, its tenant) is answered with; ids
that only the cloud would know of a declared thing are made up as resource ids are. Anything else is refused by name: an
answer that nobody declared would be a plan for another site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.rehearsal.shapes import suggestion
from engine.rehearsal.values import digest


class Unanswerable(Exception):
    """A data source that the site's declarations do not answer; says which, and what to declare."""

    def __init__(self, message: str, property_name: str = "") -> None:
        super().__init__(message)
        self.property = property_name


@dataclass(frozen=True)
class World:
    """The declared surroundings of a site. Build one with `World.of`; the empty world answers nothing.

    ``outposts`` and ``amis`` map an ARN or id to what is known of it, in the names of the data source's result.
    ``answers`` maps a function token to ready answers; the first whose ``args`` are all among the call's is taken.
    """

    region: str = ""
    account_id: str = ""
    subscription_id: str = ""
    tenant_id: str = ""
    kubernetes_minor: int | None = None
    outposts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    amis: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    availability_zones: tuple[str, ...] = ()
    answers: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> World:
        """The world of a site: its validated spec as plain data (``spec.model_dump(mode="json")``)."""
        registration = facts.get("registration") or {}
        k3s = facts.get("k3s") or {}
        minor = str(k3s.get("version", "")).removeprefix("v").split(".")[1:2]
        known: dict[str, Any] = {"kubernetes_minor": int(minor[0]) if minor and minor[0].isdigit() else None}
        if registration.get("kind") == "outposts":
            arn = str(registration["outpost_arn"])
            compute = registration.get("compute") or {}
            images = {compute.get("ami"), (compute.get("nodes") or {}).get("ami")} - {None}
            known |= {
                "region": arn.split(":")[3],
                "account_id": str(registration.get("account_id") or arn.split(":")[4]),
                "outposts": {arn: {}},
                "amis": {str(image): {} for image in images},
            }
        elif registration.get("kind") == "arc":
            known |= {
                "subscription_id": str(registration.get("subscription_id", "")),
                "tenant_id": str(registration.get("tenant_id", "")),
            }
        return cls(**known)


def invoke(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The result of a data source. Raises `Unanswerable`."""
    for answer in world.answers.get(token, ()):
        given = answer.get("args", {})
        if all(args.get(key) == value for key, value in given.items()):
            return dict(answer["result"])
    function = _FUNCTIONS.get(token)
    if function is None:
        raise Unanswerable(
            f"rehearsal cannot answer {token}: nothing that a site declares says what it returns"
            f"{suggestion(token, _FUNCTIONS)}"
        )
    return function(token, args, world)


def made_up_id(prefix: str, *parts: str) -> str:
    """An AWS id: the prefix and 17 hexadecimal digits that depend on ``parts`` only."""
    return f"{prefix}-{digest(prefix, *parts)[:17]}"


def _needs(token: str, value: Any, what: str) -> Any:
    if not value:
        raise Unanswerable(f"rehearsal cannot answer {token}: the site declares no {what}")
    return value


def _region(token: str, args: Mapping[str, Any], world: World) -> str:
    return str(args.get("region") or _needs(token, world.region, "AWS region"))


def _outpost_arn(token: str, args: Mapping[str, Any], world: World) -> str:
    _needs(token, world.outposts, "Outpost")
    wanted = args.get("arn") or args.get("outpostArn") or args.get("id") or args.get("name")
    if wanted is None:
        if len(world.outposts) == 1:
            return next(iter(world.outposts))
        raise Unanswerable(f"rehearsal cannot answer {token}: several Outposts are declared, and the call names none")
    for arn, known in world.outposts.items():
        if wanted in (arn, arn.rpartition("/")[2], known.get("name")):
            return arn
    raise Unanswerable(
        f"rehearsal cannot answer {token}: the site does not declare the Outpost {wanted}"
        f"{suggestion(str(wanted), world.outposts)}"
    )


def _outpost(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _outpost_arn(token, args, world)
    parts = arn.split(":")
    return {
        "arn": arn,
        "id": arn.rpartition("/")[2],
        "ownerId": parts[4],
        "region": parts[3],
        "availabilityZone": f"{parts[3]}a",
        "siteId": made_up_id("os", arn),
        "name": f"rehearsal-{arn.rpartition('/')[2]}",
        "lifecycleStatus": "ACTIVE",
        "supportedHardwareType": "RACK",
        "tags": {},
        **world.outposts[arn],
    }


def _outposts(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arns = sorted(_needs(token, world.outposts, "Outpost"))
    return {"arns": arns, "ids": [arn.rpartition("/")[2] for arn in arns], "id": "outposts"}


def _site(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    sites = {_outpost(token, {"arn": arn}, world)["siteId"]: arn for arn in _needs(token, world.outposts, "Outpost")}
    wanted = args.get("id") or (next(iter(sites)) if len(sites) == 1 else None)
    if wanted not in sites:
        raise Unanswerable(f"rehearsal cannot answer {token}: no declared Outpost is at site {wanted}")
    return {"id": wanted, "accountId": sites[wanted].split(":")[4], "name": f"rehearsal-{wanted}", "description": ""}


def _instance_types(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _outpost_arn(token, args, world)
    types = _needs(token, world.outposts[arn].get("instanceTypes"), "instance types of that Outpost")
    return {"arn": arn, "instanceTypes": list(types), "id": arn}


def _instance_type(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    held = _instance_types(token, args, world)
    wanted = [args["instanceType"]] if args.get("instanceType") else list(args.get("preferredInstanceTypes") or [])
    found = next((kind for kind in wanted if kind in held["instanceTypes"]), None)
    if found is None:
        raise Unanswerable(f"{token}: the declared Outpost has none of {', '.join(wanted) or 'the types asked for'}")
    return {"arn": held["arn"], "id": held["arn"], "instanceType": found}


def _gateway(arn: str, world: World) -> dict[str, str]:
    known = world.outposts[arn]
    return {
        "gateway": str(known.get("localGatewayId") or made_up_id("lgw", arn)),
        "table": str(known.get("localGatewayRouteTableId") or made_up_id("lgw-rtb", arn)),
        "group": str(known.get("localGatewayVirtualInterfaceGroupId") or made_up_id("lgw-vif-grp", arn)),
    }


def _by_gateway(token: str, args: Mapping[str, Any], world: World, key: str) -> str:
    """The declared Outpost that a call means, by its ARN or by one of its gateway's ids."""
    wanted = args.get("id") or args.get("localGatewayId") or args.get("localGatewayRouteTableId")
    if wanted is None or args.get("outpostArn"):
        return _outpost_arn(token, {key: value for key, value in args.items() if key == "outpostArn"}, world)
    for arn in _needs(token, world.outposts, "Outpost"):
        if wanted in _gateway(arn, world).values():
            return str(arn)
    raise Unanswerable(f"rehearsal cannot answer {token}: {wanted} belongs to no declared Outpost")


def _local_gateway(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _by_gateway(token, args, world, "gateway")
    return {
        "id": _gateway(arn, world)["gateway"],
        "outpostArn": arn,
        "ownerId": arn.split(":")[4],
        "state": "available",
        "tags": {},
    }


def _route_table(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _by_gateway(token, args, world, "table")
    ids = _gateway(arn, world)
    return {
        "id": ids["table"],
        "localGatewayRouteTableId": ids["table"],
        "localGatewayId": ids["gateway"],
        "outpostArn": arn,
        "state": "available",
        "tags": {},
    }


def _interface_group(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _by_gateway(token, args, world, "group")
    ids = _gateway(arn, world)
    interfaces = [made_up_id("lgw-vif", arn, str(number)) for number in (1, 2)]
    return {
        "id": ids["group"],
        "localGatewayId": ids["gateway"],
        "localGatewayVirtualInterfaceIds": interfaces,
        "tags": {},
    }


def _gateway_list(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    kind = "table" if "RouteTables" in token else "gateway"
    found = [_gateway(arn, world)[kind] for arn in sorted(_needs(token, world.outposts, "Outpost"))]
    return {"ids": found, "id": _region(token, args, world), "tags": {}}


def _image(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    _needs(token, world.amis, "machine image (AMI)")
    name = args.get("nameRegex") or next(
        (item["values"][0] for item in args.get("filters") or () if item.get("name") in ("image-id", "name")), None
    )
    found = [image for image, known in world.amis.items() if name in (None, image, known.get("name"))]
    if len(found) != 1:
        raise Unanswerable(f"rehearsal cannot answer {token}: {len(found)} declared machine images match the call")
    return {"id": found[0], "imageId": found[0], "state": "available", "tags": {}, **world.amis[found[0]]}


def _zones(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    zones = list(_needs(token, world.availability_zones, "availability zones"))
    return {"names": zones, "zoneIds": zones, "groupNames": [], "id": _region(token, args, world)}


def _cluster(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    name = str(args.get("name", ""))
    region = _region(token, args, world)
    return {"name": name, "id": name, **eks_outputs(name, region, _needs(token, world.account_id, "AWS account"))}


def eks_outputs(name: str, region: str, account: str) -> dict[str, Any]:
    """What only AWS knows of an EKS cluster, made up from its name; shared with the resource of that name."""
    mark = digest("eks", account, region, name)
    return {
        "arn": f"arn:aws:eks:{region}:{account}:cluster/{name}",
        "endpoint": f"https://{mark[:32].upper()}.gr7.{region}.eks.rehearsal.invalid",
        "status": "ACTIVE",
        "platformVersion": "eks.1",
        "clusterId": f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{mark[20:32]}",
    }


def _identity(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    account = _needs(token, world.account_id, "AWS account")
    return {"accountId": account, "arn": f"arn:aws:iam::{account}:user/rehearsal", "userId": "REHEARSAL", "id": account}


def _this_region(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    name = _region(token, args, world)
    return {"name": name, "region": name, "id": name, "endpoint": f"ec2.{name}.amazonaws.com", "description": name}


def _partition(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    region = _region(token, args, world)
    name = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    suffix = "amazonaws.com.cn" if name == "aws-cn" else "amazonaws.com"
    return {"partition": name, "id": name, "dnsSuffix": suffix, "reverseDnsPrefix": ".".join(suffix.split(".")[::-1])}


def _azure_client(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    nobody = "00000000-0000-0000-0000-000000000000"
    return {
        "subscriptionId": _needs(token, world.subscription_id, "Azure subscription"),
        "tenantId": _needs(token, world.tenant_id, "Azure tenant"),
        # Who runs a rehearsal is nobody in Azure.
        "clientId": nobody,
        "objectId": nobody,
    }


_FUNCTIONS = {
    "aws:outposts/getOutpost:getOutpost": _outpost,
    "aws:outposts/getOutposts:getOutposts": _outposts,
    "aws:outposts/getSite:getSite": _site,
    "aws:outposts/getOutpostInstanceType:getOutpostInstanceType": _instance_type,
    "aws:outposts/getOutpostInstanceTypes:getOutpostInstanceTypes": _instance_types,
    "aws:ec2/getLocalGateway:getLocalGateway": _local_gateway,
    "aws:ec2/getLocalGateways:getLocalGateways": _gateway_list,
    "aws:ec2/getLocalGatewayRouteTable:getLocalGatewayRouteTable": _route_table,
    "aws:ec2/getLocalGatewayRouteTables:getLocalGatewayRouteTables": _gateway_list,
    "aws:ec2/getLocalGatewayVirtualInterfaceGroup:getLocalGatewayVirtualInterfaceGroup": _interface_group,
    "aws:ec2/getAmi:getAmi": _image,
    "aws:eks/getCluster:getCluster": _cluster,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _identity,
    "aws:index/getRegion:getRegion": _this_region,
    "aws:index/getPartition:getPartition": _partition,
    "azure-native:authorization:getClientConfig": _azure_client,
}
