"""What a host lacks for K3s stops the run at that host's gate, before anything is changed on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.hosts.lab import Lab
from lab.site import Site, lab_site

VERSION = "v1.36.3+k3s1"
K3S: dict[str, Any] = {
    "version": VERSION,
    "releases": {VERSION: {"amd64": "0" * 64}},
    "mirror": "https://mirror.invalid",
    "flannel_backend": "host-gw",
    "fail_cgroup_v1": False,
}
"""Nothing can be downloaded: the gate comes first."""


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with lab_site(lab, tmp_path / "site") as made:
        made.secret("k3s-token", "lab-server-token-0123456789abcdef")
        made.secret("k3s-agent-token", "lab-agent-token-0123456789abcdef")
        yield made


def refused_at_the_gate(site: Site, **k3s: Any) -> str:
    """What a run says that ends at host a's gate."""
    site.write("a", k3s={**K3S, **k3s})
    done = site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "this is not the host that the site file describes" in said, said[-3000:]
    assert site.lab["a"].run("ls /etc/rancher /opt/bin/k3s /usr/local/bin/k3s", check=False).stdout == ""
    return said


def test_a_kernel_without_wireguard_is_refused_for_a_site_that_encrypts_with_it(site: Site) -> None:
    if site.lab["a"].run("ip link add try type wireguard && ip link del try", check=False).returncode == 0:
        pytest.skip("this machine's kernel has WireGuard")
    said = refused_at_the_gate(site, flannel_backend="wireguard-native")
    assert "the kernel has no WireGuard (ip: Error: Unknown device type.)" in said
    assert "needs a waiver of network/mtls-strict" in said


def test_a_port_of_k3s_that_another_program_has_is_refused_with_that_programs_name(site: Site) -> None:
    host = site.lab["a"]
    host.run("systemd-run --quiet --unit=taken --socket-property=ListenStream=6443 cat")
    try:
        assert "port 6443/tcp is used by systemd (pid=1)" in refused_at_the_gate(site)
    finally:
        host.run("systemctl stop taken.socket")


def test_a_host_with_cgroup_v1_is_refused_unless_the_site_file_allows_it(site: Site) -> None:
    if site.lab["a"].run("stat --file-system --format=%T /sys/fs/cgroup").stdout.strip() == "cgroup2fs":
        pytest.skip("this machine has cgroup v2")
    assert "write `fail_cgroup_v1: false` below `k3s`" in refused_at_the_gate(site, fail_cgroup_v1=True)


def test_a_host_of_the_lab_has_the_rest_of_what_k3s_needs(site: Site) -> None:
    site.write("a", k3s=K3S)
    done = site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    # It goes on to the download, which nobody serves.
    assert "could not download https://mirror.invalid" in done.stdout + done.stderr
