"""Machines of a site: disk, Secure Boot, updates of the operating system, kernel settings, and what each has proved.

Judges what the component of a host publishes of it, and what its gate (`<host>-facts`) has found there. Keys of disks
are judged in every command, and in the user data of instances.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from policies.rules.frameworks import nist
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.patterns import decoded
from policies.rules.rule import Reference, Rule, StackRule, attempt
from policies.rules.scripts import plain
from policies.rules.subject import Subject

_GUIDE = "https://docs.k3s.io/security/hardening-guide"
_DISK = "https://www.freedesktop.org/software/systemd/man/latest/systemd-cryptenroll.html"
_ABOUT = "edge:index:Host"
ENCRYPTED = "luks-tpm2"

_SYSCTLS: Mapping[str, str] = {
    "vm.panic_on_oom": "0",
    "vm.overcommit_memory": "1",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}
"""What the kubelet needs with `protect-kernel-defaults`. Source: K3s' hardening guide."""


def _disk_encrypted(subject: Subject) -> Iterator[Violation]:
    disk = subject.get("disk")
    if disk.text() == ENCRYPTED:
        return
    # Whoever runs a virtual machine decides on its disk. Without a TPM nothing could unlock it where nobody is; `edge
    # check` advises against such a machine.
    if subject.get("virtual").flag() or subject.get("tpm").flag() is False:
        return
    yield Violation(disk.path, "is not luks-tpm2: who carries the machine away can read its disk")


_INLINE = re.compile(
    r"(?:\b(?:echo|printf)\b[^|\n]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?cryptsetup\b"
    r"|\bcryptsetup\b[^\n]*(?:<<<|--key-file[= ]\s*<\()"
    r"|\bcryptsetup\b[^\n]*<<-?\s*[\"']?\w"
    r"|\b(?:PASSWORD|PASSPHRASE|NEWPASSWORD)=\S+[^\n]*\b(?:systemd-cryptenroll|cryptsetup)\b)"
)
"""A key that is written where a disk is encrypted or opened."""

_IGNITION_KEY = re.compile(
    r"[\"']?key_?[fF]ile[\"']?\s*:\s*\{?[^}]{0,200}?[\"']?(?:source[\"']?\s*:\s*[\"']?data:[^,\"']*,[^\"'\s]|inline[\"']?\s*:)",
    re.DOTALL,
)
"""A key of a LUKS device in Ignition or Butane, written into the file."""


@functools.lru_cache(maxsize=128)
def inline_key(text: str) -> bool:
    """Whether ``text``, a script or a configuration for a first boot, holds a key of a disk."""
    if ("cryptsetup" in text or "cryptenroll" in text) and _INLINE.search(plain(text)):
        return True
    return "luks" in text and bool(_IGNITION_KEY.search(text))


def _no_inline_disk_key(subject: Subject) -> Iterator[Violation]:
    for name in ("create", "update", "userData", "userDataBase64"):
        yield from attempt(_key_in(subject, name))


def _key_in(subject: Subject, name: str) -> Iterator[Violation]:
    node = subject.get(name)
    text = node.text() or ""
    if inline_key(text) or (name.startswith("userData") and inline_key(decoded(text))):
        yield Violation(node.path, "holds the key of an encrypted disk: who reads it can read the disk")


def _secure_boot(subject: Subject) -> Iterator[Violation]:
    asked = subject.get("secure_boot")
    if not asked.flag():
        return
    for name, lacks in (("system", "its operating system is not signed"), ("hardware", "its firmware has none")):
        if not subject.get("secure_boot_possible", name).flag():
            yield Violation(asked.path, f"asks for Secure Boot, and {lacks}: the host would be refused, or never boot")


