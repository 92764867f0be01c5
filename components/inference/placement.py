"""Which hosts can run a site's models, and why the others cannot.

Pure arithmetic on declared capacities; the cluster's scheduler does the placing. A host that fits is given a label,
and the server asks for that label, so that power and heat, which Kubernetes does not know, are kept to as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from components.inference.triton.spec import GpuNeeds, Model, Platform

PLATFORM_OF: dict[str, Platform] = {"nvidia-gpu": "server", "nvidia-igpu": "jetson"}
"""Accelerator kinds that Triton can use, and the image that they take."""

SYSTEM_MEMORY_MIB = 1638
"""Kept free for the system and K3s: a K3s server with workload takes about 1.6 GB."""

SERVER_MEMORY_MIB = 512
"""RAM of a Triton without models, in MiB (assumption for sizing)."""


@dataclass(frozen=True)
class HostAccelerator:
    """An accelerator that a host has."""

    name: str
    kind: str
    tops_int8: float
    watts: float
    memory_mib: int


@dataclass(frozen=True)
class HostCapacity:
    """What a host offers, from its hardware profile."""

    name: str
    arch: str
    cores: int
    memory_mib: int
    accelerators: tuple[HostAccelerator, ...]
    sustained_watts: float
    """Power that it can turn into heat without end, in W."""
    base_watts: float
    """Power that it draws without models, in W."""


@dataclass(frozen=True)
class Refusal:
    """Why a host cannot run a model (beside those listed before it)."""

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
    eligible: tuple[str, ...]
    """All hosts that fit and take the same image."""


def place(
    models: Sequence[Model],
    hosts: Sequence[HostCapacity],
    *,
    device: Literal["gpu", "cpu"] = "gpu",
    replicas: int = 1,
) -> Placement | Refused:
    """All models on one host, for each replica another host, in the order in which the site lists its hosts."""
    wanted = "+".join(model.name for model in models)
    if not hosts:
        return Refused((Refusal(wanted, "the site", "hosts", replicas, 0, "", "the site lists none"),))
    refusals = {host.name: tuple(_refusals(models, host, device)) for host in hosts}
    fitting = [host for host in hosts if not refusals[host.name]]
    if not fitting:
        return Refused(tuple(refusal for host in hosts for refusal in refusals[host.name]))
    platform = platform_of(fitting[0], device)
    eligible = tuple(host.name for host in fitting if platform_of(host, device) == platform)
    if len(eligible) < replicas:
        note = f"one replica for each host; those that fit the {platform} image: {', '.join(eligible)}"
        shortage = Refusal(wanted, "the site", "hosts", replicas, len(eligible), "", note)
        return Refused((shortage, *(refusal for host in hosts for refusal in refusals[host.name])))
    return Placement(platform=platform, hosts=eligible[:replicas], eligible=eligible)


def platform_of(host: HostCapacity, device: Literal["gpu", "cpu"]) -> Platform:
    """The Triton image that ``host`` takes."""
    if device == "cpu":
        return "server"
    return PLATFORM_OF[_usable(host)[0].kind]


def _usable(host: HostCapacity) -> list[HostAccelerator]:
    return [accelerator for accelerator in host.accelerators if accelerator.kind in PLATFORM_OF]


def _refusals(models: Sequence[Model], host: HostCapacity, device: Literal["gpu", "cpu"]) -> Iterator[Refusal]:
    """Models are counted together: a model is refused where the sum up to it no longer fits."""
    accelerators = _usable(host)
    if device == "gpu" and not accelerators:
        other = ", ".join(accelerator.name for accelerator in host.accelerators)
        note = f"it has {other}, which Triton cannot use" if other else "it has no accelerator"
        for model in models:
            yield Refusal(model.name, host.name, "NVIDIA accelerator", 1, 0, "", note)
        return
    budget = _budget(host, accelerators, device)
    used = dict.fromkeys(budget, 0.0)
    used["RAM"] = float(SERVER_MEMORY_MIB)
    for model in models:
        needs = model.gpu if device == "gpu" else model.cpu
        if needs is None:
            yield Refusal(model.name, host.name, f"`{device}` entry in its contract", 1, 0, "")
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
                yield Refusal(model.name, host.name, quantity, used[quantity], available, unit, note)


def _budget(
    host: HostCapacity, accelerators: Sequence[HostAccelerator], device: Literal["gpu", "cpu"]
) -> dict[str, tuple[float, str, str]]:
    """Quantity -> what the host has of it, its unit, and how that came about."""
    budget = {
        "RAM": (
            float(max(0, host.memory_mib - SYSTEM_MEMORY_MIB)),
            "MiB",
            f"{host.memory_mib} MiB less {SYSTEM_MEMORY_MIB} MiB for system and K3s"
            + ("; shared with the accelerator" if device == "gpu" and _shares_memory(accelerators) else ""),
        ),
        "power and cooling": (
            max(0.0, host.sustained_watts - host.base_watts),
            "W",
            f"{_number(host.sustained_watts)} W sustained less {_number(host.base_watts)} W base load",
        ),
        "CPU": (float(host.cores), "cores", ""),
    }
    if device == "gpu":
        # The device plugin hands out any of a host's accelerators: the weakest must do.
        weakest_memory = min(accelerators, key=lambda accelerator: accelerator.memory_mib)
        slowest = min(accelerators, key=lambda accelerator: accelerator.tops_int8)
        budget["accelerator memory"] = (float(weakest_memory.memory_mib), "MiB", weakest_memory.name)
        budget["INT8 throughput"] = (slowest.tops_int8, "TOPS", slowest.name)
    return budget


def _shares_memory(accelerators: Sequence[HostAccelerator]) -> bool:
    return any(PLATFORM_OF[accelerator.kind] == "jetson" for accelerator in accelerators)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
