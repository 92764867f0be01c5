"""A rehearsal speaks to nobody: counted on the only wire that leads out of its network namespace."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.environment import PROJECT_ROOT
from tests.edge.conftest import Project, project
from tests.sandbox import needs_root

__all__ = ["project"]

pytestmark = [pytest.mark.engine, needs_root]

# A default route and a name server that lead nowhere: whatever is sent, look-ups among it, is counted and lost.
_INSIDE = """set -e
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
ip link set lo up
# The system itself would look for IPv6 neighbours.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link add wire type veth peer name far
ip link set far up
ip address add 192.0.2.1/24 dev wire
ip link set wire up
ip route add default via 192.0.2.254
ip neighbour add 192.0.2.254 lladdr 02:00:00:00:00:01 dev wire
echo 'nameserver 192.0.2.53' >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
before=$(cat /sys/class/net/wire/statistics/tx_packets)
"$@" >&2
echo $(($(cat /sys/class/net/wire/statistics/tx_packets) - before))
"""
_UNSHARE = ["unshare", "--net", "--mount", "--propagation", "private", "bash", "-c", _INSIDE, "inside"]
_EDGE = "import os, sys; os.chdir(sys.argv.pop(1)); from edge.cli import main; main()"


def packets_of(*command: str) -> int:
    """How many packets a command sends out of its namespace."""
    done = subprocess.run(
        [*_UNSHARE, *command],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_what_leaves_the_namespace_is_counted() -> None:
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.1', 9))"
    assert packets_of(sys.executable, "-c", send) == 1


def test_a_rehearsed_up_sends_nothing(project: Project) -> None:
    assert packets_of(sys.executable, "-c", _EDGE, str(project.root), "up", "demo", "--rehearse") == 0
    assert project.state.is_file(), "it did run"
