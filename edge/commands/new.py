"""`edge new`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.commands.options import Json, complete_bases
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.run.new_site import Answers, Base, Draft, Host

EXAMPLES = (
    "edge new shop-ghent --from hpe-el8000   |   "
    "edge new shop --from demo --address 10.90.0.11 --host-key-from 10.90.0.11   |   "
    "edge new --from demo --from-csv shops.csv"
)

_EACH = "Once for each host, in their order, or as NAME="


def run(
    site: Annotated[str | None, typer.Argument(help="Id of the new site.", show_default=False)] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PROFILE|SITE",
            help="A hardware profile, a tier, or a site whose parts are taken over.",
            autocompletion=complete_bases,
        ),
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option("--address", metavar="ADDRESS", help=f"Where SSH reaches it. {_EACH}ADDRESS.")
    ] = None,
    host_key: Annotated[
        list[str] | None, typer.Option("--host-key", metavar="KEY", help=f"Public SSH host key. {_EACH}KEY.")
    ] = None,
    host_key_from: Annotated[
        list[str] | None,
        typer.Option(
            "--host-key-from",
            metavar="ADDRESS",
            help=f"Read the host key there, and ask whether its fingerprint is right. {_EACH}ADDRESS.",
        ),
    ] = None,
    fingerprint: Annotated[
        list[str] | None,
        typer.Option(
            "--fingerprint", metavar="SHA256:...", help=f"Fingerprint that it must have, for scripts. {_EACH}SHA256:..."
        ),
    ] = None,
    tier: Annotated[str, typer.Option("--tier", help="Tier, where the base has none.")] = "",
    region: Annotated[str, typer.Option("--region", help="Region, where the base has none.")] = "",
    hardware: Annotated[str, typer.Option("--hardware", help="Hardware profile of all hosts.")] = "",
    api_address: Annotated[
        str, typer.Option("--api-address", help="Address of the Kubernetes API, with several servers.")
    ] = "",
    from_csv: Annotated[
        Path | None,
        typer.Option(
            "--from-csv",
            metavar="FILE",
            help="Make the sites of this file, a row for each host: site, address, host_key, ... All or none.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write the file of a new site, or of many. Asks what it cannot know, and never overwrites a file."""
    from edge.run.project import project_root

    if from_csv is not None:
        if site or address or host_key or host_key_from:
            raise typer.BadParameter("--from-csv names sites and hosts in its file")
        return _many(from_csv, base, as_json)
    if site is None:
        raise typer.BadParameter("name the new site: `edge new SITE --from PROFILE|SITE`")
    if base is None:
        raise typer.BadParameter("say what it is made from: --from with a hardware profile, a tier or a site")
    from edge.run.new_site import Answers, base_of, clashes, drafted, require_free
    from sitefile.problems import FileError

    root = project_root()
    require_free(site, root)
    made_from = base_of(base, root)
    asking = _Asking(not as_json and at_terminal())
    given = Answers(site, (), tier=tier, region=region, hardware=hardware, api_address=api_address)
    hosts = _hosts(made_from, given, asking, address or [], host_key or [], host_key_from or [], fingerprint or [])
    answers = _completed(made_from, replace(given, hosts=hosts), asking)
    draft = drafted(made_from, answers, root)
    # What was given here and is wrong is said before anything is written.
    if wrong := [problem for problem in draft.checked.problems if _is_given(problem.path)]:
        raise FileError(wrong)
    if between := clashes([draft], root) if draft.checked.model is not None else []:
        raise FileError(between)
    draft.write()
    return _written(made_from, draft, as_json)


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


class _Asking:
    """Asks where somebody can answer, and else collects the options that are missing."""

    def __init__(self, possible: bool) -> None:
        self.possible = possible
        self.options: list[str] = []

    def text(self, question: str, option: str) -> str:
        if self.possible:
            return str(typer.prompt(question, err=True)).strip()
        self.options.append(option)
        return ""

    def require(self) -> None:
        """Raise where options are missing."""
        if self.options:
            raise typer.BadParameter(f"cannot ask without a terminal: add {', '.join(dict.fromkeys(self.options))}")


def _hosts(
    base: Base,
    given: Answers,
    asking: _Asking,
    addresses: list[str],
    keys: list[str],
    keys_from: list[str],
    fingerprints: list[str],
) -> tuple[Host, ...]:
    """The hosts, each with an address and a key that somebody has confirmed."""
    from edge.run.new_site import Host, named

    by_option = {
        "--address": named(addresses, "--address"),
        "--host-key": named(keys, "--host-key"),
        "--host-key-from": named(keys_from, "--host-key-from"),
        "--fingerprint": named(fingerprints, "--fingerprint"),
    }
    names = _names(base, by_option)
    found = []
    for index, name in enumerate(names):
        of = {option: _of(values, index, name) for option, values in by_option.items()}
        where = of["--address"] or asking.text(f"Address of host {name}", f"--address {name}=ADDRESS")
        key = of["--host-key"]
        if not key and (of["--host-key-from"] or where):
            key = _read(name, of["--host-key-from"], of["--fingerprint"], where, base, asking)
        elif not key:
            asking.options.append(f"--host-key {name}=KEY")
        found.append(Host(where, key, name))
    return tuple(found)


