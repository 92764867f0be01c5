"""A program run in this process: what is recorded of it, and that nothing of one run is left for the next."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes
import pytest

from engine.rehearsal.in_process import Recorded, Recording, Secret, record
from engine.rehearsal.values import reveal
from engine.rehearsal.world import World
from tests.engine.programs import small
from tests.engine.sdk_attributes import changed, sdk_attributes

CONFIG = {"small:token": "marker"}
WORLD = World(outposts={small.OUTPOST: {}})


def run(program: Callable[[], Any], stack: str = "one", **options: Any) -> Recording:
    return record(
        program, project="small", stack=stack, config=options.pop("config", CONFIG), secret_keys=CONFIG, **options
    )


def named(recording: Recording, name: str) -> Recorded:
    (found,) = [resource for resource in recording.resources if resource.name == name]
    return found


@pytest.fixture(scope="module")
def recorded() -> Recording:
    return run(small.program, world=WORLD)


def test_a_clean_program_has_no_problem(recorded: Recording) -> None:
    assert recorded.problems == ()


def test_a_child_inherits_of_its_parent_what_the_engine_hands_down() -> None:
    def program() -> None:
        gone = command.local.Command("gone", create="true")
        options = pulumi.ResourceOptions(deleted_with=gone, protect=True, retain_on_delete=True)
        parent = pulumi.ComponentResource("x:index:Parent", "parent", {}, options)
        command.local.Command("child", create="true", opts=pulumi.ResourceOptions(parent=parent))
        own = pulumi.ResourceOptions(parent=parent, deleted_with=parent, protect=False, retain_on_delete=False)
        command.local.Command("other", create="true", opts=own)

    found = {one.name: one for one in run(program).resources}
    child, other = found["child"], found["other"]
    assert (child.deleted_with, child.protect, child.retain_on_delete) == (found["gone"].urn, True, True)
    assert (other.deleted_with, other.protect, other.retain_on_delete) == (found["parent"].urn, False, False)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.2])
def test_an_interrupt_ends_a_run_that_waits_for_what_never_comes(seconds: float) -> None:
    def program() -> None:
        loop = asyncio.get_event_loop()
        pulumi.export("never", pulumi.Output.from_input(loop.create_future()))
        loop.call_later(seconds, os.kill, os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(program)
    assert run(small.program, world=WORLD).problems == ()


def test_urns_carry_the_types_of_all_parents(recorded: Recording) -> None:
    prefix = "urn:pulumi:one::small::small:index:Site$small:index:Host"
    assert named(recorded, "host").urn == f"{prefix}::host"
    base = named(recorded, "base")
    assert base.urn == f"{prefix}$command:remote:Command::base"
    assert base.parent == f"{prefix}::host"
    assert named(recorded, "site").parent == "urn:pulumi:one::small::pulumi:pulumi:Stack::small-one"


def test_dependencies_are_those_asked_for_and_those_of_the_inputs(recorded: Recording) -> None:
    base, group = named(recorded, "base"), named(recorded, "group")
    assert named(recorded, "install").dependencies == (base.urn,)
    arc = named(recorded, "arc")
    assert group.urn in arc.dependencies
    assert arc.property_dependencies["resourceGroupName"] == (group.urn,)


def test_secrets_are_wrapped_in_inputs_outputs_and_exports(recorded: Recording) -> None:
    install = named(recorded, "install")
    assert install.inputs["stdin"] == Secret("token=marker")
    assert isinstance(install.inputs["connection"], Secret)
    assert isinstance(install.outputs["stdout"], Secret)
    assert isinstance(recorded.outputs["said"], Secret)
    hidden = named(recorded, "secret").inputs["stringData"]
    assert isinstance(hidden, Secret)
    assert reveal(hidden) == {"token": "marker", "setting": "one"}
    assert "marker" not in repr(recorded)


def test_options_and_provider_are_recorded(recorded: Recording) -> None:
    install, web = named(recorded, "install"), named(recorded, "web")
    assert set(install.additional_secret_outputs) == {"stdout", "connection"}
    assert install.replace_on_changes == ("triggers[*]",)
    assert web.provider.startswith("urn:pulumi:one::small::small:index:Site$pulumi:providers:kubernetes::cluster::")
    assert base_provider(recorded) == ""


def base_provider(recorded: Recording) -> str:
    return named(recorded, "base").provider


def test_further_options_are_recorded() -> None:
    def program() -> None:
        command.local.Command(
            "x",
            create="true",
            opts=pulumi.ResourceOptions(
                protect=True,
                retain_on_delete=True,
                delete_before_replace=True,
                ignore_changes=["create"],
                aliases=[pulumi.Alias(name="old")],
                custom_timeouts=pulumi.CustomTimeouts(create="5m"),
            ),
        )

    (found,) = run(program).resources
    assert (found.protect, found.retain_on_delete, found.delete_before_replace) == (True, True, True)
    assert (found.ignore_changes, found.aliases, found.custom_timeouts) == (("create",), ("old",), {"create": "5m"})


def test_components_have_their_facts_and_their_registered_outputs(recorded: Recording) -> None:
    host = named(recorded, "host")
    assert (host.custom, host.inputs, host.outputs) == (False, {"memory_gib": 64}, {"ready": True})


def test_outputs_reach_the_program_as_from_an_engine() -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        connection = command.remote.ConnectionArgs(host="h", port=22)
        made = command.remote.Command("x", connection=connection, create="true", triggers=[1, {"deep_key": 2}])
        for name in ("stdout", "id", "connection", "triggers"):
            getattr(made, name).apply(functools.partial(seen.__setitem__, name))

    run(program)
    assert seen["stdout"] == "rehearsal: x was not run\n"
    assert seen["id"]
    assert (seen["connection"].host, seen["connection"].port) == ("h", 22)
    # Numbers without a type of their own travel as doubles: a program that prints one prints the same in both ways.
    assert [str(value) for value in seen["triggers"]] == ["1.0", "{'deep_key': 2.0}"]


def test_all_problems_of_all_resources_are_found_in_one_run() -> None:
    def program() -> None:
        kubernetes.core.v1.ConfigMap("Bad_Name", metadata={"name": "Bad_Name", "namespace": "x"})
        command.local.Command("twice", create="true")
        command.local.Command("twice", create="true")

    recording = run(program)
    said = {(problem.urn.rpartition("::")[2], problem.property) for problem in recording.problems}
    assert said == {("Bad_Name", "metadata.name"), ("twice", "")}
    assert any("two resources have this URN" in problem.reason for problem in recording.problems)


def test_an_exception_of_the_program_is_raised_as_it_is() -> None:
    class Broken(Exception):
        pass

    def program() -> None:
        command.local.Command("x", create="true")
        raise Broken("no uplink")

    with pytest.raises(Broken, match="no uplink"):
        run(program)


def test_an_exception_in_an_apply_is_raised_too() -> None:
    def program() -> None:
        made = command.local.Command("x", create="true")
        command.local.Command("y", create=made.stdout.apply(lambda text: text["no such key"]))  # type: ignore[index]

    with pytest.raises(TypeError):
        run(program)


def test_an_invoke_that_the_world_cannot_answer_is_an_error_that_names_it() -> None:
    with pytest.raises(Exception, match="aws:outposts/getOutpost:getOutpost"):
        run(small.program)


def test_two_runs_do_not_see_each_other() -> None:
    def program() -> None:
        config = pulumi.Config()
        pulumi.export("stack", pulumi.get_stack())
        pulumi.export("colour", config.get("colour"))
        command.local.Command("x", create="true")

    first = run(program, "one", config={"small:colour": "red"})
    second = run(program, "two", config={})
    assert first.outputs == {"stack": "one", "colour": "red"}
    assert second.outputs["stack"] == "two"
    assert second.outputs.get("colour") is None
    assert len(second.resources) == 1


def test_a_failed_run_leaves_nothing_for_the_next() -> None:
    with pytest.raises(ValueError, match="stop"):
        run(_stop)
    assert run(small.program, world=WORLD).problems == ()


def _stop() -> None:
    command.local.Command("x", create="true")
    raise ValueError("stop")


def test_nothing_of_the_sdk_is_patched_by_a_run() -> None:
    run(small.program, world=WORLD)
    before = sdk_attributes()
    during = []

    def program() -> None:
        during.append(sdk_attributes())
        small.program()

    run(program, world=WORLD)
    with pytest.raises(ValueError, match="stop"):
        run(_stop)
    assert changed(before, during[0]) == changed(before, sdk_attributes()) == []


def test_no_setting_of_a_run_is_left() -> None:
    run(small.program, world=WORLD)
    assert pulumi.runtime.get_root_resource() is None
    assert pulumi.get_stack() == "stack", "the default of an SDK without an engine"
    assert pulumi.Config("small").get("token") is None


def test_no_event_loop_and_no_thread_is_left_behind() -> None:
    threads = threading.active_count()
    run(small.program, world=WORLD)
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_runs_in_several_threads_take_turns() -> None:
    found: dict[str, Recording] = {}

    def one(stack: str) -> None:
        found[stack] = run(small.program, stack, world=WORLD)

    threads = [threading.Thread(target=one, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stack, recording in found.items():
        assert {resource.urn.split(":")[2] for resource in recording.resources} == {stack}
    assert len({len(recording.resources) for recording in found.values()}) == 1


def test_nothing_of_a_run_stays_in_memory() -> None:
    kept: list[weakref.ref[Any]] = []

    def program() -> None:
        kept.append(weakref.ref(command.local.Command("x", create="true")))

    run(program)
    gc.collect()
    assert kept[0]() is None


def test_a_run_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"):
        run(_stop)
    run(small.program, world=WORLD)
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_the_same_program_is_recorded_the_same_every_time(recorded: Recording) -> None:
    again = run(small.program, world=WORLD)
    assert {r.urn: r for r in again.resources} == {r.urn: r for r in recorded.resources}
    assert again.outputs == recorded.outputs


@pytest.mark.parametrize("times", [1, 2])
def test_a_transform_of_the_stack_changes_inputs_and_options_of_every_resource(times: int) -> None:
    def transform(given: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if given.type_ != "command:local:Command":
            return None
        given.opts.protect = True
        given.opts.ignore_changes = ["create"]
        return pulumi.ResourceTransformResult({**given.props, "update": "transformed"}, given.opts)

    def program() -> None:
        pulumi.runtime.register_resource_transform(transform)
        site = pulumi.ComponentResource("small:index:Site", "site")
        first = command.local.Command("first", create="true", opts=pulumi.ResourceOptions(parent=site))
        command.local.Command("second", create=first.stdout, opts=pulumi.ResourceOptions(parent=site))

    for _ in range(times):
        recording = run(program)
        assert recording.problems == ()
        for name in ("first", "second"):
            resource = named(recording, name)
            assert resource.inputs["update"] == "transformed"
            assert (resource.protect, resource.ignore_changes) == (True, ("create",))
        assert named(recording, "second").dependencies == (named(recording, "first").urn,)


def test_a_transform_of_a_resource_holds_for_its_children() -> None:
    def transform(given: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        return pulumi.ResourceTransformResult({**given.props, "update": "transformed"}, given.opts)

    def program() -> None:
        site = pulumi.ComponentResource("small:index:Site", "site", opts=pulumi.ResourceOptions(transforms=[transform]))
        command.local.Command("below", create="true", opts=pulumi.ResourceOptions(parent=site))
        command.local.Command("beside", create="true")

    recording = run(program)
    assert named(recording, "below").inputs["update"] == "transformed"
    assert "update" not in named(recording, "beside").inputs


def test_what_a_program_gives_to_threads_runs_in_threads() -> None:
    threads: dict[str, int] = {}

    async def program() -> None:
        threads["loop"] = threading.get_ident()
        threads["own"] = await asyncio.to_thread(threading.get_ident)
        command.local.Command("x", create="true")

    recording = record(program, project="edge", stack="test", config={})
    assert [one.name for one in recording.resources] == ["x"]
    assert threads["own"] != threads["loop"]


def test_an_exception_after_a_run_has_its_whole_trace() -> None:
    def fails() -> None:
        raise LookupError("there is none")

    with pytest.raises(LookupError) as raised:
        record(fails, project="edge", stack="test", config={})
    assert "in fails" in "".join(traceback.format_exception(raised.value))
    assert not hasattr(sys, "tracebacklimit")
