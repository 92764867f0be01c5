"""The way out of one host, as scripts: authorities for the system's store, the environment of what goes out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from components.egress import ALWAYS, ENVIRONMENT, Egress, Proxy, exceptions
from components.expected import Expected, file
from components.host.machine import Machine
from components.network.spec import NetworkSpec
from components.shell import fragment, here_document, render


@dataclass(frozen=True)
class HostPlan:
    """The scripts of one host."""

    setup: str
    """By standard input: the text of ``ENVIRONMENT``. Stops where the proxy does not answer, or refuses the login."""
    remove: str
    """Takes away what ``setup`` left."""
    expected: tuple[Expected, ...]
    """What ``setup`` leaves."""


def egress_of(spec: NetworkSpec | None, near: Iterable[str]) -> Egress:
    """The way out of a site. ``near`` are the names, addresses and networks that are part of the site itself."""
    if spec is None:
        return Egress()
    proxy = None
    if spec.proxy:
        left_out = exceptions([*ALWAYS, *spec.proxy.no_proxy, *near])
        proxy = Proxy(spec.proxy.url, spec.proxy.login, left_out)
    return Egress(proxy, dict(spec.trusted_cas))


def plan(egress: Egress, machine: Machine) -> HostPlan:
    """Scripts for one host."""
    store = machine.system.trust_store
    certificates = {store.path(name): text for name, text in egress.certificates.items()} if store else {}
    values: dict[str, object] = {"node": machine.node, "environment": ENVIRONMENT, "store": store}
    return HostPlan(
        setup=render(
            "network/setup.sh.j2",
            **values,
            fingerprint=egress.fingerprint,
            certificates={path: here_document(text) for path, text in certificates.items()},
            proxy=egress.proxy,
        ),
        remove=render("network/remove.sh.j2", **values, kubernetes_node=machine.kubernetes_node),
        expected=(
            *(one for path, text in certificates.items() for one in file(path, "0644", text)),
            *file(ENVIRONMENT, "0600", None),
        ),
    )


def host_checks(egress: Egress, machine: Machine) -> str:
    """Looks whether the proxy can be reached and the store be written, before anything is changed."""
    return fragment(
        "network/host_checks.sh.j2",
        proxy=egress.proxy,
        store=machine.system.trust_store if egress.authorities else None,
    )
