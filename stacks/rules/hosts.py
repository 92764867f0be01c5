"""Rules about the machines of one site: who is who, how each is reached, and what its hardware bears.

Pure. Their addresses are in ``address_rules``, what runs on them is in ``site_rules``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.host.spec import HardwareProfile, HostSpec
from sitefile.problems import DataPath, Finding, any_of, near_miss
from stacks.catalogue import Catalogue
from stacks.site import SiteSpec

AGENT_MEMORY_MIB = 512
"""RAM below which not even an agent runs (an agent alone takes 268-275 MB)."""

SERVER_MEMORY_MIB = 1638
"""RAM below which a K3s server with workload does not run (about 1.6 GB)."""

CLEVIS_MEMORY_MIB = 4096
"""RAM that Fedora CoreOS needs to unlock its disk by TPM."""

LONGEST_NAME = 63


def findings(spec: SiteSpec, data: Catalogue, known: Mapping[str, HardwareProfile]) -> Iterator[Finding]:
    """``known`` is the hardware of the hosts by name, without those whose profile does not exist."""
    yield from _hosts(spec, data)
    yield from _ways(spec)
    yield from _systems(spec, known)
    yield from _memory(spec, known)


def _hosts(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    names: dict[str, int] = {}
    keys: dict[str, str] = {}
    for index, host in enumerate(spec.hosts):
        if host.name in names:
            yield Finding(
                ("hosts", index, "name"),
                f"the name `{host.name}` is taken: hosts[{names[host.name]}] has it",
                "a name of its own for each host",
                "give one of the two another name",
            )
        names.setdefault(host.name, index)
        if len(spec.node(host)) > LONGEST_NAME:
            yield Finding(
                ("hosts", index, "name"),
                f"`{spec.node(host)}`, its host name, has {len(spec.node(host))} characters",
                f"at most {LONGEST_NAME} characters for site, hyphen and host together",
                "shorten the name of the host or of the site",
            )
        if host.host_key in keys:
            yield Finding(
                ("hosts", index, "host_key"),
                f"`{keys[host.host_key]}` has the same host key",
                "a key of its own for each machine: it is what tells them apart",
                "read it again with `ssh-keyscan`; machines made from one image need new keys",
            )
        keys.setdefault(host.host_key, host.name)
        if host.hardware not in data.hardware:
            yield _unknown(("hosts", index, "hardware"), "hardware profile", host.hardware, data.hardware)
        for at, name in enumerate(host.accelerators):
            if name not in data.accelerators:
                yield _unknown(("hosts", index, "accelerators", at), "accelerator", name, data.accelerators)


def _unknown(path: DataPath, what: str, name: str, known: Mapping[str, object]) -> Finding:
    near = near_miss(name, known)
    return Finding(
        path,
        f"there is no {what} `{name}`" + (f": did you mean `{near}`?" if near else ""),
        any_of(sorted(known)),
        f"write `{near}`" if near else "choose one of these, or describe it in stacks/profiles",
    )


def _ways(spec: SiteSpec) -> Iterator[Finding]:
    """Hosts behind other hosts: each way must end at a host that is reached directly."""
    by_name = {host.name: host for host in spec.hosts}
    for index, host in enumerate(spec.hosts):
        if host.via is None:
            continue
        path = ("hosts", index, "via")
        if host.via not in by_name:
            near = near_miss(host.via, by_name)
            meant = f": did you mean `{near}`?" if near else ""
            others = [name for name in by_name if name != host.name]
            yield Finding(
                path,
                f"there is no host `{host.via}`{meant}",
                any_of(others) if others else "another host of this site",
                f"write `{near}`" if near else "describe that host below `hosts` as well, or remove `via`",
            )
            continue
        passed = [host.name]
        while (via := by_name[passed[-1]].via) in by_name and via not in passed:
            passed.append(via)
        # Every host of a circle finds it; the first one says so.
        if via == host.name and host.name == min(passed, key=list(by_name).index):
            yield Finding(
                path,
                f"the way to `{host.name}` leads in a circle: {' -> '.join([*passed, host.name])}",
                "a way that begins at a host without `via`",
                "remove `via` from the host that is reached directly",
            )


def _systems(spec: SiteSpec, known: Mapping[str, HardwareProfile]) -> Iterator[Finding]:
    """What does not go with a host's hardware; one value that is wrong for several hosts is complained about once."""
    said: dict[Finding, list[str]] = {}
    for index, host in enumerate(spec.hosts):
        if host.name in known:
            for finding in _system(spec, index, host, known[host.name]):
                said.setdefault(finding, []).append(f"`{host.name}`")
    for finding, names in said.items():
        yield finding._replace(what=f"{finding.what} ({', '.join(names)})")


