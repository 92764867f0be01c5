"""Helm, Flux's operator and its controllers, SOPS and age, built from the Go modules pinned in programs/.

One set of pins for all of them, so that they share what they compile; the results are in the user's cache.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine import cache, go_build
from engine.cli import EngineError
from lab.builds import STATIC, go_program, kept, module_folder, sources, tools

FLUX_VERSION = "2.9.4"
"""The release that the pinned controllers belong to; the operator's module has its manifests."""

_PROGRAMS = Path(__file__).with_name("programs")
_OPERATOR = "github.com/controlplaneio-fluxcd/flux-operator"
_PAGE = "The lab's operator has no web pages.\n"
# Without it the operator does not start.
_IN_FIPS_MODE = {**STATIC, "GOFIPS140": "latest"}


@dataclass(frozen=True)
class Programs:
    """What a site with Flux runs, and where the operator's module is, which has more than Go source."""

    helm: Path
    operator: Path
    controllers: dict[str, Path]
    """By name: `source-controller`, `kustomize-controller`."""
    operator_module: Path
    sops: Path
    age_keygen: Path


def build() -> Programs:
    """The programs, built where they are not in the cache yet; raises EngineError with one clear line."""
    return Programs(
        helm=helm(),
        operator=_operator(),
        controllers={
            name: go_program(_PROGRAMS, f"github.com/fluxcd/{name}", name)
            for name in ("source-controller", "kustomize-controller")
        },
        operator_module=module_folder(_PROGRAMS, _OPERATOR),
        sops=go_program(_PROGRAMS, "github.com/getsops/sops/v3/cmd/sops", "sops"),
        age_keygen=go_program(_PROGRAMS, "filippo.io/age/cmd/age-keygen", "age-keygen"),
    )


def helm() -> Path:
    """The program `helm`."""
    return go_program(_PROGRAMS, "helm.sh/helm/v3/cmd/helm", "helm")


def version(module: str) -> str:
    """The pinned version of a module, such as `v1.9.4`."""
    pinned = re.search(rf"^\t{re.escape(module)} (\S+)$", (_PROGRAMS / "go.mod").read_text(), re.MULTILINE)
    assert pinned is not None, f"{module} is not pinned"
    return pinned[1]


def operator_version() -> str:
    """The operator's version, such as `v0.58.1`."""
    return version(_OPERATOR)


def _operator() -> Path:
    link = f"-s -w -X main.VERSION={operator_version()}"
    folder = kept("flux-operator", link, str(sorted(_IN_FIPS_MODE.items())), _PAGE, *sources(_PROGRAMS))
    if not folder.exists():
        go = tools(_PROGRAMS)
        with cache.filling(folder, "the lab's flux-operator") as aside, tempfile.TemporaryDirectory() as workplace:
            if not folder.exists():
                _with_web_pages(Path(workplace))
                go_build.compile_program(
                    go,
                    Path(workplace),
                    f"{_OPERATOR}/cmd/operator",
                    aside / "flux-operator",
                    link=link,
                    title="Building the lab's flux-operator from Go modules (once, some minutes)",
                    environment=_IN_FIPS_MODE,
                )
    return folder / "flux-operator"


def _with_web_pages(workplace: Path) -> None:
    """The pins, with a copy of the operator's module that has a page for its web server.

    The module lacks the pages, which npm makes at release; without any it does not compile. Sites switch them off.
    """
    copy = workplace / "operator"
    shutil.copytree(module_folder(_PROGRAMS, _OPERATOR), copy, copy_function=shutil.copyfile)
    (copy / "web").chmod(0o755)
    (copy / "web" / "dist").mkdir()
    (copy / "web" / "dist" / "index.html").write_text(_PAGE)
    shutil.copyfile(_PROGRAMS / "go.sum", workplace / "go.sum")
    pins = (_PROGRAMS / "go.mod").read_text()
    (workplace / "go.mod").write_text(f"{pins}\nreplace {_OPERATOR} => ./operator\n")


def _main() -> None:
    try:
        made = build()
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None
    print(made.helm, made.operator, *made.controllers.values(), sep="\n")


if __name__ == "__main__":
    _main()
