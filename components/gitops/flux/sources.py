"""Sources that Flux reads: Git repositories and OCI artifacts, and how it gets there. Signers are in ``signers``.

Only public facts: URLs, public keys, host keys. Passwords and private keys are secrets of the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from components import git_names, ports, ssh_keys, version_range
from components.gitops.flux.signers import ArtifactSignatures, CommitSignatures
from components.specs import Spec
from components.types import Certificates, NonEmpty
from components.urls import UrlOf, parse
from sitefile.problems import Finding, Unfit

_COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_OCI_URL = re.compile(r"oci://(\[[0-9a-f:.]+\]|[a-z0-9][a-z0-9.-]*)(:\d+)?(/[a-z0-9][a-z0-9._-]*)+")


def _oci_url(value: str) -> str:
    if _OCI_URL.fullmatch(value) is None:
        raise ValueError("expected oci://registry/repository without tag or digest; those have fields of their own")
    parse(value)
    return value


def _git_url(value: str) -> str:
    url = parse(value)
    if url.scheme == "ssh" and ":" in url.host:
        # It puts brackets around the address twice: `dial tcp: address [[fd00::1]]:22: missing port in address`.
        raise Unfit(
            "Flux' Git client reaches no IPv6 address by ssh",
            "a name, or https",
            "give the Git server a name that the site resolves, or read it by https://[...]",
        )
    return value


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


def _reference(value: str) -> str:
    if not value.startswith("refs/"):
        raise Unfit(
            "it does not begin with `refs/`",
            "a whole reference, such as refs/heads/main or refs/pull/420/head",
            "write it as `git ls-remote` prints it; a branch or a tag has a field of its own",
        )
    if problem := git_names.problem(value.removeprefix("refs/"), "reference"):
        raise Unfit(problem[0], "a reference, such as refs/heads/main", "write it as `git ls-remote` prints it")
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


GitUrl = Annotated[
    str,
    UrlOf(
        ("https", "ssh"),
        needs_path=True,
        example="ssh://user@host/path or https://host/path, without a password in it "
        "(git@host:path is written ssh://git@host/path)",
    ),
    AfterValidator(_git_url),
    Field(examples=["https://git.example.com/edge/configs.git"]),
]
OciUrl = Annotated[
    str,
    UrlOf(("oci",), needs_path=True),
    AfterValidator(_oci_url),
    Field(examples=["oci://registry.example.com/edge/configs"]),
]
KnownHosts = Annotated[str, AfterValidator(_known_hosts), Field(examples=["git.example.com ssh-ed25519 AAAA..."])]
Branch = Annotated[NonEmpty, AfterValidator(_branch), Field(examples=["main"])]
GitTag = Annotated[NonEmpty, AfterValidator(_git_tag), Field(examples=["v1.4.0"])]
OciTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["stable"])]
VersionRange = Annotated[NonEmpty, AfterValidator(_version_range), Field(examples=[">=1.2.0 <2.0.0"])]
GitReference = Annotated[NonEmpty, AfterValidator(_reference), Field(examples=["refs/heads/main"])]
Folder = Annotated[str, Field(pattern=r"^(\./)?[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?$")]
ProxyUrl = Annotated[str, UrlOf(("http", "https")), Field(examples=["http://proxy.example.com:3128"])]
AnnotationKey = Annotated[
    str,
    Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=253),
]
SourceTimeout = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}(s|m)$")]


class Proxy(Spec):
    """What stands between a site and its source."""

    url: ProxyUrl
    """The proxy, without login. Flux reaches https and OCI sources through it."""

    username: Annotated[NonEmpty, Field(examples=["edge"])] | None = None
    """User name for the proxy; with it, the password is the secret `source-proxy-password`."""


class GitHubApp(Spec):
    """A GitHub App that reads the repository; its private key (PEM) is the secret `github-app-key`."""

    app_id: Annotated[int, Field(ge=1, examples=[912345])]
    """App ID, on the app's page."""

    installation_id: Annotated[int, Field(ge=1, examples=[51234567])]
    """Installation ID: the number at the end of the URL of the app's installation."""

    base_url: Annotated[str, UrlOf(("https",)), Field(examples=["https://github.example.com/api/v3"])] | None = None
    """API of a GitHub Enterprise Server; github.com's when absent."""


class _Reached(Spec):
    """What all sources have."""

    timeout: SourceTimeout = "60s"
    """How long one attempt to read the source may take."""

    ca: Certificates | None = None
    """Certificates (PEM) of the authority that signed the server's certificate, where it is a private one."""

    proxy: Proxy | None = None
    """HTTP proxy on the way to the source."""

    identity: dict[AnnotationKey, NonEmpty] = Field(
        default={}, examples=[{"azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000"}]
    )
    """Annotations of source-controller's ServiceAccount, by which the cloud of `provider` knows it. Without them, it
    has the identity of the machine that it runs on."""

    ignore: Annotated[str, Field(max_length=10_000, examples=["/docs"])] | None = None
    """What is left out of the source, in the format of `.gitignore`; takes the place of Flux' own list."""

    def _cloud(self, provider: str) -> Iterator[Finding]:
        if self.identity and provider == "generic":
            yield Finding(
                ("identity",),
                "`identity` without a cloud that knows it",
                "`provider` beside `identity`",
                "add `provider`, or remove `identity`",
            )


