"""Cluster: namespaces, volumes, tokens and webhooks. All rules of the group, those about access (``rbac``) included.

Does not judge the network policies of a namespace, which are ``namespaces``', nor how K3s itself is set up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from policies.rules import rbac
from policies.rules.frameworks import POD_CHAPTER, cis_kubernetes, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.rule import Rule, StackRule, attempt, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node

_ADMISSION = "https://kubernetes.io/docs/concepts/security/pod-security-admission/"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_ENFORCE_VERSION = f"{_ENFORCE}-version"
_LEVELS = ("restricted", "baseline")
_MINOR = re.compile(r"v1\.(\d{1,4})")
_OLDEST_MINOR = 34
"""Older readings of the standard allow more: Kubernetes 1.34 began to judge hosts in probes."""

_LOCAL_FOLDERS = ("/mnt/", "/srv/", "/data/", "/var/lib/edge/", "/var/lib/rancher/k3s/storage/")
"""Folders of a host that hold data only."""

_LOGS_OF_PODS = "/var/log/pods"

_ARC_NAMESPACE = "azure-arc-release"
_ARC_CHARTS = "oci://mcr.microsoft.com/azurearck8s/"
"""The one exception: Azure's agents make their namespaces themselves, and their pods do not meet the restricted
standard. The cluster's own admission configuration exempts these namespaces by name."""

_ADMISSION_API = "admissionregistration.k8s.io"
_INJECTED_CA = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")
"""Annotations with which cert-manager fills in `caBundle`."""


def _pod_security_label(subject: Subject) -> Iterator[Violation]:
    labels = subject.get("metadata", "labels")
    level = labels.get(_ENFORCE)
    if level.text() not in _LEVELS and (level.present or not subject.kind.patch or _takes_away(labels)):
        what = "is not one of restricted and baseline" if level.present else "is not set"
        yield Violation(level.path, f"{what}: the namespace's own level decides what its pods may do")
    version = labels.get(_ENFORCE_VERSION)
    text = version.text()
    if text is not None and text != "latest" and _too_old(text):
        yield Violation(version.path, f"is older than v1.{_OLDEST_MINOR}: an old reading of the standard allows more")


def _takes_away(labels: Node) -> bool:
    """Whether a patch sets the label to nothing, which removes it."""
    return isinstance(labels.value, dict) and _ENFORCE in labels.value


def _too_old(version: str) -> bool:
    match = _MINOR.fullmatch(version)
    return match is None or int(match[1]) < _OLDEST_MINOR


def _no_host_volume(subject: Subject) -> Iterator[Violation]:
    spec = subject.get("spec")
    for name in ("hostPath", "flexVolume"):
        if spec.get(name).present:
            yield Violation(spec.get(name).path, "gives a pod a part of its host")
    local = spec.get("local")
    if local.present:
        path = local.get("path")
        folder = path.text() or ""
        if folder == _LOGS_OF_PODS and _read_only_for_one_claim(spec):
            return
        if not folder.startswith(_LOCAL_FOLDERS) or ".." in folder.split("/"):
            yield Violation(path.path, f"is not below one of {', '.join(_LOCAL_FOLDERS)}")


def _read_only_for_one_claim(volume: Node) -> bool:
    """Whether nobody but one claim, which the volume names, gets it, and the node mounts it read only."""
    reserved = all(isinstance(volume.peek("claimRef", name), str) for name in ("namespace", "name"))
    return reserved and volume.peek("mountOptions") == ["ro"]


def _no_token_secret(subject: Subject) -> Iterator[Violation]:
    kind = subject.get("type")
    if kind.text() == "kubernetes.io/service-account-token":
        yield Violation(kind.path, "is a token of a ServiceAccount that never expires")
    elif kind.text() == "bootstrap.kubernetes.io/token" and not any(
        subject.get(holder, "expiration").present for holder in ("data", "stringData")
    ):
        yield Violation(kind.path, "is a bootstrap token without an expiration")