def _names(base: Base, by_option: dict[str, list[tuple[str, str]]]) -> list[str]:
    """Names of the hosts: those of the site that it is made from, or as many as there are addresses."""
    from edge.run.new_site import letter

    given = list(dict.fromkeys(name for values in by_option.values() for name, _ in values if name))
    if base.fixed:
        names = [str(host["name"]) for host in base.hosts]
        if unknown := [name for name in given if name not in names]:
            raise typer.BadParameter(f"{base.name} has no host {unknown[0]}; it has {', '.join(names)}")
    else:
        names = given or [letter(index) for index in range(max(len(values) for values in by_option.values()) or 1)]
    for option, values in by_option.items():
        if len(values) > len(names):
            raise typer.BadParameter(f"{option} is given {len(values)} times, for {len(names)} hosts")
    return names


def _of(values: list[tuple[str, str]], index: int, name: str) -> str:
    """The value for a host: by its name, or else by its place."""
    by_name = {one: value for one, value in values if one}
    if name in by_name:
        return by_name[name]
    return values[index][1] if index < len(values) and not values[index][0] else ""


def _read(name: str, source: str, fingerprint: str, address: str, base: Base, asking: _Asking) -> str:
    """A host's key: as somebody types it, or read from the host and confirmed."""
    if not source:
        if not asking.possible:
            asking.options.append(f"--host-key {name}=KEY (or --host-key-from {name}=ADDRESS)")
            return ""
        question = f"Host key of {name} (empty: read it from {address})"
        typed = typer.prompt(question, default="", err=True, show_default=False)
        if typed:
            return str(typed).strip()
        source = address
    from edge.hosts.first_contact import check_fingerprint, read_host_key

    shown = read_host_key(source, _port(base))
    if fingerprint:
        check_fingerprint(name, shown, fingerprint)
        return shown.key
    typer.echo(f"{name} at {source} shows the host key {shown.key.split()[0]} {shown.fingerprint}", err=True)
    if not asking.possible:
        raise typer.BadParameter(
            f"cannot ask without a terminal whether that is {name}: compare it with the machine's console, then add "
            f"--fingerprint {name}={shown.fingerprint}"
        )
    typer.echo(
        "On its console, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows the same if it is this machine.",
        err=True,
    )
    if not typer.confirm("Is it the same?", err=True):
        raise typer.Exit(FAILED)
    return shown.key


def _port(base: Base) -> int:
    from components import ports

    ssh = base.content.get("ssh")
    return int(ssh.get("port", ports.SSH)) if isinstance(ssh, dict) else ports.SSH


def _completed(base: Base, answers: Answers, asking: _Asking) -> Answers:
    """With everything else that has to be known."""
    from edge.run.new_site import missing

    said: dict[str, Any] = {
        name: asking.text(question, f"--{name.replace('_', '-')}") for name, question in missing(base, answers).items()
    }
    asking.require()
    return replace(answers, **said)


def _is_given(path: str) -> bool:
    """Whether a value of a site file is one that somebody has given here, and not one of the base."""
    return path in ("site", "tier", "region", "k3s.api_address") or (
        path.startswith("hosts[") and path.rpartition(".")[2] in ("name", "hardware", "address", "host_key")
    )


def _written(base: Base, draft: Draft, as_json: bool) -> int:
    """Say what was written, and what is still missing."""
    from edge.run.check import check_file
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.new import report
    from edge.show.render import console

    found = check_file(draft.file, project_root())
    if as_json:
        print_json({"files": [draft.checked.source.file.as_posix()], "check": found.as_dict(), "exit": found.code})
    else:
        report(console(), base, draft, found)
    return found.code


def _many(file: Path, base: str | None, as_json: bool) -> int:
    from edge.run.new_site import write_all
    from edge.run.new_sites_csv import drafts_of
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.render import console

    drafts = drafts_of(file, base, project_root())
    write_all(drafts)
    if as_json:
        print_json({"files": [draft.checked.source.file.as_posix() for draft in drafts], "exit": DONE})
        return DONE
    out = console()
    for draft in drafts:
        out.print(f"{draft.checked.source.file}")
    out.print(f"{len(drafts)} site{'s' if len(drafts) != 1 else ''} written")
    out.print("  > edge check     checks them with all others, policies included")
    return DONE