def _system(spec: SiteSpec, index: int, host: HostSpec, hardware: HardwareProfile) -> Iterator[Finding]:
    os = spec.os_of(host)

    def at(key: str) -> DataPath:
        """Where the value is written; one that nobody wrote is wrong for the hardware, which somebody did write."""
        if host.os is not None and key in host.os.model_fields_set:
            return ("hosts", index, "os", key)
        return ("os", key) if key in spec.os.model_fields_set else ("hosts", index, "hardware")

    is_jetson = any(name.startswith("nvidia-jetson") for name in hardware.accelerators)
    if os.secure_boot and os.distribution == "flatcar":
        yield Finding(
            at("secure_boot"),
            "Flatcar cannot boot with Secure Boot: its images are unsigned",
            "a signed system, or no Secure Boot",
            "write `distribution: fedora-coreos`, or `secure_boot: false`",
        )
    if os.secure_boot and not hardware.secure_boot:
        yield Finding(
            at("secure_boot"),
            f"{host.hardware} has no Secure Boot",
            "hardware whose firmware enforces it",
            "write `os: {secure_boot: false}` for such a host, or use other hardware",
        )
    if os.disk == "luks-tpm2" and not hardware.tpm:
        yield Finding(
            at("disk"),
            f"{host.hardware} has no TPM that could unlock an encrypted disk",
            "a TPM 2.0 for `disk: luks-tpm2`",
            "write `os: {disk: none}` for such a host, or use other hardware",
        )
    elif os.disk == "luks-tpm2" and os.distribution == "fedora-coreos" and hardware.memory_mib < CLEVIS_MEMORY_MIB:
        yield Finding(
            at("disk"),
            f"Fedora CoreOS cannot unlock a disk by TPM with the {hardware.memory_mib} MiB of RAM of {host.hardware}",
            f"at least {CLEVIS_MEMORY_MIB} MiB",
            "use another distribution on such a host, or `disk: none`",
        )
    if is_jetson != (os.distribution == "jetson-linux"):
        yield Finding(
            at("distribution"),
            f"{os.distribution} does not run on {host.hardware}",
            "jetson-linux on a Jetson, and there only",
            f"write `os: {{distribution: {'jetson-linux' if is_jetson else 'flatcar'}}}` for such a host",
        )


def _memory(spec: SiteSpec, known: Mapping[str, HardwareProfile]) -> Iterator[Finding]:
    if spec.k3s is None:
        return
    for index, host in enumerate(spec.hosts):
        minimum = SERVER_MEMORY_MIB if host.role == "server" else AGENT_MEMORY_MIB
        if host.name in known and (memory_mib := known[host.name].memory_mib) < minimum:
            yield Finding(
                ("hosts", index, "role" if "role" in host.model_fields_set else "hardware"),
                f"`{host.name}` has {memory_mib} MiB of RAM, too little for a K3s {host.role}",
                f"at least {minimum} MiB for a K3s {host.role}",
                "write `role: agent`" if memory_mib >= AGENT_MEMORY_MIB else "use a machine with more memory",
            )
