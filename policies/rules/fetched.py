"""Sources of Flux: how they are fetched.

Does not judge whether they are signed (``flux_sources``), nor repositories of charts (``charts``).
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.rules.frameworks import top_ten
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node

_SAFE = ("https://", "oci://", "ssh://")


def _source_encrypted(subject: Subject) -> Iterator[Violation]:
    spec = subject.get("spec")
    yield from attempt(_fetched(spec.get("url")))
    insecure = spec.get("insecure")
    if insecure.flag():
        yield Violation(insecure.path, "is true: the server that answers is not verified")


def _fetched(place: Node) -> Iterator[Violation]:
    text = (place.text() or "").strip().lower()
    if "://" in text and not text.startswith(_SAFE):
        yield Violation(place.path, "is fetched without encryption")


def _is_source(kind: Kind) -> bool:
    return kind.is_a("source.toolkit.fluxcd.io", "GitRepository", "OCIRepository", "Bucket") or kind.is_a(
        "image.toolkit.fluxcd.io", "ImageRepository"
    )


RULES = (
    Rule(
        id="supply-chain/source-encrypted",
        level="mandatory",
        severity="high",
        title="Flux fetches its sources with TLS or SSH, from a server that is verified.",
        why="Anyone between a site and a plain http server can read the source, and keep an old one in its place.",
        remedy="In a site file, use an `https://` or `ssh://` address in `gitops.source.git`, or `oci://` in "
        "`gitops.source.oci`; for a private CA, give the source its certificate.",
        url="https://fluxcd.io/flux/components/source/gitrepositories/#url",
        applies=_is_source,
        check=_source_encrypted,
        about="GitRepository, OCIRepository, Bucket, ImageRepository",
        references=top_ten("K02"),
    ),
)
