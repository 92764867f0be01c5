"""Private network between a site and its operators: a union that the site file chooses from by ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.mesh.tailscale.spec import TailscaleSpec
from components.specs import Spec

__all__ = ["Mesh", "NoMesh", "TailscaleSpec"]


class NoMesh(Spec):
    """Hosts are reached by the addresses of the site's own network."""

    kind: Literal["none"]
    """Selects no mesh."""


Mesh = Annotated[NoMesh | TailscaleSpec, Field(discriminator="kind")]
