"""The `command` provider against a real sshd on loopback: asked as the engine asks, and by the real engine.

It is the lab's own, or with EDGE_PLUGINS=official the plugin on PATH. Tests of what only the lab's own does are marked
``own``; lab/README.md lists these differences.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import grpc
import pulumi
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi_command import remote

from engine.environment import PROJECT_ROOT
from engine.rehearsal.values import UNKNOWN, Secret, from_struct, to_struct
from engine.serving import UNLIMITED
from lab.providers.serving import LabProviders, official_plugins
from tests.lab.free_port import free_port
from tests.lab.inline_run import InlineRun, inline_run

_DEADLINE_S = 30
_CALL_S = 60
_COMMAND = "urn:pulumi:s::edge::edge:index:Host$command:remote:Command::s-a-base"
_COPY = "urn:pulumi:s::edge::edge:index:Host$command:remote:CopyToRemote::s-a-file"

_SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = [
    pytest.mark.skipif(_SSHD is None, reason="sshd is not installed (Debian: apt install openssh-server)"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


_OFFICIAL = "command" in official_plugins()
own = pytest.mark.skipif(_OFFICIAL, reason="the official plugin differs here: see lab/README.md, 'Providers'")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not for a while."""
    end = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {_DEADLINE_S} s: {what}"
        threading.Event().wait(0.02)


@dataclass
class Sshd:
    """One running SSH server and the key that it lets in."""

    home: Path
    port: int
    host_key: str
    private_key: str

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def commands(self) -> int:
        """How many commands were started here."""
        return self.log.count("Starting session: command")

    def connection(self, **others: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "privateKey": Secret(self.private_key),
            "hostKey": self.host_key,
            "dialErrorLimit": 0,
            "perDialTimeout": 20,
            **others,
        }


