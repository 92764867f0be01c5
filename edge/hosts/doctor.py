"""What a real run needs, and whether this machine has it: engine, plugins, backend, secrets, hosts.

Read-only. Connects only to the backend and, for a site that is named, to its hosts (it reads their SSH host keys and
does not log in) and to its clouds, by their own command-line tools.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from components import addresses
from components.host.spec import HostSpec
from components.view import Precondition
from edge.hosts.doctor_item import Item
from edge.hosts.doctor_secrets import encryption
from edge.run.program import recorded, rehearsed
from edge.run.stack_settings import read_settings
from engine.environment import PROJECT_ROOT, backend_of, environment, file_backend
from engine.obtain.cli import PulumiCli, installed_path, locate
from engine.obtain.pin import EngineError
from engine.obtain.shim import is_our_shim, language_host
from stacks.configuration import full_key
from stacks.loader import load_all, load_site
from stacks.parts import preconditions
from stacks.project import site_file
from stacks.site import SiteSpec

_BUILT_IN = frozenset({"pulumi", "edge"})
_BACKEND_TIMEOUT_S = 20
_CLOUD_TIMEOUT_S = 30
_CLOUDS_AT_ONCE = 4
_SCAN_TIMEOUT_S = 5
_SCANS_AT_ONCE = 16


def examine(site: str | None = None, root: Path = PROJECT_ROOT) -> Iterator[Item]:
    """All checks, in the order in which a run needs them. Raises ``FileError`` for a bad ``site``."""
    specs = [load_site(site, root=root)] if site else load_all(root)[0]
    variables = environment(project_root=root)
    cli = None
    try:
        cli = locate()
        yield Item("engine", "pulumi", "ok", f"{cli.version} at {cli.path} ({cli.origin})")
        yield _language_host(cli)
    except EngineError as error:
        yield Item("engine", "pulumi", "broken", str(error).splitlines()[0], "edge setup")
    yield from _packages(specs, root)
    if cli is not None:
        yield _backend(cli, variables, root)
    yield from encryption(cli, variables, root, specs[0].site if site else None)
    for spec in specs if site else ():
        yield from _clouds(spec)
        yield from _secrets(spec, root)
        yield from _hosts(spec)


def _language_host(cli: PulumiCli) -> Item:
    host = language_host(cli.path, installed_path())
    if host is None:
        return Item("engine", "Python language host", "broken", "none beside the pulumi executable", "edge setup")
    whose = "the one of this project" if is_our_shim(host) else "official"
    return Item("engine", "Python language host", "ok", f"{whose}, {host}")


def _packages(specs: list[SiteSpec], root: Path) -> Iterator[Item]:
    """SDK and plugin of each provider, and which sites need it."""
    yield _sdk("pulumi")
    needed: dict[str, list[str]] = {}
    for spec in specs:
        for provider in _providers(spec, root):
            needed.setdefault(provider, []).append(spec.site)
    for provider, sites in sorted(needed.items()):
        sdk = _sdk(f"pulumi-{provider}")
        yield sdk
        yield _plugin(provider, sites, sdk.detail if sdk.status == "ok" else "")


def _providers(spec: SiteSpec, root: Path) -> set[str]:
    """Providers that the site's resources need, explicit ones included."""
    recording = recorded(spec, rehearsed(spec, {}, site_file(root, spec.site), root), root)
    types = (resource.type for resource in recording.resources)
    packages = {kind.removeprefix("pulumi:providers:").partition(":")[0] for kind in types}
    return packages - _BUILT_IN


def _sdk(name: str) -> Item:
    try:
        return Item("packages", name, "ok", version(name))
    except PackageNotFoundError:
        return Item("packages", name, "broken", "Python package is not installed", "make setup")


def _plugin(provider: str, sites: list[str], wanted: str) -> Item:
    name = f"pulumi-resource-{provider}"
    needed = f"needed by {', '.join(sites[:3])}" + (f" and {len(sites) - 3} more" if len(sites) > 3 else "")
    if on_path := shutil.which(name):
        return Item("packages", f"{provider} plugin", "ok", f"on PATH, {on_path}; {needed}")
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    found = sorted((home / "plugins").glob(f"resource-{provider}-v*/"))
    versions = [folder.name.removeprefix(f"resource-{provider}-v") for folder in found]
    if wanted in versions or (found and not wanted):
        return Item("packages", f"{provider} plugin", "ok", f"{wanted or versions[-1]} in {home / 'plugins'}; {needed}")
    remedy = f"pulumi plugin install resource {provider} {wanted}".rstrip()
    if found:
        detail = f"{', '.join(versions)} in {home / 'plugins'}, the SDK is {wanted}; {needed}"
        return Item("packages", f"{provider} plugin", "note", detail, remedy)
    return Item("packages", f"{provider} plugin", "broken", f"not installed; {needed}", remedy)


