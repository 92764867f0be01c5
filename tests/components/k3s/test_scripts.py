"""K3s' scripts, run for real: what they leave on a host's disk, and what they refuse."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from components.host.machine import Machine
from components.k3s.plan import CA_UNKNOWN, GUARD, ca_of, guard_file, plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines
from tests.components.site_parts import AGENT, SERVERS, VERSION, k3s
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

TOKEN, AGENT_TOKEN = "marker-server-token", "marker-agent-token"
CA = "-----BEGIN CERTIFICATE-----\nof the cluster\n-----END CERTIFICATE-----\n"
CA_HASH = hashlib.sha256(CA.encode()).hexdigest()
STDIN = secret_lines([TOKEN, AGENT_TOKEN, CA_UNKNOWN])
JOINING = secret_lines([TOKEN, AGENT_TOKEN, CA_HASH])
AGENT_STDIN = secret_lines([AGENT_TOKEN, CA_HASH])
HEALTHZ = "http://127.0.0.1:10248/healthz"
PEER = "https://10.0.0.12:6443/cacerts"
SHARED = "https://10.0.0.10:6443/cacerts"

# K3s whose kubelet and network have come up since it was started.
K3S_THAT_RUNS = f"""
[ -e "$SANDBOX/cluster-answers" ] || exit 1
mkdir -p /run/flannel && touch /run/flannel/subnet.env
case "$*" in
  *kubeletVersion*) echo "{VERSION} True $(date -u +%FT%TZ)" ;;
  *renewTime*) date -u +%FT%TZ ;;
esac
"""
SYSTEMCTL = """
unit=${!#}
case $* in
  *ActiveState*) [ -e "$SANDBOX/active-$unit" ] && echo active || echo inactive ;;
  *SubState*) [ -e "$SANDBOX/active-$unit" ] && echo running || echo dead ;;
  *ExecMainStartTimestamp*) [ -e "$SANDBOX/active-$unit" ] && date -u --reference="$SANDBOX/active-$unit" ;;
  *NRestarts*) echo 0 ;;
  is-active*) [ -e "$SANDBOX/active-$unit" ] ;;
  *restart*)
    touch "$SANDBOX/active-$unit" "$SANDBOX/cluster-answers"
    # What K3s leaves on its first start decides every later one.
    [ "$unit" != k3s ] || mkdir -p /var/lib/rancher/k3s/server/db/etcd/member /var/lib/rancher/k3s/server/tls ;;
  disable*) rm -f "$SANDBOX"/active-* "$SANDBOX/cluster-answers" ;;
