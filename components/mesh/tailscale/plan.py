"""Joining a tailnet, as scripts for one host: what is downloaded, which settings apply, how to leave. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.expected import Expected, file, unit
from components.host.machine import Machine
from components.mesh.tailscale.spec import MadeKey, TailscaleSpec
from components.shell import fragment, here_document, render, without_prelude
from components.sysext import Image
from components.types import Arch

HOME = "/opt/tailscale"
"""Where releases live: writable on Flatcar and Fedora CoreOS too, whose /usr is not."""

_EGRESS_STAMP = f"{HOME}/egress"
"""Hash of the environment that the daemon was started with."""

_STARTS = "/etc/systemd/system/multi-user.target.d/10-tailscale.conf"
"""Takes the place of what the image has under that name, which would start the daemon whenever it is stopped."""

STATE = "/var/lib/tailscale"
"""The host's identity in the tailnet."""

TAILSCALE_URL = "https://controlplane.tailscale.com"
"""Tailscale's own control plane, as a host names it in its settings."""


@dataclass(frozen=True)
class HostPlan:
    """The scripts of one host."""

    join: str
    """Installs, joins, and keeps the settings; reads from standard input the auth key, then when it ends (RFC 3339, or
    `unknown`) where the stack makes it, then the environment that the daemon goes out with, if any."""
    leave: str
    """Leaves the tailnet and removes everything, from outside of the session that it may cut."""
    expected: tuple[Expected, ...]
    """What ``join`` leaves."""


@dataclass(frozen=True)
class KeyPlan:
    """An auth key to be made by the tailscale provider."""

    tailnet: str
    tags: tuple[str, ...]
    expiry_s: int
    description: str


def site_tags(site: str, spec: TailscaleSpec) -> tuple[str, ...]:
    """The tags of every host of ``site``: its own first, the groups after it."""
    return tuple(dict.fromkeys([f"tag:edge-{site}", *(f"tag:{name}" for name in spec.tags)]))


def props(site: str, spec: TailscaleSpec) -> dict[str, Any]:
    """What policies read. None: only the person who made a configured key knows."""
    made = spec.key if isinstance(spec.key, MadeKey) else None
    return {
        "sha256": dict(spec.sha256),
        **({"images_sha256": {"tailscale": dict(spec.sysext.sha256)}} if spec.sysext else {}),
        "tags": list(site_tags(site, spec)),
        "preauthorized": True if made else None,
        "expiry_hours": made.expiry_hours if made else None,
    }


def image_of(spec: TailscaleSpec, machine: Machine) -> Image | None:
    """The image that a host gets Tailscale from; None where it gets the archive."""
    if spec.sysext is None or not machine.system.extensions:
        return None
    version, arch = f"v{spec.version.removeprefix('v')}", machine.arch
    return Image("tailscale", version, arch, spec.sysext.sha256[arch], spec.sysext.mirror)


def host_checks(spec: TailscaleSpec, machine: Machine) -> str:
    """Looks whether an image can be merged, before anything is changed."""
    image = image_of(spec, machine)
    return fragment("sysext_checks.sh.j2", image=image, field="mesh.sysext") if image else ""


def key_plan(site: str, spec: TailscaleSpec) -> KeyPlan | None:
    """The key to make for ``site``, or None if it comes from the configuration."""
    if not isinstance(spec.key, MadeKey):
        return None
    return KeyPlan(
        tailnet=spec.key.tailnet,
        tags=site_tags(site, spec),
        expiry_s=spec.key.expiry_hours * 3600,
        # Tailscale takes at most 50 characters.
        description=f"edge {site}"[:50],
    )


def places(machine: Machine) -> str:
    """Finds the host's name and addresses in the tailnet (``Part.places``)."""
    return fragment("mesh/tailscale/reached_at.sh.j2", node=machine.node, home=HOME)


def download_url(spec: TailscaleSpec, arch: Arch) -> str:
    """Where hosts fetch the release's archive."""
    return f"{spec.mirror.rstrip('/')}/tailscale_{spec.version.removeprefix('v')}_{arch}.tgz"


