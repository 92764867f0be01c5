"""Where a site's machines stand: a union that the site file chooses from by ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.place.outposts.spec import OutpostsSpec
from components.specs import Spec

__all__ = ["OnPremises", "OutpostsSpec", "Place"]


class OnPremises(Spec):
    """The machines are the site's own, and stand there when the site is described."""

    kind: Literal["on-premises"]
    """Selects machines of the site's own."""


Place = Annotated[OnPremises | OutpostsSpec, Field(discriminator="kind")]
