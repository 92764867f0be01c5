"""The hosts of a site as devices of a tailnet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_command import remote

from components.base import EdgeComponent
from components.egress import ENVIRONMENT
from components.host.component import Host
from components.mesh.tailscale.plan import KeyPlan, key_plan, plan, props, site_tags
from components.mesh.tailscale.spec import TailscaleSpec
from components.shell import secret_lines

if TYPE_CHECKING:
    import pulumi_tailscale as tailscale


@dataclass(frozen=True)
class TailscaleArgs:
    """What a site's devices are made from."""

    spec: TailscaleSpec
    site: str
    """Site id: the hosts' own tag."""
    hosts: Sequence[Host]
    auth_key: pulumi.Input[str] | None = None
    """What lets hosts join, for ``key: {source: config}``. Becomes a secret if it is not one yet."""
    environment: pulumi.Input[str] | None = None
    """The environment that the daemon goes out with, where there is one: a secret. It starts anew when that changes."""


class Tailscale(EdgeComponent):
    """``edge:index:Tailscale``: one command for each host; and the key, where the site has one made.

    Attributes: ``joined`` (command by node name), ``key`` (None where it comes from the configuration).
    """

    def __init__(self, name: str, args: TailscaleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec, site = args.spec, args.site
        super().__init__("Tailscale", name, props(site, spec), opts)
        to_make = key_plan(site, spec)
        self.key = None if to_make is None else self._make_key(f"{name}-key", to_make)
        if self.key is not None:
            ends = self.key.expires_at.apply(lambda time: time or "unknown")
            lines: list[pulumi.Input[str]] = [self.key.key, ends]
        elif args.auth_key is not None:
            lines = [pulumi.Output.secret(args.auth_key)]
        else:
            raise ValueError(f"{name}: the secret tailscale-auth-key is missing")
        environment = [] if args.environment is None else [pulumi.Output.secret(args.environment)]
        # An Output of its own: the secrets go to the hosts by standard input.
        stdin = pulumi.Output.all(*lines, *environment).apply(secret_lines)
        self.joined: dict[str, remote.Command] = {}
        for host in args.hosts:
            scripts = plan(site, host.machine, spec, ENVIRONMENT if environment else None)
            self.joined[host.node] = host.command(
                self, "tailscale", scripts.join, delete=scripts.leave, expected=scripts.expected, stdin=stdin
            )
        self.register_outputs({"tags": list(site_tags(site, spec))})

    def _make_key(self, name: str, key: KeyPlan) -> tailscale.TailnetKey:
        # One more plugin, so only sites that ask for it load it.
        import pulumi_tailscale as tailscale

        tailnet = tailscale.Provider(f"{name}-tailnet", tailnet=key.tailnet, opts=self.under())
        return tailscale.TailnetKey(
            name,
            description=key.description,
            tags=list(key.tags),
            preauthorized=True,
            # Reusable within its few hours, since all hosts of the site join with it; hosts stay when they go offline.
            reusable=True,
            ephemeral=False,
            expiry=key.expiry_s,
            # Acts where a refresh has seen that the key ended. `Expiring` is for all other runs.
            recreate_if_invalid="always",
            opts=self.under(provider=tailnet, additional_secret_outputs=["key"]),
        )
