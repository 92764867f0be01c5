"""Rules about the machines of one site: who is who, how each is reached, and what its hardware bears.

Pure. Their addresses are in ``addresses``; what runs on them is the parts' business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from components.host.systems import SYSTEMS, system_of
from sitefile.problems import DataPath, Finding, any_of, near_miss
from stacks.catalogue import Catalogue
from stacks.site import SiteSpec

LONGEST_NAME = 63


def findings(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    """Hosts with unknown hardware are not checked further."""
    yield from _hosts(spec, data)
    yield from _jump_hosts(spec)
    yield from _systems(spec, data)


def _hosts(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    names: dict[str, int] = {}
    # Kubernetes and the stack's state know a renamed host by the name that it had.
    taken = {host.name for host in spec.hosts}
    for index, host in enumerate(spec.hosts):
        if host.renamed_from is not None and host.renamed_from in taken:
            yield Finding(
                ("hosts", index, "renamed_from"),
                f"`{host.renamed_from}` is a host of this site, or one that another host was before",
                "a name that no host of the site has or had",
                "check the name; a host that takes over a name is another machine: remove the old one first",
            )
        taken.add(host.renamed_from or host.name)
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


def _unknown(path: DataPath, what: str, name: str, known: Collection[str]) -> Finding:
    near = near_miss(name, known)
    return Finding(
        path,
        f"there is no {what} `{name}`" + (f": did you mean `{near}`?" if near else ""),
        any_of(sorted(known)),
        f"write `{near}`" if near else "choose one of these, or describe it in stacks/profiles",
    )


def _jump_hosts(spec: SiteSpec) -> Iterator[Finding]:
    """Hosts behind jump hosts: each chain must begin at a host that is reached directly."""
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
        # Every host of a circle finds it; it is reported for the first one.
        if via == host.name and host.name == min(passed, key=list(by_name).index):
            yield Finding(
                path,
                f"the way to `{host.name}` leads in a circle: {' -> '.join([*passed, host.name])}",
                "a way that begins at a host without `via`",
                "remove `via` from the host that is reached directly",
            )


def _systems(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    """Values that do not fit a host's hardware. One that is wrong for several hosts is reported once."""
    said: dict[Finding, list[str]] = {}
    for index, host in enumerate(spec.hosts):
        if host.hardware in data.hardware:
            for finding in _system(spec, index, data):
                said.setdefault(finding, []).append(f"`{host.name}`")
    for finding, names in said.items():
        yield finding._replace(what=f"{finding.what} ({', '.join(names)})")


def _system(spec: SiteSpec, index: int, data: Catalogue) -> Iterator[Finding]:
    host = spec.hosts[index]
    hardware, os = data.hardware[host.hardware], spec.os_of(host)
    system = system_of(os)

    def at(key: str) -> DataPath:
        """Where the value is written. A default that does not fit is reported at the hardware, which the file names."""
        if host.os is not None and key in host.os.model_fields_set:
            return ("hosts", index, "os", key)
        return ("os", key) if key in spec.os.model_fields_set else ("hosts", index, "hardware")

    if os.secure_boot and system.secure_boot:
        able = [name for name, other in SYSTEMS.items() if not other.secure_boot and not other.only_on]
        yield Finding(
            at("secure_boot"),
            f"{system.title} cannot boot with Secure Boot: {system.secure_boot}",
            "a signed system, or no Secure Boot",
            f"write `distribution: {able[0]}`, or `secure_boot: false`",
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
    elif os.disk == "luks-tpm2" and hardware.memory_mib < system.tpm_unlock_memory_mib:
        yield Finding(
            at("disk"),
            f"{system.title} cannot unlock a disk by TPM with the {hardware.memory_mib} MiB of RAM of {host.hardware}",
            f"at least {system.tpm_unlock_memory_mib} MiB",
            "use another distribution on such a host, or `disk: none`",
        )
    # Decided by the kind of the built-in accelerator and not by its name: own profiles may use any name.
    built_in = {data.accelerators[name].kind for name in hardware.accelerators if name in data.accelerators}
    fitting = [name for name, other in SYSTEMS.items() if other.only_on in built_in]
    if (system.name not in fitting) if fitting else (system.only_on is not None):
        yield Finding(
            at("distribution"),
            f"{system.name} does not run on {host.hardware}",
            "jetson-linux on a Jetson, and there only",
            f"write `os: {{distribution: {fitting[0] if fitting else 'flatcar'}}}` for such a host",
        )
