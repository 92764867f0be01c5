"""The `edge-lab` command: hosts on this machine: start, stop, show and enter them, and break them on demand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.hosts.layout import DEFAULT_FOLDER
from lab.hosts.system import BadInput, LabError, require_root

DONE, FAILED, BAD_INPUT = 0, 1, 2

app = typer.Typer(
    name="edge-lab",
    help="Real hosts on one Linux machine, for tests: systemd, sshd, disk and network card of their own.",
    epilog="Exit codes: 0 done, 1 failed, 2 bad input; `ssh` leaves with the command's own. Needs root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[
    Path,
    typer.Option(
        "--dir", envvar="EDGE_LAB_DIR", help="State, keys and disks of the lab.", file_okay=False, readable=False
    ),
]
Host = Annotated[str, typer.Argument(help="Name of a host.", show_default=False)]


class Fault(StrEnum):
    """What can be done to a host, and what puts it right."""

    CUT = "cut"
    RESTORE = "restore"
    SLOW = "slow"
    EASE = "ease"
    SKEW = "skew"
    SET_CLOCK = "set-clock"
    DROP_SSH = "drop-ssh"
    POWER_OFF = "power-off"
    POWER_ON = "power-on"
    REIMAGE = "reimage"
    FILL_DISK = "fill-disk"
    FREE_DISK = "free-disk"


@app.command(
    epilog="Examples:  edge-lab up   |   edge-lab up a b   |   edge-lab up --dir /tmp/x --name x --subnet 10.98.0.0/24"
)
def up(
    names: Annotated[list[str] | None, typer.Argument(help="Hosts; a, b and c when left out.")] = None,
    folder: Folder = DEFAULT_FOLDER,
    name: Annotated[str | None, typer.Option(help="What links and control groups are called after.")] = None,
    subnet: Annotated[
        str | None, typer.Option(help="Addresses of the lab, of which this machine has the first.")
    ] = None,
) -> None:
    """Make and boot hosts, and wait until SSH answers. The first time, their root file system is built (minutes)."""
    with reported():
        started, out = time.monotonic(), console()
        lab = Lab(folder, name=name, subnet=subnet)
        wanted = names or ["a", "b", "c"]
        lab.up(wanted, note=lambda text: console(stderr=True).print(text))
        for host in (lab[name] for name in wanted):
            out.print(Text.assemble((f"{host.name:12}", "bold"), f"{host.address:16}{host.host_key}"))
        out.print(Text(f"up after {time.monotonic() - started:.1f} s; the operator's key is {lab.operator_key}", "dim"))


@app.command(epilog="Examples:  edge-lab down   |   edge-lab down --dir /tmp/lab")
def down(
    folder: Folder = DEFAULT_FOLDER,
    name: Annotated[str | None, typer.Option(help="Its name, where the folder has no state of it any more.")] = None,
) -> None:
    """Remove every trace of the lab, also of one whose process was killed. Can be repeated."""
    with reported():
        Lab(folder, name=name).down()


@app.command(epilog="Examples:  edge-lab status   |   edge-lab status --json | jq -r '.hosts[].host_key'")
def status(
    folder: Folder = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Say which hosts there are, and how they are."""
    with reported():
        lab, out = Lab(folder), console()
        hosts = [_state(host) for host in lab.hosts.values()]
        if as_json:
            layout = lab.layout
            document = {
                "name": layout.name,
                "folder": str(lab.folder),
                "bridge": layout.bridge,
                "subnet": str(layout.subnet),
                "gateway": layout.gateway,
                "operator_key": str(lab.operator_key),
                "known_hosts": str(lab.known_hosts),
                "hosts": hosts,
                "exit": DONE,
            }
            typer.echo(json.dumps(document, indent=2))
            return
        if not hosts:
            out.print(f"no lab in {lab.folder}; `edge-lab up` makes one")
        for host in hosts:
            power = ("on", "green") if host["on"] else ("off", "red")
            cable = ("plugged", "green") if host["plugged"] else ("cut", "red")
            ssh = ("ssh answers", "green") if host["ssh"] else ("no ssh", "red")
            words = [(f"{text:13}", style) for text, style in (power, cable, ssh)]
            out.print(Text.assemble((f"{host['name']:12}", "bold"), f"{host['address']:16}", *words))


