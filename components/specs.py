"""The base of everything that a human writes. Pure: specs and plans import no Pulumi, not even by way of this."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from sitefile.problems import Conflicts, Finding


class Spec(BaseModel):
    """Frozen, and unknown keys are errors, since a typo must never be a default. The string below a field describes it.

    The descriptions are read from the source when a JSON Schema is asked for, not when the class is made: pydantic's
    own way of doing that costs every start of the program a quarter of a second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def conflicts(self) -> Iterable[Finding]:
        """Everything that is wrong between the values of this block; paths are within it."""
        return ()

    def with_own(self, own: Self | None) -> Self:
        """This block of a site, with what one host's own block says instead."""
        return self if own is None else self.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    @model_validator(mode="after")
    def _has_no_conflicts(self) -> Self:
        if found := tuple(self.conflicts()):
            raise Conflicts(found)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for base in cls.__mro__:
            if issubclass(base, Spec) and base is not Spec:
                for field, text in _field_descriptions(base):
                    if field in properties:
                        properties[field].setdefault("description", text)
        return schema


def _field_descriptions(model: type[Spec]) -> Iterator[tuple[str, str]]:
    """Fields of ``model``'s own body that a string stands below, with that string."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    for field, below in pairwise(body.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            yield field.target.id, inspect.cleandoc(below.value.value)
