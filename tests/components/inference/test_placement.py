"""Which hosts a server may run on: accelerator, its memory, RAM, cores, and what the box can turn into heat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.host.machine import Machine
from components.inference.needs import GpuNeeds
from components.inference.placement import SYSTEM_MEMORY_MIB, Device, Placement, Refused, Server, demand, place
from components.inference.triton.plan import SERVER_MEMORY_MIB, server
from components.inference.triton.spec import Model, catalogue
from components.view import Demand
from tests.components.inference.test_inference_plan import CAPTION, spec
from tests.components.site_parts import machine

YOLO = catalogue()["yolov9-spatial"]
SMALL = Model.model_validate(CAPTION)
XR4000 = machine("a", accelerators=["nvidia-l4"])
B = machine("b", accelerators=["nvidia-l4"])
PLAIN = machine("plain")
JETSON = machine("eye", hardware="jetson-agx-orin")


def triton(*models: Model, device: Device = "gpu", replicas: int = 1) -> Server:
    """Triton with ``models``, the reference model alone where there are none."""
    contracts = [model.model_dump() for model in models or (YOLO,)]
    return server(spec(models=contracts, device=device, replicas=replicas))


def built(host: Machine, **figures: Any) -> Machine:
    """``host`` with other figures of its hardware."""
    return replace(host, hardware=host.hardware.model_copy(update=figures))


def placed(outcome: Placement | Refused) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    assert isinstance(outcome, Placement), outcome
    return outcome.platform, outcome.hosts, outcome.eligible


def refused(*models: Model, host: Machine, device: Device = "gpu", taken: Demand | None = None) -> list[str]:
    outcome = place(triton(*models, device=device), [host], {host.name: taken} if taken else {})
    assert isinstance(outcome, Refused)
    return [str(refusal) for refusal in outcome.refusals]


def needing(**needs: float) -> Model:
    assert YOLO.gpu is not None
    return YOLO.model_copy(update={"gpu": GpuNeeds.model_validate({**YOLO.gpu.model_dump(), **needs})})


def test_a_gpu_model_goes_to_the_first_host_that_has_what_it_needs() -> None:
    assert placed(place(triton(), [PLAIN, XR4000, B])) == ("server", ("a",), ("a", "b"))


def test_a_jetson_takes_its_own_image_and_a_site_keeps_to_one_image() -> None:
    assert placed(place(triton(), [JETSON, XR4000])) == ("jetson", ("eye",), ("eye",))


def test_a_host_added_at_the_end_changes_nothing_for_the_others() -> None:
    platform, hosts, eligible = placed(place(triton(), [XR4000]))
    assert placed(place(triton(), [XR4000, B, JETSON])) == (platform, hosts, (*eligible, "b"))


def test_a_host_without_accelerator_is_refused_by_name() -> None:
    assert refused(YOLO, host=PLAIN) == [
        "yolov9-spatial on plain: needs 1 NVIDIA accelerator, available 0 (it has no accelerator)"
    ]


def test_two_accelerators_alike_are_two() -> None:
    two = machine("a", accelerators=["nvidia-l4", "nvidia-l4"])
    assert list(two.accelerators) == ["nvidia-l4", "nvidia-l4 2"]
    assert isinstance(place(triton(), [two], {"a": Demand(accelerators=1)}), Placement)
    assert isinstance(place(triton(), [two], {"a": Demand(accelerators=2)}), Refused)


def test_a_part_of_a_gpu_counts_with_its_own_memory_and_there_are_as_many_as_mig_makes() -> None:
    cut = machine("a", accelerators=["nvidia-h100"], mig="3g.40gb")
    assert isinstance(place(triton(), [cut], {"a": Demand(accelerators=1)}), Placement)
    assert isinstance(place(triton(), [cut], {"a": Demand(accelerators=2)}), Refused)
    large = needing(accelerator_memory_mib=40449)
    assert refused(large, host=cut) == [
        "yolov9-spatial on a: needs 40449 MiB accelerator memory, available 40448 MiB (3g.40gb 1 of nvidia-h100)"
    ]
    assert isinstance(place(triton(large), [machine("a", accelerators=["nvidia-h100"])]), Placement)


def test_an_accelerator_that_triton_cannot_use_does_not_count() -> None:
    (message,) = refused(YOLO, host=machine("a", accelerators=["google-coral"]))
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
            built(XR4000, memory_mib=4096),
            "yolov9-spatial on a: needs 3512 MiB RAM, available 2458 MiB (4096 MiB less 1638 MiB for system and K3s)",
        ),
    ],
)
def test_each_shortage_says_what_was_needed_and_what_is_there(model: Model, host: Machine, message: str) -> None:
    assert refused(model, host=host) == [message]


def test_an_integrated_gpu_takes_its_memory_from_the_hosts_ram() -> None:
    just_enough = SYSTEM_MEMORY_MIB + SERVER_MEMORY_MIB + 1536 + 2048
    assert isinstance(place(triton(), [built(JETSON, memory_mib=just_enough)]), Placement)
    (message,) = refused(YOLO, host=built(JETSON, memory_mib=just_enough - 1))
    assert "shared with the accelerator" in message


def test_models_of_one_server_are_counted_together_and_the_one_too_many_is_named() -> None:
    half = needing(accelerator_memory_mib=16384)
    other = half.model_copy(update={"name": "second"})
    (message,) = refused(half, other, host=XR4000)
    assert message.startswith("second on a: needs 32768 MiB accelerator memory")


def test_of_two_accelerators_the_weaker_one_must_do() -> None:
    two = machine("a", accelerators=["nvidia-l4", "nvidia-t4"])
    (message,) = refused(needing(accelerator_memory_mib=20000), host=two)
    assert message.endswith("available 16384 MiB (nvidia-t4)")


def test_replicas_need_a_host_each() -> None:
    outcome = place(triton(replicas=2), [XR4000, PLAIN])
    assert isinstance(outcome, Refused)
    first, second = map(str, outcome.refusals)
    assert first.startswith("yolov9-spatial on the site: needs 2 hosts, available 1 (one replica for each host")
    assert "plain" in second


def test_a_site_without_hosts_is_refused() -> None:
    assert str(place(triton(), [])) == "yolov9-spatial on the site: needs 1 hosts, available 0 (the site lists none)"


def test_a_cpu_site_serves_a_model_that_can_run_there() -> None:
    assert placed(place(triton(device="cpu"), [PLAIN])) == ("server", ("plain",), ("plain",))


def test_a_gpu_only_model_is_refused_on_the_cpu() -> None:
    (message,) = refused(YOLO.model_copy(update={"cpu": None}), host=PLAIN, device="cpu")
    assert message == "yolov9-spatial on plain: needs 1 `cpu` entry in its contract, available 0"


def test_what_a_server_takes_of_a_host_is_the_sum_of_its_models_and_itself() -> None:
    assert YOLO.cpu is not None
    assert demand(triton(YOLO, SMALL, device="cpu"), shared=False) == Demand(
        memory_mib=SERVER_MEMORY_MIB + YOLO.cpu.memory_mib + 256,
        cores=YOLO.cpu.cores + 0.5,
        watts=YOLO.cpu.watts + 5,
    )
    assert demand(triton(), shared=False).accelerators == 1
    assert demand(triton(), shared=True).memory_mib - demand(triton(), shared=False).memory_mib == 2048


@pytest.mark.parametrize(
    ("taken", "needs", "message"),
    [
        (
            Demand(memory_mib=100000),
            {"memory_mib": 29000},
            "needs 29512 MiB RAM, available 29434 MiB"
            " (131072 MiB less 1638 MiB for system and K3s, less 100000 MiB for other servers of the site)",
        ),
        (Demand(cores=14), {"cores": 3}, "needs 3 cores CPU, available 2 cores (less 14 cores for other servers of"),
        (
            Demand(watts=100),
            {"watts": 72},
            "needs 72 W power and cooling, available 40 W"
            " (300 W sustained less 160 W base load, less 100 W for other servers of the site)",
        ),
        (
            Demand(accelerators=1),
            {},
            "needs 1 NVIDIA accelerator, available 0 (other servers of the site may take all that it has)",
        ),
    ],
    ids=["RAM", "cores", "watts", "accelerators"],
)
def test_what_another_server_takes_of_a_host_is_not_there_for_this_one(
    taken: Demand, needs: dict[str, float], message: str
) -> None:
    model = needing(**needs)
    assert isinstance(place(triton(model), [XR4000]), Placement), "it fits where nobody takes anything"
    (said,) = refused(model, host=XR4000, taken=taken)
    assert said.startswith(f"yolov9-spatial on a: {message}")


def test_of_two_accelerators_one_is_left_for_a_second_server_and_none_for_a_third() -> None:
    host = machine("a", accelerators=["nvidia-l4", "nvidia-t4"])
    first = place(triton(), [host])
    assert isinstance(first, Placement)
    second = place(triton(), [host], first.demands)
    assert isinstance(second, Placement)
    assert isinstance(place(triton(), [host], {"a": first.demands["a"] + second.demands["a"]}), Refused)


def test_with_time_slices_servers_share_a_gpu_and_its_memory_and_throughput() -> None:
    first = place(triton(), [XR4000], time_slices=2)
    assert isinstance(first, Placement)
    assert (first.demands["a"].accelerator_memory_mib, first.demands["a"].tops_int8) == (2048, 10.2)

    def second(**needs: float) -> Placement | Refused:
        return place(triton(needing(**needs)), [XR4000], first.demands, time_slices=2)

    assert isinstance(second(accelerator_memory_mib=24576 - 2048), Placement)
    assert "needs 22529 MiB accelerator memory, available 22528 MiB (nvidia-l4, less 2048 MiB for other servers" in str(
        second(accelerator_memory_mib=24576 - 2048 + 1)
    )
    assert "needs 475 TOPS INT8 throughput, available 474.8 TOPS (nvidia-l4, less 10.2 TOPS" in str(
        second(tops_int8=475)
    )
    assert "NVIDIA accelerator" in str(place(triton(), [XR4000], first.demands)), (
        "without time slices it is one's alone"
    )
    both = {"a": first.demands["a"] + first.demands["a"]}
    assert "NVIDIA accelerator" in str(place(triton(), [XR4000], both, time_slices=2)), "a third one finds no slice"


def test_a_gpu_that_nobody_shares_is_whole_for_each_server() -> None:
    host = machine("a", accelerators=["nvidia-l4", "nvidia-t4"])
    first = place(triton(needing(accelerator_memory_mib=16000)), [host])
    assert isinstance(first, Placement)
    assert isinstance(place(triton(needing(accelerator_memory_mib=16000)), [host], first.demands), Placement)


def test_what_is_taken_of_one_host_leaves_the_others_as_they_are() -> None:
    assert placed(place(triton(), [XR4000, B], {"a": Demand(accelerators=1)})) == ("server", ("b",), ("b",))


@st.composite
def hosts(draw: st.DrawFn) -> Machine:
    watts = {"sustained_watts": draw(st.floats(1, 500)), "base_watts": draw(st.floats(1, 500))}
    named = machine(
        draw(st.sampled_from("abcdefgh")),
        accelerators=draw(st.lists(st.sampled_from(["nvidia-l4", "nvidia-jetson-orin", "google-coral"]), max_size=2)),
    )
    return built(
        named,
        cores=draw(st.integers(1, 64)),
        memory_mib=draw(st.integers(512, 262144)),
        envelope=named.hardware.envelope.model_copy(update=watts),
    )


@given(listed=st.lists(hosts(), max_size=6, unique_by=lambda host: host.name), more=hosts())
def test_more_hosts_never_turn_a_placement_into_a_refusal(listed: list[Machine], more: Machine) -> None:
    before = place(triton(), listed)
    if isinstance(before, Placement) and more.name not in {host.name for host in listed}:
        after = place(triton(), [*listed, more])
        assert isinstance(after, Placement)
        assert after.hosts == before.hosts


@given(listed=st.lists(hosts(), min_size=1, max_size=6, unique_by=lambda host: host.name))
def test_a_placed_host_bears_the_power_and_a_refusal_names_every_host(listed: list[Machine]) -> None:
    outcome = place(triton(), listed)
    assert YOLO.gpu is not None
    if isinstance(outcome, Refused):
        assert {refusal.host for refusal in outcome.refusals} == {host.name for host in listed}
    else:
        by_name = {host.name: host for host in listed}
        for name in outcome.eligible:
            envelope = by_name[name].hardware.envelope
            assert envelope.base_watts + YOLO.gpu.watts <= envelope.sustained_watts
            assert by_name[name].accelerators
