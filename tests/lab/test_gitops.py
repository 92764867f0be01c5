"""Flux on a real host: the whole program brings the real operator and controllers, and they follow a Git server.

The tests are one story, in the order in which they stand. `lab/README.md` says what is the lab's own in it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import yaml

from edge.run.events import Run
from lab.authority import Authority
from lab.gitops.build import build as build_flux
from lab.gitops.content import artifacts
from lab.gitops.git_https import GitHttps
from lab.gitops.git_server import GitServer
from lab.gitops.site import gitops, helm_environment, registries
from lab.gitops.sops import AgeKey
from lab.hosts.host import LabHost
from lab.hosts.lab import Lab
from lab.kubernetes.build import PROBE_IMAGE, build
from lab.kubernetes.mirror import Mirror, release_files
from lab.oci.registry import Registry
from lab.site import Site, lab_site
from tests.lab.conftest import official_kubernetes
from tests.lab.k3s_site import wait_for

OVERLAY = "edge/overlays/production"
SOURCE = "gitrepositories.source.toolkit.fluxcd.io/edge-configs"
KUSTOMIZATION = "kustomizations.kustomize.toolkit.fluxcd.io/edge-inference-stack"
PASSWORD = "the-password-of-the-lab"
REFUSED = re.compile(r"GitRepository edge-configs says: GitOperationFailed: .*authenti", re.IGNORECASE)
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def overlay(*resources: str) -> dict[str, str]:
    """The overlay's kustomization."""
    content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}
    return {f"{OVERLAY}/kustomization.yaml": yaml.safe_dump(content)}


def config_map(name: str, **data: str) -> dict[str, str]:
    content = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }
    return {f"{OVERLAY}/{name}.yaml": yaml.safe_dump(content)}


def secret(age: AgeKey, **values: str) -> dict[str, str]:
    """A Secret as Git may have it: its values only for the site's key."""
    content = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "password", "namespace": "default"},
        "stringData": values,
    }
    return {f"{OVERLAY}/password.yaml": age.encrypt(yaml.safe_dump(content))}


def deployment() -> dict[str, str]:
    """The workload of the reference: one replica in the source, two at the site."""
    labels = {"app": "inference-server"}
    container = {
        "name": "server",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["serve"],
        "securityContext": _SECURITY,
        "env": [{"name": "SITE", "value": "${site}"}],
    }
    content = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "inference-server", "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    return {f"{OVERLAY}/deployment.yaml": yaml.safe_dump(content)}


@dataclass
class FluxSite:
    """A site of one server that follows a Git server."""

    site: Site
    git: GitServer
    https: GitHttps
    ca: str
    age: AgeKey
    k3s: dict[str, Any]
    gitops: dict[str, Any]

    @property
    def host(self) -> LabHost:
        return self.site.lab["a"]

    def write(self, *, with_flux: bool = True, **changes: Any) -> None:
        parts: dict[str, Any] = {"k3s": self.k3s, "labels": {"Fleet-Wave": "canary"}}
        if with_flux:
            parts["gitops"] = self.gitops | changes
        self.site.write("a", **parts)

    @property
    def over_https(self) -> dict[str, Any]:
        """The same repository, read over https with a login."""
        source = {key: value for key, value in self.gitops["source"].items() if key != "known_hosts"}
        return {**source, "git": self.https.url, "username": self.https.username, "ca": self.ca}

    def failed_up(self) -> tuple[list[str], int]:
        """What `edge` says of an `up` that fails, and how many seconds it had waited for what has failed."""
        done = self.site.pulumi("up", "--yes", "--skip-preview", "--json", check=False)
        assert done.returncode != 0
        run, began = Run(), dict[str, int]()
        waited = []
        for line in done.stdout.splitlines():
            run.feed_line(line)
            event = json.loads(line)
            if started := event.get("resourcePreEvent"):
                began[started["metadata"]["urn"]] = event["timestamp"]
            if failed := event.get("resOpFailedEvent"):
                waited.append(event["timestamp"] - began[failed["metadata"]["urn"]])
        assert len(waited) == 1, run.errors
        return [error.message for error in run.errors], waited[0]

    def kubectl(self, *arguments: str) -> str:
        words = " ".join(f"'{argument}'" for argument in arguments)
        return self.host.run(f"k3s kubectl {words}").stdout

    def get(self, what: str, namespace: str = "flux-system") -> dict[str, Any]:
        """The object, or nothing at all where there is none."""
        said = self.kubectl("get", what, "--namespace", namespace, "--ignore-not-found", "--output", "json")
        found: dict[str, Any] = json.loads(said) if said.strip() else {}
        return found

    def names(self, kinds: str) -> set[str]:
        """What there is of these kinds, in all namespaces: namespace/name."""
        items = json.loads(self.kubectl("get", kinds, "--all-namespaces", "--output", "json"))["items"]
        return {f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}" for item in items}

    def ready(self, what: str) -> dict[str, Any]:
        """Its condition Ready: status, reason, message."""
        conditions = self.get(what).get("status", {}).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == "Ready"), {})

    def applied(self) -> str:
        """The commit that the cluster was last brought to."""
        revision: str = self.get(KUSTOMIZATION).get("status", {}).get("lastAppliedRevision", "")
        return revision.removeprefix("main@sha1:")

    def available(self) -> int:
        """Replicas of the workload that answer."""
        status = self.get("deployment/inference-server", "default").get("status", {})
        found: int = status.get("availableReplicas", 0)
        return found

    def running(self) -> set[str]:
        """Containers of the workload that answer, each start under an id of its own."""
        said = self.kubectl("get", "pods", "--selector", "app=inference-server", "--output", "json")
        statuses = [pod["status"].get("containerStatuses", ()) for pod in json.loads(said)["items"]]
        return {container["containerID"] for pod in statuses for container in pod if container["ready"]}

    def data(self, name: str) -> dict[str, str] | None:
        found: dict[str, str] | None = self.get(f"configmap/{name}", "default").get("data")
        return found

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            wait_for(what, holds)
        except AssertionError as error:
            raise AssertionError(f"{error}; source: {self.ready(SOURCE)}; {self.ready(KUSTOMIZATION)}") from None


