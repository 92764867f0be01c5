"""Known vulnerabilities, from files in the OSV format, matched against bills of materials. No network.

Shape of the files: https://ossf.github.io/osv-schema/. What an entry says of a version that cannot be compared is not
passed over: it is a match that somebody has to look at.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from semver import Version

from edge.exit_codes import BAD_INPUT
from edge.run.bill import Bill, Item
from edge.run.failure import OperationError

_ORDER = ("CRITICAL", "HIGH", "MODERATE", "MEDIUM", "LOW")


@dataclass(frozen=True)
class Match:
    """A vulnerability of something that runs at some sites."""

    id: str
    aliases: tuple[str, ...]
    severity: str
    """`CRITICAL`, `HIGH`, `MODERATE`, `LOW`, a CVSS vector, or empty: as the entry has it."""
    summary: str
    name: str
    version: str
    fixed: tuple[str, ...]
    """Releases in which it is repaired."""
    sites: tuple[str, ...]
    certain: bool = True
    """False where the entry's versions cannot be compared with this one."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "aliases": list(self.aliases),
            "severity": self.severity or None,
            "summary": self.summary,
            "component": self.name,
            "version": self.version,
            "fixed": list(self.fixed),
            "certain": self.certain,
            "sites": list(self.sites),
        }


@dataclass
class _Known:
    """What runs in the fleet, by the names that entries use."""

    items: dict[str, dict[Item, set[str]]] = field(default_factory=dict)

    def add(self, bill: Bill) -> None:
        for item in bill.items:
            bare = replace(item, where=(), source="", arch="", everywhere=False)
            for name in _names_of_item(item):
                self.items.setdefault(name, {}).setdefault(bare, set()).add(bill.site)


def matches(bills: Sequence[Bill], entries: Iterator[Mapping[str, Any]]) -> list[Match]:
    """The vulnerabilities of what the bills list, the worst first."""
    known = _Known()
    for bill in bills:
        known.add(bill)
    found: dict[tuple[str, str, str], Match] = {}
    for entry in entries:
        if entry.get("withdrawn"):
            continue
        for affected in entry.get("affected") or ():
            for name in _names_of_package(affected.get("package") or {}):
                for item, sites in known.items.get(name, {}).items():
                    hit = _concerns(affected, item.version)
                    if hit is not False:
                        one = _match(entry, affected, item, sites, certain=hit is True)
                        found.setdefault((one.id, one.name, one.version), one)
    return sorted(found.values(), key=lambda one: (_rank(one.severity), one.id, one.name, one.version))


def entries_in(path: Path) -> Iterator[Mapping[str, Any]]:
    """The entries of a JSON file (one, a list, or `{"vulns": [...]}`), a folder of them, or a ZIP archive of them.

    Raises ``OperationError`` for what is no such file: a list that was not read would look like a fleet without faults.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.json"))
        if not files:
            remedy = "give a file, a folder or a ZIP archive in the OSV format"
            raise OperationError(f"{path} has no JSON file.", (remedy,), code=BAD_INPUT)
        for file in files:
            yield from _entries(file.read_bytes(), str(file))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".json")):
                yield from _entries(archive.read(name), f"{path}: {name}")
    else:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise OperationError(f"{path} cannot be read: {error.strerror}.", code=BAD_INPUT) from error
        yield from _entries(content, str(path))


def _entries(content: bytes, where: str) -> Iterator[Mapping[str, Any]]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise OperationError(f"{where}: not JSON: {error}", code=BAD_INPUT) from error
    listed = document.get("vulns", [document]) if isinstance(document, dict) else document
    for entry in listed if isinstance(listed, list) else [listed]:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise OperationError(
                f"{where}: no OSV entry: an object with `id` and `affected` was expected.",
                ("https://osv.dev/docs/#section/Data-Dumps has such files",),
                code=BAD_INPUT,
            )
        yield entry


def _names_of_item(item: Item) -> set[str]:
    names = {package.lower() for package in item.packages}
    if item.kind == "image":
        short = item.name.rpartition("/")[2]
        names |= {f"pkg:oci/{short}".lower(), f"pkg:docker/{item.name}".lower(), item.name.lower()}
    return names | {item.name.lower(), item.purl.partition("@")[0].partition("?")[0].lower()}


def _names_of_package(package: Mapping[str, Any]) -> set[str]:
    name, ecosystem = str(package.get("name") or ""), str(package.get("ecosystem") or "").partition(":")[0]
    names = {unquote(str(package.get("purl") or "")).partition("@")[0].partition("?")[0].lower()}
    if ecosystem == "Go":
        names.add(f"pkg:golang/{name}".lower())
    elif not ecosystem or ecosystem in ("OCI", "Docker", "Helm", "GitHub Actions"):
        names.add(name.lower())
    return names - {""}


def _concerns(affected: Mapping[str, Any], version: str) -> bool | None:
    """Whether a version is affected; None where that cannot be told."""
    if version in (affected.get("versions") or ()) or version.lstrip("v") in (affected.get("versions") or ()):
        return True
    ranges = [one for one in affected.get("ranges") or () if one.get("type") in ("SEMVER", "ECOSYSTEM")]
    if not ranges:
        # All versions, or those of a Git history, which nothing here knows.
        return None if affected.get("ranges") or not affected.get("versions") else False
    own = _parsed(version)
    if own is None:
        return None
    verdicts = [_within(one.get("events") or (), own) for one in ranges]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _within(events: Sequence[Mapping[str, str]], own: Version) -> bool | None:
    """Whether a version is within a range. Events are taken in the order of their versions."""
    timed: list[tuple[Version, int, str]] = []
    for event in events:
        for what, rank in (("introduced", 0), ("fixed", 1), ("last_affected", 2)):
            if what in event:
                at = Version(0, 0, 0, "0") if event[what] == "0" else _parsed(event[what])
                if at is None:
                    return None
                timed.append((at, rank, what))
    inside = False
    for at, _, what in sorted(timed):
        if what == "introduced" and own >= at:
            inside = True
        elif (what == "fixed" and own >= at) or (what == "last_affected" and own > at):
            inside = False
    return inside


def _parsed(text: str) -> Version | None:
    try:
        return Version.parse(text.strip().removeprefix("v"), optional_minor_and_patch=True)
    except ValueError:
        return None


def _match(
    entry: Mapping[str, Any], affected: Mapping[str, Any], item: Item, sites: set[str], *, certain: bool
) -> Match:
    events = [event for one in affected.get("ranges") or () for event in one.get("events") or ()]
    return Match(
        id=str(entry["id"]),
        aliases=tuple(str(alias) for alias in entry.get("aliases") or ()),
        severity=_severity(entry, affected),
        summary=str(entry.get("summary") or str(entry.get("details") or "").partition("\n")[0]),
        name=item.name,
        version=item.version,
        fixed=tuple(dict.fromkeys(str(event["fixed"]) for event in events if "fixed" in event)),
        sites=tuple(sorted(sites)),
        certain=certain,
    )


def _severity(entry: Mapping[str, Any], affected: Mapping[str, Any]) -> str:
    for holder in (affected, entry):
        for key in ("database_specific", "ecosystem_specific"):
            word = str((holder.get(key) or {}).get("severity") or "").upper()
            if word:
                return word
    return next((str(one.get("score") or "") for one in entry.get("severity") or ()), "")


def _rank(severity: str) -> int:
    # One without a word is looked at before those that are said to be low.
    return _ORDER.index(severity) if severity in _ORDER else 2
