"""The checks of process flags: chapters 1.2 to 1.4, 2, 3.2 and 4.2 to 4.3 of the benchmark's profile for K3s."""

from __future__ import annotations

from functools import partial

from policies.rules.benchmark.model import FlagCheck, Reason

_DEFAULT = "Remove it from {key}: K3s sets it by itself."
_API_DEFAULT = _DEFAULT.format(key="`kube-apiserver-arg`")
_MANAGER_DEFAULT = _DEFAULT.format(key="`kube-controller-manager-arg`")
_SCHEDULER_DEFAULT = _DEFAULT.format(key="`kube-scheduler-arg`")
_ETCD_DEFAULT = _DEFAULT.format(key="`etcd-arg`")
_KUBELET_DEFAULT = _DEFAULT.format(key="`kubelet-arg`")
_ADMISSION = (
    "Write `enable-admission-plugins=NodeRestriction,EventRateLimit,DenyServiceExternalIPs` in `kube-apiserver-arg`."
)

_STRONG_OF_API = ",".join(
    (
        *(f"TLS_{cipher}" for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")),
        *(
            f"TLS_ECDHE_{key}_WITH_{cipher}"
            for key in ("ECDSA", "RSA")
            for cipher in (
                *("AES_128_GCM_SHA256", "AES_256_GCM_SHA384"),
                *("CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256"),
            )
        ),
    )
)
"""Stricter than the profile: without its suites in CBC mode, with 3DES, and without forward secrecy."""

_STRONG_OF_KUBELET = ",".join(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256")
)

_api = partial(FlagCheck, rule="k3s-api-server", process="kube-apiserver")
_audit = partial(FlagCheck, rule="k3s-audit", process="kube-apiserver")
_admission = partial(FlagCheck, rule="k3s-admission", process="kube-apiserver")
_encryption = partial(FlagCheck, rule="k3s-secrets-encryption", remedy="Write `secrets-encryption: true`.")
_manager = partial(FlagCheck, rule="k3s-control-plane", process="kube-controller-manager")
_scheduler = partial(FlagCheck, rule="k3s-control-plane", process="kube-scheduler")
_etcd = partial(FlagCheck, rule="k3s-control-plane", process="etcd", datastore=("etcd",), remedy=_ETCD_DEFAULT)
_kubelet = partial(FlagCheck, rule="k3s-kubelet", process="kubelet", remedy=_KUBELET_DEFAULT)

PLUGINS, DISABLED = "enable-admission-plugins", "disable-admission-plugins"

FLAGS: tuple[FlagCheck, ...] = (
    _api(
        id="1.2.1",
        title="The API server refuses anonymous requests",
        flag="anonymous-auth",
        operator="is",
        value="false",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.2",
        title="No static tokens",
        flag="token-auth-file",
        operator="unset",
        remedy="Remove `token-auth-file` from `kube-apiserver-arg`.",
    ),
    _api(
        id="1.2.3",
        title="Services cannot claim external addresses",
        flag=PLUGINS,
        operator="has",
        value="DenyServiceExternalIPs",
        remedy=_ADMISSION,
    ),
    _api(
        id="1.2.4",
        title="The API server shows kubelets a certificate",
        flag="kubelet-client-certificate",
        also=("kubelet-client-key",),
        operator="set",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.5",
        title="The API server verifies kubelets' certificates",
        flag="kubelet-certificate-authority",
        operator="set",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.6",
        title="Not every request is authorised",
        flag="authorization-mode",
        operator="lacks",
        value="AlwaysAllow",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.7",
        title="Kubelets may only do what nodes may",
        flag="authorization-mode",
        operator="has",
        value="Node",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.8",
        title="Requests are authorised by roles",
        flag="authorization-mode",
        operator="has",
        value="RBAC",
        remedy=_API_DEFAULT,
    ),
    _admission(
        id="1.2.9",
        title="The rate of events is limited",
        flag=PLUGINS,
        operator="has",
        value="EventRateLimit",
        remedy=_ADMISSION,
    ),
    _admission(
        id="1.2.10",
        title="Admission plugins do not admit everything",
        flag=PLUGINS,
        operator="lacks",
        value="AlwaysAdmit",
        remedy=_ADMISSION,
    ),
    _admission(
        id="1.2.11",
        title="Images are pulled at every start",
        flag=PLUGINS,
        operator="has",
        value="AlwaysPullImages",
        remedy=_ADMISSION,
        reason=Reason("waived", "a site must start pods while its uplink is down; images are pinned by digest"),
    ),
    _admission(
        id="1.2.12",
        title="The plugin ServiceAccount is on",
        flag=DISABLED,
        operator="lacks",
        value="ServiceAccount",
        remedy="Remove it from `disable-admission-plugins`.",
    ),
    _admission(
        id="1.2.13",
        title="The plugin NamespaceLifecycle is on",
        flag=DISABLED,
        operator="lacks",
        value="NamespaceLifecycle",
        remedy="Remove it from `disable-admission-plugins`.",
    ),
    _admission(
        id="1.2.14",
        title="Kubelets may only change their own objects",
        flag=PLUGINS,
        operator="has",
        value="NodeRestriction",
        remedy=_ADMISSION,
    ),
    _api(
        id="1.2.15",
        title="The API server has no profiling",
        flag="profiling",
        operator="is",
        value="false",
        remedy=_API_DEFAULT,
    ),
    _audit(
        id="1.2.16",
        title="Requests are written to an audit log",
        flag="audit-log-path",
        operator="set",
        remedy="Write `audit-log-path=FILE` in `kube-apiserver-arg`.",
    ),
    _audit(
        id="1.2.17",
        title="The audit log is kept for 30 days",
        flag="audit-log-maxage",
        operator="at least",
        value="30",
        remedy="Write `audit-log-maxage=30` in `kube-apiserver-arg`.",
    ),
    _audit(
        id="1.2.18",
        title="Ten old files of the audit log are kept",
        flag="audit-log-maxbackup",
        operator="at least",
        value="10",
        remedy="Write `audit-log-maxbackup=10` in `kube-apiserver-arg`.",
    ),
    _audit(
        id="1.2.19",
        title="A file of the audit log holds 100 MB",
        flag="audit-log-maxsize",
        operator="at least",
        value="100",
        remedy="Write `audit-log-maxsize=100` in `kube-apiserver-arg`.",
    ),
    _api(
        id="1.2.20",
        title="Requests have a time limit",
        flag="request-timeout",
        operator="set",
        remedy="Write `request-timeout=300s` in `kube-apiserver-arg`.",
    ),
    _api(
        id="1.2.21",
        title="Tokens of deleted accounts are refused",
        flag="service-account-lookup",
        operator="is",
        value="true",
        unset_is_fine=True,
        remedy="Remove `service-account-lookup` from `kube-apiserver-arg`.",
    ),
    _api(
        id="1.2.22",
        title="Accounts' tokens have a key of their own",
        flag="service-account-key-file",
        operator="set",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.23",
        title="The API server shows etcd a certificate",
        flag="etcd-certfile",
        also=("etcd-keyfile",),
        operator="set",
        datastore=("etcd",),
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.24",
        title="The API server serves TLS",
        flag="tls-cert-file",
        also=("tls-private-key-file",),
        operator="set",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.25",
        title="Clients' certificates are verified",
        flag="client-ca-file",
        operator="set",
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.26",
        title="The API server verifies etcd's certificate",
        flag="etcd-cafile",
        operator="set",
        datastore=("etcd",),
        remedy=_API_DEFAULT,
    ),
    _encryption(
        id="1.2.27",
        title="Secrets are encrypted in the datastore",
        process="kube-apiserver",
        flag="encryption-provider-config",
        operator="set",
    ),
    _encryption(
        id="1.2.28",
        title="A strong provider encrypts them",
        process="secrets-encryption",
        flag="provider",
        operator="only",
        value="aescbc,kms,secretbox",
    ),
    _api(
        id="1.2.29",
        title="The API server has strong ciphers only",
        flag="tls-cipher-suites",
        operator="only",
        value=_STRONG_OF_API,
        remedy=_API_DEFAULT,
    ),
    _api(
        id="1.2.30",
        title="Tokens of accounts expire when they say so",
        flag="service-account-extend-token-expiration",
        operator="is",
        value="false",
        since=34,
        remedy="Write `service-account-extend-token-expiration=false` in `kube-apiserver-arg`.",
    ),
    _manager(
        id="1.3.1",
        title="Ended pods are removed",
        flag="terminated-pod-gc-threshold",
        operator="at least",
        value="1",
        remedy="Write `terminated-pod-gc-threshold=100` in `kube-controller-manager-arg`.",
    ),
    _manager(
        id="1.3.2",
        title="The controller manager has no profiling",
        flag="profiling",
        operator="is",
        value="false",
        remedy=_MANAGER_DEFAULT,
    ),
    _manager(
        id="1.3.3",
        title="Each controller has an account of its own",
        flag="use-service-account-credentials",
        operator="is",
        value="true",
        remedy=_MANAGER_DEFAULT,
    ),
    _manager(
        id="1.3.4",
        title="The controller manager signs accounts' tokens",
        flag="service-account-private-key-file",
        operator="set",
        remedy=_MANAGER_DEFAULT,
    ),
    _manager(
        id="1.3.5",
        title="Pods are given the CA of the API",
        flag="root-ca-file",
        operator="set",
        remedy=_MANAGER_DEFAULT,
    ),
    _manager(
        id="1.3.6",
        title="Certificates of kubelets are renewed",
        flag="feature-gates",
        operator="lacks",
        value="RotateKubeletServerCertificate=false",
        remedy=_MANAGER_DEFAULT,
    ),
    _manager(
        id="1.3.7",
        title="The controller manager listens on loopback",
        flag="bind-address",
        operator="only",
        value="127.0.0.1,::1",
        remedy=_MANAGER_DEFAULT,
    ),
    _scheduler(
        id="1.4.1",
        title="The scheduler has no profiling",
        flag="profiling",
        operator="is",
        value="false",
        remedy=_SCHEDULER_DEFAULT,
    ),
    _scheduler(
        id="1.4.2",
        title="The scheduler listens on loopback",
        flag="bind-address",
        operator="only",
        value="127.0.0.1,::1",
        remedy=_SCHEDULER_DEFAULT,
    ),
    _etcd(id="2.1", title="etcd serves TLS", flag="cert-file", also=("key-file",), operator="set"),
    _etcd(id="2.2", title="etcd asks for certificates", flag="client-cert-auth", operator="is", value="true"),
    _etcd(
        id="2.3",
        title="etcd has no self-signed certificates",
        flag="auto-tls",
        operator="is",
        value="false",
        unset_is_fine=True,
    ),
    _etcd(id="2.4", title="etcd's peers use TLS", flag="peer-cert-file", also=("peer-key-file",), operator="set"),
    _etcd(
        id="2.5", title="etcd asks peers for certificates", flag="peer-client-cert-auth", operator="is", value="true"
    ),
    _etcd(
        id="2.6",
        title="Peers have no self-signed certificates",
        flag="peer-auto-tls",
        operator="is",
        value="false",
        unset_is_fine=True,
    ),
    _etcd(id="2.7", title="etcd has a CA of its own", flag="peer-trusted-ca-file", operator="set"),
    _audit(
        id="3.2.1",
        title="There is an audit policy",
        flag="audit-policy-file",
        operator="set",
        remedy="Write `audit-policy-file=FILE` in `kube-apiserver-arg`.",
    ),
    _kubelet(
        id="4.2.1", title="Kubelets refuse anonymous requests", flag="anonymous-auth", operator="is", value="false"
    ),
    _kubelet(
        id="4.2.2",
        title="Kubelets do not authorise every request",
        flag="authorization-mode",
        operator="lacks",
        value="AlwaysAllow",
    ),
    _kubelet(id="4.2.3", title="Kubelets verify clients' certificates", flag="client-ca-file", operator="set"),
    _kubelet(
        id="4.2.4",
        title="Kubelets have no open, read-only port",
        flag="read-only-port",
        operator="is",
        value="0",
        unset_is_fine=True,
    ),
    _kubelet(
        id="4.2.5",
        title="Idle connections end",
        flag="streaming-connection-idle-timeout",
        operator="not",
        value="0,0s,0m,0h",
        remedy="Write `streaming-connection-idle-timeout=5m` in `kubelet-arg`.",
    ),
    _kubelet(
        id="4.2.6",
        title="Kubelets keep their rules of iptables",
        flag="make-iptables-util-chains",
        operator="is",
        value="true",
        unset_is_fine=True,
    ),
    _kubelet(
        id="4.2.7",
        title="The name of a node is not overridden",
        flag="hostname-override",
        operator="unset",
        reason=Reason("none", "K3s names each node by this flag"),
    ),
    _kubelet(
        id="4.2.8",
        title="Kubelets record events",
        flag="event-qps",
        operator="at least",
        value="0",
        unset_is_fine=True,
    ),
    _kubelet(
        id="4.2.9", title="Kubelets serve TLS", flag="tls-cert-file", also=("tls-private-key-file",), operator="set"
    ),
    _kubelet(
        id="4.2.10",
        title="Kubelets renew their client certificates",
        flag="rotate-certificates",
        operator="is",
        value="true",
        unset_is_fine=True,
    ),
    _kubelet(
        id="4.2.11",
        title="Kubelets renew their server certificates",
        flag="feature-gates",
        operator="lacks",
        value="RotateKubeletServerCertificate=false",
    ),
    _kubelet(
        id="4.2.12",
        title="Kubelets have strong ciphers only",
        flag="tls-cipher-suites",
        operator="only",
        value=_STRONG_OF_KUBELET,
        remedy="Write `tls-cipher-suites=` with the six ECDHE suites (AES-GCM, ChaCha20) in `kubelet-arg`.",
    ),
    _kubelet(
        id="4.2.13",
        title="A pod has a limit of processes",
        flag="pod-max-pids",
        operator="at least",
        value="1",
        remedy="Write `k3s.pod_max_pids`, or `pod-max-pids=4096` in `kubelet-arg`.",
    ),
    _kubelet(
        id="4.2.14",
        title="Pods without a seccomp profile get one",
        flag="seccomp-default",
        operator="is",
        value="true",
        since=36,
        remedy="Write `seccomp-default=true` in `kubelet-arg`.",
    ),
    FlagCheck(
        id="4.3.1",
        title="Metrics of kube-proxy are on loopback",
        rule="k3s-kubelet",
        process="kube-proxy",
        flag="metrics-bind-address",
        operator="is",
        value="127.0.0.1",
        unset_is_fine=True,
        remedy="Remove `metrics-bind-address` from `kube-proxy-arg`.",
    ),
)
"""In the order of the benchmark."""
