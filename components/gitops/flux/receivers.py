"""Who is told what Flux does: receivers of alerts, and the status of commits.

Only public facts. The address of a chat's webhook is a secret in itself, and so is every token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from components.specs import Spec
from components.types import HttpsUrl
from sitefile.problems import Finding

Kind = Literal[
    "slack",
    "msteams",
    "discord",
    "googlechat",
    "rocket",
    "grafana",
    "generic-hmac",
    "matrix",
    "opsgenie",
    "alertmanager",
    "generic",
]
WEBHOOKS = ("slack", "msteams", "discord", "googlechat", "rocket")
"""Kinds of receiver whose address is the secret."""
WITH_TOKEN = ("grafana", "generic-hmac", "matrix", "opsgenie")
"""Kinds of receiver that have a public address and ask for a token."""


class AlertSpec(Spec):
    """A receiver of what Flux reports about this site."""

    kind: Kind
    """What the receiver is. The secret `flux-alert-<name>` is the address of the webhook for slack, msteams, discord,
    googlechat and rocket; the token for grafana, generic-hmac, matrix and opsgenie. alertmanager and generic have no
    secret."""

    address: HttpsUrl | None = None
    """Where it listens, such as https://alertmanager.example.com/api/v2/alerts/. Not for kinds whose address is the
    secret."""

    channel: Annotated[str, Field(min_length=1, max_length=200, examples=["edge-sites"])] | None = None
    """Channel or room, where the receiver has several."""

    severity: Literal["error", "info"] = "error"
    """`error` reports failures; `info` also reports what was applied."""

    def conflicts(self) -> Iterator[Finding]:
        if self.kind in WEBHOOKS and self.address:
            yield Finding(
                ("address",),
                f"whoever knows the address of a {self.kind} webhook can write to it: it is a secret",
                "no `address`",
                "remove it, and set it as the secret `flux-alert-<name>`",
            )
        if self.kind not in WEBHOOKS and not self.address:
            yield Finding(
                ("kind",),
                f"`{self.kind}` without an `address`: Flux does not know where to report",
                "the https:// address at which it listens",
                "add `address`",
            )


class CommitStatusSpec(Spec):
    """Reports at the commit whether this site could apply it. The token is the secret `git-status-token`."""

    kind: Literal["github", "gitlab", "gitea", "bitbucket", "bitbucketserver", "azuredevops"]
    """What serves the repository."""

    address: HttpsUrl | None = None
    """Address of the repository in a browser; by default that of the source, if it has an https:// one."""
