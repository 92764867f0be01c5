"""Failures in words: what went wrong, and the command that helps.

Owns the explanations of what the Pulumi CLI and the engine report. Pure, except that it asks the system whether the
owner of a lock is still running, and where a file of state and its backup are.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from edge.exit_codes import FAILED, INTERRUPTED
from edge.run.state_file import StateFile, state_file

if TYPE_CHECKING:
    from components.view import SecretNeed
    from edge.run.events import Diagnostic
    from edge.run.judged import Verdict


class OperationError(Exception):
    """An operation that failed. ``code`` is the exit code of `edge`."""

    def __init__(self, what: str, remedies: Sequence[str] = (), *, code: int = FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.remedies = tuple(remedies)
        self.code = code

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "remedies": list(self.remedies)}


_LOCKED = re.compile(r"the stack is currently locked by", re.IGNORECASE)
_LOCK_OWNER = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<time>\S+)")
_SERVICE_CONFLICT = "Another update is currently in progress"
_PLUGIN = re.compile(r"resource plugin '?(?:pulumi-resource-)?(?P<name>[a-z][a-z0-9-]*)'?", re.IGNORECASE)
_PLUGIN_TROUBLE = re.compile(
    r"no resource plugin|could not (?:automatically )?(?:download|find|load)[^\n]*plugin"
    r"|failed to (?:load|install|download)[^\n]*plugin",
    re.IGNORECASE,
)
_PASSPHRASE = re.compile(
    r"passphrase must be set|incorrect passphrase|PULUMI_CONFIG_PASSPHRASE|PULUMI_CONFIG_PASSPHRASE_FILE"
)
_DAMAGED = re.compile(r"failed to load checkpoint: (?P<reason>[^\n]*)")
_NO_CREDENTIALS = re.compile(r"asked for the client to provide credentials|: Unauthorized\b")
_FLUX_SAYS = re.compile(
    r"^(?P<kind>GitRepository|OCIRepository|Kustomization) (?P<name>\S+) (?:says: (?P<why>.*)|is susp)", re.M
)
_LOGIN_REFUSED = re.compile(
    r"authenticat|authoriz|permission denied|\b40[13]\b|invalid username|no supported methods", re.I
)
_NO_WAY = re.compile(
    r"dial tcp|no such host|i/o timeout|deadline exceeded|connection refused|no route|unreachable", re.I
)
_LOGIN = re.compile(r"pulumi login|PULUMI_ACCESS_TOKEN", re.IGNORECASE)


def explain(said: str, site: str, mode: str, variables: Mapping[str, str], project: str) -> OperationError:
    """The CLI's last message, with what to do about it."""
    text = _without_dump(said)
    if _LOCKED.search(text) or _SERVICE_CONFLICT in text:
        return _locked(text, site, mode, variables)
    if (damaged := _DAMAGED.search(text)) and (state := state_file(site, variables, project)):
        return _damaged(damaged["reason"], site, mode, state)
    return OperationError(text, _remedies(text, site, mode))


def state_lost(site: str, mode: str, variables: Mapping[str, str], project: str) -> OperationError | None:
    """What to say before a stack is made anew although it has had resources; None where it has not."""
    state = state_file(site, variables, project)
    if mode == "rehearsal" or state is None or not state.lost:
        return None
    return OperationError(
        f"The state of {site} is missing: {state.file}\nA new stack would know nothing of the hosts that are up.",
        (
            _restored(state),
            f"rm {shlex.quote(str(state.backup))}     only if the site is to start anew, with hosts that are clean",
        ),
    )


def _damaged(reason: str, site: str, mode: str, state: StateFile) -> OperationError:
    file = shlex.quote(str(state.file))
    if mode == "rehearsal":
        remedies = [f"rm {file}     a rehearsal starts anew"]
    elif state.backup:
        remedies = [_restored(state), f"pulumi refresh --stack {site}     then compares it with what is there"]
    else:
        remedies = [f"restore {file} from a backup of your own: beside it there is none that has resources"]
    return OperationError(f"The state of {site} cannot be read: {state.file}\n{reason}", remedies)


