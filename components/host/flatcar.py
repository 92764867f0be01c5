"""Flatcar Container Linux."""

from __future__ import annotations

from components.host.operating_system import TIMESYNCD, HostFile, OperatingSystem, TrustStore
from components.host.reboots import RebootWindow


def _locksmith(window: RebootWindow) -> HostFile:
    hours, odd = divmod(window.minutes, 60)
    return HostFile(
        "/etc/flatcar/update.conf",
        "REBOOT_STRATEGY=reboot\n"
        f'LOCKSMITHD_REBOOT_WINDOW_START="{window.day} {window.time}"\n'
        f"LOCKSMITHD_REBOOT_WINDOW_LENGTH={f'{window.minutes}m' if odd else f'{hours}h'}\n",
        # An image may name the group and the server of its updates there.
        keeps_others=True,
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
