"""AWS buckets: closed to the public, and encrypted with settings that somebody wrote.

Does not judge who may read a bucket by policy, which is ``iam``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from policies.rules.frameworks import cis_aws, nist
from policies.rules.iam import service_of
from policies.rules.kinds import Kind
from policies.rules.model import UNKNOWN, Violation
from policies.rules.rule import Rule, StackRule
from policies.rules.subject import Subject

_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
_BUCKETS = ("Bucket", "BucketV2")
_BLOCKS = ("BucketPublicAccessBlock", "AccountPublicAccessBlock")
_ENCRYPTIONS = ("BucketServerSideEncryptionConfiguration", "BucketServerSideEncryptionConfigurationV2")
_ACLS = ("BucketAcl", "BucketAclV2")
_FLAGS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read", "website")
_PUBLIC_GROUPS = ("/groups/global/AllUsers", "/groups/global/AuthenticatedUsers")


def _public_access_block(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name in _BLOCKS:
        for name in _FLAGS:
            flag = subject.get(name)
            if not flag.flag():
                yield Violation(flag.path, "is not true")
        return
    acl = subject.get("acl")
    if acl.text() in _PUBLIC_ACLS:
        yield Violation(acl.path, "lets everyone read the bucket")
    grants = subject.get("accessControlPolicy", "grants") if subject.kind.name in _ACLS else subject.get("grants")
    for grant in grants.each():
        uri = grant.get("grantee", "uri") if subject.kind.name in _ACLS else grant.get("uri")
        if (uri.text() or "").endswith(_PUBLIC_GROUPS):
            yield Violation(uri.path, "lets everyone read the bucket")


def _has(companions: Sequence[str], what: str) -> Callable[[Sequence[Subject]], Iterator[tuple[Subject, Violation]]]:
    """A check that each bucket of a stack has a companion of one of these kinds.

    Before a bucket exists, its companion cannot name it: such a companion counts for one bucket that none names, first
    of all for one whose resource has the beginning of its own name.
    """

    def check(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Violation]]:
        named: set[str] = set()
        unnamed: list[str] = []
        for subject in subjects:
            if subject.kind.name in companions:
                name = subject.root.peek("bucket")
                if name is UNKNOWN:
                    unnamed.append(subject.resource.name)
                elif isinstance(name, str):
                    named.add(name)
        bare = [
            subject
            for subject in subjects
            if subject.kind.name in _BUCKETS and not _inline(subject, companions) and not _is_named(subject, named)
        ]
        # Longer names first: `logs-block` is of `logs`, `logs-old-block` of `logs-old`.
        for subject in sorted(bare, key=lambda one: len(one.resource.name), reverse=True):
            own = next((name for name in unnamed if name.startswith(subject.resource.name)), None)
            if own is not None:
                unnamed.remove(own)
                bare.remove(subject)
        for subject in bare[len(unnamed) :]:
            yield subject, Violation("bucket", what)

    return check


def _is_named(subject: Subject, named: set[str]) -> bool:
    names = {subject.root.peek("bucket"), subject.resource.name} - {None, UNKNOWN}
    return bool(names & named) or any(_generated(name, subject) for name in named)


def _generated(name: str, subject: Subject) -> bool:
    """Whether a bucket's real name is one that the engine made from the resource's: with seven digits behind it."""
    head, dash, tail = name.rpartition("-")
    return bool(dash) and head == subject.resource.name and len(tail) == 7


def _inline(subject: Subject, companions: Sequence[str]) -> bool:
    return companions is _ENCRYPTIONS and bool(
        subject.root.peek("serverSideEncryptionConfiguration") not in (None, UNKNOWN)
    )


def _s3(kind: Kind, *names: str) -> bool:
    return kind.provider == "aws" and service_of(kind) in ("s3", "s3control") and kind.name in names


def _is_open_or_closed(kind: Kind) -> bool:
    return _s3(kind, *_BUCKETS, *_BLOCKS, *_ACLS)


def _bucket_and(companions: Sequence[str]) -> Callable[[Kind], bool]:
    return lambda kind: _s3(kind, *_BUCKETS, *companions)


_BLOCK_URL = f"{_S3}/access-control-block-public-access.html"
_BLOCK_REMEDY = "Add a BucketPublicAccessBlock with all four flags true, and remove public ACLs."

RULES = (
    Rule(
        id="aws/s3-public-access-block",
        level="mandatory",
        severity="critical",
        title="No bucket can be made public.",
        why="One ACL or one policy is enough to publish a backup; the block overrides both.",
        remedy=_BLOCK_REMEDY,
        url=_BLOCK_URL,
        applies=_is_open_or_closed,
        check=_public_access_block,
        about="S3 buckets, their ACLs and public access blocks",
        references=cis_aws("2.1.4"),
    ),
)

STACK_RULES = (
    StackRule(
        id="aws/s3-public-access-blocked",
        level="mandatory",
        severity="critical",
        title="Every bucket of the stack has a public access block.",
        why="One ACL or one policy is enough to publish a backup; the block overrides both.",
        remedy=_BLOCK_REMEDY,
        url=_BLOCK_URL,
        applies=_bucket_and(_BLOCKS[:1]),
        check=_has(_BLOCKS[:1], "has no BucketPublicAccessBlock"),
        about="S3 Bucket, with BucketPublicAccessBlock (whole stack)",
        references=cis_aws("2.1.4"),
    ),
    StackRule(
        id="aws/s3-encrypted",
        level="mandatory",
        severity="medium",
        title="Every bucket of the stack says how it is encrypted.",
        why="AWS encrypts with a key of its own by default; who may decrypt a backup is for you to say.",
        remedy="Add a BucketServerSideEncryptionConfiguration with `aws:kms` or `AES256`.",
        url=f"{_S3}/serv-side-encryption.html",
        applies=_bucket_and(_ENCRYPTIONS),
        check=_has(_ENCRYPTIONS, "has no BucketServerSideEncryptionConfiguration"),
        about="S3 Bucket, with BucketServerSideEncryptionConfiguration (whole stack)",
        references=nist("SC-28(1)"),
    ),
)
