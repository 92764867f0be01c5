"""Which hosts can run a server with its models, and why the others cannot.

Pure arithmetic on declared capacities; the cluster's scheduler does the placing. A host that fits is given a label,
and the server asks for that label, so that limits of power and heat, which Kubernetes does not know, hold too.
Several servers share one budget: what one part may use of a host is not available to the parts after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.host.machine import Machine
from components.host.spec import Accelerator
from components.inference.needs import CpuNeeds, GpuNeeds, Platform
from components.view import Demand

Device = Literal["gpu", "cpu"]
PLATFORM_OF: dict[str, Platform] = {"nvidia-gpu": "server", "nvidia-igpu": "jetson"}
"""Accelerator kinds that servers can use, and the image that they take."""

SYSTEM_MEMORY_MIB = 1638
"""Kept free for the system and K3s: a K3s server with workload takes about 1.6 GB."""


@dataclass(frozen=True)
class Load:
    """A model as it weighs on its host. ``needs`` is None where it cannot run on the chosen device."""

    name: str
    needs: CpuNeeds | None


@dataclass(frozen=True)
class Server:
    """A server that holds all of its models at once."""

    title: str
    memory_mib: float
    """RAM of the server without models, in MiB."""
    loads: tuple[Load, ...]
    device: Device = "gpu"
    replicas: int = 1


@dataclass(frozen=True)
class Refusal:
    """Why a host cannot run a model (together with those listed before it)."""

    model: str
    host: str
    quantity: str
    needed: float
    available: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.model} on {self.host}: needs {_number(self.needed)}{unit} {self.quantity}, "
            f"available {_number(self.available)}{unit}{note}"
        )


@dataclass(frozen=True)
class Refused:
    """No placement: every host's reasons."""

    refusals: tuple[Refusal, ...]

    def __str__(self) -> str:
        return "\n".join(str(refusal) for refusal in self.refusals)


@dataclass(frozen=True)
class Placement:
    """Where the models can run."""

    platform: Platform
    hosts: tuple[str, ...]
    """First hosts that fit, one for each replica."""
    demands: Mapping[str, Demand]
    """By host, for all that fit and take the same image: what the server takes of it."""

    @property
    def eligible(self) -> tuple[str, ...]:
        """All hosts that fit and take the same image."""
        return tuple(self.demands)


def place(
    server: Server, machines: Sequence[Machine], taken: Mapping[str, Demand] | None = None, *, time_slices: int = 1
) -> Placement | Refused:
    """All models on one host, for each replica another host, in the order in which the site lists its hosts.

    ``taken`` is, by host, what other servers may take of it; ``time_slices`` how many of them may use one GPU by turns.
    """
    wanted = "+".join(load.name for load in server.loads)
    if not machines:
        return Refused((Refusal(wanted, "the site", "hosts", server.replicas, 0, "", "the site lists none"),))
    free = {machine.name: (taken or {}).get(machine.name, Demand()) for machine in machines}
    refusals = {
        machine.name: tuple(_refusals(server, machine, free[machine.name], time_slices)) for machine in machines
    }
    every = tuple(refusal for machine in machines for refusal in refusals[machine.name])
    fitting = [machine for machine in machines if not refusals[machine.name]]
    if not fitting:
        return Refused(every)
    platform = platform_of(fitting[0], server.device)
    alike = [machine for machine in fitting if platform_of(machine, server.device) == platform]
    if len(alike) < server.replicas:
        names = ", ".join(machine.name for machine in alike)
        note = f"one replica for each host; those that fit the {platform} image: {names}"
        shortage = Refusal(wanted, "the site", "hosts", server.replicas, len(alike), "", note)
        return Refused((shortage, *every))
    return Placement(
        platform=platform,
        hosts=tuple(machine.name for machine in alike[: server.replicas]),
        demands={machine.name: demand(server, shared=_shares_memory(usable(machine))) for machine in alike},
    )


def demand(server: Server, *, shared: bool) -> Demand:
    """What ``server`` takes of a host; ``shared``: accelerators there have the host's own memory."""
    needs = [load.needs for load in server.loads if load.needs]
    on_accelerator = [need.accelerator_memory_mib for need in needs if isinstance(need, GpuNeeds)]
    return Demand(
        memory_mib=server.memory_mib + sum(need.memory_mib for need in needs) + (sum(on_accelerator) if shared else 0),
        cores=sum(need.cores for need in needs),
        watts=sum(need.watts for need in needs),
        accelerator_memory_mib=sum(on_accelerator),
        tops_int8=sum(need.tops_int8 for need in needs if isinstance(need, GpuNeeds)),
        accelerators=1 if server.device == "gpu" else 0,
    )


