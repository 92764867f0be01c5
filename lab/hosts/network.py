"""The lab's network: a bridge on this machine, a cable to each host, and what can be done to a cable.

Everything of a host's own network is in its namespace and goes with it; here are only the bridge and the near ends.
"""

from __future__ import annotations

import ipaddress
import json
import re
import sys
from pathlib import Path

from lab.hosts import cgroups
from lab.hosts.layout import Layout
from lab.hosts.system import LabError, run

_CABLE = Path(__file__).with_name("cable.py")


def plug_in_bridge(layout: Layout) -> None:
    """Makes the bridge, if it is not there. Raises LabError when the machine uses the lab's addresses otherwise."""
    for link in json.loads(run(["ip", "-json", "-4", "address", "show"]).stdout):
        for known in link.get("addr_info", ()):
            used = f"{known['local']}/{known['prefixlen']}"
            if link["ifname"] != layout.bridge and _overlap(layout, used):
                raise LabError(f"{layout.subnet} overlaps {used} of {link['ifname']}: choose another subnet")
    if links(layout, layout.bridge):
        return
    # An address of its own: a bridge without one takes that of whatever is plugged in last.
    run(["ip", "link", "add", layout.bridge, "address", _hardware_address(layout, 1), "type", "bridge"])
    # No packet of a host goes any further than this machine.
    Path(f"/proc/sys/net/ipv4/conf/{layout.bridge}/forwarding").write_text("0\n")
    run(["ip", "address", "add", f"{layout.gateway}/{layout.subnet.prefixlen}", "dev", layout.bridge])
    run(["ip", "link", "set", layout.bridge, "up"])
    if has_ipv6():
        run(["ip", "address", "add", f"{layout.gateway6}/64", "dev", layout.bridge, "nodad"])


def has_ipv6() -> bool:
    """Whether this machine has IPv6, and so its hosts."""
    disabled = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
    return disabled.exists() and disabled.read_text() == "0\n"


def links(layout: Layout, exactly: str | None = None) -> list[str]:
    """The lab's links on this machine: the bridge and the near ends of cables."""
    names = [link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]).stdout)]
    own = re.compile(re.escape(exactly) if exactly else rf"{layout.name}(0|-\d+)")
    return [name for name in names if own.fullmatch(name)]


def unplug(layout: Layout, exactly: str | None = None) -> None:
    """Removes the lab's links, or the one of that name; nothing when it is gone already."""
    for link in links(layout, exactly):
        # Its other end may go with its namespace at this very moment.
        run(["ip", "link", "delete", link], check=False)
    if left := links(layout, exactly):
        raise LabError(f"could not remove the network links {', '.join(left)}")


def plug_in(layout: Layout, number: int, pid: int, *, up: bool) -> None:
    """A cable from the bridge to the namespace of process ``pid``, where it is eth0 with address and default route."""
    near, mac = layout.link(number), _hardware_address(layout, number)
    unplug(layout, near)
    run(["ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", str(pid)])
    inside = [
        "link set lo up",
        f"address add {layout.address(number)}/{layout.subnet.prefixlen} dev eth0",
        "link set eth0 up",
        f"route add default via {layout.gateway} dev eth0",
    ]
    if has_ipv6():
        inside += [
            f"address add {layout.address6(number)}/64 dev eth0 nodad",
            f"-6 route add default via {layout.gateway6} dev eth0",
        ]
    for command in inside:
        run(["nsenter", f"--target={pid}", "--net", "ip", *command.split()])
    run(["ip", "link", "set", near, "master", layout.bridge])
    set_cable(near, up=up)


def set_cable(near: str, *, up: bool) -> None:
    """Pulls the cable (the host sees its carrier go) or plugs it in again."""
    run(["ip", "link", "set", near, "up" if up else "down"])


def set_uplink(layout: Layout, *, up: bool) -> None:
    """Gives this machine its address in the lab, or takes it away: hosts reach each other then, and nothing else.

    Whatever listens on the address goes on listening, and answers again when it is back.
    """
    own = f"{layout.gateway}/{layout.subnet.prefixlen}"
    run(["ip", "address", "replace" if up else "delete", own, "dev", layout.bridge], check=up)
    if has_ipv6():
        own = f"{layout.gateway6}/64"
        run(["ip", "address", "replace" if up else "delete", own, "dev", layout.bridge, "nodad"], check=up)


def slow(layout: Layout, number: int, *, delay_ms: int, loss_percent: float) -> None:
    """Delays and loses packets between the host and the bridge; in place of whatever was so before."""
    near, port = layout.link(number), layout.slow_port(number)
    ease(layout, number)
    # Out of the bridge it is a link of this machine, which is not to answer on it.
    for setting, value in (("ipv4/conf/{}/arp_ignore", "8"), ("ipv6/conf/{}/disable_ipv6", "1")):
        path = Path("/proc/sys/net", setting.format(near))
        if path.exists():
            path.write_text(f"{value}\n")
    label = layout.slow_label(number)
    cgroups.create(label)
    run(["ip", "link", "set", near, "nomaster"])
    program = [sys.executable, "-I", str(_CABLE), near, port, layout.bridge, str(delay_ms), str(loss_percent)]
    # In a control group of its own it is found again, and ended, by `down`.
    done = run(cgroups.inside(label, "setsid", "--fork", *program), check=False)
    if done.stdout != "carries\n":
        ease(layout, number)
        raise LabError(f"the cable {near} cannot be slowed: {done.stderr.strip()}")


def ease(layout: Layout, number: int) -> None:
    """Ends ``slow``; nothing when the cable is not slowed."""
    label = layout.slow_label(number)
    if cgroups.labels(label):
        cgroups.remove(label)
        run(["ip", "link", "set", layout.link(number), "master", layout.bridge], check=False)


def _overlap(layout: Layout, used: str) -> bool:
    return layout.subnet.overlaps(ipaddress.IPv4Interface(used).network)


def _hardware_address(layout: Layout, number: int) -> str:
    """The same through every power cycle, as a network card's is: neighbours have it in their tables."""
    return "02:ed:" + ":".join(f"{byte:02x}" for byte in layout.subnet[number].packed)