def _webhook_in_cluster(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name == "APIService":
        yield from _api_service(subject)
        return
    annotations = subject.get("metadata", "annotations")
    injected = any(isinstance(annotations.peek(name), str) for name in _INJECTED_CA)
    if subject.kind.name == "CustomResourceDefinition":
        client = subject.get("spec", "conversion", "webhook", "clientConfig")
        if client.present:
            yield from _client(client, injected)
        return
    for webhook in subject.get("webhooks").each():
        yield from attempt(_client(webhook.get("clientConfig"), injected or subject.kind.patch))


def _client(client: Node, injected: bool) -> Iterator[Violation]:
    url = client.get("url")
    if url.present:
        yield Violation(url.path, "sends objects of the cluster to a server that may be outside of it")
    elif not injected and not client.get("caBundle").text():
        yield Violation(client.get("caBundle").path, "is not set, so nobody knows who answers")


def _api_service(subject: Subject) -> Iterator[Violation]:
    insecure = subject.get("spec", "insecureSkipTLSVerify")
    if insecure.flag():
        yield Violation(insecure.path, "is true: anyone may answer for this part of the API")


def _default_account(subject: Subject) -> Iterator[Violation]:
    name, mounted = subject.get("metadata", "name"), subject.get("automountServiceAccountToken")
    if isinstance(name.value, str) and name.value != "default":
        return
    if mounted.flag() is None and not subject.kind.patch and name.text() == "default":
        yield Violation(mounted.path, "is not set, which gives a token to every pod without an account of its own")


def _chart_namespace(subject: Subject) -> Iterator[Violation]:
    kind = subject.kind
    if kind.group == "helm.sh":
        made, namespace, chart = subject.get("createNamespace"), subject.get("namespace"), subject.get("chart")
        if namespace.value == _ARC_NAMESPACE and isinstance(chart.value, str) and chart.value.startswith(_ARC_CHARTS):
            return
    elif kind.name == "HelmRelease":
        made = subject.get("spec", "install", "createNamespace")
    else:
        made = subject.get("spec", "createNamespace")
    if made.flag():
        yield Violation(made.path, "is true: the namespace has no Pod Security label and no NetworkPolicy")


_Key = tuple[str, str]


def _default_accounts(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    """Each namespace of the stack whose `default` ServiceAccount nobody has told to mount no token."""
    closed: set[_Key] = set()
    unplaced: HiddenError | None = None
    for subject in subjects:
        if subject.kind.name != "ServiceAccount":
            continue
        try:
            if subject.get("metadata", "name").text() == "default":
                mounted = subject.get("automountServiceAccountToken").flag()
                if mounted is False:
                    closed.add(_key(subject, subject.get("metadata", "namespace").text() or "default"))
        except HiddenError as error:
            unplaced = error
    for subject in subjects:
        if subject.kind.name != "Namespace":
            continue
        name = subject.get("metadata", "name")
        try:
            if name.text() is not None and _key(subject, name.text() or "") in closed:
                continue
        except HiddenError as error:
            yield subject, hidden(error)
            continue
        if unplaced is not None:
            reason = f"{unplaced.path} of a ServiceAccount that may be its own {unplaced.reason}"
            yield subject, Violation(name.path, f"cannot be judged: {reason}", hidden=True)
        else:
            yield subject, Violation(name.path, "has a default ServiceAccount that mounts a token into each pod")


def _key(subject: Subject, namespace: str) -> _Key:
    return subject.resource.provider, namespace


def _is_namespace(kind: Kind) -> bool:
    return kind.is_a("core", "Namespace")


def _is_release(kind: Kind) -> bool:
    return (
        kind.is_a("helm.sh", "Release", "Chart")
        or kind.is_a("helm.toolkit.fluxcd.io", "HelmRelease")
        or kind.is_a("helm.cattle.io", "HelmChart")
    )


def _is_volume(kind: Kind) -> bool:
    return kind.is_a("core", "PersistentVolume")


def _is_secret(kind: Kind) -> bool:
    return kind.is_a("core", "Secret")


def _is_account(kind: Kind) -> bool:
    return kind.is_a("core", "ServiceAccount")


def _calls_a_webhook(kind: Kind) -> bool:
    return (
        kind.is_a(_ADMISSION_API, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        or kind.is_a("apiextensions.k8s.io", "CustomResourceDefinition")
        or kind.is_a("apiregistration.k8s.io", "APIService")
    )


def _is_namespace_or_account(kind: Kind) -> bool:
    """A patch of a namespace creates none; one of an account is how a default account is changed."""
    return _is_account(kind) or (_is_namespace(kind) and not kind.patch)


RULES = (
    *rbac.RULES,
    Rule(
        id="cluster/pod-security-label",
        level="mandatory",
        severity="high",
        title="Every namespace enforces the Pod Security Standard, restricted or baseline.",
        why="The API server refuses what Flux, a chart or a person applies there, which no preview ever sees.",
        remedy=f"Set the label `{_ENFORCE}: restricted`, and no older version of the standard.",
        url=_ADMISSION,
        applies=_is_namespace,
        check=_pod_security_label,
        about="Namespace",
        references=(*cis_kubernetes("5.2.1"), *top_ten("K04"), *POD_CHAPTER),
    ),
    Rule(
        id="cluster/chart-namespace",
        level="mandatory",
        severity="medium",
        title="No chart makes its own namespace.",
        why="Such a namespace has no Pod Security label, no NetworkPolicy and a `default` account with a token, and no "
        "rule sees it.",
        remedy="Set `createNamespace: false`, and create the Namespace with its label and its NetworkPolicy beside it.",
        url="https://helm.sh/docs/helm/helm_install/",
        applies=_is_release,
        check=_chart_namespace,
        about="Helm Release and Chart, HelmRelease, HelmChart",
        references=(*cis_kubernetes("5.2.1", "5.3.2"), *top_ten("K04")),
    ),
    Rule(
        id="cluster/no-host-volume",
        level="mandatory",
        severity="critical",
        title="No PersistentVolume is a folder of a host that holds more than data.",
        why="A pod may not mount a host's folder, but a claim on such a volume would give it one.",
        remedy="Use the StorageClass `local-path`; a `local` volume has its folder below /mnt, /srv or /data; "
        "/var/log/pods only with `mountOptions: [ro]`, and a `claimRef`.",
        url="https://kubernetes.io/docs/concepts/storage/volumes/#hostpath",
        applies=_is_volume,
        check=_no_host_volume,
        about="PersistentVolume",
        references=top_ten("K01"),
    ),
    Rule(
        id="cluster/no-token-secret",
        level="mandatory",
        severity="high",
        title="No Secret holds a token that never expires.",
        why="It is valid until somebody remembers to delete it, and everyone who reads the Secret has it.",
        remedy="Use the TokenRequest API: `kubectl create token`, or a projected serviceAccountToken volume.",
        url="https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets",
        applies=_is_secret,
        check=_no_token_secret,
        about="Secret",
        references=top_ten("K06"),
    ),
    Rule(
        id="cluster/webhook-in-cluster",
        level="mandatory",
        severity="critical",
        title="The API server calls webhooks inside the cluster only, and knows their certificate.",
        why="A webhook sees every object that it asks for, Secrets included, and may change it.",
        remedy="Use `clientConfig.service` with a `caBundle`, or let cert-manager fill in the bundle.",
        url="https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/",
        applies=_calls_a_webhook,
        check=_webhook_in_cluster,
        about="MutatingWebhookConfiguration, ValidatingWebhookConfiguration, CustomResourceDefinition, APIService",
        references=top_ten("K09"),
    ),
    Rule(
        id="cluster/default-account",
        level="mandatory",
        severity="medium",
        title="A `default` ServiceAccount mounts no token.",
        why="Every pod that names no account runs as it.",
        remedy="Set `automountServiceAccountToken: false` on the ServiceAccount `default`.",
        url="https://kubernetes.io/docs/concepts/security/service-accounts/",
        applies=_is_account,
        check=_default_account,
        about="ServiceAccount `default`",
        references=(*cis_kubernetes("5.1.5"), *top_ten("K06")),
    ),
)

STACK_RULES = (
    StackRule(
        id="cluster/default-account-closed",
        level="mandatory",
        severity="medium",
        title="Each namespace of the stack has a `default` ServiceAccount that mounts no token.",
        why="Kubernetes makes this account by itself, with a token for every pod that names no other.",
        remedy="Add a ServiceAccountPatch named `default` with `automountServiceAccountToken: false` in the namespace.",
        url="https://kubernetes.io/docs/concepts/security/service-accounts/",
        applies=_is_namespace_or_account,
        check=_default_accounts,
        about="Namespace, with ServiceAccount (whole stack)",
        references=(*cis_kubernetes("5.1.5"), *top_ten("K06")),
    ),
)
