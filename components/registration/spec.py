"""Which fleet management a site is registered with: a union that the site file chooses from by ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.place.outposts.spec import InstanceCompute, OutpostsSpec
from components.registration.arc.spec import ArcSpec
from components.specs import Spec

__all__ = ["ArcSpec", "NoRegistration", "OutpostsSpec", "Registration", "required_secrets"]


class NoRegistration(Spec):
    """The site answers to nobody but its operators."""

    kind: Literal["none"]
    """Selects no registration."""


Registration = Annotated[NoRegistration | ArcSpec | OutpostsSpec, Field(discriminator="kind")]


def required_secrets(spec: NoRegistration | ArcSpec | OutpostsSpec) -> tuple[str, ...]:
    """Configuration keys whose secrets the registration needs. Arc's key is made by the tls provider: none."""
    if isinstance(spec, OutpostsSpec) and isinstance(spec.compute, InstanceCompute):
        return ("outposts-host-key",)
    return ()
