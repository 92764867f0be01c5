"""A secret in a site file is answered with the key of the configuration that it belongs to."""

from __future__ import annotations

import pytest

from sitefile.problems import DataPath
from sitefile.secret_patterns import SECRET_PATTERNS
from stacks.plain_secrets import advice

PRIVATE_KEY, PASSWORD_IN_URL = "private key", "password in a URL"
FOREIGN = {
    PASSWORD_IN_URL,
    *("Azure storage key", "Azure shared access key", "Azure SAS", "Stripe key", "npm token", "PyPI token"),
    *("NVIDIA key", "Hugging Face token", "Docker token", "Google key", "state backend token", "Slack token"),
    "Vault token",
}
"""Kinds that no part of a site asks for, or only in some places."""


@pytest.mark.parametrize(
    ("kind", "path", "key"),
    [
        (PRIVATE_KEY, ("ssh", "key"), "ssh-private-key"),
        (PRIVATE_KEY, (), "ssh-private-key"),
        (PRIVATE_KEY, ("gitops", "source", "key"), "git-ssh-key"),
        (PRIVATE_KEY, ("place", "x"), "outposts-host-key"),
        (PASSWORD_IN_URL, ("k3s", "datastore"), "k3s-datastore-endpoint"),
        (PASSWORD_IN_URL, ("gitops", "source", "git"), "git-password"),
        ("AWS key", ("inference",), "model-store-access-key"),
        (None, ("k3s", "token"), "k3s-token"),
        (None, ("k3s", "datastore", "password"), "k3s-datastore-endpoint"),
        (None, ("ssh", "password"), "ssh-private-key"),
        (None, ("ssh", "token"), "ssh-private-key"),
        (None, ("ssh", "passphrase"), "ssh-key-passphrase"),
        (None, ("hosts", 0, "ssh", "key_passphrase"), "ssh-key-passphrase"),
        (None, ("ssh", "sudo_password"), "sudo-password"),
        (None, ("hosts", 0, "ssh", "sudo_password"), "sudo-password"),
        (None, ("gitops", "token"), "git-password"),
        (None, ("gitops", "source", "password"), "git-password"),
        (None, ("mesh", "auth_key"), "tailscale-auth-key"),
        (None, ("telemetry", "password"), "telemetry-token"),
        (None, ("registrations", 0, "token"), "rancher-token-key"),
    ],
)
def test_each_kind_belongs_to_a_key_of_its_part(kind: str | None, path: DataPath, key: str) -> None:
    assert f"`pulumi config set --secret edge:{key} -s demo`" in advice(kind, path, "demo")[1]


def test_a_name_that_no_part_asks_for_is_answered_without_a_command() -> None:
    assert advice(None, ("labels", "db_password"), "demo")[1] == "remove it here and revoke it"


def test_what_many_stacks_share_names_no_stack() -> None:
    assert "-s STACK`" in advice("age key", ("always", "x"), None)[1]


@pytest.mark.parametrize(
    ("kind", "path"), [(PASSWORD_IN_URL, ("ssh", "proxy")), (PRIVATE_KEY, ("gitops", "source", "verify", "keys", 0))]
)
def test_what_has_no_key_is_removed_and_revoked(kind: str, path: DataPath) -> None:
    assert "revoke it" in advice(kind, path, "demo")[1]
    assert "pulumi config" not in advice(kind, path, "demo")[1]


def test_every_kind_that_is_looked_for_is_known_here() -> None:
    kinds = {pattern.name for pattern in SECRET_PATTERNS}
    assert kinds >= FOREIGN
    assert {kind for kind in kinds if "pulumi config set" not in advice(kind, (), "demo")[1]} == FOREIGN