def _restored(state: StateFile) -> str:
    backup, file = (shlex.quote(str(path)) for path in (state.backup, state.file))
    return f"cp {backup} {file}     puts the newest backup in its place"


def remedy_for(
    errors: Iterable[Diagnostic], site: str, mode: str, variables: Mapping[str, str], project: str
) -> OperationError | None:
    """Advice on errors that are shown as they are; None where there is none."""
    said = "\n".join(error.message for error in errors)
    if (damaged := _DAMAGED.search(said)) and (state := state_file(site, variables, project)):
        return _damaged(damaged["reason"], site, mode, state)
    remedies = _remedies(said, site, mode)
    return OperationError("", remedies) if remedies else None


def interrupted(site: str, operation: str, mode: str, *, at_once: bool = False) -> OperationError:
    """After ^C. Running steps were completed, unless ^C came twice (``at_once``)."""
    flag = " --rehearse" if mode == "rehearsal" else ""
    if operation == "preview":
        return OperationError("Interrupted; a preview changes nothing.", code=INTERRUPTED)
    what = "Interrupted. Steps that had started were completed and recorded; the others were not started."
    if at_once:
        what = "Stopped at once. Steps that had started may be done but not recorded; they will be repeated."
    return OperationError(
        what,
        (
            f"edge {operation} {site}{flag}     continues from here",
            f"edge preview {site}{flag}     shows what is left",
        ),
        code=INTERRUPTED,
    )


def secrets_missing(site: str, missing: Iterable[SecretNeed]) -> OperationError:
    """A real run cannot start: names all missing secrets at once."""
    needs = tuple(missing)
    width = max(len(need.key) for need in needs)
    lines = "\n".join(f"  {need.key:{width}}  {need.why}" for need in needs)
    makes = (f"edge secrets {site} --generate     makes those that nobody needs to know",)
    return OperationError(
        f"{site} lacks these secrets in Pulumi.{site}.yaml:\n{lines}",
        (
            *(makes if any(need.generated for need in needs) else ()),
            *(f"edge secrets {site} --set {need.key} < FILE" for need in needs if not need.generated),
            f"edge preview {site} --rehearse     needs none of them",
        ),
    )


def never_applied(site: str, mode: str) -> OperationError:
    """There is no stack, and so nothing that it could show."""
    flag = " --rehearse" if mode == "rehearsal" else ""
    remedies = [f"edge up {site}{flag}     applies it"]
    if not flag:
        remedies.append(f"edge outputs {site} --rehearse     shows those of a rehearsal")
    return OperationError(f"{site} has no stack here: it was never applied, so it has no outputs.", tuple(remedies))


def no_stack_to_plan(site: str, backend: str, init: str) -> OperationError:
    """The secrets in a plan are encrypted with the stack's own key."""
    return OperationError(
        f"{site} has no stack on {backend or 'the backend'} yet, so there is no key to encrypt the secrets of a plan.",
        (
            f"{init}     creates it, empty",
            f"edge preview {site}     needs no stack",
        ),
    )


def cluster_refuses(reason: str, site: str, operation: str) -> OperationError:
    """The engine is content, because the Kubernetes plugin has skipped what it could not look at."""
    what = "was previewed" if operation == "preview" else "was changed"
    return OperationError(
        f"Nothing in the cluster of {site} {what}: {reason}. This cluster is not offline.",
        (
            f"edge up {site}     reads the kubeconfig again, from the first server",
            f"edge kubeconfig {site} -- kubectl get nodes     shows whether a kubeconfig from the hosts works",
        ),
    )


def not_judged(verdict: Verdict, site: str) -> OperationError:
    """The engine is content, and the policies have not looked at everything."""
    if not verdict.ran:
        what = f"The policies did not run on {site}. No finding does not mean that nothing is wrong."
    else:
        names = [urn.rpartition("::")[2] for urn in verdict.not_judged]
        what = f"The policies ran in part on {site}: {verdict.rules} of {verdict.rules_expected} rules"
        what += f"; not judged: {', '.join(names)}." if names else "."
    return OperationError(
        what,
        (
            f"edge check {site}     judges it without the engine",
            "edge doctor     shows which language host runs the policy pack",
        ),
    )


