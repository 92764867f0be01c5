"""A new site file, from a tier, a hardware profile or another site, and from what only a person can know.

Owns what is taken over from another site and what is not, and that nothing is overwritten. Asks nobody: what is missing
is said as a list of options. Host keys are read by ``edge.hosts.first_contact``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

from components.host.spec import Distribution, OsSpec
from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from edge.run.site_text import site_text
from sitefile.checked_file import CheckedFile, FileChecker
from sitefile.problems import FileError, Problem, near_miss, shown
from sitefile.yaml_source import from_text
from sitefile.yaml_tree import plain
from stacks.catalogue import catalogue
from stacks.loader import site_checker, site_files, site_names
from stacks.project import site_file
from stacks.rules.between_sites import between_sites
from stacks.site import SiteSpec

_OF_A_SITE = ("site", "description", "latency_ms", "waivers", "hosts")
"""Keys of another site that are that site's own."""
_OF_A_HOST = ("address", "host_key", "node_ip", "renamed_from", "reapply", "k3s_version")
_DEEPER = (("k3s", "api_address"), ("k3s", "tls_sans"), ("mesh", "advertise_routes"))
_SERVERS = 3
"""Servers among many hosts of one hardware profile; the others are agents."""


@dataclass(frozen=True)
class Host:
    """What a person knows of one machine. An empty name takes the next one of the base."""

    address: str
    host_key: str
    name: str = ""


@dataclass(frozen=True)
class Base:
    """What a new site is made from."""

    name: str
    content: Mapping[str, Any]
    """Values of the site, but for its hosts."""
    hosts: tuple[Mapping[str, Any], ...] = ()
    """Its hosts without address and key; one for each machine where ``fixed``."""
    fixed: bool = False
    """Whether the number of hosts is given: that of another site."""
    left_out: tuple[str, ...] = ()
    """Values of another site that were not taken over."""
    shared_address: bool = False
    """Whether it has an address of its API that outlives any one server, which the new site needs one of too."""

    def host(self, index: int) -> Mapping[str, Any]:
        return self.hosts[min(index, len(self.hosts) - 1)] if self.hosts else {}


@dataclass(frozen=True)
class Answers:
    """What a base does not know."""

    site: str
    hosts: tuple[Host, ...]
    tier: str = ""
    region: str = ""
    hardware: str = ""
    api_address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A site file that is not written yet."""

    file: Path
    text: str
    checked: CheckedFile[SiteSpec]
    system: str = ""
    """The operating system that was chosen because the profile's hardware refuses the default one."""

    def write(self) -> None:
        """Raises ``OperationError`` where there is such a file."""
        try:
            with self.file.open("x", encoding="utf-8") as out:
                out.write(self.text)
        except FileExistsError:
            raise _is_there(self.file) from None


def base_of(name: str, root: Path) -> Base:
    """The site, tier or hardware profile of that name. Raises ``OperationError`` and ``FileError``."""
    data = catalogue(root)
    if name in site_names(root):
        return _of_site(name, root)
    if name in data.tiers:
        return Base(name, {"tier": name})
    if name in data.hardware:
        return Base(name, {}, ({"hardware": name},))
    names = [*site_names(root), *sorted(data.tiers), *sorted(data.hardware)]
    near = near_miss(name, names)
    what = f"There is no site, tier or hardware profile {shown(name)}" + (f": did you mean `{near}`?" if near else ".")
    remedies = (f"hardware: {', '.join(sorted(data.hardware))}", f"tiers: {', '.join(sorted(data.tiers))}")
    raise OperationError(what, remedies, code=BAD_INPUT)


def require_free(site: str, root: Path) -> Path:
    """The file of a new site. Raises ``OperationError`` where it is there already."""
    file = site_file(root, site)
    if file.exists() or file.is_symlink():
        raise _is_there(file)
    return file


def missing(base: Base, given: Answers) -> dict[str, str]:
    """What is still to be known, but for the hosts: name of the field -> the question."""
    questions = {}
    hosts = [base.host(index) for index in range(max(len(given.hosts), 1))]
    if not given.tier and "tier" not in base.content:
        questions["tier"] = "Tier"
    if not given.region and "region" not in base.content:
        questions["region"] = "Region, in your own words (such as eu-central)"
    if not given.hardware and any("hardware" not in host for host in hosts):
        questions["hardware"] = "Hardware profile"
    if not given.api_address and (base.shared_address or (not base.fixed and len(given.hosts) >= _SERVERS)):
        questions["api_address"] = "Address of the Kubernetes API that outlives any one server (a virtual IP)"
    return questions


def drafted(base: Base, answers: Answers, root: Path) -> Draft:
    """The site file. Finds its problems; writes nothing. Raises ``OperationError`` for a name that is none."""
    file = require_free(answers.site, root)
    checker = site_checker(root, file.parent)
    draft = _draft(file, _content(base, answers), checker, root)
    if draft.checked.model is not None or base.fixed or "os" in base.content:
        return draft
    # Hardware that cannot have the default system: the first one that it can have.
    first = OsSpec()
    for disk, distribution in product(("luks-tpm2", "none"), get_args(Distribution)):
        own = {"distribution": distribution, "disk": disk}
        system = {key: value for key, value in own.items() if value != getattr(first, key)}
        other = _draft(file, _content(base, answers, system), checker, root)
        if system and other.checked.model is not None:
            return replace(other, system=", ".join(f"{key}: {value}" for key, value in system.items()))
    return draft


