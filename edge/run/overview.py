"""Sites seen together, for those who do not read site files: where they are, what runs there, what it takes and costs.

The facts of a site come from its file and the hardware profiles (``facts_of``, pure), the verdict from ``edge check``.
How they are shown is ``show``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from components.host.machine import Machine
from components.part import Phase
from components.specs import Spec
from components.view import Demand
from components.waiver import WaiverSpec
from edge.run.check import Report, SiteCheck, check_between, check_files, check_shared, check_waivers, spec_of, today
from edge.run.judging import policies_of
from edge.run.selection import is_fleet
from policies.company_waivers import CompanyWaiverSpec
from sitefile.problems import Problem
from stacks import parts
from stacks.catalogue import Catalogue, catalogue
from stacks.economics import Economics, EconomicsSpec, assess, cumulative, together
from stacks.loader import site_files
from stacks.site import SiteSpec

_VERSIONS = ("version", "chart_version")
_LEAST_MONTHS, _MOST_MONTHS, _MONTHS_AFTER = 36, 120, 12


@dataclass(frozen=True)
class HostFacts:
    """A host with what its profile says of power and heat. Power in W, temperature in degrees Celsius."""

    name: str
    role: str
    hardware: str
    model: str
    system: str
    kubernetes: str
    cooling: str
    max_ambient_c: float
    sustained_watts: float
    base_watts: float
    models_watts: float
    """What models may take beside that."""
    accelerators: tuple[str, ...] = ()

    @property
    def watts(self) -> float:
        """Power at full load, as far as the site file tells."""
        return self.base_watts + self.models_watts

    @property
    def percent(self) -> int:
        """Of the heat that the box gets rid of without end, at its highest ambient temperature."""
        return round(100 * self.watts / self.sustained_watts)


@dataclass(frozen=True)
class SiteFacts:
    """What a valid site file says."""

    site: str
    tier: str
    region: str
    description: str
    labels: Mapping[str, str]
    hosts: tuple[HostFacts, ...]
    parts: tuple[str, ...]
    versions: Mapping[str, str]
    """By what it is (`kubernetes`, `flux distribution`), the versions that the site pins."""
    economics: EconomicsSpec | None
    waivers: tuple[WaiverSpec, ...]


@dataclass(frozen=True)
class Overview:
    """Everything that a report shows. Made from checked sites; nothing in it depends on the moment but ``today``."""

    report: Report
    facts: Mapping[Path, SiteFacts] = field(default_factory=dict)
    """By site file; files that do not describe a site have none."""
    today: date = date.min
    company: tuple[CompanyWaiverSpec, ...] = ()
    """What the company waives."""

    @property
    def known(self) -> list[tuple[SiteCheck, SiteFacts]]:
        """The sites that their files describe."""
        return [(site, self.facts[site.file]) for site in self.report.sites if site.file in self.facts]

    @property
    def hosts(self) -> list[tuple[SiteFacts, HostFacts]]:
        return [(facts, host) for _, facts in self.known for host in facts.hosts]

    @property
    def priced(self) -> list[EconomicsSpec]:
        """The economics of the sites that say what they cost."""
        return [facts.economics for _, facts in self.known if facts.economics is not None]

    @property
    def economics(self) -> tuple[Economics, list[tuple[float, float]]] | None:
        """All sites that say what they cost, together: the answer, and what is spent until each month (edge, cloud)."""
        if not (specs := self.priced):
            return None
        total = together(specs)
        answer = assess(total)
        months = max(_LEAST_MONTHS, (answer.break_even_month or 0) + _MONTHS_AFTER)
        return answer, cumulative(total, min(months, _MOST_MONTHS))

    @property
    def problems(self) -> list[Problem]:
        return self.report.problems

    def as_dict(self) -> dict[str, Any]:
        """The document of `--json`: that of `edge check`, with the facts of each site."""
        document = self.report.as_dict()
        del document["duration_s"]
        for site, found in zip(self.report.sites, document["sites"], strict=True):
            del found["duration_s"]
            facts = self.facts.get(site.file)
            found["facts"] = _as_dict(facts) if facts else None
        if document["fleet"]:
            del document["fleet"]["duration_s"]
        together = self.economics
        document["cost"] = asdict(together[0]) if together else None
        document["today"] = self.today.isoformat()
        document["waivers"] = [waiver.model_dump(mode="json", exclude_defaults=True) for waiver in self.company]
        return document


def overview(
    files: Sequence[Path], root: Path, jobs: int | None = None, checked: Iterable[SiteCheck] | None = None
) -> Overview:
    """Check ``files`` and gather what they say. ``checked``: their checks, where they are made already.

    Raises ``OperationError``.
    """
    report = Report()
    for found in check_files(files, root, jobs) if checked is None else checked:
        report.add(found, root)
    whole = set(site_files(root=root)) <= {file for file in files if not is_fleet(file, root)}
    report.shared = (*check_shared(files, root), *check_waivers(report, root, everywhere=whole))
    report.between = check_between(report.sites, root)
    specs = ((file, spec_of(file, root)) for file in files if not is_fleet(file, root))
    known = catalogue(root)
    facts = {file: facts_of(spec, known) for file, spec in specs if spec is not None}
    company = policies_of(root).company
    return Overview(report, facts, today(), company.specs if company else ())


def facts_of(spec: SiteSpec, known: Catalogue) -> SiteFacts:
    """What a site file and the profiles that it names say. Pure."""
    seen = parts.view(spec, known)
    chosen = parts.entries(spec)
    taken = _taken(spec, known)
    versions = {
        name: version
        for entry in chosen
        # The version of Kubernetes may differ from host to host.
        if entry.part.phase is not Phase.CLUSTER
        for name, version in _versions(entry.spec, entry.part.name)
    }
    return SiteFacts(
        site=spec.site,
        tier=spec.tier,
        region=spec.region,
        description=spec.description or "",
        labels=spec.labels,
        hosts=tuple(
            _host(machine, seen.kubernetes.get(machine.name, ""), taken.get(machine.name, Demand()))
            for machine in seen.machines
        ),
        parts=tuple(entry.part.name for entry in chosen),
        versions=versions,
        economics=spec.economics,
        waivers=spec.waivers,
    )


def _taken(spec: SiteSpec, known: Catalogue) -> dict[str, Demand]:
    """By host, what all parts may take of it."""
    taken: dict[str, Demand] = {}
    for entry, seen in parts.views(spec, known):
        for host, demand in entry.part.demands(entry.spec, seen).items():
            taken[host] = taken.get(host, Demand()) + demand
    return taken


def _host(machine: Machine, kubernetes: str, taken: Demand) -> HostFacts:
    envelope = machine.hardware.envelope
    return HostFacts(
        name=machine.name,
        role=machine.spec.role,
        hardware=machine.spec.hardware,
        model=f"{machine.hardware.vendor} {machine.hardware.model}",
        system=machine.os.distribution,
        kubernetes=kubernetes,
        cooling=envelope.cooling,
        max_ambient_c=envelope.max_ambient_c,
        sustained_watts=envelope.sustained_watts,
        base_watts=envelope.base_watts,
        models_watts=taken.watts,
        accelerators=tuple(machine.accelerators),
    )


def _versions(block: Spec, name: str) -> Iterator[tuple[str, str]]:
    """The versions that a part's block pins, and those of the blocks in it."""
    for key in type(block).model_fields:
        value = getattr(block, key)
        if key in _VERSIONS and isinstance(value, str):
            yield name, value
        elif isinstance(value, Spec):
            yield from _versions(value, f"{name} {key.replace('_', ' ')}")


def _as_dict(facts: SiteFacts) -> dict[str, Any]:
    return {
        "region": facts.region,
        "description": facts.description,
        "labels": dict(facts.labels),
        "hosts": [{**asdict(host), "watts": host.watts, "percent": host.percent} for host in facts.hosts],
        "parts": list(facts.parts),
        "versions": dict(facts.versions),
        "waivers": [waiver.model_dump(mode="json", exclude_none=True) for waiver in facts.waivers],
    }
