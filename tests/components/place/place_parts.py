"""Specs that the tests of places start from."""

from __future__ import annotations

from typing import Any

from components.place.outposts.spec import OutpostsSpec

OUTPOST = "arn:aws:outposts:us-west-2:123456789012:outpost/op-0123456789abcdef0"
AUTHORIZED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINTWiYiR2vaT5nwMs4X216nyK1ddzroCBic+de+EilT7 operators"

INSTANCE = {
    "kind": "instance",
    "host": "a",
    "instance_type": "g4dn.2xlarge",
    "ami": "ami-0123456789abcdef0",
    "authorized_keys": [AUTHORIZED],
}
EKS_NODES = {
    "instance_type": "m5.2xlarge",
    "ami": "ami-0fedcba9876543210",
    "instance_profile": "edge-eks-node",
    "role_arn": "arn:aws:iam::123456789012:role/edge-eks-node",
}
EKS = {
    "kind": "eks-local",
    "version": "1.32",
    "cluster_role_arn": "arn:aws:iam::123456789012:role/edge-eks-cluster",
    "control_plane_instance_type": "m5.xlarge",
    "nodes": EKS_NODES,
}


def outposts(**fields: Any) -> OutpostsSpec:
    return OutpostsSpec.model_validate(
        {
            "kind": "outposts",
            "outpost_arn": OUTPOST,
            "account_id": "123456789012",
            "vpc_id": "vpc-0123456789abcdef0",
            "subnet_cidr": "10.60.1.0/24",
            "local_gateway": {"on_premises": ["192.168.40.0/22"]},
            "admin_cidrs": ["10.60.0.0/16"],
            "egress_cidrs": ["10.60.0.0/16", "192.168.40.0/22"],
            "compute": INSTANCE,
            **fields,
        }
    )
