"""A cable that is long or bad: carries frames between a host and the bridge, late, and not all of them.

A program of its own, of the standard library alone, so that it outlives its parent. It takes what
a packet socket on the near end sees, and is itself a port (TAP) of the bridge: every kernel that can run the lab has
both, and few have the queueing discipline (netem) that does this. When it ends, its port goes, and the host is cut off.
"""

from __future__ import annotations

import fcntl
import os
import random
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# linux/if_tun.h, linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000
_CHECKSUM, _TSO4, _TSO6 = 0x01, 0x02, 0x04
_EVERY_PROTOCOL = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_SO_RCVBUFFORCE = 33

_LARGEST = 1 << 17
"""More than a frame may have: what a host sends is split into packets of the network's size later, by the kernel."""
_ROOM = 1 << 26
"""Bytes under way in one direction. What comes on top is lost, as in any queue."""


class Way:
    """One direction. Everything is equally late, so what came first is due first."""

    def __init__(self, take: Callable[[], bytes], give: Callable[[bytes], object], delay_s: float, loss: float) -> None:
        self._take, self._give, self._delay_s, self._loss = take, give, delay_s, loss
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def accept(self) -> None:
        """Takes every frame that is there."""
        # A cable that is cut is an error of its end, until it is plugged in again.
        with suppress(OSError):
            while frame := self._take():
                if random.random() >= self._loss and self._bytes + len(frame) <= _ROOM:
                    self._under_way.append((time.monotonic() + self._delay_s, frame))
                    self._bytes += len(frame)

    def deliver(self) -> None:
        """Gives away what is due."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, frame = self._under_way.popleft()
            self._bytes -= len(frame)
            with suppress(OSError):
                self._give(frame)

    @property
    def next_due(self) -> float:
        """When the next frame is due, on the monotonic clock."""
        return self._under_way[0][0] if self._under_way else float("inf")


def main(near: str, port: str, bridge: str, delay_ms: str, loss_percent: str) -> None:
    """Carries until it is killed. ``delay_ms`` is added to a round trip; each direction loses ``loss_percent``."""
    # Both ends put a header before each frame that says what is left to do: checksums, splitting. It goes along unread.
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", port.encode(), _TAP | _NO_PI | _VNET_HDR))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, _CHECKSUM | _TSO4 | _TSO6)
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    end.bind((near, _EVERY_PROTOCOL))
    subprocess.run(["ip", "link", "set", port, "master", bridge, "up"], check=True)
    delay_s, loss = float(delay_ms) / 2000, float(loss_percent) / 100
    ways = {
        tap: Way(lambda: os.read(tap, _LARGEST), end.send, delay_s, loss),
        end.fileno(): Way(lambda: end.recv(_LARGEST), lambda frame: os.write(tap, frame), delay_s, loss),
    }
    with selectors.DefaultSelector() as arriving:
        for descriptor in ways:
            arriving.register(descriptor, selectors.EVENT_READ)
        # The parent waits for these to be closed: then the cable carries frames.
        print("carries", flush=True)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        while True:
            due = min(way.next_due for way in ways.values())
            wait_s = None if due == float("inf") else max(0.0, due - time.monotonic())
            for key, _ in arriving.select(wait_s):
                ways[key.fd].accept()
            for way in ways.values():
                way.deliver()


if __name__ == "__main__":
    main(*sys.argv[1:])
