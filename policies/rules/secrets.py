"""Secrets: no credential is stored, shown or passed where others can read it.

Plain text is judged everywhere. Whether something is *marked* as secret is judged where the source of the resources
can tell: in-process and in manifests, not in a CrossGuard preview.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules.frameworks import cis_kubernetes, top_ten
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.patterns import credential_in, credential_under, decoded, is_sensitive_key
from policies.rules.pods import is_workload, may_hold_pods
from policies.rules.rule import Rule, attempt, hidden
from policies.rules.scripts import prints_a_secret
from policies.rules.subject import Subject
from policies.rules.tree import Node

_CONFIG = "https://www.pulumi.com/docs/concepts/secrets/"
_COMMAND = "https://www.pulumi.com/registry/packages/command/api-docs/remote/command/"
_KUBERNETES = "https://kubernetes.io/docs/concepts/security/secrets-good-practices/"

_COMMAND_INPUTS = ("create", "update", "delete", "environment", "triggers", "dir", "interpreter", "remotePath")
_SCRIPTS = ("create", "update")


def _credentials(node: Node) -> Iterator[Violation]:
    """A violation for each string below ``node`` that holds a credential."""
    for place, text in node.texts():
        what = credential_under(place.key, text)
        if what is not None:
            yield Violation(place.path, f"holds {what} in plain text")


def _no_secret_in_config_map(subject: Subject) -> Iterator[Violation]:
    yield from attempt(_credentials(subject.get("data")))
    yield from attempt(_encoded_credentials(subject.get("binaryData")))


def _encoded_credentials(node: Node) -> Iterator[Violation]:
    for place, text in node.texts():
        what = credential_under(place.key, decoded(text)) or credential_in(text)
        if what is not None:
            yield Violation(place.path, f"holds {what} in plain text")


def _no_secret_in_command(subject: Subject) -> Iterator[Violation]:
    for name in _COMMAND_INPUTS:
        yield from attempt(_credentials(subject.get(name)))
    if subject.kind.name.startswith("CopyTo"):
        yield from attempt(_credentials(subject.get("source")))


def _no_secret_in_pod(subject: Subject) -> Iterator[Violation]:
    for pod in subject.pods:
        for container in pod.containers:
            if isinstance(container, HiddenError):
                yield hidden(container)
                continue
            for name in ("command", "args"):
                yield from attempt(_credentials(container.node.get(name)))
            yield from attempt(_environment(container.node.get("env")))


def _environment(variables: Node) -> Iterator[Violation]:
    for variable in variables.each():
        yield from attempt(_variable(variable))


def _variable(variable: Node) -> Iterator[Violation]:
    value = variable.get("value")
    name = variable.peek("name")
    what = credential_under(name if isinstance(name, str) else "", value.text() or "")
    if what is not None:
        yield Violation(value.path, f"holds {what} in plain text")


def _no_secret_in_metadata(subject: Subject) -> Iterator[Violation]:
    metadata = [subject.get("metadata")]
    if may_hold_pods(subject.kind):
        try:
            metadata += [pod.metadata for pod in subject.pods if pod.metadata.path != "metadata"]
        except HiddenError as error:
            yield hidden(error)
    for node in metadata:
        for name in ("annotations", "labels"):
            yield from attempt(_attributes(node, name))


def _attributes(metadata: Node, name: str) -> Iterator[Violation]:
    yield from _credentials(metadata.get(name))


def _no_secret_in_object(subject: Subject) -> Iterator[Violation]:
    for name, node in subject.root.entries():
        if name not in ("metadata", "apiVersion", "kind", "status"):
            yield from attempt(_credentials(node))


def _no_secret_in_facts(subject: Subject) -> Iterator[Violation]:
    yield from _credentials(subject.root)


def _sensitive_output(subject: Subject) -> Iterator[Violation]:
    for name in _SCRIPTS:
        script = subject.get(name)
        if prints_a_secret(script.text() or ""):
            break
    else:
        return
    if "stdout" not in subject.resource.additional_secret_outputs:
        yield Violation(script.path, "prints a credential, and stdout is not among additionalSecretOutputs")
    logging = subject.get("logging")
    if logging.text() not in ("none", "stderr"):
        yield Violation(logging.path, "writes the credential that the script prints to the log; it must be none")
    inherited = subject.get("addPreviousOutputInEnv")
    if inherited.flag() is not False:
        yield Violation(inherited.path, "is not false: the next command gets the credential in its environment")


def _marked_as_secret(subject: Subject) -> Iterator[Violation]:
    if subject.resource.secret_paths is None:
        return
    if subject.kind.is_a("core", "Secret"):
        for name in ("data", "stringData"):
            for key, node in subject.get(name).entries():
                yield from attempt(_secret_value(subject, key, node, encoded=name == "data"))
    elif subject.kind.command:
        yield from attempt(_unmarked(subject, subject.get("stdin")))
        for holder in (subject.get("connection"), subject.get("connection", "proxy")):
            for name in ("privateKey", "privateKeyPassword", "password"):
                node = holder.get(name)
                if node.present and not subject.marked_secret(node.path):
                    yield Violation(node.path, "is not marked as secret")
    else:
        yield from _unmarked(subject, subject.root)


def _secret_value(subject: Subject, key: str, node: Node, *, encoded: bool) -> Iterator[Violation]:
    if not node.present or subject.marked_secret(node.path):
        return
    text = node.text() or ""
    if text.startswith("ENC["):
        return
    if (text and is_sensitive_key(key)) or credential_in(decoded(text) if encoded else text) is not None:
        yield Violation(node.path, "is neither marked as secret nor encrypted")


def _unmarked(subject: Subject, node: Node) -> Iterator[Violation]:
    for place, text in node.texts():
        what = credential_under(place.key, text)
        if what is not None and not subject.marked_secret(place.path):
            yield Violation(place.path, f"holds {what} and is not marked as secret")


def _is_config_map(kind: Kind) -> bool:
    return kind.is_a("core", "ConfigMap")


def _is_command(kind: Kind) -> bool:
    return kind.command


def _runs_script(kind: Kind) -> bool:
    return kind.command and kind.name == "Command"


def _is_object(kind: Kind) -> bool:
    return kind.kubernetes


def _is_other_object(kind: Kind) -> bool:
    return kind.kubernetes and not is_workload(kind) and not kind.is_a("core", "ConfigMap", "Secret")


def _is_part(kind: Kind) -> bool:
    return kind.provider == "edge"


def _can_be_marked(kind: Kind) -> bool:
    """Everything whose inputs other rules do not already forbid to hold a credential at all."""
    if kind.is_a("core", "Secret") or kind.command:
        return True
    return kind.provider not in ("edge", "pulumi") and not kind.kubernetes


RULES = (
    Rule(
        id="secrets/no-secret-in-config-map",
        level="mandatory",
        severity="critical",
        title="No ConfigMap holds a key, token or password.",
        why="ConfigMaps are not encrypted at rest and almost every role can read them.",
        remedy="Put the value into a Secret that is filled from the stack's secret configuration.",
        url=_KUBERNETES,
        applies=_is_config_map,
        check=_no_secret_in_config_map,
        about="ConfigMap",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/no-secret-in-command",
        level="mandatory",
        severity="critical",
        title="No script, environment or trigger of a command holds a key, token or password.",
        why="They are shown by `ps` on the host, in diffs and in logs, and kept in the state.",
        remedy="Send the value by `stdin`, as an Output marked as secret.",
        url=_COMMAND,
        applies=_is_command,
        check=_no_secret_in_command,
        about="command:remote:Command, CopyToRemote",
        unknown="warns",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/no-secret-in-pod",
        level="mandatory",
        severity="critical",
        title="No container is given a key, token or password by environment value, command or argument.",
        why="Everyone who can read the workload can read the value, and many tools print it.",
        remedy="Use `valueFrom.secretKeyRef`, or mount the Secret.",
        url=_KUBERNETES,
        applies=may_hold_pods,
        check=_no_secret_in_pod,
        references=(*cis_kubernetes("5.4.1"), *top_ten("K08")),
    ),
    Rule(
        id="secrets/no-secret-in-metadata",
        level="mandatory",
        severity="critical",
        title="No label or annotation holds a key, token or password.",
        why="Metadata is copied into events, metrics and other objects.",
        remedy="Remove it; refer to a Secret by name.",
        url=_KUBERNETES,
        applies=_is_object,
        check=_no_secret_in_metadata,
        about="every Kubernetes object",
        unknown="warns",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/no-secret-in-object",
        level="mandatory",
        severity="critical",
        title="No Kubernetes object but a Secret holds a key, token or password.",
        why="Custom resources are not encrypted at rest and are printed by their controllers.",
        remedy="Use the object's `secretRef`, `valuesFrom` or `substituteFrom`.",
        url=_KUBERNETES,
        applies=_is_other_object,
        check=_no_secret_in_object,
        about="every other Kubernetes object, custom resources included",
        unknown="warns",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/no-secret-in-facts",
        level="mandatory",
        severity="critical",
        title="No component has a key, token or password among its properties.",
        why="Properties of a component are plain text in the state, in previews and in `edge check`.",
        remedy="Pass the value to the component as an `Input[str]` argument, and leave it out of the properties.",
        url=_CONFIG,
        applies=_is_part,
        check=_no_secret_in_facts,
        about="edge:index:*",
        unknown="warns",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/sensitive-output",
        level="mandatory",
        severity="critical",
        title="The output of a command that prints a secret is marked as secret.",
        why="Otherwise a kubeconfig or a join token appears in plain text in the state, in diffs and in the log.",
        remedy="Set `additionalSecretOutputs: [stdout]`, `logging: none` and `addPreviousOutputInEnv: false`.",
        url=_COMMAND,
        applies=_runs_script,
        check=_sensitive_output,
        about="command:remote:Command",
        references=top_ten("K08"),
    ),
    Rule(
        id="secrets/marked-as-secret",
        level="mandatory",
        severity="critical",
        title="Every secret is marked as secret.",
        why="Pulumi encrypts only values that are marked; all others are plain text in the state.",
        remedy="Take it from `Config.require_secret` or wrap it in `Output.secret`; in Git, encrypt it with SOPS.",
        url=_CONFIG,
        applies=_can_be_marked,
        check=_marked_as_secret,
        about="Secret, commands, cloud resources (in-process and in manifests)",
        unknown="warns",
        references=top_ten("K08"),
    ),
)
