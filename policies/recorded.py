"""In-process recordings as the rules see them: secrets unwrapped, and the paths where they were kept.

Knows a recording by its shape only (``urn``, ``type``, ``name``, ``parent``, ``provider``, ``inputs``,
``additional_secret_outputs``), so that policies do not depend on what records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from policies.charts import used_records
from policies.rules import CATALOGUE, UNKNOWN, Catalogue, Finding, Resource, Settings, Waiver, evaluate_stack
from policies.rules.charts import is_chart
from policies.rules.kinds import kind_of
from policies.rules.tree import extend
from policies.rules.waivers import apply, waivers_of

_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key with which Pulumi marks an asset or an archive; it says nothing to a rule."""


class RecordedResource(Protocol):
    """What a recording must say of a resource."""

    @property
    def urn(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def parent(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def additional_secret_outputs(self) -> Sequence[str]: ...


def resource_of(recorded: RecordedResource) -> Resource:
    """The resource as plain values, and which of its properties are marked as secret."""
    secrets: list[str] = []
    return Resource(
        type=recorded.type,
        name=recorded.name,
        urn=recorded.urn,
        props={str(key): _plain(value, str(key), secrets) for key, value in recorded.inputs.items()},
        parent=recorded.parent or "",
        # A reference is URN::ID, and the ID may not be known yet.
        provider=(recorded.provider or "").rpartition("::")[0],
        additional_secret_outputs=tuple(recorded.additional_secret_outputs),
        secret_paths=frozenset(secrets),
    )


def findings_of(
    resources: Iterable[RecordedResource],
    settings: Settings,
    today: date,
    catalogue: Catalogue = CATALOGUE,
    company: Sequence[Waiver] = (),
) -> tuple[Finding, ...]:
    """Everything that is wrong with a recorded stack.

    What its site, or the ``company``, waives on the day ``today`` is marked as waived.
    """
    stack = [resource_of(recorded) for recorded in resources]
    waivers = [*(waiver for resource in stack for waiver in waivers_of(resource)), *company]
    return apply(evaluate_stack(stack, settings, catalogue), waivers, today)


def charts_by_record(resources: Iterable[RecordedResource], settings: Settings) -> tuple[str, ...]:
    """How the charts of a recorded stack were judged, none of which was rendered, in words."""
    return used_records((resource_of(one) for one in resources if is_chart(kind_of(one.type))), settings)


def _plain(value: Any, path: str, secrets: list[str]) -> Any:
    kind = type(value)
    if kind is str or value is None or kind in (bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {
            str(key): _plain(item, extend(path, str(key)), secrets) for key, item in value.items() if key != _SIGNATURE
        }
    if isinstance(value, list | tuple):
        return [_plain(item, extend(path, index), secrets) for index, item in enumerate(value)]
    if kind.__name__ == "Secret":
        secrets.append(path)
        return _plain(value.value, path, secrets)
    if kind.__name__ == "Unknown":
        return UNKNOWN
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"{path}: a {kind.__name__} among the inputs")
