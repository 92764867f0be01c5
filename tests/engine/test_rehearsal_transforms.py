"""Transforms in a recording: what the engine would call, in its order, with what it lets them change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi import ResourceOptions, ResourceTransformArgs, ResourceTransformResult
from pulumi_command.local import Command

from engine.rehearsal.in_process import Recorded, Recording, Secret, record


class _Part(pulumi.ComponentResource):
    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__("edge:test:Part", name, {}, opts)
        self.command = Command(f"{name}-command", create="true", opts=ResourceOptions(parent=self))


def _recorded(program: Callable[[], Any]) -> dict[str, Recorded]:
    recording: Recording = record(program, project="edge", stack="test", config={})
    assert not recording.problems
    return {one.name: one for one in recording.resources}


def _append(word: str) -> Callable[[ResourceTransformArgs], ResourceTransformResult | None]:
    """Adds a word to what each command creates."""

    def transform(args: ResourceTransformArgs) -> ResourceTransformResult | None:
        if args.type_ != "command:local:Command":
            return None
        return ResourceTransformResult({**args.props, "create": f"{args.props['create']} {word}"}, args.opts)

    return transform


def test_own_transforms_come_before_those_of_the_parent_and_of_the_stack() -> None:
    def program() -> None:
        pulumi.runtime.register_resource_transform(_append("stack"))
        part = _Part("part", ResourceOptions(transforms=[_append("parent")]))
        Command("own", create="own", opts=ResourceOptions(parent=part, transforms=[_append("itself")]))

    found = _recorded(program)
    assert found["own"].inputs["create"] == "own itself parent stack"
    assert found["part-command"].inputs["create"] == "true parent stack"


def test_a_transform_changes_options() -> None:
    def transform(args: ResourceTransformArgs) -> ResourceTransformResult:
        more = ResourceOptions(
            protect=True,
            ignore_changes=["create"],
            retain_on_delete=True,
            delete_before_replace=True,
            custom_timeouts=pulumi.CustomTimeouts(create="7m"),
        )
        return ResourceTransformResult(args.props, ResourceOptions.merge(args.opts, more))

    def program() -> None:
        pulumi.runtime.register_resource_transform(transform)
        first = Command("first", create="true")
        Command("second", create="true", opts=ResourceOptions(depends_on=[first]))

    second = _recorded(program)["second"]
    assert (second.protect, second.retain_on_delete, second.delete_before_replace) == (True, True, True)
    assert second.ignore_changes == ("create",)
    assert second.custom_timeouts == {"create": "7m"}
    assert [urn.rpartition("::")[2] for urn in second.dependencies] == ["first"], "what it had stays"


def test_a_transform_that_returns_nothing_changes_nothing() -> None:
    def program() -> None:
        Command("with-secret", create=pulumi.Output.secret("hush"), opts=ResourceOptions(protect=True))

    def transformed() -> None:
        pulumi.runtime.register_resource_transform(lambda _args: None)
        program()

    plain = _recorded(program)["with-secret"]
    assert _recorded(transformed)["with-secret"] == plain
    assert isinstance(plain.inputs["create"], Secret)
