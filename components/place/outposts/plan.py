"""A site on an AWS Outpost: routes, security group, first-boot data; all that is known before AWS answers. Pure."""

from __future__ import annotations

import base64
import ipaddress
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components import ports
from components.place.outposts.spec import AwsRoute, EksNodes, InstanceCompute, OutpostsSpec
from components.shell import render

METADATA_OPTIONS: Mapping[str, Any] = {
    "http_endpoint": "enabled",
    # IMDSv2 only, and no hop beyond the host: a pod must not pick up the host's credentials.
    "http_tokens": "required",
    "http_put_response_hop_limit": 1,
    "instance_metadata_tags": "disabled",
}


_TARGETS = {"nat": "nat_gateway_id", "tgw": "transit_gateway_id", "vpce": "vpc_endpoint_id"}


@dataclass(frozen=True)
class Opening:
    """A rule of a security group."""

    protocol: str
    from_port: int
    to_port: int
    cidrs: tuple[str, ...] = ()
    within: bool = False
    """Between members of the group instead of ``cidrs``."""
    prefix_lists: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class OutpostsPlan:
    """One site."""

    region: str
    tags: Mapping[str, str]
    routes: Mapping[str, str]
    """Name suffix of each route to the local gateway -> its destination. Empty where the table is somebody else's."""
    more_routes: Mapping[str, Mapping[str, str]]
    """Name suffix of each other route -> its destination and its target, as the provider calls them."""
    ingress: tuple[Opening, ...]
    egress: tuple[Opening, ...]


def plan(site: str, spec: OutpostsSpec) -> OutpostsPlan:
    """Routes and rules of ``site``."""
    tags = {**spec.tags, "edge-site": site}
    api_port = ports.KUBERNETES_API if isinstance(spec.compute, InstanceCompute) else ports.HTTPS
    return OutpostsPlan(
        region=spec.region,
        tags=tags,
        routes={f"route-{_slug(cidr)}": cidr for cidr in spec.local_gateway.on_premises} if spec.owns_routes else {},
        more_routes={f"route-{_slug(route.to)}": _route(route) for route in spec.routes},
        ingress=(
            Opening("tcp", ports.SSH, ports.SSH, spec.admin_cidrs, description="SSH from the operators"),
            Opening("tcp", api_port, api_port, spec.admin_cidrs, description="Kubernetes API from the operators"),
            Opening("-1", 0, 0, within=True, description="between the machines of the site"),
        ),
        egress=(
            Opening(
                "-1", 0, 0, spec.egress_cidrs, prefix_lists=spec.egress_prefix_lists, description="what the site needs"
            ),
            Opening("-1", 0, 0, within=True, description="between the machines of the site"),
        ),
    )


def _route(route: AwsRoute) -> Mapping[str, str]:
    is_list = route.to.startswith("pl-")
    destination = (
        "destination_prefix_list_id"
        if is_list
        else "destination_ipv6_cidr_block"
        if ":" in route.to
        else "destination_cidr_block"
    )
    return {destination: route.to, _TARGETS[route.via.partition("-")[0]]: route.via}


