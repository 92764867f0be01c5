"""The bill of materials of a site: every binary, image, chart and model that it runs, with version and digest.

Made from what the site's program registers, so it lists what would run, not what a host has been left with. It does not
look into what it lists: what K3s, an image or a chart is made of is said by its publisher's own bill.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge.run.judging import policies_of
from edge.run.program import recorded_site
from policies.charts import charts_of
from policies.recorded import resource_of
from policies.rules import Resource, Settings
from policies.rules.charts import verdict_of
from policies.rules.images import parse_image
from policies.rules.subject import Subject, subjects
from stacks.catalogue import catalogue
from stacks.parts import software, view
from stacks.project import DISTRIBUTION
from stacks.site import SiteSpec

CLUSTER = "cluster"
_NAMESPACE = uuid.UUID("5b6c3d0e-6f2a-4c55-9f0e-0d9d6a6f7c11")
"""Makes the number of a bill from its content, so that an equal site has an equal bill."""
_TYPES = {"image": "container", "chart": "application"}


@dataclass(frozen=True, order=True)
class Item:
    """One thing that runs at a site."""

    kind: str
    """`application`, `image`, `chart` or `machine-learning-model`."""
    name: str
    version: str
    digest: str = ""
    """SHA-256 in hexadecimal; empty where nothing pins it."""
    where: tuple[str, ...] = ()
    """Hosts, or objects of the cluster."""
    source: str = ""
    arch: str = ""
    packages: tuple[str, ...] = ()
    """Package URLs without version, its own first."""
    everywhere: bool = False
    """Whether each host runs it, as a DaemonSet does."""

    @property
    def purl(self) -> str:
        """Its package URL."""
        tag = f"@{quote(self.version, safe='.-_~:')}" if self.version else ""
        if self.kind == "image":
            short = self.name.rpartition("/")[2]
            digest = f"@{quote(f'sha256:{self.digest}', safe='')}" if self.digest else ""
            labels = f"&tag={quote(self.version, safe='')}" if self.version else ""
            return f"pkg:oci/{short.lower()}{digest}?repository_url={quote(self.name.lower(), safe='')}{labels}"
        if self.packages:
            return self.packages[0] + tag
        return f"pkg:generic/{quote(self.name, safe='/')}{tag}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "sha256": self.digest or None,
            "purl": self.purl,
            "source": self.source or None,
            "where": list(self.where),
        }


@dataclass(frozen=True)
class Bill:
    """What one site runs."""

    site: str
    items: tuple[Item, ...]
    archs: tuple[str, ...] = ()
    """Architectures of its hosts."""

    @property
    def unpinned(self) -> tuple[Item, ...]:
        """What has no digest: nothing here says which bytes it is."""
        return tuple(item for item in self.items if not item.digest)


def bill_of(site: str, root: Path) -> Bill:
    """The bill of a site, by id or file. Raises ``FileError``, and what its program raises."""
    spec, recording = recorded_site(site, root)
    resources = [resource_of(one) for one in recording.resources]
    return Bill(spec.site, items_of(spec, resources, root), archs_of(spec, root))


def archs_of(spec: SiteSpec, root: Path) -> tuple[str, ...]:
    """The architectures of a site's hosts; that of most clouds' machines where it has none of its own."""
    return tuple(sorted({machine.arch for machine in view(spec, catalogue(root)).machines})) or ("amd64",)


def items_of(spec: SiteSpec, resources: Sequence[Resource], root: Path) -> tuple[Item, ...]:
    """What a site with these ``resources`` runs, each thing once."""
    return _merged(_items(spec, resources, root))


def _items(spec: SiteSpec, resources: Sequence[Resource], root: Path) -> Iterator[Item]:
    settings = policies_of(root).settings
    for one in software(spec, catalogue(root)):
        yield Item(
            kind=one.kind,
            name=one.name,
            version=one.version,
            digest=one.sha256,
            where=one.hosts or (CLUSTER,),
            source=one.source,
            arch=one.arch,
            packages=one.packages,
        )
    for resource in resources:
        for subject in subjects(resource, settings):
            for image in subject.image_names:
                yield _image(image, _place(subject), everywhere=subject.kind.name == "DaemonSet")
    yield from _charts(resources, settings)


def _charts(resources: Sequence[Resource], settings: Settings) -> Iterator[Item]:
    for _, chart in charts_of(resources, settings):
        verdict = verdict_of(chart, settings)
        place = f"{chart.namespace}/{chart.release}"
        yield Item(
            kind="chart",
            name=chart.name.removeprefix("oci://"),
            version=chart.version,
            digest=(verdict.digest if verdict else "").removeprefix("sha256:"),
            where=(place,),
            source=chart.repository,
        )
        for image in verdict.images if verdict else ():
            yield _image(image, place)


def _image(reference: str, place: str, *, everywhere: bool = False) -> Item:
    image = parse_image(reference)
    digest = image.digest.removeprefix("sha256:")
    return Item("image", image.repository, image.tag, digest, (place,), everywhere=everywhere)


def _place(subject: Subject) -> str:
    namespace, name = subject.root.peek("metadata", "namespace"), subject.root.peek("metadata", "name")
    named = name if isinstance(name, str) else subject.resource.name
    return f"{namespace}/{named}" if isinstance(namespace, str) else str(named)


def _merged(items: Iterable[Item]) -> tuple[Item, ...]:
    """Each thing once, with all places where it is."""
    found: dict[Item, list[Item]] = {}
    for item in items:
        found.setdefault(replace(item, where=(), everywhere=False), []).append(item)
    return tuple(
        sorted(
            replace(
                one,
                where=tuple(sorted({place for item in of for place in item.where})),
                everywhere=any(item.everywhere for item in of),
            )
            for one, of in found.items()
        )
    )


def cyclonedx(bill: Bill) -> dict[str, Any]:
    """The bill as a CycloneDX 1.6 document. It has no time of day: an equal site has an equal document."""
    components = [_component(item) for item in bill.items]
    number = uuid.uuid5(_NAMESPACE, f"{bill.site} {sorted(str(one) for one in components)}")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "edge", "version": version(DISTRIBUTION)}]},
            "component": {"type": "platform", "bom-ref": f"site/{bill.site}", "name": bill.site},
        },
        "components": components,
        "dependencies": [{"ref": f"site/{bill.site}", "dependsOn": sorted({one["bom-ref"] for one in components})}],
    }


def _component(item: Item) -> dict[str, Any]:
    reference = "/".join(part for part in (item.kind, item.name, item.version, item.arch, item.digest[:12]) if part)
    found: dict[str, Any] = {
        "type": _TYPES.get(item.kind, item.kind),
        "bom-ref": reference,
        "name": item.name,
        "version": item.version,
        "purl": item.purl,
    }
    if item.digest:
        found["hashes"] = [{"alg": "SHA-256", "content": item.digest}]
    if item.source.startswith("https://"):
        found["externalReferences"] = [{"type": "distribution", "url": item.source}]
    places = [{"name": "edge:where", "value": place} for place in item.where]
    found["properties"] = [*([{"name": "edge:arch", "value": item.arch}] if item.arch else []), *places]
    return found
