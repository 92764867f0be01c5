"""`edge kubeconfig`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.options import AnySite, Json
from edge.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from edge.hosts.kubeconfig import Kubeconfig

EXAMPLES = "edge kubeconfig prod -- kubectl get nodes   |   edge kubeconfig prod --merge ~/.kube/config"


def run(
    site: AnySite,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="After `--`: a command that runs with it, in KUBECONFIG.", show_default=False),
    ] = None,
    merge: Annotated[
        Path | None, typer.Option("--merge", metavar="FILE", help="Write it into this file, as a context of its own.")
    ] = None,
    context: Annotated[str, typer.Option("--context", help="Name of the context; the site's own when left out.")] = "",
    as_json: Json = False,
) -> int:
    """Give a site's kubeconfig (administrator) to a command, or merge it into a file. It is never printed."""
    if (merge is None) == (not command):
        raise typer.BadParameter(
            "say where it goes: `--merge FILE` writes it into a file, `-- COMMAND` runs a command with it. It is an "
            "administrator's key, so it is not printed"
        )
    if command and as_json:
        raise typer.BadParameter("--json is for --merge: standard output belongs to the command")
    from edge.hosts.kubeconfig import read_kubeconfig
    from edge.hosts.kubeconfig_file import merge as merge_into
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.render import console

    found = read_kubeconfig(site, project_root())
    name = context or found.site
    if not found.answers:
        console(stderr=True).print(
            f"warning: nothing answers at {found.server} from here: is this machine in the site's network or mesh?"
        )
    if command:
        return _run(found, name, command)
    assert merge is not None
    merge_into(found, name, merge)
    if as_json:
        print_json(
            {
                "site": found.site,
                "file": str(merge),
                "context": name,
                "server": found.server,
                "read_from": found.host,
                "ends": found.credential.ends.isoformat(),
                "exit": DONE,
            }
        )
    else:
        out = console()
        out.print(f"{merge}: context {name}, {found.server}, valid until {found.credential.until}")
        out.print(f"  > kubectl --kubeconfig {merge} --context {name} get nodes")
    return DONE


def _run(found: Kubeconfig, name: str, command: list[str]) -> int:
    """Run ``command`` with the kubeconfig in a file that goes with it."""
    import os
    import signal
    import subprocess

    from edge.hosts.kubeconfig_file import merged, write
    from edge.run.surroundings import temporary_folder

    with temporary_folder() as folder:
        file = folder / "kubeconfig"
        write(file, merged("", found, name, file))
        # ^C is for the command, which decides what it means (`kubectl exec`).
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run(command, env={**os.environ, "KUBECONFIG": str(file)}, check=False).returncode
        except OSError as error:
            typer.echo(f"{command[0]} cannot be run: {error.strerror}", err=True)
            return FAILED
        finally:
            signal.signal(signal.SIGINT, before)
    if code:
        typer.echo(f"{command[0]} ended with exit code {code}", err=True)
    return FAILED if code else DONE