esac
"""


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(
        tmp_path / "box",
        {
            "systemctl": SYSTEMCTL,
            "ip": 'if [ "$1" = route ]; then echo default via 10.0.0.1; else cat "$SANDBOX/addresses"; fi',
            "getent": 'echo "$2 STREAM"',
            "journalctl": "",
            "sleep": "",
            "pkill": "",
            "iptables-save": "",
            "ip6tables-save": "",
            "iptables-restore": "cat >/dev/null",
            "ip6tables-restore": "cat >/dev/null",
        },
    )
    # The release: a recording stand-in, downloaded and checked like the real one.
    sandbox.install("/usr/local/sbin/k3s-release", K3S_THAT_RUNS)
    sandbox.path("/usr/local/sbin/k3s-release").rename(sandbox.mirror / "k3s")
    (sandbox.answered / "cacerts").write_text(CA)
    (sandbox.home / "addresses").write_text("2: eth0 inet 10.0.0.11/24 scope global eth0\n")
    return sandbox


def spec_for(box: Sandbox, **fields: object) -> K3sSpec:
    digest = hashlib.sha256((box.mirror / "k3s").read_bytes()).hexdigest()
    return k3s(api_address="10.0.0.10", releases={VERSION: {"amd64": digest}}, **fields)


def install(spec: K3sSpec, node: Machine) -> str:
    return plan_node(spec, node, SERVERS, labels={}).install


def found(box: Sandbox, spec: K3sSpec) -> None:
    """Bring the first server up as a new site does."""
    assert box.run(plan_cluster(spec, SERVERS).cluster_init_permit).code == 0
    done = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr


def test_a_first_server_founds_the_cluster_once_and_a_second_run_changes_nothing(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    assert not box.path("/etc/rancher/k3s/config.yaml.d/20-join.yaml").exists(), "it must not found another one later"
    assert not box.path("/var/lib/edge/k3s/birth").exists(), "the permit must not outlive the founding"
    again = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert (again.code, again.stdout) == (0, f"k3s runs {VERSION}\n")
    assert not [call for call in again.calls if " restart " in call]
    assert [call for call in again.calls if call.startswith("curl")] == [
        call for call in again.calls if HEALTHZ in call
    ]


def test_the_servers_folders_have_the_modes_that_k3s_keeps(box: Sandbox) -> None:
    spec = spec_for(box)
    folders = [box.path(f"/var/lib/rancher/k3s/server{below}") for below in ("", "/manifests", "/logs")]
    for _ in range(2):
        found(box, spec)
        assert {oct(folder.stat().st_mode & 0o777) for folder in folders} == {"0o700"}


def test_a_lost_first_server_never_founds_a_second_cluster(box: Sandbox) -> None:
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=JOINING, answers=[HEALTHZ])
    assert done.code != 0
    assert "may not start a second cluster" in done.stderr
    assert not [call for call in done.calls if " restart " in call]


def keeps_how_it_joins(box: Sandbox) -> None:
    told = "cat /etc/rancher/k3s/config.yaml.d/20-join.yaml /etc/rancher/k3s/token >$SANDBOX/joined"
    box.install("/usr/local/sbin/systemctl", f"case $* in *restart*) {told} ;; esac\n{SYSTEMCTL}")


def started_with(box: Sandbox) -> str:
    """How the server was told to join when it was last started; ``install`` takes that away once it has."""
    return (box.home / "joined").read_text()


def test_a_lost_first_server_joins_through_the_others(box: Sandbox) -> None:
    keeps_how_it_joins(box)
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=JOINING, answers=[SHARED, PEER, HEALTHZ])
    assert done.code == 0, done.stderr
    assert started_with(box) == f"server: https://10.0.0.12:6443\nK10{CA_HASH}::server:{TOKEN}\n"


def test_a_server_joins_by_the_shared_address_where_no_server_answers_at_its_own(box: Sandbox) -> None:
    keeps_how_it_joins(box)
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=JOINING, answers=[SHARED, HEALTHZ])
    assert done.code == 0, done.stderr
    assert started_with(box).startswith("server: https://10.0.0.10:6443\n")


def test_a_shared_address_that_this_host_holds_itself_is_not_joined_through(box: Sandbox) -> None:
    (box.home / "addresses").write_text("2: eth0 inet 10.0.0.11/24\n2: eth0 inet 10.0.0.10/32\n")
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=JOINING, answers=[SHARED, HEALTHZ])
    assert done.code != 0
    assert not [call for call in done.calls if SHARED in call]


@pytest.mark.parametrize("node", [SERVERS[0], AGENT])
def test_what_shows_another_ca_gets_no_token(box: Sandbox, node: Machine) -> None:
    (box.answered / "cacerts").write_text(CA.replace("cluster", "impostor"))
    stdin = JOINING if node.is_server else AGENT_STDIN
    peers = [PEER, PEER.replace("12", "13")]
    done = box.run(install(spec_for(box), node), stdin=stdin, answers=[SHARED, *peers, HEALTHZ])
    assert done.code != 0
    assert "does not show the CA of this cluster" in done.stderr
    assert CA_HASH in done.stderr
    assert not [call for call in done.calls if " restart " in call]


@pytest.mark.parametrize("node", [SERVERS[0], AGENT])
def test_a_token_that_names_no_ca_never_leaves_the_host(box: Sandbox, node: Machine) -> None:
    secrets = [TOKEN, AGENT_TOKEN] if node.is_server else [AGENT_TOKEN]
    done = box.run(install(spec_for(box), node), stdin=secret_lines([*secrets, CA_UNKNOWN]), answers=[SHARED, PEER])
    assert done.code != 0
    assert "no server has said which CA its cluster has" in done.stderr
    assert not [call for call in done.calls if " restart " in call]


def test_the_token_of_a_running_server_names_its_ca_from_then_on_without_a_restart(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    for stdin in (JOINING, STDIN):
        again = box.run(install(spec, SERVERS[0]), stdin=stdin, answers=[HEALTHZ])
        assert again.code == 0, again.stderr
        assert not [call for call in again.calls if " restart " in call]
        assert box.path("/etc/rancher/k3s/token").read_text() == f"K10{CA_HASH}::server:{TOKEN}\n"


def test_a_server_whose_node_was_deleted_joins_again(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    box.path("/var/lib/rancher/k3s/server/db/etcd/tombstone").touch()
    keeps_how_it_joins(box)
    done = box.run(install(spec, SERVERS[0]), stdin=JOINING, answers=[PEER, HEALTHZ])
    assert done.code == 0, done.stderr
    assert started_with(box).startswith("server: https://10.0.0.12:6443\n")
    assert not box.path("/etc/rancher/k3s/config.yaml.d/20-join.yaml").exists(), "it would rejoin when it is removed"


def test_one_server_that_is_left_of_several_keeps_its_etcd(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    alone = plan_node(spec, SERVERS[0], SERVERS[:1], labels={}).install
    done = box.run(alone, stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr


def test_a_change_that_a_killed_run_did_not_restart_k3s_for_is_not_lost(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    changed = install(spec_for(box, pod_max_pids=1000), SERVERS[0])
    killed = box.run(changed.replace("systemctl is-enabled", "exit 9 #"), stdin=STDIN, answers=[HEALTHZ])
    assert killed.code != 0
    assert not [call for call in killed.calls if " restart " in call]
    again = box.run(changed, stdin=STDIN, answers=[HEALTHZ])
    assert again.code == 0, again.stderr
    assert "systemctl --no-block restart k3s" in again.calls
    third = box.run(changed, stdin=STDIN, answers=[HEALTHZ])
    assert not [call for call in third.calls if " restart " in call]


@pytest.mark.parametrize(
    ("state", "starts"), [("activating/start", False), ("activating/auto-restart", True), ("failed/failed", True)]
)
def test_a_crash_loop_is_started_at_once_and_a_start_that_takes_long_is_left_alone(
    box: Sandbox, state: str, starts: bool
) -> None:
    spec = spec_for(box)
    found(box, spec)
    active, sub = state.split("/")
    told = f"case $* in *ActiveState*) echo {active}; exit ;; *SubState*) echo {sub}; exit ;; esac"
    box.install("/usr/local/sbin/systemctl", f"{told}\n{SYSTEMCTL}")
    done = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert bool([call for call in done.calls if " restart " in call]) == starts
    assert "systemctl reset-failed k3s" in done.calls


STALE = {
    "the word of an earlier kubelet": (f"{VERSION} True 2020-01-01T00:00:00Z", "date -u +%FT%TZ", ""),
    "a kubelet that is silent": (f"{VERSION} True $(date -u +%FT%TZ)", "echo 2020-01-01T00:00:00Z", ""),
    "a network of an earlier start": (
        f"{VERSION} True $(date -u +%FT%TZ)",
        "date -u +%FT%TZ",
        "touch -d 2020-01-01 /run/flannel/subnet.env",
    ),
    "a node that is not ready": (f"{VERSION} False $(date -u +%FT%TZ)", "date -u +%FT%TZ", ""),
}


@pytest.mark.parametrize("what", STALE)
def test_a_host_is_not_ready_by(box: Sandbox, what: str) -> None:
    node, lease, network = STALE[what]
    stale = f"""{network}
      case "$*" in *kubeletVersion*) echo "{node}"; exit ;; *renewTime*) {lease}; exit ;; esac
    """
    # Fresh from the fourth question on.
    asked = "echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -ge 4 ] ||"
    body = K3S_THAT_RUNS.replace('case "$*" in\n', f'{asked} {{ {stale} }}\ncase "$*" in\n', 1)
    (box.mirror / "k3s").write_text(f"#!/bin/bash\necho k3s >>$SANDBOX/calls\n{body}")
    assert box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_permit).code == 0
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert len((box.home / "asked").read_text().splitlines()) >= 4, f"{what} was taken for Ready"


def test_an_agent_whose_node_was_deleted_registers_itself_again(box: Sandbox) -> None:
    spec = spec_for(box)
    assert box.run(install(spec, AGENT), stdin=AGENT_STDIN, answers=[HEALTHZ]).code == 0
    deleted_until_restarted = 'case "$*" in *kubeletVersion*) [ -e "$SANDBOX/again" ] || exit 0 ;; esac'
    box.path("/opt/bin/k3s").write_text(f"#!/bin/bash\n{deleted_until_restarted}\n{K3S_THAT_RUNS}")
    spec = spec.model_copy(
        update={"releases": {VERSION: {"amd64": hashlib.sha256(box.path("/opt/bin/k3s").read_bytes()).hexdigest()}}}
    )
    box.install("/usr/local/sbin/systemctl", f"case $* in *restart*) touch $SANDBOX/again ;; esac\n{SYSTEMCTL}")
    done = box.run(install(spec, AGENT), stdin=AGENT_STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert [call for call in done.calls if " restart " in call] == ["systemctl --no-block restart k3s-agent"]


@pytest.mark.parametrize(
    ("there", "starts"),
    [
        ({}, False),
        ({"/var/lib/rancher/k3s/server/db/snapshots/one": ""}, False),
        ({"/etc/rancher/k3s/config.yaml.d/20-join.yaml": "cluster-init: true\n"}, False),
        ({"/etc/rancher/k3s/config.yaml.d/20-join.yaml": "server: https://10.0.0.12:6443\n"}, True),
        ({"/var/lib/edge/k3s/birth": ""}, True),
        ({"/var/lib/rancher/k3s/server/db/state.db": ""}, True),
        ({"/var/lib/rancher/k3s/server/db/etcd/member/wal": ""}, True),
    ],
)
def test_a_server_that_would_start_a_second_cluster_is_not_started(
    box: Sandbox, there: dict[str, str], starts: bool
) -> None:
    """Without a datastore K3s starts a new cluster, whatever made it start: a boot, or somebody's `systemctl start`."""
    for path, text in there.items():
        box.path(path).parent.mkdir(parents=True)
        box.path(path).write_text(text)
    done = box.run(guard_file().partition("ExecStartPre=")[2])
    assert (done.code == 0) == starts
    assert starts or "would start a second cluster" in done.stderr


