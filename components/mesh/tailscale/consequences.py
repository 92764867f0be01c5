"""What edits do to hosts that have joined a tailnet. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from components.consequence import Consequence, Edit, Effect
from components.host.applied import Applied, Pair
from components.mesh.tailscale.plan import TAILSCALE_URL
from components.mesh.tailscale.spec import TailscaleSpec

PART = "tailscale"
ROLE = "tailscale"
"""Role of the command that joins a host, and of its leave script."""

_ROUTES = "--accept-routes=true"
_LOGIN = re.compile(r"--login-server=(\S+)")

LOGIN_SERVER = Edit(
    "tailscale-login-server-changed",
    "`login_server` of a mesh changes",
    Effect.IMPOSSIBLE,
    "stops before it changes the host: the join script asks where it has joined",
)
REMOVED = Edit(
    "tailscale-removed",
    "The mesh is removed, or another kind of mesh takes its place",
    Effect.DESTROYS,
    "**logs the hosts out and removes Tailscale**; hosts that are only reached by the mesh are cut off",
)
ROUTES = Edit(
    "tailscale-routes-accepted",
    "Hosts begin or cease to use the routes of a tailnet",
    Effect.INTERRUPTS,
    "sets it on each host; connections to these networks go another way from then on",
)
EDITS = (LOGIN_SERVER, REMOVED, ROUTES)


def consequences(before: Applied, pairs: Sequence[Pair], spec: TailscaleSpec | None) -> Iterator[Consequence]:
    """What becomes of the hosts in the tailnet."""
    joined = {node: one for node in before.hosts if (one := before.command(f"{node}-{ROLE}"))}
    if not joined:
        return
    if spec is None:
        yield REMOVED.found(
            PART,
            f"{len(joined)} {'hosts leave' if len(joined) > 1 else 'host leaves'} the tailnet and lose their identity "
            "there; "
            "who reaches them by the mesh is cut off.",
            "make sure that every `address` is reachable without the mesh; then `--allow-destroy tailscale`",
        )
        return
    if any((_ROUTES in one.script()) != spec.accept_routes for one in joined.values()):
        yield ROUTES.found(
            PART,
            f"hosts {'use' if spec.accept_routes else 'no longer use'} the networks that other devices of the tailnet "
            "advertise: connections to them go another way.",
            "make sure that none of them covers the site's own network" if spec.accept_routes else "",
        )
    now = (spec.login_server or TAILSCALE_URL).rstrip("/")
    for pair in pairs:
        if pair.before is None or pair.after is None or pair.before.node not in joined:
            continue
        found = _LOGIN.search(joined[pair.before.node].script())
        was = "".join(shlex.split(found[1])) if found else "an unknown server"
        if was != now:
            yield LOGIN_SERVER.found(
                PART,
                f"{pair.after.node} has joined at {was}; moving it to {now} would cut it off.",
                f"remove {pair.after.name}, run `edge up`, then add it again; or keep the login server",
                host=pair.after.name,
                node=pair.after.node,
            )
