"""K3s' scripts, run for real: what they leave on a host's disk, and what they refuse."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from components.host.machine import Machine
from components.k3s.plan import plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines
from tests.components.site_parts import AGENT, SERVERS, VERSION, k3s
from tests.sandbox import Sandbox, needs_root

pytestmark = needs_root

TOKEN, AGENT_TOKEN = "marker-server-token", "marker-agent-token"
STDIN = secret_lines([TOKEN, AGENT_TOKEN])
HEALTHZ = "http://127.0.0.1:10248/healthz"

_K3S = """
case $1 in
  kubectl) [ -e "$SANDBOX/cluster-answers" ] || exit 1 ;;
esac
"""
_SYSTEMCTL = """
unit=${!#}
case $1 in
  is-active) [ -e "$SANDBOX/active-$unit" ] ;;
  restart)
    touch "$SANDBOX/active-$unit" "$SANDBOX/cluster-answers"
    # What K3s leaves on its first start decides every later one.
    [ "$unit" != k3s ] || mkdir -p /var/lib/rancher/k3s/server/db/etcd /var/lib/rancher/k3s/server/tls ;;
  disable) rm -f "$SANDBOX"/active-* "$SANDBOX/cluster-answers" ;;
esac
"""


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(
        tmp_path / "box",
        {
            "systemctl": _SYSTEMCTL,
            "ip": "[ \"$*\" != 'route show default' ] || echo default via 10.0.0.1",
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
    sandbox.install("/usr/local/sbin/k3s-release", _K3S)
    sandbox.path("/usr/local/sbin/k3s-release").rename(sandbox.mirror / "k3s")
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
    assert box.path("/etc/rancher/k3s/config.yaml.d/20-join.yaml").read_text() == "cluster-init: true\n"
    assert not box.path("/var/lib/edge/k3s/birth").exists(), "the permit must not outlive the founding"
    again = box.run(install(spec, SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert (again.code, again.stdout) == (0, f"k3s runs {VERSION}\n")
    assert not [call for call in again.calls if call.startswith("systemctl restart")]
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
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code != 0
    assert "may not start a second cluster" in done.stderr
    assert not [call for call in done.calls if call.startswith("systemctl restart")]


def test_a_lost_first_server_joins_through_the_others(box: Sandbox) -> None:
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=["https://10.0.0.12:6443/cacerts", HEALTHZ])
    assert done.code == 0, done.stderr
    assert box.path("/etc/rancher/k3s/config.yaml.d/20-join.yaml").read_text() == "server: https://10.0.0.12:6443\n"


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
    assert not [call for call in done.calls if call.startswith("systemctl restart")]


def test_a_binary_with_another_checksum_is_refused_and_leaves_nothing(box: Sandbox) -> None:
    spec = spec_for(box)
    (box.mirror / "k3s").write_text("tampered")
    done = box.run(install(spec, AGENT), stdin=secret_lines([AGENT_TOKEN]))
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
    assert "systemctl restart k3s" in done.calls


def test_a_service_that_starts_only_at_its_second_try_is_waited_for(box: Sandbox) -> None:
    box.install("/usr/local/sbin/systemctl", _SYSTEMCTL + "[ $1 != restart ]")
    assert box.run(plan_cluster(spec_for(box), SERVERS).cluster_init_permit).code == 0
    done = box.run(install(spec_for(box), SERVERS[0]), stdin=STDIN, answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert f"k3s runs {VERSION}" in done.stdout


def test_a_service_that_cannot_start_is_given_up_with_its_own_last_words(box: Sandbox) -> None:
    failing = "case $1 in is-active | restart) exit 1 ;; show) echo 5 ;; esac"
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
    done = box.run(install(spec_for(box), AGENT), stdin=secret_lines([AGENT_TOKEN]), answers=[HEALTHZ])
    assert done.code == 0, done.stderr
    assert "systemctl restart k3s-agent" in done.calls
    assert not box.path("/etc/rancher/k3s/token").exists()


def test_a_connection_string_of_the_wrong_kind_is_refused_without_being_shown(box: Sandbox) -> None:
    spec = spec_for(box, datastore={"kind": "external", "engine": "postgresql"})
    done = box.run(install(spec, SERVERS[0]), stdin=STDIN + secret_lines(["mysql://user:marker-password@db"]))
    assert done.code != 0
    assert "must begin with postgres://" in done.stderr
    assert "marker-password" not in done.stdout + done.stderr


def test_a_connection_string_reaches_a_file_that_only_root_reads(box: Sandbox) -> None:
    spec = spec_for(box, datastore={"kind": "external", "engine": "postgresql"})
    endpoint = "postgres://k3s:it's@db.example.com/k3s"
    done = box.run(install(spec, SERVERS[0]), stdin=STDIN + secret_lines([endpoint]), answers=[HEALTHZ])
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


def test_rules_that_k3s_made_with_its_own_iptables_go_with_it(box: Sandbox) -> None:
    spec = spec_for(box)
    found(box, spec)
    for tool in ("iptables-save", "iptables-restore"):
        box.path(f"/usr/local/sbin/{tool}").unlink()
        for folder in ("/usr/sbin", "/usr/bin"):
            if Path(folder, tool).exists():
                box.path(folder).mkdir(parents=True, exist_ok=True)
                os.mknod(box.path(f"{folder}/{tool}"), stat.S_IFCHR, os.makedev(0, 0))  # removed, to an overlay
    aux = "/var/lib/rancher/k3s/data/0123abc/bin/aux"
    box.install(f"{aux}/iptables-save", "printf '%s\\n' '*filter' '-A KUBE-SERVICES' '-A INPUT -j ACCEPT' COMMIT")
    box.install(f"{aux}/iptables-restore", 'cat >"$SANDBOX/rules"')
    done = box.run(plan_node(spec, SERVERS[0], SERVERS, labels={}).uninstall)
    assert done.code == 0, done.stderr
    assert (box.home / "rules").read_text() == "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize("script", ["wait ready", "cluster ready"])
def test_a_node_is_ready_when_its_kubelet_is_of_the_planned_release(box: Sandbox, script: str) -> None:
    kubelet = f"echo . >>$SANDBOX/asked; [ $(wc -l <$SANDBOX/asked) -lt 3 ] && echo v1.0.0+k3s1 || echo {VERSION}"
    box.install("/usr/local/sbin/k3s", f'case "$*" in *kubeletVersion*) {kubelet} ;; esac')
    spec = spec_for(box)
    cluster, agent = plan_cluster(spec, SERVERS), plan_node(spec, AGENT, SERVERS, labels={})
    done = box.run(cluster.ready if script == "cluster ready" else agent.wait_ready)
    assert done.code == 0, done.stderr
    assert len([call for call in done.calls if "kubeletVersion" in call]) == 3
    assert "kubeletVersion" not in done.calls[-1], "only after that it is asked whether the node is Ready"


def test_a_node_that_is_ready_is_not_forgotten(box: Sandbox) -> None:
    box.install("/usr/local/sbin/k3s", 'case "$*" in *renewTime*) date +%s%N ;; *jsonpath*) echo True ;; esac')
    done = box.run(plan_node(spec_for(box), SERVERS[1], SERVERS, labels={}).forget_old_node)
    assert done.code == 0, done.stderr
    assert not [call for call in done.calls if "delete" in call]


def test_a_node_that_was_ready_until_its_host_was_reimaged_is_forgotten(box: Sandbox) -> None:
    box.install("/usr/local/sbin/k3s", 'case "$*" in *renewTime*) echo noon ;; *jsonpath*) echo True ;; esac')
    box.install("/usr/local/sbin/sleep", "")
    done = box.run(plan_node(spec_for(box), SERVERS[1], SERVERS, labels={}).forget_old_node)
    assert done.code == 0, done.stderr
    assert any("delete node site-b" in call for call in done.calls)


def test_a_stale_node_and_its_password_are_forgotten_before_it_joins_again(box: Sandbox) -> None:
    box.install("/usr/local/sbin/k3s", "")
    done = box.run(plan_node(spec_for(box), SERVERS[1], SERVERS, labels={}).forget_old_node)
    assert done.code == 0, done.stderr
    deleted = [call for call in done.calls if " delete " in call]
    assert any("delete node site-b" in call for call in deleted)
    assert any("delete secret site-b.node-password.k3s" in call for call in deleted)


def test_what_a_forgotten_node_kept_on_its_own_disk_is_forgotten_with_it(box: Sandbox) -> None:
    volumes = "printf '%s\\n' 'pvc-1 shop queue-0 site-b' 'pvc-2 shop queue-1 site-c' 'unclaimed site-b'"
    box.install("/usr/local/sbin/k3s", f'case "$*" in *persistentvolumes*) {volumes} ;; esac')
    done = box.run(plan_node(spec_for(box), SERVERS[1], SERVERS, labels={}).forget_old_node)
    assert done.code == 0, done.stderr
    deleted = [call for call in done.calls if " delete " in call]
    claims = [call for call in deleted if "persistentvolumeclaim" in call]
    assert [call for call in claims if "--namespace shop delete persistentvolumeclaim queue-0 " in call] == claims != []
    assert [call for call in deleted if "delete persistentvolume " in call and "pvc-1 " not in call] == []
    assert any("delete pods --all-namespaces --field-selector=spec.nodeName=site-b" in call for call in deleted)


def test_admission_is_free_where_no_cluster_runs_yet(box: Sandbox) -> None:
    done = box.run(plan_node(spec_for(box), SERVERS[0], SERVERS, labels={}).forget_old_node)
    assert (done.code, done.stdout) == (0, "no cluster runs here: nothing to forget\n")
