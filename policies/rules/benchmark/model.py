"""What a check of the benchmark is, and how a value is compared with what it requires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Process = Literal[
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet", "kube-proxy", "secrets-encryption"
]
"""What has the flags. `secrets-encryption` is no process: its one flag is the provider that encrypts Secrets."""

Operator = Literal["is", "not", "has", "lacks", "only", "set", "unset", "at least"]
Datastore = Literal["sqlite", "etcd", "external"]


class Reason(NamedTuple):
    """Why the benchmark is not followed in one point, or has no object here."""

    kind: Literal["waived", "none"]
    """``waived``: it asks for something that we leave out. ``none``: K3s does not have what it asks about."""
    text: str


@dataclass(frozen=True, kw_only=True)
class FlagCheck:
    """A check of one flag, or of several that must all be there."""

    id: str
    title: str
    rule: str
    """The policy that judges it, without its group."""
    process: Process
    flag: str
    operator: Operator
    value: str = ""
    also: tuple[str, ...] = ()
    """More flags of which the same is required."""
    unset_is_fine: bool = False
    """Whether the default of Kubernetes is what is required, so that a flag that is not set passes."""
    since: int = 0
    """Minor version of Kubernetes from which the profile has it."""
    datastore: tuple[Datastore, ...] = ("sqlite", "etcd", "external")
    """The datastores with which it has an object."""
    remedy: str
    reason: Reason | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag, *self.also)

    @property
    def required(self) -> str:
        """What is required, in words."""
        described = _DESCRIBED[self.operator]
        return f"{described} {self.value}".strip() + (" (or not set)" if self.unset_is_fine else "")

    def met(self, flags: Mapping[str, str]) -> bool:
        """Whether these flags of its process are as required."""
        return all(self._met(flags.get(flag)) for flag in self.flags)

    def _met(self, found: str | None) -> bool:
        if found is None:
            return self.unset_is_fine or self.operator in ("unset", "lacks")
        return _COMPARED[self.operator](found, self.value)


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """A check of the files that K3s keeps: only a host can show them."""

    id: str
    title: str
    paths: tuple[str, ...]
    """May be patterns. A file that is not there has no mode that could be wrong."""
    mode: int | None = None
    """Most that the mode may allow; None where the owner is checked."""
    agents: bool = False
    """Whether agents have them too."""

    @property
    def required(self) -> str:
        return "owner root:root" if self.mode is None else f"at most {self.mode:04o}"

    def met(self, mode: int, owner: str) -> bool:
        return owner == "root:root" if self.mode is None else mode & ~self.mode & 0o7777 == 0


@dataclass(frozen=True, kw_only=True)
class OtherCheck:
    """A check that no flag and no file answers."""

    id: str
    title: str
    by: str = ""
    """The policies that judge it, in words."""
    reason: Reason | None = None


Check = FlagCheck | FileCheck | OtherCheck


def _list(value: str) -> set[str]:
    return {item.strip() for item in value.split(",") if item.strip()}


def _at_least(found: str, value: str) -> bool:
    return found.isdecimal() and int(found) >= int(value)


_COMPARED: Mapping[Operator, Callable[[str, str], bool]] = {
    "is": lambda found, value: found == value,
    "not": lambda found, value: found not in value.split(","),
    "has": lambda found, value: value in _list(found),
    "lacks": lambda found, value: value not in _list(found),
    "only": lambda found, value: bool(_list(found)) and _list(found) <= _list(value),
    "set": lambda found, _: bool(found),
    "unset": lambda _found, _value: False,
    "at least": _at_least,
}
_DESCRIBED: Mapping[Operator, str] = {
    "is": "",
    "not": "not",
    "has": "includes",
    "lacks": "does not include",
    "only": "none but",
    "set": "set",
    "unset": "not set",
    "at least": "at least",
}
