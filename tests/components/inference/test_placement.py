"""Which hosts a model may run on: accelerator, its memory, RAM, cores, and what the box can turn into heat."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.inference.placement import (
    SERVER_MEMORY_MIB,
    SYSTEM_MEMORY_MIB,
    HostAccelerator,
    HostCapacity,
    Placement,
    Refused,
    place,
)
from components.inference.triton.spec import GpuNeeds, Model, catalogue

YOLO = catalogue()["yolov9-spatial"]
L4 = HostAccelerator("nvidia-l4", "nvidia-gpu", 485, 72, 24576)
ORIN = HostAccelerator("nvidia-jetson-orin", "nvidia-igpu", 275, 60, 57344)
CORAL = HostAccelerator("google-coral", "google-coral", 4, 2, 8)
XR4000 = HostCapacity("a", "amd64", 16, 131072, (L4,), sustained_watts=300, base_watts=160)
JETSON = HostCapacity("eye", "arm64", 12, 65536, (ORIN,), sustained_watts=60, base_watts=20)
PLAIN = replace(XR4000, name="plain", accelerators=())


def refused(*models: Model, host: HostCapacity, device: str = "gpu") -> list[str]:
    outcome = place(models, [host], device="cpu" if device == "cpu" else "gpu")
    assert isinstance(outcome, Refused)
    return [str(refusal) for refusal in outcome.refusals]


def needing(**needs: float) -> Model:
    assert YOLO.gpu is not None
    return YOLO.model_copy(update={"gpu": GpuNeeds.model_validate({**YOLO.gpu.model_dump(), **needs})})


def test_a_gpu_model_goes_to_the_first_host_that_has_what_it_needs() -> None:
    outcome = place([YOLO], [PLAIN, XR4000, replace(XR4000, name="b")])
    assert outcome == Placement(platform="server", hosts=("a",), eligible=("a", "b"))


def test_a_jetson_takes_its_own_image_and_a_site_keeps_to_one_image() -> None:
    assert place([YOLO], [JETSON, XR4000]) == Placement(platform="jetson", hosts=("eye",), eligible=("eye",))


def test_a_host_added_at_the_end_changes_nothing_for_the_others() -> None:
    before, after = place([YOLO], [XR4000]), place([YOLO], [XR4000, replace(XR4000, name="z"), JETSON])
    assert isinstance(before, Placement)
    assert isinstance(after, Placement)
    assert (after.platform, after.hosts) == (before.platform, before.hosts)
    assert after.eligible[: len(before.eligible)] == before.eligible


def test_a_host_without_accelerator_is_refused_by_name() -> None:
    assert refused(YOLO, host=PLAIN) == [
        "yolov9-spatial on plain: needs 1 NVIDIA accelerator, available 0 (it has no accelerator)"
    ]


def test_an_accelerator_that_triton_cannot_use_does_not_count() -> None:
    (message,) = refused(YOLO, host=replace(XR4000, accelerators=(CORAL,)))
    assert message.endswith("available 0 (it has google-coral, which Triton cannot use)")


@pytest.mark.parametrize(
    ("model", "host", "message"),
    [
        (
            needing(accelerator_memory_mib=24577),
            XR4000,
            "yolov9-spatial on a: needs 24577 MiB accelerator memory, available 24576 MiB (nvidia-l4)",
        ),
        (
            needing(tops_int8=500),
            XR4000,
            "yolov9-spatial on a: needs 500 TOPS INT8 throughput, available 485 TOPS (nvidia-l4)",
        ),
        (
            needing(watts=141),
            XR4000,
            "yolov9-spatial on a: needs 141 W power and cooling, available 140 W "
            "(300 W sustained less 160 W base load)",
        ),
        (
            needing(cores=17),
            XR4000,
            "yolov9-spatial on a: needs 17 cores CPU, available 16 cores",
        ),
        (
            needing(memory_mib=3000),
            replace(XR4000, memory_mib=4096),
            "yolov9-spatial on a: needs 3512 MiB RAM, available 2458 MiB (4096 MiB less 1638 MiB for system and K3s)",
        ),
    ],
)
def test_each_shortage_says_what_was_needed_and_what_is_there(model: Model, host: HostCapacity, message: str) -> None:
    assert refused(model, host=host) == [message]


def test_an_integrated_gpu_takes_its_memory_from_the_hosts_ram() -> None:
    tight = replace(JETSON, memory_mib=SYSTEM_MEMORY_MIB + SERVER_MEMORY_MIB + 1536 + 2048)
    assert isinstance(place([YOLO], [tight]), Placement)
    (message,) = refused(YOLO, host=replace(tight, memory_mib=tight.memory_mib - 1))
    assert "shared with the accelerator" in message


def test_models_of_one_server_are_counted_together_and_the_one_too_many_is_named() -> None:
    half = needing(accelerator_memory_mib=16384)
    other = half.model_copy(update={"name": "second"})
    (message,) = refused(half, other, host=XR4000)
    assert message.startswith("second on a: needs 32768 MiB accelerator memory")


def test_of_two_accelerators_the_weaker_one_must_do() -> None:
    weak = HostAccelerator("nvidia-t4", "nvidia-gpu", 130, 70, 16384)
    (message,) = refused(needing(accelerator_memory_mib=20000), host=replace(XR4000, accelerators=(L4, weak)))
    assert message.endswith("available 16384 MiB (nvidia-t4)")


def test_replicas_need_a_host_each() -> None:
    outcome = place([YOLO], [XR4000, PLAIN], replicas=2)
    assert isinstance(outcome, Refused)
    first, second = map(str, outcome.refusals)
    assert first.startswith("yolov9-spatial on the site: needs 2 hosts, available 1 (one replica for each host")
    assert "plain" in second


def test_a_site_without_hosts_is_refused() -> None:
    assert str(place([YOLO], [])) == "yolov9-spatial on the site: needs 1 hosts, available 0 (the site lists none)"


def test_a_cpu_site_serves_a_model_that_can_run_there() -> None:
    assert place([YOLO], [PLAIN], device="cpu") == Placement(platform="server", hosts=("plain",), eligible=("plain",))


def test_a_gpu_only_model_is_refused_on_the_cpu() -> None:
    (message,) = refused(YOLO.model_copy(update={"cpu": None}), host=PLAIN, device="cpu")
    assert message == "yolov9-spatial on plain: needs 1 `cpu` entry in its contract, available 0"


hosts = st.builds(
    HostCapacity,
    name=st.sampled_from("abcdefgh"),
    arch=st.just("amd64"),
    cores=st.integers(1, 64),
    memory_mib=st.integers(512, 262144),
    accelerators=st.lists(st.sampled_from([L4, ORIN, CORAL]), max_size=2).map(tuple),
    sustained_watts=st.floats(1, 500),
    base_watts=st.floats(1, 500),
)


@settings(deadline=None)
@given(listed=st.lists(hosts, max_size=6, unique_by=lambda host: host.name), more=hosts)
def test_more_hosts_never_turn_a_placement_into_a_refusal(listed: list[HostCapacity], more: HostCapacity) -> None:
    before = place([YOLO], listed)
    if isinstance(before, Placement) and more.name not in {host.name for host in listed}:
        after = place([YOLO], [*listed, more])
        assert isinstance(after, Placement)
        assert after.hosts == before.hosts


@settings(deadline=None)
@given(listed=st.lists(hosts, min_size=1, max_size=6, unique_by=lambda host: host.name))
def test_a_placed_host_bears_the_power_and_a_refusal_names_every_host(listed: list[HostCapacity]) -> None:
    outcome = place([YOLO], listed)
    assert YOLO.gpu is not None
    if isinstance(outcome, Refused):
        assert {refusal.host for refusal in outcome.refusals} == {host.name for host in listed}
    else:
        by_name = {host.name: host for host in listed}
        for name in outcome.eligible:
            assert by_name[name].base_watts + YOLO.gpu.watts <= by_name[name].sustained_watts
            assert by_name[name].accelerators
