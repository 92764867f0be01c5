"""What a human writes to import a site's cluster into Rancher.

The API token is the stack's secret `rancher-token-key`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.specs import Spec
from components.types import Certificates, DnsLabel, HttpsUrl, Labels


class RancherSpec(Spec):
    """Rancher: the site's cluster as an imported cluster. K3s upgrades stay with this program."""

    kind: Literal["rancher"]
    """Selects Rancher."""

    api_url: HttpsUrl
    """Address of the Rancher server, such as `https://rancher.example.com`."""

    ca_certs: Certificates | None = None
    """Certificates (PEM) of the authority that signed the server's certificate, where it is a private one. With these,
    no other authority is trusted."""

    cluster_name: Annotated[DnsLabel, Field(examples=["berlin-01"])] | None = None
    """Name of the cluster in Rancher; the site id when absent."""

    fleet_workspace: DnsLabel = "fleet-default"
    """Fleet workspace of the cluster in Rancher."""

    labels: Labels = {}
    """Labels of the cluster in Rancher, beside those of the site and `edge.site`, `edge.tier`, `edge.region`."""

    onboarding_minutes: Annotated[int, Field(ge=1, le=120)] = 15
    """Time limit for the agent to connect, in minutes; an agent that is late goes on trying until the next `up`."""

    protect: bool = False
    """Whether the cluster's entry in Rancher refuses to be deleted until this is false again. A rebuilt cluster cannot
    register before that."""
