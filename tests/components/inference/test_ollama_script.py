"""The script that keeps a site's models the pinned ones, run with a server of its own kind on loopback.

`ollama` is a stand-in that speaks the real one's command line and HTTP answers; bash and the tools are the real ones.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.inference.ollama.plan import REFUSED, script

NAME, PINNED, OTHER = "mistral:7b-instruct-q4_K_M", "1a" * 32, "2b" * 32

_OLLAMA = r'''#!{python}
"""`ollama serve|pull|rm` on a folder as the real one lays it out: manifests by name, blobs by digest."""
import http.server, json, os, pathlib, sys, urllib.request

models = pathlib.Path(os.environ.get("OLLAMA_MODELS", "/nowhere"))
port = int(os.environ["OLLAMA_HOST"].rpartition(":")[2])
registry = json.loads(os.environ["REGISTRY"])
with open(os.environ["CALLS"], "a") as calls:
    print(*sys.argv[1:], file=calls)


def path(name):
    return models / "manifests" / name.replace(":", "/").replace("/", "_")


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value, separators=(",", ":")).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/api/version":
            return self.answer(200, {{"version": "0.32.15"}})
        if os.environ.get("BROKEN"):
            return self.answer(500, {{"error": "broken"}})
        listed = [json.loads(file.read_text()) for file in sorted((models / "manifests").glob("*"))]
        self.answer(200, {{"models": [entry for entry in listed if entry]}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(os.environ["CALLS"], "a") as calls:
            print(self.path, json.dumps(body), file=calls)
        loads = os.environ["LOADS"].split(",")
        self.answer(200 if self.path in loads else 400, {{}})


if sys.argv[1] == "serve":
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
elif sys.argv[1] == "pull":
    if sys.argv[2] not in registry:
        sys.exit("pull model manifest: file does not exist")
    digest, layers = registry[sys.argv[2]]
    for layer in layers:
        blob = models / "blobs" / f"sha256-{{layer}}"
        if not blob.exists():
            blob.write_text(layer)
            with open(os.environ["CALLS"], "a") as calls:
                print("downloaded", layer, file=calls)
    entry = {{"name": sys.argv[2], "model": sys.argv[2], "modified_at": "2026-11-26T00:00:00Z", "size": 1,
             "digest": digest, "details": {{}}, "layers": [f"sha256:{{layer}}" for layer in layers]}}
    path(sys.argv[2]).write_text(json.dumps(entry))
elif sys.argv[1] == "rm":
    path(sys.argv[2]).unlink()
'''


@dataclass
class Pod:
    """A pod's folders and environment."""

    root: Path
    port: int
    registry: dict[str, tuple[str, list[str]]]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}:{os.environ['PATH']}",
            "TMPDIR": str(self.root),
            "HOME": str(self.root),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "STORE": str(self.root / "store"),
            "SET": "0" * 16,
            "MODELS": f"{NAME} {PINNED}",
            "REGISTRY": json.dumps(self.registry),
            "CALLS": str(self.root / "calls"),
            "LOADS": "/api/generate",
        }

    def run(self, action: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script(), "models.sh", action],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextmanager
    def serving(self, name: str = "0" * 16, **environment: str) -> Iterator[None]:
        """A server on one set, as the Deployment runs it."""
        models = str(self.root / "store" / name)
        server = subprocess.Popen(
            ["ollama", "serve"], env={**self.environment, "OLLAMA_MODELS": models, **environment}, cwd=self.root
        )
        try:
            while server.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                        break
            assert server.poll() is None
            yield
        finally:
            server.kill()
            server.wait()

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def blobs(self, name: str = "0" * 16) -> set[str]:
        return {blob.name.removeprefix("sha256-") for blob in (self.root / "store" / name / "blobs").iterdir()}

    def sets(self) -> set[str]:
        return {folder.name[0] for folder in (self.root / "store").iterdir() if folder.is_dir()}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "ollama").write_text(_OLLAMA.format(python=sys.executable))
    (tmp_path / "ollama").chmod(0o755)
    (tmp_path / "store").mkdir()
    return Pod(tmp_path, port, {NAME: (PINNED, ["c" * 64])})


def listing(pod: Pod, entries: list[Mapping[str, object]], name: str = "0" * 16) -> None:
    """A set whose server lists ``entries``."""
    folder = pod.root / "store" / name / "manifests"
    folder.mkdir(parents=True)
    for index, entry in enumerate(entries):
        (folder / str(index)).write_text(json.dumps(entry))


