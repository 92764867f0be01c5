"""The `kubernetes` provider with effect: server-side apply, waiting until it is done, and deletion.

Owns the order of requests and the waits. Requests are `cluster`'s, shapes `objects`', conditions `readiness`', charts
`helm`'s; the protocol and all decisions are `engine.rehearsal`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pulumi.runtime.proto import provider_pb2

from engine.rehearsal.protocol import Asked, Failure, Incomplete, Properties, Protocol
from engine.rehearsal.values import has_unknown, reveal
from engine.rehearsal.world import World
from lab.providers import helm, objects, readiness
from lab.providers.cluster import Absent, Busy, Cluster, Conflict, Unauthorized, Unreachable
from lab.providers.engine_log import EngineLog
from lab.providers.objects import Manifest, Target
from lab.providers.redaction import Redaction

RELEASE = "kubernetes:helm.sh/v3:Release"
_POLL_S = 0.5
_FOREGROUND = "Foreground"
_SKIPPED = "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..."
"""In the official plugin's own words, which give no reason."""


class KubernetesProvider(Protocol):
    """The `kubernetes` provider of the lab.

    ``patience_s``: how long a namespace or kind that is not there yet is waited for. ``close`` ends all waits.
    """

    def __init__(self, world: World | None = None, *, patience_s: float = 15, poll_s: float = _POLL_S) -> None:
        super().__init__("kubernetes", world or World(), "the lab's kubernetes provider")
        self._patience_s, self._poll_s = patience_s, poll_s
        self._log = EngineLog()
        self._clusters: dict[str, Cluster] = {}
        self._interruptions: dict[str, threading.Event] = {}
        self._unreachable: dict[str, str | None] = {}

    def engine_is_at(self, peer: str, address: str) -> None:
        self._interruptions[peer] = threading.Event()
        self._log.attach(peer, address)

    def configured(self, peer: str, configuration: Mapping[str, Any]) -> None:
        self._clusters.pop(peer, None)
        self._unreachable.pop(peer, None)
        if reveal(configuration.get("renderYamlToDirectory")):
            raise Failure(
                f"{self.called} applies to a cluster: renderYamlToDirectory is not supported. "
                "The official plugin has it (EDGE_PLUGINS=official)."
            )

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's own name)
        """As the official plugin: where it cannot read the schema, for whatever reason, it keeps what is applied."""
        peer = context.peer()
        if objects.enabled(self.configuration(peer), "skipUpdateUnreachable") and self._why_unreachable(peer):
            self._log.warning(peer, request.urn, _SKIPPED)
            return provider_pb2.CheckResponse(inputs=request.olds)
        return super().Check(request, context)

    def cancelled(self, peer: str) -> None:
        """Waits stop; what was applied stays, and the engine records it as not yet initialised."""
        self._interruption(peer).set()

    def close(self) -> None:
        for event in list(self._interruptions.values()):
            event.set()
        self._log.close()

    def preview(self, asked: Asked, inputs: Properties, olds: Properties | None) -> Properties:
        """A dry run where there is a cluster to ask and everything is known; the inputs in any case.

        The API server's answer only counts as a refusal: names and times of a dry run are not those of the real one.
        """
        planned = super().preview(asked, inputs, olds)
        if asked.token == RELEASE:
            helm.executable()
        elif not has_unknown(inputs) and not has_unknown(dict(self.configuration(asked.peer))):
            # Its namespace, its kind or the whole cluster may come with the same run.
            with suppress(Absent, Unreachable, Unauthorized, Busy), _redacted(inputs):
                self._dry_run(asked, inputs, new=olds is None)
        return planned if asked.token == RELEASE else objects.planned(planned, olds)

    def create(self, asked: Asked, inputs: Properties) -> tuple[str, Properties]:
        if asked.token == RELEASE:
            return helm.install(asked, inputs, self._kubeconfig(asked.peer))
        with _redacted(inputs):
            body = objects.manifest(inputs)
            cluster, target = self._cluster(asked.peer), objects.target(body)
            live = self._patiently(asked, lambda: self._created(asked, cluster, body, target))
            return self._finished(asked, cluster, inputs, live)

    def update(self, asked: Asked, identity: str, inputs: Properties, olds: Properties) -> Properties:
        if asked.token == RELEASE:
            return helm.install(asked, inputs, self._kubeconfig(asked.peer))[1]
        with _redacted(inputs, olds):
            body = objects.manifest(inputs)
            cluster, target = self._cluster(asked.peer), _at(identity, body)
            try:
                cluster.get(target)
                live = cluster.apply(body, target, **self._ownership(asked, body))
            except Absent as gone:
                raise Failure(f"{gone}; somebody removed it: `pulumi refresh` tells the state so") from None
            return self._finished(asked, cluster, inputs, live)[1]

    def delete(self, asked: Asked, identity: str, olds: Properties) -> None:
        if asked.token == RELEASE:
            helm.uninstall(asked, identity, self._kubeconfig(asked.peer), olds)
            return
        with _redacted(olds):
            body = objects.manifest(olds)
            target = _at(identity, body)
            try:
                cluster = self._cluster(asked.peer)
                if objects.is_patch(asked.token):
                    cluster.get(target)
                    manager = objects.field_manager(asked.urn, body)
                    cluster.apply(objects.released(body), target, manager=manager, force=True)
                    return
                propagation = objects.annotation(body, "pulumi.com/deletionPropagationPolicy")
                cluster.delete(target, propagation=(propagation or _FOREGROUND).capitalize())
            except Absent:
                return
            except Unreachable:
                if objects.enabled(self.configuration(asked.peer), "deleteUnreachable"):
                    return
                raise
            if objects.awaited(body, deletion=True):
                self._await_deletion(asked, cluster, target, body)

    def read(
        self, asked: Asked, identity: str, outputs: Properties, inputs: Properties
    ) -> tuple[Properties, Properties] | None:
        if asked.token == RELEASE:
            return outputs, inputs
        configuration = self.configuration(asked.peer)
        with _redacted(inputs, outputs):
            known = objects.manifest(outputs) or _described(asked.token)
            try:
                live = self._cluster(asked.peer).get(_at(identity, known))
            except Absent:
                return None
            except Unreachable:
                if objects.enabled(configuration, "skipUpdateUnreachable"):
                    return outputs, inputs
                if objects.enabled(configuration, "deleteUnreachable"):
                    return None
                raise
        return objects.outputs(inputs, live), objects.inputs_found(inputs, live)

    def _interruption(self, peer: str) -> threading.Event:
        return self._interruptions.setdefault(peer, threading.Event())

    def _say(self, asked: Asked, message: str) -> None:
        self._log.status(asked.peer, asked.urn, message)

    def _why_unreachable(self, peer: str) -> str | None:
        """Asked once in a run, as the official plugin does when it is configured."""
        if peer not in self._unreachable:
            self._unreachable[peer] = None
            if not has_unknown(dict(self.configuration(peer))):
                try:
                    self._cluster(peer).schema()
                except (Unreachable, Unauthorized, Busy) as failure:
                    self._unreachable[peer] = str(failure)
        return self._unreachable[peer]

    def _kubeconfig(self, peer: str) -> str:
        text = reveal(self.configuration(peer).get("kubeconfig"))
        if not isinstance(text, str) or not text:
            raise Failure(f"{self.called} has no kubeconfig; it never takes the one of the user who runs it")
        return text

    def _cluster(self, peer: str) -> Cluster:
        if peer not in self._clusters:
            configuration = reveal(dict(self.configuration(peer)))
            self._clusters[peer] = Cluster(
                self._kubeconfig(peer), context=configuration.get("context"), namespace=configuration.get("namespace")
            )
        return self._clusters[peer]

    def _ownership(self, asked: Asked, body: Manifest) -> dict[str, Any]:
        force = objects.forced(body, self.configuration(asked.peer))
        return {"manager": objects.field_manager(asked.urn, body), "force": force}

    def _dry_run(self, asked: Asked, inputs: Properties, *, new: bool) -> None:
        body = objects.manifest(inputs)
        cluster, target = self._cluster(asked.peer), objects.target(body)
        manager = objects.field_manager(asked.urn, body)
        if target.name is None:
            cluster.create(body, target, manager=manager, dry_run=True)
            return
        if objects.is_patch(asked.token):
            # Applied to nothing, it would be refused for what only a whole object has.
            cluster.get(target)
        elif new and self._exists(cluster, target):
            # About to be replaced: the old one would be asked what only a new one can answer.
            return
        # Forced: an owner that the same run removes would be in the way otherwise.
        cluster.apply(body, target, manager=manager, force=True, dry_run=True)

    def _created(self, asked: Asked, cluster: Cluster, body: Manifest, target: Target) -> Manifest:
        ownership = self._ownership(asked, body)
        if target.name is None:
            return cluster.create(body, target, manager=ownership["manager"])
        if objects.is_patch(asked.token):
            # Server-side apply would make the object, which is not what a patch is for.
            cluster.get(target)
        elif not objects.enabled(self.configuration(asked.peer), "upsertExistingObjects"):
            self._require_absent(cluster, target)
        return cluster.apply(body, target, **ownership)

    def _exists(self, cluster: Cluster, target: Target) -> bool:
        try:
            cluster.get(target)
        except Absent:
            return False
        return True

    def _require_absent(self, cluster: Cluster, target: Target) -> None:
        try:
            live = cluster.get(target)
        except Absent:
            return
        if live["metadata"].get("deletionTimestamp"):
            # A replacement that deletes first: the old one has been told to go, and goes in its own time.
            raise Absent(f"{target}: the object of this name is still being deleted")
        raise Conflict(
            f"{target} exists already. Import it, choose another name, or take it over with the provider's "
            "upsert_existing_objects."
        )

    def _patiently(self, asked: Asked, attempt: Callable[[], Manifest]) -> Manifest:
        """The result of ``attempt``, retried for ``patience_s`` while a namespace or kind does not exist yet."""
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return attempt()
            except (Absent, Busy) as failure:
                if time.monotonic() >= end:
                    raise
                self._say(asked, f"trying again: {failure}")
            if self._interruption(asked.peer).wait(self._poll_s):
                raise Failure("interrupted before anything was made")

    def _finished(self, asked: Asked, cluster: Cluster, inputs: Properties, live: Manifest) -> tuple[str, Properties]:
        """Id and outputs of an applied object, once it is done. Raises ``Incomplete``."""
        target = objects.target(live)
        identity = f"{target.namespace}/{target.name}" if target.namespace else str(target.name)
        body = objects.manifest(inputs)
        if not objects.awaited(body) or objects.is_patch(asked.token):
            return identity, objects.outputs(inputs, live)
        try:
            live = self._done(asked, cluster, live, objects.timeout_s(body, asked.timeout_s))
        except _NotDone as failure:
            told = Redaction(objects.hidden(inputs))(f"{target} was applied, but {failure}")
            raise Incomplete(told, identity, objects.outputs(inputs, failure.live)) from None
        return identity, objects.outputs(inputs, live)

    def _done(self, asked: Asked, cluster: Cluster, live: Manifest, limit_s: float) -> Manifest:
        """The object as it is when nothing is missing any more. Raises ``_NotDone``."""
        end, said = time.monotonic() + limit_s, ""
        while True:
            try:
                lacking = self._lacking(cluster, live)
            except (readiness.Never, Failure) as failure:
                raise _NotDone(str(failure), live) from None
            if lacking is None:
                return live
            if lacking != said:
                self._say(asked, f"waiting: {lacking}")
                said = lacking
            if time.monotonic() >= end:
                raise _NotDone(f"is not done within {limit_s:g} s: {lacking}", live)
            if self._interruption(asked.peer).wait(self._poll_s):
                raise _NotDone(f"the run was interrupted while waiting: {lacking}", live)
            try:
                live = cluster.get(objects.target(live))
            except (Unreachable, Busy):
                # An API server that restarts meanwhile says nothing about the object.
                continue
            except Failure as failure:
                raise _NotDone(str(failure), live) from None

    def _lacking(self, cluster: Cluster, live: Manifest) -> str | None:
        lacking = readiness.missing(live)
        if lacking is None and readiness.needs_endpoints(live):
            with suppress(Unreachable, Busy):
                return readiness.missing_endpoints(cluster.endpoint_slices(objects.target(live)))
            return "the cluster does not answer"
        return lacking

    def _await_deletion(self, asked: Asked, cluster: Cluster, target: Target, body: Manifest) -> None:
        limit_s = objects.timeout_s(body, asked.timeout_s)
        end, uid = time.monotonic() + limit_s, (body.get("metadata") or {}).get("uid")
        held = "not known"
        while True:
            with suppress(Unreachable, Busy):
                try:
                    metadata = cluster.get(target)["metadata"]
                except Absent:
                    return
                if uid and metadata.get("uid") != uid:
                    # Somebody else's, made since.
                    return
                held = ", ".join(metadata.get("finalizers") or ()) or "none"
            if time.monotonic() >= end:
                raise Failure(f"{target} is still there {limit_s:g} s after its deletion (finalizers: {held})")
            if self._interruption(asked.peer).wait(self._poll_s):
                raise Failure(f"interrupted while waiting for {target} to go (finalizers: {held})")


class _NotDone(Exception):
    """An applied object that did not become what it should be, and how it was seen last."""

    def __init__(self, message: str, live: Manifest) -> None:
        super().__init__(message)
        self.live = live


class _redacted:  # noqa: N801 (reads as a statement)
    """Failures in its block are told without the secrets of ``properties``."""

    def __init__(self, *properties: Properties) -> None:
        self._properties = [objects.hidden(one) for one in properties]

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Failure) and not isinstance(error, Incomplete):
            error.args = (Redaction(self._properties)(str(error)),)


def _at(identity: str, body: Mapping[str, Any]) -> Target:
    """The object of an existing resource, by the id that it was given."""
    namespace, _, name = identity.rpartition("/")
    return replace(objects.target(body), name=name, namespace=namespace or None)


def _described(token: str) -> Manifest:
    """What an import knows of an object: its kind."""
    group_version, _, kind = token.removeprefix("kubernetes:").rpartition(":")
    return {"apiVersion": group_version.removeprefix("core/"), "kind": kind.removesuffix("Patch"), "metadata": {}}
