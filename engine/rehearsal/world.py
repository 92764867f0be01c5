"""What a site declares about the clouds around it, and the answers to data sources that follow from it.

A rehearsal has no account to ask. It answers the data sources that sites use, from what the site declares; ids that
only the cloud would know of a declared thing are made up as resource ids are. Any other data source is refused by name:
an answer that nobody declared would be a plan for another site.
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

    ``outposts`` maps an ARN to what is known of it, in the names of the data source's result.
    """

    kubernetes_minor: int | None = None
    outposts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Mapping[str, Any]) -> World:
        """The world of a site: its validated spec as plain data (``spec.model_dump(mode="json")``)."""
        place = site.get("place") or {}
        k3s = site.get("k3s") or {}
        minor = str(k3s.get("version", "")).removeprefix("v").split(".")[1:2]
        declared = [str(place["outpost_arn"])] if place.get("kind") == "outposts" else []
        return cls(int(minor[0]) if minor and minor[0].isdigit() else None, {arn: {} for arn in declared})


def invoke(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The result of a data source. Raises `Unanswerable`."""
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


def _outpost_arn(token: str, wanted: str | None, world: World) -> str:
    if not world.outposts:
        raise Unanswerable(f"rehearsal cannot answer {token}: the site declares no Outpost")
    if wanted is None:
        if len(world.outposts) == 1:
            return next(iter(world.outposts))
        raise Unanswerable(f"rehearsal cannot answer {token}: several Outposts are declared, and the call names none")
    for arn in world.outposts:
        if wanted in (arn, arn.rpartition("/")[2]):
            return arn
    raise Unanswerable(
        f"rehearsal cannot answer {token}: the site does not declare the Outpost {wanted}"
        f"{suggestion(wanted, world.outposts)}"
    )


def _outpost(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _outpost_arn(token, args.get("arn") or args.get("id"), world)
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


def _route_table(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    arn = _outpost_arn(token, args.get("outpostArn"), world)
    identity = made_up_id("lgw-rtb", arn)
    return {
        "id": identity,
        "localGatewayRouteTableId": identity,
        "localGatewayId": made_up_id("lgw", arn),
        "outpostArn": arn,
        "state": "available",
        "tags": {},
    }


def eks_outputs(name: str, region: str, account: str) -> dict[str, Any]:
    """What only AWS knows of an EKS cluster, made up from its name."""
    mark = digest("eks", account, region, name)
    return {
        "arn": f"arn:aws:eks:{region}:{account}:cluster/{name}",
        "endpoint": f"https://{mark[:32].upper()}.gr7.{region}.eks.rehearsal.invalid",
        "status": "ACTIVE",
        "platformVersion": "eks.1",
        "clusterId": f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{mark[20:32]}",
    }


def _policy_file(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    """What a tailnet has where nobody else has written: sites do not declare what others did."""
    return {"hujson": "{}", "json": "{}"}


def _connected_cluster(token: str, args: Mapping[str, Any], world: World) -> dict[str, Any]:
    """A registration whose agents came up, as everything does in a rehearsal."""
    return {"name": args.get("clusterName"), "connectivityStatus": "Connected"}


_FUNCTIONS = {
    "tailscale:index/getAcl:getAcl": _policy_file,
    "azure-native:kubernetes/v20240101:getConnectedCluster": _connected_cluster,
    "aws:outposts/getOutpost:getOutpost": _outpost,
    "aws:ec2/getLocalGatewayRouteTable:getLocalGatewayRouteTable": _route_table,
}
