"""A tailnet for real: the site's own scripts install Tailscale on its hosts, and Headscale lets them in.

The policy is the fleet's. The tests are one story, in the order in which they stand: site `lab` is the hosts a and b,
site `other` is c, and `ops` is an operator's machine.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.mesh.tailscale.plan import site_tags
from components.mesh.tailscale.spec import TailscaleSpec
from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.cluster import Cluster
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import wait_until
from lab.kubernetes.mirror import Mirror
from lab.mesh import programs
from lab.mesh.headscale import DOMAIN, Headscale
from lab.mesh.release import FOLDER, Release, release
from lab.site import Site, lab_site, sessions
from stacks.fleet.plan import MeshSite, acl
from stacks.fleet.spec import TailnetSpec
from tests.lab.conftest import own_lab

NEXT = "1.90.1"
"""The same programs under another name, to switch to."""

TAGS = {
    site: site_tags(site, TailscaleSpec(kind="tailscale", version="1.90.0", sha256={})) for site in ("lab", "other")
}
POLICY = acl(
    TailnetSpec(id="lab", operators=("ada@lab.example",)),
    [MeshSite("lab", TAGS["lab"]), MeshSite("other", TAGS["other"], ssh_users=("root",))],
)
PLACES = {"tag:ops": ["ops"], TAGS["lab"][0]: ["lab-a", "lab-b"], TAGS["other"][0]: ["other-c"]}
"""Names in the tailnet of the devices that carry a tag."""


@dataclass
class Tailnet:
    """Two sites, an operator's machine, and what hosts held before the site came."""

    lab: Lab
    authority: Authority
    mirror: Mirror
    headscale: Headscale
    release: Release
    next: Release
    site: Site
    other: Site
    keys: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)

    def write(self, of: Release) -> None:
        self.site.write("a", "b", mesh=self.mesh(of))

    def mesh(self, of: Release, **changes: Any) -> dict[str, Any]:
        return of.mesh(self.mirror.url, self.headscale.url, **changes)

    def new_key(self) -> str:
        self.keys.append(self.headscale.key(TAGS["lab"]))
        return self.keys[-1]

    def host(self, device: str) -> LabHost:
        return self.lab[device.rpartition("-")[2]]

    def address(self, device: str) -> str:
        return self.headscale.devices()[device].addresses[0]

    def reaches(self, source: str, target: str, port: int) -> bool:
        """Whether the device ``source`` opens a TCP connection to ``target``'s address in the tailnet."""
        return opens(self.host(source), self.address(target), port)


def held(host: LabHost) -> str:
    # A cable's other end has another number after each power cycle.
    return re.sub(r"@if\d+", "", Cluster.held(host))


def opens(host: LabHost, address: str, port: int) -> bool:
    return host.run(f"timeout 4 bash -c '</dev/tcp/{address}/{port}'", check=False).returncode == 0


@pytest.fixture(scope="module")
def tailnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tailnet]:
    try:
        of, coming = release(), release(NEXT)
        programs.headscale()
    except EngineError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("mesh")
    with own_lab() as lab, Authority() as authority:
        lab.up(["a", "b", "c", "ops"])
        for host in lab.hosts.values():
            host.run(authority.trust_script())
        with (
            Mirror(authority, lab.layout.gateway, {FOLDER: {**of.files, **coming.files}}) as mirror,
            Headscale(authority, lab.layout.gateway, POLICY) as headscale,
            lab_site(lab, home / "lab") as site,
            lab_site(lab, home / "other", name="other") as other,
        ):
            made = Tailnet(lab, authority, mirror, headscale, of, coming, site, other)
            of.join(lab["ops"], mirror.url, headscale, "tag:ops")
            site.secret("tailscale-auth-key", made.new_key())
            other.secret("tailscale-auth-key", headscale.key(TAGS["other"]))
            made.before = {name: held(lab[name]) for name in ("a", "b")}
            yield made


