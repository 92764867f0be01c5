"""A file of kubeconfigs: one more entry in it, and everything else as it was.

Owns the names of our entries, and the file: readable for its owner alone, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from edge.exit_codes import BAD_INPUT
from edge.hosts.kubeconfig import Kubeconfig
from edge.run.failure import OperationError

_LISTS = ("clusters", "contexts", "users")


def merged(text: str, kubeconfig: Kubeconfig, context: str, file: Path) -> str:
    """The content ``text`` of ``file`` with the entries of a site; an earlier version of these is replaced.

    Raises ``OperationError`` where somebody else's context has that name, or the file is no kubeconfig.
    """
    document = _document(text, file)
    name = f"edge-{kubeconfig.site}"
    for one in document["contexts"]:
        if one.get("name") == context and (one.get("context") or {}).get("cluster") != name:
            raise OperationError(
                f"{file} has a context `{context}` that is not of `edge kubeconfig {kubeconfig.site}`.",
                (f"edge kubeconfig {kubeconfig.site} --merge {file} --context NAME     takes another name",),
                code=BAD_INPUT,
            )
    entries = {
        "clusters": {"name": name, "cluster": kubeconfig.cluster},
        "contexts": {"name": context, "context": {"cluster": name, "user": name}},
        "users": {"name": name, "user": dict(kubeconfig.user)},
    }
    for key, entry in entries.items():
        document[key] = [*(one for one in document[key] if one.get("name") != entry["name"]), entry]
    document["current-context"] = document.get("current-context") or context
    return str(yaml.safe_dump(document, sort_keys=False))


def merge(kubeconfig: Kubeconfig, context: str, file: Path) -> None:
    """Write the entries of a site into ``file``, which is made where there is none. Raises ``OperationError``."""
    # A link stays one.
    target = file.expanduser().resolve()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        write(target, merged(text, kubeconfig, context, file))
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(f"{file} cannot be written: {error}", code=BAD_INPUT) from None


def write(target: Path, text: str) -> None:
    """Whole or not at all, and for the owner alone from the first byte on."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _document(text: str, file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text) or {"apiVersion": "v1", "kind": "Config"}
        lists = {key: document.get(key) or [] for key in _LISTS}
        if not all(isinstance(one, dict) for found in lists.values() for one in found):
            raise TypeError
    except (yaml.YAMLError, AttributeError, TypeError):
        raise OperationError(f"{file} is not a kubeconfig; nothing was written.", code=BAD_INPUT) from None
    return {**document, **lists}
