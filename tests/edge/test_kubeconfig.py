"""`edge kubeconfig`: read over real SSH on loopback, merged into files or handed to a command, and never printed."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.hosts import kubeconfig as module
from edge.hosts.kubeconfig import Kubeconfig, listens, read_kubeconfig
from edge.run.failure import OperationError
from tests.components.kubeconfigs import kubeconfig
from tests.edge.conftest import Project, Ran
from tests.edge.sites import site
from tests.edge.test_drift import Server, listening, login, public

NOW = datetime.now(UTC)
MESH = "# reached at shop-a.tail1234.ts.net\n# reached at 100.101.102.103\n# reached at fd7a:115c:a1e0::1\n"
OTHERS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "theirs", "cluster": {"server": "https://theirs"}}],
    "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "them"}}],
    "users": [{"name": "them", "user": {"token": "theirs"}}],
    "current-context": "theirs",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with listening(Server(answer=kubeconfig(NOW - timedelta(days=1), NOW + timedelta(days=364)))) as made:
        monkeypatch.setattr(module, "login_of_stack", lambda *_: login(made))
        yield made


@pytest.fixture
def shop(project: Project, server: Server) -> Path:
    """A site with one server, which ``server`` is."""
    settings = project.root / "Pulumi.shop.yaml"
    settings.write_text(yaml.safe_dump({"config": {"edge:ssh-private-key": {"secure": "v1:..."}}}))
    host = {"name": "a", "hardware": "hpe-el8000", "address": "127.0.0.1", "node_ip": "10.0.0.11"}
    host["host_key"] = public(server.host_key)
    parts = dict.fromkeys(("gitops", "telemetry", "inference"))
    ssh = {"user": "root", "port": server.port, "dial_timeout_s": 5}
    return site(project.sites, "shop", {**parts, "hosts": [host], "ssh": ssh})


def read(project: Project, *reachable: str) -> Kubeconfig:
    return read_kubeconfig("shop", project.root, lambda address: address in reachable)


def merge(project: Project, file: Path, *more: str) -> Ran:
    return project.edge("kubeconfig", "shop", "--merge", file, *more)


def secret_of(server: Server) -> str:
    return str(yaml.safe_load(server.answer)["users"][0]["user"]["client-key-data"])


def test_it_is_merged_as_one_context_and_all_others_stay(
    project: Project, shop: Path, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "config"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(OTHERS))
    for _ in range(2):
        ran = merge(project, file)
        assert ran.code == 0, ran.stdout + ran.stderr
    document = yaml.safe_load(file.read_text())
    assert document["current-context"] == "theirs"
    assert document["preferences"] == OTHERS["preferences"]
    assert [one["name"] for one in document["contexts"]] == ["theirs", "shop"]
    assert document["clusters"][0] == OTHERS["clusters"][0]
    ours = yaml.safe_load(server.answer)
    assert document["users"] == [*OTHERS["users"], {"name": "edge-shop", "user": ours["users"][0]["user"]}]
    cluster = document["clusters"][1]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:6443"
    assert cluster["certificate-authority-data"] == ours["clusters"][0]["cluster"]["certificate-authority-data"]
    assert "shop" in ran.stdout
    assert f"{NOW + timedelta(days=364):%Y-%m-%d}" in ran.stdout


def test_only_the_owner_can_read_the_file_whatever_it_was_before_and_no_half_of_it_is_left(
    project: Project, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "deep" / "config", tmp_path / "link"
    assert merge(project, file).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    link.symlink_to(file)
    assert merge(project, link).code == 0
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = merge(project, file)
    assert ran.code == 2
    assert "No space left" in ran.stderr
    assert file.read_text() == before
    assert [one.name for one in file.parent.iterdir()] == ["config"]


@pytest.mark.parametrize("content", ["- a list", "clusters: 1", "{", "clusters: [1]"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(project: Project, shop: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    ran = merge(project, file)
    assert ran.code == 2, ran.stdout
    assert file.read_text() == content


def test_a_context_of_somebody_else_is_not_taken(project: Project, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "config"
    theirs = {**OTHERS, "contexts": [{"name": "shop", "context": {"cluster": "theirs", "user": "them"}}]}
    file.write_text(yaml.safe_dump(theirs))
    ran = merge(project, file)
    assert ran.code == 2
    assert "--context NAME" in ran.stderr
    assert yaml.safe_load(file.read_text()) == theirs
    assert merge(project, file, "--context", "the-shop").code == 0


def test_a_command_runs_with_it_and_nothing_is_left_of_it(project: Project, shop: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    program = (
        "import os, shutil, stat, sys; path = os.environ['KUBECONFIG']; shutil.copy(path, sys.argv[1]);"
        "open(sys.argv[1] + '.path', 'w').write(path); sys.exit(oct(os.stat(path).st_mode & 0o777) != '0o600')"
    )
    ran = project.edge("kubeconfig", "shop", "--", sys.executable, "-c", program, copy)
    assert ran.code == 0, ran.stderr
    document = yaml.safe_load(copy.read_text())
    assert document["current-context"] == "shop"
    assert not Path(Path(f"{copy}.path").read_text()).exists()


@pytest.mark.parametrize(("command", "said"), [("exit 7", "ended with exit code 7"), (None, "cannot be run")])
def test_a_command_that_fails_is_a_failure(project: Project, shop: Path, command: str | None, said: str) -> None:
    words = ["bash", "-c", command] if command else ["/no/such/program"]
    ran = project.edge("kubeconfig", "shop", "--", *words)
    assert ran.code == 1
    assert said in ran.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--merge", "x", "--", "true"], ["--json", "--", "true"]], ids=["none", "both", "json"]
)
def test_it_says_where_it_may_go_and_reads_nothing(
    project: Project, shop: Path, server: Server, arguments: list[str]
) -> None:
    assert project.edge("kubeconfig", "shop", *arguments).code == 2
    assert server.asked == []


def test_no_key_is_ever_printed(project: Project, shop: Path, server: Server, tmp_path: Path) -> None:
    key = secret_of(server)
    runs = [merge(project, tmp_path / "one"), merge(project, tmp_path / "two", "--json")]
    server.answer = server.answer.replace("clusters:", "clusters: [")
    runs.append(merge(project, tmp_path / "three"))
    assert [ran.code for ran in runs] == [0, 0, 1]
    assert key in (tmp_path / "one").read_text()
    assert not any(key in ran.stdout + ran.stderr for ran in runs)
    assert runs[1].document["context"] == "shop"
    assert runs[1].document["ends"].startswith(f"{NOW + timedelta(days=364):%Y-%m-%d}")


def test_the_mesh_is_taken_where_it_answers_with_the_certificate_of_the_site(
    project: Project, shop: Path, server: Server
) -> None:
    server.answer += MESH
    for reachable, url in (
        (("shop-a.tail1234.ts.net", "127.0.0.1"), "https://shop-a.tail1234.ts.net:6443"),
        (("100.101.102.103", "127.0.0.1"), "https://100.101.102.103:6443"),
        (("fd7a:115c:a1e0::1",), "https://[fd7a:115c:a1e0::1]:6443"),
    ):
        found = read(project, *reachable)
        assert found.cluster["server"] == url
        assert found.cluster["tls-server-name"] == "127.0.0.1", "which the API's certificate names"
    direct = read(project, "127.0.0.1")
    assert direct.cluster["server"] == "https://127.0.0.1:6443"
    assert "tls-server-name" not in direct.cluster
    nowhere = read(project)
    assert (nowhere.answers, nowhere.address) == (False, "shop-a.tail1234.ts.net")


def test_a_certificate_that_has_ended_on_the_host_is_not_handed_out(
    project: Project, shop: Path, server: Server, tmp_path: Path
) -> None:
    server.answer = kubeconfig(NOW - timedelta(days=366), NOW - timedelta(days=1))
    ran = merge(project, tmp_path / "config")
    assert ran.code == 1
    assert "was valid until" in ran.stderr
    assert "edge up shop" in ran.stderr
    assert not (tmp_path / "config").exists()


def test_a_site_without_servers_that_answer_says_why(
    project: Project, shop: Path, server: Server, tmp_path: Path
) -> None:
    server.code = 1
    ran = merge(project, tmp_path / "config")
    assert ran.code == 1
    assert "No server of shop gave its kubeconfig" in ran.stderr
    assert "a password is required" in ran.stderr


def test_a_cluster_that_a_cloud_brings_is_the_clouds_to_give(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from stacks.loader import load_site

    spec = load_site("demo", root=project.root).model_copy(update={"k3s": None})
    monkeypatch.setattr(module, "load_site", lambda *_args, **_more: spec)
    with pytest.raises(OperationError, match="has no K3s") as refused:
        read_kubeconfig("demo", project.root)
    assert refused.value.code == 2


def test_what_does_not_listen_is_not_taken_for_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setattr("components.ports.KUBERNETES_API", held.getsockname()[1])
        assert not listens("127.0.0.1")
        held.listen()
        assert listens("127.0.0.1")
    assert not listens("no-such-host.invalid")


def test_people_see_it_in_the_list_of_commands(project: Project) -> None:
    ran: Any = project.edge("--help")
    assert "kubeconfig" in ran.stdout
