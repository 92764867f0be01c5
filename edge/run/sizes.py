"""How large what sites run is, by digest: `sizes.json` beside the sites, filled by `edge sbom --sizes`.

Nothing here asks the network but ``renew``. Registries are asked by the real `crane`, which knows their logins;
publishers of files by HTTP.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.run.bill import Item
from edge.run.failure import OperationError
from edge.run.written_file import write_text
from stacks.project import data_folder, shown

FILE = "sizes.json"
_ANY = "any"
"""In place of an architecture, for what is the same on all."""
_OCI = "oci://"
"""Start of the source of what is no image and lies in a registry by name."""
_TIMEOUT_S = 60

Sizes = Mapping[str, Mapping[str, int]]
"""Bytes by architecture (`amd64`, `arm64`, `any`), by digest (64 hexadecimal digits)."""


@dataclass(frozen=True)
class Renewal:
    """What ``renew`` did."""

    sizes: Sizes
    asked: int
    problems: tuple[str, ...]
    """What could not be learned, and why."""


def file_of(root: Path) -> Path:
    return data_folder(root) / FILE


def load(root: Path) -> Sizes:
    """The recorded sizes; none where there is no record. Raises ``OperationError`` for one that is damaged."""
    file = file_of(root)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(digest): {str(arch): int(size) for arch, size in of.items()} for digest, of in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        what = f"{shown(file, root)} cannot be used: {error}."
        raise OperationError(what, ("git checkout it, or remove it and run `edge sbom --all --sizes`",)) from error


def size_of(item: Item, archs: Iterable[str], sizes: Sizes) -> int | None:
    """Bytes that one host with one of ``archs`` fetches for ``item``, the most of them; None where it is not known."""
    known = sizes.get(item.digest, {})
    found = [known.get(arch, known.get(_ANY)) for arch in ([item.arch] if item.arch else archs)]
    return None if None in found else max((size for size in found if size is not None), default=None)


def renew(
    wanted: Sequence[tuple[Item, str]], root: Path, tell: Callable[[int, int], None] = lambda _done, _of: None
) -> Renewal:
    """Learn the sizes of all ``wanted`` (each with an architecture) that the record lacks, and write it.

    Raises ``OperationError`` without `crane`, and for a record that is damaged.
    """
    sizes = {digest: dict(of) for digest, of in load(root).items()}
    missing = [(item, arch) for item, arch in wanted if item.digest and size_of(item, [arch], sizes) is None]
    crane = shutil.which("crane")
    if crane is None and any(_is_in_a_registry(item) for item, _ in missing):
        what = "crane not found on PATH: registries cannot be asked for the sizes of images and models."
        raise OperationError(what, ("install crane (go-containerregistry), and log in with `crane auth login`",))
    problems = []
    for number, (item, arch) in enumerate(missing):
        tell(number, len(missing))
        try:
            size = _in_a_registry(str(crane), item, arch) if _is_in_a_registry(item) else _of_file(item.source)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            problems.append(f"{item.name} {item.version} ({arch}): {_reason(error)}")
            continue
        sizes.setdefault(item.digest, {})[arch if item.kind == "image" else _ANY] = size
    if sizes:
        write_text(str(file_of(root)), json.dumps(sizes, indent=2, sort_keys=True) + "\n")
    return Renewal(sizes, len(missing), tuple(problems))


def asked_for(items: Iterable[Item], archs: Sequence[str]) -> Iterator[tuple[Item, str]]:
    """What a site with hosts of ``archs`` fetches over its uplink. Charts go to its cluster from elsewhere."""
    for item in items:
        if item.kind != "chart":
            yield from ((item, arch) for arch in ([item.arch] if item.arch else archs))


def _is_in_a_registry(item: Item) -> bool:
    return item.kind == "image" or item.source.startswith(_OCI)


def _in_a_registry(crane: str, item: Item, arch: str) -> int:
    """Bytes of all layers and the configuration, as the registry has them: compressed, as they are fetched."""
    if item.kind == "image":
        options = ["--platform", f"linux/{arch}", f"{item.name}@sha256:{item.digest}"]
    else:
        options = [item.source.removeprefix(_OCI)]
    done = subprocess.run([crane, "manifest", *options], capture_output=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said else "crane failed")
    if item.kind != "image" and hashlib.sha256(done.stdout).hexdigest() != item.digest:
        raise ValueError("its registry has something else under this name than the digest says")
    manifest = json.loads(done.stdout)
    return int(manifest["config"]["size"]) + sum(int(layer["size"]) for layer in manifest["layers"])


def _of_file(source: str) -> int:
    if not source.startswith(("https://", "http://")):
        raise ValueError("its publisher is not known here")
    request = urllib.request.Request(source, method="HEAD")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return int(answer.headers["Content-Length"])


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {_TIMEOUT_S} s"
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return "its size is not in the answer" if isinstance(error, (KeyError, TypeError)) else str(error)
