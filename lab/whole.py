"""A whole site of the lab, as an operator has it: a clone of the program with a site in it, run by `edge`.

K3s on a server and two agents, a tailnet, Flux, collectors and a model on the first agent, with everything real around.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.addresses import endpoint
from components.inference.triton.plan import GRPC_PORT, HTTP_PORT, NAMESPACE
from components.inference.triton.plan import NAME as SERVICE
from engine.environment import PROJECT_ROOT, environment, file_backend
from engine.obtain.cli import locate
from lab.cluster import Cluster
from lab.hosts.lab import Lab
from lab.inference import client
from lab.inference import site as model
from lab.kubernetes.build import PROBE_IMAGE
from lab.outside import Outside, outside
from lab.proxy import Proxy
from lab.waivers import waivers_of

SERVER, AGENTS = "a", ("b", "c")
NAMES = (SERVER, *AGENTS)
MODEL_HOST = AGENTS[0]

_OVERLAY = "edge/overlays/production"
_DEADLINE_S = 900
_NOT_THE_PROGRAM = (
    *(".git", ".venv", ".edge", "tests", "bench", "docs", "build", "*.egg-info"),
    *("__pycache__", ".*_cache", ".hypothesis"),
)


@dataclass
class Whole:
    """A checkout of the program with one site in it, and the world around."""

    lab: Lab
    world: Outside
    root: Path
    variables: Mapping[str, str]
    names: Sequence[str] = NAMES
    """Of its hosts."""
    ipv6: bool = False
    """Whether its hosts have IPv6 addresses alone."""

    @property
    def file(self) -> Path:
        """The site file."""
        return self.root / "stacks" / "sites" / "lab.yaml"

    def edge(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run([sys.executable, "-P", "-m", "edge.cli", *arguments])

    def pulumi(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run([str(locate().path), *arguments], stdin=stdin)

    def secret(self, key: str, value: str) -> None:
        """Keeps a secret of the site; it goes to `pulumi` by standard input."""
        self.pulumi("config", "set", "--secret", f"edge:{key}", "--stack", "lab", stdin=value)

    def run(self, command: list[str], *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **self.variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )

    def up(self) -> dict[str, Any]:
        """The document of a run that must succeed."""
        done = self.edge("up", "lab", "--yes", "--json")
        document: dict[str, Any] = json.loads(done.stdout or "{}")
        # The whole document is long, and most of it is not about what failed.
        told = {key: document.get(key) for key in ("problems", "error", "diagnostics")}
        assert done.returncode == 0, json.dumps(told, indent=1)[-6000:] + done.stderr[-4000:]
        return document

    def address(self, name: str) -> str:
        """Where a host is reached."""
        return self.lab[name].address6 if self.ipv6 else self.lab[name].address

    def write(self, **changes: Any) -> None:
        hosts = [
            {
                "name": name,
                "hardware": "virtual-machine",
                "address": self.address(name),
                "host_key": self.lab[name].host_key,
                "role": "server" if name == SERVER else "agent",
            }
            for name in self.names
        ]
        site = {
            "site": "lab",
            "tier": "near",
            "region": "lab",
            "hosts": hosts,
            "ssh": {"user": "root", "dial_attempts": 3, "dial_timeout_s": 2},
            "os": {"distribution": "debian", "disk": "none", "updates": {"managed": False}},
            "waivers": waivers_of({**self.world.blocks, **changes}),
            **self.world.blocks,
            **changes,
        }
        self.file.write_text(yaml.safe_dump(site, sort_keys=False))

    def replace(self, name: str) -> None:
        """Replaces a dead agent by a fresh machine of the same name; the site file gets its new host key."""
        host = self.lab[name]
        host.reimage()
        host.wait_ssh(60)
        host.wait_booted(60)
        self.lab.pin()
        host.run(self.world.authority.trust_script())
        self.world.headscale.remove(f"lab-{name}")
        if name == MODEL_HOST:
            put_model(self.lab)
        self.write()

    def infer(self, picture: bytes, *, deadline_s: float = 60, protocol: client.Protocol = "grpc") -> bytes:
        """The model's answer at its service, asked from the model's host until there is one.

        Policies let nobody else in, but a pod's own host always reaches it.
        Raises OSError with the client's words if it still does not at the deadline.
        """
        where = ("--namespace", NAMESPACE, "--output", "jsonpath={.spec.clusterIP}")
        address = endpoint(
            self.kubectl("get", "service", SERVICE, *where), GRPC_PORT if protocol == "grpc" else HTTP_PORT
        )
        pid = self.lab[MODEL_HOST].pid
        assert pid is not None
        end = time.monotonic() + deadline_s
        while True:
            try:
                return client.infer_from(pid, address, model.MODEL, picture, protocol=protocol)
            except OSError:
                if time.monotonic() > end:
                    raise

    def held(self, name: str) -> set[str]:
        """Files, enabled units and links of a host, without what was put there for K3s and goes with it."""
        return set(Cluster.held(self.lab[name]).splitlines()) - {model.MANIFEST}

    def kubectl(self, *arguments: str) -> str:
        words = " ".join(f"'{argument}'" for argument in arguments)
        return self.lab[SERVER].run(f"k3s kubectl {words}").stdout

    def word(self) -> str:
        """That of the last commit which Flux has applied; see ``source``."""
        return self.kubectl("get", "configmap", "word", "--ignore-not-found", "--output", "jsonpath={.data.word}")

    def nodes(self) -> dict[str, str]:
        """Every node that the API knows, and its condition Ready."""
        each = '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}'
        said = self.kubectl("get", "nodes", "--output", f"jsonpath={each}")
        return dict(word.split("=") for word in said.split())


@contextmanager
def providers(variables: Mapping[str, str]) -> Iterator[str]:
    """The lab's providers in a process of their own: the value of PULUMI_DEBUG_PROVIDERS."""
    command = [sys.executable, "-P", "-m", "lab.providers"]
    with subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("export PULUMI_DEBUG_PROVIDERS=")
        finally:
            process.terminate()


