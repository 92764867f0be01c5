"""What a server of models needs of a host with NVIDIA's hardware, before K3s is installed there. Pure.

Looked for, not installed: driver, programs and runtime are the operating system's. Sources: release notes of Triton's
images (drivers), K3s' `pkg/agent/containerd/runtimes.go` (where it looks for runtimes), NVIDIA's L4T archive (JetPack
5: R35, 6: R36, 7: R38 and R39).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.host.machine import Machine
from components.host.nvidia import wanted
from components.inference.jetpack import JetPack
from components.inference.placement import PLATFORM_OF, Placement, Refused, platform_of, usable
from components.shell import fragment
from components.view import Demand
from sitefile.problems import DataPath, Finding


def old_drivers(placed: Placement, machines: Sequence[Machine], driver: int, at: DataPath) -> Iterator[Finding]:
    """Hosts that may run the models, on which `os.nvidia` installs an older driver than the ``driver`` of ``at``."""
    for machine in machines:
        packages = wanted(machine) if machine.name in placed.demands else None
        if packages and packages.driver and int(packages.driver.partition(".")[0]) < driver:
            yield Finding(
                at,
                f"`os.nvidia` installs release {packages.driver} of the driver on `{machine.name}`, which is too old",
                f"branch {driver} of the driver, or a newer one",
                "name newer packages, or write a lower `driver` here if the server's image runs with that one",
            )


def checks(
    server: str,
    machine: Machine,
    placed: Placement | Refused,
    taken: Demand,
    *,
    driver: int,
    jetpack: JetPack | None,
    image: str,
    remedy: str,
) -> str:
    """The piece of the host's gate (``Part.host_checks``), for a host that may run models on its accelerator.

    ``image`` is how the site file names what is for ``jetpack``, ``remedy`` what to write for another release.
    """
    if isinstance(placed, Refused) or machine.name not in placed.demands:
        return ""
    gpus = [name for name, found in machine.accelerators.items() if found.kind in PLATFORM_OF]
    parts, mig = len(usable(machine)), machine.spec.mig
    watts = machine.hardware.envelope.base_watts + taken.watts + placed.demands[machine.name].watts
    return fragment(
        "inference/accelerator_checks.sh.j2",
        server=server,
        hardware=", ".join(gpus),
        packages=wanted(machine) is not None,
        jetson=platform_of(machine, "gpu") == "jetson",
        toolkit=machine.system.nvidia.toolkit,
        driver_from=machine.system.nvidia.driver,
        driver=driver,
        gpus=len(gpus),
        mig=mig,
        parts=parts,
        cut=",".join([mig] * (parts // len(gpus))) if mig else "",
        jetpack=jetpack,
        image=image,
        remedy=remedy,
        watts=math.ceil(watts),
    )
