"""What a whole site needs outside its hosts: downloads, images, a Git server, a tailnet, a telemetry gateway.

Everything listens on this machine's side of the lab's network, by TLS of one authority or by SSH, until the block ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import urls
from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import TailscaleSpec
from lab.authority import Authority
from lab.gitops import build as flux
from lab.gitops.content import artifacts
from lab.gitops.git_https import GitHttps
from lab.gitops.git_server import GitServer
from lab.gitops.site import gitops, helm_environment, registries
from lab.hosts.lab import Lab
from lab.inference import site as inference
from lab.kubernetes import build as kubernetes
from lab.kubernetes.mirror import Mirror, release_files
from lab.mesh.headscale import Headscale
from lab.mesh.release import FOLDER, release
from lab.oci.registry import Registry
from lab.proxy import Proxy
from lab.telemetry import busybox, collector
from lab.telemetry.gateway import Gateway
from stacks.fleet.plan import MeshSite, acl
from stacks.fleet.spec import TailnetSpec

_TELEMETRY_TOKEN = "lab-telemetry-token-0123456789abcdef"
_GIT_PASSWORD = "lab-git-password-0123456789abcdef"
IPV6 = {"pod_cidr": "fd00:42::/56", "service_cidr": "fd00:43::/112"}
"""Of a site's `k3s`, where pods and services have IPv6 addresses alone."""
_REGISTRY_LOGIN = "edge:lab-registry-password-0123456789abcdef"


@dataclass(frozen=True)
class Outside:
    """What a site file of the lab says about its surroundings, and what tests ask them afterwards."""

    authority: Authority
    git: GitServer
    gateway: Gateway
    headscale: Headscale
    blocks: Mapping[str, Any]
    """Of the site file: k3s, mesh, gitops, telemetry, inference, and network behind a proxy."""
    secrets: Mapping[str, str]
    """Of the site's stack, by key; without the SSH key, which is the lab's operator's."""
    environment: Mapping[str, str]
    """What providers need in theirs."""
    ports: Mapping[str, int]
    """Where everything listens: mirror, registry, git, headscale, gateway."""
    proxy: Proxy | None = None
    """The only way here, if there is one."""


@contextmanager
def outside(lab: Lab, site: str = "lab", *, proxy: Proxy | None = None, ipv6: bool = False) -> Iterator[Outside]:
    """For the site ``site`` on ``lab``, whose hosts are up. The first time some ten minutes of builds.

    Behind ``proxy`` the site file says everything about the way here: the proxy, the authority, which hosts and images
    do not know yet, a second one of the registry, which asks for a login, and Git over https with a password.
    With ``ipv6`` everything listens at an IPv6 address, Git over https, and pods and services have no others.
    Raises EngineError where something cannot be built, LabError where something does not start.
    """
    address = proxy.beyond if proxy else lab.layout.gateway6 if ipv6 else lab.layout.gateway
    k3s, tailscale, programs = kubernetes.build(), release(), flux.build()
    tags = site_tags(site, TailscaleSpec(kind="tailscale", version=tailscale.version, sha256={}))
    policy = acl(TailnetSpec(id="lab", operators=("ada@lab.example",)), [MeshSite(site, tags)])
    with ExitStack() as opened:
        enter = opened.enter_context
        authority = enter(Authority())
        of_registry = enter(Authority()) if proxy else authority
        of_flux, of_telemetry = artifacts(programs), collector.images(None if proxy else authority)
        files: dict[str, Mapping[str, Path | bytes]] = {
            k3s.version: release_files(k3s.binary, k3s.images),
            FOLDER: tailscale.files,
        }
        images = {**of_flux, **of_telemetry, **busybox.images(), **inference.images()}
        login = _REGISTRY_LOGIN if proxy else None
        mirror = enter(Mirror(authority, address, files))
        registry = enter(Registry(of_registry, address, images, login=login))
        git = enter(GitServer(address))
        https = enter(GitHttps(authority, address, git.repository, _GIT_PASSWORD)) if proxy or ipv6 else None
        headscale = enter(Headscale(authority, address, policy))
        gateway = enter(Gateway(authority, address, _TELEMETRY_TOKEN, user="lab"))
        blocks: dict[str, Any] = {
            "k3s": {**mirror.site_block(k3s), "registries": registries(registry), **(IPV6 if ipv6 else {})},
            "mesh": tailscale.mesh(mirror.url, headscale.url),
            "gitops": gitops(git, registry, of_flux, https=https),
            "telemetry": gateway.site_block(collector.reference(of_telemetry)),
            "inference": inference.block(),
        }
        secrets = {
            "k3s-token": "lab-server-token-0123456789abcdef",
            "k3s-agent-token": "lab-agent-token-0123456789abcdef",
            "tailscale-auth-key": headscale.key(tags),
            "telemetry-token": _TELEMETRY_TOKEN,
        }
        if proxy:
            trusted = {"outside": authority.ca_file.read_text()}
            blocks["network"] = {"proxy": proxy.site_block, "trusted_cas": trusted}
            blocks["k3s"]["registries"]["*"] |= {"login": "lab", "ca": of_registry.ca_file.read_text()}
            secrets |= {
                "proxy-login": proxy.login,
                "registry-login-lab": _REGISTRY_LOGIN,
            }
        elif https:
            # Its controllers know no authorities but those of their images.
            blocks["gitops"]["source"]["ca"] = authority.ca_file.read_text()
        secrets |= {"git-password": _GIT_PASSWORD} if https else {"git-ssh-key": git.private_key}
        yield Outside(
            authority,
            git,
            gateway,
            headscale,
            blocks,
            secrets,
            environment=helm_environment(programs, of_registry, registry.host, login),
            ports={
                "mirror": mirror.port,
                "registry": registry.port,
                "git": urls.parse(blocks["gitops"]["source"]["git"]).port,
                "headscale": urls.parse(headscale.url).port,
                "gateway": urls.parse(gateway.url).port,
            },
            proxy=proxy,
        )