@contextmanager
def watched(host: LabHost, *words: str) -> Iterator[list[str]]:
    """What of ``words`` any command line or environment of ``host`` held while the block ran, once it has ended."""
    script = """
    mapfile -t words
    printf '%s\\n' "${words[@]}" >/run/watched
    while [ -e /run/watched ]; do cat /proc/[0-9]*/{cmdline,environ} 2>/dev/null; done | grep -aoFf /run/watched
    """
    seen: list[str] = []
    watcher = subprocess.Popen(
        host.enter("bash", "-c", script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdin is not None
    watcher.stdin.write("\n".join(words) + "\n")
    watcher.stdin.close()
    wait_until(lambda: host.run("test -e /run/watched", check=False).returncode == 0, "the watch began", deadline_s=10)
    try:
        yield seen
    finally:
        host.run("rm -f /run/watched")
        assert watcher.stdout is not None
        seen.extend(watcher.stdout.read().split())
        watcher.wait()


def test_hosts_join_as_what_they_are_and_no_process_shows_the_key(tailnet: Tailnet) -> None:
    tailnet.write(tailnet.release)
    tailnet.other.write("c", mesh=tailnet.mesh(tailnet.release, ssh=True))
    with watched(tailnet.lab["a"], "--auth-key=file:", *tailnet.keys) as seen:
        tailnet.site.up()
    tailnet.other.up()
    devices = tailnet.headscale.devices()
    assert {name: set(device.tags) for name, device in devices.items()} == {
        "lab-a": set(TAGS["lab"]),
        "lab-b": set(TAGS["lab"]),
        "other-c": set(TAGS["other"]),
        "ops": {"tag:ops"},
    }
    assert all(device.online for device in devices.values())
    assert set(seen) == {"--auth-key=file:"}, "the watch saw the call, and must not have seen the key"


def test_an_operator_logs_in_by_the_names_of_the_tailnet(tailnet: Tailnet) -> None:
    ops = tailnet.lab["ops"]
    ops.run("install -m 0600 /dev/stdin /root/key", stdin=tailnet.lab.operator_key.read_text())
    for name in ("a", "b"):
        node = f"lab-{name}"
        pinned = f"{node}.{DOMAIN} {tailnet.lab[name].host_key}\n"
        ops.run("cat >/root/known", stdin=pinned)
        login = f"ssh -i /root/key -o UserKnownHostsFile=/root/known -o BatchMode=yes root@{node}.{DOMAIN}"
        said = ops.run(f"{login} 'hostname; echo $SSH_CONNECTION'").stdout.split()
        assert said[0] == node
        assert said[3] == tailnet.address(node), "over the tailnet, and not by the lab's own network"


def test_an_operator_logs_in_by_tailscale_ssh_where_the_site_allows_it(tailnet: Tailnet) -> None:
    ops, before = tailnet.lab["ops"], sessions(tailnet.lab["c"])
    assert ops.run("tailscale ssh root@other-c hostname").stdout.strip() == "other-c"
    assert sessions(tailnet.lab["c"]) == before, "sshd has no part in it"


def test_the_tests_of_the_policy_hold_between_the_hosts(tailnet: Tailnet) -> None:
    for host in tailnet.lab.hosts.values():
        host.run("systemd-run --quiet --unit=more-ports /usr/sbin/sshd -D -p 6443 -p 10250")
    with ThreadPoolExecutor(max_workers=20) as threads:
        try:
            asked = [
                (source, target, int(port), verdict, threads.submit(tailnet.reaches, source, target, int(port)))
                for test in POLICY["tests"]
                for verdict in ("accept", "deny")
                for tag, _, port in (wanted.rpartition(":") for wanted in test.get(verdict, ()))
                for source in PLACES[test["src"]]
                for target in PLACES[tag]
            ]
            for source, target, port, verdict, reached in asked:
                assert reached.result() == (verdict == "accept"), f"{source} -> {target}:{port}: to {verdict}"
            assert {verdict for *_, verdict, _ in asked} == {"accept", "deny"}
            for source, target, port, verdict, _ in asked:
                if verdict == "deny":
                    assert opens(tailnet.host(source), tailnet.host(target).address, port), "nobody listens there"
        finally:
            for host in tailnet.lab.hosts.values():
                host.run("systemctl stop more-ports")


def test_the_hosts_of_one_site_do_not_meet_in_the_tailnet(tailnet: Tailnet) -> None:
    assert tailnet.reaches("ops", "lab-b", 22)
    assert not tailnet.reaches("lab-a", "lab-b", 22)


def test_a_second_up_changes_nothing_and_visits_nobody(tailnet: Tailnet) -> None:
    before = [sessions(tailnet.lab[name]) for name in ("a", "b")]
    assert tailnet.site.up() == {}
    assert [sessions(tailnet.lab[name]) for name in ("a", "b")] == before


def test_another_key_makes_no_host_join_again(tailnet: Tailnet) -> None:
    before = tailnet.headscale.devices()
    # Whoever used it would be refused.
    tailnet.keys.append("hskey-auth-000000000000-0123456789abcdef0123456789abcdef")
    tailnet.site.secret("tailscale-auth-key", tailnet.keys[-1])
    assert set(tailnet.site.up().values()) <= {"update"}
    assert tailnet.headscale.devices() == before


def test_another_release_is_switched_to_and_the_host_stays_who_it_was(tailnet: Tailnet) -> None:
    before = tailnet.headscale.devices()
    tailnet.write(tailnet.next)
    tailnet.site.up()
    for name in ("a", "b"):
        assert tailnet.lab[name].run("readlink /opt/tailscale/current").stdout.strip() == NEXT
        assert tailnet.reaches("ops", f"lab-{name}", 22)
    assert tailnet.headscale.devices() == before


def test_a_host_that_lost_its_power_is_back_by_itself(tailnet: Tailnet) -> None:
    before = tailnet.headscale.devices()["lab-a"]
    host = tailnet.lab["a"]
    host.power_off()
    host.power_on()
    wait_until(lambda: tailnet.reaches("ops", "lab-a", 22), "lab-a is reached", deadline_s=60)
    assert tailnet.headscale.devices()["lab-a"] == before


def test_a_reimaged_host_joins_under_its_name_once_the_old_device_is_removed(tailnet: Tailnet) -> None:
    old = tailnet.address("lab-b")
    host = tailnet.lab["b"]
    host.reimage()
    host.wait_ssh(60)
    host.wait_booted(60)
    tailnet.lab.pin()
    host.run(tailnet.authority.trust_script())
    tailnet.headscale.remove("lab-b")
    tailnet.site.secret("tailscale-auth-key", tailnet.new_key())
    tailnet.write(tailnet.next)
    tailnet.site.up()
    assert tailnet.headscale.devices()["lab-b"].online
    assert tailnet.address("lab-b") != old, "another device"
    # The operator's machine is told of it a little later.
    wait_until(lambda: tailnet.reaches("ops", "lab-b", 22), "lab-b is reached", deadline_s=30)


def test_hosts_of_an_own_tailnet_call_nobody_at_tailscale(tailnet: Tailnet) -> None:
    for name in ("a", "b", "c"):
        said = tailnet.lab[name].run("journalctl --no-pager --unit=tailscaled").stdout
        assert "derp-999" in said, "of its connections the daemon tells"
        assert "tailscale.com:" not in said
        assert "log.tailscale.com" not in said


def test_no_key_is_left_on_a_host_or_in_what_a_run_leaves(tailnet: Tailnet) -> None:
    assert len(tailnet.keys) == 3
    words = "\n".join(tailnet.keys) + "\n"
    for name in ("a", "b"):
        search = """
        words=$(cat)
        journalctl --no-pager | grep -F "$words"
        grep -rlF "$words" /etc /opt /root /run /tmp /usr/local /var --exclude-dir=journal
        true
        """
        assert tailnet.lab[name].run(search, stdin=words).stdout == ""
    for path in tailnet.site.home.rglob("*"):
        if path.is_file():
            assert not any(key.encode() in path.read_bytes() for key in tailnet.keys), path


def test_a_site_that_is_brought_up_right_after_it_was_destroyed_is_in_the_tailnet(tailnet: Tailnet) -> None:
    tailnet.site.destroy()
    tailnet.site.up()
    for name in ("a", "b"):
        # Under another name than before: its old device is still there, as a warning of `up` says.
        assert '"BackendState": "Running"' in tailnet.lab[name].run("tailscale status --json --peers=false").stdout
        assert tailnet.lab[name].run("systemctl is-enabled tailscaled").stdout == "enabled\n"


def test_destroy_leaves_the_tailnet_and_clean_hosts(tailnet: Tailnet) -> None:
    tailnet.site.destroy()
    for name in ("a", "b"):
        host = tailnet.lab[name]
        # A host leaves when the session that tells it to has ended.
        wait_until(lambda: held(host) == tailnet.before[name], f"{name} is as before", deadline_s=40)  # noqa: B023
    devices = tailnet.headscale.devices()
    assert all(one.expired for name, one in devices.items() if name.startswith("lab-"))
    assert tailnet.headscale.devices()["other-c"].online
