"""What pulls a site's workloads: a union that the site file chooses from by ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.gitops.flux.spec import FluxSpec
from components.specs import Spec

__all__ = ["FluxSpec", "GitOps", "NoGitOps"]


class NoGitOps(Spec):
    """Nothing is pulled: workloads come from somewhere else."""

    kind: Literal["none"]
    """Selects no GitOps."""


GitOps = Annotated[NoGitOps | FluxSpec, Field(discriminator="kind")]
