"""Flux for a site of the lab: its part of the site file, and what this machine's `helm` needs to bring it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from lab.authority import Authority
from lab.gitops.build import FLUX_VERSION, Programs, operator_version
from lab.gitops.content import CHART, CONTROLLERS, OPERATOR_IMAGE
from lab.gitops.git_https import GitHttps
from lab.gitops.git_server import GitServer
from lab.oci.artifact import Artifact
from lab.oci.registry import Registry

_ANY_REGISTRY = "registry.edge-lab"
"""In the names of images; whatever it is, the site's `k3s.registries` sends nodes to the lab's registry."""


def gitops(
    git: GitServer,
    registry: Registry,
    artifacts: Mapping[str, Mapping[str, Artifact]],
    *,
    interval: str = "5s",
    https: GitHttps | None = None,
) -> dict[str, Any]:
    """The site file's `gitops`: Flux follows `main` of ``git`` and trusts the signer `release`.

    It reads the repository by SSH, or by ``https``.
    """
    by_ssh = {"git": git.url, "known_hosts": git.known_hosts}
    number = operator_version()
    return {
        "kind": "flux",
        "operator": {
            "version": number.removeprefix("v"),
            "chart": f"oci://{registry.host}/{CHART}",
            "image": f"{_ANY_REGISTRY}/{OPERATOR_IMAGE}@{artifacts[OPERATOR_IMAGE][number].digest}",
        },
        "distribution": {
            "version": FLUX_VERSION,
            "registry": f"{_ANY_REGISTRY}/{CONTROLLERS}",
            "components": ["source-controller", "kustomize-controller"],
        },
        "source": {
            **({"git": https.url, "username": https.username} if https else by_ssh),
            "verify": {"keys": {"release": git.public_key()}},
        },
        "interval": interval,
    }


def registries(registry: Registry) -> dict[str, Any]:
    """The site file's `k3s.registries`: every image is pulled from ``registry``."""
    return {"*": {"endpoints": [f"https://{registry.host}"]}}


def helm_environment(
    programs: Programs, authority: Authority, registry: str = "", login: str | None = None
) -> dict[str, str]:
    """Environment in which providers bring charts of the lab's registry: ``helm``, and whom programs in Go trust.

    ``login`` (`user:password`) is for the registry at ``registry`` (host and port).
    """
    logins = {registry: {"auth": b64encode(login.encode()).decode()}} if login else {}
    kept = authority.ca_file.parent / "registries.json"
    kept.write_text(json.dumps({"auths": logins}))
    return {
        "HELM_REGISTRY_CONFIG": str(kept),
        "EDGE_LAB_HELM": str(programs.helm),
        "SSL_CERT_FILE": str(authority.ca_file),
        # Charts are kept by name and version, and a lab's are not the world's.
        "HELM_CACHE_HOME": str(authority.ca_file.parent / "helm"),
    }