@app.command(
    epilog="Examples:  edge-lab ssh a   |   edge-lab ssh a systemctl --failed",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def ssh(
    host: Host,
    command: Annotated[list[str] | None, typer.Argument(help="Command; a shell when left out.")] = None,
    folder: Folder = DEFAULT_FOLDER,
    user: Annotated[str, typer.Option(help="root, or core, who has sudo.")] = "root",
) -> None:
    """Log in to a host over SSH, its key pinned. Options come before HOST."""
    with reported():
        line = Lab(folder)[host].ssh_command(*(command or ()), user=user)
        os.execvp(line[0], line)


@app.command(
    epilog="Examples:  edge-lab fault cut b   |   edge-lab fault slow a --delay-ms 300   |   edge-lab fault reimage all"
)
def fault(
    kind: Annotated[Fault, typer.Argument(help="What to do.", show_default=False)],
    host: Annotated[str, typer.Argument(help="Name of a host, or `all`.", show_default=False)],
    folder: Folder = DEFAULT_FOLDER,
    delay_ms: Annotated[int, typer.Option(min=0, help="With slow: added to each round trip, in ms.")] = 0,
    loss_percent: Annotated[
        float, typer.Option(min=0, max=100, help="With slow: packets lost each way, in percent.")
    ] = 0,
    hours: Annotated[float, typer.Option(help="With skew: how far ahead, or (negative) behind, in hours.")] = 0,
) -> None:
    """Break something on a host, or put it right: cable, packets, clock, SSH sessions, power, installation, disk."""
    with reported():
        lab = Lab(folder)
        if kind is Fault.SLOW and not (delay_ms or loss_percent):
            raise BadInput("`slow` needs --delay-ms or --loss-percent")
        if kind is Fault.SKEW and not hours:
            raise BadInput("`skew` needs --hours; `set-clock` puts it right")
        hosts = list(lab.hosts.values()) if host == "all" else [lab[host]]
        for one in hosts:
            _actions(one, delay_ms, loss_percent, hours)[kind]()
        if kind in (Fault.POWER_ON, Fault.REIMAGE):
            for one in hosts:
                if one.plugged:
                    one.wait_ssh()
            lab.pin()


class Uplink(StrEnum):
    """What can be done to what all hosts share."""

    CUT = "cut"
    RESTORE = "restore"


@app.command(epilog="Examples:  edge-lab uplink cut   |   edge-lab uplink restore")
def uplink(
    kind: Annotated[Uplink, typer.Argument(help="What to do.", show_default=False)],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Cut all hosts off from this machine, their only way out, or connect them again. They still reach each other."""
    with reported():
        lab = Lab(folder)
        if not lab.exists:
            raise BadInput(f"there is no lab in {lab.folder}; `edge-lab up` makes one")
        {Uplink.CUT: lab.cut_uplink, Uplink.RESTORE: lab.restore_uplink}[kind]()


def _actions(host: LabHost, delay_ms: int, loss_percent: float, hours: float) -> dict[Fault, Callable[[], object]]:
    return {
        Fault.CUT: host.cut,
        Fault.RESTORE: host.restore,
        Fault.SLOW: lambda: host.slow(delay_ms=delay_ms, loss_percent=loss_percent),
        Fault.EASE: host.ease,
        Fault.SKEW: lambda: host.skew(hours),
        Fault.SET_CLOCK: host.set_clock,
        Fault.DROP_SSH: host.drop_ssh,
        Fault.POWER_OFF: host.power_off,
        Fault.POWER_ON: host.power_on,
        Fault.REIMAGE: host.reimage,
        Fault.FILL_DISK: host.fill_disk,
        Fault.FREE_DISK: host.free_disk,
    }


def _state(host: LabHost) -> dict[str, Any]:
    pid = host.pid
    return {
        "name": host.name,
        "address": host.address,
        "host_key": host.host_key,
        "pid": pid,
        "on": pid is not None,
        "plugged": host.plugged,
        "ssh": pid is not None and host.plugged and host.answers(),
    }


def console(*, stderr: bool = False) -> Console:
    """A terminal as the user has it; no line breaks into what goes to a file."""
    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def reported() -> Iterator[None]:
    """Turns the lab's errors into one message and an exit code. All commands need root: that is checked first."""
    try:
        require_root()
        yield
    except LabError as error:
        console(stderr=True).print(Text(str(error), style="red"))
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput) else FAILED) from None


def main() -> None:
    """Entry point of the `edge-lab` command."""
    app(prog_name="edge-lab")


if __name__ == "__main__":
    main()
