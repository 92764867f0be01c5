"""Snapshots of the cluster's datastore: K3s' own of etcd, ours of SQLite, and where they go. Pure."""

from __future__ import annotations

from typing import Any

from components import cron, urls
from components.addresses import endpoint
from components.egress import ENVIRONMENT
from components.k3s.hardening import DATA, SERVER_DIR
from components.k3s.spec import EmbeddedDatastore, K3sSpec, SnapshotStore
from components.shell import Script, fragment, here_document, without_prelude

KEYS = "k3s-snapshot-keys"
"""Key of the secret, `ACCESS_KEY_ID:SECRET_ACCESS_KEY`."""
ETCD_KEYS = "/etc/rancher/k3s/config.yaml.d/70-snapshots.yaml"
"""Where K3s reads it. A Secret in the cluster (`etcd-s3-config-secret`) cannot be read when a snapshot is restored, and
not at all by older releases."""
UNIT = "edge-k3s-snapshot"
_SQLITE_KEYS, _SCRIPT = "/var/lib/edge/k3s/snapshot-keys", "/var/lib/edge/k3s/snapshot.sh"
_CA = "/etc/rancher/k3s/snapshots-ca.pem"
_FOLDER = f"{SERVER_DIR}/db/snapshots"
"""K3s' own."""


def of_sqlite(spec: K3sSpec, datastore: str) -> bool:
    return datastore == "sqlite" and isinstance(spec.datastore, EmbeddedDatastore) and spec.datastore.sqlite_snapshots


def store(spec: K3sSpec) -> SnapshotStore | None:
    return spec.datastore.s3 if isinstance(spec.datastore, EmbeddedDatastore) else None


def folder(spec: K3sSpec) -> str | None:
    """Where snapshots are kept on a server; None for K3s' own folder."""
    return spec.datastore.snapshot_dir if isinstance(spec.datastore, EmbeddedDatastore) else None


def etcd_config(datastore: EmbeddedDatastore, site: str, servers: int) -> dict[str, Any]:
    """K3s' settings for snapshots of etcd, without the keys of the storage."""
    config: dict[str, Any] = {
        "etcd-snapshot-schedule-cron": datastore.snapshot_schedule,
        "etcd-snapshot-retention": datastore.snapshot_retention,
    }
    if datastore.snapshot_dir:
        config["etcd-snapshot-dir"] = datastore.snapshot_dir
    if s3 := datastore.s3:
        url = urls.parse(s3.endpoint)
        config |= {
            "etcd-s3": True,
            "etcd-s3-endpoint": endpoint(url.host, url.port),
            "etcd-s3-bucket": s3.bucket,
            "etcd-s3-region": s3.region,
            "etcd-s3-folder": s3.folder or site,
            # All servers have one folder, and each one that sends a snapshot counts those of all.
            "etcd-s3-retention": datastore.snapshot_retention * servers,
        }
        if s3.ca:
            config["etcd-s3-endpoint-ca"] = _CA
    return config


def ca_file(spec: K3sSpec) -> dict[str, tuple[str, str]]:
    """Path -> mode and text."""
    s3 = store(spec)
    return {_CA: ("0644", s3.ca)} if s3 and s3.ca else {}


def sqlite_files(spec: K3sSpec, node: str, site: str, egress: bool) -> dict[str, tuple[str, str]]:
    """The timer, its service and what that runs: path -> mode and text."""
    datastore = spec.datastore
    assert isinstance(datastore, EmbeddedDatastore)
    s3 = datastore.s3
    script = without_prelude(
        "k3s/sqlite_snapshot.sh.j2",
        node=node,
        data=DATA,
        snapshot_dir=datastore.snapshot_dir or _FOLDER,
        keep=datastore.snapshot_retention,
        url=f"{s3.endpoint.rstrip('/')}/{s3.bucket}/{s3.folder or site}" if s3 else "",
        region=s3.region if s3 else "",
        keys=_SQLITE_KEYS,
        ca=_CA if s3 and s3.ca else "",
    )
    environment = f"EnvironmentFile=-{ENVIRONMENT}\n" if egress else ""
    times = "".join(f"{line}\n" for line in cron.timer(datastore.snapshot_schedule))
    return {
        _SCRIPT: ("0700", script),
        f"/etc/systemd/system/{UNIT}.service": (
            "0644",
            f"""[Unit]
Description=Snapshot of the datastore of K3s

[Service]
Type=oneshot
{environment}ExecStart=/bin/bash {_SCRIPT}
# Also where the script was killed while K3s was stopped.
ExecStopPost=-/usr/bin/env systemctl kill --signal=CONT k3s.service
TimeoutStartSec=3600
""",
        ),
        f"/etc/systemd/system/{UNIT}.timer": (
            "0644",
            f"""[Unit]
Description=Snapshots of the datastore of K3s

[Timer]
{times}Persistent=true

[Install]
WantedBy=timers.target
""",
        ),
    }


def install(spec: K3sSpec, datastore: str, node: str, site: str, egress: bool) -> Script:
    """The end of a server's install script."""
    mine = of_sqlite(spec, datastore)
    files = sqlite_files(spec, node, site, egress) if mine else {}
    return fragment(
        "k3s/snapshots.sh.j2",
        unit=UNIT,
        files={path: (mode, here_document(text)) for path, (mode, text) in files.items()},
        sqlite_keys=_SQLITE_KEYS,
        to_s3=mine and store(spec) is not None,
        script=_SCRIPT,
    )