@pytest.fixture(scope="module")
def flux(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FluxSite]:
    release, programs = build(), build_flux()
    files = {release.version: release_files(release.binary, release.images)}
    served = artifacts(programs)
    gateway = str(lab.layout.gateway)
    with (
        Authority() as authority,
        Mirror(authority, gateway, files) as mirror,
        Registry(authority, gateway, served) as registry,
        GitServer(gateway) as git,
        GitHttps(authority, gateway, git.repository, PASSWORD) as https,
        pytest.MonkeyPatch.context() as patched,
        official_kubernetes(),
        lab_site(lab, tmp_path_factory.mktemp("gitops") / "site") as site,
    ):
        for name, value in helm_environment(programs, authority).items():
            patched.setenv(name, value)
        lab["a"].run(authority.trust_script())
        k3s = {**mirror.site_block(release), "registries": registries(registry)}
        site.secret("k3s-token", "lab-server-token-0123456789abcdef")
        site.secret("k3s-agent-token", "lab-agent-token-0123456789abcdef")
        site.secret("git-ssh-key", git.private_key)
        age = AgeKey(programs)
        site.secret("sops-age-key", age.private)
        site.secret("git-password", "not-the-password")
        ca = authority.ca_file.read_text()
        made = FluxSite(site, git, https, ca, age, k3s, gitops(git, registry, served) | {"decryption": "sops-age"})
        git.commit(
            overlay("deployment.yaml", "facts.yaml", "old.yaml", "password.yaml")
            | deployment()
            | secret(age, password="only for the site")
            | config_map("facts", site="${site}", tier="${tier}", wave="${label_fleet_wave}")
            | config_map("old")
        )
        try:
            yield made
        finally:
            lab["a"].restore()
            site.pulumi("destroy", "--yes", "--skip-preview", check=False)


def test_a_wrong_git_password_ends_the_first_up_within_a_minute_or_so_in_the_controllers_words(flux: FluxSite) -> None:
    flux.write(source=flux.over_https)
    said, waited_s = flux.failed_up()
    assert any(REFUSED.match(message) for message in said), said
    assert waited_s <= 90


def test_the_right_password_is_tried_at_once_and_up_ends_when_the_commit_is_applied(flux: FluxSite) -> None:
    flux.site.secret("git-password", PASSWORD)
    flux.site.up()
    assert flux.ready(SOURCE)["status"] == "True"
    assert flux.ready(KUSTOMIZATION)["status"] == "True"
    assert flux.applied()


def test_a_password_that_is_rotated_to_a_wrong_one_fails_up_although_the_source_was_ready(flux: FluxSite) -> None:
    flux.site.secret("git-password", "not-the-password")
    flux.write(source=flux.over_https, wait_ready="20s")
    assert flux.ready(SOURCE)["status"] == "True"
    said, waited_s = flux.failed_up()
    assert any(REFUSED.match(message) for message in said), said
    assert waited_s <= 30


def test_the_site_runs_what_the_signed_commit_says(flux: FluxSite) -> None:
    flux.write()
    flux.site.up()
    assert flux.applied()
    assert flux.ready(SOURCE)["status"] == "True"
    verified = {c["type"]: c["status"] for c in flux.get(SOURCE)["status"]["conditions"]}["SourceVerified"]
    assert verified == "True"


def test_the_sites_own_number_of_replicas_runs_instead_of_the_sources(flux: FluxSite) -> None:
    flux.wait("two replicas are available", lambda: flux.available() == 2)


