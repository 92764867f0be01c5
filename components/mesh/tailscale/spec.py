"""What a human writes about the private network between a site and its operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from components.specs import Spec
from components.sysext import MIRROR
from components.types import Arch, Cidr, HttpsUrl, NonEmpty, SemVer, Sha256
from sitefile.problems import Finding


def _tag_name(value: str) -> str:
    if value.startswith("tag:"):
        raise ValueError(f"expected the name alone: {value.removeprefix('tag:')}")
    if value.startswith("edge-"):
        raise ValueError("names that begin with 'edge-' belong to the sites themselves: edge-<site>")
    return value


TagName = Annotated[
    str, StringConstraints(pattern=r"^(tag:)?[a-z][a-z0-9-]*$", max_length=63), AfterValidator(_tag_name)
]
"""A tag of the tailnet without its prefix ``tag:``."""


class ConfiguredKey(Spec):
    """The auth key is the secret `tailscale-auth-key`, made by the tailnet's operators (Headscale: a pre-auth key).

    It must be reusable, pre-authorised, short-lived, and carry all tags of the site: hosts refuse to join untagged.
    """

    source: Literal["config"]
    """Selects a key from the stack's configuration."""


class MadeKey(Spec):
    """The auth key is made by the tailscale provider. Needs an OAuth client of the tailnet in the environment
    (`TAILSCALE_OAUTH_CLIENT_ID`, `TAILSCALE_OAUTH_CLIENT_SECRET`) with scope `auth_keys` and the tag `ops`. `edge up`
    has a new one made where a host joins after the old one has ended."""

    source: Literal["tailscale-provider"]
    """Selects a key that is made for the site."""

    tailnet: Annotated[NonEmpty, Field(examples=["acme.example.com"])]
    """The tailnet's id."""

    expiry_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """How long the key lets hosts join, in hours. Hosts that have joined stay."""


class TailscaleImage(Spec):
    """Tailscale as an image for systemd-sysext, as Flatcar's bakery publishes it."""

    sha256: Annotated[dict[Arch, Sha256], Field(examples=[{"amd64": "5d11c2..."}])] = {}
    """SHA-256 of `tailscale-v<version>-<x86-64|arm64>.raw` by architecture."""

    mirror: HttpsUrl = MIRROR
    """Base URL that holds the image; a site without internet names its own."""


class TailscaleSpec(Spec):
    """Tailscale on every host of the site. A host carries `tag:edge-<site>` and one tag for each of `tags`."""

    kind: Literal["tailscale"]
    """Selects Tailscale; with `login_server`, Headscale."""

    version: SemVer
    """Release to install."""

    sha256: Annotated[dict[Arch, Sha256], Field(examples=[{"amd64": "36ddd9..."}])]
    """SHA-256 of `tailscale_<version>_<arch>.tgz` by architecture."""

    mirror: HttpsUrl = "https://pkgs.tailscale.com/stable"
    """Base URL that holds the archives; a site without internet names its own."""

    sysext: TailscaleImage | None = None
    """Present, hosts with Flatcar get Tailscale as an image that systemd-sysext merges into /usr. Hosts with another
    system keep the archive."""

    tags: tuple[TagName, ...] = ("edge",)
    """Groups that the hosts belong to, beside their site's own tag. Each becomes `tag:<name>`."""

    key: Annotated[ConfiguredKey | MadeKey, Field(discriminator="source")] = ConfiguredKey(source="config")
    """Where the key comes from that lets hosts join. A new key never makes a host that has joined join again."""

    login_server: HttpsUrl | None = None
    """Headscale's URL; Tailscale's own control plane when absent. Fixed once a host has joined."""

    ssh: bool = False
    """Whether operators may use Tailscale SSH. It takes over port 22 of the mesh address, with host keys of its own, so
    the hosts' `address` must be another one then."""

    accept_dns: bool = False
    """Whether hosts resolve names through the tailnet. Off: a host must resolve its registries without the mesh."""

    accept_routes: bool = False
    """Whether hosts use the networks that other devices of the tailnet advertise. The site's own network must be none
    of them: such a route goes before the host's own. A host that would lose its gateway so gives the routes up."""

    advertise_routes: tuple[Cidr, ...] = ()
    """Networks behind the hosts that the tailnet may reach through them."""

    def conflicts(self) -> Iterator[Finding]:
        if self.login_server and isinstance(self.key, MadeKey):
            yield Finding(
                ("key",),
                "the tailscale provider makes keys of Tailscale's own service, which a Headscale does not know",
                "`key: {source: config}` beside `login_server`",
                "make one with `headscale preauthkeys create`, and set it as the secret `tailscale-auth-key`",
            )
