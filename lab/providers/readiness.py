"""When an object of a cluster counts as done: what is still missing, told from the object alone. Pure.

Kinds that are not listed here are done as soon as the API server has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Live = Mapping[str, Any]
"""An object as the API server returns it."""


class Never(Exception):
    """The object has failed for good; waiting longer would not help."""


def missing(live: Live) -> str | None:
    """What a live object still lacks, None when it is done. Raises ``Never``.

    The annotation ``pulumi.com/waitFor`` takes the place of the kind's own condition.
    """
    wanted = (live["metadata"].get("annotations") or {}).get("pulumi.com/waitFor")
    if wanted:
        lacking = [text for text in map(_condition_of(live), _expressions(wanted)) if text]
        return "; ".join(lacking) or None
    check = _CHECKS.get((live["apiVersion"], live["kind"]))
    return check(live) if check is not None else None


def needs_endpoints(service: Live) -> bool:
    """Whether a Service is done only when a pod stands behind it (that one asks the API server for slices)."""
    spec = service.get("spec") or {}
    return (
        (service["apiVersion"], service["kind"]) == ("v1", "Service")
        and bool(spec.get("selector"))
        and spec.get("type") != "ExternalName"
        and spec.get("clusterIP") != "None"
    )


def missing_endpoints(slices: Iterable[Live]) -> str | None:
    """What the EndpointSlices of a Service still lack."""
    for one in slices:
        for endpoint in one.get("endpoints") or ():
            # An unset condition means yes (discovery.k8s.io/v1).
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                return None
    return "no pod behind the Service is ready"


def _condition(live: Live, kind: str) -> Mapping[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def _seen(live: Live) -> str | None:
    generation = live["metadata"].get("generation", 0)
    if (live.get("status") or {}).get("observedGeneration", 0) < generation:
        return "its controller has not seen this version yet"
    return None


def _namespace(live: Live) -> str | None:
    phase = (live.get("status") or {}).get("phase")
    return None if phase == "Active" else f"phase {phase or 'unknown'}, not Active"


def _deployment(live: Live) -> str | None:
    if late := _seen(live):
        return late
    status = live.get("status") or {}
    progress = _condition(live, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        raise Never(f"the rollout made no progress: {progress.get('message', 'deadline exceeded')}")
    wanted = live["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} replicas are of this version"
    if total > updated:
        return f"{total - updated} replicas of an older version are still there"
    available = status.get("availableReplicas", 0)
    return None if available >= wanted else f"{available} of {wanted} replicas are available"


def _stateful_set(live: Live) -> str | None:
    if late := _seen(live):
        return late
    status, spec = live.get("status") or {}, live["spec"]
    wanted = spec.get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    if ready < wanted:
        return f"{ready} of {wanted} replicas are ready"
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return None
    rolled = wanted - ((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    updated = status.get("updatedReplicas", 0)
    return None if updated >= rolled else f"{updated} of {rolled} replicas are of this version"


def _daemon_set(live: Live) -> str | None:
    if late := _seen(live):
        return late
    status = live.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    strategy = (live["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    updated = status.get("updatedNumberScheduled", 0)
    if strategy == "RollingUpdate" and updated < wanted:
        return f"{updated} of {wanted} nodes have this version"
    available = status.get("numberAvailable", 0)
    return None if available >= wanted else f"available on {available} of {wanted} nodes"


def _job(live: Live) -> str | None:
    failed = _condition(live, "Failed")
    if failed.get("status") == "True":
        raise Never(f"the job failed: {failed.get('message') or failed.get('reason') or 'no reason given'}")
    return None if _condition(live, "Complete").get("status") == "True" else "the job has not completed"


def _pod(live: Live) -> str | None:
    phase = (live.get("status") or {}).get("phase")
    if phase == "Failed":
        raise Never(f"the pod failed: {(live.get('status') or {}).get('message', 'no reason given')}")
    if phase == "Succeeded" or _condition(live, "Ready").get("status") == "True":
        return None
    return f"the pod is {phase or 'not seen yet'}, not ready"


def _definition(live: Live) -> str | None:
    return None if _condition(live, "Established").get("status") == "True" else "the API does not serve the kind yet"


_CHECKS: Mapping[tuple[str, str], Callable[[Live], str | None]] = {
    ("v1", "Namespace"): _namespace,
    ("v1", "Pod"): _pod,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("batch/v1", "Job"): _job,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _definition,
}

_CONDITION = re.compile(r"condition=([^=]+)(?:=(.+))?\Z")
_JSONPATH = re.compile(r"jsonpath=\{?(\.[\w.\[\]/-]+)\}?(?:=(.+))?\Z")


def _expressions(text: str) -> list[str]:
    """One expression, or a JSON list of them."""
    if text.startswith("["):
        return [str(one) for one in json.loads(text)]
    return [text]


def _condition_of(live: Live) -> Callable[[str], str | None]:
    def lacking(expression: str) -> str | None:
        if found := _CONDITION.match(expression):
            kind, wanted = found[1], found[2] or "True"
            condition = _condition(live, kind)
            if late := _outdated(live, condition):
                return late
            if str(condition.get("status", "")).lower() == wanted.lower():
                return None
            # No more than that: the official plugin does not say why either.
            return f"condition {kind} is {condition.get('status', 'not reported')}, not {wanted}"
        if found := _JSONPATH.match(expression):
            if late := _outdated(live, {}):
                return late
            value, wanted = _at(live, found[1]), found[2]
            if value is not None and (wanted is None or str(value) == wanted):
                return None
            return f"{found[1]} is {'absent' if value is None else value}"
        raise Never(
            f'pulumi.com/waitFor: "{expression}" is neither condition=TYPE[=STATUS] nor jsonpath={{.a.b}}[=TEXT]'
        )

    return lacking


def _outdated(live: Live, condition: Mapping[str, Any]) -> str | None:
    """Whether what is reported is about an older version of the object; one that says no version is believed."""
    seen = condition.get("observedGeneration", (live.get("status") or {}).get("observedGeneration"))
    if isinstance(seen, int) and seen < live["metadata"].get("generation", 0):
        return "its controller has not seen this version yet"
    return None


def _at(live: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(live, list):
            live = live[int(step)] if step.isdigit() and int(step) < len(live) else None
        else:
            live = live.get(step) if isinstance(live, Mapping) else None
    return live
