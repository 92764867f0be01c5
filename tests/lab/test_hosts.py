"""Hosts of the lab are machines, as far as the programs under test can tell, and break as machines do."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.host.machine import Machine
from components.host.plan import KUBELET_SYSCTLS, plan
from components.host.spec import Envelope, HardwareProfile, HostSpec, OsSpec, UpdateWindow
from components.shell import as_root, secret_lines
from lab.hosts.host import SSH_PORT, LabHost
from lab.hosts.lab import Lab
from lab.hosts.system import LabError, wait_until
from tests.lab.pod_image import docker_archive

STACK = secret_lines(["0123456789abcdef"])

_REACH_S = 15


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    """The host c, for tests that damage it: afterwards on, plugged in and known, whatever the test came to."""
    one = lab["c"]
    yield one
    one.restore()
    one.ease()
    one.power_on()
    one.wait_ssh()
    one.set_clock()
    lab.pin()


def reaches(source: LabHost, target: LabHost) -> bool:
    return source.run(f"ping -c 1 -W 1 -q {target.address}", check=False).returncode == 0


def fastest_ms(source: LabHost, target: LabHost) -> float:
    """The shortest of three round trips, in ms."""
    said = source.run(f"ping -c 3 -i 0.1 -q {target.address}").stdout
    return float(said.rpartition("= ")[2].partition("/")[0])


def test_systemd_is_the_first_process_and_no_unit_fails(lab: Lab) -> None:
    for host in lab.hosts.values():
        assert host.run("cat /proc/1/comm").stdout == "systemd\n"
        assert host.wait_booted() == "running", host.run("systemctl --failed --plain").stdout


def test_ssh_answers_with_the_key_that_the_lab_tells(lab: Lab) -> None:
    for host in lab.hosts.values():
        # Not by its name, which a site changes.
        done = host.ssh("hostname --all-ip-addresses")
        assert done.returncode == 0, done.stderr
        assert host.address in done.stdout.split()


def test_each_host_has_a_key_of_its_own(lab: Lab) -> None:
    assert len({host.host_key for host in lab.hosts.values()}) == 3


def test_another_key_than_the_pinned_one_is_refused(lab: Lab, tmp_path: Path) -> None:
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"{lab['a'].address} {lab['b'].host_key}\n")
    command = [word.replace(str(lab.known_hosts), str(wrong)) for word in lab["a"].ssh_command("true")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 255


def test_a_login_that_is_not_root_becomes_root_with_sudo(lab: Lab) -> None:
    done = lab["a"].ssh(as_root("id -un", "core"), user="core")
    assert (done.returncode, done.stdout) == (0, "root\n"), done.stderr


def test_hosts_reach_each_other_and_see_neither_processes_nor_files_of_each_other(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    assert reaches(a, b)
    assert reaches(b, a)
    a.run("touch /etc/only-a /var/lib/only-a")
    assert b.run("ls /etc/only-a /var/lib/only-a", check=False).stdout == ""
    assert a.run("pgrep -xc systemd").stdout == "1\n"
    a.run("rm /etc/only-a /var/lib/only-a")


def test_a_cut_cable_hides_a_host_and_a_restored_one_brings_it_back(lab: Lab, host: LabHost) -> None:
    host.cut()
    assert not host.answers()
    assert not reaches(lab["a"], host)
    assert host.run("cat /sys/class/net/eth0/carrier").stdout == "0\n", "the host does not see that its cable is out"
    host.restore()
    wait_until(lambda: host.answers() and reaches(lab["a"], host), "c is back", deadline_s=_REACH_S)


def test_without_uplink_hosts_reach_each_other_and_nothing_else(lab: Lab) -> None:
    def reaches(address: str, port: int) -> bool:
        dial = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
        return lab["a"].run(dial, check=False).returncode == 0

    with socket.create_server((lab.layout.gateway, 0)) as listener:
        world = listener.getsockname()
        assert reaches(*world)
        lab.cut_uplink()
        try:
            assert not reaches(*world)
            assert reaches(lab["b"].address, 22)
            assert not lab["b"].answers()
        finally:
            lab.restore_uplink()
        assert reaches(*world)
        assert lab["b"].answers()


def test_a_cut_cable_stays_cut_through_a_power_cycle(host: LabHost) -> None:
    host.cut()
    host.power_off()
    host.power_on()
    host.wait_booted()
    assert not host.answers()


def test_a_slow_cable_adds_its_delay_to_a_round_trip_until_it_is_eased(lab: Lab, host: LabHost) -> None:
    host.slow(delay_ms=300)
    assert fastest_ms(lab["a"], host) >= 300
    assert fastest_ms(lab["a"], lab["b"]) < 300, "another host's cable is slow too"
    host.ease()
    assert fastest_ms(lab["a"], host) < 300


def test_a_lossy_cable_loses_packets_and_no_data(lab: Lab, host: LabHost) -> None:
    host.slow(loss_percent=20)
    pings = lab["a"].run(f"ping -c 200 -i 0.01 -W 1 -q {host.address}", check=False).stdout
    assert 60 <= int(pings.partition(" received")[0].split()[-1]) < 200
    # Of what comes again and again, TCP waits ever longer for the next try.
    host.slow(loss_percent=3)
    sent = os.urandom(1 << 20)
    done = subprocess.run(host.ssh_command("tee"), input=sent, capture_output=True, timeout=120, check=False)
    assert done.stdout == sent
    host.ease()


def test_a_slow_cable_is_cut_like_any_other_and_loses_its_slowness_with_the_power(lab: Lab, host: LabHost) -> None:
    host.slow(delay_ms=300)
    host.cut()
    assert not host.answers()
    host.restore()
    wait_until(host.answers, "c is back", deadline_s=_REACH_S)
    host.power_off()
    with pytest.raises(LabError, match="c is off"):
        host.slow(delay_ms=300)
    host.power_on()
    host.wait_ssh()
    assert fastest_ms(lab["a"], host) < 300


def test_a_skewed_clock_is_one_hosts_and_stays_through_a_power_cycle_until_it_is_set(lab: Lab, host: LabHost) -> None:
    def hours_off(one: LabHost) -> set[int]:
        asked = [one.run(ask).stdout for ask in ("date +%s", "printf '%(%s)T' -1")]
        return {round((int(said) - time.time()) / 3600) for said in (*asked, one.ssh("date +%s").stdout)}

    host.skew(-200_000)
    assert hours_off(host) == {-200_000}
    assert hours_off(lab["a"]) == {0}
    host.run("sync")
    host.power_off()
    host.power_on()
    host.wait_ssh()
    assert host.wait_booted() == "running"
    assert hours_off(host) == {-200_000}
    host.set_clock()
    assert hours_off(host) == {0}


def test_a_dropped_session_fails_in_the_middle_of_its_script_and_the_next_one_works(host: LabHost) -> None:
    script = host.ssh_command("echo begun; exec sleep 600")
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "begun\n"
        assert host.drop_ssh() >= 1
        assert session.wait(timeout=30) == 255
    assert host.ssh("true").returncode == 0


def test_a_power_cut_ends_everything_at_once_and_keeps_the_disk(host: LabHost) -> None:
    host.run("echo kept >/etc/kept; echo kept >/var/lib/kept; echo lost >/run/lost; sync")
    before = host.run("cat /proc/sys/kernel/random/boot_id /etc/machine-id").stdout.split()
    host.power_off()
    assert host.pid is None
    assert not host.answers()
    with pytest.raises(LabError, match="c is off"):
        host.run("true")
    host.power_on()
    host.wait_ssh()
    assert host.ssh("cat /etc/kept /var/lib/kept").stdout == "kept\nkept\n"
    assert host.ssh("ls /run/lost").returncode != 0
    after = host.run("cat /proc/sys/kernel/random/boot_id /etc/machine-id").stdout.split()
    assert before[0] != after[0], "the same boot"
    assert before[1] == after[1], "another machine"


def test_a_power_cut_is_silent_on_connections_that_are_open(host: LabHost) -> None:
    with socket.create_connection((host.address, SSH_PORT), timeout=_REACH_S) as connection:
        with connection.makefile("rb") as said:
            # All that sshd says before it knows its client.
            assert said.readline().startswith(b"SSH-")
        host.power_off()
        # Every process of the host has ended by now; a kernel that closed their connections would have said so.
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


def test_a_host_that_powers_itself_off_is_off_and_boots_again(host: LabHost) -> None:
    host.ssh("systemctl poweroff --no-block")
    wait_until(lambda: host.pid is None, "c is off", deadline_s=30)
    host.power_on()
    host.wait_ssh()


def test_a_reimaged_host_has_another_key_and_nothing_on_its_disk(lab: Lab, host: LabHost) -> None:
    host.run("touch /etc/old /var/lib/old")
    key, machine = host.host_key, host.run("cat /etc/machine-id").stdout
    host.reimage()
    host.wait_ssh()
    assert host.host_key != key
    assert host.ssh("true").returncode == 255, "whoever pinned the old key still gets in"
    lab.pin()
    assert host.ssh("ls /etc/old /var/lib/old 2>/dev/null").stdout == ""
    assert host.ssh("cat /etc/machine-id").stdout != machine


def test_a_full_disk_takes_no_file_until_it_is_freed(host: LabHost) -> None:
    def writes(folder: str) -> bool:
        return host.run(f"dd if=/dev/zero of={folder}/more bs=1M count=1", check=False).returncode == 0

    host.fill_disk()
    try:
        assert not writes("/var/lib")
        assert not writes("/opt"), "the root file system is on the same disk"
        assert (host.folder / "disk.img").stat().st_blocks * 512 < 1 << 30, "it fills this machine's disk as well"
    finally:
        host.free_disk()
    assert writes("/var/lib")
    host.run("rm -f /var/lib/more /opt/more")


def test_what_a_node_needs_of_the_kernel_is_there(lab: Lab) -> None:
    lab["a"].run(
        """
        set -e
        ip link add lab-bridge type bridge
        ip link add lab-near type veth peer name lab-far
        ip link add lab-vxlan type vxlan id 7 dev eth0 dstport 8472
        ip tuntap add lab-tun mode tun
        for link in lab-bridge lab-near lab-vxlan lab-tun; do ip link delete $link; done
        iptables -t nat -A POSTROUTING -s 10.42.0.0/16 -j MASQUERADE
        iptables -t nat -D POSTROUTING -s 10.42.0.0/16 -j MASQUERADE
        findmnt --noheadings --output PROPAGATION / | grep -q shared
        """
    )


def test_containerd_runs_a_container(lab: Lab, tmp_path: Path) -> None:
    host, reference = lab["a"], "docker.io/lab/cat:1"
    # Through the host's first process: its root is the host's.
    Path(f"/proc/{host.pid}/root/var/tmp/image.tar").write_bytes(docker_archive(host, reference, "/usr/bin/cat"))
    host.run("systemctl start containerd")
    try:
        host.run("ctr images import /var/tmp/image.tar")
        said = host.run(f"ctr run --rm --memory-limit 67108864 {reference} one /usr/bin/cat /proc/self/cgroup").stdout
        assert ":memory:/default/one" in said or "0::" in said
    finally:
        host.run(f"ctr images rm {reference}; systemctl stop containerd; rm -f /var/tmp/image.tar")


def test_settings_of_the_kernel_are_the_hosts_and_not_this_machines(lab: Lab) -> None:
    setting = Path("/proc/sys/kernel/panic")
    machine = setting.read_text()
    lab["a"].run("sysctl --quiet --write kernel.panic=23")
    assert lab["a"].run("sysctl --values kernel.panic").stdout == "23\n"
    assert setting.read_text() == machine
    lab["a"].run(f"sysctl --quiet --write kernel.panic={machine}")
    same = lab["a"].run("sysctl --values vm.swappiness").stdout
    assert lab["a"].run(f"sysctl --write vm.swappiness={same}", check=False).returncode != 0, "a host sets this machine"


def test_no_packet_of_a_host_is_passed_on(other_lab: Lab) -> None:
    # As on a machine that forwards: new links begin with it.
    default = Path("/proc/sys/net/ipv4/conf/default/forwarding")
    before = default.read_text()
    default.write_text("1\n")
    try:
        other_lab.up(["x"])
    finally:
        default.write_text(before)
    assert Path(f"/proc/sys/net/ipv4/conf/{other_lab.layout.bridge}/forwarding").read_text() == "0\n"


def test_every_process_of_a_host_is_in_control_groups_of_the_host(lab: Lab) -> None:
    host = lab["a"]
    for line in Path(f"/proc/{host.pid}/cgroup").read_text().splitlines():
        assert f"{line.split(':', 2)[2]}/".startswith(f"/{host.layout.label('a')}/"), line
    assert {line.split(":", 2)[2] for line in host.run("cat /proc/self/cgroup").stdout.splitlines()} == {"/"}


def test_nothing_on_a_host_can_set_this_machines_clock(lab: Lab) -> None:
    cap_sys_time = 1 << 25
    status = "grep -h ^Cap /proc/1/status /proc/self/status"
    for said in (lab["a"].run(status).stdout, lab["a"].ssh(status).stdout):
        sets = [int(line.split()[1], 16) for line in said.splitlines()]
        assert sets
        assert not any(one & cap_sys_time for one in sets)


# The project's own scripts.


def scripts_of(host: LabHost) -> dict[str, str]:
    found = {line.split(":")[0]: line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()}
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    profile = HardwareProfile.model_validate(
        {
            "vendor": "lab",
            "model": "namespaces",
            "arch": architecture,
            "cores": 1,
            "memory_mib": int(found["MemTotal"]) // 1024,
            "disk_gib": 32,
            "tpm": False,
            "secure_boot": False,
            "envelope": Envelope(cooling="active", max_ambient_c=40, sustained_watts=10, base_watts=10),
            "sources": dict.fromkeys(
                ("cores", "memory_mib", "disk_gib", "tpm", "secure_boot", "envelope"), "this machine"
            ),
        }
    )
    spec = HostSpec(name=host.name, hardware="lab", address=host.address, host_key=host.host_key)
    system = OsSpec(
        distribution="debian", disk="none", updates=UpdateWindow(managed=False), ntp_servers=(host.layout.gateway,)
    )
    scripts = plan(Machine(index=0, node=f"shop-{host.name}", spec=spec, os=system, hardware=profile))
    return {"reachable": scripts.reachable, "facts": scripts.facts, "base": scripts.base}


@pytest.mark.parametrize("user", ["root", "core"])
def test_the_scripts_of_a_host_prepare_it_once_and_then_change_nothing(lab: Lab, host: LabHost, user: str) -> None:
    host.reimage()
    host.wait_ssh()
    lab.pin()
    machine = {key: Path("/proc/sys", key.replace(".", "/")).read_text() for key in KUBELET_SYSCTLS}
    said = {}
    for name, script in scripts_of(host).items():
        first = host.ssh(as_root(script, user), user=user, stdin=STACK)
        assert (first.returncode, first.stderr) == (0, ""), f"{name}: {first.stdout}{first.stderr}"
        second = host.ssh(as_root(script, user), user=user, stdin=STACK)
        assert (second.returncode, second.stderr) == (0, ""), f"{name}: {second.stdout}{second.stderr}"
        said[name] = (first.stdout.splitlines(), second.stdout.splitlines())
    assert said["reachable"] == (["reachable"], ["reachable"])
    assert said["facts"][0] == said["facts"][1]
    assert "os=debian" in said["facts"][0][0]
    first_base, second_base = said["base"]
    assert "changed /etc/sysctl.d/90-kubelet.conf" in first_base
    assert f"changed the host name to shop-{host.name}" in first_base
    assert "started systemd-timesyncd" in first_base
    assert second_base == [], "a second run changes something"
    assert host.run("hostname; sysctl --values vm.overcommit_memory; systemctl is-active systemd-timesyncd").stdout == (
        f"shop-{host.name}\n1\nactive\n"
    )
    assert machine == {key: Path("/proc/sys", key.replace(".", "/")).read_text() for key in KUBELET_SYSCTLS}


def test_what_the_scripts_prepared_is_there_after_a_power_cut(host: LabHost) -> None:
    base = scripts_of(host)["base"]
    assert host.ssh(as_root(base, "root"), stdin=STACK).returncode == 0
    host.run("sync")
    host.power_off()
    host.power_on()
    host.wait_ssh()
    assert host.wait_booted() == "running", host.run("systemctl --failed --plain").stdout
    assert host.run("hostname; sysctl --values net.ipv4.ip_forward kernel.panic").stdout == f"shop-{host.name}\n1\n10\n"
    assert host.ssh(as_root(base, "root")).stdout == "", "the power cut undid something"
