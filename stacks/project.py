"""Where the files of a project are: the one place that knows how this repository and a company's own are laid out.

A company's repository has `sites/`, `profiles/`, `policies/` and `fleet.yaml` at its top level. This one is such a
repository too, and has its examples in `stacks/`.
"""

from __future__ import annotations

from pathlib import Path

PROGRAM_ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds the program's packages: a checkout, or where a wheel was installed."""

DISTRIBUTION = "edge-sites"
"""Name of the Python package that holds the program."""
PROJECT_FILE = "Pulumi.yaml"
POLICY_FILE = "PulumiPolicy.yaml"
SITES = "sites"


def data_folder(root: Path) -> Path:
    """The folder with the sites, profiles and fleet file of the project ``root``."""
    return root if (root / SITES).is_dir() else root / "stacks"


def sites_folder(root: Path) -> Path:
    return data_folder(root) / SITES


def site_file(root: Path, site: str) -> Path:
    """The file that describes ``site``, whether it is there or not."""
    return sites_folder(root) / f"{site}.yaml"


def fleet_file(root: Path) -> Path:
    """Where the fleet stack is described."""
    return data_folder(root) / "fleet.yaml"


def policies_folder(root: Path) -> Path:
    """The policy pack that judges the project: its own, with its settings and rules, or else the program's."""
    own = root / "policies"
    return own if (own / POLICY_FILE).is_file() else PROGRAM_ROOT / "policies"


def shown(path: Path, root: Path) -> str:
    """``path`` as messages have it: from the project's folder."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def is_project(folder: Path) -> bool:
    """Whether ``folder`` is one of edge sites, and not any other Pulumi project."""
    return (folder / PROJECT_FILE).is_file() and sites_folder(folder).is_dir()


def found(start: Path) -> Path | None:
    """The project that ``start`` is in: the nearest folder upwards that is one."""
    folder = start.resolve()
    return next((one for one in (folder, *folder.parents) if is_project(one)), None)


def project_name(root: Path) -> str:
    """The name of the Pulumi project, which is part of each resource's identity. Raises ``yaml.YAMLError``."""
    import yaml  # not at the top: every start of `edge` imports this module

    file = root / PROJECT_FILE
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    name = content.get("name") if isinstance(content, dict) else None
    return str(name or "edge")
