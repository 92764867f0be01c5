"""Specs of Flux that tests share. Keys are made up and public."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from components.gitops.flux.spec import FluxSpec
from components.view import Site

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPvExampleHostKeyOfTheGitServer0000000000000"
PGP_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawUZfhYJKwYBBAHaRw8BAQdAeF7SGa9w3b9ITUbb4HHzDdTE1R9ru0J/SXul
M39VI4a0KEVkZ2UgZXhhbXBsZSBzaWduZXIgPHNpZ25lckBleGFtcGxlLmNvbT6I
kAQTFggAOBYhBHr61XkVKwO+2/2Frr3Ux4eDizm3BQJrBRl+AhsDBQsJCAcCBhUK
CQgLAgQWAgMBAh4BAheAAAoJEL3Ux4eDizm3PgwBAOuUrofhyM0IGsA32kKDWsSq
nRDDGkYzKG3NwDxecireAQDWzjieFMh7PL0E7v8jV6DKoDwIzL6Im/gKfFnkWg5p
Ag==
=0rBk
-----END PGP PUBLIC KEY BLOCK-----
"""
COSIGN_KEY = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3gAnmIt/EXq7ZkStYekmkICmSqra
x68PNkQDt/cBX2wBF2bBUj9AonYAExCtgtb2Hl/PAB2quXnbkKAppGDLOg==
-----END PUBLIC KEY-----
"""

SSH: dict[str, Any] = {
    "git": "ssh://git@git.example.com/edge.git",
    "branch": "main",
    "known_hosts": f"git.example.com {HOST_KEY}",
    "verify": {"keys": {"alice": PGP_KEY, "bob": PGP_KEY}},
}
HTTPS: dict[str, Any] = {"git": "https://git.example.com:8443/edge.git", "tag": "v1.4.0", "username": "edge-reader"}
OCI: dict[str, Any] = {
    "oci": "oci://registry.example.com/edge/configs",
    "semver": ">=1.0.0",
    "verify": {"keys": {"release": COSIGN_KEY}},
}
KEYLESS: dict[str, Any] = {
    "oci": "oci://registry.example.com/edge/configs",
    "tag": "production",
    "verify": {"identities": [{"issuer": "^https://ci.example.com$", "subject": "^https://ci.example.com/edge/.*$"}]},
}
CA = """\
-----BEGIN CERTIFICATE-----
MIIBgjCCASegAwIBAgIUZe0ZrZwtGeBJol0ukYvfurAyp+UwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKRXhhbXBsZSBDQTAgFw0yNjExMjcwMDA1MTRaGA8yMTI2MTEw
MzAwMDUxNFowFTETMBEGA1UEAwwKRXhhbXBsZSBDQTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABF5Ly4l0Nl+yFjDy6z7ldrlcovDLXBY/bzXNM2/PcTyDR1tBBLI0
fOdHI1n0LSSWbmy9dQFAnJSdE8FGUtFpgl+jUzBRMB0GA1UdDgQWBBSzLlopi1to
+QE40x0W0/xX+TJ+qTAfBgNVHSMEGDAWgBSzLlopi1to+QE40x0W0/xX+TJ+qTAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQD33XMHB5+AKOGhHVZ8
gvypRpySglDRp8q3NmUjuesyiQIhAKdFDYI4Wb87TjjquWEW3jPItH6rjsWs4lsY
gQI0lC8U
-----END CERTIFICATE-----
"""
ENTERPRISE: dict[str, Any] = {
    "git": "https://git.example.com/edge.git",
    "ref": "refs/heads/main",
    "username": "edge-reader",
    "ca": CA,
    "proxy": {"url": "http://proxy.example.com:3128", "username": "edge"},
    "timeout": "90s",
    "ignore": "/*\n!/edge\n",
    "sparse_checkout": ["edge", "./shared"],
    "verify": {"keys": {"alice": PGP_KEY}},
}
"""Git behind a proxy with a login, with a certificate of a company's own authority."""
APP: dict[str, Any] = {
    "git": "https://github.com/acme/edge-configs.git",
    "github_app": {"app_id": 912345, "installation_id": 51234567, "base_url": "https://github.example.com/api/v3"},
}
AZURE: dict[str, Any] = {
    "git": "https://dev.azure.com/acme/edge/_git/configs",
    "provider": "azure",
    "identity": {"azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000"},
}
ECR: dict[str, Any] = {
    "oci": "oci://012345678901.dkr.ecr.eu-central-1.amazonaws.com/edge",
    "tag": "v1",
    "provider": "aws",
}
REGISTRY: dict[str, Any] = {
    "oci": "oci://registry.example.com:5000/edge/configs",
    "tag": "v1",
    "username": "edge-reader",
    "ca": CA,
    "proxy": {"url": "http://proxy.example.com:3128"},
}
REPORTS: dict[str, Any] = {
    "alerts": {
        "chat": {"kind": "slack", "channel": "edge"},
        "on-call": {"kind": "alertmanager", "address": "https://alerts.example.com:9443/api/v2/alerts/"},
        "board": {"kind": "grafana", "address": "https://grafana.example.com/api/annotations", "severity": "info"},
    },
    "commit_status": {"kind": "gitea", "address": "https://git.example.com:3443/edge/configs"},
}
"""Receivers of each kind, and the status of commits."""
SITE: dict[str, Any] = {
    "site": "warehouse-berlin-01",
    "tier": "near",
    "region": "eu-central",
    "labels": {"customer": "acme", "edge.example.com/ring": "canary"},
}
VIEW = Site(name="warehouse-berlin-01", **{key: SITE[key] for key in ("tier", "region", "labels")})
"""The same site, as parts see it."""


def flux(source: dict[str, Any], **changes: Any) -> FluxSpec:
    """A spec with ``source`` and everything else as a site usually has it."""
    return TypeAdapter(FluxSpec).validate_python(
        {
            "kind": "flux",
            "operator": {"version": "0.58.1"},
            "distribution": {"version": "2.9.4"},
            "source": source,
            **changes,
        }
    )
