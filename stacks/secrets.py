"""Which secrets a site needs, under which key of the stack's configuration, and why. Names only, never a value."""

from __future__ import annotations

from dataclasses import dataclass

from components.gitops.flux.plan import required_secrets as gitops_secrets
from components.gitops.flux.spec import FluxSpec
from components.inference.triton.plan import required_secrets as inference_secrets
from components.k3s.spec import required_secrets as k3s_secrets
from components.mesh.tailscale.spec import TailscaleSpec
from components.mesh.tailscale.spec import required_secrets as mesh_secrets
from components.registration.spec import required_secrets as registration_secrets
from components.telemetry.plan import required_secrets as telemetry_secrets
from stacks.site import SiteSpec

NAMESPACE = "edge"
"""Namespace of the keys in the stack's configuration: ``pulumi config set --secret edge:<key> -s SITE``."""

PLACEHOLDER = "rehearsal-placeholder-"
"""What stands in for a secret in a rehearsal, before its key."""

REASONS = {
    "ssh-private-key": "SSH key that the hosts accept",
    "outposts-host-key": "SSH host key that the Outpost's instance starts with",
    "k3s-token": "servers join the cluster with it",
    "k3s-agent-token": "agents join the cluster with it",
    "k3s-datastore-endpoint": "connection string of the cluster's datastore",
    "tailscale-auth-key": "hosts join the tailnet with it",
    "git-ssh-key": "deploy key of the Git repository",
    "git-password": "password or token of the Git repository",
    "sops-age-key": "decrypts the repository's SOPS files",
    "telemetry-token": "token of the telemetry gateway",
    "model-store-access-key": "key id of the model store",
    "model-store-secret-key": "key of the model store",
}


@dataclass(frozen=True)
class SecretNeed:
    """One secret that a stack must hold."""

    key: str
    why: str


def required(spec: SiteSpec) -> tuple[SecretNeed, ...]:
    """The secrets of a site, in the order in which its parts come up."""
    keys: list[str] = ["ssh-private-key"] if spec.hosts else []
    keys += registration_secrets(spec.registration)
    keys += mesh_secrets(spec.mesh) if isinstance(spec.mesh, TailscaleSpec) else ()
    keys += k3s_secrets(spec.k3s) if spec.k3s else ()
    keys += gitops_secrets(spec.gitops) if isinstance(spec.gitops, FluxSpec) else ()
    keys += telemetry_secrets(spec.telemetry) if spec.telemetry else ()
    keys += inference_secrets(spec.inference) if spec.inference else ()
    return tuple(SecretNeed(key, REASONS[key]) for key in keys)
