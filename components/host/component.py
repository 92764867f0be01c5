"""A machine of a site: one gate that waits for it, what it must be, and how every other part acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.base import EdgeComponent
from components.expected import Expected
from components.host import nvidia
from components.host.machine import Machine
from components.host.plan import facts_of, plan, published
from components.host.reach import Reach, Secret
from components.shell import comment, secret_lines, with_environment

_LATER_DIAL_ATTEMPTS = 3
"""Attempts of commands after the gate: enough for a lost packet, too few to wait again for a host that is down."""


@dataclass(frozen=True)
class HostArgs:
    """What a host is made from."""

    machine: Machine
    secret: Secret
    stack: pulumi.Input[str]
    """Identity of the stack, which the host is marked with."""
    consent: str = ""
    """Changes of this host that somebody has consented to; see ``components.consequence.consents_of``."""
    jump_host: Host | None = None
    """The host through which SSH reaches this one."""
    after: Sequence[pulumi.Resource] = ()
    """What must be there before the host can be reached."""
    checks: Sequence[str] = ()
    """What the parts on it look for before anything is changed (``Part.host_checks``)."""
    demand_watts: float = 0
    """Power that the models on it may take, in W."""
    demand_accelerators: int = 0
    """Accelerators that they ask for."""
    time_slices: int = 1
    """How many of them may use one by turns."""
    proofs: Sequence[tuple[str, pulumi.Input[str]]] = ()
    """How what runs on it shows that it is this site's (``Part.proof``): each script, and the secret that it reads."""


class Host(EdgeComponent):
    """``edge:index:Host``: reachable, known and prepared.

    Attributes: ``machine``, ``node`` (its name outside the site), ``ready`` (what must be done before anything is
    installed), ``identity`` (changes when the host is installed anew), ``expected`` (what all parts leave on it),
    ``commands`` (names of the commands that run on it).
    """

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        machine = args.machine
        super().__init__(
            "Host", name, published(machine, args.demand_watts, args.demand_accelerators, args.time_slices), opts
        )
        self.machine, self.node, self.spec = machine, machine.node, machine.spec
        self.reach: Reach = Reach(machine, args.secret, args.jump_host.reach if args.jump_host else None)
        scripts = plan(machine, args.checks, [script for script, _ in args.proofs])
        self.identity, self._facts_again = scripts.identity, scripts.facts_again
        self.expected: list[Expected] = []
        self.commands: list[str] = []
        self._last: pulumi.Resource | None = None
        self._environment: str | None = None
        stack = pulumi.Output.all(args.stack).apply(secret_lines)
        consent = secret_lines([args.consent]) if args.consent else ""
        self.command(
            self,
            "reachable",
            scripts.reachable,
            stdin=stack.apply(lambda line: line + consent),
            depends_on=[*args.after, *([args.jump_host.ready] if args.jump_host else [])],
            triggers=[scripts.identity],
            dial_attempts=machine.ssh.dial_attempts,
        )
        facts = self.command(self, "facts", scripts.facts, update=scripts.facts_of_known)
        known = [args.stack, *(secret for _, secret in args.proofs)]
        self.ready: pulumi.Resource = self.command(
            self,
            "base",
            scripts.base,
            delete=scripts.leave,
            expected=scripts.expected,
            stdin=pulumi.Output.all(*known).apply(secret_lines),
        )
        self.register_outputs({"node": self.node, "address": self.spec.address, "facts": facts.stdout.apply(facts_of)})

    def install_packages(self) -> None:
        """NVIDIA's packages, where the site names some for this host, and the gate once more: what the parts need of
        them must be there now."""
        packages = nvidia.plan(self.machine)
        if packages is None:
            return
        self.command(self, nvidia.ROLE, packages.install, delete=packages.remove, expected=packages.expected)
        self.command(self, f"{nvidia.ROLE}-facts", self._facts_again)

    def goes_out_by(self, environment: str) -> None:
        """Scripts from now on run with the variables of the file ``environment``, which is there by then."""
        self._environment = environment

    def connection(self, dial_attempts: int = _LATER_DIAL_ATTEMPTS) -> remote.ConnectionArgs:
        """How to reach the host."""
        return self.reach.connection(dial_attempts)

    def command(
        self,
        component: EdgeComponent,
        role: str,
        script: str,
        *,
        about: Host | None = None,
        name: str | None = None,
        update: str | None = None,
        delete: str | None = None,
        expected: Sequence[Expected] = (),
        stdin: pulumi.Input[str] | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        triggers: Sequence[str] | None = None,
        secret_stdout: bool = False,
        dial_attempts: int = _LATER_DIAL_ATTEMPTS,
    ) -> remote.Command:
        """Run ``script`` on this host, as a child of ``component`` named ``<host>-<role>``.

        A changed script runs again in place (``update`` instead, if given); ``triggers`` replace, so they are
        only for commands without ``delete``. Commands of one host run one after the other, in the order of the calls,
        since sshd refuses bursts. ``about`` names another host that the command is about (and is named after): such a
        command waits for this host to be ready, not for its queue. ``name`` is for what belongs to the site and only
        happens to run here. Secrets go in by ``stdin``, as ``components.shell.secret_lines`` writes them. ``expected``
        is what the script leaves on this host.
        """
        called = name or f"{(about or self).node}-{role}"
        self.expected += expected
        self.commands.append(called)
        if self.spec.reapply and about is None and name is None:
            script = f"{comment(f'reapply: {self.spec.reapply}')}{script}"
        if self._environment and about is None:
            script = with_environment(script, self._environment)
            update = None if update is None else with_environment(update, self._environment)
        before = self._last if about is None else self.ready
        hidden = secret_stdout or stdin is not None
        command = remote.Command(
            called,
            connection=self.connection(dial_attempts),
            create=self.reach.started(script),
            update=None if update is None else self.reach.started(update),
            delete=None if delete is None else self.reach.started(delete),
            stdin=self.reach.stdin(stdin),
            triggers=None if triggers is None else list(triggers),
            add_previous_output_in_env=False,
            logging=remote.Logging.NONE if secret_stdout else remote.Logging.STDOUT_AND_STDERR,
            opts=component.under(
                *([before] if before is not None else []),
                *depends_on,
                additional_secret_outputs=["stdout", "stderr"] if hidden else None,
            ),
        )
        if about is None:
            self._last = command
        return command
