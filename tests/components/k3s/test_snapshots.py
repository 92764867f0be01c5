"""Snapshots: of SQLite while somebody writes to it, by the script itself; to a storage whose signature is checked."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import cron
from components.host.plan import plan
from components.host.spec import OsSpec
from components.k3s import snapshots
from components.k3s.plan import CA_UNKNOWN, files, host_checks, plan_cluster, plan_node
from components.k3s.spec import K3sSpec
from components.shell import secret_lines, without_prelude
from tests.components.k3s.test_scripts import AGENT_TOKEN, HEALTHZ, TOKEN, box, spec_for
from tests.components.site_parts import SERVERS, k3s, machine
from tests.sandbox import Run, Sandbox, needs_root

__all__ = ["box"]

S3 = {"endpoint": "https://s3.example.com:9000", "bucket": "snapshots", "region": "eu-central-1"}
ID, KEY = "marker-id", "marker'\"\\key:with-a-colon"
_WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=OFF")
db.execute("PRAGMA wal_autocheckpoint=20")
db.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY, pad BLOB)")
n = 0
while True:
    n += 1
    db.execute("BEGIN")
    db.execute("INSERT INTO rows VALUES (?, randomblob(3000))", (n,))
    db.execute("DELETE FROM rows WHERE n <= ?", (n - 200,))
    db.execute("COMMIT")
    print(n, flush=True)
"""


def embedded(**fields: Any) -> dict[str, Any]:
    return {"kind": "embedded", **fields}


class Storage(BaseHTTPRequestHandler):
    """Takes what is signed as S3 asks, with the keys of this test (AWS Signature Version 4)."""

    taken: dict[str, bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = dict(part.strip().split("=", 1) for part in self.headers["Authorization"].split(" ", 1)[1].split(","))
        day, region, service, last = fields["Credential"].removeprefix(f"{ID}/").split("/")
        signed = fields["SignedHeaders"].split(";")
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in signed)
        payload = self.headers["x-amz-content-sha256"]
        request = f"PUT\n{self.path}\n\n{headers}\n{';'.join(signed)}\n{payload}"
        scope = f"{day}/{region}/{service}/{last}"
        text = (
            f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        )
        key = f"AWS4{KEY}".encode()
        for part in (day, region, service, last):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == fields["Signature"]
        if right and (region, service) == ("eu-central-1", "s3"):
            self.taken[self.path] = body
        self.send_response(200 if right else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def storage() -> Iterator[tuple[str, dict[str, bytes]]]:
    taken: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Storage,), {"taken": taken}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    server.server_close()