def put_model(lab: Lab) -> None:
    """The model on its host's disk, where a reimaged host needs it again."""
    model.prepare(lab[MODEL_HOST], f"lab-{MODEL_HOST}", server=lab[SERVER])


@contextmanager
def whole_site(
    lab: Lab, home: Path, *, names: Sequence[str] = NAMES, proxy: Proxy | None = None, ipv6: bool = False
) -> Iterator[Whole]:
    """A site on the hosts ``names`` of ``lab``, which are up: its file and secrets are set, nothing is on them yet.

    Behind ``proxy`` the hosts do not trust the lab's authority by themselves: the site file names it. With ``ipv6``
    they lose their IPv4 addresses, and nothing outside has one.
    Raises what `outside` raises.
    """
    if ipv6:
        for name in names:
            lab[name].run("ip -4 address flush dev eth0")
    with outside(lab, proxy=proxy, ipv6=ipv6) as around, providers(around.environment) as attached:
        root = home / "fleet"
        shutil.copytree(PROJECT_ROOT, root, ignore=shutil.ignore_patterns(*_NOT_THE_PROGRAM))
        (home / "state").mkdir()
        variables = {
            **environment(rehearsal=attached, backend=file_backend(home / "state")),
            **around.environment,
            "PULUMI_HOME": str(home / "home"),
            "PYTHONPATH": str(root),
        }
        made = Whole(lab, around, root, variables, names, ipv6)
        made.write()
        made.pulumi("stack", "init", "lab")
        for key, value in {**around.secrets, "ssh-private-key": lab.operator_key.read_text()}.items():
            made.secret(key, value)
        if not proxy:
            for name in names:
                lab[name].run(around.authority.trust_script())
        put_model(lab)
        around.git.commit(source("first"))
        yield made


def source(word: str) -> dict[str, str]:
    """What Flux applies: the reference's deployment, and a word to tell one commit from another."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["deployment.yaml"],
        "configMapGenerator": [{"name": "word", "namespace": "default", "literals": [f"word={word}"]}],
        "generatorOptions": {"disableNameSuffixHash": True},
    }
    labels = {"app": "inference-server"}
    container: dict[str, Any] = {"name": "server", "image": PROBE_IMAGE, "imagePullPolicy": "Never", "args": ["serve"]}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "inference-server", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    files = {"kustomization.yaml": kustomization, "deployment.yaml": deployment}
    return {f"{_OVERLAY}/{name}": yaml.safe_dump(content) for name, content in files.items()}
