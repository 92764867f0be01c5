"""Ollama as resources and as a part: beside Triton on one budget, and up only after its models were compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pulumi_kubernetes.core.v1 import ConfigMap
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.host.machine import Machine
from components.inference.ollama.component import Ollama, OllamaArgs
from components.inference.ollama.part import PART as OLLAMA
from components.inference.ollama.spec import OllamaSpec
from components.inference.triton.part import PART as TRITON
from components.inference.triton.spec import TritonSpec
from components.view import Demand
from engine.rehearsal.in_process import Recorded, Recording, record
from stacks.parts import PARTS
from tests.components.cluster_objects import image
from tests.components.inference.ollama_parts import PLAIN, A, B, site, spec

AT = ("inference", "ollama")
ON_CPU = spec(device="cpu")
TRITON_ON_GPU = TritonSpec.model_validate(
    {
        "models": ["yolov9-spatial"],
        "images": {"server": image("triton")},
        "repository": {"kind": "claim", "name": "engines"},
    }
)


def run(ollama_spec: OllamaSpec, machines: Sequence[Machine], **installations: str) -> Recording:
    def program() -> None:
        cluster = kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="site")
        options = pulumi.ResourceOptions(provider=cluster)

        def joined(name: str) -> ConfigMap:
            return ConfigMap(
                f"{name}-joined", metadata=ObjectMetaArgs(name=name, namespace="kube-system"), opts=options
            )

        Ollama(
            "site-ollama",
            OllamaArgs(
                spec=ollama_spec,
                site=site(*machines),
                installations={machine.name: "1f" for machine in machines} | installations,
                joined={machine.name: joined(machine.name) for machine in machines},
            ),
            pulumi.ResourceOptions(providers=[cluster]),
        )

    return record(program, project="edge", stack="site", config={}, secret_keys=())


def by_name(recording: Recording) -> dict[str, Recorded]:
    return {resource.name: resource for resource in recording.resources}


def names(urns: Sequence[str]) -> set[str]:
    return {urn.rpartition("::")[2] for urn in urns}


def test_the_rehearsal_finds_nothing_wrong() -> None:
    assert run(spec(device_plugin={"version": "0.20.0"}), [A, B]).problems == ()
    assert run(ON_CPU, [PLAIN]).problems == ()


def test_the_server_starts_after_the_pull_so_that_a_refused_model_leaves_the_old_one() -> None:
    made = by_name(run(spec(), [A]))
    assert "site-ollama-pull" in names(made["site-ollama-server"].dependencies)
    assert {"site-ollama-store", "site-ollama-script", "site-ollama-network-allow-pull"} <= names(
        made["site-ollama-pull"].dependencies
    )


def test_the_device_plugin_is_there_before_the_server_asks_for_a_gpu() -> None:
    made = by_name(run(spec(device_plugin={"version": "0.20.0"}), [A]))
    assert made["site-ollama-device-plugin"].inputs["version"] == "0.20.0"
    assert "site-ollama-device-plugin" in names(made["site-ollama-server"].dependencies)
    assert "site-ollama-device-plugin" not in by_name(run(spec(device_plugin={"version": "0.20.0"}, device="cpu"), [A]))


def test_another_host_that_fits_changes_nothing() -> None:
    before, after = by_name(run(spec(), [A])), by_name(run(spec(), [A, B]))
    assert set(after) - set(before) == {"b-joined"}
    assert {name: after[name] for name in before} == before


def test_a_host_installed_anew_is_labelled_and_pulled_for_again() -> None:
    before, after = by_name(run(spec(), [A])), by_name(run(spec(), [A], a="2f"))
    changed = {name for name in before if after[name].inputs != before[name].inputs}
    assert changed == {"site-a-ollama", "site-ollama-store", "site-ollama-pull", "site-ollama-server"}


def test_a_label_waits_until_the_host_is_a_node() -> None:
    label = by_name(run(spec(), [A, B]))["site-a-ollama"]
    assert (label.type, label.inputs["metadata"]["name"]) == ("kubernetes:core/v1:NodePatch", "site-a")
    assert names(label.dependencies) == {"a-joined"}


def test_the_first_host_that_fits_is_chosen() -> None:
    made = by_name(run(spec(), [PLAIN, B, A]))
    assert [name for name in made if name.endswith(("a-ollama", "b-ollama", "plain-ollama"))] == ["site-b-ollama"]


def test_one_host_gives_what_the_server_takes() -> None:
    assert set(OLLAMA.demands(spec(), site(PLAIN, A, B))) == {"a"}


def test_models_that_no_host_can_run_stop_the_program_with_every_reason() -> None:
    with pytest.raises(pulumi.RunError, match=r"no host can run the language models\n.*on plain: needs 1 NVIDIA"):
        run(spec(), [PLAIN])


def test_the_component_says_where_the_api_is() -> None:
    component = by_name(run(spec(), [A]))["site-ollama"]
    assert component.type == "edge:index:Ollama"
    assert component.outputs["endpoint"] == "ollama.edge-ollama.svc:11434"


def test_ollama_is_placed_after_triton_has_taken_its_share() -> None:
    assert PARTS.index(OLLAMA) > PARTS.index(TRITON)


def test_the_one_accelerator_of_a_host_is_given_once() -> None:
    taken = dict(TRITON.demands(TRITON_ON_GPU, site(A)))
    assert taken["a"].accelerators == 1
    (finding,) = OLLAMA.rules(spec(), AT, site(A, taken=taken))
    assert finding.path == ("inference", "ollama", "models")
    assert "other servers of the site may take all that it has" in finding.what
    assert list(OLLAMA.rules(spec(), AT, site(A, B, taken=taken))) == []
    assert set(OLLAMA.demands(spec(), site(A, B, taken=taken))) == {"b"}


def test_with_time_slices_both_servers_have_the_one_accelerator_of_a_host() -> None:
    taken = dict(TRITON.demands(TRITON_ON_GPU, site(A)))
    assert list(OLLAMA.rules(spec(), AT, site(A, taken=taken, time_slices=2))) == []
    assert set(OLLAMA.demands(spec(), site(A, taken=taken, time_slices=2))) == {"a"}


@pytest.mark.parametrize(
    ("taken", "quantity"),
    [
        (Demand(memory_mib=125_000), "RAM"),
        (Demand(watts=100), "power and cooling"),
        (Demand(cores=12), "CPU"),
    ],
)
def test_memory_power_and_cores_are_one_budget_with_triton(taken: Demand, quantity: str) -> None:
    assert list(OLLAMA.rules(ON_CPU, AT, site(A))) == []
    (finding,) = OLLAMA.rules(ON_CPU, AT, site(A, taken={"a": taken}))
    assert quantity in finding.what
    assert "for other servers of the site" in finding.what


def test_beside_triton_on_the_gpu_a_model_on_the_cpu_has_room() -> None:
    taken = dict(TRITON.demands(TRITON_ON_GPU, site(A)))
    demand = OLLAMA.demands(ON_CPU, site(A, taken=taken))["a"]
    assert demand == Demand(memory_mib=1024 + 6144, cores=8, watts=60)


def test_a_volume_that_a_disk_cannot_hold_is_found() -> None:
    assert list(OLLAMA.rules(spec(storage_gib=900), AT, site(A))) == []
    (finding,) = OLLAMA.rules(spec(storage_gib=960), AT, site(A))
    assert finding.path == ("inference", "ollama", "storage_gib")
    assert "the disk of a, which has 960 GiB" in finding.what


def test_a_site_without_hosts_is_not_judged_by_them() -> None:
    assert list(OLLAMA.rules(spec(), AT, replace(site(), machines=()))) == []


def test_no_metrics_are_promised_that_the_server_does_not_have() -> None:
    assert list(OLLAMA.scrapes(spec())) == []


def test_the_stack_tells_where_the_model_answers() -> None:
    assert OLLAMA.outputs(spec(), site(A)) == {"ollama_endpoint": "ollama.edge-ollama.svc:11434"}