def _backend(cli: PulumiCli, variables: Mapping[str, str], root: Path) -> Item:
    url = variables.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL", "")
    shown = backend_of(variables, root) or "as set by `pulumi login`"
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://").partition("?")[0]).expanduser()
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            if "metadata=skip" not in url:
                detail = f"{shown}, writable; a killed run can leave it unreadable"
                return Item("backend", "state", "note", detail, f"export PULUMI_BACKEND_URL='{file_backend(folder)}'")
            chosen = variables.get("PULUMI_BACKEND_URL") is None
            # Plain `pulumi` would ask for a login where nobody has said where the state is.
            remedy = (
                "" if chosen else f"export PULUMI_BACKEND_URL='{url}'     for plain `pulumi`, which does not know it"
            )
            return Item("backend", "state", "ok", f"{shown}, writable; local to this machine", remedy)
        return Item("backend", "state", "broken", f"{shown} is not a writable folder", f"mkdir -p {folder}")
    try:
        asked = subprocess.run(
            [str(cli.path), "whoami", "--non-interactive"],
            cwd=root,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BACKEND_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Item(
            "backend", "state", "broken", f"{shown}: no answer within {_BACKEND_TIMEOUT_S} s", "pulumi whoami -v"
        )
    if asked.returncode:
        reason = (asked.stderr.strip() or "no reason given").splitlines()[-1].removeprefix("error: ")
        return Item("backend", "state", "broken", f"{shown}: {reason}", "pulumi login, or set PULUMI_BACKEND_URL")
    return Item("backend", "state", "ok", f"{shown}, as {asked.stdout.strip()}")


def _clouds(spec: SiteSpec) -> Iterator[Item]:
    subject = f"clouds of {spec.site}"
    with ThreadPoolExecutor(_CLOUDS_AT_ONCE) as pool:
        yield from pool.map(lambda one: _cloud(subject, one), preconditions(spec))


def _cloud(subject: str, one: Precondition) -> Item:
    if not one.command:
        return Item(subject, one.name, "note", f"not checked: {one.why}", one.remedy)
    if shutil.which(one.command[0]) is None:
        return Item(subject, one.name, "note", f"not checked: {one.command[0]} is not installed here", one.remedy)
    try:
        asked = subprocess.run(
            one.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_CLOUD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return Item(subject, one.name, "note", f"not checked: no answer within {_CLOUD_TIMEOUT_S} s", one.remedy)
    said = asked.stdout.strip()
    if asked.returncode == 0 and said == one.wanted:
        return Item(subject, one.name, "ok", said)
    if asked.returncode:
        # Unknown is not wrong: the login may be the pipeline's alone.
        reason = (asked.stderr.strip() or "no reason given").splitlines()[-1]
        return Item(subject, one.name, "note", f"not checked: {reason}", one.remedy)
    return Item(subject, one.name, "broken", f"{said or 'nothing'}, not {one.wanted}: {one.why}", one.remedy)


def _secrets(spec: SiteSpec, root: Path) -> Iterator[Item]:
    settings = read_settings(root, spec.site)
    subject = f"secrets of {spec.site}"
    for need in settings.missing(spec):
        makes = f"edge secrets {spec.site} --generate" if need.generated else ""
        remedy = makes or f"edge secrets {spec.site} --set {need.key}"
        yield Item(subject, need.key, "broken", f"missing: {need.why}", remedy)
    for key in settings.exposed(spec):
        detail = f"is in {settings.file.name} in plain text"
        yield Item(subject, key, "broken", detail, f"change it, then `pulumi config set --secret {full_key(key)}`")


def _hosts(spec: SiteSpec) -> Iterator[Item]:
    bastions = {
        (bastion.address, bastion.port, bastion.host_key) for host in spec.hosts if (bastion := spec.bastion_of(host))
    }
    subject = f"hosts of {spec.site}"
    with ThreadPoolExecutor(_SCANS_AT_ONCE) as pool:
        yield from pool.map(lambda one: _scanned(subject, f"bastion {one[0]}", *one), sorted(bastions))
        yield from pool.map(lambda host: _host(spec, subject, host), spec.hosts)


def _host(spec: SiteSpec, subject: str, host: HostSpec) -> Item:
    name, bastion = spec.node(host), spec.bastion_of(host)
    if host.via is not None:
        return Item(subject, name, "note", f"not checked: it is behind jump host {host.via}")
    if bastion is not None:
        return Item(subject, name, "note", f"not checked: it is behind bastion {bastion.address}")
    return _scanned(subject, name, host.address, spec.ssh_of(host).port, host.host_key)


def _scanned(subject: str, name: str, address: str, port: int, host_key: str) -> Item:
    endpoint = addresses.endpoint(address, port)
    if shutil.which("ssh-keyscan") is None:
        return Item(subject, name, "note", "not checked: ssh-keyscan is not installed here", "install OpenSSH")
    kind, key = host_key.split()[:2]
    scan = subprocess.run(
        ["ssh-keyscan", "-T", str(_SCAN_TIMEOUT_S), "-p", str(port), "--", address],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    offered = [line.split()[1:3] for line in scan.stdout.splitlines() if line and not line.startswith("#")]
    if not offered:
        return Item(
            subject,
            name,
            "broken",
            f"{endpoint} does not answer as an SSH server",
            "is it on, and is this machine in its network?",
        )
    if [kind, key] in offered:
        return Item(subject, name, "ok", f"{endpoint} answers with the host key of the site file")
    kinds = ", ".join(other for other, _ in offered)
    if kind in [other for other, _ in offered]:
        return Item(
            subject,
            name,
            "broken",
            f"{endpoint} has another {kind} host key than in the site file",
            "if the host was reimaged, put its new key into the site file; otherwise do not connect",
        )
    return Item(
        subject,
        name,
        "broken",
        f"{endpoint} offers no {kind} host key",
        f"it offers {kinds}",
    )