def address_problem(spec: OutpostsSpec, address: str) -> str | None:
    """Why ``address`` cannot be the instance's own, or None if it can."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"expected an IP address in {spec.subnet_cidr}: the instance gets it as its own"
    network = ipaddress.ip_network(spec.subnet_cidr)
    if ip not in network:
        return f"expected an address in {spec.subnet_cidr}, the site's subnet on the Outpost"
    # The first four and the last address of a subnet belong to AWS.
    if int(ip) - int(network.network_address) < 4 or int(ip) == int(network.broadcast_address):
        return f"expected an address that AWS does not keep for itself in {spec.subnet_cidr}"
    return None


FIRST_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
"""Where an instance has the key that it starts with."""


def host_key_script(node: str, host_key: str) -> str:
    """Script that gives an instance the pinned key; reads its private half from standard input."""
    file = f"/etc/ssh/ssh_host_{_algorithm(host_key)}_key"
    first = FIRST_HOST_KEY if file != FIRST_HOST_KEY else ""
    return render("place/outposts/host_key.sh.j2", node=node, host_key=host_key, file=file, first=first)


def _algorithm(host_key: str) -> str:
    return host_key.split()[0].removeprefix("ssh-").split("-")[0]


def user_data(
    *,
    first_boot: Literal["ignition", "cloud-init"],
    node: str,
    user: str,
    host_key: str,
    private_key: str,
    authorized_keys: tuple[str, ...],
) -> str:
    """First-boot configuration: host name, operators' keys, and the SSH host key that the instance starts with.

    ``private_key`` is the secret half of ``host_key``, so the result is a secret.
    """
    algorithm = _algorithm(host_key)
    private_key = private_key.strip() + "\n"
    if first_boot == "ignition":
        return _ignition(node, user, algorithm, host_key, private_key, authorized_keys)
    return _cloud_init(node, user, algorithm, host_key, private_key, authorized_keys)


def _ignition(
    node: str, user: str, algorithm: str, host_key: str, private_key: str, authorized_keys: tuple[str, ...]
) -> str:
    files = (
        ("/etc/hostname", 0o644, f"{node}\n"),
        (f"/etc/ssh/ssh_host_{algorithm}_key", 0o600, private_key),
        (f"/etc/ssh/ssh_host_{algorithm}_key.pub", 0o644, f"{host_key}\n"),
    )
    return json.dumps(
        {
            "ignition": {"version": "3.4.0"},
            "passwd": {"users": [{"name": user, "sshAuthorizedKeys": list(authorized_keys)}]},
            "storage": {
                "files": [
                    {"path": path, "mode": mode, "overwrite": True, "contents": {"source": _data_url(text)}}
                    for path, mode, text in files
                ]
            },
        },
        indent=1,
    )


def _cloud_init(
    node: str, user: str, algorithm: str, host_key: str, private_key: str, authorized_keys: tuple[str, ...]
) -> str:
    document = {
        "hostname": node,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {f"{algorithm}_private": private_key, f"{algorithm}_public": host_key},
        "users": [
            {
                "name": user,
                "lock_passwd": True,
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": list(authorized_keys),
            }
        ],
    }
    # JSON is YAML, without its quoting rules.
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"


def node_config(
    *, cluster: str, cluster_id: str, endpoint: str, certificate_authority: str, service_cidr: str | None
) -> str:
    """User data with which an image of Amazon Linux 2023 joins the local cluster by nodeadm, without asking the region.

    ``service_cidr`` is the cluster's network of Services: nodeadm takes the address of its DNS from it.
    https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/
    """
    config = {
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {
            "cluster": {
                "name": cluster,
                "apiServerEndpoint": endpoint,
                "certificateAuthority": certificate_authority,
                "cidr": service_cidr,
                "enableOutpost": True,
                "id": cluster_id,
            }
        },
    }
    # JSON is YAML, without its quoting rules.
    parts = ("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="//"', "", "--//")
    text = "\n".join((*parts, "Content-Type: application/node.eks.aws", "", json.dumps(config, indent=1), "--//--", ""))
    return base64.b64encode(text.encode()).decode()


def nodes_ready(site: str, spec: OutpostsSpec, nodes: EksNodes) -> str:
    """Script that waits for the nodes, where the program runs. Reads ENDPOINT, CLUSTER_ID and CA (base64)."""
    return render(
        "place/outposts/nodes_ready.sh.j2", site=site, region=spec.region, count=nodes.count, minutes=nodes.join_minutes
    )


def node_user_data(
    *, cluster: str, cluster_id: str, endpoint: str, certificate_authority: str, service_cidr: str | None = None
) -> str:
    """The same for an image of Amazon Linux 2, which works it out from the instance's own address."""
    join = ["/etc/eks/bootstrap.sh", cluster, "--b64-cluster-ca", certificate_authority]
    join += ["--apiserver-endpoint", endpoint, "--enable-local-outpost", "true", "--cluster-id", cluster_id]
    script = f"#!/bin/bash\nset -euo pipefail\n{shlex.join(join)}\n"
    return base64.b64encode(script.encode()).decode()


def aws_auth(node_role_arn: str) -> str:
    """``mapRoles`` of the ConfigMap ``aws-auth``: who the cluster takes for a node."""
    return json.dumps(
        [
            {
                "rolearn": node_role_arn,
                "username": "system:node:{{EC2PrivateDNSName}}",
                "groups": ["system:bootstrappers", "system:nodes"],
            }
        ],
        indent=1,
    )


def kubeconfig(*, cluster: str, cluster_id: str, endpoint: str, certificate_authority: str, region: str) -> str:
    """A kubeconfig that asks the AWS CLI for a token when it is used; it holds no credential itself."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {"server": endpoint, "certificate-authority-data": certificate_authority},
                }
            ],
            "users": [
                {
                    "name": cluster,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            # A local cluster is known by its id, not by its name.
                            "args": ["eks", "get-token", "--region", region, "--cluster-id", cluster_id],
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        },
        indent=1,
    )


def _data_url(text: str) -> str:
    return "data:;base64," + base64.b64encode(text.encode()).decode()


def _slug(cidr: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in cidr)
