"""A live site that an earlier program brought up, taken over by this one: nothing is lost, nothing replaced."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from engine.environment import PROJECT_ROOT
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.site import Site

OWNER = "/var/lib/edge/owner"
_BEFORE = "35c6e2f492a478a86449e679973579d0e001ac7e"
"""The last commit whose program marked no host."""

_KUBELET_ARGS = '"kubelet-arg": list(hardening.kubelet_args(spec.pod_max_pids))'


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_site(lab, tmp_path_factory.mktemp("before") / "site", ("a", "b")) as made:
        yield made


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier program. It had no word for hosts with cgroup v1, which a lab may have: that one flag is added."""
    folder = tmp_path_factory.mktemp("earlier")
    git = ["git", "-C", str(PROJECT_ROOT), "archive", "--format=tar", _BEFORE]
    packed = subprocess.run(git, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"this checkout has not got the commit {_BEFORE[:8]}: {packed.stderr.decode().strip()}")
    subprocess.run(["tar", "--extract", f"--directory={folder}"], input=packed.stdout, check=True)
    plan = folder / "components/k3s/plan.py"
    text = plan.read_text()
    assert _KUBELET_ARGS in text
    plan.write_text(text.replace(_KUBELET_ARGS, f'{_KUBELET_ARGS} + ["fail-cgroupv1=false"]'))
    return folder


def run_program_in(site: Site, folder: Path) -> None:
    project = site.home / "Pulumi.yaml"
    settings = yaml.safe_load(project.read_text())
    settings["main"] = os.path.relpath(folder, site.home)
    project.write_text(yaml.safe_dump(settings))


def write_as_then(cluster: Cluster) -> None:
    """The site file, without the fields that the earlier program does not know."""
    cluster.write("a", agents=("b",))
    site = yaml.safe_load(cluster.site.file.read_text())
    del site["waivers"], site["k3s"]["fail_cgroup_v1"], site["os"]["updates"]
    cluster.site.file.write_text(yaml.safe_dump(site, sort_keys=False))


def identity(cluster: Cluster) -> list[str]:
    """What a new cluster, or a node that joined anew, would have another of."""
    names = ("namespace/kube-system", "node/lab-a", "node/lab-b")
    return [cluster.kubectl("get", name, "--output=jsonpath={.metadata.uid}") for name in names]


@pytest.fixture(scope="module")
def live(cluster: Cluster, earlier: Path) -> list[str]:
    """Brings the site up by the earlier program; what tells its cluster and nodes from others."""
    run_program_in(cluster.site, earlier)
    write_as_then(cluster)
    cluster.site.up()
    for name in ("a", "b"):
        assert cluster.host(name).run(f"test -e {OWNER}", check=False).returncode != 0
    run_program_in(cluster.site, PROJECT_ROOT)
    cluster.write("a", agents=("b",))
    return identity(cluster)


def test_a_host_whose_k3s_has_another_token_is_not_marked(cluster: Cluster, live: list[str]) -> None:
    """Same node name, known to the state, but not the K3s that this stack installed."""
    host, file = cluster.host("b"), "/etc/rancher/k3s/agent-token"
    token = host.run(f"cat {file}").stdout
    host.run(f"cat >{file}", stdin="another-token-0123456789\n")
    done = cluster.site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "lab-b runs K3s with another token than this stack's k3s-agent-token. Nothing was changed." in said
    assert "lab-b:host-adopted:" in said
    assert "another-token" not in said
    assert host.run(f"test -e {OWNER}", check=False).returncode != 0
    assert host.run(f"cat {file}").stdout == "another-token-0123456789\n"
    host.run(f"cat >{file}", stdin=token)
    assert identity(cluster) == live


def test_the_hosts_of_the_live_site_are_marked_and_their_cluster_is_the_same(cluster: Cluster, live: list[str]) -> None:
    touched = cluster.site.up()
    assert not {"delete", "delete-replaced"} & set(touched.values()), touched
    for name in ("a", "b"):
        assert cluster.host(name).run(f"sed -n 's/^node=//p' {OWNER}").stdout == f"lab-{name}\n"
    assert identity(cluster) == live
    assert cluster.nodes() == {"lab-a": True, "lab-b": True}


def test_a_second_up_of_the_live_site_changes_nothing(cluster: Cluster, live: list[str]) -> None:
    assert cluster.site.up() == {}
    assert identity(cluster) == live
