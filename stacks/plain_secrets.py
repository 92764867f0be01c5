"""Where a secret belongs that was written into a site file: the key of the stack's configuration, by kind and part."""

from __future__ import annotations

from sitefile.problems import DataPath
from stacks.configuration import full_key

_KEYS = {
    "private key": "ssh-private-key",
    "private key in base64": "ssh-private-key",
    "Tailscale key": "tailscale-auth-key",
    "age key": "sops-age-key",
    "K3s token": "k3s-token",
    "Grafana Cloud token": "telemetry-token",
    "Grafana service account token": "telemetry-token",
    "Git token": "git-password",
    "AWS key": "model-store-access-key",
    "JSON web token": "telemetry-token",
}
_KEYS_OF_PARTS = {
    ("private key", "gitops"): "git-ssh-key",
    ("private key", "place"): "outposts-host-key",
    ("password in a URL", "gitops"): "git-password",
    ("password in a URL", "k3s"): "k3s-datastore-endpoint",
    ("password in a URL", "network"): "proxy-login",
}
"""Kind of secret and part of the site -> the key for such a secret of that part."""
_KEYS_BY_PART = {
    "ssh": "ssh-private-key",
    "mesh": "tailscale-auth-key",
    "gitops": "git-password",
    "telemetry": "telemetry-token",
    "network": "proxy-login",
    "registrations": "rancher-token-key",
}
"""Part of the site -> the key for whatever is called a password or a token there."""
_NOTES = {
    "ssh-private-key": "; hosts are reached with a key, never with a password (that of sudo is `sudo-password`)",
    "sudo-password": "; it needs `sudo: password`, and another than other hosts have `sudo_login: NAME` as well",
    "git-password": "; it needs `username:` below `source`",
    "registry-login-NAME": ", as `user:password`; it needs `login: NAME` below the registry",
    "k3s-snapshot-keys": ", as `ACCESS_KEY_ID:SECRET_ACCESS_KEY`",
    "proxy-login": ", as `user:password`; it needs `login: true` below `proxy`",
}
_KNOWN = {
    *_KEYS.values(),
    *_KEYS_OF_PARTS.values(),
    *_KEYS_BY_PART.values(),
    "k3s-agent-token",
    "model-store-secret-key",
    "ssh-key-passphrase",
    "sudo-password",
}


def advice(kind: str | None, path: DataPath, stem: str | None) -> tuple[str, str]:
    """What was expected and what to do; ``stem`` is the name of the stack, None where there are many."""
    expected = "no secret in a site file: the stack's configuration holds them, encrypted"
    key = _key_by_name(path) if kind is None else _KEYS_OF_PARTS.get((kind, str(path[0] if path else "")))
    key = key or _KEYS.get(kind or "")
    if path[:1] == ("gitops",) and "verify" in path:
        return expected, "remove it here and revoke it, and write the public key of a new one"
    if path[:2] == ("network", "trusted_cas"):
        return expected, "remove it here and replace it, and write the certificate of the new one alone"
    if path[:3] == ("k3s", "datastore", "s3"):
        key = "k3s-snapshot-keys"
    if path[:2] == ("k3s", "registries"):
        key = "registry-login-NAME"
    if path[:2] == ("gitops", "alerts"):
        key = "flux-alert-NAME"
    if path[:2] == ("gitops", "commit_status"):
        key = "git-status-token"
    if key is None:
        return expected, "remove it here and revoke it"
    command = f"pulumi config set --secret {full_key(key)} -s {stem or 'STACK'}"
    note = _NOTES.get(key, "") if kind is None else ""
    return expected, f"remove it here, revoke it, and set a new one with `{command}`{note}"


def _key_by_name(path: DataPath) -> str | None:
    """`token` in `k3s` is `k3s-token`. None for a name that no part of a site asks for."""
    name = str(path[-1]).lower().replace("_", "-")
    parent = f"{path[-2]}-" if len(path) > 1 and isinstance(path[-2], str) else ""
    if "passphrase" in name and path[0] in ("ssh", "hosts"):
        return "ssh-key-passphrase"
    if "datastore" in path:
        return "k3s-datastore-endpoint"
    for key in (parent + name, name, f"{parent}token" if "token" in name else ""):
        if key in _KNOWN:
            return key
    return _KEYS_BY_PART.get(str(path[0])) if len(path) > 1 else None
