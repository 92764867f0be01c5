"""What a human writes about where a site pulls its workloads from.

Only public facts: URLs, public keys, host keys. Private keys and passwords are the stack's secrets `git-ssh-key`,
`git-password` and `sops-age-key`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from components import git_names, openpgp, pem, ports, ssh_keys, version_range
from components.specs import Spec
from components.types import DnsLabel, ImageRef, NonEmpty, SemVer
from components.urls import UrlOf, parse
from sitefile import signer_expression
from sitefile.problems import Finding, Unfit

_COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_DURATION = r"^[1-9]\d{0,4}(s|m|h)$"
_OCI_URL = re.compile(r"oci://[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)+")


def _oci_url(value: str) -> str:
    if _OCI_URL.fullmatch(value) is None:
        raise ValueError("expected oci://registry/repository without tag or digest; those have fields of their own")
    return value


def _pgp_public_key(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("expected a public key; this is a private one: revoke it, it has been written to a file")
    try:
        openpgp.check(value)
    except openpgp.NotAKey as error:
        raise Unfit(
            str(error), "one armored public key", "copy all lines that `gpg --armor --export KEY` prints"
        ) from None
    return value.strip() + "\n"


def _cosign_public_key(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("expected a public key; this is a private one: replace it, it has been written to a file")
    try:
        return pem.public_key(value)
    except pem.NotPem as error:
        raise Unfit(
            str(error), "one public key in PEM", "copy all lines of the `cosign.pub` of `cosign generate-key-pair`"
        ) from None


def _known_hosts(value: str) -> str:
    lines = [line.strip() for line in value.splitlines() if line.strip() and not line.strip().startswith("#")]
    for number, line in enumerate(lines, start=1):
        try:
            ssh_keys.known_host(line)
        except ssh_keys.NotAKey as error:
            raise Unfit(
                f"key {number}: {error}" if len(lines) > 1 else str(error),
                "lines of host, key type and key",
                "write the lines that `ssh-keyscan HOST` prints, each whole and on a line of its own",
            ) from None
    if not lines:
        raise ValueError("expected lines as `ssh-keyscan HOST` prints them: host, key type, key")
    return "\n".join(lines) + "\n"


def _branch(value: str) -> str:
    return _git_name(value, "heads", "the name of a branch, such as main")


def _git_tag(value: str) -> str:
    return _git_name(value, "tags", "the name of a tag, such as v1.4.0")


def _git_name(value: str, kind: str, expected: str) -> str:
    if problem := git_names.problem(value, kind):
        raise Unfit(problem[0], expected, problem[1])
    return value


def _version_range(value: str) -> str:
    try:
        version_range.check(value)
    except version_range.NotARange as error:
        raise Unfit(
            str(error),
            "a range of versions such as `>=1.2.0 <2.0.0`",
            "write versions with `>=`, `<`, `~` or `^` before",
        ) from None
    return value


def _oidc_expression(value: str) -> str:
    """An expression that is found anywhere in a text, or in any text, trusts signers that nobody meant."""
    if fault := signer_expression.fault_of(value):
        raise Unfit(
            fault.what, "a regular expression for the whole value: ^https://example\\.com/team/.*$", fault.remedy
        )
    return value


GitUrl = Annotated[
    str,
    UrlOf(
        ("https", "ssh"),
        needs_path=True,
        example="ssh://user@host/path or https://host/path, without a password in it "
        "(git@host:path is written ssh://git@host/path)",
    ),
    Field(examples=["https://git.example.com/edge/configs.git"]),
]
OciUrl = Annotated[
    str,
    UrlOf(("oci",), needs_path=True),
    AfterValidator(_oci_url),
    Field(examples=["oci://registry.example.com/edge/configs"]),
]
PgpPublicKey = Annotated[str, AfterValidator(_pgp_public_key)]
CosignPublicKey = Annotated[str, AfterValidator(_cosign_public_key)]
KnownHosts = Annotated[str, AfterValidator(_known_hosts), Field(examples=["git.example.com ssh-ed25519 AAAA..."])]
Branch = Annotated[NonEmpty, AfterValidator(_branch), Field(examples=["main"])]
GitTag = Annotated[NonEmpty, AfterValidator(_git_tag), Field(examples=["v1.4.0"])]
OciTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["stable"])]
VersionRange = Annotated[NonEmpty, AfterValidator(_version_range), Field(examples=[">=1.2.0 <2.0.0"])]
OidcExpression = Annotated[
    NonEmpty, AfterValidator(_oidc_expression), Field(examples=["^https://example\\.com/team/.*$"])
]
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


class GitSource(Spec):
    """A Git repository."""

    git: GitUrl
    """URL: ssh://user@host/path (key: the secret `git-ssh-key`) or https://host/path."""

    branch: Branch | None = None
    """Branch to follow. Without branch, tag, semver or commit: main."""

    tag: GitTag | None = None
    """Tag to stay on."""

    semver: VersionRange | None = None
    """Range of version tags to follow, such as `>=1.2.0 <2.0.0`."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", examples=[_COMMIT])] | None = None
    """Commit to stay on: 40 hexadecimal digits."""

    username: Annotated[NonEmpty, Field(examples=["edge"])] | None = None
    """User name for https; with it, the password or token is the secret `git-password`."""

    known_hosts: KnownHosts | None = None
    """SSH host keys of the Git server, as `ssh-keyscan HOST` prints them. Needed for ssh."""

    verify: CommitSignatures | None = None
    """Trusted signatures. Policy refuses a source without them, unless the site has a waiver."""

    @property
    def ssh(self) -> bool:
        """Whether the repository is read over SSH."""
        return self.git.startswith("ssh://")

    def conflicts(self) -> Iterator[Finding]:
        given = [name for name in ("branch", "tag", "semver", "commit") if getattr(self, name) is not None]
        for name in given[1:]:
            yield Finding(
                (name,), f"`{name}` beside `{given[0]}`", "one of branch, tag, semver, commit", "remove one of the two"
            )
        if self.verify and self.verify.mode != "HEAD" and not (self.tag or self.semver):
            yield Finding(
                ("verify", "mode"),
                f"`mode: {self.verify.mode}` checks a tag's signature, and no tag is followed",
                "`tag` or `semver` for this mode",
                "write `mode: HEAD`, or follow a tag",
            )
        yield from self._credentials()

    def _credentials(self) -> Iterator[Finding]:
        if self.ssh and self.username:
            yield Finding(
                ("username",),
                "`username` is for https; over ssh the user stands in the URL",
                "ssh://user@host/path",
                "remove `username`",
            )
        if not self.ssh and self.known_hosts:
            yield Finding(
                ("known_hosts",),
                "`known_hosts` is for ssh; an https server is known by its certificate",
                "no host key for https",
                "remove `known_hosts`, or use a ssh:// URL",
            )
        if not self.ssh:
            return
        url = parse(self.git)
        host, port = url.host, url.port
        scan = f"ssh-keyscan -p {port} {host}"
        if not self.known_hosts:
            yield Finding(
                ("known_hosts",),
                "ssh needs `known_hosts`: without it, any server would be believed",
                f"the output of `{scan}`",
                f"run `{scan}`, compare it with what the server's operator publishes, and add it as `known_hosts: |`",
            )
            return
        lines = [ssh_keys.known_host(line) for line in self.known_hosts.splitlines()]
        if not any(line.is_of(host, port) and line.marker != "@revoked" for line in lines):
            yield Finding(
                ("known_hosts",),
                f"`known_hosts` has no key for {host if port == ports.SSH else f'[{host}]:{port}'}",
                f"the output of `{scan}`",
                f"run `{scan}`, and write what it prints",
            )


class OciSource(Spec):
    """An OCI artifact, as `flux push artifact` makes it."""

    oci: OciUrl
    """oci://registry/repository, without tag."""

    tag: OciTag | None = None
    """Tag to follow."""

    semver: VersionRange | None = None
    """Range of version tags to follow."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", examples=[f"sha256:{'2f98a9f8' * 8}"])] | None = None
    """Digest to stay on."""

    verify: ArtifactSignatures | None = None
    """Trusted signatures. Policy refuses a source without them, unless the site has a waiver."""

    def conflicts(self) -> Iterator[Finding]:
        given = [name for name in ("tag", "semver", "digest") if getattr(self, name) is not None]
        if len(given) != 1:
            yield Finding(
                (given[1],) if given else (),
                f"`{given[1]}` beside `{given[0]}`" if given else "nothing says which artifact to take",
                "one of tag, semver, digest",
                "remove one of the two" if given else "add `tag:`, `semver:` or `digest:`",
            )


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

    def conflicts(self) -> Iterator[Finding]:
        for needed in ("source-controller", "kustomize-controller"):
            if needed not in self.components:
                yield Finding(
                    ("components",),
                    f"`{needed}` is not among the components: without it nothing is applied",
                    "source-controller and kustomize-controller, and others as needed",
                    f"add `{needed}`",
                )


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
