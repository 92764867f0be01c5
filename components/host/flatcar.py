"""Flatcar Container Linux."""

from __future__ import annotations

from components.host.operating_system import TIMESYNCD, HostFile, OperatingSystem, TrustStore
from components.host.spec import UpdateWindow


def _locksmith(updates: UpdateWindow) -> HostFile:
    day, start = updates.window.split()
    return HostFile(
        "/etc/flatcar/update.conf",
        "REBOOT_STRATEGY=reboot\n"
        f'LOCKSMITHD_REBOOT_WINDOW_START="{day} {start}"\n'
        f"LOCKSMITHD_REBOOT_WINDOW_LENGTH={updates.hours}h\n",
    )


SYSTEM = OperatingSystem(
    name="flatcar",
    title="Flatcar",
    ids=("flatcar",),
    time=(TIMESYNCD,),
    first_boot="ignition",
    # Source: Flatcar's documentation, "Custom certificate authorities".
    trust_store=TrustStore("/etc/ssl/certs", ".pem", ("update-ca-certificates",), "a current image of Flatcar"),
    # /usr is read-only; /opt/bin is on root's PATH.
    bin_dir="/opt/bin",
    update_unit="locksmithd",
    update_config=_locksmith,
    secure_boot="its images are unsigned",
)
