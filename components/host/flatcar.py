"""Flatcar Container Linux."""

from __future__ import annotations

from components.host.operating_system import TIMESYNCD, HostFile, Nvidia, OperatingSystem, TrustStore, Updates
from components.shell import Script

_CURRENT = "a current image of Flatcar"

_UPDATES = Updates(
    program="update_engine_client",
    package=_CURRENT,
    # Puts each new image on the other partition as soon as it has found it.
    service="update-engine",
    # Without an answer of the engine it prints no status, and succeeds.
    install=Script(
        "said=$(update_engine_client -status 2>/dev/null) && grep -q '^CURRENT_OP=UPDATE_STATUS_' <<<\"$said\" ||\n"
        '  { say "update-engine does not say whether there is an update"; exit 1; }'
    ),
    # The file is from what updates the system's extensions.
    reboot_needed=Script(
        '[ -e /run/reboot-required ] || grep -qx CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT <<<"$said"'
    ),
    # locksmithd then ends as soon as it starts. An image may name the group and the server of its updates there.
    config=HostFile(
        "/etc/flatcar/update.conf",
        "REBOOT_STRATEGY=off\n",
        keeps_others=True,
        former_keys=("LOCKSMITHD_REBOOT_WINDOW_START", "LOCKSMITHD_REBOOT_WINDOW_LENGTH"),
    ),
    reads_config="locksmithd",
    check=Script(
        "! grep -qiE '^SERVER=\"?disabled' /etc/flatcar/update.conf 2>/dev/null ||\n"
        '  lack "its updates are turned off (SERVER=disabled in /etc/flatcar/update.conf)" '
        '"remove that line, or write \\`managed: false\\` below \\`os.updates\\`"\n'
    ),
)

SYSTEM = OperatingSystem(
    name="flatcar",
    title="Flatcar",
    ids=("flatcar",),
    # Source: Flatcar's documentation on NVIDIA, and its sysext bakery.
    nvidia=Nvidia(
        driver="a line `nvidia-drivers-<branch>` in /etc/flatcar/enabled-sysext.conf",
        toolkit="the sysext image nvidia-runtime of Flatcar's bakery",
    ),
    time=(TIMESYNCD,),
    first_boot="ignition",
    # Source: Flatcar's documentation, "Custom certificate authorities".
    trust_store=TrustStore("/etc/ssl/certs", ".pem", ("update-ca-certificates",), _CURRENT),
    # /usr is read-only; /opt/bin is on root's PATH.
    bin_dir="/opt/bin",
    smartctl="put a smartctl into /opt/bin; Flatcar has no packages",
    extensions=True,
    updates=_UPDATES,
    secure_boot="its images are unsigned",
)
