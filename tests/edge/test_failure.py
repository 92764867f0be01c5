from __future__ import annotations

import os
import socket
from importlib.metadata import version

import pytest

from components.view import SecretNeed
from edge.run import failure
from edge.run.events import Diagnostic

VARIABLES = {"PULUMI_BACKEND_URL": "file:///some where/state"}
LOCK = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  file:///state/.pulumi/locks/organization/edge/demo/1.json: created by {user}@{host} (pid {pid}) at {time}"
)


SDK = version("pulumi-command")
"""The plugin of another version than the SDK refuses what the SDK sends."""


def locked(pid: int, host: str | None = None, mode: str = "rehearsal") -> failure.OperationError:
    said = LOCK.format(user="ada", host=host or socket.gethostname(), pid=pid, time="2026-11-24T05:00:00Z")
    return failure.explain(said, "demo", mode, VARIABLES, "edge")


def test_a_lock_names_its_owner_and_the_command_that_takes_it_away() -> None:
    found = locked(os.getpid())
    assert "process" in found.what
    assert "ada" in found.what
    assert "2026-11-24T05:00:00Z" in found.what
    assert any("pulumi cancel --yes --stack demo" in remedy for remedy in found.remedies)


def test_a_lock_of_a_process_that_has_ended_is_called_stale_but_left_alone() -> None:
    # The highest pid that Linux ever gives is 2**22; this one is nobody's.
    assert "no longer running" in locked(2**22 + 1).what


def test_a_lock_of_a_process_that_runs_is_not_called_stale() -> None:
    assert "still running" in locked(os.getpid()).what


def test_nothing_is_claimed_about_processes_of_other_machines() -> None:
    what = locked(1, host="elsewhere").what
    assert "running" not in what


def test_the_command_against_a_rehearsals_lock_finds_the_rehearsals_state() -> None:
    assert any(line.startswith("PULUMI_BACKEND_URL='file:///some where/state' ") for line in locked(1).remedies)
    assert not any("PULUMI_BACKEND_URL" in line for line in locked(1, mode="real").remedies)


def test_a_missing_plugin_is_named_and_a_rehearsal_offered() -> None:
    said = "error: could not load plugin: no resource plugin 'pulumi-resource-command' found in the workspace at v1.2.1"
    found = failure.explain(said, "prod", "real", {}, "edge")
    assert any(remedy.startswith(f"pulumi plugin install resource command {SDK} ") for remedy in found.remedies)
    assert any("edge preview prod --rehearse" in remedy for remedy in found.remedies)


def test_a_rehearsal_is_not_offered_to_a_rehearsal() -> None:
    said = "no resource plugin 'pulumi-resource-command' found"
    assert not any("--rehearse" in remedy for remedy in failure.explain(said, "prod", "rehearsal", {}, "edge").remedies)


def test_a_missing_passphrase_comes_with_the_variable_that_gives_it() -> None:
    said = "error: getting secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or ..."
    found = failure.explain(said, "prod", "real", {}, "edge")
    assert any("PULUMI_CONFIG_PASSPHRASE_FILE" in remedy for remedy in found.remedies)


def test_what_needs_no_advice_gets_none() -> None:
    assert failure.remedy_for([Diagnostic("error", "", "exit status 1")], "prod", "real", {}, "edge") is None


def test_an_interruption_says_what_goes_on_from_here() -> None:
    found = failure.interrupted("demo", "up", "rehearsal")
    assert found.code == 130
    assert any(remedy.startswith("edge up demo --rehearse ") for remedy in found.remedies)


def test_an_interrupted_preview_asks_for_nothing() -> None:
    assert failure.interrupted("demo", "preview", "real").remedies == ()


def test_all_missing_secrets_are_said_at_once_with_their_reasons() -> None:
    needs = [SecretNeed("k3s-token", "servers join with it"), SecretNeed("git-ssh-key", "deploy key")]
    what = failure.secrets_missing("prod", needs).what
    assert "k3s-token" in what
    assert "servers join with it" in what
    assert "git-ssh-key" in what


def test_a_missing_secret_is_set_by_a_command_that_makes_the_stack_too() -> None:
    needs = [SecretNeed("ssh-private-key", "hosts accept it"), SecretNeed("k3s-token", "servers join", generated=True)]
    remedies = failure.secrets_missing("prod", needs).remedies
    assert "edge secrets prod --set ssh-private-key < FILE" in remedies
    assert not [remedy for remedy in remedies if "k3s-token" in remedy]


def test_the_automation_apis_frame_around_an_error_is_taken_off() -> None:
    said = "\n code: 255\n stdout: \n stderr: error: it is like this\n"
    assert failure.explain(said, "prod", "real", {}, "edge").what == "it is like this"


_TIMED_OUT = "\nresource x was successfully created, but ...: timed out waiting for the condition"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("GitRepository edge-configs says: GitOperationFailed: clone: authentication required", "--set git-password"),
        ("GitRepository edge-configs says: GitOperationFailed: ssh: unable to authenticate", "--set git-ssh-key"),
        (
            "GitRepository edge-configs says: GitOperationFailed: dial tcp 10.0.0.1:443: i/o timeout",
            "wait_ready: never",
        ),
        (
            "Kustomization edge-inference-stack says: BuildFailed: no such file",
            "kubectl describe kustomization edge-inf",
        ),
        (
            "GitRepository edge-configs is suspended: its controller does nothing",
            "kubectl describe gitrepository edge-",
        ),
    ],
)
def test_a_source_that_does_not_become_ready_comes_with_what_helps(said: str, remedy: str) -> None:
    errors = [Diagnostic("error", "urn", said + _TIMED_OUT)]
    found = failure.remedy_for(errors, "prod", "real", {}, "edge")
    assert found is not None
    assert any(remedy in line for line in found.remedies), found.remedies