def plan(site: str, machine: Machine, spec: TailscaleSpec, environment: str | None = None) -> HostPlan:
    """Scripts for one host. Raises ValueError if there is no checksum for its architecture.

    ``environment`` is the file with the variables that the daemon goes out with.
    """
    node, arch = machine.node, machine.arch
    if arch not in spec.sha256:
        raise ValueError(
            f"{node}: mesh.sha256 has no checksum for {arch}; "
            f"add that of tailscale_{spec.version}_{arch}.tgz from {spec.mirror}"
        )
    version, image = spec.version.removeprefix("v"), image_of(spec, machine)
    # Archive and image may both be there, and two images of one release.
    release = f"{version}-{image.sha256[:12]}" if image else version
    values: dict[str, object] = {
        "node": node,
        "home": HOME,
        "state": STATE,
        "command": f"{machine.system.bin_dir}/tailscale",
        "version": release,
        "image": image,
        "image_starts": _STARTS,
    }
    settings, system_unit = _settings(node, spec), _unit(spec, environment)
    return HostPlan(
        join=render(
            "mesh/tailscale/join.sh.j2",
            **values,
            archive=f"tailscale_{version}_{arch}",
            url=download_url(spec, arch),
            sha256=spec.sha256[arch],
            unit=here_document(system_unit),
            switch=here_document(without_prelude("mesh/tailscale/switch.sh.j2", home=HOME, image=image)),
            egress_stamp=_EGRESS_STAMP if environment else None,
            settings=settings,
            control_url=(spec.login_server or TAILSCALE_URL).rstrip("/"),
            tags=site_tags(site, spec),
            site=site,
            made_key=isinstance(spec.key, MadeKey),
            ssh=spec.ssh,
            accept_routes=spec.accept_routes,
        ),
        leave=render(
            "mesh/tailscale/leave.sh.j2",
            node=node,
            kubernetes_node=machine.kubernetes_node,
            home=HOME,
            log_out=here_document(without_prelude("mesh/tailscale/log_out.sh.j2", **values)),
        ),
        expected=(
            *(image.expected if image else ()),
            Expected("link", f"{HOME}/current", release),
            *file(f"{HOME}/settings", "0644", "\n".join(settings)),
            *file("/etc/systemd/system/tailscaled.service", "0644", system_unit),
            *(file(_EGRESS_STAMP, "0600", None) if environment else ()),
            *unit("tailscaled.service"),
        ),
    )


def _settings(node: str, spec: TailscaleSpec) -> tuple[str, ...]:
    """Flags that `tailscale up` and `tailscale set` share."""
    routes = ",".join(spec.advertise_routes)
    return (
        f"--hostname={node}",
        f"--accept-dns={_flag(spec.accept_dns)}",
        f"--accept-routes={_flag(spec.accept_routes)}",
        f"--ssh={_flag(spec.ssh)}",
        f"--advertise-routes={routes}",
    )


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _unit(spec: TailscaleSpec, environment: str | None) -> str:
    # By default the daemon sends its logs to Tailscale, also from a Headscale tailnet. There they stay on the host.
    own = " --no-logs-no-support" if spec.login_server else ""
    # A file that is not there must not keep the daemon from starting.
    reads = f"\nEnvironmentFile=-{environment}" if environment else ""
    # Restart=always: for many sites the mesh is the only way in.
    return f"""[Unit]
Description=Tailscale
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-networkd.service systemd-resolved.service

[Service]
Type=notify{reads}
ExecStart={HOME}/current/bin/tailscaled --statedir={STATE} --socket=/run/tailscale/tailscaled.sock --port=41641{own}
ExecStopPost={HOME}/current/bin/tailscaled --cleanup
RuntimeDirectory=tailscale
RuntimeDirectoryMode=0755
StateDirectory=tailscale
StateDirectoryMode=0700
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""
