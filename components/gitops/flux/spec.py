"""What a human writes about where a site pulls its workloads from.

Only public facts: URLs, public keys, host keys. Private keys and passwords are the stack's secrets `git-ssh-key`,
`git-password` and `sops-age-key`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from components import ports
from components.specs import Spec
from components.types import DnsLabel, ImageRef, NonEmpty, SemVer
from components.urls import UrlOf, parse

_DURATION = r"^[1-9]\d{0,4}(s|m|h)$"
_OCI_URL = re.compile(r"oci://[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)+")
_KNOWN_HOST = re.compile(r"\S+ (ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( .*)?")


def _oci_url(value: str) -> str:
    if _OCI_URL.fullmatch(value) is None:
        raise ValueError("expected oci://registry/repository without tag or digest; those have fields of their own")
    return value


def _pgp_public_key(value: str) -> str:
    text = value.strip()
    if "PRIVATE KEY" in text:
        raise ValueError("expected a public key; this is a private one: revoke it, it has been written to a file")
    if not (
        text.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----") and text.endswith("-----END PGP PUBLIC KEY BLOCK-----")
    ):
        raise ValueError("expected an armored public key as `gpg --armor --export KEY` prints it")
    return text + "\n"


def _cosign_public_key(value: str) -> str:
    text = value.strip()
    if "PRIVATE KEY" in text:
        raise ValueError("expected a public key; this is a private one: replace it, it has been written to a file")
    if not (text.startswith("-----BEGIN PUBLIC KEY-----") and text.endswith("-----END PUBLIC KEY-----")):
        raise ValueError("expected a PEM public key, the `cosign.pub` of `cosign generate-key-pair`")
    return text + "\n"


def _known_hosts(value: str) -> str:
    lines = [line.strip() for line in value.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or any(_KNOWN_HOST.fullmatch(line) is None for line in lines):
        raise ValueError("expected lines as `ssh-keyscan HOST` prints them: host, key type, key")
    return "\n".join(lines) + "\n"


GitUrl = Annotated[
    str,
    UrlOf(
        ("https", "ssh"),
        needs_path=True,
        example="expected ssh://user@host/path or https://host/path, without a password in it "
        "(git@host:path is written ssh://git@host/path)",
    ),
]
OciUrl = Annotated[str, UrlOf(("oci",), needs_path=True), AfterValidator(_oci_url)]
PgpPublicKey = Annotated[str, AfterValidator(_pgp_public_key)]
CosignPublicKey = Annotated[str, AfterValidator(_cosign_public_key)]
KnownHosts = Annotated[str, AfterValidator(_known_hosts)]
Duration = Annotated[str, Field(pattern=_DURATION)]
Component = Literal[
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    "image-reflector-controller",
    "image-automation-controller",
]


class CommitSignatures(Spec):
    """Whose OpenPGP signatures the site trusts. An unsigned commit is not applied."""

    mode: Literal["HEAD", "Tag", "TagAndHEAD"] = "HEAD"
    """What must be signed: the commit, the tag that was checked out, or both."""

    keys: Annotated[dict[DnsLabel, PgpPublicKey], Field(min_length=1)]
    """Signer -> armored OpenPGP public key."""


class OidcIdentity(Spec):
    """A keyless signer, as it stands in its certificate."""

    issuer: NonEmpty
    """Regular expression that the OIDC issuer matches, such as `^https://token.actions.githubusercontent.com$`."""

    subject: NonEmpty
    """Regular expression that the subject matches: the workflow or the person that signed."""


class ArtifactSignatures(Spec):
    """Whose cosign signatures the site trusts: those of public keys, or those of keyless identities."""

    keys: dict[DnsLabel, CosignPublicKey] = Field(default={})
    """Signer -> PEM public key. Works without access to a transparency log."""

    identities: tuple[OidcIdentity, ...] = ()
    """Keyless signers; the site must reach Sigstore to check them."""

    @model_validator(mode="after")
    def _keys_or_identities(self) -> ArtifactSignatures:
        if bool(self.keys) == bool(self.identities):
            raise ValueError("expected either `keys` or `identities`: without one of them nothing is verified")
        return self


class GitSource(Spec):
    """A Git repository."""

    git: GitUrl
    """URL: ssh://user@host/path (key: the secret `git-ssh-key`) or https://host/path."""

    branch: NonEmpty | None = None
    """Branch to follow. Without branch, tag, semver or commit: main."""

    tag: NonEmpty | None = None
    """Tag to stay on."""

    semver: NonEmpty | None = None
    """Range of version tags to follow, such as `>=1.2.0 <2.0.0`."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit to stay on: 40 hexadecimal digits."""

    username: NonEmpty | None = None
    """User name for https; with it, the password or token is the secret `git-password`."""

    known_hosts: KnownHosts | None = None
    """SSH host keys of the Git server, as `ssh-keyscan HOST` prints them. Needed for ssh."""

    verify: CommitSignatures | None = None
    """Trusted signatures. Policy refuses a source without them."""

    @property
    def ssh(self) -> bool:
        """Whether the repository is read over SSH."""
        return self.git.startswith("ssh://")

    @model_validator(mode="after")
    def _one_reference(self) -> GitSource:
        given = [name for name in ("branch", "tag", "semver", "commit") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of branch, tag, semver, commit; this has {' and '.join(given)}")
        if self.verify and self.verify.mode != "HEAD" and not (self.tag or self.semver):
            raise ValueError(f"verify.mode {self.verify.mode} checks a tag's signature: it needs `tag` or `semver`")
        return self

    @model_validator(mode="after")
    def _credentials_fit_the_url(self) -> GitSource:
        if self.ssh and self.username:
            raise ValueError("`username` is for https; over ssh the user stands in the URL")
        if not self.ssh and self.known_hosts:
            raise ValueError("`known_hosts` is for ssh; an https server is known by its certificate")
        if self.ssh:
            url = parse(self.git)
            host, port = url.host, url.port
            name = host if port == ports.SSH else f"[{host}]:{port}"
            if not self.known_hosts:
                raise ValueError(f"ssh needs `known_hosts`, the output of `ssh-keyscan -p {port} {host}`")
            named = [line.split()[0] for line in self.known_hosts.splitlines()]
            if not any(entry.startswith("|1|") or name in entry.split(",") for entry in named):
                raise ValueError(f"`known_hosts` has no key for {name}: run `ssh-keyscan -p {port} {host}`")
        return self


class OciSource(Spec):
    """An OCI artifact, as `flux push artifact` makes it."""

    oci: OciUrl
    """oci://registry/repository, without tag."""

    tag: NonEmpty | None = None
    """Tag to follow."""

    semver: NonEmpty | None = None
    """Range of version tags to follow."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest to stay on."""

    verify: ArtifactSignatures | None = None
    """Trusted signatures. Policy refuses a source without them."""

    @model_validator(mode="after")
    def _one_reference(self) -> OciSource:
        given = [name for name in ("tag", "semver", "digest") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of tag, semver, digest; this has {' and '.join(given) or 'none'}")
        return self


def _kind_of_source(value: Any) -> str | None:
    if isinstance(value, GitSource | OciSource):
        return "git" if isinstance(value, GitSource) else "oci"
    kinds = [kind for kind in ("git", "oci") if isinstance(value, dict) and kind in value]
    return kinds[0] if len(kinds) == 1 else None


Source = Annotated[
    Annotated[GitSource, Tag("git")] | Annotated[OciSource, Tag("oci")],
    Discriminator(
        _kind_of_source,
        custom_error_type="source",
        custom_error_message="expected either `git: <url>` or `oci: oci://<registry>/<repository>`",
    ),
]


class OperatorSpec(Spec):
    """flux-operator, which installs and updates Flux in the cluster."""

    version: SemVer
    """Exact version of the Helm chart."""

    chart: OciUrl = "oci://ghcr.io/controlplaneio-fluxcd/charts/flux-operator"
    """Where the chart is read from; a mirror for sites without internet."""

    image: ImageRef | None = None
    """Image of the operator with its digest, instead of the one that the chart names."""


class DistributionSpec(Spec):
    """Flux itself."""

    version: SemVer
    """Exact version of Flux."""

    registry: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)*$")] = "ghcr.io/fluxcd"
    """Registry of the controllers' images; a mirror for sites without internet."""

    components: Annotated[tuple[Component, ...], Field(min_length=2)] = (
        "source-controller",
        "kustomize-controller",
        "helm-controller",
        "notification-controller",
    )
    """Controllers to run."""

    @model_validator(mode="after")
    def _enough_to_apply(self) -> DistributionSpec:
        for needed in ("source-controller", "kustomize-controller"):
            if needed not in self.components:
                raise ValueError(f"expected {needed} among the components: without it nothing is applied")
        return self


class FluxSpec(Spec):
    """Flux pulls the site's workloads: a site behind NAT or with an uplink that comes and goes still converges."""

    kind: Literal["flux"]
    """Selects Flux."""

    operator: OperatorSpec
    """The operator that installs Flux."""

    distribution: DistributionSpec
    """The Flux that it installs."""

    source: Source
    """Where the manifests are: a Git repository or an OCI artifact."""

    path: Annotated[str, Field(pattern=r"^\./[A-Za-z0-9_./-]*$")] = "./edge/overlays/production"
    """Folder with the kustomization, from the root of the source."""

    interval: Duration = "5m"
    """How often source and cluster are compared, such as `5m`."""

    replicas: dict[DnsLabel, Annotated[int, Field(ge=0, le=100)]] = Field(default={"inference-server": 2})
    """Deployment -> number of replicas that this site runs instead of the number in the source."""

    decryption: Literal["sops-age", "none"] = "none"
    """Whether the source holds files encrypted with SOPS; the age key is the secret `sops-age-key`."""
