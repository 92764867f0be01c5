"""Whether what Flux applies is verified: sources, those that an operator makes, and what a source includes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from policies.rules.frameworks import top_ten
from policies.rules.json_patch import is_json_patch
from policies.rules.kinds import Kind
from policies.rules.model import HiddenError, Violation
from policies.rules.rule import Rule, StackRule, hidden
from policies.rules.subject import Subject
from policies.rules.tree import Node
from sitefile import signer_expression

SOURCES = "source.toolkit.fluxcd.io"
OPERATOR = "fluxcd.controlplane.io"
APPLIED = "kustomize.toolkit.fluxcd.io"
AUTOMATED = "image.toolkit.fluxcd.io"
_FLUX = "flux-system"
_VERIFY = ("spec", "verify")
_VERIFIABLE = ("GitRepository", "OCIRepository")
_REMEDY = (
    "In a site file, add `verify:` below `gitops.source`, with `keys:` (for OCI: or `identities:`). "
    "A site whose commits nobody signs needs a waiver of this rule. "
    "In your own code, set `spec.verify` with a `secretRef` to public keys or an OIDC identity; let an "
    "ImageUpdateAutomation push to a branch of its own, which a person merges."
)


def _verified(subject: Subject) -> Iterator[Violation]:
    kind = subject.kind
    if kind.is_a(OPERATOR, "FluxInstance"):
        yield from _instance(subject)
    elif kind.is_a(AUTOMATED, "ImageUpdateAutomation"):
        yield from _automation(subject)
    elif kind.is_a(APPLIED, "Kustomization"):
        yield from _patches(subject.get("spec", "patches"))
    elif kind.name == "Bucket":
        yield Violation("spec", "is a Bucket, which Flux cannot verify")
    else:
        verify = subject.get(*_VERIFY)
        if verify.present:
            yield from (_by_git if kind.name == "GitRepository" else _by_oci)(verify)
        elif not kind.patch:
            yield Violation(verify.path, "is not set: anyone who can push decides what runs at the site")
        elif "verify" in (subject.root.peek("spec") or {}):
            yield Violation(verify.path, "is taken away: anyone who can push decides what runs at the site")


def _by_git(verify: Node) -> Iterator[Violation]:
    if not verify.get("secretRef", "name").text():
        yield Violation(verify.get("secretRef").path, "names no Secret with public keys, so nothing is verified")


def _by_oci(verify: Node) -> Iterator[Violation]:
    if verify.get("provider").text() not in ("cosign", "notation"):
        yield Violation(verify.get("provider").path, "is neither cosign nor notation")
    if verify.get("secretRef", "name").text():
        return
    identities = list(verify.get("matchOIDCIdentity").each())
    if not identities:
        yield Violation(verify.get("secretRef").path, "names no Secret with public keys, and there is no OIDC identity")
    for identity in identities:
        for name in ("issuer", "subject"):
            pattern = identity.get(name).text()
            if not pattern:
                yield Violation(identity.get(name).path, "is not set, so it matches anyone")
            elif fault := signer_expression.fault_of(pattern):
                yield Violation(identity.get(name).path, f"does not say who may sign: {fault.what}")


def _instance(subject: Subject) -> Iterator[Violation]:
    """The operator makes the source without verification; only patches can add it. The last one decides."""
    sync = subject.get("spec", "sync")
    if not sync.present:
        return
    kind = sync.get("kind").text() or ("GitRepository" if not subject.kind.patch else None)
    if kind is None:
        return
    if kind not in _VERIFIABLE:
        yield Violation(sync.get("kind").path, "is a source that Flux cannot verify")
        return
    name = sync.get("name").text() or subject.get("metadata", "namespace").text() or _FLUX
    verify: Any = None
    patches = subject.get("spec", "kustomize", "patches")
    for patch in patches.each():
        text = patch.get("patch")
        document = _document(text.text() or "")
        found = _set_by(document, verify)
        if found is _UNTOUCHED:
            continue
        aimed = _aim(patch.get("target"), document, kind, name)
        if found is _UNSEEN or aimed is None:
            yield Violation(text.path, "may change how the source is verified, and it cannot be told how")
            return
        verify = found if aimed else verify
    if verify is None:
        yield Violation(patches.path, "does not add verification with a key to the source that spec.sync creates")
    else:
        yield from (_by_git if kind == "GitRepository" else _by_oci)(Node(verify, patches, "verify"))


_UNTOUCHED, _UNSEEN = object(), object()


def _document(text: str) -> Any:
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return _UNSEEN


def _set_by(document: Any, verify: Any) -> Any:
    """``spec.verify`` after a patch, whatever it is aimed at; or that it is untouched, or cannot be told."""
    if document is _UNSEEN:
        return _UNSEEN
    if is_json_patch(document):
        for operation in document:
            verify = _operated(operation, verify)
            if verify is _UNSEEN:
                return _UNSEEN
        return verify if any(_touches(operation) for operation in document) else _UNTOUCHED
    if not isinstance(document, dict):
        return _UNTOUCHED
    spec = document.get("spec")
    if _directed(document) or _directed(spec):
        return _UNSEEN
    if "spec" in document and spec is None:
        return None
    if not isinstance(spec, dict) or "verify" not in spec:
        return _UNTOUCHED
    given = spec["verify"]
    return _UNSEEN if _directed(given) else _merged(verify, given)


def _touches(operation: dict[str, Any]) -> bool:
    path = operation["path"]
    return not isinstance(path, str) or path in ("", "/spec") or (path + "/").startswith("/spec/verify/")


def _operated(operation: dict[str, Any], verify: Any) -> Any:
    """``spec.verify`` after one operation of a JSON patch."""
    if not _touches(operation) or operation["op"] == "test":
        return verify
    path, value = operation["path"], operation.get("value")
    steps = path.split("/")[1:] if isinstance(path, str) else []
    if operation["op"] not in ("add", "replace", "remove") or not isinstance(path, str) or len(steps) > 3:
        return _UNSEEN
    removed = operation["op"] == "remove"
    if len(steps) < 2:
        held = value if steps else (value or {}).get("spec") if isinstance(value, dict) else None
        return None if removed or not isinstance(held, dict) else held.get("verify")
    if len(steps) == 2:
        return None if removed else value
    if not isinstance(verify, dict):
        return _UNSEEN
    rest = {key: child for key, child in verify.items() if key != steps[2]}
    return rest if removed else {**rest, steps[2]: value}


def _directed(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(key, str) and key.startswith("$") for key in value)


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: what is null is taken away."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        old = {}
    if not isinstance(new, dict):
        return new
    merged = {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _aim(target: Node, document: Any, kind: str, name: str) -> bool | None:
    """Whether a patch is aimed at the source; None where that cannot be told."""
    if not target.present:
        if not isinstance(document, dict):
            return None
        metadata = document.get("metadata")
        named = metadata.get("name") if isinstance(metadata, dict) else None
        return document.get("kind") == kind and named == name
    fits = [_fits(target.get("kind").text(), kind), _fits(target.get("name").text(), name)]
    fits += [_fits(target.get("group").text(), SOURCES), _fits(target.get("namespace").text(), _FLUX)]
    if False in fits:
        return False
    selected = any(target.get(selector).text() for selector in ("labelSelector", "annotationSelector"))
    return None if selected or None in fits else True


def _fits(expression: str | None, text: str) -> bool | None:
    """Kustomize's selectors are expressions for a whole text."""
    if not expression:
        return True
    try:
        return re.fullmatch(expression, text) is not None
    except re.error:
        return None


