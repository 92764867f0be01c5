"""Secrets go to hosts by standard input and are marked wherever the engine or a provider keeps them."""

from __future__ import annotations

import base64
import re
from typing import Any

from engine.rehearsal.in_process import Secret
from tests.promises.recordings import COMMAND, SECRET_MARK, all_resources, commands, of_type, plain, script, scripts

_EXPANSIONS = re.compile(r"\$\{?(\w+)")
_BUILTINS = {"printf", "put_file", "case", "for", "[", "[["}
"""What takes arguments without a process, whose arguments everybody on the host could read."""

_ASSIGNMENT = re.compile(r"\w+=(?:\$\{|\$\((\w+)$|\$\w+$)")
"""Of a value, or of what a function of the script prints."""

_NO_SECRETS = {"cluster_id", "ca", "permit", "stack", "key_ends"}
"""Read from standard input because only `up` knows them: Rancher's id of a cluster, which its users see; the hash of a
cluster's CA; what the permit to start a cluster printed; the stack's identity, which each of its hosts carries; when
an auth key ends."""


def holds_secret(value: Any) -> bool:
    """Whether a secret is in the text of ``value``, as it is or in base64 at any alignment."""
    raw = SECRET_MARK.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4].decode() for shift in range(3)]
    return any(form in str(value) for form in (SECRET_MARK, *encoded))


def test_a_secret_would_be_found_in_plain_text_and_in_base64() -> None:
    for shift in range(3):
        secret = f"{'x' * shift}{SECRET_MARK}k3s-token"
        assert holds_secret([secret])
        assert holds_secret(base64.b64encode(secret.encode()).decode())


def test_no_script_and_no_trigger_holds_a_secret() -> None:
    for command in of_type(COMMAND):
        inputs = plain(command)
        for key in ("create", "update", "delete", "triggers", "environment"):
            assert not holds_secret(inputs.get(key)), f"{command.name}: {key}"


def test_a_script_that_reads_secrets_gets_that_many_by_standard_input() -> None:
    reading = 0
    for command in of_type(COMMAND):
        # The prelude defines read_secret; every other line that names it is a call.
        calls = [line for line in script(command).splitlines() if re.search(r"(^|&& )read_secret \w+$", line.strip())]
        if calls:
            reading += 1
            given = command.inputs.get("stdin")
            assert isinstance(given, Secret), f"{command.name}: its standard input is not marked as secret"
            assert len(str(given.value).splitlines()) == len(calls), command.name
    assert reading, "no script reads a secret"


def test_no_secret_is_an_argument_of_a_process_on_a_host() -> None:
    for name, text in scripts():
        secret = set(re.findall(r"(?:^|&& )read_secret (\w+)$", text, re.MULTILINE)) - _NO_SECRETS
        functions = set(re.findall(r"^(\w+)\(\) \{", text, re.MULTILINE))
        for line in text.splitlines():
            used = secret & set(_EXPANSIONS.findall(line))
            if used:
                first = line.split()[0]
                assigned = _ASSIGNMENT.match(first)
                assert first in _BUILTINS | functions or (assigned and (assigned[1] or first) in functions | {first}), (
                    f"{name}: {line}"
                )


def test_files_with_secrets_are_readable_by_root_only() -> None:
    written = 0
    for name, text in scripts():
        for path, mode, value in re.findall(r'^\s*put_file (\S+) (\d+) <<<"(.*)"$', text, re.MULTILINE):
            if ("$" in value and "token" in value) or "endpoint" in value or value == "$2":
                written += 1
                assert mode == "0600", f"{name}: {path}"
    assert written, "no script writes a secret"


def test_what_a_command_with_secrets_prints_is_secret() -> None:
    for command in of_type(COMMAND):
        if "stdin" in plain(command):
            assert {"stdout", "stderr"} <= set(command.additional_secret_outputs), command.name


def test_the_kubeconfig_is_a_secret_output_and_in_no_log() -> None:
    for command in commands("kubeconfig"):
        assert {"stdout", "stderr"} <= set(command.additional_secret_outputs), command.name
        assert plain(command)["logging"] == "none", command.name
    for provider in of_type("pulumi:providers:kubernetes"):
        if "k3s" in provider.name:
            assert isinstance(provider.inputs["kubeconfig"], Secret), provider.name


def test_no_script_gets_the_output_of_an_earlier_run_in_its_environment() -> None:
    for command in of_type(COMMAND):
        assert plain(command)["addPreviousOutputInEnv"] is False, command.name
        assert not plain(command).get("environment"), command.name


def test_every_value_of_a_kubernetes_secret_is_marked() -> None:
    for secret in of_type("kubernetes:core/v1:Secret"):
        values = {"data", "stringData"} & secret.inputs.keys()
        assert values, secret.name
        for key in values:
            assert isinstance(secret.inputs[key], Secret), f"{secret.name}: {key}"
            assert key in secret.additional_secret_outputs, f"{secret.name}: {key}"


def test_the_private_key_of_the_operators_is_marked_in_every_connection() -> None:
    for command in of_type(COMMAND):
        assert isinstance(command.inputs["connection"], Secret), command.name


def test_a_secret_is_marked_wherever_a_resource_holds_it() -> None:
    def unmarked(value: Any) -> str:
        if isinstance(value, Secret):
            return ""
        if isinstance(value, dict):
            return "".join(unmarked(item) for item in value.values())
        if isinstance(value, list):
            return "".join(unmarked(item) for item in value)
        return f"{value}\n"

    for _, resource in all_resources():
        for properties in (resource.inputs, resource.outputs):
            assert not holds_secret(unmarked(properties)), resource.urn


def test_a_key_of_the_tailnet_is_a_secret_output() -> None:
    for key in of_type("tailscale:index/tailnetKey:TailnetKey"):
        assert "key" in key.additional_secret_outputs
