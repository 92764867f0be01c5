"""A strict host: behind a bastion, sshd on another port, a key with a passphrase, sudo that asks for a password; and an
SSH agent in place of a key."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.expected import asked, probe
from edge.hosts.contact import unusable
from edge.hosts.login import Login
from edge.hosts.ssh import connected
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from lab.site import Site, lab_site, sessions
from stacks.loader import load_site

PORT, PASSPHRASE, PASSWORD = 8022, "marker-of-a-passphrase-5f1c9a", "marker-of-a-password-5f1c9a"


@contextmanager
def strict(host: LabHost, only_from: str) -> Iterator[None]:
    """sshd on another port, for one other machine; sudo of `core` asks for a password, and caches nothing."""
    host.run(
        f"""
        mkdir -p /etc/systemd/system/ssh.service.d
        printf 'Port {PORT}\\nPermitRootLogin no\\n' >/etc/ssh/sshd_config.d/strict.conf
        printf 'core ALL=(ALL) ALL\\nDefaults timestamp_timeout=0\\n' >/etc/sudoers.d/core
        chpasswd <<<'core:{PASSWORD}'
        iptables -I INPUT -p tcp --dport {PORT} ! -s {only_from} -j REJECT
        systemctl restart ssh
        """
    )
    try:
        yield
    finally:
        host.run(
            f"""
            rm -f /etc/ssh/sshd_config.d/strict.conf
            echo 'core ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/core
            passwd -q -d core && passwd -q -l core
            iptables -D INPUT -p tcp --dport {PORT} ! -s {only_from} -j REJECT
            systemctl restart ssh
            """
        )
        host.wait_ssh()


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    """Host a behind b, which is no host of the site."""
    bastion = {"address": lab["b"].address, "user": "root", "host_key": lab["b"].host_key}
    with strict(lab["a"], lab["b"].address), lab_site(lab, tmp_path / "site") as made:
        made.write(
            "a",
            ssh={"user": "core", "login": "key-with-passphrase", "sudo": "password", "bastion": bastion,
                 "dial_attempts": 3, "dial_timeout_s": 5},
            of_host={"a": {"ssh": {"port": PORT, "sudo_login": "press"}}},
        )  # fmt: skip
        for key, value in secrets(lab, tmp_path).items():
            made.secret(key, value)
        yield made


def secrets(lab: Lab, folder: Path) -> dict[str, str]:
    """The operator's key, closed with a passphrase by OpenSSH's own program; and what opens it and the host."""
    key = folder / "locked"
    key.write_bytes(lab.operator_key.read_bytes())
    key.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(key)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
    return {"ssh-private-key": key.read_text(), "ssh-key-passphrase": PASSPHRASE, "sudo-password-press": PASSWORD}


def test_a_strict_host_comes_up_is_looked_at_and_is_left_as_it_was(site: Site, tmp_path: Path) -> None:
    host, through = site.lab["a"], sessions(site.lab["b"])
    assert "lab-a-base" in site.up()
    assert host.run("sysctl -n kernel.hostname").stdout.strip() == "lab-a"
    assert sessions(site.lab["b"]) > through, "nothing went through the bastion"
    assert site.up() == {}

    spec, login = load_site(site.file), Login(secrets(site.lab, tmp_path))
    assert unusable(spec, login, ["a"]) == {}

    async def looked_at() -> str:
        async with connected(spec, login) as hosts:
            return await hosts.run(spec.hosts[0], probe(), asked(()) + "sysctl\tkernel.hostname\n")

    assert asyncio.run(looked_at()) == "sysctl\tkernel.hostname\tlab-a\n"

    left = host.run(
        f"grep -rlF {PASSWORD} /var/log /var/lib/edge /etc/systemd /root /home /tmp 2>/dev/null; "
        f"journalctl --no-pager | grep -cF {PASSWORD}",
        check=False,
    ).stdout
    assert left == "0\n"
    for path in site.home.rglob("*"):
        if path.is_file():
            for secret in (PASSWORD, PASSPHRASE):
                assert secret.encode() not in path.read_bytes(), path

    site.destroy()
    assert host.run("test -e /etc/sysctl.d/90-kubelet.conf", check=False).returncode == 1


@pytest.fixture
def agent(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenSSH's own agent with the operator's key, at SSH_AUTH_SOCK of whoever runs the program."""
    with tempfile.TemporaryDirectory(prefix="edge-agent-") as folder:  # a socket's path is short
        socket = Path(folder) / "socket"
        with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as running:
            wait_until(socket.exists, "the agent listens", deadline_s=10)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            key = tmp_path / "operator"
            key.write_bytes(lab.operator_key.read_bytes())
            key.chmod(0o600)
            subprocess.run(["ssh-add", "-q", str(key)], check=True)
            yield
            running.terminate()


def test_an_agent_logs_in_to_host_and_bastion_and_the_stack_holds_no_key(lab: Lab, tmp_path: Path, agent: None) -> None:
    bastion = {"address": lab["b"].address, "user": "root", "host_key": lab["b"].host_key}
    with lab_site(lab, tmp_path / "site") as site:
        site.pulumi("config", "rm", "edge:ssh-private-key")
        site.write("a", ssh={"user": "root", "login": "agent", "bastion": bastion, "dial_attempts": 3})
        through = sessions(lab["b"])
        assert "lab-a-base" in site.up()
        assert sessions(lab["b"]) > through, "nothing went through the bastion"
        assert site.up() == {}
        assert unusable(load_site(site.file), Login({}), ["a"]) == {}
        assert "PRIVATE KEY" not in site.export("--show-secrets")
        site.destroy()
    assert lab["a"].run("test -e /etc/sysctl.d/90-kubelet.conf", check=False).returncode == 1


def test_a_wrong_password_of_sudo_is_named_and_tried_once_for_each_command(site: Site) -> None:
    site.secret("sudo-password-press", "not-the-password")
    host = site.lab["a"]
    done = site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    assert done.returncode != 0
    assert "sudo does not accept the password (the secret sudo-password-press)" in done.stdout
    assert "not-the-password" not in done.stdout + done.stderr
    tried = host.run("journalctl --no-pager _COMM=sudo | grep -c 'authentication failure'", check=False).stdout
    assert int(tried) == 1
