"""What the lab's Flux is made of, without a cluster: the Git server, the chart, the pins, and which `helm` runs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.gitops.flux.spec import FluxSpec
from engine.rehearsal.protocol import Failure
from lab.authority import Authority
from lab.gitops.build import FLUX_VERSION, build, helm, version
from lab.gitops.content import CHART, artifacts, chart_archive
from lab.gitops.git_https import GitHttps
from lab.gitops.git_server import GitServer
from lab.gitops.site import gitops
from lab.oci.registry import Registry
from lab.providers import helm as provider


@pytest.fixture(scope="module")
def git() -> Iterator[GitServer]:
    with GitServer("127.0.0.1") as made:
        made.commit({"edge/a": "first"})
        yield made


@pytest.fixture
def ssh(git: GitServer, tmp_path: Path) -> str:
    """The command line of a client who has what a site has."""
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text(git.private_key)
    (tmp_path / "known_hosts").write_text(git.known_hosts)
    return (
        f"ssh -F none -i {tmp_path}/key -o UserKnownHostsFile={tmp_path}/known_hosts "
        "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR"
    )


def client(ssh: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@edge.test", *arguments],
        env={**os.environ, "GIT_SSH_COMMAND": ssh},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_repository_is_read_over_https_with_the_password_and_not_without(
    git: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Authority() as authority, GitHttps(authority, "127.0.0.1", git.repository, "right") as https:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.ca_file))
        for password, works in (("right", True), ("wrong", False)):
            url = https.url.replace("https://", f"https://{https.username}:{password}@")
            done = client("", "clone", "--quiet", url, str(tmp_path / password))
            assert (done.returncode == 0) is works, done.stderr
    assert (tmp_path / "right" / "edge" / "a").read_text() == "first"


def test_a_sites_key_reads_the_repository_and_writes_nothing(git: GitServer, ssh: str, tmp_path: Path) -> None:
    tree = str(tmp_path / "tree")
    assert client(ssh, "clone", git.url, tree).returncode == 0
    assert (tmp_path / "tree" / "edge" / "a").read_text() == "first"
    assert client(ssh, "-C", tree, "commit", "--allow-empty", "--message=x").returncode == 0
    assert client(ssh, "-C", tree, "push", "origin", "main").returncode != 0


def test_a_sites_key_runs_no_other_command(git: GitServer, ssh: str) -> None:
    user, _, address = git.url.removeprefix("ssh://").partition("/")[0].partition("@")
    host, _, port = address.partition(":")
    done = subprocess.run(
        [*ssh.split(), "-p", port, f"{user}@{host}", "echo broken in"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "broken in" not in done.stdout


def test_a_server_that_is_away_comes_back_where_it_was(git: GitServer, ssh: str) -> None:
    url = git.url
    git.stop()
    assert client(ssh, "ls-remote", url).returncode != 0
    git.start()
    assert client(ssh, "ls-remote", url).returncode == 0


def test_the_pinned_controllers_are_those_of_the_pinned_release() -> None:
    programs = build()
    manifests = programs.operator_module / "config" / "data" / "flux" / f"v{FLUX_VERSION}"
    for name in programs.controllers:
        (tag,) = re.findall(rf"image: fluxcd/{name}:(\S+)", (manifests / f"{name}.yaml").read_text())
        assert tag == version(f"github.com/fluxcd/{name}")


def test_the_block_is_one_that_a_site_file_takes(git: GitServer) -> None:
    served = artifacts(build())
    with Authority() as authority, Registry(authority, "127.0.0.1", served) as registry:
        spec = FluxSpec.model_validate(gitops(git, registry, served))
    assert spec.operator.chart.endswith(CHART)


def test_the_chart_runs_the_image_and_the_resources_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "chart.tgz").write_bytes(chart_archive(build().operator_module / "config"))
    values = ["image.repository=r.test/o@sha256", "image.tag=12ab", "resources.limits.cpu=1", "web.enabled=false"]
    said = subprocess.run(
        [str(helm()), "template", "flux-operator", str(tmp_path / "chart.tgz"), "--namespace", "elsewhere",
         *(word for value in values for word in ("--set", value))],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    objects = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(said)}
    (container,) = objects["Deployment", "flux-operator"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "r.test/o@sha256:12ab"
    assert container["resources"] == {"limits": {"cpu": 1}}
    assert container["args"] == ["--web-server-port=0"]
    (subject,) = objects["ClusterRoleBinding", "flux-operator-cluster-admin"]["subjects"]
    assert subject["namespace"] == "elsewhere"


def test_a_helm_that_is_named_runs_instead_of_the_one_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "helm").touch(mode=0o755)
    monkeypatch.setenv("EDGE_LAB_HELM", str(tmp_path / "helm"))
    assert provider.executable() == str(tmp_path / "helm")
    monkeypatch.setenv("EDGE_LAB_HELM", str(tmp_path / "none"))
    with pytest.raises(Failure, match=re.escape(f"{tmp_path}/none is not there")):
        provider.executable()
