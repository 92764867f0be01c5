"""A host gives its token to the cluster that the operator's site has, and to nobody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from lab.balancer import Balancer
from lab.cluster import AGENT_TOKEN, SERVER_TOKEN, Cluster, cluster_site
from lab.hosts.lab import Lab
from lab.impostor import Impostor


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("trust") / "site"
    with cluster_site(lab, home, ("a", "b"), api_address=str(lab.layout.gateway)) as made:
        yield made


def test_an_impostor_at_the_address_of_the_api_gets_no_token_and_up_says_why(cluster: Cluster, lab: Lab) -> None:
    address = str(lab.layout.gateway)
    with Balancer(address, [lab["a"].address]):
        cluster.write("a")
        cluster.site.up()
    cluster.write("a", agents=("b",))
    with Impostor(address) as impostor:
        done = cluster.site.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert f"{address} (port 6443) does not show the CA of this cluster" in done.stdout + done.stderr
    assert impostor.paths, "nobody asked it: the test shows nothing"
    assert not impostor.credentials, [base64.b64decode(one.split()[-1]) for one in impostor.credentials]
    assert cluster.nodes() == {"lab-a": True}


def test_an_impostor_that_the_host_trusts_and_that_shows_the_clusters_own_ca_gets_no_token(
    cluster: Cluster, lab: Lab
) -> None:
    address = str(lab.layout.gateway)
    ca = cluster.host("a").run("cat /var/lib/rancher/k3s/server/tls/server-ca.crt").stdout
    with Impostor(address, authority=cluster.authority, ca=ca) as impostor:
        done = cluster.site.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert f"{address} (port 6443) does not show the CA of this cluster" in done.stdout + done.stderr
    assert impostor.paths, "nobody asked it: the test shows nothing"
    assert not impostor.credentials, [base64.b64decode(one.split()[-1]) for one in impostor.credentials]


def test_the_agent_joins_as_soon_as_the_cluster_answers_there_again(cluster: Cluster, lab: Lab) -> None:
    with Balancer(str(lab.layout.gateway), [lab["a"].address]):
        cluster.site.up()
        assert cluster.nodes() == {"lab-a": True, "lab-b": True}
        assert cluster.site.up() == {}
        for name, file, user, secret in (
            ("b", "agent-token", "node", AGENT_TOKEN),
            ("a", "agent-token", "", AGENT_TOKEN),
            ("a", "token", "", SERVER_TOKEN),
        ):
            held = cluster.host(name).run(f"cat /etc/rancher/k3s/{file}").stdout.strip()
            hashed = cluster.host("a").run("sha256sum /var/lib/rancher/k3s/server/tls/server-ca.crt").stdout.split()[0]
            assert held == (f"K10{hashed}::{user}:{secret}" if user else secret)
