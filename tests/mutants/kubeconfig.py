"""Mutants of what is promised of kubeconfigs."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SCRIPT = "components/k3s/kubeconfig.sh.j2"
_CREDENTIAL = "components/k3s/credential.py"
_FILE = "edge/hosts/kubeconfig_file.py"
_ACCESS = "edge/run/cluster_access.py"
_PROMISES = "tests/promises/test_kubeconfig.py"
_K3S = "tests/components/k3s/test_kubeconfig.py"
_RENEWAL = "tests/edge/test_kubeconfig_renewal.py"
_CONTACT = "tests/edge/test_cluster_access.py"
_COMMAND = "tests/edge/test_kubeconfig.py"

KUBECONFIG: tuple[Mutant, ...] = (
    Mutant(
        "the kubeconfig has the address that the output tells",
        "components/k3s/plan.py",
        'kubeconfig=render("k3s/kubeconfig.sh.j2", api_url=url)',
        'kubeconfig=render("k3s/kubeconfig.sh.j2", api_url=f"https://{first.node_address}:6443/")',
        (_PROMISES, _K3S),
    ),
    Mutant(
        "an IPv6 address is in brackets",
        "components/addresses.py",
        'f"[{host}]" if ":" in host else host',
        "host",
        (_K3S,),
    ),
    Mutant("the host's own certificate is renewed too", _SCRIPT, "if due; then", "if false; then", (_PROMISES, _K3S)),
    Mutant(
        "an ended certificate stops the program",
        _CREDENTIAL,
        "if found is None or now < found.ends:",
        "if found is None or found.ends:",
        (_K3S,),
    ),
    Mutant(
        "the stack's kubeconfig is renewed before it ends",
        _ACCESS,
        "if now >= credential.due:",
        "if False:",
        (_RENEWAL,),
    ),
    Mutant(
        "unauthorized is not offline",
        _ACCESS,
        "if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):",
        "if False:",
        (_CONTACT,),
    ),
    Mutant(
        "a cluster that refuses the new kubeconfig too fails the run",
        "edge/run/operation.py",
        "outcome.code == DONE and (reason := self.cluster.refused(run.diagnostics))",
        '(reason := "")',
        (_RENEWAL,),
    ),
    Mutant(
        "a renewed kubeconfig is read from the host",
        "edge/run/expiring.py",
        '("--replace", one.urn)',
        "()",
        (_RENEWAL,),
    ),
    Mutant(
        "a host that joins late gets a key that is alive",
        "edge/run/expiring.py",
        "one.ends <= now + _RUN and",
        "False and",
        ("tests/edge/test_expiring.py",),
    ),
    Mutant(
        "what others wrote in the policy file stops the run",
        "stacks/fleet/policy_file.py",
        "        if found:\n            raise",
        "        if False:\n            raise",
        ("tests/stacks/test_policy_file.py",),
    ),
    Mutant("the CA stays pinned over the mesh", "edge/hosts/kubeconfig.py", "**renamed}", "}", (_COMMAND,)),
    Mutant(
        "somebody else's context is not taken", _FILE, 'if one.get("name") == context and', "if False and", (_COMMAND,)
    ),
    Mutant(
        "a file is written whole or not at all", _FILE, "aside.replace(target)", "target.write_text(text)", (_COMMAND,)
    ),
)
