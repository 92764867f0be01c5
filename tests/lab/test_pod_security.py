"""The rules' verdicts are those of a real kube-apiserver with Pod Security admission, of each of the lab's releases."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from lab.kubernetes.build import NEXT, VERSION, build
from tests.lab.control_plane import control_plane, missing
from tests.policies.standard_pods import pods
from tests.policies.test_pod_security_standards import LEVELS, broken

_NOT_ON_CREATION = "ephemeralContainers"
"""Only a running pod gets them; the comparison with Kubernetes' evaluator has them."""


@dataclass
class Api:
    """What this test asks of the API server."""

    address: str
    token: str
    pool: urllib3.PoolManager

    def post(self, path: str, body: Any) -> tuple[int, str, str]:
        """Status, message and warnings."""
        answer = self.pool.request(
            "POST",
            f"{self.address}{path}",
            body=json.dumps(body),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        said = json.loads(answer.data).get("message", "")
        return answer.status, said, answer.headers.get("Warning", "")

    def minor(self) -> int:
        answer = self.pool.request("GET", f"{self.address}/version")
        return int(json.loads(answer.data)["minor"].rstrip("+"))


@pytest.fixture(scope="module", params=[VERSION, NEXT])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server of this release, with a namespace for each level of the standard."""
    with pytest.MonkeyPatch.context() as patch:
        if (why := missing()) is not None:
            pytest.skip(why)
        patch.setenv("EDGE_LAB_K3S", str(build(request.param).binary))
        home: Path = tmp_path_factory.mktemp("cluster") / "one"
        with control_plane(home) as kubeconfig:
            config = yaml.safe_load(kubeconfig)
            cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
            with urllib3.PoolManager(ca_certs=cluster["certificate-authority"]) as pool:
                made = Api(cluster["server"], user["token"], pool)
                for level in LEVELS:
                    labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn")}
                    status, said, _ = made.post("/api/v1/namespaces", {"metadata": {"name": level, "labels": labels}})
                    assert status == 201, said
                yield made


def creatable() -> list[tuple[str, dict[str, Any]]]:
    """The pods of the standards, as far as a pod can be created like that."""
    found = []
    for name, pod in pods():
        if _NOT_ON_CREATION not in name:
            pod = copy.deepcopy(pod)
            del pod["spec"][_NOT_ON_CREATION]
            found.append((name, pod))
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_pods_are_admitted_as_the_rules_say(api: Api, level: str) -> None:
    minor, seen = api.minor(), Counter[str]()
    for number, (name, pod) in enumerate(creatable()):
        body = {**pod, "metadata": {**pod["metadata"], "name": f"p{number}"}}
        status, said, _ = api.post(f"/api/v1/namespaces/{level}/pods?dryRun=All", body)
        if status == 422:
            # No pod at all, whatever the standard says of it.
            seen["invalid"] += 1
            continue
        refused = status == 403 and "violates PodSecurity" in said
        assert refused or status == 201, (name, said)
        assert refused == bool(broken("kubernetes:core/v1:Pod", pod, minor)[level]), (name, said)
        seen["refused" if refused else "admitted"] += 1
    assert seen["refused"] > 40
    assert seen["admitted"] > 40
    # Most are pods of Windows with fields of Linux.
    assert seen["invalid"] < 70, seen


@pytest.mark.parametrize("level", LEVELS)
def test_deployments_are_warned_of_as_the_rules_say(api: Api, level: str) -> None:
    """Admission refuses only pods; of what makes pods it warns."""
    minor, seen = api.minor(), Counter[bool]()
    for number, (name, pod) in enumerate(creatable()):
        spec = {"selector": {"matchLabels": {"app": "a"}}, "template": pod}
        body = {"metadata": {"name": f"d{number}"}, "spec": spec}
        status, said, warned = api.post(f"/apis/apps/v1/namespaces/{level}/deployments?dryRun=All", body)
        if status == 422:
            continue
        assert status == 201, (name, said)
        against = "would violate PodSecurity" in warned
        assert against == bool(broken("kubernetes:apps/v1:Deployment", body, minor)[level]), (name, warned)
        seen[against] += 1
    assert seen[True] > 40
    assert seen[False] > 40
