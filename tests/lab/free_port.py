"""A TCP port of this machine that nobody uses yet."""

from __future__ import annotations

import socket


def free_port() -> int:
    """On loopback. Another program may take it before the caller does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
