"""The way out of a site's hosts: one command for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.base import EdgeComponent
from components.egress import ENVIRONMENT, Egress
from components.host.component import Host
from components.network.consequences import ROLE
from components.network.plan import plan
from components.part import HeldEgress
from components.shell import secret_lines


@dataclass(frozen=True)
class NetworkArgs:
    """What a site's way out is made from."""

    egress: Egress
    hosts: Sequence[Host]
    login: pulumi.Input[str] | None = None
    """`user:password` of the proxy. Becomes a secret if it is not one yet."""
    salt: pulumi.Input[str] = ""
    """A secret of the site that nobody guesses: nobody finds the login by way of ``HeldEgress.mark``."""


class Network(EdgeComponent):
    """``edge:index:Network``: what comes after it on a host goes out through the proxy, and trusts the authorities.

    Attributes: ``held`` (what other parts take of it).
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        egress = args.egress
        super().__init__("Network", name, {"follows": list(egress.fields)}, opts)
        login = pulumi.Output.secret(args.login if args.login is not None else "")
        environment = login.apply(egress.environment)
        self.held = HeldEgress(
            environment=environment,
            variables=login.apply(egress.variables),
            mark=pulumi.Output.unsecret(pulumi.Output.all(environment, args.salt).apply(_mark)),
        )
        stdin = environment.apply(lambda text: secret_lines([text]))
        for host in args.hosts:
            scripts = plan(egress, host.machine)
            host.command(self, ROLE, scripts.setup, delete=scripts.remove, expected=scripts.expected, stdin=stdin)
            host.goes_out_by(ENVIRONMENT)
        self.register_outputs({})


def _mark(secrets: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(secrets).encode()).hexdigest()[:16]
