"""The base of everything that a human writes. Pure: specs and plans import no Pulumi, not even by way of this."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, and unknown keys are errors, since a typo must never be a default. The string below a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
