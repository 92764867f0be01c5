"""One operation on one site: which workspace, which arguments, what came of it.

Owns the way from a site to a `pulumi` run and back to an ``Outcome``. Events are folded in ``events``, processes and
signals in ``pulumi_process``, wording in ``failure``. Stacks are made and read through the Automation API; preview, up
and destroy go to the executable directly, because only so ^C can be passed on and nothing waits for a second process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from edge.run import failure
from edge.run.events import Run, Step
from edge.run.failure import OperationError
from edge.run.loading import SiteLoading, WorldOf
from edge.run.pulumi_process import STACK_NOT_FOUND, Finished, PulumiProcess
from edge.run.stack_settings import NAMESPACE, placeholders, read_settings
from engine.environment import PROJECT_ROOT, environment
from engine.obtain.cli import PulumiCli, locate
from engine.stand_in.attached_host import attached

if TYPE_CHECKING:
    from pulumi.automation import LocalWorkspace

    from edge.hosts.drift import Report
    from engine.rehearsal.world import World
    from stacks.program import Built
    from stacks.site import SiteSpec

Mode = Literal["rehearsal", "real"]
POLICY_PACK = Path(__file__).resolve().parents[2] / "policies"

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of `edge`."""

OnStep = Callable[[Step], None]
OnInterrupt = Callable[[int], None]


@dataclass
class Outcome:
    """What an operation came to."""

    site: str
    mode: Mode
    operation: Literal["preview", "up", "destroy"]
    run: Run = field(default_factory=Run)
    cost: dict[str, Any] | None = None
    placeholders: tuple[str, ...] = ()
    duration_s: float = 0.0
    code: int = DONE
    failure: OperationError | None = None
    drift: Report | None = None
    """What was found on the hosts, where somebody asked for a look."""

    def as_dict(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = {
            "site": self.site,
            "mode": self.mode,
            "operation": self.operation,
            "resources": [change.as_dict() for change in self.run.changes],
            "counts": self.run.counts,
            "policies": [finding.as_dict() for finding in self.run.policies],
            "cost": self.cost,
            "secrets": {"placeholders": list(self.placeholders)},
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.run.diagnostics],
            "duration_s": round(self.duration_s, 3),
            "exit": self.code,
        }
        if self.operation == "up":
            document["outputs"] = self.run.outputs
        if self.drift is not None:
            document["drift"] = self.drift.as_dict()
        if self.failure is not None:
            document["error"] = self.failure.as_dict()
        return document


