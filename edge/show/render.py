"""Outcomes, findings and failures in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edge.exit_codes import DONE, INTERRUPTED
from edge.run.events import STACK_TYPE, Diagnostic, PolicyFinding, ResourceChange, Run, name_of
from edge.run.expiring import KUBECONFIG, Renewal
from edge.run.failure import OperationError
from edge.run.operation import Outcome
from edge.show import difference
from edge.show.consequences import consequences
from edge.show.lines import paragraph
from sitefile.problems import printable

SIGNS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("±", "magenta"),
    "delete": ("-", "red"),
    "same": (" ", "dim"),
    "read": (">", "cyan"),
    "import": ("=", "cyan"),
    "refresh": ("~", "dim"),
}
TYPE_PREFIX = "edge:index:"
"""Of the types of our components."""
_CHANGING = ("create", "update", "replace", "delete")


class _Terminal(Console):
    """What files, hosts and programs are called and say is shown, and never obeyed by the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                lines = (printable(line) for line in segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console that respects NO_COLOR and adds no line breaks to what is written to a file."""
    return _Terminal(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def failure(out: Console, problem: OperationError) -> None:
    """What went wrong, and the commands that help."""
    if problem.what:
        out.print(Text(problem.what, style="red" if problem.code != INTERRUPTED else "yellow"))
    remedies(out, problem.remedies)


def remedies(out: Console, lines: Iterable[str]) -> None:
    for line in lines:
        out.print(Text.assemble(("  > ", "cyan"), line))


def outcome(out: Console, result: Outcome, *, diff: bool = False) -> None:
    """The result of a preview, `up` or `destroy`."""
    _headline(out, result)
    for renewal in result.renewals:
        paragraph(out, _renewed(renewal, done=result.operation == "up" and result.code == DONE), "yellow")
    consequences(out, result.consequences)
    changed = [change for change in result.run.changes if change.op not in ("same", "refresh")]
    groups = by_component(changed, result.run)
    width = max((len(group) for group, _ in groups), default=0)
    for group, changes in groups:
        if not diff and _is_new(changes):
            _folded(out, group, len(changes), width, done=result.operation != "preview")
            continue
        out.print(Text(f"  {group}", style="bold"))
        for change in changes:
            _resource(out, change, diff=diff)
    if diff and (outputs_changed := result.run.output_changes):
        out.print(Text("  outputs", style="bold"))
        difference.properties(out, outputs_changed)
    policies(out, result.run.policies)
    if charts := len(result.run.charts):
        out.print(f"  {charts} chart{'s' * (charts != 1)} judged by record, not rendered (docs/policies.md#charts)")
    if result.code != INTERRUPTED:
        # After ^C they only repeat that steps were cancelled.
        _diagnostics(out, result.run, result.diagnostics)
    if result.code != INTERRUPTED and result.run.resources:
        _summary(out, result)
    if result.failure is not None:
        failure(out, result.failure)


def _renewed(one: Renewal, *, done: bool) -> str:
    if one.what != KUBECONFIG:
        return f"{one.what} {'was' if done else 'is'} made anew: {one.why}"
    if done:
        return f"the kubeconfig of the stack was read again: {one.why}"
    return (
        f"the kubeconfig of the stack is read again: {one.why}. K3s on the first server restarts for it if its own"
        " certificate is as old; pods keep running"
    )


def _headline(out: Console, result: Outcome) -> None:
    line = Text.assemble((result.operation, "bold"), " ", (result.site, "bold"))
    if result.mode == "rehearsal":
        line.append("  rehearsal", style="bold cyan")
        line.append(": real engine, simulated providers", style="cyan")
    out.print(line)
    if result.against:
        paragraph(out, f"compared with {result.against}", "cyan")
    if result.backend:
        new = ", a new stack: nothing has been applied to it yet" if result.run.is_new else ""
        paragraph(out, f"state: {result.backend}{new}")
    if result.placeholders:
        paragraph(out, f"placeholders stand in for the secrets {', '.join(result.placeholders)}", "cyan")


def by_component(changes: Sequence[ResourceChange], run: Run) -> list[tuple[str, list[ResourceChange]]]:
    """Changes grouped by the nearest component that contains them, in the order of first appearance."""
    groups: dict[str, list[ResourceChange]] = {}
    for change in changes:
        groups.setdefault(_component(change, run), []).append(change)
    return list(groups.items())


def _component(change: ResourceChange, run: Run) -> str:
    around: ResourceChange | None = change
    while around is not None:
        if around.type.startswith(TYPE_PREFIX):
            return f"{around.type.removeprefix(TYPE_PREFIX)} {around.name}"
        if around.type == STACK_TYPE:
            break
        around = run.resources.get(around.parent)
    return "outside the components"


def _is_new(changes: Sequence[ResourceChange]) -> bool:
    """Whether a component comes as a whole, so that its resources need not be listed one by one."""
    whole = any(change.type.startswith(TYPE_PREFIX) for change in changes)
    return whole and all(change.op == "create" and change.status != "failed" for change in changes)


def _folded(out: Console, group: str, resources: int, width: int, *, done: bool) -> None:
    sign, style = SIGNS["create"]
    what = f"{resources:3} resource{'s' if resources > 1 else ''} {'created' if done else 'to create'}"
    out.print(Text.assemble((f"  {sign} {group:{width}}", f"bold {style}"), f"  {what}"))


def _resource(out: Console, change: ResourceChange, *, diff: bool) -> None:
    sign, style = SIGNS[change.op]
    kind = change.type
    if out.is_terminal and len(f"    + {change.op:8}{change.name}  {kind}") > out.width:
        kind = kind.rpartition(":")[2]
    line = Text.assemble(("    " + sign + " ", style), (f"{change.op:8}", style), f"{change.name}  ", (kind, "dim"))
    forcing = set(change.replace_keys) | {c.path for c in change.changes if c.kind.endswith("-replace")}
    if change.status == "failed":
        line.append("  failed", style="bold red")
    more = ""
    if change.op == "replace" and forcing:
        more = f"because of {', '.join(sorted(forcing))}"
    elif change.changes and change.op == "update" and not diff:
        more = f"[{', '.join(shortened([c.path for c in change.changes]))}]"
    if more and out.is_terminal and len(line.plain) + 2 + len(more) > out.width:
        out.print(line)
        paragraph(out, more, style, indent=" " * 8)
    else:
        out.print(line.append(f"  {more}", style=style) if more else line)
    if diff:
        difference.properties(out, change.changes)


def shortened(paths: Sequence[str], most: int = 4) -> list[str]:
    """The first few paths, and how many more there are."""
    return [*paths[:most], f"and {len(paths) - most} more"] if len(paths) > most else list(paths)


_FINDINGS = {
    "mandatory": ("refused", "bold red"),
    "advisory": ("advice", "yellow"),
    "waived": ("waived", "bold yellow"),
}


def policies(out: Console, findings: Sequence[PolicyFinding]) -> None:
    """Findings of the policies, as they are ordered already."""
    for finding in findings:
        label, style = _FINDINGS[finding.level]
        out.print(Text.assemble((f"  {label:8}", style), indented(finding.message or finding.policy)))


def _diagnostics(out: Console, run: Run, diagnostics: Sequence[Diagnostic]) -> None:
    """Warnings, then errors; the same message about several resources is printed once."""
    said: dict[tuple[str, str], list[str]] = {}
    for diagnostic in sorted(diagnostics, key=lambda one: one.severity == "error"):
        said.setdefault((diagnostic.severity, diagnostic.message), []).append(diagnostic.urn)
    for (severity, message), urns in said.items():
        style = "red" if severity == "error" else "yellow"
        names = shortened([name_of(urn) for urn in urns if urn], 3)
        where = f"{', '.join(names)}: " if names else ""
        out.print(Text.assemble((f"  {severity:8}", style), where, indented(message)))
        for line in run.said_by(urns[0]) if severity == "error" and urns[0] else ():
            out.print(Text(f"          | {line}", style="dim"))


def indented(message: str) -> str:
    """A message whose further lines are aligned with its first."""
    return message.replace("\n", "\n" + " " * 10)


def _summary(out: Console, result: Outcome) -> None:
    counts = result.run.counts
    done = result.operation != "preview"
    parts = [f"{counts[op]} {op + 'd' if done else 'to ' + op}" for op in _CHANGING if counts[op]]
    parts.append(f"{counts['same']} unchanged")
    failed = sum(1 for change in result.run.changes if change.status == "failed")
    if failed:
        parts.append(f"{failed} failed")
    if result.run.violations:
        parts.append(f"{len(result.run.violations)} refused by policies")
    out.print(Text(f"  {', '.join(parts)}  ({result.duration_s:.1f} s)", style="bold"))
    if result.judges:
        _judged(out, result.run)
    if changed := result.run.changed_outputs:
        tense = "changed" if done else "to change"
        paragraph(out, f"outputs {tense}: {', '.join(shortened(changed, 6))}")
    if result.cost is not None and result.operation != "destroy":
        paragraph(out, cost_line(result.cost))


def _judged(out: Console, run: Run) -> None:
    """What the policies have looked at: no finding means something only with this line."""
    verdict = run.verdict
    if not verdict.ran:
        out.print(Text("  policies did not run", style="bold red"))
        return
    refused = len(run.violations)
    rules = f"{verdict.rules} rules" if verdict.complete else f"{verdict.rules} of {verdict.rules_expected} rules"
    judged = f"{verdict.resources} resources"
    if verdict.not_judged:
        judged = f"{verdict.resources} of {verdict.resources + len(verdict.not_judged)} resources"
    line = f"policies: {rules} on {judged}, {refused} refused, {len(run.policies) - refused} advice"
    out.print(Text(f"  {line}", style="" if verdict.complete else "yellow"))


def cost_line(cost: Mapping[str, Any]) -> str:
    """Does edge pay? One line."""
    edge, cloud = cost["edge_usd_per_month"], cost["cloud_usd_per_month"]
    amounts = f"edge {edge:,.0f} USD/month, cloud {cloud:,.0f} USD/month"
    month = cost["break_even_month"]
    even = "the hardware is never paid back" if month is None else f"the hardware is paid back after month {month}"
    if cost["edge_pays"]:
        saving, percent = cost["saving_usd_per_month"], cost["saving_percent"]
        return f"{amounts}: edge pays, {saving:,.0f} USD/month ({percent:g} %); {even}"
    return f"{amounts}: edge does not pay; {even}"


def outputs(out: Console, values: Mapping[str, Any]) -> None:
    """Stack outputs, one a line."""
    width = max((len(name) for name in values), default=0)
    for name, value in sorted(values.items()):
        out.print(Text.assemble((f"  {name:{width}}  ", "bold"), value if isinstance(value, str) else _json(value)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
