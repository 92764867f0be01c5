"""Rules about the machines of one site: who is who, how each is reached, and what its hardware bears.

Pure. Their addresses are in ``addresses``; what runs on them is the parts' business.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.host.reboots import DAYS, NEEDED, whole
from components.host.spec import HostSpec, UpdateWindow
from components.host.systems import SYSTEMS, system_of
from sitefile.problems import DataPath, Finding, Problem, any_of, near_miss
from stacks.catalogue import Catalogue
from stacks.site import SiteSpec

LONGEST_NAME = 63


def findings(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    """Hosts with unknown hardware are not checked further."""
    yield from _hosts(spec, data)
    yield from _jump_hosts(spec)
    yield from _bastions(spec)
    yield from _sudo(spec)
    yield from _systems(spec, data)
    yield from _disks(spec, data)
    yield from _windows(spec)


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
            yield _unusable(("hosts", index, "hardware"), "hardware", host.hardware, data)
        for name in data.hardware[host.hardware].accelerators if host.hardware in data.hardware else ():
            if name not in data.accelerators:
                yield broken(("hosts", index, "hardware"), name, data.broken["accelerators", name])
        for at, name in enumerate(host.accelerators):
            if name not in data.accelerators:
                yield _unusable(("hosts", index, "accelerators", at), "accelerators", name, data)
        if host.mig is not None and host.hardware in data.hardware:
            yield from _parts_of_gpus(host, ("hosts", index, "mig"), data)


def _parts_of_gpus(host: HostSpec, path: DataPath, data: Catalogue) -> Iterator[Finding]:
    """MIG cuts all GPUs of a host alike, or the device plugin offers none of them."""
    names = dict.fromkeys((*data.hardware[host.hardware].accelerators, *host.accelerators))
    gpus = {name: data.accelerators[name] for name in names if name in data.accelerators}
    gpus = {name: found for name, found in gpus.items() if found.kind == "nvidia-gpu"}
    for name, found in gpus.items():
        if host.mig not in found.mig:
            yield Finding(
                path,
                f"MIG does not cut {name} into `{host.mig}`",
                any_of(sorted(found.mig)) if found.mig else "a GPU that MIG can cut, for all of a host's GPUs",
                "choose one of these"
                if found.mig
                else "remove `mig`, or describe the profiles of the GPU in stacks/profiles",
            )
    if not gpus:
        yield Finding(
            path,
            f"`{host.name}` has no NVIDIA GPU that MIG could cut",
            "a GPU in `accelerators`",
            "add it, or remove `mig`",
        )


def broken(path: DataPath, name: str, problem: Problem) -> Finding:
    """A name whose description cannot be used."""
    place = f"{problem.file.as_posix()}:{problem.line}:{problem.column}"
    return Finding(
        path,
        f"the description of `{name}` has errors: {place}: {problem.what}",
        "a description without errors",
        f"correct {problem.file.as_posix()}",
    )


def _unusable(path: DataPath, key: str, name: str, data: Catalogue) -> Finding:
    """A name that the catalogue does not have, or has with errors."""
    if (key, name) in data.broken:
        return broken(path, name, data.broken[key, name])
    what, known = ("hardware profile", data.hardware) if key == "hardware" else ("accelerator", data.accelerators)
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
        if by_name[host.via].via is not None and by_name[host.via].via != host.name and host.via != host.name:
            yield Finding(
                path,
                f"`{host.via}` is itself behind `{by_name[host.via].via}`: SSH goes through one jump host only",
                "a jump host that is reached directly",
                f"write `via: {by_name[host.via].via}` if it reaches `{host.name}`, or reach `{host.via}` directly",
            )
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


def _bastions(spec: SiteSpec) -> Iterator[Finding]:
    """SSH goes through one machine on its way, and not through two."""
    by_name = {host.name: host for host in spec.hosts}
    own = {host.host_key: host for host in spec.hosts}
    said = set()
    for index, host in enumerate(spec.hosts):
        bastion = spec.ssh_of(host).bastion
        at: DataPath = ("ssh", "bastion")
        if host.ssh is not None and "bastion" in host.ssh.model_fields_set:
            at = ("hosts", index, "ssh", "bastion")
        if bastion is not None and bastion.host_key in own and at not in said:
            said.add(at)
            name = own[bastion.host_key].name
            yield Finding(
                (*at, "host_key"),
                f"the bastion is `{name}`, a host of this site: it has the same host key",
                "a machine outside the site",
                f"write `via: {name}` at the hosts behind it, and no bastion",
            )
        if host.via is None:
            continue
        if bastion is not None and at[0] == "hosts":
            yield Finding(
                at,
                f"`{host.name}` is behind host `{host.via}` too: SSH goes through one machine only",
                "`via`, or a bastion",
                "remove one of the two",
            )
        elif host.via in by_name and by_name[host.via].via is None and spec.bastion_of(by_name[host.via]):
            yield Finding(
                ("hosts", index, "via"),
                f"`{host.via}` is itself behind a bastion: SSH goes through one machine only",
                "a jump host that is reached directly, or the bastion alone",
                f"remove `via` if the bastion reaches `{host.name}`; or write `ssh: {{bastion: null}}` at `{host.via}`"
                " if it is reached directly",
            )


def _sudo(spec: SiteSpec) -> Iterator[Finding]:
    """A password that nothing asks for. Reported once for the site's own."""
    said = set()
    if spec.ssh.sudo_login is not None and not any(spec.ssh_of(host).sudo == "password" for host in spec.hosts):
        yield _asked_for_nowhere(("ssh", "sudo_login"))
    for index, host in enumerate(spec.hosts):
        ssh = spec.ssh_of(host)
        own = host.ssh is not None and "sudo" in host.ssh.model_fields_set
        at: DataPath = ("hosts", index, "ssh", "sudo") if own else ("ssh", "sudo")
        if host.ssh is not None and host.ssh.sudo_login is not None and ssh.sudo != "password":
            yield _asked_for_nowhere(("hosts", index, "ssh", "sudo_login"))
        if ssh.user == "root" and ssh.sudo == "password" and at not in said:
            said.add(at)
            yield Finding(
                at,
                f"`{host.name}` is logged in to as root, who needs no sudo",
                "`sudo: password` with another user only",
                "remove it, or write the `user` whose password it is",
            )


