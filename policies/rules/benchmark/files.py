"""The checks of files, which only a host can show, and those that no flag and no file answers."""

from __future__ import annotations

from policies.rules.benchmark.model import FileCheck, OtherCheck, Reason

_DATA = "/var/lib/rancher/k3s"
_TLS, _CRED, _AGENT = f"{_DATA}/server/tls", f"{_DATA}/server/cred", f"{_DATA}/agent"
_CNI = "/var/lib/cni/networks/*/*"

_FILES: tuple[tuple[str, str, str, int | None, bool], ...] = (
    ("1.1.9", "Addresses of pods: mode", _CNI, 0o600, True),
    ("1.1.10", "Addresses of pods: owner", _CNI, None, True),
    ("1.1.11", "Folder of etcd: mode", f"{_DATA}/server/db/etcd", 0o700, False),
    ("1.1.13", "Kubeconfig of administrators: mode", f"{_CRED}/admin.kubeconfig", 0o600, False),
    ("1.1.14", "Kubeconfig of administrators: owner", f"{_CRED}/admin.kubeconfig", None, False),
    ("1.1.15", "Kubeconfig of the scheduler: mode", f"{_CRED}/scheduler.kubeconfig", 0o600, False),
    ("1.1.16", "Kubeconfig of the scheduler: owner", f"{_CRED}/scheduler.kubeconfig", None, False),
    ("1.1.17", "Kubeconfig of the controller manager: mode", f"{_CRED}/controller.kubeconfig", 0o600, False),
    ("1.1.18", "Kubeconfig of the controller manager: owner", f"{_CRED}/controller.kubeconfig", None, False),
    ("1.1.19", "Folder of keys and certificates: owner", _TLS, None, False),
    ("1.1.20", "Certificates: mode", f"{_TLS}/*.crt", 0o600, False),
    ("1.1.21", "Keys: mode", f"{_TLS}/*.key", 0o600, False),
    ("4.1.3", "Kubeconfig of kube-proxy: mode", f"{_AGENT}/kubeproxy.kubeconfig", 0o600, True),
    ("4.1.4", "Kubeconfig of kube-proxy: owner", f"{_AGENT}/kubeproxy.kubeconfig", None, True),
    ("4.1.5", "Kubeconfig of the kubelet: mode", f"{_AGENT}/kubelet.kubeconfig", 0o600, True),
    ("4.1.6", "Kubeconfig of the kubelet: owner", f"{_AGENT}/kubelet.kubeconfig", None, True),
    ("4.1.7", "CA of the kubelet's clients: mode", f"{_AGENT}/client-ca.crt", 0o600, True),
    ("4.1.8", "CA of the kubelet's clients: owner", f"{_AGENT}/client-ca.crt", None, True),
)
"""Number, title, path or pattern, most that the mode may allow (None: owner), whether agents have it too."""

_POD_MANIFEST = Reason("none", "K3s runs it without a pod manifest")
_ONE_BINARY = Reason("none", "K3s runs the kubelet itself, without a unit or a file of its own")
_PEOPLE = "people: who has a credential is decided outside of the site"
_RBAC = "cluster/*"

