"""A lab: hosts on one bridge of this machine, remembered on disk, so that another process can use it or remove it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from lab.hosts import cgroups, disk, network, power
from lab.hosts.host import LabHost
from lab.hosts.image import image
from lab.hosts.layout import DEFAULT_FOLDER, DEFAULT_NAME, DEFAULT_SUBNET, FIRST_HOST, Layout, check_host_name, layout
from lab.hosts.system import BadInput, LabError, raise_inotify_limit, require_root, require_tools, run, wait_until

_TOOLS = ("ip", "losetup", "mkfs.ext4", "mount", "nsenter", "pivot_root", "setsid", "ssh", "ssh-keygen", "unshare")
_STATE = "lab.json"


class Lab:
    """``folder`` is what a lab is found by; ``name`` and ``subnet`` are remembered in it and matter the first time.

    Two labs need different folders, names and subnets. Raises LabError when ``folder`` holds a lab of another name or
    subnet than those given (as BadInput).
    """

    def __init__(self, folder: Path = DEFAULT_FOLDER, *, name: str | None = None, subnet: str | None = None) -> None:
        known = _read_state(folder / _STATE)
        self._numbers: dict[str, int] = {}
        self._image: Path | None = None
        if known is not None:
            if (name or known["name"], subnet or known["subnet"]) != (known["name"], known["subnet"]):
                raise LabError(
                    f"{folder} holds another lab: {known['name']} in {known['subnet']}; `edge-lab down` ends it"
                )
            name, subnet, self._numbers = known["name"], known["subnet"], known["hosts"]
            self._image = Path(known["image"])
        self.layout: Layout = layout(folder, name or DEFAULT_NAME, subnet or DEFAULT_SUBNET)

    @property
    def folder(self) -> Path:
        """Where state, keys and disks are."""
        return self.layout.folder

    @property
    def operator_key(self) -> Path:
        """Private key (OpenSSH format) that may log in to every host; its public half is beside it."""
        return self.folder / "operator"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys in OpenSSH's format. `up` writes it; so does `pin`, after a host was reimaged."""
        return self.folder / "known_hosts"

    @property
    def hosts(self) -> dict[str, LabHost]:
        """The hosts by name, whether on or off."""
        if self._image is None:
            return {}
        return {name: LabHost(name, number, self.layout, self._image) for name, number in self._numbers.items()}

    def __getitem__(self, name: str) -> LabHost:
        found = self.hosts.get(name)
        if found is None:
            known = ", ".join(self._numbers) or "none: `edge-lab up` makes some"
            raise BadInput(f"there is no host {name!r} in this lab; there is: {known}")
        return found

    @property
    def exists(self) -> bool:
        """Whether `up` has made something here that `down` has not removed."""
        return (self.folder / _STATE).is_file()

    def up(
        self, names: Sequence[str], *, deadline_s: float = 120, note: Callable[[str], None] = lambda _: None
    ) -> None:
        """Makes and boots the hosts ``names`` and waits until SSH answers; hosts that are up stay as they are.

        ``deadline_s`` is for the boot, in seconds; the image, if it has to be built first, takes its own time.
        """
        for name in names:
            check_host_name(name)
        require_root()
        require_tools(_TOOLS)
        raise_inotify_limit()
        made = image(note)
        with self._alone():
            # Disks belong to the image that they were made over, even where there is a newer recipe by now.
            self._image = self._image or made
            for name in names:
                self._numbers.setdefault(name, max(self._numbers.values(), default=FIRST_HOST - 1) + 1)
            # Before anything is made: `down` has to know what there may be.
            self._write_state()
            if not self.operator_key.exists():
                disk.new_key(self.operator_key, f"operator@{self.layout.name}")
            network.plug_in_bridge(self.layout)
            hosts = [self[name] for name in names]
            for host in hosts:
                if not (host.folder / "disk.img").exists():
                    disk.new_disk(host.folder, host.name, self.operator_key)
            self.pin()
            for host in hosts:
                host.power_on()
        for host in hosts:
            if host.plugged:
                host.wait_ssh(deadline_s)
            host.wait_booted(deadline_s)

    def pin(self) -> None:
        """Writes the hosts' keys of now to `known_hosts`."""
        lines = [f"{host.address} {host.host_key}\n" for host in self.hosts.values() if host.folder.is_dir()]
        self.known_hosts.write_text("".join(lines))

    def cut_uplink(self) -> None:
        """Cuts all hosts off from this machine and everything behind it; they still reach each other."""
        network.set_uplink(self.layout, up=False)

    def restore_uplink(self) -> None:
        """Ends `cut_uplink`."""
        network.set_uplink(self.layout, up=True)

    def power_off(self) -> None:
        """Cuts the power of every host."""
        for host in self.hosts.values():
            host.power_off()

    def down(self) -> None:
        """Removes every trace of the lab, also of one whose process was killed. Does nothing when there is none."""
        require_root()
        require_tools(("ip", "losetup"))
        with self._alone():
            for label in cgroups.labels(f"{self.layout.name}-"):
                cgroups.remove(label)
            for name, number in self._numbers.items():
                power.off(self.layout, name, number)
            network.unplug(self.layout)
            self._release_disks()
            for name in self._numbers:
                disk.forget(self.layout.host_folder(name))
            for file in (_STATE, "known_hosts", "operator", "operator.pub", "lock"):
                (self.folder / file).unlink(missing_ok=True)
            self._numbers.clear()
            self._image = None
            for folder in (self.folder / "hosts", self.folder):
                # Something of somebody else's may be there: then it stays.
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def _release_disks(self) -> None:
        """Detaches disks that the kernel still holds although their host is gone."""
        for device in disk.loop_devices(self.folder):
            run(["losetup", "--detach", device], check=False)
        wait_until(lambda: not disk.loop_devices(self.folder), f"the disks in {self.folder} are let go", deadline_s=30)

    def _write_state(self) -> None:
        state = _State(
            name=self.layout.name, subnet=str(self.layout.subnet), image=str(self._image), hosts=self._numbers
        )
        new = self.folder / f"{_STATE}.new"
        new.write_text(json.dumps(state, indent=2) + "\n")
        new.rename(self.folder / _STATE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes or removes the lab."""
        if not self.folder.exists():
            # Keys are in it.
            self.folder.mkdir(mode=0o700, parents=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _State(TypedDict):
    name: str
    subnet: str
    image: str
    hosts: dict[str, int]


def _read_state(path: Path) -> _State | None:
    try:
        state = json.loads(path.read_text())
        return _State(name=state["name"], subnet=state["subnet"], image=state["image"], hosts=dict(state["hosts"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LabError(
            f"{path} cannot be read ({error}): remove it, then `edge-lab down` clears away the rest"
        ) from None