def platform_of(machine: Machine, device: Device) -> Platform:
    """The image that a server takes there."""
    if device != "gpu":
        return "server"
    return PLATFORM_OF[next(iter(usable(machine).values())).kind]


def usable(machine: Machine) -> dict[str, Accelerator]:
    """By name, what a host has that servers can use: accelerators, or the parts into which MIG has cut them."""
    return {name: found for name, found in machine.devices.items() if found.kind in PLATFORM_OF}


def _refusals(server: Server, machine: Machine, taken: Demand, time_slices: int) -> Iterator[Refusal]:
    """Models are counted together: a model is refused where the sum up to it no longer fits."""
    accelerators = usable(machine)
    on_gpu = server.device == "gpu"
    if on_gpu and len(accelerators) * time_slices <= taken.accelerators:
        other = ", ".join(machine.accelerators)
        note = f"it has {other}, which {server.title} cannot use" if other else "it has no accelerator"
        if accelerators:
            note = "other servers of the site may take all that it has"
        for load in server.loads:
            yield Refusal(load.name, machine.name, "NVIDIA accelerator", 1, 0, "", note)
        return
    budget = _budget(machine, accelerators, server.device, taken, shared=time_slices > 1)
    used = dict.fromkeys(budget, 0.0)
    used["RAM"] = float(server.memory_mib)
    for load in server.loads:
        needs = load.needs
        if needs is None:
            yield Refusal(load.name, machine.name, f"`{server.device}` entry in its contract", 1, 0, "")
            continue
        used["RAM"] += needs.memory_mib
        used["power and cooling"] += needs.watts
        used["CPU"] += needs.cores
        if isinstance(needs, GpuNeeds):
            used["accelerator memory"] += needs.accelerator_memory_mib
            used["INT8 throughput"] += needs.tops_int8
            if _shares_memory(accelerators):
                used["RAM"] += needs.accelerator_memory_mib
        for quantity, (available, unit, note) in budget.items():
            if used[quantity] > available:
                yield Refusal(load.name, machine.name, quantity, used[quantity], available, unit, note)


def _budget(
    machine: Machine, accelerators: Mapping[str, Accelerator], device: Device, taken: Demand, *, shared: bool
) -> dict[str, tuple[float, str, str]]:
    """Quantity -> what is left of it for a server, its unit, and how that came about."""
    hardware = machine.hardware
    envelope, on_gpu = hardware.envelope, device == "gpu"
    budget = {
        "RAM": (
            max(0.0, hardware.memory_mib - SYSTEM_MEMORY_MIB - taken.memory_mib),
            "MiB",
            f"{hardware.memory_mib} MiB less {SYSTEM_MEMORY_MIB} MiB for system and K3s"
            + _others(taken.memory_mib, "MiB")
            + ("; shared with the accelerator" if on_gpu and _shares_memory(accelerators) else ""),
        ),
        "power and cooling": (
            max(0.0, envelope.sustained_watts - envelope.base_watts - taken.watts),
            "W",
            f"{_number(envelope.sustained_watts)} W sustained less {_number(envelope.base_watts)} W base load"
            + _others(taken.watts, "W"),
        ),
        "CPU": (max(0.0, hardware.cores - taken.cores), "cores", _others(taken.cores, "cores").removeprefix(", ")),
    }
    if on_gpu:
        # The device plugin hands out any of a host's accelerators: the weakest must do.
        weakest = min(accelerators, key=lambda name: accelerators[name].memory_mib)
        slowest = min(accelerators, key=lambda name: accelerators[name].tops_int8)
        # With time slices, all servers may be handed the same one.
        memory, tops = (taken.accelerator_memory_mib, taken.tops_int8) if shared else (0.0, 0.0)
        budget["accelerator memory"] = (
            max(0.0, accelerators[weakest].memory_mib - memory),
            "MiB",
            weakest + _others(memory, "MiB"),
        )
        budget["INT8 throughput"] = (
            max(0.0, accelerators[slowest].tops_int8 - tops),
            "TOPS",
            slowest + _others(tops, "TOPS"),
        )
    return budget


def _others(taken: float, unit: str) -> str:
    return f", less {_number(taken)} {unit} for other servers of the site" if taken else ""


def _shares_memory(accelerators: Mapping[str, Accelerator]) -> bool:
    return any(PLATFORM_OF[accelerator.kind] == "jetson" for accelerator in accelerators.values())


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
