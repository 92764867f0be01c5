"""What the engine did, folded from the events that `pulumi --json` streams, one line of JSON each.

Pure: no process, no terminal. What differs in a resource is ``difference``'s; everything here is names and counts.
The engine reports resources in the order in which they happen to be ready: results are in an order of their own, which
is the same in each run.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from edge.run import not_ready
from edge.run.difference import PropertyChange, between, changes_of
from edge.run.judged import Judged, Verdict, verdict

Op = Literal["create", "update", "replace", "delete", "same", "read", "import", "refresh"]
COUNTED: tuple[Op, ...] = ("create", "update", "replace", "delete", "same")

_OPS: dict[str, Op] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "same": "same",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "discard-replaced": "replace",
    "remove-pending-replace": "replace",
    "read": "read",
    "read-replacement": "replace",
    "discard": "delete",
    "import": "import",
    "import-replacement": "replace",
    "refresh": "refresh",
}
# A replacement has several steps; the engine reports some of them as plain creates or deletes.
_STRONGEST: tuple[Op, ...] = ("refresh", "same", "read", "import", "create", "update", "delete", "replace")

STACK_TYPE = "pulumi:pulumi:Stack"
_RULE = re.compile(r"^(?P<rule>[a-z][a-z-]*/[a-z0-9][a-z0-9-]*): ", re.MULTILINE)
_MARKUP = re.compile(r"<\{%[^%]*%\}>")
_PENDING = "pending operations from previous deployment"
_WAIVED_POLICY = "edge-waived-advisory"
"""The project's policy that shows what a site's waivers cover (``policies.pack.WAIVED``)."""
_REFUSED = ("preview failed", "update failed")
# Within an error of the official command plugin: the whole script, as a quoted string of Go.
_SCRIPT = re.compile(r': running "(?:[^"\\]|\\.)*":(?:\n|$)')
_PROGRAM_ERROR = "python inline source runtime error: "
_KEPT_LINES = 20


@dataclass(slots=True)
class ResourceChange:
    """What happens, or happened, to one resource."""

    urn: str
    type: str
    name: str
    parent: str
    op: Op
    changes: tuple[PropertyChange, ...] = ()
    replace_keys: tuple[str, ...] = ()
    """Properties that force the replacement."""
    status: Literal["planned", "running", "done", "failed"] = "planned"

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"urn": self.urn, "type": self.type, "name": self.name, "op": self.op}
        if self.changes:
            document["diffs"] = [change.path for change in self.changes]
            document["changes"] = [change.as_dict() for change in self.changes]
        if self.replace_keys:
            document["replace_keys"] = list(self.replace_keys)
        if self.status == "failed":
            document["failed"] = True
        return document


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """A policy violation as the engine reports it."""

    pack: str
    policy: str
    level: Literal["mandatory", "advisory", "waived"]
    urn: str
    message: str
    rule: str = ""
    """Rule of the catalogue, where the policy names one: a policy of the project's pack runs a group of rules."""

    def as_dict(self) -> dict[str, str]:
        return {
            "pack": self.pack,
            "policy": self.policy,
            "rule": self.rule,
            "level": self.level,
            "urn": self.urn,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A message of the engine, a provider or the program. The engine masks secret configuration values in it."""

    severity: Literal["warning", "error"]
    urn: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"severity": self.severity, "urn": self.urn, "message": self.message}


@dataclass(frozen=True, slots=True)
class Step:
    """One event worth a line of progress."""

    change: ResourceChange
    status: Literal["running", "done", "failed"]


@dataclass
class Run:
    """One engine run, as far as its events have arrived."""

    resources: dict[str, ResourceChange] = field(default_factory=dict)
    findings: list[PolicyFinding] = field(default_factory=list)
    """Of the policies, as they arrived."""
    judged: Judged = field(default_factory=Judged)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    """Stack outputs; secret ones as the engine masks them."""
    result: str = ""
    """`succeeded` or `failed`, once the engine has reported it."""
    runs: int = 0
    """How many runs of the engine were told: `up` with a plan previews again before it applies."""
    maybe_corrupt: bool = False
    unreadable: list[str] = field(default_factory=list)
    """Lines that are not events."""
    pack: Path | None = None
    """Folder of the policy pack of the project."""
    traces: bool = False
    """Whether errors of the program keep their stack traces."""
    held: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By URN, the state that the stack holds of each resource that the run has come to, before the run. Secrets are
    masked."""
    has_pending: bool = False
    """Whether an earlier run was killed: the state has operations that were begun and not finished."""
    _charts: list[str] = field(default_factory=list)
    _said: dict[str, deque[str]] = field(default_factory=dict)
    _outputs_before: dict[str, Any] | None = None

    def feed_line(self, line: str) -> Step | None:
        """Take one line of the stream; lines that are not events are kept as they are."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            if line.strip():
                self.unreadable.append(line)
            return None
        return self.feed(event)

    def feed(self, event: Mapping[str, Any]) -> Step | None:
        """Take one event; returns a step where it is worth a line of progress."""
        if "preludeEvent" in event:
            self._begin()
        self.judged.feed(event)
        if pre := event.get("resourcePreEvent"):
            change = self._resource(pre["metadata"])
            change.status = "running"
            return Step(change, "running")
        if done := event.get("resOutputsEvent"):
            return self._done(done["metadata"])
        if failed := event.get("resOpFailedEvent"):
            change = self._resource(failed["metadata"])
            change.status = "failed"
            self._give_reason(change.urn, failed["metadata"])
            return Step(change, "failed")
        if policy := event.get("policyEvent"):
            finding = _policy(policy)
            if finding.level == "waived" and not finding.rule:
                # It is about no rule, but says how a chart was judged.
                self._charts.append(finding.message.splitlines()[-1])
            else:
                self.findings.append(finding)
        elif diagnostic := event.get("diagnosticEvent"):
            self._diagnostic(diagnostic)
        elif summary := event.get("summaryEvent"):
            self.result = summary.get("result", "")
            self.maybe_corrupt = bool(summary.get("maybeCorrupt"))
        elif error := event.get("errorEvent"):
            self._say_error("", error.get("error", ""))
        return None

    def _begin(self) -> None:
        """Another run begins: what the one before it told was a preview of it."""
        again = self.runs > 0
        self.runs += 1
        if again:
            self.resources, self.findings, self._charts = {}, [], []
            self.diagnostics, self.judged = [], Judged()
            self.outputs, self._outputs_before, self.result, self._said = {}, None, "", {}

    @property
    def is_new(self) -> bool:
        """Whether the stack holds nothing yet, not even itself."""
        return any(change.type == STACK_TYPE and change.op == "create" for change in self.resources.values())

    @property
    def changes(self) -> list[ResourceChange]:
        """Resources to show: everything but the stack itself, each below what contains it, by type and name."""
        return sorted((one for one in self.resources.values() if one.type != STACK_TYPE), key=self._position)

    @property
    def counts(self) -> dict[str, int]:
        """Number of resources by operation; operations outside ``COUNTED`` appear only when there are any."""
        counts: dict[str, int] = dict.fromkeys(COUNTED, 0)
        for change in self.changes:
            counts[change.op] = counts.get(change.op, 0) + 1
        return counts

    @property
    def output_changes(self) -> list[PropertyChange]:
        """The stack's outputs that are added, removed or changed; none where the whole stack is deleted."""
        if any(change.type == STACK_TYPE and change.op == "delete" for change in self.resources.values()):
            return []
        return list(between(self._outputs_before or {}, self.outputs))

    @property
    def changed_outputs(self) -> list[str]:
        """Names of the stack's outputs that are added, removed or changed."""
        return [change.path for change in self.output_changes]

    @property
    def changes_nothing(self) -> bool:
        """Whether nothing changes, the stack and its outputs included."""
        same = all(change.op == "same" for change in self.resources.values())
        return bool(self.resources) and same and not self.changed_outputs

    @property
    def charts(self) -> list[str]:
        """How charts were judged that this run has not rendered, in words. The engine tells of them in any order."""
        return sorted(self._charts)

    @property
    def policies(self) -> list[PolicyFinding]:
        """Findings: refusals first, then by rule and resource."""
        return sorted(
            self.findings,
            key=lambda one: (one.level != "mandatory", one.rule, one.urn, one.message, one.pack, one.policy),
        )

    @property
    def verdict(self) -> Verdict:
        """What the policies have looked at. They are asked about what the program wants, not about what goes."""
        wanted = {one.urn for one in self.changes if one.op in ("create", "update", "replace", "same", "import")}
        return verdict(self.judged, wanted, self.pack)

    @property
    def violations(self) -> list[PolicyFinding]:
        """Mandatory policy findings: each stops the operation."""
        return [finding for finding in self.findings if finding.level == "mandatory"]

    @property
    def errors(self) -> list[Diagnostic]:
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def said_by(self, urn: str) -> tuple[str, ...]:
        """The last lines that a resource printed while it ran and that its errors do not repeat."""
        repeated = {line.strip() for error in self.errors if error.urn == urn for line in error.message.splitlines()}
        return tuple(line for line in self._said.get(urn, ()) if line.strip() not in repeated)

    def _position(self, change: ResourceChange) -> list[tuple[str, str]]:
        """Where a resource stands in the tree: type and name of all that contain it, and its own."""
        way: dict[str, tuple[str, str]] = {}
        around: ResourceChange | None = change
        while around is not None and around.urn not in way:
            way[around.urn] = (around.type, around.name)
            around = self.resources.get(around.parent)
        return list(way.values())[::-1]

    def _resource(self, metadata: Mapping[str, Any]) -> ResourceChange:
        urn = metadata["urn"]
        if (old := metadata.get("old")) and not old.get("delete"):
            # The first event of a resource has it; the `old` of a later one may be the new state.
            self.held.setdefault(urn, old)
        op = _OPS.get(metadata["op"], "update")
        known = self.resources.get(urn)
        if known is None:
            state = metadata.get("new") or metadata.get("old") or {}
            known = ResourceChange(urn, metadata["type"], name_of(urn), state.get("parent", ""), op)
            self.resources[urn] = known
        elif _STRONGEST.index(op) > _STRONGEST.index(known.op):
            known.op = op
        changes = changes_of(metadata)
        # A later plain create or delete of the same resource is a part of its replacement, whose difference is known.
        if changes and not (known.changes and metadata["op"] in ("create", "delete")):
            known.changes = changes
        if keys := metadata.get("keys"):
            known.replace_keys = tuple(keys)
        return known

    def _done(self, metadata: Mapping[str, Any]) -> Step | None:
        change = self._resource(metadata)
        if change.type == STACK_TYPE:
            old, new = (metadata.get(state) or {} for state in ("old", "new"))
            if self._outputs_before is None:
                # The event comes again when the program has ended; its `old` may be the new state by then.
                self._outputs_before = dict(old.get("outputs") or {})
            self.outputs = dict(new.get("outputs") or self.outputs)
        if change.status in ("done", "failed"):
            return None
        change.status = "done"
        return Step(change, "done")

    def _give_reason(self, urn: str, metadata: Mapping[str, Any]) -> None:
        """The plugin's error comes before this event, and says less."""
        outputs = (metadata.get("new") or {}).get("outputs") or {}
        why = not_ready.reason(outputs) if metadata["type"].startswith("kubernetes:") else ""
        if not why:
            return
        for index, one in enumerate(self.diagnostics):
            if one.severity == "error" and one.urn == urn and why not in one.message:
                self.diagnostics[index] = replace(one, message=f"{why}\n{one.message}")

    def _diagnostic(self, event: Mapping[str, Any]) -> None:
        severity, urn = event.get("severity", ""), event.get("urn", "")
        message = plain(event.get("message", "")).strip()
        if not message:
            return
        if severity == "error":
            self._say_error(urn, message)
        elif severity == "warning":
            self.has_pending = self.has_pending or _PENDING in message
            self.diagnostics.append(Diagnostic("warning", urn, message))
        elif severity != "debug":
            self._said.setdefault(urn, deque(maxlen=_KEPT_LINES)).extend(message.splitlines())

    def _say_error(self, urn: str, message: str) -> None:
        text = plain(message).strip()
        error = Diagnostic("error", urn, text if self.traces else without_script(without_trace(text)))
        # After a policy violation the engine adds a general error; the finding says more.
        if error not in self.diagnostics and not (self.findings and error.message in _REFUSED):
            self.diagnostics.append(error)


def plain(text: str) -> str:
    """Text without the engine's colour markup."""
    return _MARKUP.sub("", text)


def without_trace(message: str) -> str:
    """An error of the program, as the Automation API reports it, without the stack trace."""
    _, marked, error = message.partition(_PROGRAM_ERROR)
    if not marked:
        return message
    _, traced, trace = error.partition("\nTraceback (most recent call last):\n")
    if traced:
        lines = trace.splitlines()
        last_place = max((index for index, line in enumerate(lines) if line.startswith(" ")), default=-1)
        error = "\n".join(lines[last_place + 1 :])
    return f"the program stops: {error.strip()}"


def without_script(message: str) -> str:
    """The error of a command without the text of its script: how it ended, then what it printed."""
    return _SCRIPT.sub("\n", message).rstrip()


def name_of(urn: str) -> str:
    """The resource's name: what follows the URN's fourth `::`."""
    return urn.split("::", 3)[-1]


def _policy(event: Mapping[str, Any]) -> PolicyFinding:
    level = "mandatory" if event.get("enforcementLevel") in ("mandatory", "remediate") else "advisory"
    if level == "advisory" and event.get("policyName") == _WAIVED_POLICY:
        level = "waived"
    message = plain(event.get("message", "")).strip()
    # The engine puts the policy's description in front of what the rule says.
    named = _RULE.search(message)
    return PolicyFinding(
        pack=event.get("policyPackName", ""),
        policy=event.get("policyName", ""),
        level=cast(Literal["mandatory", "advisory", "waived"], level),
        urn=event.get("resourceUrn", ""),
        message=message[named.start() :] if named else message,
        rule=named["rule"] if named else "",
    )
