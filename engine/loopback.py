"""The engine and the program talk on this machine, also where a proxy is set for everything else. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def without_proxy(variables: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment ``variables``.

    Go never asks a proxy for loopback. gRPC's own core, which Python uses, does, unless `no_grpc_proxy`, or else
    `no_proxy`, names it. `no_proxy` itself is left as it is, since `*` in it means something only alone.
    """
    direct = variables.get("no_grpc_proxy") or variables.get("no_proxy") or ""
    return {"no_grpc_proxy": ",".join(filter(None, [direct, "localhost,127.0.0.1,::1"]))}