@contextmanager
def running_sshd(home: Path, *lines: str) -> Iterator[Sshd]:
    """Debian's sshd on loopback, with keys of its own."""
    assert _SSHD is not None
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        # Where sshd, as root, separates its privileges; a service manager would make it.
        Path("/run/sshd").mkdir(exist_ok=True)
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(home / "host")
    (home / "host").chmod(0o600)
    (home / "authorized").write_bytes(user.export_public_key())
    port = free_port()
    settings = (
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {home / 'host'}",
        f"AuthorizedKeysFile {home / 'authorized'}",
        f"PidFile {home / 'pid'}",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "StrictModes no",
        "UsePAM no",
        "LogLevel VERBOSE",
        "MaxStartups 100",
        "Subsystem sftp internal-sftp",
        "AcceptEnv EDGE_* PULUMI_COMMAND_*",
    )
    # The first value of a setting counts.
    (home / "config").write_text("\n".join([*lines, *settings]) + "\n")
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [_SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            made = Sshd(home, port, host.export_public_key().decode().strip(), user.export_private_key().decode())
            until(lambda: "Server listening" in made.log or process.poll() is not None, "sshd listens")
            assert process.poll() is None, made.log
            yield made
        finally:
            process.terminate()
            process.wait(_DEADLINE_S)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd") / "one") as server:
        yield server


@dataclass
class EngineLog(engine_pb2_grpc.EngineServicer):
    """The part of an engine that takes what providers say."""

    said: list[engine_pb2.LogRequest] = field(default_factory=list)

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.said.append(request)
        return empty_pb2.Empty()

    @property
    def lines(self) -> list[str]:
        return [line.message for line in self.said]


@contextmanager
def started_plugin(executable: str) -> Iterator[str]:
    """The port of a plugin that was started as for a debugger: without an engine, which attaches itself later."""
    with subprocess.Popen([executable], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdigit(), f"{executable} did not print its port but {port!r}"
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def provider_port() -> Iterator[str]:
    if _OFFICIAL:
        plugin = shutil.which("pulumi-resource-command")
        assert plugin is not None, "EDGE_PLUGINS asks for the official plugin, which is not on PATH"
        with started_plugin(plugin) as port:
            yield port
        return
    with LabProviders() as providers:
        yield dict(item.split(":") for item in providers.debug_providers.split(","))["command"]


@dataclass
class Provider:
    """The provider as an engine run has it: a connection, and a log of its own."""

    stub: Any
    log: EngineLog

    def create(self, urn: str = _COMMAND, **inputs: Any) -> tuple[str, dict[str, Any]]:
        made = self.stub.Create(pb.CreateRequest(urn=urn, properties=to_struct(inputs)), timeout=_CALL_S)
        return made.id, from_struct(made.properties)

    def update(self, olds: Mapping[str, Any], urn: str = _COMMAND, **inputs: Any) -> dict[str, Any]:
        request = pb.UpdateRequest(id="i", urn=urn, olds=to_struct(olds), news=to_struct(inputs))
        return from_struct(self.stub.Update(request, timeout=_CALL_S).properties)

    def delete(self, urn: str = _COMMAND, **outputs: Any) -> None:
        self.stub.Delete(pb.DeleteRequest(id="i", urn=urn, properties=to_struct(outputs)), timeout=_CALL_S)

    def refusal(self, **inputs: Any) -> str:
        """The message with which a creation fails."""
        with pytest.raises(grpc.RpcError) as refused:
            self.create(**inputs)
        return str(refused.value.details())


@contextmanager
def an_engine_run(port: str) -> Iterator[Provider]:
    log = EngineLog()
    with ExitStack() as opened:
        server = grpc.server(opened.enter_context(ThreadPoolExecutor(2)))
        engine_pb2_grpc.add_EngineServicer_to_server(log, server)
        log_port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        opened.callback(lambda: server.stop(None).wait())
        options = [("grpc.use_local_subchannel_pool", 1), *UNLIMITED]
        channel = opened.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", options=options))
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Attach(plugin_pb2.PluginAttach(address=f"127.0.0.1:{log_port}"), timeout=_CALL_S)
        stub.Configure(pb.ConfigureRequest(args=to_struct({}), acceptSecrets=True), timeout=_CALL_S)
        yield Provider(stub, log)


@pytest.fixture
def provider(provider_port: str) -> Iterator[Provider]:
    with an_engine_run(provider_port) as run:
        yield run


def test_a_command_runs_on_the_host_and_returns_what_it_wrote(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    script = f"echo 1 >>{tmp_path}/ran; echo out; echo err >&2"
    identity, outputs = provider.create(create=script, connection=sshd.connection())
    assert identity.startswith("s-a-base")
    assert (outputs["stdout"], outputs["stderr"]) == ("out", "err")
    connection = outputs["connection"]
    assert isinstance(connection, Secret) or isinstance(connection["privateKey"], Secret)
    assert (tmp_path / "ran").read_text() == "1\n"


def test_a_preview_touches_nothing_and_knows_no_output(provider: Provider, sshd: Sshd) -> None:
    before = sshd.log
    inputs = {"create": "true", "connection": sshd.connection()}
    request = pb.CreateRequest(urn=_COMMAND, properties=to_struct(inputs), preview=True)
    planned = from_struct(provider.stub.Create(request, timeout=_CALL_S).properties)
    assert (planned["stdout"], planned["stderr"]) == (UNKNOWN, UNKNOWN)
    olds, news = {**inputs, "stdout": "a", "stderr": ""}, {**inputs, "create": "false"}
    update = pb.UpdateRequest(id="i", urn=_COMMAND, olds=to_struct(olds), news=to_struct(news), preview=True)
    assert from_struct(provider.stub.Update(update, timeout=_CALL_S).properties)["stdout"] is UNKNOWN
    assert sshd.log == before


def test_an_update_runs_update_or_else_create(provider: Provider, sshd: Sshd) -> None:
    connection = sshd.connection()
    _, made = provider.create(create="echo created", update="echo updated", connection=connection)
    assert made["stdout"] == "created"
    assert provider.update(made, create="echo created", update="echo updated", connection=connection)["stdout"] == (
        "updated"
    )
    assert provider.update(made, create="echo anew", connection=connection)["stdout"] == "anew"
    assert provider.update(made, delete="true", connection=connection)["stdout"] == "created", "nothing ran"


def test_earlier_output_is_in_the_environment_unless_turned_off(provider: Provider, sshd: Sshd) -> None:
    inputs: dict[str, Any] = {"create": "echo was $PULUMI_COMMAND_STDOUT", "connection": sshd.connection()}
    olds = {**inputs, "stdout": "before", "stderr": ""}
    assert provider.update(olds, **inputs)["stdout"] == "was before"
    assert provider.update(olds, **inputs, addPreviousOutputInEnv=False)["stdout"] == "was"


def test_environment_arrives_and_a_server_that_drops_it_is_an_error(provider: Provider, sshd: Sshd) -> None:
    inputs: dict[str, Any] = {"create": "echo $EDGE_SITE", "connection": sshd.connection()}
    assert provider.create(**inputs, environment={"EDGE_SITE": "berlin"})[1]["stdout"] == "berlin"
    said = provider.refusal(**inputs, environment={"OTHER": "berlin"})
    assert "environment variable" in said
    assert "OTHER" in said


def test_a_deletion_runs_delete_and_its_failure_is_an_error(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    connection = sshd.connection()
    provider.delete(create="true", connection=connection, stdout="", stderr="")
    provider.delete(create="true", delete=f"touch {tmp_path}/gone", connection=connection, stdout="", stderr="")
    assert (tmp_path / "gone").exists()
    with pytest.raises(grpc.RpcError, match="status 4") as failed:
        provider.delete(create="true", delete="echo stuck >&2; exit 4", connection=connection, stdout="", stderr="")
    assert ":\nstuck" in str(failed.value.details())


def test_a_host_that_is_gone_fails_the_deletion(provider: Provider, sshd: Sshd) -> None:
    gone = {**sshd.connection(), "port": free_port()}
    with pytest.raises(grpc.RpcError, match=r"cannot be reached|connection refused"):
        provider.delete(create="true", delete="true", connection=gone, stdout="", stderr="")
    provider.delete(create="true", connection=gone, stdout="", stderr="")


_LOOKS_FOR_THE_SECRET = """
read -r secret
echo "${#secret}"
for line in /proc/[0-9]*/cmdline; do
  case "$(tr '\\0' ' ' <"$line" 2>/dev/null)" in *"$secret"*) echo "in $line" ;; esac
done
"""


def test_a_secret_on_stdin_arrives_and_is_on_no_command_line(provider: Provider, sshd: Sshd) -> None:
    secret = "marker-" + "x" * 40
    _, outputs = provider.create(
        create=_LOOKS_FOR_THE_SECRET, stdin=Secret(secret + "\n"), connection=sshd.connection()
    )
    assert outputs["stdout"] == str(len(secret))
    assert isinstance(outputs["stdin"], Secret)


@own
def test_no_secret_is_in_an_error_or_in_the_log(provider: Provider, sshd: Sshd) -> None:
    secret, encoded = "marker-secret", "bWFya2VyLXNlY3JldA=="
    said = provider.refusal(
        create='read -r given; echo "read $given"; echo "$given" | base64 -d >&2; exit 3',
        stdin=Secret(encoded + "\n"),
        connection=sshd.connection(),
    )
    assert "exit status 3:\n[secret]" in said
    assert provider.log.lines == ["read [secret]", "[secret]"]
    everything = said + "".join(provider.log.lines) + sshd.log
    assert secret not in everything
    assert encoded not in everything
    assert sshd.private_key.splitlines()[1] not in everything


@pytest.mark.parametrize(
    ("logging", "lines"),
    [
        (None, ["err", "out"]),
        ("stdoutAndStderr", ["err", "out"]),
        ("stdout", ["out"]),
        ("stderr", ["err"]),
        ("none", []),
    ],
)
def test_the_log_has_what_it_is_allowed_to(
    provider: Provider, sshd: Sshd, logging: str | None, lines: list[str]
) -> None:
    allowed = {} if logging is None else {"logging": logging}
    _, outputs = provider.create(create="echo out; echo err >&2", connection=sshd.connection(), **allowed)
    assert sorted(provider.log.lines) == lines
    assert all(line.ephemeral and line.urn == _COMMAND for line in provider.log.said)
    assert (outputs["stdout"], outputs["stderr"]) == ("out", "err"), "outputs do not depend on the log"


def test_lines_are_logged_while_the_command_runs(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = f"echo first; until [ -e {go_on} ]; do sleep 0.05; done; echo last"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(provider.create, create=script, connection=sshd.connection())
        try:
            until(lambda: provider.log.lines == ["first"], "the first line is in the log")
            assert not running.done()
        finally:
            go_on.touch()
        assert running.result(_CALL_S)[1]["stdout"] == "first\nlast"


def test_without_input_a_command_reads_an_end_of_file(provider: Provider, sshd: Sshd) -> None:
    assert provider.create(create="wc -c", connection=sshd.connection())[1]["stdout"] == "0"


def test_more_output_and_input_than_any_buffer_holds_passes(provider: Provider, sshd: Sshd) -> None:
    size = 4_000_000
    _, outputs = provider.create(create="cat", stdin="x" * size, logging="none", connection=sshd.connection())
    assert len(outputs["stdout"]) == size


@own
@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_logged_line_at_which_the_official_plugin_hangs_is_refused(
    provider: Provider, sshd: Sshd, stream: str
) -> None:
    line = "printf '%{}s\\n' x {}".format
    connection = sshd.connection()
    provider.create(create=line(64 * 1024 - 1, stream), connection=connection)
    provider.create(create=line(64 * 1024, stream), connection=connection, logging="none")
    said = provider.refusal(create=line(64 * 1024, stream), connection=connection)
    assert "a line of 65536 bytes on std" in said


@own
def test_a_script_that_leaves_its_input_unread_is_no_error(provider: Provider, sshd: Sshd) -> None:
    assert provider.create(create="echo done", stdin="x" * 4_000_000, connection=sshd.connection())[1]["stdout"] == (
        "done"
    )


def test_a_command_ended_by_a_signal_says_which(provider: Provider, sshd: Sshd) -> None:
    assert "signal KILL" in provider.refusal(create="exec sh -c 'kill -9 $$'", connection=sshd.connection())


@own
def test_a_connection_that_drops_says_that_the_end_is_not_known(provider: Provider, sshd: Sshd) -> None:
    # The parent of the script's shell is the connection's own sshd.
    said = provider.refusal(create="echo half >&2; kill -9 $PPID; sleep 60", connection=sshd.connection())
    assert "connection was lost while the command ran" in said
    assert "whether it finished is not known" in said


@own
def test_another_host_key_is_refused_at_once_with_both_fingerprints(provider: Provider, sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").convert_to_public()
    found = asyncssh.import_public_key(sshd.host_key)
    ran = sshd.commands
    said = provider.refusal(
        create="true",
        connection=sshd.connection(hostKey=other.export_public_key().decode(), dialErrorLimit=-1),
    )
    assert f"Expected ssh-ed25519 {other.get_fingerprint()}, found ssh-ed25519 {found.get_fingerprint()}" in said
    assert sshd.commands == ran


@own
def test_a_pinned_key_of_a_kind_that_the_host_lacks_is_refused_alike(provider: Provider, sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").convert_to_public()
    said = provider.refusal(
        create="true", connection=sshd.connection(hostKey=other.export_public_key().decode(), dialErrorLimit=-1)
    )
    assert f"found ssh-ed25519 {asyncssh.import_public_key(sshd.host_key).get_fingerprint()}" in said


@own
def test_a_login_that_is_refused_counts_as_a_failed_attempt(provider: Provider, sshd: Sshd) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    said = provider.refusal(create="true", connection=sshd.connection(privateKey=Secret(stranger), dialErrorLimit=1))
    assert "failed attempts: 2, the last: the login was refused" in said


def test_a_private_key_that_cannot_be_read_is_an_error_without_the_key(provider: Provider, sshd: Sshd) -> None:
    said = provider.refusal(create="true", connection=sshd.connection(privateKey=Secret("marker-key")))
    assert "key" in said
    assert "marker-key" not in said


@dataclass
class Listener:
    """Takes connections and counts them. ``closes``: at once; otherwise it never says a word."""

    port: int
    taken: list[socket.socket] = field(default_factory=list)


@contextmanager
def listening(*, closes: bool) -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as opened:
        listener = Listener(server.getsockname()[1])

        def take() -> None:
            while True:
                try:
                    taken, _ = server.accept()
                except OSError:
                    return
                listener.taken.append(opened.enter_context(taken))
                if closes:
                    taken.close()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(_DEADLINE_S)


@own
def test_failed_dials_are_counted_to_the_limit(provider: Provider, sshd: Sshd) -> None:
    with listening(closes=True) as dead:
        said = provider.refusal(create="true", connection=sshd.connection(port=dead.port, dialErrorLimit=2))
        assert len(dead.taken) == 3
    assert "failed attempts: 3" in said
    assert [line.split(":")[2].strip() for line in provider.log.lines] == [
        "attempt 1 failed (2 allowed), trying again",
        "attempt 2 failed (2 allowed), trying again",
    ]


@own
def test_a_host_that_comes_up_late_is_waited_for(provider: Provider, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "first") as early:
        connection = early.connection(dialErrorLimit=-1)
    with ThreadPoolExecutor(1) as pool, running_sshd(tmp_path / "second") as late:
        connection |= {"hostKey": late.host_key, "privateKey": late.private_key, "port": (port := free_port())}
        waiting = pool.submit(provider.create, create="echo up", connection=connection)
        until(lambda: any("attempt 2" in line for line in provider.log.lines), "two attempts have failed")
        config = (late.home / "config").read_text().replace(f":{late.port}", f":{port}")
        (late.home / "moved").write_text(config)
        assert _SSHD is not None
        with subprocess.Popen([_SSHD, "-D", "-e", "-f", str(late.home / "moved")], stderr=subprocess.DEVNULL) as moved:
            try:
                assert waiting.result(_CALL_S)[1]["stdout"] == "up"
            finally:
                moved.terminate()


@own
def test_an_attempt_ends_with_its_timeout(provider: Provider, sshd: Sshd) -> None:
    with listening(closes=False) as silent:
        connection = sshd.connection(port=silent.port, dialErrorLimit=0, perDialTimeout=1)
        said = provider.refusal(create="true", connection=connection)
    assert "failed attempts: 1, the last: no answer in time" in said


@own
def test_cancel_ends_a_pending_dial_of_its_run_only(provider: Provider, provider_port: str, sshd: Sshd) -> None:
    with listening(closes=False) as silent, ThreadPoolExecutor(1) as pool, an_engine_run(provider_port) as other:
        connection = sshd.connection(port=silent.port, dialErrorLimit=-1, perDialTimeout=0)
        pending = pool.submit(provider.refusal, create="true", connection=connection)
        until(lambda: len(silent.taken) == 1, "the dial is pending")
        started = time.monotonic()
        provider.stub.Cancel(empty_pb2.Empty(), timeout=_CALL_S)
        assert "interrupted while dialling" in pending.result(_CALL_S)
        assert time.monotonic() - started < 5
        assert other.create(create="echo on", connection=sshd.connection())[1]["stdout"] == "on"


@own
def test_cancel_ends_the_wait_between_two_dials(provider: Provider, sshd: Sshd) -> None:
    with listening(closes=True) as dead, ThreadPoolExecutor(1) as pool:
        connection = sshd.connection(port=dead.port, dialErrorLimit=-1)
        pending = pool.submit(provider.refusal, create="true", connection=connection)
        until(lambda: len(dead.taken) > 1, "it is being tried again")
        provider.stub.Cancel(empty_pb2.Empty(), timeout=_CALL_S)
        assert "interrupted while dialling" in pending.result(_CALL_S)


@own
def test_leaving_the_context_ends_what_is_pending(sshd: Sshd) -> None:
    with listening(closes=False) as silent, ThreadPoolExecutor(1) as pool, ExitStack() as opened:
        with LabProviders() as providers:
            port = dict(item.split(":") for item in providers.debug_providers.split(","))["command"]
            run = opened.enter_context(an_engine_run(port))
            connection = sshd.connection(port=silent.port, dialErrorLimit=-1, perDialTimeout=0)
            pending = pool.submit(run.refusal, create="true", connection=connection)
            until(lambda: len(silent.taken) == 1, "the dial is pending")
        assert pending.result(_CALL_S)


def test_a_host_behind_a_jump_host_is_reached_through_it(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "jump") as jump:
        _, outputs = provider.create(create="echo $SSH_CONNECTION", connection=sshd.connection(proxy=jump.connection()))
        assert outputs["stdout"].split()[3] == str(sshd.port)
        until(lambda: "Accepted publickey" in jump.log, "the jump host was logged in to")
        assert jump.commands == 0, "nothing runs on the jump host"


@own
def test_a_jump_host_with_another_key_is_refused_at_once(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "jump") as jump:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        said = provider.refusal(create="true", connection=sshd.connection(proxy=jump.connection(hostKey=other)))
        assert f":{jump.port} is refused: its host key is not the pinned one" in said


@own
def test_a_jump_host_that_forwards_nothing_leaves_the_host_out_of_reach(
    provider: Provider, sshd: Sshd, tmp_path: Path
) -> None:
    with running_sshd(tmp_path / "jump", "AllowTcpForwarding no") as jump:
        said = provider.refusal(create="true", connection=sshd.connection(proxy=jump.connection()))
    assert f":{sshd.port} cannot be reached" in said


def test_hosts_are_worked_on_side_by_side(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    # Each waits until all are there: one after the other they would wait for ever.
    count = 8
    script = f"touch {tmp_path}/$$; until [ $(ls {tmp_path} | wc -l) = {count} ]; do sleep 0.05; done"
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(provider.create, create=script, connection=sshd.connection()) for _ in range(count)]
        for one in running:
            one.result(_CALL_S)


def test_texts_files_and_folders_are_copied(provider: Provider, sshd: Sshd, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "b").write_text("b")
    (source / "a").write_text("a")
    connection = sshd.connection()
    asset, archive = "c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7"
    signature = "4dabf18193072939515e22adb298388d"
    text = {signature: asset, "text": "hello", "hash": "1"}
    _, made = provider.create(_COPY, connection=connection, source=text, remotePath=f"{target}/deep/text")
    assert (target / "deep" / "text").read_text() == "hello"
    provider.create(
        _COPY,
        connection=connection,
        source={signature: asset, "path": f"{source}/a", "hash": "1"},
        remotePath=str(target),
    )
    assert (target / "a").read_text() == "a"
    folder = {signature: archive, "path": str(source), "hash": "1"}
    provider.create(_COPY, connection=connection, source=folder, remotePath=str(target))
    assert (target / "source" / "inner" / "b").read_text() == "b"
    provider.create(_COPY, connection=connection, source={**folder, "path": f"{source}/"}, remotePath=f"{target}/flat")
    assert (target / "flat" / "inner" / "b").read_text() == "b"

    (target / "deep" / "text").write_text("changed by hand")
    provider.update(
        made, _COPY, connection={**connection, "dialErrorLimit": 1}, source=text, remotePath=f"{target}/deep/text"
    )
    assert (target / "deep" / "text").read_text() == "changed by hand", "only the connection's patience has changed"
    newer = {signature: asset, "text": "newer", "hash": "2"}
    provider.update(made, _COPY, connection=connection, source=newer, remotePath=f"{target}/deep/text")
    assert (target / "deep" / "text").read_text() == "newer"
    provider.delete(_COPY, **made)
    assert (target / "deep" / "text").exists(), "a copy is left where it is, as by the official plugin"


_PLUGIN = """#!{python}
import sys, threading
sys.path.insert(0, {root!r})
from concurrent import futures
from engine.rehearsal.serving import serve_provider
from lab.providers.command import CommandProvider
_, port = serve_provider(CommandProvider(), futures.ThreadPoolExecutor(16))
print(port, flush=True)
threading.Event().wait()
"""


def test_any_executable_that_serves_the_protocol_can_be_asked(sshd: Sshd, tmp_path: Path) -> None:
    plugin = tmp_path / "pulumi-resource-command"
    plugin.write_text(_PLUGIN.format(python=sys.executable, root=str(PROJECT_ROOT)))
    plugin.chmod(0o755)
    with started_plugin(str(plugin)) as port, an_engine_run(port) as run:
        assert run.create(create="echo done", connection=sshd.connection())[1]["stdout"] == "done"


# The same through the real engine.

engine = pytest.mark.engine


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InlineRun]:
    with inline_run(tmp_path_factory.mktemp("engine") / "run") as made:
        yield made


def _connection(sshd: Sshd) -> remote.ConnectionArgs:
    return remote.ConnectionArgs(
        host="127.0.0.1",
        port=float(sshd.port),
        user=getpass.getuser(),
        private_key=pulumi.Output.secret(sshd.private_key),
        host_key=sshd.host_key,
        dial_error_limit=3,
        per_dial_timeout=20,
    )


def _program(sshd: Sshd, folder: Path, *, said: str, trigger: str = "1") -> Callable[[], None]:
    def program() -> None:
        first = remote.Command(
            "first",
            connection=_connection(sshd),
            create=f"echo created {said} >>{folder}/first; echo {said}",
            update=f"echo updated {said} >>{folder}/first; echo {said}",
            delete=f"echo deleted >>{folder}/first",
            add_previous_output_in_env=False,
            stdin=pulumi.Output.secret("marker-on-stdin"),
        )
        remote.Command(
            "second",
            connection=_connection(sshd),
            create=f"echo created {trigger} >>{folder}/second",
            delete=f"echo deleted {trigger} >>{folder}/second",
            triggers=[trigger],
            opts=pulumi.ResourceOptions(depends_on=[first]),
        )
        pulumi.export("said", first.stdout)

    return program


@engine
def test_a_stack_comes_up_stays_changes_and_goes(run: InlineRun, sshd: Sshd, tmp_path: Path) -> None:
    def lines(name: str) -> list[str]:
        return (tmp_path / name).read_text().splitlines()

    run.program = _program(sshd, tmp_path, said="one")
    before = sshd.commands
    assert "3 to create" in run.preview().stdout, "two commands and the stack"
    assert sshd.commands == before, "a preview connects to nothing"
    run.up()
    assert sshd.commands == before + 2
    assert run.outputs()["said"] == "one"
    assert (lines("first"), lines("second")) == (["created one"], ["created 1"])

    run.up("--expect-no-changes")
    assert sshd.commands == before + 2, "an unchanged stack runs nothing"

    run.program = _program(sshd, tmp_path, said="two")
    run.up()
    assert lines("first") == ["created one", "updated two"]
    assert lines("second") == ["created 1"]
    assert run.outputs()["said"] == "two"

    run.program = _program(sshd, tmp_path, said="two", trigger="2")
    run.up()
    assert lines("second") == ["created 1", "created 2", "deleted 1"], "a trigger makes anew, then removes the old"
    state = run.state()
    assert "marker-on-stdin" not in state
    assert sshd.private_key.splitlines()[1] not in state

    run.destroy()
    assert lines("first")[-1] == "deleted"
    assert lines("second")[-1] == "deleted 2"


@own
@engine
def test_a_failing_command_fails_the_run_with_its_stderr_and_no_secret(run: InlineRun, sshd: Sshd) -> None:
    def program() -> None:
        remote.Command(
            "fails",
            connection=_connection(sshd),
            create="read -r given; echo cannot use $given >&2; exit 7",
            stdin=pulumi.Output.secret("marker-on-stdin\n"),
        )

    run.program = program
    done = run.up(check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "create of fails" in said
    assert "exit status 7" in said
    assert "cannot use [secret]" in said
    assert "marker-on-stdin" not in said
    assert "fails" not in run.state()


@own
@engine
def test_an_interrupted_run_does_not_go_on_dialling(run: InlineRun, sshd: Sshd) -> None:
    with listening(closes=True) as dead:

        def program() -> None:
            connection = _connection(sshd)
            connection.port, connection.dial_error_limit = float(dead.port), -1
            remote.Command("waits", connection=connection, create="true")

        run.program = program
        with run.started_up() as process:
            until(lambda: len(dead.taken) > 1, "the host is being dialled")
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode != 0
    assert "interrupted while dialling" in said
