"""A kubeconfig that the cluster does not take any more, on a real host: no run is green without the change.

The tests are one story, in the order in which they stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.run.cluster_access import Refused, contact
from lab.cluster import Cluster, cluster_site
from lab.hosts.lab import Lab
from stacks.catalogue import PROJECT_ROOT
from tests.components.kubeconfigs import kubeconfig, signed_by

CLIENT_CA = "/var/lib/rancher/k3s/server/tls/client-ca"
READER = "lab-k3s-kubeconfig"
# The lab's K3s looks at the certificate within the handshake; others answer 401.
REFUSED = r"unauthorized \(401\)|refuses the connection|ends the connection"
HOUR = timedelta(hours=1)
# What a company adds below the program's own line.
PROGRAM = """
import pathlib
import pulumi
import pulumi_kubernetes as kubernetes
from stacks.program import build

site = build()
kubernetes.core.v1.ConfigMap(
    "facts",
    metadata={"name": "facts", "namespace": "kube-public"},
    data={"word": (pathlib.Path(__file__).parent / "word").read_text()},
    opts=pulumi.ResourceOptions(provider=site.cluster.provider, deleted_with=site.cluster.goes_with),
)
"""


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_site(lab, tmp_path_factory.mktemp("kubeconfig") / "site", ["a"]) as made:
        home = made.site.home
        (home / "stacks").symlink_to(PROJECT_ROOT / "stacks")
        (home / "__main__.py").write_text(PROGRAM)
        project = yaml.safe_load((home / "Pulumi.yaml").read_text())
        (home / "Pulumi.yaml").write_text(yaml.safe_dump({**project, "main": "."}))
        made.write("a")
        write(made, "one")
        made.site.up()
        yield made


def write(cluster: Cluster, word: str) -> None:
    (cluster.site.home / "word").write_text(word)


def word(cluster: Cluster) -> str:
    return cluster.kubectl(
        "--namespace", "kube-public", "get", "configmap", "facts", "--output", "jsonpath={.data.word}"
    )


def edge(cluster: Cluster, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.run.project.project_root", lambda: cluster.site.home)
        for name, value in cluster.site.variables.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(app, [*arguments])
    assert "Traceback" not in result.output
    return result


def held(cluster: Cluster) -> dict[str, Any]:
    """The kubeconfig in the stack's state."""
    (reader,) = (one for one in cluster.site.resources("--show-secrets") if one["urn"].endswith(f"::{READER}"))
    found: dict[str, Any] = yaml.safe_load(json.loads(reader["outputs"]["stdout"]["plaintext"]))
    return found


def hold(cluster: Cluster, text: str) -> None:
    """Put the user of another kubeconfig into the stack's state, as if it had been read from the host some time ago."""
    user = yaml.safe_load(text)["users"][0]["user"]

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        # A secret as the state shows it: JSON of a text. Scripts name the same key.
        if isinstance(value, str) and value.startswith('"apiVersion') and "client-certificate-data" in value:
            document = yaml.safe_load(json.loads(value))
            document["users"][0]["user"] = user
            return json.dumps(yaml.safe_dump(document))
        return value

    state = cluster.site.home / "state.json"
    state.write_text(json.dumps(changed(json.loads(cluster.site.export("--show-secrets")))))
    cluster.site.pulumi("stack", "import", "--file", str(state))
    state.unlink()
    assert held(cluster)["users"][0]["user"] == user


def of_the_cluster(cluster: Cluster, begins: datetime, ends: datetime) -> str:
    """A kubeconfig with an administrator's certificate that the cluster's own authority has signed."""
    authority = x509.load_pem_x509_certificate(cluster.host("a").run(f"cat {CLIENT_CA}.crt").stdout.encode())
    key = load_pem_private_key(cluster.host("a").run(f"cat {CLIENT_CA}.key").stdout.encode(), None)
    return signed_by(authority, key, begins, ends)


def an_hour_that_has_just_ended(cluster: Cluster) -> str:
    ends = datetime.now(UTC) - timedelta(seconds=5)
    return of_the_cluster(cluster, ends - HOUR, ends)


def test_the_cluster_takes_a_one_hour_certificate_and_refuses_it_after_its_end(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    document = held(cluster)
    for begins, refused in ((now - timedelta(minutes=1), False), (now - HOUR - timedelta(seconds=5), True)):
        document["users"] = yaml.safe_load(of_the_cluster(cluster, begins, begins + HOUR))["users"]
        if refused:
            with pytest.raises(Refused, match=REFUSED):
                contact(yaml.safe_dump(document))
        else:
            contact(yaml.safe_dump(document))


def test_plain_pulumi_fails_with_the_way_on_which_works(cluster: Cluster) -> None:
    hold(cluster, an_hour_that_has_just_ended(cluster))
    write(cluster, "two")
    done = cluster.site.pulumi("up", "--yes", "--skip-preview", "--non-interactive", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "was valid until" in said
    assert "--replace" in said
    assert word(cluster) == "one"
    urn = next(one["urn"] for one in cluster.site.resources() if one["urn"].endswith(f"::{READER}"))
    cluster.site.pulumi("up", "--yes", "--skip-preview", "--replace", urn)
    assert word(cluster) == "two"


def test_edge_up_reads_a_new_one_and_makes_the_change(cluster: Cluster) -> None:
    hold(cluster, an_hour_that_has_just_ended(cluster))
    write(cluster, "three")
    previewed = edge(cluster, "preview", str(cluster.site.file))
    assert "the kubeconfig of the stack is read again: it was valid until" in previewed.output, previewed.output
    assert word(cluster) == "two"
    done = edge(cluster, "up", str(cluster.site.file), "--yes")
    assert done.exit_code == 0, done.output
    assert word(cluster) == "three"


def test_one_that_the_cluster_refuses_although_it_has_not_ended_is_not_called_offline(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    hold(cluster, kubeconfig(now - timedelta(minutes=1), now + HOUR))
    write(cluster, "four")
    done = edge(cluster, "up", str(cluster.site.file), "--yes")
    assert done.exit_code == 0, done.output
    assert re.search(REFUSED, done.output), done.output
    assert word(cluster) == "four"


def test_the_operators_kubeconfig_is_taken_by_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "config"
    done = edge(cluster, "kubeconfig", str(cluster.site.file), "--merge", str(file))
    assert done.exit_code == 0, done.output
    assert file.stat().st_mode & 0o777 == 0o600
    contact(file.read_text())
