"""Whose signatures a site trusts: of commits and tags by OpenPGP, of artifacts by cosign. Public keys only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components import pem
from components.specs import Spec
from components.types import DnsLabel, NonEmpty, PgpPublicKey
from sitefile import signer_expression
from sitefile.problems import Finding, Unfit


def _cosign_public_key(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("expected a public key; this is a private one: replace it, it has been written to a file")
    try:
        return pem.public_key(value)
    except pem.NotPem as error:
        raise Unfit(
            str(error), "one public key in PEM", "copy all lines of the `cosign.pub` of `cosign generate-key-pair`"
        ) from None


def _oidc_expression(value: str) -> str:
    """An expression that is found anywhere in a text, or in any text, trusts signers that nobody meant."""
    if fault := signer_expression.fault_of(value):
        raise Unfit(
            fault.what, "a regular expression for the whole value: ^https://example\\.com/team/.*$", fault.remedy
        )
    return value


CosignPublicKey = Annotated[str, AfterValidator(_cosign_public_key)]
OidcExpression = Annotated[
    NonEmpty, AfterValidator(_oidc_expression), Field(examples=["^https://example\\.com/team/.*$"])
]


class CommitSignatures(Spec):
    """Whose OpenPGP signatures the site trusts. An unsigned commit is not applied."""

    mode: Literal["HEAD", "Tag", "TagAndHEAD"] = "HEAD"
    """What must be signed: the commit, the tag that was checked out, or both."""

    keys: Annotated[
        dict[DnsLabel, PgpPublicKey],
        Field(min_length=1, examples=[{"release-team": "-----BEGIN PGP PUBLIC KEY BLOCK-----..."}]),
    ]
    """Signer -> armored OpenPGP public key."""


class OidcIdentity(Spec):
    """A keyless signer, as it stands in its certificate."""

    issuer: OidcExpression
    """Regular expression that the OIDC issuer matches, such as `^https://token.actions.githubusercontent.com$`."""

    subject: OidcExpression
    """Regular expression that the subject matches: the workflow or the person that signed."""


class ArtifactSignatures(Spec):
    """Whose cosign signatures the site trusts: those of public keys, or those of keyless identities."""

    keys: dict[DnsLabel, CosignPublicKey] = Field(default={})
    """Signer -> PEM public key. Works without access to a transparency log."""

    identities: tuple[OidcIdentity, ...] = ()
    """Keyless signers; the site must reach Sigstore to check them."""

    def conflicts(self) -> Iterator[Finding]:
        if bool(self.keys) == bool(self.identities):
            yield Finding(
                (),
                f"`verify` has {'both `keys` and' if self.keys else 'neither `keys` nor'} `identities`",
                "either `keys` or `identities`: without one of them nothing is verified",
                "remove one of the two" if self.keys else "add `keys:` with the public keys of those who sign",
            )
