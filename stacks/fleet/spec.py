"""What a human writes about what exists once for all sites: ``stacks/fleet.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from components.mesh.tailscale.spec import TagName
from components.specs import Spec
from components.types import NonEmpty
from sitefile.problems import Finding

Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]


class TailnetSpec(Spec):
    """The tailnet of all sites that do not name a `login_server` of their own."""

    id: NonEmpty
    """The tailnet's id."""

    operators: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")], ...], Field(min_length=1)
    ]
    """Login names of the people who operate sites."""

    operator_tag: TagName = "ops"
    """Tag of the machines that operate sites: pipelines, jump hosts, the OAuth client that makes the sites' keys."""

    adopt: bool = False
    """Whether to take over a policy file that somebody else wrote: it is overwritten. False refuses to."""

    keep_others: bool = False
    """Whether others edit the policy file too: what they wrote stays to the letter, and ours stands between marks. What
    they grant is not judged here. False refuses to write where others have written."""

    def is_named(self, tailnet: str) -> bool:
        """Whether a key's ``tailnet`` is this one. `-` is the one that the credentials belong to."""
        return "-" in (tailnet, self.id) or tailnet == self.id

    def conflicts(self) -> Iterator[Finding]:
        if self.adopt and self.keep_others:
            yield Finding(
                ("adopt",),
                "`adopt` overwrites what others wrote, and `keep_others` keeps it",
                "one of the two",
                "remove `adopt` to keep what others wrote",
            )


class ZoneGroup(Spec):
    """A group of Local Zones or Wavelength Zones that the account opts into."""

    region: Region
    """Region that the zones belong to."""

    group: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d-[a-z0-9-]+$")]
    """Name of the group, such as `us-west-2-lax-1` or `us-east-1-wl1`."""


class FleetSpec(Spec):
    """What exists once for all sites."""

    tailnet: TailnetSpec | None = None
    """Access rules of the tailnet; absent when no site uses Tailscale."""

    aws_account_id: Annotated[str, StringConstraints(pattern=r"^\d{12}$")] | None = None
    """AWS account of `zone_groups`; credentials of any other are refused."""

    zone_groups: tuple[ZoneGroup, ...] = ()
    """Zone groups that the account opts into. AWS offers no way back by API."""

    @model_validator(mode="after")
    def _zones_have_an_account(self) -> FleetSpec:
        if self.zone_groups and self.aws_account_id is None:
            raise ValueError("zone_groups need aws_account_id: opting in is for one account, and cannot be undone")
        return self