def test_bash_and_shellcheck_find_nothing_wrong() -> None:
    shellcheck = [str(Path(sys.prefix) / "bin" / "shellcheck"), "--shell=bash", "-"]
    checked = subprocess.run(shellcheck, input=script(), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_model_with_the_pinned_digest_is_pulled_and_kept(pod: Pod) -> None:
    ran = pod.run("pull")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == f"{NAME}: {PINNED}\n"
    assert pod.calls() == ["serve", f"pull {NAME}", f"downloaded {'c' * 64}"]


def test_a_model_with_another_digest_is_removed_and_fails_the_job_for_good(pod: Pod) -> None:
    pod.registry[NAME] = (OTHER, ["d" * 64])
    ran = pod.run("pull")
    assert ran.returncode == REFUSED
    assert ran.stdout.endswith(f"{NAME}: refused, its digest is {OTHER} and the pinned one {PINNED}\n")
    assert pod.calls()[-1] == f"rm {NAME}"
    assert list((pod.root / "store" / ("0" * 16) / "manifests").iterdir()) == []
    assert not (pod.root / "store" / "current").exists()


def test_a_second_run_pulls_nothing_and_needs_no_registry(pod: Pod) -> None:
    assert pod.run("pull").returncode == 0
    pod.registry.clear()
    assert pod.run("pull").returncode == 0
    assert pod.calls().count(f"pull {NAME}") == 1


def test_a_pull_that_fails_says_why_and_may_be_tried_again(pod: Pod) -> None:
    pod.registry.clear()
    ran = pod.run("pull")
    assert ran.returncode == 1
    assert ran.stdout == f"pull model manifest: file does not exist\n{NAME}: not pulled\n"


def test_a_listing_that_cannot_be_read_refuses_no_model(pod: Pod) -> None:
    ran = pod.run("pull", BROKEN="1")
    assert ran.returncode == 1
    assert pod.calls() == ["serve"]


def test_no_server_is_left_behind(pod: Pod) -> None:
    assert pod.run("pull").returncode == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", pod.port)) != 0


def test_the_next_set_downloads_only_what_is_new_and_leaves_the_one_that_is_served(pod: Pod) -> None:
    assert pod.run("pull").returncode == 0
    pod.registry[NAME] = (OTHER, ["c" * 64, "d" * 64])
    assert pod.run("pull", SET="1" * 16, MODELS=f"{NAME} {OTHER}").returncode == 0
    assert [call for call in pod.calls() if call.startswith("downloaded")][1:] == [f"downloaded {'d' * 64}"]
    assert pod.blobs("0" * 16) == {"c" * 64}
    assert pod.blobs("1" * 16) == {"c" * 64, "d" * 64}


def test_a_refused_set_leaves_the_one_that_is_served(pod: Pod) -> None:
    assert pod.run("pull").returncode == 0
    pod.registry[NAME] = ("f" * 64, ["d" * 64])
    assert pod.run("pull", SET="1" * 16, MODELS=f"{NAME} {OTHER}").returncode == REFUSED
    with pod.serving():
        assert pod.run("present").returncode == 0


def test_sets_before_the_last_one_and_blobs_of_no_model_are_removed(pod: Pod) -> None:
    (pod.root / "store" / "lost+found").mkdir()
    for index, layer in enumerate("cde"):
        pod.registry[NAME] = (layer * 64, [layer * 64])
        assert pod.run("pull", SET=str(index) * 16, MODELS=f"{NAME} {layer * 64}").returncode == 0
    assert pod.sets() == {"1", "2", "l"}
    assert pod.blobs("2" * 16) == {"e" * 64}


def test_several_models_are_each_compared(pod: Pod) -> None:
    pod.registry["acme/embed:300m-f16"] = (OTHER, ["e" * 64])
    both = f"{NAME} {PINNED}\nacme/embed:300m-f16 {OTHER}"
    assert pod.run("pull", MODELS=both).returncode == 0
    with pod.serving():
        assert pod.run("present", MODELS=both).returncode == 0
        assert pod.run("present", MODELS=both.replace(OTHER, PINNED)).returncode == 1


def test_a_server_is_ready_with_the_pinned_digest_and_not_with_another(pod: Pod) -> None:
    listing(pod, [{"name": NAME, "model": NAME, "size": 1, "digest": PINNED, "details": {}}])
    with pod.serving():
        assert pod.run("present").returncode == 0
        refused = pod.run("present", MODELS=f"{NAME} {OTHER}")
    assert (refused.returncode, refused.stdout) == (1, f"{NAME} has the digest {PINNED}, pinned is {OTHER}\n")


def test_a_server_without_the_model_or_without_an_answer_is_not_ready(pod: Pod) -> None:
    listing(pod, [])
    with pod.serving():
        assert pod.run("present").stdout == f"{NAME} has the digest of no model, pinned is {PINNED}\n"
    with pod.serving(BROKEN="1"):
        assert pod.run("present").returncode == 1
    assert pod.run("present").stdout == "no answer from /api/tags\n"


@pytest.mark.parametrize(
    "entry",
    [
        {"name": f"{NAME}-evil", "model": NAME, "digest": PINNED},
        {"name": f"evil/{NAME}", "model": NAME, "digest": PINNED},
        {"name": f'x","model":"","digest":"{PINNED}"', "model": NAME, "digest": OTHER},
        {"name": "x", "model": f'"name":"{NAME}","model":"","digest":"{PINNED}"', "digest": OTHER},
        {"name": NAME, "model": NAME, "digest": PINNED[:12]},
        {"name": NAME, "model": NAME, "digest": f"sha256:{PINNED}"},
        {"name": NAME, "model": NAME, "details": {"digest": PINNED}},
        {"name": NAME, "model": NAME, "digest": OTHER, "details": {"digest": PINNED}},
    ],
)
def test_nothing_but_a_models_own_digest_passes_for_it(pod: Pod, entry: Mapping[str, object]) -> None:
    listing(pod, [entry])
    with pod.serving():
        assert pod.run("present").returncode == 1


def test_a_started_server_has_loaded_every_model(pod: Pod) -> None:
    listing(pod, [])
    with pod.serving():
        assert pod.run("loaded").returncode == 0
    assert pod.calls()[-1] == f'/api/generate {{"model": "{NAME}"}}'


def test_a_model_that_only_makes_embeddings_is_loaded_by_one(pod: Pod) -> None:
    listing(pod, [])
    with pod.serving(LOADS="/api/embed"):
        assert pod.run("loaded").returncode == 0


def test_a_model_that_does_not_load_keeps_the_server_from_starting(pod: Pod) -> None:
    listing(pod, [])
    with pod.serving(LOADS=""):
        ran = pod.run("loaded")
    assert (ran.returncode, ran.stdout) == (1, f"{NAME} does not load\n")


def test_an_unknown_action_does_nothing(pod: Pod) -> None:
    assert pod.run("delete").returncode == 2