class GitSource(_Reached):
    """A Git repository."""

    git: GitUrl
    """URL: ssh://user@host/path (key: the secret `git-ssh-key`) or https://host/path."""

    branch: Branch | None = None
    """Branch to follow. Without branch, tag, semver, ref or commit: main."""

    tag: GitTag | None = None
    """Tag to stay on."""

    semver: VersionRange | None = None
    """Range of version tags to follow, such as `>=1.2.0 <2.0.0`."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", examples=[_COMMIT])] | None = None
    """Commit to stay on: 40 hexadecimal digits."""

    ref: GitReference | None = None
    """Whole reference to follow, such as `refs/heads/main` or `refs/pull/420/head`."""

    sparse_checkout: tuple[Folder, ...] = ()
    """Folders to read, with what is below them; without any, the whole repository. `path` is one of them, or below."""

    username: Annotated[NonEmpty, Field(examples=["edge"])] | None = None
    """User name for https; with it, the password or token is the secret `git-password`."""

    provider: Literal["generic", "azure", "aws"] = "generic"
    """`azure` (Azure DevOps) and `aws` (CodeCommit) log in with the cloud's identity, so without a password."""

    github_app: GitHubApp | None = None
    """Logs in as a GitHub App, in place of a user."""

    known_hosts: KnownHosts | None = None
    """SSH host keys of the Git server, as `ssh-keyscan HOST` prints them. Needed for ssh."""

    verify: CommitSignatures | None = None
    """Trusted signatures. Policy refuses a source without them, unless the site has a waiver."""

    @property
    def ssh(self) -> bool:
        """Whether the repository is read over SSH."""
        return self.git.startswith("ssh://")

    def conflicts(self) -> Iterator[Finding]:
        given = [name for name in ("branch", "tag", "semver", "ref", "commit") if getattr(self, name) is not None]
        for name in given[1:]:
            yield Finding(
                (name,),
                f"`{name}` beside `{given[0]}`",
                "one of branch, tag, semver, ref, commit",
                "remove one of the two",
            )
        if self.verify and self.verify.mode != "HEAD" and not (self.tag or self.semver):
            yield Finding(
                ("verify", "mode"),
                f"`mode: {self.verify.mode}` checks a tag's signature, and no tag is followed",
                "`tag` or `semver` for this mode",
                "write `mode: HEAD`, or follow a tag",
            )
        yield from self._credentials()

    def _logins(self) -> Iterator[Finding]:
        """Over ssh there is a key and a host key; over https one way to log in, a certificate and perhaps a proxy."""
        cloud = self.provider != "generic"
        given = {"username": self.username, "github_app": self.github_app, "provider": self.provider if cloud else None}
        present = [name for name, value in given.items() if value is not None]
        for name in present[1:]:
            yield Finding(
                (name,), f"`{name}` beside `{present[0]}`", "one way to log in", f"remove `{name}` or `{present[0]}`"
            )
        if self.ssh:
            reasons = {
                "username": "over ssh the user stands in the URL",
                "github_app": "an app has a token, and no key",
                "provider": "a cloud's identity gives a token, and no key",
                "ca": "a ssh server is known by its host key",
                "proxy": "Flux goes to a ssh server directly",
            }
            for name in (*present, *(name for name in ("ca", "proxy") if getattr(self, name) is not None)):
                yield Finding(
                    (name,),
                    f"`{name}` is for https; {reasons[name]}",
                    "`known_hosts` and the secret `git-ssh-key` for ssh",
                    f"remove `{name}`, or use an https:// URL",
                )

    def _credentials(self) -> Iterator[Finding]:
        yield from self._logins()
        yield from self._cloud(self.provider)
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


class OciSource(_Reached):
    """An OCI artifact, as `flux push artifact` makes it."""

    oci: OciUrl
    """oci://registry/repository, without tag."""

    tag: OciTag | None = None
    """Tag to follow."""

    semver: VersionRange | None = None
    """Range of version tags to follow."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", examples=[f"sha256:{'2f98a9f8' * 8}"])] | None = None
    """Digest to stay on."""

    username: Annotated[NonEmpty, Field(examples=["edge"])] | None = None
    """User name at the registry; with it, the password or token is the secret `oci-password`."""

    provider: Literal["generic", "aws", "azure", "gcp"] = "generic"
    """Cloud whose registry knows the cluster's identity: no password then."""

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
        if self.username and self.provider != "generic":
            yield Finding(
                ("provider",), "`provider` beside `username`", "one way to log in", "remove `username` or `provider`"
            )
        yield from self._cloud(self.provider)


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
