"""Fleet management that a site is registered with: a union that the site file chooses from by ``kind``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.registration.arc.spec import ArcSpec
from components.registration.rancher.spec import RancherSpec

__all__ = ["ArcSpec", "RancherSpec", "Registration"]

Registration = Annotated[ArcSpec | RancherSpec, Field(discriminator="kind")]