def _patches(patches: Node) -> Iterator[Violation]:
    """What a Kustomization patches in sources: they are judged where they are, so nothing may be taken away here."""
    for patch in patches.each():
        text = patch.get("patch")
        document = _document(text.text() or "")
        after = _set_by(document, {})
        kind = patch.get("target", "kind").text() or (document.get("kind") if isinstance(document, dict) else None)
        if after is _UNTOUCHED or not any(_fits(kind, source) in (True, None) for source in _VERIFIABLE):
            continue
        if after is _UNSEEN:
            yield Violation(text.path, "may change how a source is verified, and it cannot be told how")
        elif not isinstance(after, dict) or not after:
            yield Violation(text.path, "takes the verification of a source away")


def _automation(subject: Subject) -> Iterator[Violation]:
    """Nobody has reviewed what a cluster commits by itself, and a signing key in the cluster is not a person's."""
    git = subject.get("spec", "git")
    if subject.kind.patch and not git.present:
        return
    applied, branch, refspec = (
        git.get("checkout", "ref", "branch"),
        git.get("push", "branch"),
        git.get("push", "refspec"),
    )
    if not applied.text():
        yield Violation(applied.path, "is not set, so nothing says whether commits go to another branch")
    elif branch.text() in (None, "", applied.text()):
        yield Violation(branch.path, "is no other branch than the one that sites apply: nobody has signed the commits")
    if refspec.text():
        yield Violation(refspec.path, "may push to the branch that sites apply, and nobody has signed the commits")


