"""Helm, Flux's operator and its controllers, SOPS and age, built from the Go modules pinned in programs/.

One set of pins for all of them, so that they share what they compile; the results are in the user's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.obtain.pin import EngineError
from lab.builds import STATIC, completed_program, go_program, module_folder, pinned

FLUX_VERSION = "2.9.4"
"""The release that the pinned controllers belong to; the operator's module has its manifests."""

_PROGRAMS = Path(__file__).with_name("programs")
_KUSTOMIZE = Path(__file__).with_name("kustomize")
"""A set of pins of its own: tests without a lab need it, and it is built in seconds."""
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


def kustomize() -> Path:
    """The program `kustomize`."""
    return go_program(_KUSTOMIZE, "sigs.k8s.io/kustomize/kustomize/v5", "kustomize")


def version(module: str) -> str:
    """The pinned version of a module, such as `v1.9.4`."""
    return pinned(_PROGRAMS, module)


def operator_version() -> str:
    """The operator's version, such as `v0.58.1`."""
    return version(_OPERATOR)


def _operator() -> Path:
    return completed_program(
        _PROGRAMS,
        _OPERATOR,
        "cmd/operator",
        "flux-operator",
        _put_web_page,
        _PAGE,
        link=f"-s -w -X main.VERSION={operator_version()}",
        environment=_IN_FIPS_MODE,
    )


def _put_web_page(module: Path) -> None:
    """The module lacks the pages of the operator's web server, and does not compile without; sites switch it off."""
    pages = module / "web" / "dist"
    pages.mkdir()
    (pages / "index.html").write_text(_PAGE)


def _main() -> None:
    try:
        made = build()
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None
    print(made.helm, made.operator, *made.controllers.values(), sep="\n")


if __name__ == "__main__":
    _main()
