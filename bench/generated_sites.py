"""Site files for benchmarks: as many as asked for, all different, all valid, the same ones every time.

Varied as real fleets are: tiers, one to five hosts, hardware, datastores, and every optional part present or not.
From 8 resources (one machine in the mesh) to 60. Nothing in them is a real address, key or account.
"""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import Any

import yaml

MOST_RESOURCES = 60
_REGIONS = ("eu-central", "eu-west", "us-east", "ap-east", "sa-east")
_CUSTOMERS = ("acme", "northwind", "kansai", "telco", "media")
_HARDWARE = {
    "device": ("jetson-agx-orin", "qcs8550"),
    "near": ("poweredge-xr4000", "hpe-el8000"),
    "far": ("poweredge-xr4000", "hpe-el8000"),
    "cloud": ("hpe-el8000",),
}
_LATENCY_MS = {"device": (0.2, 0.9), "near": (1.2, 4.8), "far": (6.0, 19.0), "cloud": (21.0, 49.0)}
_SCENARIOS = ("vision-50-cameras", "sensors-10000", "cdn-5-pops", "on-premises-llm")
_IDENTITY = {
    "issuer": r"^https://token\.actions\.githubusercontent\.com$",
    "subject": r"^https://github\.com/acme/edge-configs/\.github/workflows/release\.yaml@refs/tags/v.*$",
}


def write_sites(folder: Path, count: int, root: Path, seed: int = 20) -> list[Path]:
    """Write ``count`` site files, and return them. Of two fleets, the smaller one is the beginning of the larger."""
    keys = _release_keys(root)
    files = []
    for index in range(count):
        # A generator for each site: no site depends on how many others there are.
        site = _site(index, random.Random(f"{seed}-{index}"), keys)
        file = folder / f"{site['site']}.yaml"
        file.write_text(yaml.safe_dump(site, sort_keys=False, allow_unicode=True))
        files.append(file)
    return files


def _release_keys(root: Path) -> dict[str, str]:
    """A public key that is well-formed: the one of the sites in the project."""
    prod = yaml.safe_load((root / "stacks" / "sites" / "prod.yaml").read_text())
    keys: dict[str, str] = prod["gitops"]["source"]["verify"]["keys"]
    return keys


def _site(index: int, dice: random.Random, keys: dict[str, str]) -> dict[str, Any]:
    tier = dice.choice(("device", "near", "near", "far", "cloud"))
    name = f"{dice.choice(('shop', 'plant', 'tower', 'depot', 'clinic'))}-{index:04d}"
    hosts = dice.choice((1, 1, 1, 2, 2, 3, 3, 4, 5))
    while True:
        parts = {
            part: dice.random() < share
            for part, share in {
                "k3s": 0.92,
                "mesh": 0.6,
                "gitops": 0.6,
                "telemetry": 0.6,
                "inference": 0.35,
                "arc": 0.3,
            }.items()
        }
        if not parts["k3s"]:
            # Machines that are only in the mesh: two at least, or the site would have fewer than 8 resources.
            parts["mesh"], hosts = True, max(2, hosts)
        if estimate(hosts, parts) <= MOST_RESOURCES:
            break
        hosts = max(1, hosts - (dice.random() < 0.5))
    return _written(name, tier, hosts, parts, dice, keys)


def estimate(hosts: int, parts: dict[str, bool]) -> int:
    """About how many resources a site of this shape makes; never fewer than it does."""
    total = 2 + 4 * hosts
    total += 1 + hosts if parts["mesh"] else 0
    if not parts["k3s"]:
        return total
    total += 4 + 3 * hosts
    total += 10 if parts["gitops"] else 0
    total += 11 + hosts if parts["telemetry"] else 0
    total += 12 if parts["inference"] else 0
    return total + (6 if parts["arc"] else 0)


