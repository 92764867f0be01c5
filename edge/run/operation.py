"""One operation on one site: its workspace, its `pulumi` arguments, its result.

Owns the way from a site to a `pulumi` run and back to an ``Outcome``. Stacks are created and read through the
Automation API. Preview, up and destroy run the executable directly: only then can ^C be passed on.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.consequence import Consequence
from components.host.applied import Applied
from edge.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from edge.run import actor, failure, new_stack, plans, secrets_provider
from edge.run.cluster_access import ClusterAccess
from edge.run.consent import impossible
from edge.run.events import Diagnostic, Run, Step
from edge.run.expiring import KUBECONFIG, Held, Renewal, as_arguments
from edge.run.failure import OperationError
from edge.run.judging import pack_folder, require_usable
from edge.run.pulumi_process import STACK_NOT_FOUND, Finished, PulumiProcess
from edge.run.stack_settings import StackSettings, placeholders, read_settings
from engine.environment import PROJECT_ROOT, backend_of, environment
from engine.obtain.cli import PulumiCli, automation_command, installed_path, locate
from engine.obtain.shim import require_host
from stacks.catalogue import catalogue
from stacks.configuration import ALLOW_DESTROY, full_key
from stacks.consequences import answers, held, in_any, of_destroy
from stacks.economics import assess
from stacks.loader import load_site
from stacks.parts import required
from stacks.project import policies_folder, project_name, site_file
from stacks.shared.settings import STACK as SHARED

if TYPE_CHECKING:
    from pulumi.automation import LocalWorkspace

    from edge.run.rehearsed_at import Against, Base
    from stacks.edge_site import EdgeSite
    from stacks.program import Built
    from stacks.site import SiteSpec

Mode = Literal["rehearsal", "real"]
Operation = Literal["preview", "up", "destroy"]
# Without it `preview --json` prints nothing until the end.
_STREAMING = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}

OnStep = Callable[[Step], None]
OnInterrupt = Callable[[int], None]


@dataclass
class Outcome:
    """The result of an operation."""

    site: str
    mode: Mode
    operation: Operation
    run: Run = field(default_factory=Run)
    cost: dict[str, Any] | None = None
    placeholders: tuple[str, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    """What the edit does to a site that is up, the worst first."""
    duration_s: float = 0.0
    code: int = DONE
    failure: OperationError | None = None
    backend: str = ""
    """Where the stack's state is."""
    against: Against | None = None
    renewals: tuple[Renewal, ...] = ()
    """What the stack holds that is made anew, or read again, in this run."""
    judges: bool = False
    """Whether the policies were to judge this run: a destroy builds nothing that they could look at."""

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Messages in the order in which they arrived; those of a preview, where it means nothing, in a fixed order."""
        if self.operation != "preview":
            return self.run.diagnostics
        return sorted(self.run.diagnostics, key=lambda one: (one.urn, one.message))

    def as_dict(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = {
            "site": self.site,
            "mode": self.mode,
            "operation": self.operation,
            "consequences": [one.as_dict() for one in self.consequences],
            "backend": self.backend,
            "new_stack": self.run.is_new,
            "against": self.against.as_dict() if self.against else None,
            "kubeconfig_renewed": next((one.why for one in self.renewals if one.what == KUBECONFIG), None),
            "renewed": [{"what": one.what, "why": one.why} for one in self.renewals],
            "resources": [change.as_dict() for change in self.run.changes],
            "counts": self.run.counts,
            "output_changes": [change.as_dict() for change in self.run.output_changes],
            "policies": [finding.as_dict() for finding in self.run.policies],
            "charts": self.run.charts,
            "judged": self.run.verdict.as_dict() if self.judges else None,
            "cost": self.cost,
            "secrets": {"placeholders": list(self.placeholders)},
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.diagnostics],
            "exit": self.code,
        }
        if self.operation != "preview":
            # A preview says what will be. Two previews of the same are the same document, to the byte.
            document["duration_s"] = round(self.duration_s, 3)
        if self.operation == "up":
            document["outputs"] = self.run.outputs
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
    spec: SiteSpec | None = None
    """The site; None where its program is not run."""
    program: tuple[str, ...] = ()
    """Arguments with which `pulumi` runs the site's program in this process."""
    root: Path = PROJECT_ROOT
    """The project's folder."""
    settings: StackSettings = field(default_factory=lambda: StackSettings(PROJECT_ROOT))
    backend: str = ""
    """Where the stack's state is, for people."""
    against: Against | None = None
    """What a rehearsal starts from, if not from what was rehearsed last."""
    cluster: ClusterAccess = field(default_factory=ClusterAccess)
    held: Held = field(default_factory=Held)
    secrets_provider: str = ""
    """What encrypts the stack, if it is made now; empty for Pulumi's default."""

    def preview(
        self, on_step: OnStep, on_interrupt: OnInterrupt | None = None, save_plan: Path | None = None
    ) -> Outcome:
        """Show what `up` would do. Changes nothing: a real stack that does not exist is not created.

        What cannot work fails here, as what a policy refuses does. ``save_plan`` gets the plan, which ``up`` can be
        held to, where the preview finds nothing wrong.
        """
        if save_plan is None:
            return self._preview(["preview"], on_step, on_interrupt)
        with plans.written(save_plan, self.site, self.mode) as draft:
            outcome = self._preview(["preview", "--save-plan", str(draft.path)], on_step, on_interrupt)
            if outcome.code == DONE:
                draft.keep()
        return outcome

    def _preview(self, command: list[str], on_step: OnStep, on_interrupt: OnInterrupt | None) -> Outcome:
        outcome = self._build("preview", command, on_step, on_interrupt)
        assert self.spec is not None, "opened without its program"
        if outcome.code != INTERRUPTED and (renewals := self._renewals(outcome.run)):
            # Only now is it known. This happens once in nine months, or when a host joins a mesh late.
            outcome = self._build("preview", [*command, *as_arguments(renewals)], on_step, on_interrupt)
            outcome.renewals = renewals
        outcome.consequences = in_any(self._applied(outcome.run), self.spec, catalogue(self.root))
        if outcome.code == DONE and (cannot := impossible(self.site, outcome.consequences)):
            outcome.code, outcome.failure = FAILED, cannot
        return outcome

    def _renewals(self, run: Run) -> tuple[Renewal, ...]:
        of_cluster = self.cluster.renewal(run.diagnostics)
        return (*((of_cluster,) if of_cluster else ()), *self.held.renewals(run.changes))

    def up(
        self,
        on_step: OnStep,
        on_interrupt: OnInterrupt | None = None,
        plan: Path | None = None,
        consent: str = "",
        renewals: Sequence[Renewal] = (),
    ) -> Outcome:
        """Bring the site up without another preview. The policies judge this run too.

        With a ``plan``, the engine previews again first, and does nothing that exceeds the plan. ``consent`` is a stack
        setting for the scripts on the hosts. It stays in the stack's settings until an `up` has succeeded, so that
        plain `pulumi up` can go on with what was interrupted. ``renewals`` are what the preview has found.
        """
        command = ["up", "--yes", "--message", actor.message("up")]
        command += ["--skip-preview"] if plan is None else ["--plan", str(plan.resolve())]
        key = full_key(ALLOW_DESTROY)
        if consent:
            command += ["--config", f"{key}={consent}"]
        command += as_arguments(renewals)
        outcome = self._build("up", command, on_step, on_interrupt, runs=1 if plan is None else 2)
        if plan is not None:
            if outcome.run.runs < 2:
                # It ended with the preview, so nothing was done.
                outcome.operation = "preview"
            exceeded = plans.explain(outcome.run, self.site, applied=outcome.operation == "up")
            outcome.failure = exceeded or outcome.failure
        outcome.renewals = tuple(renewals)
        if consent and outcome.code == DONE:
            self._workspace().remove_config(self.site, key)
        return outcome

    def preview_destroy(self, on_step: OnStep, on_interrupt: OnInterrupt | None = None) -> Outcome:
        """Show what `destroy` would do."""
        outcome = self._destroy("preview", ["destroy", "--preview-only"], on_step, on_interrupt)
        outcome.consequences = of_destroy(Applied.of(map(held, outcome.run.held.values())))
        return outcome

    def destroy(self, on_step: OnStep, on_interrupt: OnInterrupt | None = None) -> Outcome:
        """Remove everything that the stack holds. The stack stays, with its history."""
        return self._destroy(
            "destroy",
            ["destroy", "--yes", "--skip-preview", "--message", actor.message("destroy")],
            on_step,
            on_interrupt,
        )

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secret ones masked unless asked for. Raises ``OperationError``."""
        from pulumi.automation import CommandError, StackNotFoundError

        try:
            outputs = self._workspace().stack_outputs(self.site)
        except StackNotFoundError as error:
            raise failure.never_applied(self.site, self.mode) from error
        except CommandError as error:
            raise self._explained(str(error)) from error
        return {
            name: output.value if show_secrets or not output.secret else "[secret]" for name, output in outputs.items()
        }

    def secret(self, key: str) -> str:
        """A secret of the stack's settings, or else of those that sites share, in plain text; `pulumi` decrypts it.

        Raises ``OperationError``.
        """
        from pulumi.automation import CommandError

        full = full_key(key)
        stack = SHARED if self.settings.takes_shared(full) else self.site
        try:
            return self._workspace().get_config(stack, full).value
        except CommandError as error:
            raise self._explained(str(error)) from error

    def set_secret(self, key: str, value: str) -> None:
        """Put a secret into the stack's settings, encrypted by `pulumi`, which reads it from standard input.

        Raises ``OperationError``.
        """
        finished = self.process.run(["config", "set", "--secret", "--stack", self.site, full_key(key)], stdin=value)
        if finished.interrupts:
            raise OperationError(f"Interrupted: {key} of {self.site} may not be set.", code=INTERRUPTED)
        if finished.code:
            raise self._explained(finished.stderr)

    def exists(self) -> bool:
        """Whether there is the stack. Raises ``OperationError``."""
        return self.holds("") is not None

    def holds(self, component: str) -> bool | None:
        """Whether the stack holds a component of this kind (`K3s`); None where there is no stack."""
        lines: list[str] = []
        finished = self.process.run(["stack", "export", "--stack", self.site], lines.append)
        if finished.code == STACK_NOT_FOUND:
            return None
        if finished.code:
            raise self._explained(finished.stderr)
        deployment = json.loads("".join(lines)).get("deployment") or {}
        return any(one["type"] == f"edge:index:{component}" for one in deployment.get("resources") or ())

    def create(self) -> None:
        """Make the stack, empty. Raises ``OperationError``, also where it has been there and its state is lost."""
        if lost := self._lost():
            raise lost
        self._create_stack()

    def stream(
        self, arguments: list[str], on_step: OnStep, on_interrupt: OnInterrupt | None = None, runs: int = 1
    ) -> tuple[Run, Finished]:
        """One run of `pulumi` with ``arguments`` on the site's stack; its events folded.

        ``runs``: how often the engine runs in it. Only the steps of the last one are told.
        """
        run = Run(pack=policies_folder(self.root), traces=bool(os.environ.get("EDGE_DEBUG")))

        def on_line(line: str) -> None:
            step = run.feed_line(line)
            if step is not None and run.runs >= runs:
                on_step(step)

        return run, self.process.run([*arguments, "--json", "--stack", self.site], on_line, on_interrupt)

    def _build(
        self,
        operation: Operation,
        command: list[str],
        on_step: OnStep,
        on_interrupt: OnInterrupt | None,
        runs: int = 1,
    ) -> Outcome:
        assert self.spec is not None, "opened without its program"
        started = time.monotonic()
        arguments = [*command, "--policy-pack", str(pack_folder(self.root)), *self.program]
        run, finished = self.stream(arguments, on_step, on_interrupt, runs)
        if finished.code == STACK_NOT_FOUND and not finished.interrupts:
            if lost := self._lost():
                raise lost
            if self.mode == "real" and operation == "preview":
                if "--save-plan" in command:
                    raise failure.no_stack_to_plan(
                        self.site, self.backend, secrets_provider.init_command(self.site, self.root)
                    )
                shares = any(map(self.settings.lends, required(self.spec)))
                with new_stack.standing_in(
                    self.process, self.settings, self.root, self.backend, shares=shares
                ) as process:
                    session = dataclasses.replace(self, process=process, secrets_provider="")
                    session._create_stack()
                    run, finished = session.stream(arguments, on_step, on_interrupt)
            else:
                self._create_stack()
                run, finished = self.stream(arguments, on_step, on_interrupt, runs)
        outcome = self._ended(operation, run, finished, started)
        outcome.judges = True
        if outcome.code == DONE and not run.verdict.complete:
            # No finding of policies that did not run is no reason to go on.
            outcome.code, outcome.failure = FAILED, failure.not_judged(run.verdict, self.site)
        if outcome.code == DONE and (reason := self.cluster.refused(run.diagnostics)):
            # The engine is content: the plugin has skipped what it could not look at.
            outcome.code, outcome.failure = FAILED, failure.cluster_refuses(reason, self.site, operation)
        if not finished.interrupts:
            outcome.cost = cost_of(self.spec)
            outcome.placeholders = tuple(sorted(placeholders(self.spec))) if self.mode == "rehearsal" else ()
        return outcome

    def _destroy(
        self, operation: Operation, arguments: list[str], on_step: OnStep, on_interrupt: OnInterrupt | None
    ) -> Outcome:
        started = time.monotonic()
        run, finished = self.stream(arguments, on_step, on_interrupt)
        if finished.code == STACK_NOT_FOUND and not finished.interrupts:
            raise OperationError(f"{self.site} has no stack here, so there is nothing to destroy.", code=FAILED)
        return self._ended(operation, run, finished, started)

    def _ended(self, operation: Operation, run: Run, finished: Finished, started: float) -> Outcome:
        outcome = Outcome(self.site, self.mode, operation, run, duration_s=time.monotonic() - started)
        outcome.backend, outcome.against = self.backend, self.against
        if finished.interrupts:
            at_once = finished.interrupts > 1
            outcome.code = INTERRUPTED
            outcome.failure = failure.interrupted(self.site, operation, self.mode, at_once=at_once)
        elif finished.code or run.violations or run.result == "failed":
            outcome.code = FAILED
            if not run.violations and not run.errors:
                said = finished.stderr or "\n".join(run.unreadable)
                outcome.failure = self._explained(said or f"`pulumi` ended with exit code {finished.code}")
            elif run.errors:
                outcome.failure = failure.remedy_for(
                    run.errors, self.site, self.mode, self._variables, project_name(self.root)
                )
        return outcome

    def _applied(self, run: Run) -> list[Applied]:
        """What the stack holds, as ``run`` has met it: without another process, for any backend.

        After a killed `up` it is not known whether what it had begun was done: then there are two answers.
        """
        applied = [Applied.of(map(held, run.held.values()))]
        if run.has_pending:
            deployment = self._workspace().export_stack(self.site).deployment or {}
            applied += answers(deployment)[1:]
        return applied

    def _create_stack(self) -> None:
        from pulumi.automation import CommandError, StackAlreadyExistsError

        try:
            self._workspace().create_stack(self.site)
        except StackAlreadyExistsError:
            # Somebody else has created it in the meantime.
            return
        except CommandError as error:
            raise self._explained(str(error)) from error

    def _workspace(self) -> LocalWorkspace:
        from pulumi.automation import LocalWorkspace

        return LocalWorkspace(
            work_dir=str(self.process.folder),
            env_vars=dict(self.process.variables),
            pulumi_command=automation_command(self.cli),
            secrets_provider=self.secrets_provider or None,
        )

    def _explained(self, said: str) -> OperationError:
        return failure.explain(said, self.site, self.mode, self._variables, project_name(self.root))

    def _lost(self) -> OperationError | None:
        """What to say where the stack has been there and its state is gone."""
        return failure.state_lost(self.site, self.mode, self._variables, project_name(self.root))

    @property
    def _variables(self) -> dict[str, str]:
        return {**os.environ, **self.process.variables}


@contextmanager
def opened(
    site: str,
    *,
    rehearse: bool,
    root: Path = PROJECT_ROOT,
    built: Built = lambda _site: None,
    meanwhile: Callable[[], None] = lambda: None,
    against: str | Base | None = None,
) -> Iterator[Session]:
    """A session that can preview ``site`` and bring it up. ``site`` is an id or the path of a site file.

    ``built`` is called within the program, each time that it has built the site. ``meanwhile`` is called once, while
    the engine starts. ``against`` is a Git revision, or one that is checked out: a
    rehearsal then starts from the site as it is there. Raises
    ``FileError``, and ``OperationError`` with all secrets that a real run lacks.
    """
    spec = load_site(site, root=root)
    hooks = functools.partial(opened_stack, site, root=root, spec=spec, built=built, meanwhile=meanwhile)
    if against is None:
        with hooks(rehearse=rehearse) as session:
            yield session
        return
    from edge.run.rehearsed_at import checked_out, rehearsed_at

    with (
        checked_out(against, root) if isinstance(against, str) else nullcontext(against) as base,
        rehearsed_at(base, site, root) as (compared, backend),
        hooks(rehearse=True, backend=backend) as session,
    ):
        yield dataclasses.replace(session, against=compared, backend="")


@contextmanager
def opened_stack(
    site: str,
    *,
    rehearse: bool,
    root: Path = PROJECT_ROOT,
    spec: SiteSpec | None = None,
    built: Built = lambda _site: None,
    meanwhile: Callable[[], None] = lambda: None,
    backend: str | None = None,
) -> Iterator[Session]:
    """A session on the stack of ``site``, whose file may be broken or gone: ``spec`` is only needed to build the site.

    ``backend`` is where the state of a rehearsal is, if not where rehearsals are kept.
    Raises ``EngineError`` and ``OperationError``.
    """
    cli, name = locate(), Path(site).stem
    settings = read_settings(root, name)
    if spec is not None:
        require_host(cli.path, installed_path())
        require_usable(root)
        _require_settings(settings, spec, rehearse)
    with ExitStack() as resources:
        if rehearse:
            folder, variables = _rehearsal(name, spec, settings, root, backend, resources)
        else:
            folder, variables = root, environment(project_root=root)
        program: tuple[str, ...] = ()
        cluster, expiring = ClusterAccess(), Held()

        def learned(made: EdgeSite) -> None:
            cluster.learn(made)
            expiring.learn(made)
            built(made)

        if spec is not None:
            program, more = _program(site, spec, settings, rehearse, root, learned, meanwhile, resources)
            variables |= more
        process = PulumiProcess(cli.path, folder, variables | _STREAMING)
        mode: Mode = "rehearsal" if rehearse else "real"
        backend = backend_of(variables, root)
        provider = "" if rehearse else secrets_provider.for_new_stack(root, settings.secrets_provider)
        yield Session(
            name, mode, cli, process, spec, program, root, settings, backend, None, cluster, expiring, provider
        )


def _require_settings(settings: StackSettings, spec: SiteSpec, rehearse: bool) -> None:
    """Refuse settings with which `pulumi up` would build another site, or would stop at a missing secret."""
    site, key = spec.site, full_key("site")
    if other := settings.other_site(site):
        what = f"{key} in {settings.file.name} is `{other}`; `pulumi up` would build that site."
        raise OperationError(what, (f"pulumi config set --stack {site} {key} {site}",), code=BAD_INPUT)
    if not rehearse and (missing := settings.missing(spec)):
        # All at once; the engine would stop at the first.
        raise failure.secrets_missing(site, missing)


def _program(
    site: str,
    spec: SiteSpec,
    settings: StackSettings,
    rehearse: bool,
    root: Path,
    built: Built,
    meanwhile: Callable[[], None],
    resources: ExitStack,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The arguments and variables with which `pulumi` runs the project's program in this process."""
    from edge.run.attached import attached
    from edge.run.program import import_sdks, main_program, rehearsed

    def imports() -> None:
        import_sdks(spec)
        meanwhile()
        # Asked when the run has ended: how many rules there are.
        importlib.import_module("policies.rules.catalogue")

    # Imports overlap the engine's start.
    importing = threading.Thread(target=imports, name="imports", daemon=True)
    importing.start()
    file = Path(site) if site != spec.site else site_file(root, spec.site)
    configuration = rehearsed(spec, settings.plain, file, root) if rehearse else None
    build = main_program(root, spec, built=built, configuration=configuration)

    def program() -> None:
        importing.join()
        build()

    host = resources.enter_context(attached(program, with_pack=True))
    return host.arguments, host.variables


def _rehearsal(
    site: str,
    spec: SiteSpec | None,
    settings: StackSettings,
    root: Path,
    backend: str | None,
    resources: ExitStack,
) -> tuple[Path, dict[str, str]]:
    """The workspace's folder and the variables of a rehearsed run."""
    from engine.rehearsal.serving import RehearsalServer
    from engine.rehearsal.workspace import rehearsal_workspace
    from engine.rehearsal.world import World

    world = World.of(spec.model_dump(mode="json")) if spec is not None else None
    server = resources.enter_context(RehearsalServer(world))
    # Only what is not secret: the program sets its placeholders itself.
    paths = rehearsal_workspace(site, root, settings.plain)
    return paths.work_dir, environment(rehearsal=server.debug_providers, backend=backend, project_root=root)


def cost_of(spec: SiteSpec) -> dict[str, Any] | None:
    """What the site costs, or None where its file does not say."""
    return asdict(assess(spec.economics)) if spec.economics is not None else None
