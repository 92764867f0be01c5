"""Network and mesh: what a site exposes, and how its hosts and workloads authenticate to each other."""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules.frameworks import BASELINE, NETWORK_CHAPTER, cis_kubernetes, nist, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.pods import Container, Pod, is_workload, may_hold_pods
from policies.rules.rule import Rule, attempt, each_container
from policies.rules.subject import Subject
from policies.rules.tree import Node

_ENCRYPTED_BACKEND = "wireguard-native"
_LINKERD_INBOUND = frozenset(("all-authenticated", "cluster-authenticated", "deny"))
_LINKERD_POLICY = "config.linkerd.io/default-inbound-policy"
_LINKERD_SKIPPED = ("config.linkerd.io/skip-inbound-ports", "config.linkerd.io/skip-outbound-ports")
_DEFAULT_KEY_HOURS = 90 * 24


def _no_exposed_service(subject: Subject) -> Iterator[Violation]:
    spec = subject.get("spec")
    if spec.get("type").text() in ("NodePort", "LoadBalancer"):
        yield Violation(spec.get("type").path, "opens the Service on every host of the site")
    for address in spec.get("externalIPs").each():
        yield Violation(address.path, "claims an address outside the cluster (CVE-2020-8554)")


def _no_host_port(_: Pod, container: Container) -> Iterator[Violation]:
    for port in container.node.get("ports").each():
        host_port = port.get("hostPort")
        if host_port.number():
            yield Violation(host_port.path, "opens a port of the host")


