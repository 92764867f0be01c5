"""The probe of `edge audit --live` in a sandbox: it shows what was asked for, of this start of K3s, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.k3s.audit import answered, asked, audit_probe
from tests.sandbox import Run, Sandbox, needs_root

TIME = 'time="2026-11-26T03:20:41Z" level=info msg='
JOURNAL = [
    TIME + '"Starting k3s v1.36.3+k3s1 (0c45d5d2)"',
    TIME + '"Running kube-apiserver --anonymous-auth=true --profiling=true --token-auth-file=/old"',
    TIME + '"Running kube-apiserver --anonymous-auth=false --etcd-servers=https://user:S3CRET@db:2379'
    ' --requestheader-extra-headers-prefix=X-Remote-Extra- --profiling=false"',
    TIME + '"Running kubelet --config-dir=/var/lib/rancher/k3s/agent/etc/kubelet.conf.d --read-only-port=0'
    ' --pod-max-pids=4096"',
]
KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: /var/lib/rancher/k3s/agent/client-ca.crt
authorization:
  mode: Webhook
podPidsLimit: 100
staticPodURLHeader:
  Authorization:
  - Bearer S3CRET
tlsCipherSuites:
- TLS_A
- TLS_B
"""
ETCD = """\
client-transport-security:
  cert-file: /tls/server-client.crt
  client-cert-auth: true
data-dir: /var/lib/rancher/k3s/server/db/etcd
peer-transport-security:
  client-cert-auth: true
  trusted-ca-file: /tls/peer-ca.crt
"""
SEALED = '{"resources":[{"providers":[{"secretbox":{"keys":[{"name":"a","secret":"S3CRET"}]}},{"identity":{}}]}]}'
FLAGS = [
    ("kube-apiserver", "anonymous-auth"),
    ("kube-apiserver", "profiling"),
    ("kube-apiserver", "token-auth-file"),
    ("kubelet", "read-only-port"),
    ("kubelet", "pod-max-pids"),
]


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    said = 'case " $* " in *_SYSTEMD_INVOCATION_ID=abc*) cat "$SANDBOX/journal" ;; esac'
    unit = 'case " $* " in *" k3s.service "*) echo abc ;; *) echo ;; esac'
    return Sandbox(tmp_path / "box", {"journalctl": said, "systemctl": unit})


def put(box: Sandbox, path: str, text: str, mode: int = 0o600) -> None:
    file = box.path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def probed(box: Sandbox, journal: list[str]) -> Run:
    (box.home / "journal").write_text("".join(f"{line}\n" for line in journal))
    done = box.run(audit_probe(), stdin=asked(FLAGS, ["/var/lib/rancher/k3s/server/tls/*.crt", "/none/*"]))
    assert done.code == 0, done.stderr
    return done


def test_the_probe_is_as_reviewed(golden: Callable[[str, str], None]) -> None:
    golden("k3s/audit.sh", audit_probe())


@needs_root
def test_a_server_shows_flags_of_its_last_start_its_configuration_and_modes(box: Sandbox) -> None:
    put(box, "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf", KUBELET)
    put(box, "/var/lib/rancher/k3s/server/db/etcd/config", ETCD)
    put(box, "/var/lib/rancher/k3s/server/cred/encryption-config.json", SEALED)
    put(box, "/var/lib/rancher/k3s/server/tls/a.crt", "a", 0o644)
    done = probed(box, JOURNAL)
    found = answered(done.stdout)
    assert found.flags["kube-apiserver"] == {"anonymous-auth": "false", "profiling": "false"}
    # A flag takes precedence over the configuration.
    assert found.flags["kubelet"] == {
        "anonymous-auth": "false",
        "authorization-mode": "Webhook",
        "client-ca-file": "/var/lib/rancher/k3s/agent/client-ca.crt",
        "pod-max-pids": "4096",
        "read-only-port": "0",
        "tls-cipher-suites": "TLS_A,TLS_B",
    }
    assert found.flags["etcd"] == {
        "cert-file": "/tls/server-client.crt",
        "client-cert-auth": "true",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": "/tls/peer-ca.crt",
    }
    assert found.flags["secrets-encryption"] == {"provider": "secretbox"}
    assert found.modes == {"/var/lib/rancher/k3s/server/tls/a.crt": (0o644, "root:root")}
    assert "S3CRET" not in done.stdout + done.stderr


@needs_root
def test_a_process_whose_start_has_left_the_journal_has_not_shown_itself(box: Sandbox) -> None:
    put(box, "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf", KUBELET)
    found = answered(probed(box, JOURNAL[:1]).stdout)
    assert found.flags == {}


@needs_root
def test_a_host_without_k3s_shows_nothing_and_is_no_failure(box: Sandbox) -> None:
    done = probed(box, [])
    assert done.stdout == ""
    assert [call for call in done.calls if call.split()[0] not in ("systemctl", "journalctl")] == []


def test_a_line_of_another_form_is_left_out() -> None:
    assert answered("hello\nflag\tx\nfile\t/a\tnone\troot:root\nconfig\tkubelet\tother\tx\n").modes == {}