def taken_with(tmp_path: Path, url: str = "", keep: int = 3) -> subprocess.CompletedProcess[str]:
    """Runs the script that the timer starts."""
    keys = tmp_path / "keys"
    curl = f"{ID}:{KEY}".replace("\\", "\\\\").replace('"', '\\"')
    keys.write_text(f'user = "{curl}"\n')
    script = without_prelude(
        "k3s/sqlite_snapshot.sh.j2",
        node="site-a",
        data=str(tmp_path),
        snapshot_dir=str(tmp_path / "kept"),
        keep=keep,
        url=url and f"{url}/snapshots/site",
        region="eu-central-1",
        keys=str(keys),
        ca="",
    )
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Somebody who writes to the datastore without a pause."""
    (tmp_path / "server/db").mkdir(parents=True)
    writes = [sys.executable, "-c", _WRITER, str(tmp_path / "server/db/state.db")]
    with subprocess.Popen(writes, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        # A pipe that nobody empties would stop it as well.
        process.last = 1  # type: ignore[attr-defined]

        def read() -> None:
            assert process.stdout
            for line in process.stdout:
                process.last = int(line)  # type: ignore[attr-defined]

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield process
        process.kill()
        # Not before the end of what was written: the pipe is closed next.
        reader.join()


def last_row(archive: Path, into: Path) -> int:
    """The newest row that a snapshot has, which must be whole: all of a transaction or nothing."""
    into.mkdir()
    subprocess.run(["tar", "--extract", "--gzip", f"--file={archive}", f"--directory={into}"], check=True)
    db = sqlite3.connect(into / "state.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    count, first, last = db.execute("SELECT count(*), min(n), max(n) FROM rows").fetchone()
    assert count == min(last, 200) == last - first + 1
    return int(last)


def test_each_snapshot_has_all_that_was_written_before_it_and_the_writer_goes_on(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    for attempt in range(5):
        before = writer.last  # type: ignore[attr-defined]
        ran = taken_with(tmp_path, keep=1)
        assert ran.returncode == 0, ran.stderr
        (archive,) = (tmp_path / "kept").glob("*.tar.gz")
        assert last_row(archive, tmp_path / f"restored-{attempt}") >= before
        archive.unlink()
        now = writer.last  # type: ignore[attr-defined]
        while writer.last == now:  # type: ignore[attr-defined]
            assert writer.poll() is None


def test_only_as_many_are_kept_as_the_site_says(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    (tmp_path / "kept").mkdir()
    old = [f"site-a-2026010{day}T000000Z.tar.gz" for day in range(1, 6)]
    for name in [*old, "site-b-20250101T000000Z.tar.gz", "notes.txt"]:
        (tmp_path / "kept" / name).touch()
    assert taken_with(tmp_path).returncode == 0
    left = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {*old[3:], "site-b-20250101T000000Z.tar.gz", "notes.txt"} <= left
    assert len(left) == 5, "with the new one, and nothing half-done"


def test_a_snapshot_goes_to_the_storage_with_a_signature(
    tmp_path: Path, writer: subprocess.Popen[str], storage: tuple[str, dict[str, bytes]]
) -> None:
    ran = taken_with(tmp_path, storage[0])
    assert ran.returncode == 0, ran.stderr
    ((path, body),) = storage[1].items()
    (archive,) = (tmp_path / "kept").glob("*.tar.gz")
    assert path == f"/snapshots/site/{archive.name}"
    assert body == archive.read_bytes()
    assert KEY not in ran.stdout + ran.stderr


def test_a_storage_that_does_not_take_it_is_a_failure_that_names_it(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    ran = taken_with(tmp_path, "http://127.0.0.1:1")
    assert ran.returncode == 1
    assert "could not be sent to http://127.0.0.1:1/snapshots/site" in ran.stderr
    assert list((tmp_path / "kept").glob("*.tar.gz")), "the copy on the host stays"


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        ("0 */6 * * *", ("OnCalendar=*-*-* 0,6,12,18:0:00",)),
        ("30 2 * * sun", ("OnCalendar=Sun *-*-* 2:30:00",)),
        ("0 0 1 * 1-3", ("OnCalendar=Mon,Tue,Wed *-*-* 0:0:00", "OnCalendar=*-*-1 0:0:00")),
        ("@daily", ("OnCalendar=daily",)),
        ("@midnight", ("OnCalendar=daily",)),
        ("@every 1h30m", ("OnActiveSec=1h30min", "OnUnitActiveSec=1h30min")),
        ("@every 500ms", ("OnActiveSec=500ms", "OnUnitActiveSec=500ms")),
    ],
)
def test_the_timer_keeps_the_schedule(schedule: str, settings: tuple[str, ...]) -> None:
    cron.check(schedule)
    assert cron.timer(schedule) == settings


@pytest.mark.parametrize(
    "schedule", [*(word for word in cron.WORDS), "*/7 1-5 */2 jan,mar ?", "5 4 * * 0", "0 0 31 12 *", "* * * * *"]
)
def test_systemd_reads_every_schedule(schedule: str) -> None:
    for setting in cron.timer(schedule):
        subprocess.run(
            ["systemd-analyze", "calendar", setting.partition("=")[2]], check=True, capture_output=True, timeout=60
        )


def test_k3s_sends_snapshots_of_etcd_where_the_site_says_and_keys_are_not_in_its_settings() -> None:
    spec = k3s(api_address="10.0.0.10", datastore=embedded(s3=S3, snapshot_dir="/data/snapshots"))
    config = yaml.safe_load(files(spec, SERVERS[0], SERVERS, {}, ())["/etc/rancher/k3s/config.yaml"][1])
    assert {key: value for key, value in config.items() if key.startswith(("etcd-s3", "etcd-snapshot-dir"))} == {
        "etcd-snapshot-dir": "/data/snapshots",
        "etcd-s3": True,
        "etcd-s3-endpoint": "s3.example.com:9000",
        "etcd-s3-bucket": "snapshots",
        "etcd-s3-region": "eu-central-1",
        "etcd-s3-folder": "site",
        "etcd-s3-retention": 36,
    }


def test_the_storage_keeps_as_many_snapshots_of_each_server_as_the_server_does() -> None:
    """In the storage, K3s counts the snapshots of all servers."""
    spec = k3s(api_address="10.0.0.10", datastore=embedded(s3=S3, snapshot_retention=4))
    config = yaml.safe_load(files(spec, SERVERS[0], SERVERS, {}, ())["/etc/rancher/k3s/config.yaml"][1])
    assert config["etcd-s3-retention"] == 4 * len(SERVERS)


def up(box: Sandbox, spec: K3sSpec, servers: int, keys: str = f"{ID}:{KEY}") -> Run:
    script = plan_node(spec, SERVERS[0], SERVERS[:servers], labels={}).install
    given = [TOKEN, AGENT_TOKEN, CA_UNKNOWN, *([keys] if keys else [])]
    return box.run(script, stdin=secret_lines(given), answers=[HEALTHZ])


def begun(box: Sandbox, spec: K3sSpec, servers: int) -> None:
    assert box.run(plan_cluster(spec, SERVERS[:servers]).cluster_init_permit).code == 0
    ran = up(box, spec, servers)
    assert ran.code == 0, ran.stderr
    assert "marker" not in ran.stdout + "".join(ran.calls)


@needs_root
def test_the_keys_are_in_one_file_of_roots_alone_and_go_when_the_storage_does(box: Sandbox) -> None:
    begun(box, spec_for(box, datastore=embedded(s3=S3)), 3)
    kept = box.path(snapshots.ETCD_KEYS)
    assert yaml.safe_load(kept.read_text()) == {"etcd-s3-access-key": ID, "etcd-s3-secret-key": KEY}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert box.files_with(ID) == [snapshots.ETCD_KEYS]
    assert up(box, spec_for(box), 3, keys="").code == 0
    assert box.files_with(ID) == []


@needs_root
def test_sqlite_gets_a_timer_its_keys_and_a_first_snapshot_and_loses_them_with_the_field(box: Sandbox) -> None:
    begun(box, spec_for(box, datastore=embedded(s3=S3, sqlite_snapshots=True)), 1)
    (keys,) = box.files_with(ID)
    assert box.path(keys).stat().st_mode & 0o777 == 0o600
    again = up(box, spec_for(box, datastore=embedded(s3=S3, sqlite_snapshots=True)), 1)
    assert not [call for call in again.calls if "snapshot" in call], "nothing is new"
    gone = up(box, spec_for(box), 1, keys="")
    assert gone.code == 0, gone.stderr
    assert not [call for call in gone.calls if " restart " in call], "K3s has no part in it"
    assert box.files_with(ID) == []
    assert not list(box.path("/etc/systemd/system").glob("edge-k3s-snapshot*"))


@needs_root
def test_a_first_snapshot_that_fails_is_told_and_tried_again(box: Sandbox) -> None:
    spec = spec_for(box, datastore=embedded(s3=S3, sqlite_snapshots=True))
    systemctl = box.path("/usr/local/sbin/systemctl")
    works = systemctl.read_text()
    systemctl.write_text(works + 'case $* in "start edge-k3s-snapshot.service") exit 1 ;; esac\n')
    assert box.run(plan_cluster(spec, SERVERS[:1]).cluster_init_permit).code == 0
    for _ in range(2):
        ran = up(box, spec, 1)
        assert (ran.code, "the snapshot of the datastore failed" in ran.stderr) == (1, True)
    systemctl.write_text(works)
    assert up(box, spec, 1).code == 0


@needs_root
def test_keys_of_another_form_are_refused_before_anything_changes(box: Sandbox) -> None:
    spec = spec_for(box, datastore=embedded(s3=S3))
    ran = up(box, spec, 3, keys="no-colon")
    assert ran.code == 1
    assert "ACCESS_KEY_ID:SECRET_ACCESS_KEY" in ran.stderr
    assert "no-colon" not in ran.stdout + ran.stderr


@needs_root
@pytest.mark.parametrize(("release", "lacks"), [("7.81.0", True), ("7.88.1", False), ("8.5.0", False)])
def test_the_gate_wants_a_curl_that_signs_where_sqlite_goes_to_a_storage(
    box: Sandbox, release: str, lacks: bool
) -> None:
    box.install("/usr/local/sbin/curl", f"echo curl {release} '(x86_64)'\n")
    small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
    which = machine("a", os=OsSpec(disk="none"), figures=small)
    spec = k3s(datastore=embedded(s3=S3, sqlite_snapshots=True))
    said = box.run(plan(which, [host_checks(spec, which, [which])]).facts).stderr
    assert ("cannot sign for S3" in said) is lacks


def test_an_agent_gets_no_keys() -> None:
    spec = k3s(datastore=embedded(s3=S3, sqlite_snapshots=True))
    agent = plan_node(spec, machine("d", "10.0.0.14", role="agent"), SERVERS[:1], labels={})
    assert "snapshot" not in json.dumps(agent.install + agent.uninstall)
