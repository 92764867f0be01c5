"""One host of a lab: its name, how to enter it, its power, and faults on demand."""

from __future__ import annotations

import base64
import shlex
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.hosts import cgroups, disk, network, power
from lab.hosts.layout import Layout
from lab.hosts.system import LabError, require_tools, run, tail, wait_until

SSH_PORT = 22
_BALLAST = "/var/lib/lab-ballast"
_SKEW = "/usr/lib/lab-skew.so"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Every sshd but the one that listens serves a connection.
_DROP_SSH = """
main=$(systemctl show --property MainPID --value ssh)
for pid in $(pgrep -x sshd); do
  if [ "$pid" != "$main" ] && kill -KILL "$pid" 2>/dev/null; then echo "$pid"; fi
done
"""

# What is left after the one big piece (metadata of its own, rounding) goes in small ones.
_FILL = f"""
free=$(df --output=avail --block-size=1 /var/lib | tail -n 1)
fallocate --length "$free" {_BALLAST} 2>/dev/null || fallocate --length $((free - 67108864)) {_BALLAST}
dd if=/dev/zero of={_BALLAST}.rest bs=4096 2>/dev/null || true
"""


@dataclass(frozen=True)
class LabHost:
    """A machine, as seen from inside: systemd, sshd, a disk, a network card."""

    name: str
    number: int
    """Its place in the lab's subnet."""
    layout: Layout
    image: Path
    """The root file system below its disk."""

    @property
    def address(self) -> str:
        """IPv4 address at which this machine and the other hosts reach it."""
        return self.layout.address(self.number)

    @property
    def address6(self) -> str:
        """IPv6 address at which they do, where this machine has IPv6."""
        return self.layout.address6(self.number)

    @property
    def folder(self) -> Path:
        """Disk, host key and boot log of the host, on this machine."""
        return self.layout.host_folder(self.name)

    @property
    def host_key(self) -> str:
        """The public key of its sshd, as a site file has it: `ssh-ed25519 AAAA...`. Another one after `reimage`."""
        return disk.public_line(self.folder / "host_key")

    @property
    def operator_key(self) -> Path:
        """The private key that may log in as root, and as `core`, who has sudo."""
        return self.layout.folder / "operator"

    @property
    def pid(self) -> int | None:
        """Its first process, as this machine numbers it; None when the host is off."""
        return power.process(self.folder)

    def _first_process(self) -> int:
        pid = self.pid
        if pid is None:
            raise LabError(f"{self.name} is off")
        return pid

    @property
    def plugged(self) -> bool:
        """Whether its cable is in; a cut cable stays cut while the host is switched off and on."""
        return not self._cut_mark.exists()

    @property
    def _cut_mark(self) -> Path:
        return self.folder / "cut"

    def enter(self, *command: str) -> list[str]:
        """The command that runs ``command`` inside the host, without SSH, as root. Raises LabError when it is off."""
        first = self._first_process()
        namespaces = ["nsenter", f"--target={first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        # As the host's own processes have it: none may set this machine's clock.
        powers = ["setpriv", "--bounding-set=-sys_time"]
        environment = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LC_ALL=C.UTF-8"]
        return cgroups.inside(self.layout.label(self.name), *namespaces, *powers, *environment, *command)

    def run(
        self, command: str, *, stdin: str = "", check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a bash command inside, without SSH. Raises LabError with its own words when it fails and ``check``."""
        done = subprocess.run(
            self.enter("bash", "-c", command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"on {self.name}, `{command.strip()}` failed ({done.returncode}): {said}")
        return done

    def ssh_command(self, *command: str, user: str = "root") -> list[str]:
        """The OpenSSH client's command line to the host, its key pinned; with ``command`` as one remote command."""
        known = self.layout.folder / "known_hosts"
        options = {
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        pinned = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        # Nobody's own configuration and agent has a say in it.
        return ["ssh", "-F", "none", "-i", str(self.operator_key), *pinned, f"{user}@{self.address}", *command]

    def ssh(
        self, command: str, *, user: str = "root", stdin: str = "", timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` over SSH; its exit code is the command's, or 255 when the connection failed."""
        return subprocess.run(
            self.ssh_command(command, user=user),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def answers(self) -> bool:
        """Whether its sshd answers, seen from this machine."""
        try:
            with socket.create_connection((self.address, SSH_PORT), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_ssh(self, deadline_s: float = 60) -> None:
        """Returns when its sshd answers. Raises LabError at the deadline, or when the host went off meanwhile."""

        def decided() -> bool:
            return self.pid is None or self.answers()

        wait_until(decided, f"sshd of {self.name} answers at {self.address}", deadline_s=deadline_s)
        if self.pid is None:
            raise LabError(f"{self.name} went off while it booted:\n{tail(self.folder / 'boot.log')}")

    def wait_booted(self, deadline_s: float = 60) -> str:
        """Returns when systemd has started everything: `running`, or `degraded` when a unit failed."""
        state = ""

        def settled() -> bool:
            nonlocal state
            state = self.run("systemctl is-system-running 2>/dev/null", check=False).stdout.strip()
            return state in ("running", "degraded")

        wait_until(settled, f"{self.name} has booted", deadline_s=deadline_s)
        return state

    # Faults, and what puts them right.

    def power_off(self) -> None:
        """Cuts the power: nothing on the host is stopped first. The disk stays."""
        power.off(self.layout, self.name, self.number)

    def power_on(self) -> None:
        """Boots it from its disk; `wait_ssh` and `wait_booted` wait for that. Does nothing when it is on."""
        power.on(self.layout, self.name, self.number, self.image, plugged=self.plugged)

    def reimage(self) -> None:
        """Another installation under the same name and address: new disk, new host key, new machine id. Boots it."""
        self.power_off()
        disk.new_disk(self.folder, self.name, self.operator_key)
        self.power_on()

    def cut(self) -> None:
        """Pulls the network cable."""
        self._cut_mark.touch()
        if self.pid is not None:
            network.set_cable(self.layout.link(self.number), up=False)

    def restore(self) -> None:
        """Plugs the network cable in again."""
        self._cut_mark.unlink(missing_ok=True)
        if self.pid is not None:
            network.set_cable(self.layout.link(self.number), up=True)

    def slow(self, *, delay_ms: int = 0, loss_percent: float = 0) -> None:
        """Until `ease` or the power goes, ``delay_ms`` more for a round trip, and a share of all packets lost.

        Lost each way, so that a round trip is lost nearly twice as often.
        Raises LabError when it is off.
        """
        self._first_process()
        network.slow(self.layout, self.number, delay_ms=delay_ms, loss_percent=loss_percent)

    def ease(self) -> None:
        """Ends `slow`."""
        network.ease(self.layout, self.number)

    def skew(self, hours: float) -> None:
        """Sets its clock wrong by ``hours``, ahead or (negative) behind, until `set_clock` or `reimage`.

        Holds for programs started from now on that ask the C library: bash, date, curl, sshd, and after a boot systemd.
        Go's ask the kernel, and see this machine's clock.
        """
        require_tools(("gcc",))
        with tempfile.NamedTemporaryFile(suffix=".so") as library:
            shared = ["-shared", "-fPIC", "-O1", "-nostartfiles", "-o", library.name]
            run(["gcc", *shared, f"-DSKEW_S={round(hours * 3600)}L", str(Path(__file__).with_name("skew.c"))])
            body = base64.b64encode(Path(library.name).read_bytes()).decode()
        # Programs that run keep the library that they have: another file takes its name.
        self.run(f"base64 -d >{_SKEW}.new && mv {_SKEW}.new {_SKEW} && echo {_SKEW} >/etc/ld.so.preload", stdin=body)

    def set_clock(self) -> None:
        """Ends `skew`, for programs started from now on."""
        self.run(f"rm -f /etc/ld.so.preload {_SKEW}")

    def drop_ssh(self) -> int:
        """Kills every SSH session, scripts included; what a script started may go on. Returns how many processes."""
        return len(self.run(_DROP_SSH).stdout.split())

    def fill_disk(self) -> None:
        """Leaves no free block on the disk."""
        self.run(_FILL)

    def free_disk(self) -> None:
        """Ends `fill_disk`."""
        self.run(f"rm -f {shlex.quote(_BALLAST)} {shlex.quote(_BALLAST)}.rest")
