"""What a human writes about NVIDIA's driver and container runtime as Debian packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from components.specs import Spec
from components.types import PgpPublicKey
from components.urls import UrlOf
from sitefile.problems import Finding

DRIVER_PACKAGE = re.compile(r"^(nvidia-(driver|open|kernel|dkms|headless)|cuda-drivers|linux-modules-nvidia)")
"""Names of packages that bring the driver, or its kernel modules."""

PackageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$", examples=["nvidia-container-toolkit"])]
PackageVersion = Annotated[str, Field(pattern=r"^([0-9]+:)?[0-9][A-Za-z0-9.+~-]*$", examples=["1.17.9-1"])]
Suite = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$|^([A-Za-z0-9._-]+)?/$", examples=["noble"])]
Component = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", examples=["main"])]


class AptRepository(Spec):
    """A repository of packages, beside those that the host has."""

    url: Annotated[str, UrlOf(("https", "http")), Field(examples=["https://packages.example.com/deb/amd64"])]
    """Where it is: NVIDIA's, or a mirror of yours. With http, too, apt takes nothing that `key` has not signed."""

    suite: Suite = "/"
    """Suite. `/` for one without, as NVIDIA's are."""

    components: tuple[Component, ...] = ()
    """Components of the suite; none where the suite ends with `/`."""

    key: PgpPublicKey
    """The public key that signs it, whole and armored. It counts for this repository and no other."""

    def conflicts(self) -> Iterator[Finding]:
        if self.suite.endswith("/") == bool(self.components):
            yield Finding(
                ("components",),
                f"the suite `{self.suite}` and {len(self.components)} components do not go together",
                "components with a suite's name, none with a suite that ends with `/`",
                "write both as the line `deb` of the repository has them",
            )


class NvidiaPackages(Spec):
    """NVIDIA's driver and container runtime, installed before K3s on each host with an NVIDIA GPU."""

    packages: Annotated[
        dict[PackageName, PackageVersion], Field(min_length=1, examples=[{"nvidia-container-toolkit": "1.17.9-1"}])
    ]
    """Exact version of each package that is installed and held, by name. What they need beside these is apt's choice:
    name what shall not move."""

    driver: Annotated[str, Field(pattern=r"^\d{3,4}\.\d+(\.\d+)?$", examples=["580.159.04"])] | None = None
    """Release of the driver that `packages` bring, as the loaded one shows it. Left out: they bring none."""

    repositories: tuple[AptRepository, ...] = ()
    """Repositories that have packages which the host's own have not."""

    hold: tuple[PackageName, ...] = ()
    """Further packages that updates leave alone: those of the kernel, where its modules come prebuilt."""

    @property
    def built_on_host(self) -> bool:
        """Whether DKMS builds the kernel modules, for each kernel anew."""
        return any("dkms" in name for name in self.packages)

    def unsigned(self, distribution: str) -> bool:
        """Whether kernel modules come that nobody has signed: Debian has no others."""
        prebuilt = any(name.startswith("linux-modules-nvidia") for name in self.packages)
        return self.driver is not None and (self.built_on_host or not prebuilt or distribution == "debian")

    def conflicts(self) -> Iterator[Finding]:
        drivers = [name for name in self.packages if DRIVER_PACKAGE.match(name)]
        if bool(drivers) != (self.driver is not None):
            yield Finding(
                ("driver",),
                f"the release of the driver that {drivers[0]} brings is missing" if drivers else "no package brings it",
                "the release, such as `580.159.04`, beside the packages that bring it",
                "write it as it is in the version of the package" if drivers else "add the packages, or remove it",
            )
        prebuilt = next((name for name in self.packages if name.startswith("linux-modules-nvidia")), None)
        if prebuilt and not any(name.startswith("linux-") for name in self.hold):
            yield Finding(
                ("hold",),
                f"{prebuilt} is for one kernel, and an update to the next one would leave the GPU without a driver",
                "the packages that bring the kernel, such as `linux-generic`",
                "write them; the kernel is then updated together with the driver, by new versions in this block",
            )
