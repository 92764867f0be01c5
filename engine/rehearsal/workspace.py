"""A folder for each rehearsed site: its own project file and stack settings, so that the committed ones stay untouched.

Production needs none of this: there the project's own folder is the workspace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.environment import PROJECT_ROOT, state_folder

# Belongs to REHEARSAL_PASSPHRASE. Fixed, so that the settings can be written whole at any time and the state of an
# earlier rehearsal still be read. A salt is no secret.
_SALT = "v1:bz+GFolfrL4=:v1:LOLN3cuuqclr3cbQ:SmQlZ08wLE1RCwBkzTrojTq/aE/p0w=="


@dataclass(frozen=True)
class WorkspacePaths:
    """What `pulumi.automation.LocalWorkspace` needs: `work_dir=str(paths.work_dir)` and the stack's name."""

    work_dir: Path
    settings: Path
    stack: str


def rehearsal_workspace(
    site: str, project_root: Path = PROJECT_ROOT, config: Mapping[str, str] | None = None
) -> WorkspacePaths:
    """Write the workspace of a rehearsed site and return where it is.

    `config` is the whole configuration of the stack, placeholders for its secrets included; a key without a namespace
    gets the project's name. Placeholders are written as plain values: `require_secret` makes secrets of them in the
    program, and no committed secret is read. Each site has its own folder, so sites can be rehearsed side by side.
    """
    work_dir = state_folder(project_root) / "workspaces" / site
    work_dir.mkdir(parents=True, exist_ok=True)
    project = write_project(work_dir, project_root)
    values = {key if ":" in key else f"{project['name']}:{key}": value for key, value in (config or {}).items()}
    settings = work_dir / f"Pulumi.{site}.yaml"
    _write(settings, {"encryptionsalt": _SALT, "config": dict(sorted(values.items()))})
    return WorkspacePaths(work_dir=work_dir, settings=settings, stack=site)


def write_project(work_dir: Path, project_root: Path) -> dict[str, Any]:
    """Write the project file of a workspace that runs the program of `project_root`, and return what it says."""
    project: dict[str, Any] = yaml.safe_load((project_root / "Pulumi.yaml").read_text())
    # The engine takes `main` relative to this file and runs the program with its folder as the working directory.
    project["main"] = os.path.relpath(project_root, work_dir)
    project["runtime"] = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    # PULUMI_BACKEND_URL decides; a relative folder in the project file would mean another one from here.
    project.pop("backend", None)
    project.pop("stackConfigDir", None)
    _write(work_dir / "Pulumi.yaml", project)
    return project


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=False)
    if path.is_file() and path.read_text() == text:
        return
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)
