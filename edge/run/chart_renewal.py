"""`edge check --charts`: renders the charts of sites with the real `helm`, and keeps the verdicts with the settings.

Owns where `helm` is taken from and which stacks are asked. What is rendered and judged is ``policies.charts``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge.run.check import recording_of, today
from edge.run.failure import OperationError
from edge.run.judging import pack_folder, policies_of
from edge.run.kustomize import manifests
from edge.run.manifests import STANDARD_INPUT
from policies import charts
from policies.manifests import together
from policies.recorded import resource_of
from policies.rules import Resource


def renew(files: Sequence[Path], root: Path) -> charts.Renewal:
    """Renders and judges the charts of all site files, and writes the record. Raises ``OperationError`` without `helm`.

    A file with errors has no charts here: the check that follows says what is wrong with it.
    """
    return _renew(
        (
            [resource_of(one) for one in recording.resources]
            for file in files
            if (recording := recording_of(file, root))
        ),
        root,
    )


def renew_manifests(paths: Sequence[str], root: Path) -> charts.Renewal:
    """The same for the charts that Flux and K3s will install by manifests; standard input can be read only once."""
    return _renew([together(manifests(Path(path)) for path in paths if path != STANDARD_INPUT).resources], root)


def _renew(stacks: Iterable[Sequence[Resource]], root: Path) -> charts.Renewal:
    helm = shutil.which("helm")
    if helm is None:
        raise OperationError(
            "helm not found on PATH: charts cannot be rendered.",
            ("install helm; without it, `edge check` judges charts by their record",),
        )
    judging, folder = policies_of(root), pack_folder(root)
    if folder != root / "policies":
        raise OperationError(
            f"{root} has no policy pack of its own, so there is no place for the record.",
            ("make one: `edge init` writes its files, docs/policies.md shows them",),
        )
    found = charts.renew(stacks, judging.settings, helm, root, today(), judging.catalogue)
    if found.rendered:
        charts.save(folder / charts.FILE, found.records)
        policies_of.cache_clear()
    return found
