"""Hosts: whom a command talks to. The rules about K3s on them are a module of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.rules.frameworks import nist
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule
from policies.rules.subject import Subject
from policies.rules.tree import Node

_PUBLIC_KEY = re.compile(
    r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))[ \t]+[A-Za-z0-9+/]{20,}={0,3}(?:[ \t][^\n]*)?"
)


def _pinned_host_key(subject: Subject) -> Iterator[Violation]:
    connection = subject.get("connection")
    yield from _pinned(connection)
    proxy = connection.get("proxy")
    if proxy.present:
        yield from _pinned(proxy)


def _pinned(connection: Node) -> Iterator[Violation]:
    key = connection.get("hostKey")
    text = (key.text() or "").strip()
    if not text:
        yield Violation(key.path, "is not set: any machine that answers gets the script, its secrets and root's work")
    elif _PUBLIC_KEY.fullmatch(text) is None:
        yield Violation(key.path, "is not one public key, such as ssh-ed25519 AAAA...")


def _runs_on_a_host(kind: Kind) -> bool:
    return kind.provider == "command" and kind.group == "remote"


RULES = (
    Rule(
        id="host/pinned-host-key",
        level="mandatory",
        severity="critical",
        title="Every command, on a host or through a jump host, knows the key of the machine that it talks to.",
        why="pulumi-command accepts any key where none is given, so a machine in between gets everything that is sent.",
        remedy="In a site file, set `host_key` of the host, and of the jump host; in your own code, "
        "`connection.hostKey` and `connection.proxy.hostKey`. `ssh-keyscan` over a trusted network prints it.",
        url="https://www.pulumi.com/registry/packages/command/api-docs/remote/command/#connection",
        applies=_runs_on_a_host,
        check=_pinned_host_key,
        about="command:remote:Command, CopyToRemote, CopyFile",
        unknown="warns",
        references=nist("IA-3"),
    ),
)
