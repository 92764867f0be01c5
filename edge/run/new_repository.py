"""A company's own repository: the files that `edge init` writes. It holds none of our code, and pins one release of it.

Owns what is in these files, by templates, and that nothing is overwritten. The workflows of this project are made from
the same templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2

from edge.exit_codes import BAD_INPUT
from edge.run.failure import OperationError
from edge.run.secrets_provider import KINDS, PASSPHRASE, kind_of, login
from sitefile.problems import any_of, shown

Ci = Literal["github", "gitlab", "none"]
TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_SUFFIX = ".j2"
# A shell's `[[` and GitHub's `${{` are text, and so is `${#name}`.
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    variable_start_string="{=",
    variable_end_string="=}",
    comment_start_string="{=#",
    comment_end_string="#=}",
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    autoescape=False,
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What Pulumi takes for the name of a project."""
_PLACES: Mapping[str, str] = {"gitignore": ".gitignore"}
"""Templates whose name is not that of their file."""
_WORKFLOWS: Mapping[Ci, Mapping[str, str]] = {
    "github": {
        f"github/{name}.yml": f".github/workflows/{name}.yml" for name in ("apply", "comment", "drift", "pull-request")
    },
    "gitlab": {"gitlab/gitlab-ci.yml": ".gitlab-ci.yml"},
    "none": {},
}


@dataclass(frozen=True)
class Setup:
    """How a workflow gets a working `edge` into `.venv`."""

    commands: tuple[str, ...]
    pins: str
    """The file that says what is installed."""
    cached: str
    """Arguments of GitHub's `hashFiles`: what a build of the Pulumi CLI depends on."""
    guide: str
    """Where its reader finds what has to be set up."""

    @property
    def variables(self) -> dict[str, str]:
        """As the templates name them."""
        block = "\n".join(["|", *(f"          {command}" for command in self.commands)])
        return {
            "setup": self.commands[0] if len(self.commands) == 1 else block,
            "setup_steps": f"[{', '.join(self.commands)}]",
            "setup_json": json.dumps(self.commands),
            "pins": self.pins,
            "cached": self.cached,
            "guide": self.guide,
        }


FROM_WHEEL = Setup(
    (
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install --quiet --requirement requirements.txt",
        ".venv/bin/edge setup",
    ),
    "requirements.txt",
    "'requirements.txt'",
    "README.md",
)
FROM_CHECKOUT = Setup(
    ("make setup",), "requirements.lock", "'requirements.lock', 'engine/obtain/**'", "docs/pull-requests.md"
)
"""How this project's own workflows do it."""


@dataclass(frozen=True)
class Repository:
    """What has to be known of a new one."""

    name: str
    """Of the Pulumi project."""
    version: str
    """The release of this program that it pins."""
    ci: Ci = "github"
    backend: str = ""
    """URL of the backend; empty for that of the environment."""
    secrets_provider: str = PASSPHRASE
    """What encrypts the secrets of its stacks."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise OperationError(
                f"{self.name!r} cannot be the name of a Pulumi project.",
                ("letters, digits, `-`, `_` and `.`; `--name NAME` chooses another one",),
                code=BAD_INPUT,
            )
        if kind_of(self.secrets_provider) not in KINDS or any(map(str.isspace, self.secrets_provider)):
            raise OperationError(
                f"Pulumi has no secrets provider {shown(self.secrets_provider)}.",
                (
                    f"it has {any_of(KINDS)}; a key in a cloud is written as a URL: awskms://alias/edge?region=eu-west-1",
                ),
                code=BAD_INPUT,
            )


def files_of(repository: Repository) -> dict[str, str]:
    """The repository's files: path from its top folder -> text."""
    provider = repository.secrets_provider
    variables = {
        "name": repository.name,
        "version": repository.version,
        "ci": repository.ci,
        "backend": repository.backend,
        "secrets_provider": provider,
        "opens": PASSPHRASE if kind_of(provider) == PASSPHRASE else login(provider),
    }
    found = {}
    for template in _templates("repository"):
        path = template.removeprefix("repository/").removesuffix(_SUFFIX)
        found[_PLACES.get(path, path)] = _ENVIRONMENT.get_template(template).render(variables)
    return found | workflows(repository.ci, FROM_WHEEL)


def workflows(ci: Ci, setup: Setup) -> dict[str, str]:
    """The workflows of a platform: path -> text."""
    return {
        path: _ENVIRONMENT.get_template(template + _SUFFIX).render(setup.variables)
        for template, path in _WORKFLOWS[ci].items()
    }


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write them into ``folder``, which may be there if it holds nothing of the same name.

    Raises ``OperationError`` (bad input) before anything is written.
    """
    if folder.exists() and not folder.is_dir():
        raise OperationError(f"{folder} is a file.", ("choose another folder",), code=BAD_INPUT)
    if taken := [path for path in files if (folder / path).exists()]:
        raise OperationError(
            f"{folder} has a file {taken[0]} already, and nothing was written.",
            ("choose a folder that is new or empty",),
            code=BAD_INPUT,
        )
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)


def _templates(folder: str) -> Iterator[str]:
    for file in sorted((TEMPLATES / folder).rglob(f"*{_SUFFIX}")):
        yield file.relative_to(TEMPLATES).as_posix()