def _remedies(text: str, site: str, mode: str) -> tuple[str, ...]:
    remedies = []
    if mode == "real" and _NO_CREDENTIALS.search(text):
        remedies.append(f"edge up {site}     reads the kubeconfig again, from the first server")
    if mode == "real" and (match := _FLUX_SAYS.search(text)):
        remedies += _flux(match, site)
    names = sorted({match["name"] for match in _PLUGIN.finditer(text)}) if _PLUGIN_TROUBLE.search(text) else []
    if names:
        remedies += [
            f"{f'pulumi plugin install resource {name} {_sdk_version(name)}'.rstrip()}     installs the official plugin"
            for name in names
        ]
        remedies.append("edge doctor     shows all plugins that a real run needs")
        if mode == "real":
            remedies.append(f"edge preview {site} --rehearse     needs no plugin")
    if mode == "real" and _PASSPHRASE.search(text):
        remedies.append(
            "export PULUMI_CONFIG_PASSPHRASE_FILE=...     the stack's secrets are encrypted with a passphrase"
        )
        remedies.append(f"edge preview {site} --rehearse     needs no passphrase")
    if mode == "real" and _LOGIN.search(text):
        remedies.append("export PULUMI_BACKEND_URL=...     says where the state is; `pulumi login` where it needs one")
    return tuple(remedies)


def _flux(match: re.Match[str], site: str) -> list[str]:
    kind, name, why = match["kind"].lower(), match["name"], match["why"] or ""
    remedies = [f"edge kubeconfig {site} -- kubectl describe {kind} {name} --namespace flux-system     says more"]
    if _LOGIN_REFUSED.search(why):
        key = "git-ssh-key" if "ssh" in why.lower() else "git-password"
        remedies.append(
            f"edge secrets {site} --set {key} < FILE     sets the login; `edge up {site}` then tries it at once"
        )
    elif _NO_WAY.search(why):
        remedies.append("gitops.wait_ready: never     in the site file, while the site has no way to its source")
    return remedies


def _sdk_version(plugin: str) -> str:
    """The version that the program's SDK needs; empty where there is none, and the newest one is as good as any."""
    try:
        return version(f"pulumi-{plugin}")
    except PackageNotFoundError:
        return ""


def _locked(text: str, site: str, mode: str, variables: Mapping[str, str]) -> OperationError:
    owner = _LOCK_OWNER.search(text)
    if owner is None:
        what = f"{site} is locked by another operation."
    else:
        what = (
            f"{site} is locked: process {owner['pid']} of {owner['user']} on {owner['host']} "
            f"has been working on it since {owner['time'].rstrip('.,')}"
        )
        what += f"; {_alive(int(owner['pid']))}." if owner["host"] == socket.gethostname() else "."
    prefix = ""
    if mode == "rehearsal":
        # The lock is in the rehearsal's own state, which `pulumi` does not use by default.
        prefix = f"PULUMI_BACKEND_URL={shlex.quote(variables['PULUMI_BACKEND_URL'])} "
    return OperationError(
        what,
        (
            "wait until it ends, then try again",
            f"{prefix}pulumi cancel --yes --stack {site}     removes the lock; only when no operation is running",
        ),
    )


def _alive(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "that process is no longer running"
    except PermissionError:
        pass
    return "it is still running"


def _without_dump(said: str) -> str:
    """The CLI's own message, without what the Automation API adds around it and without `error: `."""
    if match := re.search(r"^ stderr: ", said, re.MULTILINE):
        said = said[match.end() :]
    lines = [line.removeprefix("error: ") for line in said.strip().splitlines()]
    return "\n".join(line for line in lines if not line.startswith("warning: using pulumi-language-python"))