def _written(
    name: str, tier: str, hosts: int, parts: dict[str, bool], dice: random.Random, keys: dict[str, str]
) -> dict[str, Any]:
    low, high = _LATENCY_MS[tier]
    hardware = dice.choice(_HARDWARE[tier])
    # Clear of 10.42 and 10.43, where K3s has its pods and services.
    network = f"10.{dice.randrange(50, 250)}.{dice.randrange(250)}"
    site: dict[str, Any] = {
        "site": name,
        "tier": tier,
        "region": dice.choice(_REGIONS),
        "latency_ms": round(dice.uniform(low, high), 1),
        "labels": {"customer": dice.choice(_CUSTOMERS), "ring": dice.choice(("canary", "early", "production"))},
        "hosts": [_host(name, index, hosts, hardware, network, dice) for index in range(hosts)],
        "os": _os(hardware, dice),
    }
    if parts["k3s"]:
        site["k3s"] = {"api_address": f"{network}.250"} if hosts > 1 else {}
        _cluster_parts(site, name, parts, hardware, dice, keys)
    if parts["mesh"]:
        site["mesh"] = {"kind": "tailscale", "tags": [dice.choice(("shop", "plant", "tower"))]}
    site["uplink"] = {"kind": dice.choice(("fibre", "dsl", "lte")), "down_mbps": dice.randrange(20, 900), "up_mbps": 10}
    site["economics"] = {"scenario": dice.choice(_SCENARIOS), "capex_usd": dice.randrange(2, 180) * 1000}
    return site


def _cluster_parts(
    site: dict[str, Any], name: str, parts: dict[str, bool], hardware: str, dice: random.Random, keys: dict[str, str]
) -> None:
    if parts["gitops"]:
        git = {"git": "https://git.example.com/edge/configs.git", "verify": {"keys": keys}}
        oci = {
            "oci": "oci://registry.example.com/edge/configs",
            "tag": "production",
            "verify": {"identities": [_IDENTITY]},
        }
        site["gitops"] = {"kind": "flux", "source": dice.choice((git, oci)), "path": f"./edge/overlays/{site['tier']}"}
    if parts["telemetry"]:
        site["telemetry"] = {"offline_hours": dice.choice((24, 48, 72))}
    if parts["inference"] and hardware != "qcs8550":
        # On the CPU everywhere but on a Jetson: then no host needs an accelerator of its own.
        device = {} if hardware.startswith("jetson") else {"device": "cpu"}
        site["inference"] = {"triton": {"models": ["yolov9-spatial"], **device}}
    if parts["arc"]:
        arc = {
            "kind": "arc",
            "subscription_id": "00000000-0000-4000-8000-000000000001",
            "tenant_id": "00000000-0000-4000-8000-000000000002",
            "resource_group": f"edge-{site['region']}",
            "location": "westeurope",
        }
        site["registrations"] = [arc]


def _host(site: str, index: int, hosts: int, hardware: str, network: str, dice: random.Random) -> dict[str, Any]:
    # Three servers where there are enough machines, else one; the rest are agents.
    servers = 3 if hosts >= 3 and hardware != "qcs8550" else 1
    host: dict[str, Any] = {
        "name": "abcde"[index],
        "hardware": hardware,
        "address": f"{network}.{11 + index}",
        "host_key": _host_key(f"{site}-{index}"),
    }
    if index >= servers:
        host["role"] = "agent"
    if dice.random() < 0.3:
        host["labels"] = {"rack": f"r{dice.randrange(9)}"}
    return host


def _host_key(of: str) -> str:
    """A well-formed Ed25519 public key that nobody has the private half of."""
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + hashlib.sha256(of.encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def _os(hardware: str, dice: random.Random) -> dict[str, Any]:
    if hardware == "jetson-agx-orin":
        return {"distribution": "jetson-linux"}
    if hardware == "qcs8550":
        return {"distribution": "debian"}
    return {"distribution": dice.choice(("flatcar", "fedora-coreos", "debian"))}