def clashes(drafts: Sequence[Draft], root: Path) -> list[Problem]:
    """What new sites have in common with each other or with those of the project, and must not."""
    checker = site_checker(root)
    own = [draft.checked for draft in drafts]
    files = [checker.check(path) for path in site_files(root)]
    before = {problem for _, problem in between_sites(files)}
    return [problem for _, problem in between_sites([*files, *own]) if problem not in before]


def write_all(drafts: Sequence[Draft]) -> None:
    """Write all files or, where one cannot be written, none."""
    written: list[Path] = []
    try:
        for draft in drafts:
            draft.write()
            written.append(draft.file)
    except BaseException:
        for file in written:
            file.unlink()
        raise


def _content(base: Base, answers: Answers, system: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The values of the new file, in the order in which people write them."""
    own = {"tier": answers.tier, "region": answers.region}
    content: dict[str, Any] = {"site": answers.site}
    content |= {key: base.content.get(key) for key in own if key in base.content}
    content |= {key: value for key, value in own.items() if value}
    labels = {**base.content.get("labels", {}), **answers.labels}
    content |= {"labels": labels} if labels else {}
    if answers.hosts:
        content["hosts"] = [_host(base, answers, index) for index in range(len(answers.hosts))]
    content |= {"os": dict(system)} if system else {}
    content |= {key: value for key, value in base.content.items() if key not in content}
    if "k3s" not in content and not base.fixed:
        content["k3s"] = {}
    if answers.api_address:
        content["k3s"] = {"api_address": answers.api_address, **(content.get("k3s") or {})}
    return content


def _host(base: Base, answers: Answers, index: int) -> dict[str, Any]:
    given, known = answers.hosts[index], dict(base.host(index))
    name = given.name or (known.get("name") if base.fixed else None) or letter(index)
    hardware = answers.hardware or known.get("hardware")
    rest = {key: value for key, value in known.items() if key not in ("name", "hardware")}
    if not base.fixed and (index >= _SERVERS or (index > 0 and len(answers.hosts) < _SERVERS)):
        rest["role"] = "agent"
    return {
        "name": name,
        **({"hardware": hardware} if hardware else {}),
        "address": given.address,
        "host_key": given.host_key,
        **rest,
    }


def letter(index: int) -> str:
    """Name of a host that has none: a, b, c, ..."""
    return chr(ord("a") + index) if index < 26 else f"host-{index + 1}"


def _draft(file: Path, content: Mapping[str, Any], checker: FileChecker[SiteSpec], root: Path) -> Draft:
    text = site_text(content)
    name = file.relative_to(root) if file.is_relative_to(root) else file
    return Draft(file, text, checker.check_source(from_text(text, name)))


def _of_site(name: str, root: Path) -> Base:
    file = site_file(root, name)
    checked = site_checker(root, file.parent).check(file)
    if checked.model is None or checked.source.tree is None:
        raise FileError(checked.problems)
    whole: dict[str, Any] = plain(checked.source.tree)
    left_out = [key for key in _OF_A_SITE if key in whole and key not in ("site", "hosts")]
    content = {key: value for key, value in whole.items() if key not in _OF_A_SITE}
    shared = isinstance(content.get("k3s"), dict) and "api_address" in content["k3s"]
    for parent, key in _DEEPER:
        if isinstance(content.get(parent), dict) and key in content[parent]:
            content[parent] = {one: value for one, value in content[parent].items() if one != key}
            left_out += [f"{parent}.{key}"] if key != "api_address" else []
    if any("cluster_name" in one for one in content.get("registrations") or ()):
        content["registrations"] = [
            {key: value for key, value in one.items() if key != "cluster_name"} for one in content["registrations"]
        ]
        left_out.append("registrations.cluster_name")
    hosts = tuple(
        {key: value for key, value in host.items() if key not in _OF_A_HOST} for host in whole.get("hosts") or ()
    )
    own = {key for host in whole.get("hosts") or () for key in host if key in _OF_A_HOST[2:]}
    left_out += [f"hosts.{key}" for key in _OF_A_HOST if key in own]
    return Base(name, content, hosts, fixed=True, left_out=tuple(left_out), shared_address=shared)


def named(values: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Name and value of an option that is given once for each host, as `NAME=VALUE` or as `VALUE` (no name).

    Raises ``OperationError`` for a host that is named twice.
    """
    found = []
    for value in values:
        name, equals, rest = value.partition("=")
        # A key in base64 may end in `=`, and has a blank before that.
        found.append((name, rest) if equals and " " not in name else ("", value))
    names = [name for name, _ in found if name]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise OperationError(f"{option} names the host {shown(twice)} twice.", code=BAD_INPUT)
    return found


def _is_there(file: Path) -> OperationError:
    return OperationError(
        f"There is a file {file.name} already, and it is left as it is.",
        (f"edge check {file.stem}     checks it", "choose another name"),
        code=BAD_INPUT,
    )