def _locked_down(subject: Subject) -> Iterator[Violation]:
    flag = subject.get("spec", "cluster", "multitenant")
    if flag.flag() is not True and (flag.present or not subject.kind.patch):
        yield Violation(flag.path, "is not true: what names no account is applied with the controllers' own rights")


def _included(sources: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
    """Each repository that another one includes is a source of the same stack, where it is judged by itself."""
    there = {_name(source) for source in sources if not source.kind.patch}
    for source in sources:
        try:
            for one in source.get("spec", "include").each():
                named = one.get("repository", "name")
                if (_name(source)[0], named.text()) not in there:
                    yield source, Violation(named.path, "is a repository that is not here: nothing says who signs it")
        except HiddenError as error:
            yield source, hidden(error)


def _name(source: Subject) -> tuple[Any, Any]:
    return source.root.peek("metadata", "namespace"), source.root.peek("metadata", "name")


def _is_source(kind: Kind) -> bool:
    return (
        kind.is_a(SOURCES, *_VERIFIABLE, "Bucket")
        or kind.is_a(OPERATOR, "FluxInstance")
        or kind.is_a(APPLIED, "Kustomization")
        or kind.is_a(AUTOMATED, "ImageUpdateAutomation")
    )


def _is_instance(kind: Kind) -> bool:
    return kind.is_a(OPERATOR, "FluxInstance")


def _is_repository(kind: Kind) -> bool:
    return kind.is_a(SOURCES, "GitRepository")


RULES = (
    Rule(
        id="supply-chain/flux-source-verified",
        level="mandatory",
        severity="critical",
        title="Flux applies only what is signed with a known key.",
        why="Sites pull their workloads by themselves: anyone who can push to the source is root at every site.",
        remedy=_REMEDY,
        url="https://fluxcd.io/flux/components/source/gitrepositories/#verification",
        applies=_is_source,
        check=_verified,
        about="GitRepository, OCIRepository, Bucket, FluxInstance, Kustomization, ImageUpdateAutomation",
        references=top_ten("K02"),
    ),
    Rule(
        id="supply-chain/flux-locked-down",
        level="advisory",
        severity="high",
        title="What Flux applies has the rights of its own namespace.",
        why="Otherwise each HelmRelease and Kustomization that somebody commits has the rights of the cluster's "
        "administrator, and may take sources of other namespaces.",
        remedy="In a site file, remove the exceptions below `gitops.tenancy`. In your own code, set "
        "`spec.cluster.multitenant: true`, and `serviceAccountName` in what needs more.",
        url="https://fluxcd.io/flux/installation/configuration/multitenancy/",
        applies=_is_instance,
        check=_locked_down,
        about="FluxInstance",
        references=top_ten("K03"),
    ),
)

STACK_RULES = (
    StackRule(
        id="supply-chain/flux-include-verified",
        level="mandatory",
        severity="critical",
        title="A repository that another one includes is verified too.",
        why="Flux verifies the repository that includes, not what it includes. Who can push there is root at the site.",
        remedy="Declare the included GitRepository in the same stack, with `spec.verify`, or copy its content.",
        url="https://fluxcd.io/flux/components/source/gitrepositories/#include",
        applies=_is_repository,
        check=_included,
        about="GitRepository (whole stack)",
        references=top_ten("K02"),
    ),
)
