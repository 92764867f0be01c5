"""Advice for sites that have mirrors of their own, and still fetch something from the internet.

A site behind an air gap names a mirror for what its hosts install. Whatever it forgets is missed at the first `up`, or
years later, when a host is replaced. A mirror that only saves bandwidth looks the same, so this is advice.
"""

from __future__ import annotations

from collections.abc import Iterator

from sitefile.problems import Finding, dotted
from stacks.parts import downloads
from stacks.site import SiteSpec

PUBLIC = (
    *("github.com", "pkgs.tailscale.com", "extensions.flatcar.org"),
    *("docker.io", "ghcr.io", "quay.io", "nvcr.io", "registry.k8s.io", "gcr.io", "public.ecr.aws", "mcr.microsoft.com"),
)
"""Servers of publishers, which are only reached through the internet."""


def findings(spec: SiteSpec) -> Iterator[Finding]:
    found = list(downloads(spec))
    binaries = [one for one in found if one.path[-1] == "mirror"]
    own = next((one for one in binaries if one.host not in PUBLIC), None)
    if own is None:
        return
    mirrored = spec.k3s.registries.keys() if spec.k3s else set[str]()
    said = f"`{dotted(own.path)}` is this site's own, as behind an air gap, and"
    for one in found:
        if one.host not in PUBLIC or (one.of_cluster and mirrored & {one.host, "*"}):
            continue
        yield Finding(
            one.path,
            f"{said} {one.host} is still needed for {one.what}",
            "servers that the site reaches",
            one.remedy,
            advice=True,
        )
    for index, host in enumerate(spec.hosts):
        if not spec.os_of(host).ntp_servers:
            yield Finding(
                ("hosts", index) if host.os is not None and spec.os.ntp_servers else ("os", "ntp_servers"),
                f"{said} `{host.name}` asks public time servers: with a wrong clock no certificate is valid",
                "time servers that the site reaches",
                "add `ntp_servers:` to `os`",
                advice=True,
            )
            return