def _asked_for_nowhere(at: DataPath) -> Finding:
    return Finding(
        at,
        "sudo asks for no password here",
        "`sudo_login` beside `sudo: password`",
        "write `sudo: password` in the same block, or remove `sudo_login`",
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
    if os.nvidia is not None and not system.apt:
        yield Finding(
            at("nvidia"),
            f"{system.title} has no packages of NVIDIA's that this program installs",
            "`os.nvidia` on Debian and Ubuntu only",
            f"remove it; what {system.title} gets them from: docs/accelerators.md",
        )
    elif os.nvidia is not None and os.secure_boot and os.nvidia.unsigned(system.name):
        yield Finding(
            at("nvidia"),
            "Secure Boot loads no kernel module that DKMS has built on the host without a key enrolled at its console",
            "signed modules (Ubuntu's `linux-modules-nvidia-...`), or hosts without `secure_boot`",
            "use those packages, or install the driver yourself and leave `driver` and its packages out",
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


def _disks(spec: SiteSpec, data: Catalogue) -> Iterator[Finding]:
    """Advice about disks that whoever carries a machine away can read. A virtual one is its hypervisor's business."""
    for index, host in enumerate(spec.hosts):
        hardware = data.hardware.get(host.hardware)
        if hardware is None or hardware.virtual or spec.os_of(host).disk != "none":
            continue
        own = host.os is not None and "disk" in host.os.model_fields_set
        remedy = "write `disk: luks-tpm2` and install it anew" if hardware.tpm else "use hardware with a TPM"
        yield Finding(
            ("hosts", index, "os", "disk") if own else ("os", "disk"),
            f"the disk of `{host.name}` is not encrypted: who takes it away has the tokens and keys of the cluster",
            "`disk: luks-tpm2` on a machine that stands where people can reach it",
            f"{remedy}, or keep no secret on this site",
            advice=True,
        )


def _windows(spec: SiteSpec) -> Iterator[Finding]:
    """Advice about servers that may restart at the same time, or that have too little time one after the other."""
    reboots = spec.reboots
    sharing: dict[UpdateWindow, list[int]] = {}
    for index, host in enumerate(spec.hosts):
        if host.role != "server":
            continue
        updates = spec.os_of(host).updates
        at = (
            ("hosts", index, "os", "updates") if host.os is not None and "updates" in host.os.model_fields_set else None
        )
        other = next(
            (
                spec.hosts[earlier].name
                for window, indices in sharing.items()
                for earlier in indices
                if window != updates and reboots[spec.hosts[earlier].name].overlaps(reboots[host.name])
            ),
            None,
        )
        sharing.setdefault(updates, []).append(index)
        if other is not None:
            free = next((day for day in _other_days(updates) if not _taken(spec, day)), updates)
            yield Finding(
                at or ("hosts", index),
                f"`{host.name}` may restart at the same time as `{other}` ({updates.window}, {updates.hours} h):"
                " without a majority of its servers the cluster stands still",
                "windows of servers that do not overlap, or one that all share",
                f'write `os: {{updates: {{window: "{free.window}", hours: {free.hours}}}}}` for this host',
                advice=True,
            )
    for updates, indices in sharing.items():
        each, needed = updates.hours * 60 // len(indices), -(-len(indices) * NEEDED // 60)
        if len(indices) > 1 and each < NEEDED:
            yield Finding(
                ("hosts", indices[0]),
                f"{len(indices)} servers restart one after the other in {updates.hours} h: each has {each} minutes",
                f"{NEEDED} minutes or more for each",
                f"write `hours: {needed}` below `os.updates`, or give some of them windows of their own",
                advice=True,
            )


def _taken(spec: SiteSpec, updates: UpdateWindow) -> bool:
    return any(whole(updates).overlaps(whole(spec.os_of(host).updates)) for host in spec.servers)


def _other_days(updates: UpdateWindow) -> Iterator[UpdateWindow]:
    """The same time of the next days."""
    day, time = updates.window.split()
    for later in range(1, len(DAYS)):
        yield updates.model_copy(update={"window": f"{DAYS[(DAYS.index(day) + later) % len(DAYS)]} {time}"})
