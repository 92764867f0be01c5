"""How Flux logs in to a source: which secrets that takes, and the Secrets of the cluster that hold them. Pure.

Holds no secret: values come in when the component has them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components import addresses, urls
from components.gitops.flux.receivers import WEBHOOKS, WITH_TOKEN, AlertSpec
from components.gitops.flux.sources import GitSource
from components.gitops.flux.spec import FluxSpec
from components.manifests import Manifest

NAMESPACE = "flux-system"
LOGIN = "edge-configs-credentials"
CA = "edge-configs-ca"
PROXY = "edge-configs-proxy"
AGE_KEY = "sops-age"
COMMIT_STATUS = "edge-commit-status"


@dataclass(frozen=True)
class Credentials:
    """A Secret of the cluster, without the secret values in it."""

    role: str
    """What the resource is called after the site's name."""
    name: str
    public: Mapping[str, str] = field(default_factory=dict)
    """Its public values."""
    private: Mapping[str, str] = field(default_factory=dict)
    """Its secret values: name -> key of the stack's configuration."""
    registry: str = ""
    """The registry that it is a login for; its only value is made from ``public`` and ``private`` then."""


def of_source(spec: FluxSpec) -> tuple[Credentials, ...]:
    """What the source is read with."""
    source, found = spec.source, []
    if isinstance(source, GitSource):
        if (login := _git(source)).public or login.private:
            found.append(login)
    else:
        if source.username:
            registry = urls.parse(source.oci)
            host = registry.host if registry.port in (0, 443) else addresses.endpoint(registry.host, registry.port)
            found.append(
                Credentials("credentials", LOGIN, {"username": source.username}, {"password": "oci-password"}, host)
            )
        if source.ca:
            found.append(Credentials("ca", CA, {"ca.crt": source.ca}))
    if proxy := source.proxy:
        login_given = {"username": proxy.username} if proxy.username else {}
        private = {"password": "source-proxy-password"} if proxy.username else {}
        found.append(Credentials("proxy", PROXY, {"address": proxy.url, **login_given}, private))
    return tuple(found)


def of_decryption(spec: FluxSpec) -> tuple[Credentials, ...]:
    """What the Kustomization decrypts with."""
    if spec.decryption == "sops-age":
        return (Credentials("age-key", AGE_KEY, private={"age.agekey": "sops-age-key"}),)
    return ()


def of_alert(name: str, alert: AlertSpec) -> Credentials | None:
    """What a receiver is reached with; None for one that has no secret."""
    key = f"flux-alert-{name}"
    if alert.kind in WEBHOOKS:
        private = {"address": key}
    elif alert.kind in WITH_TOKEN:
        private = {"token": key}
    else:
        return None
    return Credentials(f"alert-{name}-login", f"edge-alert-{name}", private=private)


def of_commit_status(spec: FluxSpec) -> Credentials | None:
    """What the status of a commit is written with."""
    if spec.commit_status is None:
        return None
    return Credentials("commit-status-login", COMMIT_STATUS, private={"token": "git-status-token"})


def of_reports(spec: FluxSpec) -> tuple[Credentials, ...]:
    """What all reports are sent with."""
    found = [*(of_alert(name, spec.alerts[name]) for name in sorted(spec.alerts)), of_commit_status(spec)]
    return tuple(one for one in found if one is not None)


def _git(source: GitSource) -> Credentials:
    if source.ssh:
        return Credentials("credentials", LOGIN, {"known_hosts": source.known_hosts or ""}, {"identity": "git-ssh-key"})
    public = {"ca.crt": source.ca} if source.ca else {}
    private = {}
    if source.username:
        public["username"] = source.username
        private["password"] = "git-password"
    elif app := source.github_app:
        public |= {"githubAppID": str(app.app_id), "githubAppInstallationID": str(app.installation_id)}
        if app.base_url:
            public["githubAppBaseURL"] = app.base_url
        private["githubAppPrivateKey"] = "github-app-key"
    return Credentials("credentials", LOGIN, public, private)


def required_secrets(spec: FluxSpec) -> tuple[str, ...]:
    """Config keys without which the site cannot be brought up."""
    return tuple(
        key for one in (*of_source(spec), *of_decryption(spec), *of_reports(spec)) for key in one.private.values()
    )


def mark(site: str, secrets: Mapping[str, str]) -> str:
    """Another one for other secrets; nothing can be learned from it.

    It stands in the cluster, so it is slow to compute, and too short to tell a right guess from many wrong ones.
    """
    made = hashlib.scrypt(json.dumps(secrets, sort_keys=True).encode(), salt=site.encode(), n=2**12, r=8, p=1, dklen=3)
    return made.hex()


def manifest(one: Credentials, values: Mapping[str, Any]) -> Manifest:
    """The Secret with its secret ``values``, by name."""
    if one.registry:
        return secret(one.name, values, kind="kubernetes.io/dockerconfigjson")
    return secret(one.name, {**one.public, **values})


def docker_config(registry: str, username: str, password: str) -> str:
    """A login for a registry, as Docker's `config.json` has it."""
    joined = base64.b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {registry: {"username": username, "password": password, "auth": joined}}})


def secret(name: str, values: Mapping[str, Any], kind: str = "Opaque") -> Manifest:
    """A Secret of `flux-system`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "type": kind,
        "stringData": dict(values),
    }
