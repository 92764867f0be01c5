"""What K3s says when it does not come up, and what that means for a site. Pure.

The words are those of K3s v1.36.3+k3s1, as it was seen to fail; ``why_stopped.sh.j2`` looks for them in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One cause that can be told by its words."""

    pattern: str
    """Extended regular expression on a line of the journal."""
    means: str
    """What is wrong, and what to do."""


REASONS: tuple[Reason, ...] = (
    Reason(
        "could not create wireguard interface",
        "the kernel has no WireGuard. Install a kernel with the module `wireguard`, or name another `flannel_backend`"
        " below `k3s` in the site file: traffic between hosts is then not encrypted, which needs a waiver of"
        " network/mtls-strict.",
    ),
    Reason(
        "configured to not run on a host using cgroup v1",
        "the host has cgroup v1. Boot it with cgroup v2 (kernel argument `systemd.unified_cgroup_hierarchy=1`), or"
        " write `fail_cgroup_v1: false` below `k3s` in the site file.",
    ),
    Reason(
        "[Ff]ailed to find memory cgroup",
        "the kernel's memory cgroup is off. Add `cgroup_enable=memory` to the kernel's command line (Raspberry Pi:"
        " /boot/firmware/cmdline.txt) and reboot the host.",
    ),
    Reason(
        "address already in use",
        "another program uses a port that K3s needs. `ss --listening --tcp --udp --numeric --processes` on the host"
        " says which; stop that program or give it another port.",
    ),
    Reason(
        "certificate has expired or is not yet valid",
        "a certificate is not valid at the time that the host's clock shows. Compare `date` on the host with the real"
        " time; if the clock is right, the certificate has expired.",
    ),
    Reason(
        "no space left on device|database or disk is full",
        "the disk is full. `df --human-readable /var/lib/rancher` on the host; make room, then run `up` again.",
    ),
    Reason(
        "not authorized|encrypted with different token|failed to normalize token|invalid token",
        "the cluster does not accept the token of this host. The secrets `k3s-token` and `k3s-agent-token` of the stack"
        " must be those that the cluster was started with.",
    ),
    Reason(
        "token CA hash does not match|certificate signed by unknown authority",
        "the server that answered has another CA than the cluster that this host is to join. Either the cluster was"
        " started anew, or something else answers at that address: find out which before you go on.",
    ),
    Reason(
        "duplicate node name found|Node password rejected",
        "the cluster still knows an earlier installation of this host under the same name. The next `up` deletes it as"
        " soon as another server answers; if this goes on, two machines have one name.",
    ),
    Reason(
        "tombstone file has been detected|member has been permanently removed",
        "this server was removed from the cluster, as `kubectl delete node` does. Its datastore is no longer of use:"
        " see docs/operations.md for how it joins again.",
    ),
    Reason(
        "etcdserver: no leader",
        "etcd has no quorum: more than half of the servers must run and reach each other. Bring the others back.",
    ),
    Reason(
        "failed to get etcd MemberList",
        "etcd does not answer at the address that this server joins through. Either too few of the other servers run,"
        " or that address leads back to this server.",
    ),
    Reason(
        "critical configuration mismatched",
        "this server's settings are not those of the servers that run. The line names one; they are fixed when a"
        " cluster is started.",
    ),
    Reason(
        "unknown 'kubernetes.io' or 'k8s.io' labels",
        "a node may not give itself this label. Remove it from `labels` or `node_labels` in the site file.",
    ),
    Reason(
        "invalid kernel flag",
        "the kernel's settings are not those that the kubelet asks for. `sysctl --system` applies"
        " /etc/sysctl.d/90-kubelet.conf; the line names what differs.",
    ),
)