@dataclass(frozen=True)
class Session:
    """A site with everything that a run on it needs; made by ``opened``."""

    site: str
    mode: Mode
    cli: PulumiCli
    process: PulumiProcess
    loading: SiteLoading
    program: tuple[str, ...]
    """Arguments that make `pulumi` run the site's program in this process."""

    def preview(self, on_step: OnStep, on_interrupt: OnInterrupt | None = None, *, destroy: bool = False) -> Outcome:
        """What `up` (or `destroy`) would do; nothing is changed, except that a missing stack is created empty."""
        if destroy:
            return self._operate("preview", ["destroy", "--preview-only"], on_step, on_interrupt)
        arguments = ["preview", "--policy-pack", str(POLICY_PACK), *self.program]
        return self._operate("preview", arguments, on_step, on_interrupt)

    def up(self, on_step: OnStep, on_interrupt: OnInterrupt | None = None) -> Outcome:
        """Bring the site up. The caller has previewed it: this goes ahead at once, with the policies on."""
        arguments = ["up", "--yes", "--skip-preview", "--policy-pack", str(POLICY_PACK), *self.program]
        return self._operate("up", arguments, on_step, on_interrupt)

    def destroy(self, on_step: OnStep, on_interrupt: OnInterrupt | None = None) -> Outcome:
        """Remove everything that the stack holds. The stack stays, with its history."""
        return self._operate("destroy", ["destroy", "--yes", "--skip-preview"], on_step, on_interrupt)

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secret ones masked unless asked for. Raises ``OperationError``."""
        from pulumi.automation import CommandError

        try:
            outputs = self._workspace().stack_outputs(self.site)
        except CommandError as error:
            raise self._explained(str(error)) from error
        return {
            name: output.value if show_secrets or not output.secret else "[secret]" for name, output in outputs.items()
        }

    def secret(self, key: str) -> str:
        """A secret of the stack's settings, in plain text; `pulumi` decrypts it. Raises ``OperationError``."""
        from pulumi.automation import CommandError

        try:
            return self._workspace().get_config(self.site, f"{NAMESPACE}{key}").value
        except CommandError as error:
            raise self._explained(str(error)) from error

    def _operate(
        self,
        operation: Literal["preview", "up", "destroy"],
        arguments: list[str],
        on_step: OnStep,
        on_interrupt: OnInterrupt | None,
    ) -> Outcome:
        started = time.monotonic()
        run, finished = self.stream(arguments, on_step, on_interrupt)
        builds = bool(self.program) and self.program[0] in arguments
        if builds and not finished.interrupts:
            # A site that turned out to be wrong, or to lack secrets, outweighs all that the engine says about it.
            self.loading.wait()
        if finished.code == STACK_NOT_FOUND and not finished.interrupts:
            if not builds:
                raise OperationError(f"{self.site} has no stack here, so there is nothing to destroy.", code=FAILED)
            self._create_stack()
            run, finished = self.stream(arguments, on_step, on_interrupt)
        outcome = Outcome(self.site, self.mode, operation, run, duration_s=time.monotonic() - started)
        if builds and not finished.interrupts:
            outcome.cost = cost_of(self.loading.spec)
            if self.mode == "rehearsal":
                outcome.placeholders = tuple(sorted(placeholders(self.loading.spec)))
        if finished.interrupts:
            outcome.code, outcome.failure = (
                INTERRUPTED,
                failure.interrupted(self.site, operation, self.mode, at_once=finished.interrupts > 1),
            )
        elif finished.code or run.violations or run.result == "failed":
            outcome.code = FAILED
            if not run.violations and not run.errors:
                said = finished.stderr or "\n".join(run.unreadable)
                outcome.failure = self._explained(said or f"`pulumi` ended with exit code {finished.code}")
            elif run.errors:
                outcome.failure = failure.remedy_for(run.errors, self.site, self.mode)
        return outcome

    def stream(
        self, arguments: list[str], on_step: OnStep, on_interrupt: OnInterrupt | None = None
    ) -> tuple[Run, Finished]:
        """One run of `pulumi` with ``arguments`` on the site's stack, its events folded."""
        run = Run(traces=bool(os.environ.get("EDGE_DEBUG")))

        def on_line(line: str) -> None:
            step = run.feed_line(line)
            if step is not None:
                on_step(step)

        command = [*arguments, "--json", "--stack", self.site]
        if self.program and self.program[0] in arguments:
            # Nobody waits for an engine whose site is no good, on its way to a backend that may be far.
            return run, self.process.run(command, on_line, on_interrupt, on_start=self.loading.begin)
        return run, self.process.run(command, on_line, on_interrupt)

    def _create_stack(self) -> None:
        from pulumi.automation import CommandError, StackAlreadyExistsError

        try:
            self._workspace().create_stack(self.site)
        except StackAlreadyExistsError:
            # Somebody else was faster; that is as good.
            return
        except CommandError as error:
            raise self._explained(str(error)) from error

    def _workspace(self) -> LocalWorkspace:
        from pulumi.automation import LocalWorkspace

        from engine.obtain.cli import automation_command

        return LocalWorkspace(
            work_dir=str(self.process.folder),
            env_vars=dict(self.process.variables),
            pulumi_command=automation_command(self.cli),
        )

    def _explained(self, said: str) -> OperationError:
        return failure.explain(said, self.site, self.mode, self.process.variables)


@contextmanager
def opened(
    site: str, *, rehearse: bool, builds: bool = True, root: Path = PROJECT_ROOT, built: Built | None = None
) -> Iterator[Session]:
    """A session on ``site``, whose file is read as the engine starts. Raises ``EngineError`` and ``OperationError``.

    ``builds``: the site's program is run. Without it (destroy, outputs) a site whose file is broken or gone will do.
    ``built`` is called within the program, each time that it has built the site.
    """
    cli = locate()
    name = Path(site).stem
    loading = SiteLoading(site, root, rehearsed=rehearse, built=built)
    with ExitStack() as resources:
        # First of all, since a pack takes about as long to come up as the engine.
        host = resources.enter_context(attached(loading.run, with_pack=True)) if builds else None
        if rehearse:
            folder, variables = _rehearsal(name, loading if builds else None, resources, root)
        else:
            folder, variables = root, environment(project_root=root)
        variables |= {**_STREAMING, **(host.variables if host else {})}
        process = PulumiProcess(cli.path, folder, variables)
        program = host.arguments if host else ()
        yield Session(name, "rehearsal" if rehearse else "real", cli, process, loading, program)


# Without it `preview --json` holds everything back until the end.
_STREAMING = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}


def _rehearsal(site: str, loading: SiteLoading | None, resources: ExitStack, root: Path) -> tuple[Path, dict[str, str]]:
    """The workspace's folder and the variables of a rehearsed run."""
    from engine.rehearsal import RehearsalServer
    from engine.rehearsal.workspace import rehearsal_workspace

    world = cast("World", WorldOf(loading)) if loading is not None else None
    server = resources.enter_context(RehearsalServer(world))
    # Only what is no secret: the program brings the placeholders along.
    paths = rehearsal_workspace(site, root, read_settings(root, site).plain)
    return paths.work_dir, environment(rehearsal=server.debug_providers, project_root=root)


def cost_of(spec: SiteSpec | None) -> dict[str, Any] | None:
    """What the site costs, or None where its file does not say."""
    if spec is None or spec.economics is None:
        return None
    from stacks.economics import assess

    return asdict(assess(spec.economics))