def _ingress_tls(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name == "Gateway":
        for listener in subject.get("spec", "listeners").each():
            yield from attempt(_listener_tls(listener))
        return
    spec = subject.get("spec")
    tls = spec.get("tls")
    entries = list(tls.each())
    if not entries:
        if tls.present or not subject.kind.patch:
            yield Violation(tls.path, "names no certificate: the Ingress speaks plain HTTP")
        return
    covered: list[str] = []
    for entry in entries:
        hosts = list(entry.get("hosts").each())
        if not hosts:
            return
        covered += [host.text() or "" for host in hosts]
    for rule in spec.get("rules").each():
        name = rule.get("host").text()
        if name and not any(_covers(host, name) for host in covered):
            yield Violation(rule.get("host").path, "is not in any entry of spec.tls: this host is served as plain HTTP")


def _listener_tls(listener: Node) -> Iterator[Violation]:
    protocol = listener.get("protocol")
    if protocol.text() not in ("HTTPS", "TLS"):
        yield Violation(protocol.path, "is neither HTTPS nor TLS")


def _covers(certificate: str, name: str) -> bool:
    return certificate == name or (certificate.startswith("*.") and name.partition(".")[2] == certificate[2:])


def _ingress_no_wildcard(subject: Subject) -> Iterator[Violation]:
    spec = subject.get("spec")
    if subject.kind.name == "Gateway":
        for listener in spec.get("listeners").each():
            yield from attempt(_named_host(listener.get("hostname")))
        return
    if spec.get("defaultBackend").present:
        yield Violation(spec.get("defaultBackend").path, "answers for every host name")
    for rule in spec.get("rules").each():
        yield from attempt(_named_host(rule.get("host")))
    for entry in spec.get("tls").each():
        for host in entry.get("hosts").each():
            yield from attempt(_named_host(host))


def _named_host(host: Node) -> Iterator[Violation]:
    name = host.text()
    if not name:
        yield Violation(host.path, "is not set: it answers for every host name")
    elif "*" in name:
        yield Violation(host.path, "is a wildcard")


def _mtls_strict(subject: Subject) -> Iterator[Violation]:
    kind = subject.kind
    if kind.is_part("K3s"):
        yield from _encrypted_between_hosts(subject)
    elif kind.is_a("security.istio.io", "PeerAuthentication"):
        yield from _peer_authentication(subject)
    elif kind.is_a("networking.istio.io", "DestinationRule"):
        yield from _destination_rule(subject)
    elif kind.is_a("policy.linkerd.io", "Server"):
        policy = subject.get("spec", "accessPolicy")
        if policy.present and policy.text() not in _LINKERD_INBOUND:
            yield Violation(policy.path, "accepts clients that do not authenticate")
    elif kind.is_a("helm.sh", "Release", "Chart"):
        yield from _linkerd_release(subject)
    else:
        yield from _linkerd_annotations(subject.get("metadata"))
        for pod in subject.pods:
            yield from attempt(_linkerd_annotations(pod.metadata))


def _encrypted_between_hosts(subject: Subject) -> Iterator[Violation]:
    backend = subject.get("flannel_backend")
    if backend.text() != _ENCRYPTED_BACKEND:
        yield Violation(backend.path, "leaves the traffic between the hosts unencrypted and unauthenticated")


def _peer_authentication(subject: Subject) -> Iterator[Violation]:
    mode = subject.get("spec", "mtls", "mode")
    if mode.text() != "STRICT" and (mode.present or not subject.kind.patch):
        yield Violation(mode.path, "is not STRICT: plain text is accepted")
    for _, port in subject.get("spec", "portLevelMtls").entries():
        if port.get("mode").text() != "STRICT":
            yield Violation(port.get("mode").path, "is not STRICT: plain text is accepted on this port")


def _destination_rule(subject: Subject) -> Iterator[Violation]:
    policy = subject.get("spec", "trafficPolicy")
    for holder in (policy, *policy.get("portLevelSettings").each()):
        mode = holder.get("tls", "mode")
        if mode.text() == "DISABLE":
            yield Violation(mode.path, "sends plain text")


def _linkerd_release(subject: Subject) -> Iterator[Violation]:
    chart = subject.get("chart").text() or ""
    if chart.rpartition("/")[2] != "linkerd-control-plane":
        return
    policy = subject.get("values", "proxy", "defaultInboundPolicy")
    if policy.text() not in _LINKERD_INBOUND:
        yield Violation(policy.path, "accepts clients that do not authenticate")


def _linkerd_annotations(metadata: Node) -> Iterator[Violation]:
    annotations = metadata.get("annotations")
    if not annotations.present:
        return
    policy = annotations.get(_LINKERD_POLICY)
    if policy.present and policy.text() not in _LINKERD_INBOUND:
        yield Violation(policy.path, "accepts clients that do not authenticate")
    for name in _LINKERD_SKIPPED:
        if annotations.get(name).present:
            yield Violation(annotations.get(name).path, "takes ports out of the mesh")


def _mesh_key(subject: Subject) -> Iterator[Violation]:
    if subject.kind.is_part("Tailscale"):
        yield from attempt(_tagged(subject.get("tags"), "tag:"))
        yield from attempt(_made_key(subject))
        return
    yield from attempt(_tagged(subject.get("tags"), "tag:"))
    yield from attempt(_pre_authorised(subject))
    yield from attempt(_short_lived(subject))
    if "key" not in subject.resource.additional_secret_outputs:
        yield Violation("key", "is not among the resource's additionalSecretOutputs")


def _made_key(subject: Subject) -> Iterator[Violation]:
    """What the component says of a key that it creates. It knows nothing of a configured key."""
    authorised, hours = subject.get("preauthorized"), subject.get("expiry_hours")
    if authorised.flag() is False:
        yield Violation(authorised.path, "is false: each machine would wait for an approval")
    if (hours.number() or 0) > subject.settings.mesh_key_hours:
        yield Violation(hours.path, f"is more than {subject.settings.mesh_key_hours} h")


def _tagged(tags: Node, prefix: str) -> Iterator[Violation]:
    names = list(tags.each())
    if not names:
        yield Violation(tags.path, "is empty: the machines that join would belong to a person")
    for name in names:
        if not (name.text() or "").startswith(prefix):
            yield Violation(name.path, "is not a tag")


def _pre_authorised(subject: Subject) -> Iterator[Violation]:
    node = subject.get("preauthorized")
    if not node.flag():
        yield Violation(node.path, "is not true: each machine would wait for an approval")


def _short_lived(subject: Subject) -> Iterator[Violation]:
    expiry = subject.get("expiry")
    seconds = expiry.number()
    hours = _DEFAULT_KEY_HOURS if seconds is None else seconds / 3600
    if not 0 < hours <= subject.settings.mesh_key_hours:
        yield Violation(
            expiry.path,
            f"is not set, which means 90 days; at most {subject.settings.mesh_key_hours} h are allowed"
            if seconds is None
            else f"is not between 1 s and {subject.settings.mesh_key_hours} h",
        )


def _is_service(kind: Kind) -> bool:
    return kind.is_a("core", "Service")


def _is_ingress(kind: Kind) -> bool:
    return (
        kind.is_a("networking.k8s.io", "Ingress")
        or kind.is_a("extensions", "Ingress")
        or kind.is_a("gateway.networking.k8s.io", "Gateway")
    )


def _in_a_mesh(kind: Kind) -> bool:
    return (
        kind.is_part("K3s")
        or is_workload(kind)
        or kind.is_a("core", "Namespace")
        or kind.is_a("security.istio.io", "PeerAuthentication")
        or kind.is_a("networking.istio.io", "DestinationRule")
        or kind.is_a("policy.linkerd.io", "Server")
        or kind.is_a("helm.sh", "Release", "Chart")
    )


def _is_mesh_key(kind: Kind) -> bool:
    return (kind.provider == "tailscale" and kind.name == "TailnetKey") or kind.is_part("Tailscale")


RULES = (
    Rule(
        id="network/no-exposed-service",
        level="mandatory",
        severity="high",
        title="No Service is a NodePort or a LoadBalancer, or claims external addresses.",
        why="Each of them opens a port on every host and bypasses the site's firewall rules.",
        remedy="Use a ClusterIP Service, and an Ingress with TLS or the mesh for what must be reached from outside.",
        url="https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types",
        applies=_is_service,
        check=_no_exposed_service,
        about="Service",
        references=(*top_ten("K07"), *NETWORK_CHAPTER),
    ),
    Rule(
        id="network/no-host-port",
        level="mandatory",
        severity="high",
        title="No container opens a port of its host.",
        why="It bypasses network policies, and two pods with the same port cannot run on one host.",
        remedy="Remove `hostPort`; use a Service.",
        url="https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline",
        applies=may_hold_pods,
        check=each_container(_no_host_port),
        references=(*BASELINE, *cis_kubernetes("5.2.13"), *top_ten("K07")),
    ),
    Rule(
        id="network/ingress-tls",
        level="mandatory",
        severity="high",
        title="Every Ingress and Gateway serves all of its hosts with TLS.",
        why="A site's network is not trusted: anyone in the building can listen.",
        remedy="List every host in `spec.tls`; give a Gateway's listeners the protocol HTTPS or TLS.",
        url="https://kubernetes.io/docs/concepts/services-networking/ingress/#tls",
        applies=_is_ingress,
        check=_ingress_tls,
        about="Ingress, Gateway",
        references=NETWORK_CHAPTER,
    ),
    Rule(
        id="network/ingress-no-wildcard",
        level="mandatory",
        severity="medium",
        title="Every Ingress and Gateway names its hosts.",
        why="A wildcard captures host names of other workloads, and its certificate is valid for all of them.",
        remedy="Name each host; remove `defaultBackend`.",
        url="https://kubernetes.io/docs/concepts/services-networking/ingress/#hostname-wildcards",
        applies=_is_ingress,
        check=_ingress_no_wildcard,
        about="Ingress, Gateway",
    ),
    Rule(
        id="network/mtls-strict",
        level="mandatory",
        severity="high",
        title="Traffic between hosts is encrypted and authenticated, with no fallback to plain text.",
        why="The cable between two machines in a warehouse can be tapped, and a permissive mode accepts plain text.",
        remedy="Keep K3s' `flannel_backend: wireguard-native`. In a service mesh, set PeerAuthentication STRICT for "
        "Istio, and the default inbound policy all-authenticated for Linkerd. Where a host's kernel has no WireGuard, "
        "name another backend in the site file together with a waiver.",
        url="https://docs.k3s.io/networking/basic-network-options",
        applies=_in_a_mesh,
        check=_mtls_strict,
        about="edge:index:K3s, Namespace, workloads, Istio and Linkerd objects and releases",
        references=(*top_ten("K07"), *NETWORK_CHAPTER),
    ),
    Rule(
        id="network/mesh-key",
        level="mandatory",
        severity="high",
        title="A mesh key is tagged, pre-authorised, short-lived and secret.",
        why="Machines that join with an untagged key belong to a person, and a key that lives for months can leak.",
        remedy="Set `tags`, `preauthorized: true` and an `expiry` within the limit, and keep `key` a secret output.",
        url="https://tailscale.com/kb/1085/auth-keys",
        applies=_is_mesh_key,
        check=_mesh_key,
        about="tailscale:index/tailnetKey:TailnetKey, edge:index:Tailscale",
        references=nist("IA-5"),
    ),
)
