"""What a human writes about where a site pulls its workloads from. Sources are in ``sources``.

Only public facts. Private keys and passwords are secrets of the stack, such as `git-ssh-key` and `sops-age-key`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from components.gitops.flux.receivers import AlertSpec, CommitStatusSpec
from components.gitops.flux.sources import GitSource, OciUrl, Source
from components.specs import Spec
from components.types import DnsLabel, ImageRef, SemVer
from sitefile.problems import Finding

Duration = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}(s|m|h)$")]
VariableName = Annotated[str, Field(pattern=r"^[_A-Za-z][_A-Za-z0-9]*$", max_length=100)]
Component = Literal[
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    "image-reflector-controller",
    "image-automation-controller",
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


class TenancySpec(Spec):
    """What objects in the source may do. Without exceptions, each is applied with the rights of an account of its own
    namespace, and takes nothing from others."""

    default_service_account: DnsLabel | None = "default"
    """Account of its own namespace by whose rights a Kustomization or HelmRelease is applied that names no
    `serviceAccountName`. `null` gives each of them the controllers' rights: those of the cluster's administrator. The
    site's own Kustomization has them in any case."""

    cross_namespace_refs: bool = False
    """Whether objects may refer to sources, and alerts to objects, of other namespaces."""

    remote_bases: bool = False
    """Whether a kustomization may load bases from elsewhere, which nobody verifies."""

    @property
    def locked(self) -> bool:
        """Whether there is no exception."""
        return bool(self.default_service_account) and not (self.cross_namespace_refs or self.remote_bases)


def seconds(duration: str) -> int:
    """A ``Duration`` in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


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

    tenancy: TenancySpec = TenancySpec()
    """Exceptions from the lock-down of what the source may do in the cluster."""

    substitute: bool = True
    """Whether Flux puts values in the place of `${...}` in what it applies. `false` for a repository whose scripts and
    templates have `${...}` of their own; one object alone is left as it is by the annotation
    `kustomize.toolkit.fluxcd.io/substitute: disabled`, one place by `$${...}`."""

    variables: dict[VariableName, Annotated[str, Field(max_length=10_000)]] = Field(
        default={}, examples=[{"camera_count": "4"}]
    )
    """Variable -> what `${variable}` stands for, beside `${site}`, `${tier}`, `${region}` and a `${label_NAME}` for
    each label of the site. Not for secrets."""

    decryption: Literal["sops-age", "none"] = "none"
    """Whether the source holds files encrypted with SOPS; the age key is the secret `sops-age-key`."""

    wait_ready: Annotated[Duration | Literal["never"] | None, Field(examples=["75s", "never"])] = None
    """How long `up` waits until the source is Ready, and then as long for the Kustomization; after that `up` fails and
    says what the controller says. By default, 15 s longer than `source.timeout`. `never` does not wait: for a site that
    cannot reach its Git server or registry yet."""

    alerts: dict[DnsLabel, AlertSpec] = Field(default={}, examples=[{"chat": {"kind": "slack"}}])
    """Name -> a receiver that Flux tells what fails at this site."""

    commit_status: CommitStatusSpec | None = None
    """Where a commit shows whether this site could apply it, as `edge/<site>`."""

    def conflicts(self) -> Iterator[Finding]:
        yield from self._reports()
        if self.variables and not self.substitute:
            yield Finding(
                ("variables",),
                "`variables` beside `substitute: false`: nothing is put in their place",
                "one of the two",
                "remove `variables`, or `substitute: false`",
            )
        folders = self.source.sparse_checkout if isinstance(self.source, GitSource) else ()
        below = [folder.removeprefix("./").strip("/") for folder in folders]
        path = self.path.removeprefix("./").strip("/")
        if below and not any(path == folder or path.startswith(f"{folder}/") for folder in below):
            yield Finding(
                ("source", "sparse_checkout"),
                f"`path` {self.path} is in none of the folders that are read",
                "a folder that holds `path`",
                f"add `{path.partition('/')[0]}`, with everything that the kustomization refers to",
            )

    def _reports(self) -> Iterator[Finding]:
        for field in ("alerts", "commit_status"):
            if getattr(self, field) and "notification-controller" not in self.distribution.components:
                yield Finding(
                    (field,),
                    f"`{field}` without notification-controller: nobody would be told anything",
                    "notification-controller among `distribution.components`",
                    f"add it, or remove `{field}`",
                )
        if (status := self.commit_status) is None:
            return
        if not isinstance(self.source, GitSource):
            yield Finding(
                ("commit_status",),
                "`commit_status` beside an OCI source, which has no commits",
                "a Git source",
                "remove `commit_status`",
            )
        elif not status.address and not self.source.git.startswith("https://"):
            yield Finding(
                ("commit_status",),
                f"the API of {status.kind} is not where {self.source.git} is",
                "the https:// address of the repository",
                "add `address`, such as https://git.example.com/edge/configs",
            )
