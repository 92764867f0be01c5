"""Published frameworks that rules answer to, by the names and versions that `docs/policies.md` shows."""

from __future__ import annotations

from collections.abc import Callable

from policies.rules.rule import Reference


def _sections(framework: str) -> Callable[..., tuple[Reference, ...]]:
    return lambda *sections: tuple(Reference(framework, section) for section in sections)


cis_kubernetes = _sections("CIS Kubernetes 1.10")
cis_aws = _sections("CIS AWS Foundations 3.0")
nist = _sections("NIST SP 800-53 Rev. 5")
nsa = _sections("NSA/CISA Kubernetes Hardening Guide 1.2")
"""Sections: the titles of its chapters."""
top_ten = _sections("OWASP Kubernetes Top Ten 2022")
microsoft = _sections("Microsoft cloud security benchmark 1.0")

_pod_security = _sections("Kubernetes Pod Security Standards")
BASELINE = _pod_security("baseline")
RESTRICTED = _pod_security("restricted")

POD_CHAPTER = nsa("Kubernetes Pod security")
NETWORK_CHAPTER = nsa("Network separation and hardening")
ACCESS_CHAPTER = nsa("Authentication and authorization")
