"""A real control plane on loopback without nodes: etcd, kube-apiserver, kube-controller-manager.

The programs are those on PATH, or the lab's k3s (`EDGE_LAB_K3S`, or one that was built into the user's cache), which is
all of them but etcd.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncssh
import urllib3
import yaml

from engine.obtain.pin import EngineError
from lab.kubernetes.build import build

_DEADLINE_S = 90
_TOKEN = "marker-admin-token"
# What the tests need done: namespaces and owners that go, rollouts of nothing, jobs, endpoints.
_CONTROLLERS = "namespace,garbagecollector,deployment,replicaset,endpointslice,serviceaccount"


def missing() -> str | None:
    """Why there can be no control plane on this machine; None when there can. Builds the lab's k3s where needed."""
    if shutil.which("etcd") is None:
        return "etcd is not on PATH (Debian: apt install etcd-server)"
    try:
        program("kube-apiserver")
    except EngineError as error:
        return str(error)
    return None


def program(name: str) -> list[str]:
    """How a program of Kubernetes is started here. Raises EngineError where it cannot be built."""
    if found := shutil.which(name):
        return [found]
    return [os.environ.get("EDGE_LAB_K3S") or str(build().binary), name]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def control_plane(home: Path) -> Iterator[str]:
    """A running one; its kubeconfig."""
    home.mkdir(parents=True)
    client, peer, secure, manager = _free_ports(4)
    (home / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    key.write_private_key(home / "accounts.key", "pkcs1-pem")
    key.write_public_key(home / "accounts.pub", "pkcs8-pem")
    # The server's own, which it makes when it starts.
    authority = home / "certificates" / "apiserver.crt"
    kubeconfig = _kubeconfig(f"https://127.0.0.1:{secure}", authority)
    (home / "kubeconfig").write_text(kubeconfig)
    etcd, api, controllers = ["etcd"], program("kube-apiserver"), program("kube-controller-manager")
    assert api is not None
    assert controllers is not None
    own, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    with ExitStack() as started:
        started.enter_context(
            _running(
                home,
                "etcd",
                [
                    *etcd,
                    f"--data-dir={home / 'etcd'}",
                    f"--listen-client-urls={own}",
                    f"--advertise-client-urls={own}",
                    f"--listen-peer-urls={peers}",
                    f"--initial-advertise-peer-urls={peers}",
                    f"--initial-cluster=default={peers}",
                ],
            )
        )
        started.enter_context(
            _running(
                home,
                "kube-apiserver",
                [
                    *api,
                    f"--etcd-servers={own}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={secure}",
                    f"--cert-dir={home / 'certificates'}",
                    f"--token-auth-file={home / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    "--endpoint-reconciler-type=none",
                    "--disable-admission-plugins=ServiceAccount",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={home / 'accounts.pub'}",
                    f"--service-account-signing-key-file={home / 'accounts.key'}",
                    "--service-cluster-ip-range=10.43.0.0/16",
                ],
            )
        )
        _until(lambda: _ready(secure, authority), home, "the API server is ready")
        started.enter_context(
            _running(
                home,
                "kube-controller-manager",
                [
                    *controllers,
                    f"--kubeconfig={home / 'kubeconfig'}",
                    f"--controllers={_CONTROLLERS}",
                    "--leader-elect=false",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={manager}",
                    f"--cert-dir={home / 'certificates'}",
                ],
            )
        )
        yield kubeconfig


def _kubeconfig(address: str, authority: Path) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": address, "certificate-authority": str(authority)}}],
            "users": [{"name": "lab", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
    )


@contextmanager
def _running(home: Path, name: str, command: Sequence[str]) -> Iterator[None]:
    with (home / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(port: int, authority: Path) -> bool:
    if not authority.exists():
        return False
    with urllib3.PoolManager(ca_certs=str(authority)) as pool:
        try:
            answer = pool.request(
                "GET",
                f"https://127.0.0.1:{port}/readyz",
                headers={"Authorization": f"Bearer {_TOKEN}"},
                retries=False,
                timeout=5,
            )
        except (urllib3.exceptions.HTTPError, ssl.SSLError):
            # Not listening yet, or a certificate that is still being written.
            return False
    return answer.status == 200


def _until(condition: Callable[[], bool], home: Path, what: str) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not condition():
        logs = "".join(path.read_text()[-2000:] for path in sorted(home.glob("*.log")))
        assert time.monotonic() < end, f"not within {_DEADLINE_S} s: {what}\n{logs}"
        threading.Event().wait(0.2)