_OTHERS: tuple[tuple[str, str, str | Reason], ...] = (
    ("1.1.1", "Pod manifest of the API server: mode", _POD_MANIFEST),
    ("1.1.2", "Pod manifest of the API server: owner", _POD_MANIFEST),
    ("1.1.3", "Pod manifest of the controller manager: mode", _POD_MANIFEST),
    ("1.1.4", "Pod manifest of the controller manager: owner", _POD_MANIFEST),
    ("1.1.5", "Pod manifest of the scheduler: mode", _POD_MANIFEST),
    ("1.1.6", "Pod manifest of the scheduler: owner", _POD_MANIFEST),
    ("1.1.7", "Pod manifest of etcd: mode", _POD_MANIFEST),
    ("1.1.8", "Pod manifest of etcd: owner", _POD_MANIFEST),
    ("1.1.12", "Folder of etcd: owner", Reason("none", "K3s runs etcd itself, as root")),
    ("3.1.1", "Users have no client certificates", _PEOPLE),
    ("3.1.2", "Users have no tokens of accounts", _PEOPLE),
    ("3.1.3", "Users have no bootstrap tokens", _PEOPLE),
    ("3.2.2", "The audit covers what matters", "host/k3s-audit"),
    ("4.1.1", "Unit of the kubelet: mode", _ONE_BINARY),
    ("4.1.2", "Unit of the kubelet: owner", _ONE_BINARY),
    ("4.1.9", "Configuration of the kubelet: mode", _ONE_BINARY),
    ("4.1.10", "Configuration of the kubelet: owner", _ONE_BINARY),
    ("5.1.1", "cluster-admin only where it is needed", _RBAC),
    ("5.1.2", "Few can read Secrets", _RBAC),
    ("5.1.3", "Roles without wildcards", _RBAC),
    ("5.1.4", "Few can create pods", _RBAC),
    ("5.1.5", "`default` accounts are not used", "workload/no-token-automount"),
    ("5.1.6", "Tokens only where they are needed", "workload/no-token-automount"),
    ("5.1.7", "Nobody is in system:masters", _RBAC),
    ("5.1.8", "Few can bind, escalate, impersonate", _RBAC),
    ("5.1.9", "Few can create PersistentVolumes", _RBAC),
    ("5.1.10", "Few can use nodes/proxy", _RBAC),
    ("5.1.11", "Few can approve certificates", _RBAC),
    ("5.1.12", "Few can change webhooks", _RBAC),
    ("5.1.13", "Few can create tokens of accounts", _RBAC),
    ("5.2.1", "There is a policy for pods", "host/k3s-admission"),
    ("5.2.2", "No privileged containers", "workload/no-privileged"),
    ("5.2.3", "No pods in the host's process namespace", "workload/no-host-namespaces"),
    ("5.2.4", "No pods in the host's IPC namespace", "workload/no-host-namespaces"),
    ("5.2.5", "No pods in the host's network", "workload/no-host-namespaces"),
    ("5.2.6", "No privilege escalation", "workload/no-escalation"),
    ("5.2.7", "No root in containers", "workload/non-root"),
    ("5.2.8", "No containers with NET_RAW", "workload/drop-capabilities"),
    ("5.2.9", "No added capabilities", "workload/drop-capabilities"),
    ("5.2.10", "All capabilities are dropped", "workload/drop-capabilities"),
    ("5.2.11", "No HostProcess containers", "workload/no-host-process"),
    ("5.2.12", "No hostPath volumes", "workload/volume-types"),
    ("5.2.13", "No ports of the host", "network/no-host-port"),
    ("5.3.1", "The network enforces NetworkPolicies", Reason("none", "K3s brings kube-router, which does")),
    ("5.3.2", "Every namespace has NetworkPolicies", "network/namespace-default-deny"),
    ("5.4.1", "Secrets are files rather than variables", "secrets/no-secret-in-pod"),
    ("5.4.2", "External storage of secrets", _PEOPLE),
    ("5.5.1", "Where images come from is checked", "supply-chain/registry-allowlist"),
    ("5.7.1", "Namespaces separate resources", "workload/not-default-namespace"),
    ("5.7.2", "Pods have a seccomp profile", "workload/seccomp"),
    ("5.7.3", "Pods have a security context", "workload/*"),
    ("5.7.4", "The namespace `default` is not used", "workload/not-default-namespace"),
)

FILES: tuple[FileCheck, ...] = tuple(
    FileCheck(id=number, title=title, paths=(path,), mode=mode, agents=agents)
    for number, title, path, mode, agents in _FILES
)
OTHERS: tuple[OtherCheck, ...] = tuple(
    OtherCheck(id=number, title=title, reason=by)
    if isinstance(by, Reason)
    else OtherCheck(id=number, title=title, by=by)
    for number, title, by in _OTHERS
)