def test_what_keeps_a_server_from_a_second_cluster_restarts_nothing_where_it_comes_later(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    kept = box.path(GUARD)
    assert kept.read_text() == guard_file()
    kept.unlink()
    again = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert again.code == 0, again.stderr
    assert kept.read_text() == guard_file()
    assert "systemctl daemon-reload" in again.calls
    assert not [call for call in again.calls if "restart k3s" in call]


def test_a_second_permit_is_not_given_to_a_host_that_has_a_cluster(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    assert box.run(plan_cluster(spec, SERVERS).cluster_init_permit).code == 0
    assert not box.path("/var/lib/edge/k3s/birth").exists()


def test_an_only_server_without_its_datastore_is_not_started(box: Sandbox) -> None:
    script = plan_node(spec_for(box), SERVERS[0], SERVERS[:1], labels={}).install
    done = box.run(script, stdin=STDIN, answers=[HEALTHZ])
    assert done.code != 0
    assert "restore" in done.stderr
    assert not [call for call in done.calls if " restart " in call]


def test_a_binary_with_another_checksum_is_refused_and_leaves_nothing(box: Sandbox) -> None:
    spec = spec_for(box)
    (box.mirror / "k3s").write_text("tampered")
    done = box.run(install(spec, AGENT), stdin=AGENT_STDIN)
    assert done.code != 0
    assert "nothing was installed" in done.stderr
    assert not box.path("/opt/bin/k3s").exists()
    assert not list(box.path("/opt/bin").glob(".edge.*"))


def test_a_changed_setting_restarts_the_service_and_touches_no_data(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    done = box.run(install(spec_for(box, pod_max_pids=1000), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert "changed /etc/rancher/k3s/config.yaml" in done.stdout
    assert "systemctl --no-block restart k3s" in done.calls


def test_a_service_that_starts_only_at_its_second_try_is_waited_for(box: Sandbox) -> None:
    late = "echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -ge 3 ] || exit 1"
    (box.mirror / "k3s").write_text(f"#!/bin/bash\n{late}\n{K3S_THAT_RUNS}")
    assert box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_permit).code == 0
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert f"k3s runs {VERSION}" in done.stdout


def test_a_service_that_cannot_start_is_given_up_with_its_own_last_words(box: Sandbox) -> None:
    failing = "case $* in *NRestarts*) echo . >>$SANDBOX/restarts; wc -l <$SANDBOX/restarts ;; esac"
    box.install("/usr/local/sbin/systemctl", failing)
    box.install("/usr/local/sbin/journalctl", "echo 'fatal: bad flag; token K10abc::server:marker'")
    assert box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_permit).code == 0
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code != 0
    assert "fatal: bad flag" in done.stderr
    assert "k3s has stopped by itself 5 times" in done.stderr
    assert "marker" not in done.stderr


def test_secrets_are_in_their_own_files_and_on_no_command_line(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    done = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert box.files_with(TOKEN) == ["/etc/rancher/k3s/token"]
    assert box.files_with(AGENT_TOKEN) == ["/etc/rancher/k3s/agent-token"]
    assert box.path("/etc/rancher/k3s/token").stat().st_mode & 0o777 == 0o600
    assert TOKEN not in done.stdout + done.stderr + "".join(done.calls)


def test_an_agent_holds_only_the_agents_token(box: Sandbox) -> None:
    done = box.run(install(spec_for(box), AGENT), stdin=AGENT_STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert "systemctl --no-block restart k3s-agent" in done.calls
    assert not box.path("/etc/rancher/k3s/token").exists()


def test_a_connection_string_of_the_wrong_kind_is_refused_without_being_shown(box: Sandbox) -> None:
    spec = spec_for(box, datastore={"kind": "external", "engine": "postgresql"})
    done = box.run(
        install(spec, SERVERS[0]), stdin=secret_lines([TOKEN, AGENT_TOKEN, "mysql://user:marker-password@db"])
    )
    assert done.code != 0
    assert "must begin with postgres://" in done.stderr
    assert "marker-password" not in done.stdout + done.stderr


def test_a_connection_string_reaches_a_file_that_only_root_reads(box: Sandbox) -> None:
    spec = spec_for(box, datastore={"kind": "external", "engine": "postgresql"})
    endpoint = "postgres://k3s:it's@db.example.com/k3s"
    done = box.run(
        install(spec, SERVERS[0]), stdin=secret_lines([TOKEN, AGENT_TOKEN, endpoint, CA_UNKNOWN]), answers=[HEALTHZ]
    )
    assert done.code == 0, done.stderr
    written = box.path("/etc/rancher/k3s/config.yaml.d/80-datastore.yaml")
    assert written.read_text() == "datastore-endpoint: 'postgres://k3s:it''s@db.example.com/k3s'\n"
    assert written.stat().st_mode & 0o777 == 0o600


def test_uninstalling_leaves_no_file_of_k3s_behind(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    scripts = plan_node(spec, SERVERS[0], SERVERS, labels={})
    done = box.run(scripts.uninstall)
    assert done.code == 0, done.stderr
    for gone in ("/etc/rancher", "/var/lib/rancher", "/opt/bin", "/etc/systemd/system"):
        left = [path for path in box.path(gone).rglob("*") if path.is_file() or path.is_symlink()]
        assert not left, f"{gone} still holds {left}"
    assert box.run(scripts.uninstall).code == 0, "a second removal must be fine"


def test_routes_to_the_pods_of_other_hosts_go_with_k3s(box: Sandbox) -> None:
    spec = spec_for(box, pod_cidr="10.44.0.0/16")
    done = box.run(plan_node(spec, SERVERS[0], SERVERS, labels={}).uninstall)
    assert done.code == 0, done.stderr
    assert "ip route flush root 10.44.0.0/16" in done.calls


def bundled(box: Sandbox, k3s: str) -> None:
    """A host without iptables and ipset; K3s has them where k3s-root packs them: in `bin/aux`, and in `bin`."""
    box.without("iptables-save", "iptables-restore", "ipset")
    bin_dir = f"{k3s}/data/0123abc/bin"
    rules = ["*filter", "-A KUBE-SERVICES", "-A INPUT -j ACCEPT", "COMMIT"]
    box.install(f"{bin_dir}/aux/iptables-save", f"printf '%s\\n' {' '.join(map(repr, rules))}")
    box.install(f"{bin_dir}/aux/iptables-restore", 'cat >"$SANDBOX/rules"')
    names = "KUBE-DST-2FAI inet6:KUBE-SRC-7QQC theirs"
    box.install(
        f"{bin_dir}/ipset", f'case $1 in list) printf "%s\\n" {names} ;; destroy) echo "$2" >>"$SANDBOX/sets" ;; esac'
    )


def only_ours_went(box: Sandbox) -> None:
    assert (box.home / "rules").read_text() == "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n"
    assert (box.home / "sets").read_text().split() == ["KUBE-DST-2FAI", "inet6:KUBE-SRC-7QQC"]


def test_rules_and_sets_that_k3s_made_with_its_own_tools_go_with_it(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    bundled(box, "/var/lib/rancher/k3s")
    done = box.run(plan_node(spec, SERVERS[0], SERVERS, labels={}).uninstall)
    assert done.code == 0, done.stderr
    only_ours_went(box)


def wait_script(box: Sandbox, script: str) -> str:
    spec = spec_for(box)
    if script == "cluster ready":
        return plan_cluster(spec, SERVERS).ready
    return plan_node(spec, SERVERS[0], SERVERS, labels={}).wait_ready


def renewed(*, ago_s: int) -> str:
    return f"date -u --date='{ago_s} seconds ago' +%FT%TZ"


@pytest.mark.parametrize("script", ["wait ready", "cluster ready"])
def test_a_node_is_ready_when_its_kubelet_is_of_the_planned_release(box: Sandbox, script: str) -> None:
    kubelet = (
        f"echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -lt 3 ] && echo v1.0.0+k3s1 True || echo {VERSION} True"
    )
    box.install(
        "/usr/local/sbin/k3s", f'case "$*" in *kubeletVersion*) {kubelet} ;; *renewTime*) {renewed(ago_s=3)} ;; esac'
    )
    done = box.run(wait_script(box, script))
    assert done.code == 0, done.stderr
    assert len([call for call in done.calls if "kubeletVersion" in call]) == 3


@pytest.mark.parametrize("script", ["wait ready", "cluster ready"])
def test_a_node_whose_kubelet_is_silent_is_not_ready_whatever_its_condition_says(box: Sandbox, script: str) -> None:
    # Renewed at another time only when it is asked for the third time.
    third = "echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -lt 3 ]"
    renewal = f"{third} && echo 2025-01-01T00:00:00Z || echo 2026-01-01T00:00:00Z"
    box.install(
        "/usr/local/sbin/k3s",
        f'case "$*" in *kubeletVersion*) echo {VERSION} True ;; *renewTime*) {renewal} ;; esac',
    )
    box.install("/usr/local/sbin/sleep", "")
    done = box.run(wait_script(box, script))
    assert done.code == 0, done.stderr
    assert len([call for call in done.calls if "renewTime" in call]) >= 3


@pytest.fixture
def peer(box: Sandbox) -> Sandbox:
    """The host that forgets another one: a server of a cluster that answers."""
    box.path("/var/lib/rancher/k3s/server/db").mkdir(parents=True)
    box.path("/var/lib/rancher/k3s/server/tls").mkdir()
    box.path("/var/lib/rancher/k3s/server/tls/server-ca.crt").write_text(CA)
    box.install("/usr/local/sbin/k3s", knows())
    return box


def knows(*, node: str = "node/site-b", ready: str = "False", renews: str = "echo noon", volumes: str = "true") -> str:
    """A cluster with that node, whose kubelet renews its lease as ``renews`` prints."""
    return f"""case "$*" in
      *readyz*) ;;
      *persistentvolumes*) {volumes} ;;
      *renewTime*) {renews} ;;
      *output\\ name*) echo "{node}" ;;
      *jsonpath*) echo {ready} ;;
    esac
    """


def forget(box: Sandbox, node: Machine = SERVERS[1], *, permit: str = "") -> Run:
    stdin = secret_lines([permit]) if permit else ""
    return box.run(plan_node(spec_for(box), node, SERVERS, labels={}).forget_old_node, stdin=stdin)


def deleted(done: Run) -> list[str]:
    return [call for call in done.calls if " delete " in call]


def test_a_node_that_is_ready_is_not_forgotten(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", knows(ready="True", renews="date +%s%N"))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert not deleted(done)
    assert ca_of(done.stdout) == CA_HASH


def test_a_node_that_was_ready_until_its_host_was_reimaged_is_forgotten(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", knows(ready="True"))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert any("delete node site-b" in call for call in done.calls)


def test_a_stale_node_and_its_password_are_forgotten_before_it_joins_again(peer: Sandbox) -> None:
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert any("delete node site-b" in call for call in deleted(done))
    assert any("delete secret site-b.node-password.k3s" in call for call in deleted(done))
    assert ca_of(done.stdout) == CA_HASH


def test_what_a_forgotten_node_kept_on_its_own_disk_is_forgotten_with_it(peer: Sandbox) -> None:
    volumes = "printf '%s\\n' 'pvc-1 shop queue-0 site-b' 'pvc-2 shop queue-1 site-c' 'unclaimed site-b'"
    peer.install("/usr/local/sbin/k3s", knows(volumes=volumes))
    done = forget(peer)
    assert done.code == 0, done.stderr
    claims = [call for call in deleted(done) if "persistentvolumeclaim" in call]
    assert [call for call in claims if "--namespace shop delete persistentvolumeclaim queue-0 " in call] == claims != []
    assert [call for call in deleted(done) if "delete persistentvolume " in call and "pvc-1 " not in call] == []
    assert any("delete pods --all-namespaces --field-selector=spec.nodeName=site-b" in call for call in deleted(done))


def test_volumes_are_forgotten_by_the_run_after_one_that_was_killed_when_the_node_was_gone(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", knows(node="", volumes="echo pvc-1 shop queue-0 site-b"))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert any("delete persistentvolumeclaim queue-0" in call for call in deleted(done))


def test_nothing_is_deleted_for_a_host_that_the_cluster_does_not_know(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", knows(node=""))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert not deleted(done)
    assert ca_of(done.stdout) == CA_HASH


def silent_once(cluster: str, question: str) -> str:
    """``cluster``, whose API fails the first time that it is asked ``question``: its etcd elects another leader."""
    first = 'mkdir "$SANDBOX/asked-once" 2>/dev/null && { echo "etcdserver: request timed out" >&2; exit 1; }'
    return f'case "$*" in *{question}*) {first} ;; esac\n{cluster}'


def remove(box: Sandbox) -> Run:
    return box.run(plan_node(spec_for(box), SERVERS[1], SERVERS, labels={}).remove)


@pytest.fixture
def enabled(peer: Sandbox) -> Sandbox:
    """A server of a cluster, on which K3s is not stopped for good."""
    peer.install("/usr/local/sbin/systemctl", "")
    return peer


def test_a_moment_of_silence_does_not_make_a_server_that_leaves_no_node(enabled: Sandbox) -> None:
    enabled.install("/usr/local/sbin/k3s", silent_once(knows(), r"get\ node"))
    done = remove(enabled)
    assert done.code == 0, done.stderr
    assert any("delete node site-b" in call for call in done.calls), "it would be uninstalled as a member of etcd"


def test_a_server_does_not_leave_a_cluster_that_has_fallen_silent(enabled: Sandbox) -> None:
    silent = 'case "$*" in *readyz*) ;; *) exit 1 ;; esac'
    enabled.install("/usr/local/sbin/k3s", silent)
    done = remove(enabled)
    assert done.code != 0
    assert "is not a node" not in done.stdout
    assert "the cluster does not answer on" in done.stderr


@pytest.mark.parametrize("question", [r"get\ node\ site-b", "renewTime"])
def test_a_moment_of_silence_does_not_change_what_is_known_of_a_kubelet(peer: Sandbox, question: str) -> None:
    peer.install("/usr/local/sbin/k3s", silent_once(knows(ready="True", renews="date +%s%N"), question))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert not deleted(done), "it is Ready"
    (peer.home / "asked-once").rmdir()
    peer.install("/usr/local/sbin/k3s", silent_once(knows(ready="True"), question))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert any("delete node site-b" in call for call in deleted(done)), "its kubelet is gone"


def test_a_node_is_forgotten_though_the_api_fails_for_a_moment(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", silent_once(knows(), r"delete\ node"))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert len([call for call in deleted(done) if "delete node site-b" in call]) == 2


def test_a_node_that_the_cluster_does_not_let_go_is_an_error(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", f'case "$*" in *delete\\ node*) exit 1 ;; esac\n{knows()}')
    script = plan_node(spec_for(peer), SERVERS[1], SERVERS, labels={}).forget_old_node
    done = peer.run(script.replace("SECONDS + 120", "SECONDS + 0"))
    assert done.code != 0
    assert "the cluster does not let site-b go" in done.stderr


def test_the_first_server_is_admitted_where_no_cluster_runs_yet(box: Sandbox) -> None:
    done = forget(box, SERVERS[0], permit="changed /var/lib/edge/k3s/birth")
    assert (done.code, done.stdout) == (0, "no cluster runs here: nothing to forget\n")
    assert ca_of(done.stdout) == CA_UNKNOWN


def test_a_first_server_that_must_join_is_not_admitted_by_a_server_without_a_cluster(box: Sandbox) -> None:
    used = box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_used)
    done = forget(box, SERVERS[0], permit=used.stdout)
    assert done.code != 0, "its success would be a fact, and the forgetting would never run again"
    assert "has no cluster either" in done.stderr


def test_a_first_server_is_asked_again_whether_it_has_a_cluster_when_the_servers_change(box: Sandbox) -> None:
    """Lost, it had to join. Since then it has joined, and the servers may have become one, and three again."""
    one, three = (plan_cluster(spec_for(box), servers).cluster_init_used for servers in (SERVERS[:1], SERVERS))
    assert one != three
    box.path("/var/lib/rancher/k3s/server/db").mkdir(parents=True)
    assert "must join" not in box.run(three).stdout


def test_no_other_host_is_admitted_by_a_server_without_a_cluster(box: Sandbox) -> None:
    done = forget(box, AGENT)
    assert done.code != 0
    assert "has no cluster" in done.stderr


def test_silence_of_a_server_with_a_datastore_is_waited_for(peer: Sandbox) -> None:
    starts = "echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -ge 4 ] || exit 1"
    peer.install("/usr/local/sbin/k3s", knows().replace("*readyz*) ;;", f"*readyz*) {starts} ;;"))
    done = forget(peer)
    assert done.code == 0, done.stderr
    assert len([call for call in done.calls if "readyz" in call]) == 4
    assert deleted(done)


def test_silence_of_a_server_with_a_datastore_never_means_that_there_is_no_cluster(peer: Sandbox) -> None:
    peer.install("/usr/local/sbin/k3s", "exit 1")
    script = plan_node(spec_for(peer), SERVERS[0], SERVERS, labels={}).forget_old_node.replace(
        "answers 300", "answers 0"
    )
    done = peer.run(script, stdin=secret_lines(["changed /var/lib/edge/k3s/birth"]))
    assert done.code != 0
    assert "the cluster does not answer" in done.stderr
    assert ca_of(done.stdout) == CA_UNKNOWN


def test_the_same_installation_is_never_forgotten_and_learns_the_clusters_ca(peer: Sandbox) -> None:
    done = peer.run(plan_node(spec_for(peer), SERVERS[1], SERVERS, labels={}).same_installation)
    assert done.code == 0, done.stderr
    assert not [call for call in done.calls if call.startswith("k3s")]
    assert ca_of(done.stdout) == CA_HASH


def test_a_bundle_is_named_by_its_root_as_k3s_names_it(peer: Sandbox) -> None:
    # Three certificates: K3s hashes the DER of the last one's chain end, the root, and not the file.
    bodies = [base64.b64encode(name).decode() for name in (b"server CA", b"intermediate", b"root" * 40)]
    pem = "".join(f"-----BEGIN CERTIFICATE-----\n{one}\n-----END CERTIFICATE-----\n" for one in bodies)
    peer.path("/var/lib/rancher/k3s/server/tls/server-ca.crt").write_text(pem)
    done = peer.run(plan_node(spec_for(peer), SERVERS[1], SERVERS, labels={}).same_installation)
    assert ca_of(done.stdout) == hashlib.sha256(b"root" * 40).hexdigest()
