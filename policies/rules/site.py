"""A site as a whole: names and labels, its tier's latency, backups, telemetry that outlives an outage, its cost.

Judges what the component of a site publishes. The rules between the fields of a site file are in ``stacks.rules``;
these also hold for components that a company builds by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from policies.rules.frameworks import nist
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.rule import Reference, Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_LONGEST_SITE = 40
"""Names of hosts and of resources begin with it."""

_TIERS = ("device", "near", "far", "cloud")


def _names(subject: Subject) -> Iterator[Violation]:
    for key, longest in (("site", _LONGEST_SITE), ("region", 63)):
        node = subject.get(key)
        text = node.text() or ""
        if not _NAME.fullmatch(text) or len(text) > longest:
            yield Violation(node.path, f"is no name of at most {longest} lower-case letters, digits and '-'")
    tier = subject.get("tier")
    if tier.text() not in _TIERS:
        yield Violation(tier.path, f"is none of {', '.join(_TIERS)}")
    for key, value in subject.get("labels").entries():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value.text() or ""):
            yield Violation(value.path, "is no label that Kubernetes accepts")


def _tier_latency(subject: Subject) -> Iterator[Violation]:
    measured, bounds = subject.get("latency_ms"), subject.get("tier_latency_ms")
    found = measured.number()
    if found is None:
        return
    least, most = bounds.get("min").number(), bounds.get("max").number()
    if least is None or most is None:
        raise HiddenError(bounds.path, "is not published")
    if not least <= found < most:
        yield Violation(measured.path, f"is not from {least:g} to below {most:g} ms, which makes the site's tier")


def _edge_pays(subject: Subject) -> Iterator[Violation]:
    economics = subject.get("economics")
    if economics.present and economics.get("edge_pays").flag() is False:
        yield Violation(economics.path, "says that the edge costs more than the cloud, over 18 months")


def _power_envelope(subject: Subject) -> Iterator[Violation]:
    power = subject.get("power")
    watts = {}
    for name in ("sustained_watts", "base_watts", "models_watts"):
        found = power.get(name).number()
        if found is None:
            raise HiddenError(power.get(name).path, "is not published")
        watts[name] = found
    if watts["base_watts"] + watts["models_watts"] > watts["sustained_watts"]:
        yield Violation(power.path, "is exceeded: base load and models take more than the box can turn into heat")


def _gpu_exists(subject: Subject) -> Iterator[Violation]:
    accelerators = subject.get("accelerators")
    asked_for, present = accelerators.get("asked_for").number(), accelerators.get("present").number()
    if asked_for is None or present is None:
        raise HiddenError(accelerators.path, "is not published")
    if asked_for > present:
        yield Violation(accelerators.path, "is asked for more accelerators than the host has")


def _datastore_backup(subject: Subject) -> Iterator[Violation]:
    for configuration in subject.get("configurations").each():
        yield from attempt(_snapshots(configuration))


def _snapshots(configuration: Node) -> Iterator[Violation]:
    # K3s makes no snapshots of SQLite (its file is what a backup of the disk holds), and an external datastore is its
    # owner's: nothing in a configuration of K3s could say how either is backed up.
    if configuration.get("role").text() != "server" or configuration.get("datastore").text() != "etcd":
        return
    config = configuration.get("config")
    if config.get("etcd-disable-snapshots").flag():
        yield Violation(config.get("etcd-disable-snapshots").path, "turns snapshots of the datastore off")
    schedule, kept = config.get("etcd-snapshot-schedule-cron"), config.get("etcd-snapshot-retention")
    if len((schedule.text() or "").split()) != 5 and not (schedule.text() or "").startswith("@"):
        yield Violation(schedule.path, "is no schedule of snapshots of the datastore")
    number = kept.number()
    if number is not None and number < 1:
        yield Violation(kept.path, "keeps no snapshot")


def _telemetry_queue(subject: Subject) -> Iterator[Violation]:
    """Judges ConfigMaps that hold a configuration of a collector, and collectors of the OpenTelemetry operator."""
    if subject.kind.name == "ConfigMap":
        for _, node in subject.get("data").entries():
            yield from attempt(_configured(node))
    else:
        node = subject.get("spec", "config")
        if node.present:
            yield from attempt(_configured(node))


def _configured(node: Node) -> Iterator[Violation]:
    config = node.value
    if not isinstance(config, dict):
        text = node.text() or ""
        if "exporters:" not in text or "pipelines:" not in text:
            return
        try:
            config = yaml.load(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError:
            yield Violation(node.path, "looks like a collector's configuration, and is not YAML")
            return
    if isinstance(config, dict) and isinstance(config.get("exporters"), dict):
        for name in _without_queue(config):
            yield Violation(node.path, f"sends by {name} without a queue on disk: what an outage holds back is lost")


def _without_queue(config: Mapping[str, Any]) -> Iterator[str]:
    """Exporters over the network that keep what they cannot send in memory, or nowhere."""
    extensions = config.get("extensions") or {}
    service = config.get("service") or {}
    used = service.get("extensions") if isinstance(service, dict) else None
    for name, exporter in config["exporters"].items():
        if not str(name).partition("/")[0].startswith("otlp"):
            continue
        queue = exporter.get("sending_queue") if isinstance(exporter, dict) else None
        storage = queue.get("storage") if isinstance(queue, dict) else None
        off = isinstance(queue, dict) and queue.get("enabled") is False
        on_disk = isinstance(storage, str) and storage.partition("/")[0] == "file_storage" and storage in extensions
        if off or not on_disk or storage not in (used or ()):
            yield str(name)


def _is_site(kind: Kind) -> bool:
    return kind.is_part("EdgeSite")


def _is_host(kind: Kind) -> bool:
    return kind.is_part("Host")


def _is_k3s(kind: Kind) -> bool:
    return kind.is_part("K3s")


def _may_configure_collector(kind: Kind) -> bool:
    return kind.is_a("core", "ConfigMap") or kind.is_a("opentelemetry.io", "OpenTelemetryCollector")


_rule = partial(
    Rule,
    level="mandatory",
    severity="medium",
    url="https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/",
    applies=_is_site,
    about="edge:index:EdgeSite",
)

RULES = (
    _rule(
        id="site/names",
        title="A site has a name, a tier and a region, and labels that Kubernetes accepts.",
        why="Names of hosts, nodes and stacks begin with it; roll-outs and telemetry select by the others.",
        remedy="Write `site`, `tier` and `region`, and `labels` of letters, digits, '-', '_' and '.'.",
        check=_names,
    ),
    _rule(
        id="site/tier-latency",
        title="The latency that was measured is that of the site's tier.",
        why="Workloads are placed by tier: one that needs 5 ms would run where it gets 20.",
        remedy="Measure `latency_ms` again, or write the `tier` that it makes.",
        check=_tier_latency,
    ),
    _rule(
        id="site/edge-pays",
        level="advisory",
        severity="low",
        title="The edge costs no more than the cloud.",
        why="Hardware is written off over 18 months: cloud > capex / 18 + operation.",
        remedy="Correct `economics`, or be sure that latency, uplink or law are worth the difference.",
        check=_edge_pays,
    ),
    _rule(
        id="site/power-envelope",
        severity="high",
        title="Models take no more power than their host can turn into heat.",
        why="A fanless box over its envelope throttles, then ends in the afternoon of a hot day.",
        remedy="Place fewer or smaller models on the host, or use hardware with a wider envelope.",
        url="https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
        applies=_is_host,
        about="edge:index:Host",
        check=_power_envelope,
    ),
    _rule(
        id="site/accelerator-exists",
        severity="high",
        title="A host has the accelerators that its models ask for.",
        why="A pod that asks for a GPU that is not there waits for ever.",
        remedy="Add `accelerators` to the host if they are there, or serve the model by the CPU.",
        url="https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/",
        applies=_is_host,
        about="edge:index:Host",
        check=_gpu_exists,
    ),
    _rule(
        id="site/datastore-backup",
        severity="high",
        title="Servers with embedded etcd make snapshots of it.",
        why="Without one, the loss of a majority of the servers is the loss of the cluster.",
        remedy='Write `k3s: {datastore: {snapshot_schedule: "0 */6 * * *", snapshot_retention: 12}}`.',
        url="https://docs.k3s.io/cli/etcd-snapshot",
        applies=_is_k3s,
        about="edge:index:K3s",
        check=_datastore_backup,
        references=nist("CP-9"),
    ),
    _rule(
        id="site/telemetry-queue",
        severity="medium",
        title="Telemetry that cannot be sent waits on disk.",
        why="A site's uplink is away for hours at times, and what happened then is what people ask for.",
        remedy="Use the block `telemetry`, or give each OTLP exporter `sending_queue: {storage: file_storage}` and "
        "list that extension under `service`.",
        url="https://opentelemetry.io/docs/collector/resiliency/",
        applies=_may_configure_collector,
        about="ConfigMap, OpenTelemetryCollector",
        references=(Reference("OpenTelemetry", "Collector resiliency: persistent storage"),),
        check=_telemetry_queue,
        unknown="warns",
    ),
)
