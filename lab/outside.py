"""What a whole site needs outside its hosts: downloads, images, a Git server, a tailnet, a telemetry gateway.

Everything listens on this machine's side of the lab's network, by TLS of one authority or by SSH, until the block ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import TailscaleSpec
from lab.authority import Authority
from lab.gitops import build as flux
from lab.gitops.content import artifacts
from lab.gitops.git_server import GitServer
from lab.gitops.site import gitops, helm_environment, registries
from lab.hosts.lab import Lab
from lab.inference import site as inference
from lab.kubernetes import build as kubernetes
from lab.kubernetes.mirror import Mirror, release_files
from lab.mesh.headscale import Headscale
from lab.mesh.release import FOLDER, release
from lab.oci.registry import Registry
from lab.telemetry import collector
from lab.telemetry.gateway import Gateway
from stacks.fleet.plan import MeshSite, acl
from stacks.fleet.spec import TailnetSpec

_TELEMETRY_TOKEN = "lab-telemetry-token-0123456789abcdef"


@dataclass(frozen=True)
class Outside:
    """What a site file of the lab says about its surroundings, and what tests ask them afterwards."""

    authority: Authority
    git: GitServer
    gateway: Gateway
    headscale: Headscale
    blocks: Mapping[str, Any]
    """Of the site file: k3s, mesh, gitops, telemetry, inference."""
    secrets: Mapping[str, str]
    """Of the site's stack, by key; without the SSH key, which is the lab's operator's."""
    environment: Mapping[str, str]
    """What providers need in theirs."""


@contextmanager
def outside(lab: Lab, site: str = "lab") -> Iterator[Outside]:
    """For the site ``site`` on ``lab``, whose hosts are up. The first time some ten minutes of builds.

    Raises EngineError where something cannot be built, LabError where something does not start.
    """
    address = str(lab.layout.gateway)
    k3s, tailscale, programs = kubernetes.build(), release(), flux.build()
    tags = site_tags(site, TailscaleSpec(kind="tailscale", version=tailscale.version, sha256={}))
    policy = acl(TailnetSpec(id="lab", operators=("ada@lab.example",)), [MeshSite(site, tags)])
    with Authority() as authority:
        of_flux, of_telemetry = artifacts(programs), collector.images(authority)
        files: dict[str, Mapping[str, Path | bytes]] = {
            k3s.version: release_files(k3s.binary, k3s.images),
            FOLDER: tailscale.files,
        }
        with (
            Mirror(authority, address, files) as mirror,
            Registry(authority, address, {**of_flux, **of_telemetry, **inference.images()}) as registry,
            GitServer(address) as git,
            Headscale(authority, address, policy) as headscale,
            Gateway(authority, address, _TELEMETRY_TOKEN, user="lab") as gateway,
        ):
            yield Outside(
                authority,
                git,
                gateway,
                headscale,
                blocks={
                    "k3s": {**mirror.site_block(k3s), "registries": registries(registry)},
                    "mesh": tailscale.mesh(mirror.url, headscale.url),
                    "gitops": gitops(git, registry, of_flux),
                    "telemetry": gateway.site_block(collector.reference(of_telemetry)),
                    "inference": inference.block(),
                },
                secrets={
                    "k3s-token": "lab-server-token-0123456789abcdef",
                    "k3s-agent-token": "lab-agent-token-0123456789abcdef",
                    "tailscale-auth-key": headscale.key(tags),
                    "git-ssh-key": git.private_key,
                    "telemetry-token": _TELEMETRY_TOKEN,
                },
                environment=helm_environment(programs, authority),
            )