def test_variables_stand_for_the_facts_of_the_site(flux: FluxSite) -> None:
    assert flux.data("facts") == {"site": "lab", "tier": "near", "wave": "canary"}
    (container,) = flux.get("deployment/inference-server", "default")["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "SITE", "value": "lab"}]


def test_what_is_encrypted_in_git_is_plain_in_the_cluster(flux: FluxSite) -> None:
    data = flux.get("secret/password", "default")["data"]
    assert {name: base64.b64decode(value).decode() for name, value in data.items()} == {"password": "only for the site"}


def test_what_the_source_holds_is_applied_with_the_rights_of_its_own_namespace(flux: FluxSite) -> None:
    (container,) = flux.get("deployment/kustomize-controller")["spec"]["template"]["spec"]["containers"]
    locked = {"--no-cross-namespace-refs=true", "--no-remote-bases=true", "--default-service-account=default"}
    assert locked <= set(container["args"])


def test_an_outage_of_any_length_costs_no_more_than_one_interval(flux: FluxSite) -> None:
    (container,) = flux.get("deployment/source-controller")["spec"]["template"]["spec"]["containers"]
    assert f"--max-retry-delay={flux.gitops['interval']}" in container["args"]


def test_a_second_up_changes_nothing(flux: FluxSite) -> None:
    assert flux.site.up() == {}


def test_what_a_commit_no_longer_has_is_pruned(flux: FluxSite) -> None:
    assert flux.data("facts") is not None
    commit = flux.git.commit(overlay("deployment.yaml", "facts.yaml", "password.yaml") | {f"{OVERLAY}/old.yaml": None})
    flux.wait("the commit is applied", lambda: flux.applied() == commit)
    assert "default/old" not in flux.names("configmaps")


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        (None, "unsupported signature type: empty"),
        ("stranger", "unable to verify payload with any of the given key rings"),
    ],
)
def test_a_commit_that_nobody_trusted_has_signed_is_refused(
    flux: FluxSite, signer: Literal["stranger"] | None, reason: str
) -> None:
    before = flux.applied()
    flux.git.commit(config_map("facts", site="stolen"), signer=signer)
    flux.wait("the source is refused", lambda: flux.ready(SOURCE).get("status") == "False")
    assert reason in flux.ready(SOURCE)["message"]
    assert flux.applied() == before
    assert flux.data("facts") == {"site": "lab", "tier": "near", "wave": "canary"}
    # A site goes on as soon as somebody it trusts says so.
    commit = flux.git.take_back()
    assert commit == before
    flux.wait("the source is trusted again", lambda: flux.ready(SOURCE).get("status") == "True")


def test_workloads_outlive_the_uplink_and_commits_are_caught_up_on(flux: FluxSite) -> None:
    before = flux.applied()
    flux.host.cut()
    flux.git.commit(config_map("facts", site="${site}", made="while it was away"))
    commit = flux.git.commit(
        overlay("deployment.yaml", "facts.yaml", "password.yaml", "late.yaml") | config_map("late", last="yes")
    )
    flux.wait("the source is out of reach", lambda: flux.ready(SOURCE).get("status") == "False")
    assert flux.applied() == before
    assert flux.available() == 2
    flux.host.restore()
    flux.wait("the last commit is applied", lambda: flux.applied() == commit)
    assert (flux.data("facts"), flux.data("late")) == ({"site": "lab", "made": "while it was away"}, {"last": "yes"})


def test_a_site_that_loses_its_power_and_has_no_uplink_runs_what_it_ran(flux: FluxSite) -> None:
    before = flux.running()
    flux.host.cut()
    commit = flux.git.commit(config_map("late", last="after the power cut"))
    flux.host.power_off()
    flux.host.power_on()
    flux.host.wait_booted()
    flux.wait("the API answers", lambda: flux.host.run("k3s kubectl get --raw /readyz", check=False).returncode == 0)
    # The API remembers containers that ran before: it is new ones that count.
    flux.wait("two replicas run again", lambda: len(flux.running() - before) == 2)
    # The controllers first wait for the leases to end (35 s) that they themselves held before.
    flux.host.restore()
    flux.wait("the last commit is applied", lambda: flux.applied() == commit)


def test_no_private_key_or_password_is_in_a_log_of_the_cluster(flux: FluxSite) -> None:
    markers = (flux.git.private_key.splitlines()[1], PASSWORD, "not-the-password")
    for name in ("source-controller", "kustomize-controller", "flux-operator"):
        said = flux.kubectl("logs", f"deployment/{name}", "--namespace", "flux-system")
        assert not [marker for marker in markers if marker in said], name


def test_a_site_without_flux_keeps_nothing_of_it(flux: FluxSite) -> None:
    flux.write(with_flux=False)
    touched = flux.site.up()
    # The component of the site has its waivers among its properties, and those of Flux' chart go with it.
    assert {name: operation for name, operation in touched.items() if operation != "delete"} == {"lab": "update"}
    assert "/flux-system" not in flux.names("namespaces")
    assert "default/inference-server" not in flux.names("deployments")
    assert not {"default/facts", "default/late"} & flux.names("configmaps")
    assert not [name for name in flux.names("customresourcedefinitions") if "toolkit.fluxcd.io" in name]
