"""What a host runs is what the site file pins: `fetch`, as every script has it, run here on files of the test's own."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.promises.recordings import commands, script

WRONG = "0" * 64


@pytest.fixture(scope="module")
def prelude() -> str:
    """The functions in front of the script that installs K3s, up to the end of `fetch`."""
    text = script(commands("k3s")[0])
    end = text.index("\n}\n", text.index("\nfetch() {")) + len("\n}\n")
    return text[:end]


def fetch(prelude: str, source: Path, sha256: str, target: Path) -> subprocess.CompletedProcess[str]:
    command = f"{prelude}\nfetch {source.as_uri()} {sha256} {target} 0755"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def test_a_file_with_the_pinned_checksum_is_installed(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_text("a program")
    done = fetch(prelude, source, hashlib.sha256(b"a program").hexdigest(), target)
    assert done.returncode == 0, done.stderr
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("a program", 0o755)


def test_a_file_with_another_checksum_is_refused_and_leaves_nothing(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_text("another program")
    done = fetch(prelude, source, WRONG, target)
    assert done.returncode != 0
    assert "SHA-256" in done.stderr
    assert list(target.parent.iterdir()) == []


def test_an_installed_file_that_was_changed_is_put_right(prelude: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("a program")
    target.write_text("changed on the host")
    assert fetch(prelude, source, hashlib.sha256(b"a program").hexdigest(), target).returncode == 0
    assert target.read_text() == "a program"


@contextmanager
def mirror(answer: Callable[[http.server.BaseHTTPRequestHandler], object]) -> Iterator[str]:
    """A server on loopback that answers each request in the test's own way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/k3s"
        server.shutdown()


def bounded(prelude: str, bound: str, to: str) -> str:
    """The functions with another bound and without new tries."""
    assert bound in prelude
    return re.sub(r"--retry 5 --retry-all-errors", "", prelude.replace(bound, to))


def run_fetch(prelude: str, url: str, target: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = f"{prelude}\nfetch {url} {hashlib.sha256(b'a program').hexdigest()} {target} 0755"
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
        timeout=60,
    )


def test_an_answer_without_an_end_is_cut_off(prelude: str, tmp_path: Path) -> None:
    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        try:
            while True:
                request.wfile.write(b"x" * 65536)
        except OSError:
            pass

    with mirror(endless) as url:
        done = run_fetch(bounded(prelude, "ulimit -f 4194304", "ulimit -f 512"), url, tmp_path / "k3s")
    assert done.returncode == 1
    assert f"could not download {url}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_slow_answer_has_a_time_limit(prelude: str, tmp_path: Path) -> None:
    over = threading.Event()

    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        try:
            while not over.wait(0.1):
                request.wfile.write(b"x" * 4096)
        except OSError:
            pass

    with mirror(slow) as url:
        done = run_fetch(bounded(prelude, "--max-time 3600", "--max-time 1"), url, tmp_path / "k3s")
        over.set()
    assert done.returncode == 1
    assert "timed out" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_download_that_is_stopped_leaves_nothing(prelude: str, tmp_path: Path, stop: signal.Signals) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"a pro")
        asked.set()
        over.wait(30)

    with mirror(silent) as url:
        command = f"{prelude}\nfetch {url} {WRONG} {tmp_path / 'k3s'} 0755"
        running = subprocess.Popen(["bash", "-c", command], start_new_session=True, stderr=subprocess.DEVNULL)
        assert asked.wait(30)
        assert list(tmp_path.iterdir()) != []
        os.killpg(running.pid, stop)
        running.wait(30)
        gone = threading.Event()
        while any(tmp_path.iterdir()) and not gone.wait(0.05):
            assert _group_lives(running.pid), "the processes are gone, the file is not"
        over.set()
    assert list(tmp_path.iterdir()) == []


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_killed_download_left_goes_with_the_next_run(prelude: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a program")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / ".edge.abcdef").write_text("half a pro")
    assert fetch(prelude, source, hashlib.sha256(b"a program").hexdigest(), folder / "k3s").returncode == 0
    assert [path.name for path in folder.iterdir()] == ["k3s"]


def whole(request: http.server.BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"a program")


def test_the_host_itself_is_asked_without_a_proxy(prelude: str, tmp_path: Path) -> None:
    proxy = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy"), "http://192.0.2.1:3128")
    with mirror(whole) as url:
        done = run_fetch(prelude, url, tmp_path / "k3s", no_proxy="example.com", **proxy)
    assert done.returncode == 0, done.stderr


def test_other_mirrors_are_asked_through_the_proxy(prelude: str, tmp_path: Path) -> None:
    with mirror(whole) as url:
        proxy = url.removesuffix("/k3s")
        done = run_fetch(prelude, "http://mirror.invalid/k3s", tmp_path / "k3s", http_proxy=proxy, no_proxy="")
    assert done.returncode == 0, done.stderr
