"""What K3s runs with on a host, as `edge audit --live` asks for it and reads the answer. Pure. Judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from components.shell import render

_KUBELET: Mapping[str, str] = {
    "authentication.anonymous.enabled": "anonymous-auth",
    "authentication.x509.clientCAFile": "client-ca-file",
    "authorization.mode": "authorization-mode",
    "eventRecordQPS": "event-qps",
    "makeIPTablesUtilChains": "make-iptables-util-chains",
    "podPidsLimit": "pod-max-pids",
    "protectKernelDefaults": "protect-kernel-defaults",
    "readOnlyPort": "read-only-port",
    "rotateCertificates": "rotate-certificates",
    "seccompDefault": "seccomp-default",
    "streamingConnectionIdleTimeout": "streaming-connection-idle-timeout",
    "tlsCertFile": "tls-cert-file",
    "tlsCipherSuites": "tls-cipher-suites",
    "tlsPrivateKeyFile": "tls-private-key-file",
}
"""Settings of the kubelet's configuration, and the flag that each is an equal of. A flag takes precedence."""

_ETCD: Mapping[str, str] = {
    f"{section}-transport-security.{key}": f"{prefix}{key}"
    for section, prefix in (("client", ""), ("peer", "peer-"))
    for key in ("auto-tls", "cert-file", "client-cert-auth", "key-file", "trusted-ca-file")
}
_CONFIGURED: Mapping[str, Mapping[str, str]] = {"kubelet": _KUBELET, "etcd": _ETCD}


@dataclass
class Running:
    """What a host has shown."""

    flags: dict[str, dict[str, str]] = field(default_factory=dict)
    """By process, those that were asked for. A process that has not shown itself is not there."""
    modes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Mode and owner of files, by path."""


def audit_probe() -> str:
    """The script. Its standard input is ``asked``; ``answered`` reads what it prints."""
    return render("k3s/audit.sh.j2")


def asked(flags: Iterable[tuple[str, str]], patterns: Iterable[str]) -> str:
    """Input of the probe: processes with the names of their flags, and patterns of paths."""
    return "".join(f"{line}\n" for line in _lines(flags, patterns))


def _lines(flags: Iterable[tuple[str, str]], patterns: Iterable[str]) -> Iterator[str]:
    for process, name in dict.fromkeys(flags):
        yield f"flag\t{process}\t{name}"
    for process, settings in _CONFIGURED.items():
        for path in settings:
            yield f"config\t{process}\t{path}"
    for pattern in dict.fromkeys(patterns):
        yield f"file\t{pattern}"


def answered(printed: str) -> Running:
    """What the probe has printed. A line of another form is none of its own, and is left out."""
    running = Running()
    configured: dict[str, dict[str, str]] = {}
    for line in printed.splitlines():
        match line.split("\t"):
            case ["seen", process] if process.endswith(".config"):
                configured.setdefault(process.removesuffix(".config"), {})
            case ["seen", process]:
                # Of two starts within one run of the unit, the later one counts.
                running.flags[process] = {}
            case ["flag", process, name, value]:
                running.flags.setdefault(process, {})[name] = value
            case ["config", process, path, value] if path in _CONFIGURED.get(process, {}):
                configured.setdefault(process, {})[_CONFIGURED[process][path]] = value
            case ["file", path, mode, owner] if mode.isdecimal():
                running.modes[path] = int(mode, 8), owner
    for process, settings in configured.items():
        # The kubelet's flags are known only with those that it was started with; etcd has none.
        if process in running.flags or process == "etcd":
            running.flags[process] = settings | running.flags.get(process, {})
    return running
