"""The environment variables of a `pulumi` run: which executables, which state, and that a rehearsal stays on its own.

A rehearsal has its own state, home and passphrase, so that it needs no secret and can touch nothing of production.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from engine.obtain.cli import installed_path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
# Protects placeholders only. Public on purpose, so that anybody can rehearse.
REHEARSAL_PASSPHRASE = "rehearsal"
# In the user's Pulumi home.
_WITHOUT_LOG = "without-log"
_BACKEND_IN_PROJECT_FILE = re.compile(r"^backend:", re.MULTILINE)


def state_folder(project_root: Path = PROJECT_ROOT) -> Path:
    """Everything that runs leave in the checkout; not under version control."""
    return project_root / ".edge"


def environment(
    *, rehearsal: str | None = None, backend: str | None = None, project_root: Path = PROJECT_ROOT
) -> dict[str, str]:
    """What a `pulumi` run needs on top of `os.environ`.

    `rehearsal` is the value for PULUMI_DEBUG_PROVIDERS (`RehearsalServer.debug_providers`); without it the run is real.
    `backend` overrides where the state is; folders of file backends inside the project are created.
    """
    edge = state_folder(project_root)
    variables = {
        "PATH": os.pathsep.join([str(installed_path().parent), os.environ.get("PATH", os.defpath)]),
        # Go collects garbage when it is four times what lives, not as much: 20 MB more, a twentieth of the time less.
        "GOGC": os.environ.get("GOGC", "400"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
    }
    if rehearsal is not None:
        variables |= {
            "PULUMI_BACKEND_URL": backend or file_backend(edge / "rehearsal"),
            "PULUMI_CONFIG_PASSPHRASE": REHEARSAL_PASSPHRASE,
            "PULUMI_DEBUG_PROVIDERS": rehearsal,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(edge / "home"),
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        }
        _without_log(edge / "home")
    else:
        variables |= _users_home_without_log()
        if backend is not None:
            variables["PULUMI_BACKEND_URL"] = backend
        elif not _backend_is_chosen(project_root):
            variables["PULUMI_BACKEND_URL"] = file_backend(edge / "state")
    _create_folder(variables.get("PULUMI_BACKEND_URL", ""))
    return variables


def file_backend(folder: Path) -> str:
    """The URL of a state folder that survives a killed run.

    By default the engine's file storage keeps a second file beside each, and writes it in place: a run that is killed
    at that moment leaves it empty, and the state can no longer be read ("failed to load checkpoint: EOF").
    """
    return f"file://{folder}?metadata=skip"


def backend_of(variables: Mapping[str, str], project_root: Path = PROJECT_ROOT) -> str:
    """Where the state of a run with these variables is, for people: without credentials and options."""
    url = variables.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL", "")
    project_file = project_root / "Pulumi.yaml"
    if not url and project_file.is_file():
        backend = (yaml.safe_load(project_file.read_text()) or {}).get("backend")
        url = str((backend or {}).get("url", "")) if isinstance(backend, dict) else ""
    return re.sub(r"(?<=//)[^/@]*@", "", url).partition("?")[0]


def _backend_is_chosen(project_root: Path) -> bool:
    if os.environ.get("PULUMI_BACKEND_URL"):
        return True
    project_file = project_root / "Pulumi.yaml"
    return project_file.is_file() and _BACKEND_IN_PROJECT_FILE.search(project_file.read_text()) is not None


def _users_home_without_log() -> dict[str, str]:
    """The user's own Pulumi home (login, plugins, workspaces) as a folder of links to all of it but the log folder.

    The engine logs each run, 2 MB for a site of three hosts and a quarter of the time of a run without changes.
    Nothing is said here where that folder cannot be made: the run takes the user's home then, and is logged.
    """
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if os.environ.get("EDGE_DEBUG") or home.name == _WITHOUT_LOG:
        return {}
    folder = home / _WITHOUT_LOG
    try:
        for name in ("plugins", "workspaces"):  # What Pulumi makes for itself is the user's, from the first run on.
            (home / name).mkdir(parents=True, exist_ok=True)
        _without_log(folder)
        _link_all(home, folder)
    except OSError:
        return {}
    # A login that is renewed is written as a new file, which would take the place of a link.
    return {"PULUMI_HOME": str(folder), "PULUMI_CREDENTIALS_PATH": os.environ.get("PULUMI_CREDENTIALS_PATH", str(home))}


def _link_all(home: Path, folder: Path) -> None:
    """Make ``folder`` hold links to everything of ``home`` but itself and the log; other runs may do the same now."""
    names = {entry.name for entry in home.iterdir()} - {"logs", folder.name}
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in names:
            entry.unlink(missing_ok=True)
    for name in names:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(Path("..", name))


def _without_log(home: Path) -> None:
    """Put a file where the engine would make its log folder: it runs without a log then, and has no option for that."""
    logs = home / "logs"
    if os.environ.get("EDGE_DEBUG") or logs.is_file():
        return
    home.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(logs, ignore_errors=True)
    logs.touch()


def _create_folder(url: str) -> None:
    folder = url.removeprefix("file://").partition("?")[0]
    if folder != url and os.path.isabs(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
