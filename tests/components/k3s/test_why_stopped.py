"""What a script says when K3s does not come up: the lines with the reason, what they mean, and no secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.k3s.plan import plan_cluster, plan_node
from components.k3s.reasons import REASONS
from components.shell import render
from tests.components.site_parts import AGENT, SERVERS, k3s
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

TIME = 'time="2026-11-26T03:20:41Z" '
START = [
    TIME + 'level=info msg="Starting k3s v1.36.3+k3s1 (0c45d5d2)"',
    TIME + 'level=warning msg="Cluster CA certificate is not trusted by the host CA bundle, but the token does not'
    ' include a CA hash."',
    "I1126 03:20:41.104211    2210 server.go:1466] kubelet is starting",
]
AFTER = [
    *(TIME + f'level=info msg="Shutting down controller {number}"' for number in range(12)),
    *(f"W1126 03:20:42.{number}    2210 reflector.go:569] watch of *v1.Pod ended" for number in range(12)),
    "k3s.service: Main process exited, code=exited, status=1/FAILURE",
]
"""What follows the reason: about 25 lines."""

JOINING = [
    TIME + 'level=info msg="Failed to test etcd connection: failed to get etcd status: rpc error: code = Unavailable'
    ' desc = connection error: desc = \\"transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection'
    ' refused\\""',
    '{"level":"warn","caller":"etcdserver/server.go:1830","msg":"failed to publish local member to cluster through'
    ' raft","publish-timeout":"15s","error":"etcdserver: request timed out, possibly due to connection lost"}',
]
"""What a server says that joins a healthy cluster, for some 15 s: its own etcd is not up yet."""

SEEN = {
    "no WireGuard": TIME + 'level=error msg="flannel exited: failed to register flannel network: could not create'
    ' wireguard interface: operation not supported"',
    "cgroup v1": TIME
    + 'level=error msg="Shutdown request received: kubelet exited: kubelet is configured to not run on'
    ' a host using cgroup v1. cgroup v1 support is unsupported"',
    "memory cgroup": TIME + 'level=fatal msg="failed to find memory cgroup (v2)"',
    "uses a port": TIME + 'level=fatal msg="starting kubernetes: listen tcp :6443: bind: address already in use"',
    "the host's clock": TIME
    + 'level=error msg="Failed to validate connection to cluster at https://10.0.0.10:6443: x509:'
    ' certificate has expired or is not yet valid: current time 2026-01-02 is before 2026-11-26"',
    "the disk is full": TIME + 'level=fatal msg="failed to write state.db: no space left on device"',
    "does not accept the token": TIME + 'level=info msg="Waiting to retrieve agent configuration; server is not ready:'
    ' /v1-k3s/serving-kubelet.crt: not authorized"',
    "another CA": TIME
    + 'level=fatal msg="starting kubernetes: preparing server: token CA hash does not match the Cluster'
    ' CA certificate hash: 1f2e != 9a8b"',
    "earlier installation": TIME + 'level=fatal msg="etcd cluster join failed: duplicate node name found, please use a'
    ' unique name for this node"',
    "two machines have one name": TIME + 'level=error msg="Node password rejected, duplicate hostname or contents of'
    " '/etc/rancher/node/password' may not match server node-passwd entry\"",
    "removed from the cluster": "Error: tombstone file has been detected but --server is empty: backup and delete"
    " ${datadir}/server/db to create a new cluster, or set --server to rejoin",
    "no quorum": TIME + 'level=info msg="Failed to test etcd connection: etcdserver: no leader"',
    "leads back": TIME + 'level=error msg="failed to get etcd MemberList for 10.0.0.10: context deadline exceeded"',
    "fixed when a cluster": TIME + 'level=warning msg="critical configuration mismatched: secrets-encryption-provider"',
    "this label": "Error: failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' labels specified with"
    " --node-labels: [kubernetes.io/rack]",
    "kernel's settings": TIME + 'level=error msg="Shutdown request received: kubelet exited: failed to start'
    ' ContainerManager: invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0"',
}
"""Words of an explanation -> the line of K3s that it is about."""


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    shown = 'case " $* " in *" --reverse "*) tac "$SANDBOX/journal" ;; *) cat "$SANDBOX/journal" ;; esac'
    return Sandbox(tmp_path / "box", {"journalctl": shown, "systemctl": 'echo "${ENTERED-}"'})


def asked(box: Sandbox, journal: Sequence[str], **variables: str) -> Run:
    """What the function of the rendered scripts says of ``journal``, where the script holds ``variables``."""
    (box.home / "journal").write_text("".join(f"{line}\n" for line in journal))
    held = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    return box.run(render("k3s/why_stopped.sh.j2", reasons=REASONS) + held + "why_stopped k3s\n")


@pytest.mark.parametrize("means", SEEN)
def test_the_reason_is_shown_and_explained_though_25_lines_follow_it(box: Sandbox, means: str) -> None:
    done = asked(box, [*START, SEEN[means], *AFTER])
    assert done.code == 0, done.stderr
    assert SEEN[means] in done.stderr.splitlines()
    explained = [line for line in done.stderr.splitlines() if line.startswith("this means: ")]
    assert [line for line in explained if means in line] == explained != []


def test_what_every_join_says_is_no_missing_quorum(box: Sandbox) -> None:
    done = asked(box, [*START, *JOINING, SEEN["kernel's settings"], *AFTER])
    explained = [line for line in done.stderr.splitlines() if line.startswith("this means: ")]
    assert len(explained) == 1, explained
    assert "kernel's settings" in explained[0]


def test_every_explanation_is_about_a_line_that_was_seen() -> None:
    for reason in REASONS:
        assert [line for line in SEEN.values() if re.search(reason.pattern, line)], reason.pattern


def test_what_is_repeated_is_shown_once(box: Sandbox) -> None:
    loop = [f'time="2026-11-26T03:{n:02}:00Z" level=error msg="attempt {n}: dial refused"' for n in range(60)]
    done = asked(box, [TIME + 'level=error msg="the first fault"', *loop])
    assert done.stderr.count("dial refused") == 1
    assert "the first fault" in done.stderr


def test_only_some_twenty_lines_are_shown(box: Sandbox) -> None:
    loop = [f'time="2026-11-26T03:{n:02}:00Z" level=error msg="attempt {n}: dial refused"' for n in range(60)]
    words = [TIME + f'level=error msg="{chr(97 + n % 26) * (n + 1)} failed"' for n in range(60)]
    done = asked(box, [*START, *loop, SEEN["no WireGuard"], *words, *AFTER])
    assert SEEN["no WireGuard"] in done.stderr, "later errors push the reason out"
    assert len(done.stderr.splitlines()) <= 20


def test_a_reason_that_nobody_knows_yet_is_shown_whatever_was_said_after_it(box: Sandbox) -> None:
    reason = TIME + 'level=info msg="Shutdown request received: etcd exited: something new"'
    words = [TIME + f'level=error msg="{chr(97 + n)} failed"' for n in range(26)]
    assert reason in asked(box, [*START, reason, *words]).stderr


def test_the_newest_of_a_repeated_line_is_the_one_that_is_shown(box: Sandbox) -> None:
    loop = [f'time="2026-11-26T03:{n:02}:00Z" level=fatal msg="bad"' for n in range(60)]
    assert "03:59:00Z" in asked(box, loop).stderr


def test_a_line_is_never_longer_than_what_ssh_carries(box: Sandbox) -> None:
    done = asked(box, [TIME + f'level=fatal msg="{"x" * 70000}"', SEEN["cgroup v1"]])
    assert max(map(len, done.stderr.splitlines())) <= 1000


def test_a_journal_without_any_error_is_shown_from_its_end(box: Sandbox) -> None:
    done = asked(box, [f"line {chr(97 + n)}" for n in range(26)])
    assert "line z" in done.stderr
    assert "line a" not in done.stderr


def test_an_empty_journal_is_said_to_be_empty(box: Sandbox) -> None:
    done = asked(box, [])
    assert (done.code, done.stderr) == (0, "what k3s said (secrets are hidden):\nnothing\n")


def test_no_secret_is_shown_in_any_form(box: Sandbox) -> None:
    token, agent_token = 'marker-"server', "marker-agent"
    endpoint = "postgres://k3s:marker%2Fdb@db.example.com/k3s"
    password = box.path("/etc/rancher/node/password")
    password.parent.mkdir(parents=True)
    password.write_text("0123456789abcdefmarker\n")
    lines = [
        f"Error: token {token} rejected",
        'Error: token "marker-\\"server" rejected',
        f"Error: agent token={agent_token}-and {agent_token}",
        "Error: K10abcdef0123::server:marker-full and K10abcdef::node:marker-node",
        "Error: K10abcdef0123::a1b2c3.marker6789abcdef",
        "Error: bad ::server:marker-part",
        f"Error: {endpoint}: connection refused",
        "Error: pq: password authentication failed for k3s:marker/db",
        "Error: mysql://root:marker:@/x@10.0.0.1/k3s",
        'Error: {"password":"marker-json"} password=marker-plain PASSWORD',
        "Error: header K3s-Node-Password 0123456789abcdefmarker",
        "Error: Authorization: Bearer marker.jwt-x",
        "Error: bootstrap token q1w2e3.0123marker456789 ended",
    ]
    done = asked(box, lines, token=token, agent_token=agent_token, datastore_endpoint=endpoint)
    again = asked(box, lines[-4:], token=token, agent_token=agent_token, datastore_endpoint=endpoint)
    assert done.code == again.code == 0
    assert "marker" not in done.stdout + done.stderr + again.stdout + again.stderr
    assert "postgres://" not in done.stderr or "<hidden>" in done.stderr
    assert len(re.findall("^Error:", done.stderr, re.MULTILINE)) == 10, "only what must be hidden is taken out"
    assert "connection refused" in done.stderr


def test_the_secret_part_of_a_full_token_is_a_secret_too(box: Sandbox) -> None:
    done = asked(box, ["Error: cannot use marker-short"], token="K10" + "ab" * 32 + "::server:marker-short")
    assert done.stderr.splitlines()[1] == "Error: cannot use <hidden>"


def test_a_secret_that_is_a_part_of_another_uncovers_nothing_of_it(box: Sandbox) -> None:
    done = asked(box, ["Error: pre-marker-post"], token="marker", agent_token="pre-marker-post")
    assert done.stderr.splitlines()[1] == "Error: <hidden>"


def test_only_this_start_of_the_unit_is_looked_at(box: Sandbox) -> None:
    asked(box, [])
    (call,) = {one for one in asked(box, []).calls if one.startswith("journalctl")}
    assert re.search(r" --since=@\d+ ", call), call
    box.install("/usr/local/sbin/systemctl", 'case "$*" in *InactiveExit*) echo 1 ;; esac')
    # The unit has run since the machine's first second, which is long before this script.
    (older,) = {one for one in asked(box, []).calls if one.startswith("journalctl")}
    since = [int(re.findall(r"--since=@(\d+)", one)[0]) for one in (older, call)]
    assert since[0] < since[1]


@pytest.mark.parametrize("script", ["server", "agent", "cluster ready"])
def test_scripts_that_wait_for_k3s_say_what_stopped_it(script: str) -> None:
    spec = k3s(api_address="10.0.0.10")
    text = {
        "server": plan_node(spec, SERVERS[0], SERVERS, labels={}).install,
        "agent": plan_node(spec, AGENT, SERVERS, labels={}).install,
        "cluster ready": plan_cluster(spec, SERVERS).ready,
    }[script]
    call = re.search(r"^ +why_stopped (k3s|k3s-agent)$", text, re.MULTILINE)
    assert call, script
    assert call[1] == ("k3s-agent" if script == "agent" else "k3s")
    assert text.index("why_stopped() {") < call.start()
