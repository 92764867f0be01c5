"""A secret that is handed to a component as a plain string is a secret in every resource that is made with it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.gitops.flux.component import Flux, FluxArgs
from components.host.component import Host, HostArgs
from components.host.reach import Reach
from components.inference.triton.component import Triton, TritonArgs
from components.k3s.component import K3s, K3sArgs
from components.mesh.tailscale.component import Tailscale, TailscaleArgs
from components.place.outposts.component import InstanceArgs, Outposts, OutpostsArgs
from components.telemetry.component import Telemetry, TelemetryArgs
from engine.rehearsal.core import World
from engine.rehearsal.in_process import Recording, Secret, record
from tests.components.gitops.sources import APP, ENTERPRISE, HTTPS, REGISTRY, SSH, VIEW, flux
from tests.components.inference.test_inference_plan import CASES
from tests.components.mesh.mesh_parts import tailscale
from tests.components.place.place_parts import outposts
from tests.components.site_parts import AGENT, SERVERS, k3s, machine, site_of
from tests.components.telemetry.test_telemetry_plan import spec as telemetry

KEYS = {
    name: f"MARKER-{name}-5f1c9a"
    for name in (
        "ssh-private-key", "k3s-token", "k3s-agent-token", "datastore-endpoint", "tailscale-key", "telemetry-token",
        "model-store-access-key", "model-store-secret-key", "git-ssh-key", "git-password", "sops-age-key", "host-key",
        "github-app-key", "oci-password", "source-proxy-password",
    )
}  # fmt: skip


def hosts() -> list[Host]:
    made: list[Host] = []
    for one in (*SERVERS, AGENT):
        # The second one is reached through the first, whose connection holds the key a second time.
        jump_host = made[0] if one is SERVERS[1] else None
        made.append(Host(one.node, HostArgs(one, KEYS.__getitem__, stack="0", jump_host=jump_host)))
    return made


def in_cluster() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(
        providers=[kubernetes.Provider("cluster", kubeconfig="{}", cluster_identifier="site")]
    )


def of_host() -> None:
    hosts()


def of_k3s() -> None:
    spec = k3s(api_address="10.0.0.10", datastore={"kind": "external", "engine": "postgresql"})
    K3s(
        "site-k3s",
        K3sArgs(
            spec,
            site="site",
            hosts=hosts(),
            token=KEYS["k3s-token"],
            agent_token=KEYS["k3s-agent-token"],
            labels={},
            datastore_endpoint=KEYS["datastore-endpoint"],
        ),
    )


def of_tailscale() -> None:
    Tailscale("site-mesh", TailscaleArgs(tailscale(), site="site", hosts=hosts(), auth_key=KEYS["tailscale-key"]))


def of_telemetry() -> None:
    Telemetry("t", TelemetryArgs(telemetry(), site_of(*SERVERS), token=KEYS["telemetry-token"]), in_cluster())


def of_triton() -> None:
    fitting = [machine(name, accelerators=["nvidia-l4"]) for name in ("a", "b")]
    args = TritonArgs(
        CASES["gpu-replicas-s3"][0],
        site_of(*fitting),
        installations={"a": "1f", "b": "1f"},
        model_store_access_key=KEYS["model-store-access-key"],
        model_store_secret_key=KEYS["model-store-secret-key"],
    )
    Triton("site-inference", args, in_cluster())


def of_flux_over_ssh() -> None:
    spec = flux(SSH, decryption="sops-age")
    args = FluxArgs(spec, VIEW, KEYS)
    Flux("site-flux", args, in_cluster())


def of_flux_over_https() -> None:
    Flux("site-flux", FluxArgs(flux(HTTPS), VIEW, KEYS), in_cluster())


def of_flux_behind_a_proxy() -> None:
    Flux("site-flux", FluxArgs(flux(ENTERPRISE), VIEW, KEYS), in_cluster())


def of_flux_as_a_github_app() -> None:
    Flux("site-flux", FluxArgs(flux(APP), VIEW, KEYS), in_cluster())


def of_flux_at_a_registry() -> None:
    Flux("site-flux", FluxArgs(flux(REGISTRY), VIEW, KEYS), in_cluster())


def of_outposts() -> None:
    host = machine("a", "10.60.1.10")
    instance = InstanceArgs(host, Reach(host, KEYS.__getitem__), KEYS["host-key"])
    Outposts("site-outposts", OutpostsArgs(outposts(), site="site", instance=instance))


CASES_OF: dict[Callable[[], None], tuple[str, ...]] = {
    of_host: ("ssh-private-key",),
    of_k3s: ("ssh-private-key", "k3s-token", "k3s-agent-token", "datastore-endpoint"),
    of_tailscale: ("tailscale-key",),
    of_telemetry: ("telemetry-token",),
    of_triton: ("model-store-access-key", "model-store-secret-key"),
    of_flux_over_ssh: ("git-ssh-key", "sops-age-key"),
    of_flux_over_https: ("git-password",),
    of_flux_behind_a_proxy: ("git-password", "source-proxy-password"),
    of_flux_as_a_github_app: ("github-app-key",),
    of_flux_at_a_registry: ("oci-password",),
    of_outposts: ("host-key", "ssh-private-key"),
}


def recorded(program: Callable[[], None]) -> Recording:
    world = World.of({"place": outposts().model_dump(mode="json")})
    recording = record(program, project="edge", stack="site", config={}, world=world)
    assert not recording.problems, recording.problems
    return recording


def texts(value: Any, *, secret: bool = False) -> Iterator[tuple[str, bool]]:
    """Every text in ``value``, and whether it is (part of) a secret."""
    if isinstance(value, Secret):
        yield from texts(value.value, secret=True)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key), secret
            yield from texts(item, secret=secret)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, secret=secret)
    elif isinstance(value, str):
        yield value, secret


def holds(text: str, marker: str) -> bool:
    """Whether ``text`` has the marker, as it is or in base64 at any of the three alignments."""
    encoded = [base64.b64encode(b"x" * shift + marker.encode())[4 if shift else 0 : -4].decode() for shift in range(3)]
    return any(form in text for form in (marker, *encoded))


@pytest.mark.parametrize("program", CASES_OF, ids=lambda program: program.__name__)
def test_a_plain_string_is_a_secret_wherever_it_gets_to(program: Callable[[], None]) -> None:
    recording = recorded(program)
    found = {
        key: [secret for text, secret in _texts_of(recording) if holds(text, KEYS[key])] for key in CASES_OF[program]
    }
    for key, secret in found.items():
        assert secret, f"{key} is in no resource: nothing was tried"
        assert all(secret), f"{key} is in plain text"


def test_every_secret_of_a_component_is_tried() -> None:
    assert {key for keys in CASES_OF.values() for key in keys} == KEYS.keys()


def _texts_of(recording: Recording) -> Iterator[tuple[str, bool]]:
    for resource in recording.resources:
        yield from texts(resource.inputs)
        # The engine keeps an output secret whose input is, and those that the resource names.
        secret = {*resource.additional_secret_outputs}
        secret |= {key for key, value in resource.inputs.items() if any(hidden for _, hidden in texts(value))}
        yield from texts({key: value for key, value in resource.outputs.items() if key not in secret})
    yield from texts(recording.outputs)