def _os_updates(subject: Subject) -> Iterator[Violation]:
    updates = subject.get("updates")
    if updates.get("managed").flag() is False:
        return
    if not updates.get("unit").text():
        yield Violation(updates.get("unit").path, "names no service that updates the operating system")
    if not re.fullmatch(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:\d\d", updates.get("window").text() or ""):
        yield Violation(updates.get("window").path, "is no weekday with a time: updates may reboot it at any moment")
    hours = updates.get("hours")
    if not 1 <= (hours.number() or 0) <= 12:
        yield Violation(hours.path, "is not from 1 to 12")


def _os_updates_set(subject: Subject) -> Iterator[Violation]:
    node = subject.get("updates", "managed")
    if node.flag() is False:
        yield Violation(node.path, "says that something else updates the host, which nothing here can judge")


def _kubelet_sysctls(subject: Subject) -> Iterator[Violation]:
    sysctls = subject.get("sysctls")
    for name, value in _SYSCTLS.items():
        found = sysctls.get(name)
        if found.text() != value:
            yield Violation(found.path, f"must be {value}: with protect-kernel-defaults the kubelet does not start")


def _attested(subject: Subject) -> Iterator[Violation]:
    """What a host is said to be is looked for on it, before anything is installed there."""
    looked_for = subject.get("attests")
    names = {node.text() for node in looked_for.each()}
    needed = {"host-key", "architecture", "operating-system"}
    if subject.get("disk").text() == ENCRYPTED:
        needed |= {"disk", "tpm"}
    if subject.get("secure_boot").flag():
        needed.add("secure-boot")
    for name in sorted(needed - names):
        yield Violation(looked_for.path, f"does not have {name}: the host would be believed instead of looked at")


def _agrees_with_facts(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    for subject in subjects:
        for violation in attempt(_disagreements(subject)):
            yield subject, violation


def _disagreements(subject: Subject) -> Iterator[Violation]:
    # Unknown until the gate has run. It refuses a host that disagrees before anything is installed on it, so that a
    # new host needs no verdict here; one that the stack holds has its facts in the state.
    facts = subject.resource.outputs.get("facts")
    if not isinstance(facts, Mapping) or not facts:
        return
    disk, secure_boot = subject.get("disk"), subject.get("secure_boot")
    if disk.text() == ENCRYPTED:
        for fact, expected in (("luks", "tpm2"), ("tpm", "2.0")):
            yield from _proved(facts, fact, expected, disk.path, f"claims {ENCRYPTED}")
    if secure_boot.flag():
        yield from _proved(facts, "secure_boot", "on", secure_boot.path, "claims Secure Boot")


def _proved(facts: Mapping[str, object], fact: str, expected: str, path: str, claim: str) -> Iterator[Violation]:
    found = facts.get(fact)
    if isinstance(found, str) and found != expected:
        yield Violation(path, f"{claim}, and the host itself has shown {fact}={found}")
    elif found is None:
        raise HiddenError(f"facts.{fact}", "is not among what the host has shown")


def _is_host(kind: Kind) -> bool:
    return kind.is_part("Host")


def _may_hold_disk_key(kind: Kind) -> bool:
    if kind.command:
        return kind.name == "Command"
    return kind.provider == "aws" and kind.name in ("Instance", "LaunchTemplate", "SpotInstanceRequest")


_rule = partial(Rule, level="mandatory", severity="high", url=_GUIDE, applies=_is_host, about=_ABOUT)


RULES = (
    _rule(
        id="host/disk-encrypted",
        check=_disk_encrypted,
        severity="critical",
        title="The disk of every machine with a TPM is encrypted, and unlocked by the TPM.",
        why="A stolen machine would give away the cluster's tokens, keys and data.",
        remedy="Write `os: {disk: luks-tpm2}` and install the host anew.",
        url=_DISK,
        references=nist("SC-28(1)"),
    ),
    _rule(
        id="host/no-inline-disk-key",
        check=_no_inline_disk_key,
        severity="critical",
        title="No command and no user data holds the key of a disk.",
        why="States, logs and the cloud's records keep scripts and user data: the key would lie beside the lock.",
        remedy="Bind the disk to the TPM (`systemd-cryptenroll --tpm2-device=auto`, `luks: tpm2: true` in Butane), and "
        "keep a recovery key somewhere else.",
        url=_DISK,
        applies=_may_hold_disk_key,
        about="command:remote:Command, aws:ec2/instance:Instance, aws:ec2/launchTemplate:LaunchTemplate",
        unknown="warns",
        references=nist("SC-12"),
    ),
    _rule(
        id="host/secure-boot",
        check=_secure_boot,
        severity="medium",
        title="Secure Boot is asked for only where the operating system and the firmware have it.",
        why="A host that cannot have it is refused by its own gate, or does not boot after an update.",
        remedy="Write `os: {distribution: fedora-coreos}` for a signed system, or `os: {secure_boot: false}`.",
        url="https://docs.fedoraproject.org/en-US/fedora-coreos/",
        references=nist("SI-7(9)"),
    ),
    _rule(
        id="host/os-updates",
        check=_os_updates,
        title="The operating system updates itself, and reboots in a window only.",
        why="A site that nobody visits keeps every known hole otherwise, or goes down in the middle of a shift.",
        remedy='Write `os: {updates: {window: "Sun 02:00", hours: 2}}`.',
        references=nist("SI-2"),
    ),
    _rule(
        id="host/os-updates-set",
        check=_os_updates_set,
        level="advisory",
        severity="medium",
        title="The program sets the updates of the operating system.",
        why="With `managed: false` a host has the updates that its image or its own management brings, or none.",
        remedy="Remove `managed: false` below `os.updates`, or make sure that what updates the host keeps a window.",
        references=nist("SI-2"),
    ),
    _rule(
        id="host/kubelet-sysctls",
        check=_kubelet_sysctls,
        title="The kernel has the settings that a hardened kubelet needs.",
        why="With `protect-kernel-defaults` the kubelet stops at its start where they differ, as after a reboot.",
        remedy="Keep `/etc/sysctl.d/90-kubelet.conf` as the component writes it.",
        references=(Reference("K3s hardening guide", "protect-kernel-defaults"),),
    ),
    _rule(
        id="host/attested",
        check=_attested,
        title="What a host is said to be is looked for on it, before anything is installed.",
        why="A machine that somebody has put in the place of another one would get the tokens of the cluster.",
        remedy="Keep the host's pinned `host_key` and its gate (`<host>-facts`), as the component makes them.",
        references=nist("IA-3"),
    ),
)

STACK_RULES = (
    StackRule(
        id="host/agrees-with-facts",
        level="mandatory",
        severity="critical",
        title="What a host has shown of its disk, TPM and Secure Boot agrees with what its site file says.",
        why="A host that was installed anew without encryption would go on as an encrypted one.",
        remedy="Install the host as `os` says, or write what it is: `os: {disk: none}`, `os: {secure_boot: false}`.",
        url=_DISK,
        applies=_is_host,
        check=_agrees_with_facts,
        about=_ABOUT,
        references=nist("SC-28(1)", "SI-7(9)"),
    ),
)
