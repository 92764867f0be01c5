"""What exists once for all sites, as Pulumi resources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.base import EdgeComponent
from stacks.fleet.plan import MeshSite, mesh_sites
from stacks.fleet.policy_file import OthersPolicy, written
from stacks.fleet.spec import FleetSpec, TailnetSpec
from stacks.site import SiteSpec


@dataclass(frozen=True)
class FleetArgs:
    """What the fleet's resources are made from."""

    spec: FleetSpec
    sites: Sequence[SiteSpec]
    """All sites: rules made from half of them would lock the others out."""


class Fleet(EdgeComponent):
    """``edge:index:Fleet``: the tailnet's policy file and the account's zone groups."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        spec = args.spec
        super().__init__("Fleet", name, {}, opts)
        if spec.tailnet:
            self._policy_file(name, spec.tailnet, mesh_sites(args.sites, spec.tailnet))
        if spec.zone_groups:
            self._zone_groups(name, spec)
        self.register_outputs({})

    def _policy_file(self, name: str, tailnet: TailnetSpec, sites: Sequence[MeshSite]) -> None:
        import pulumi_tailscale as tailscale

        provider = tailscale.Provider(f"{name}-tailnet", tailnet=tailnet.id, opts=self.under())
        # The plugin looks at what is there before it makes its resource, and never again: so it is read in each run.
        live = tailscale.get_acl_output(opts=pulumi.InvokeOutputOptions(parent=self, provider=provider))
        tailscale.Acl(
            f"{name}-acl",
            acl=live.hujson.apply(lambda text: _written(tailnet, sites, text)),
            # What others wrote is in the text then.
            overwrite_existing_content=tailnet.adopt or tailnet.keep_others,
            # Tailscale's default policy lets everything reach everything: destroying this stack must not bring it back.
            reset_acl_on_destroy=False,
            opts=self.under(provider=provider),
        )

    def _zone_groups(self, name: str, spec: FleetSpec) -> None:
        import pulumi_aws as aws

        providers = {
            region: aws.Provider(
                f"{name}-aws-{region}",
                region=region,
                allowed_account_ids=[spec.aws_account_id] if spec.aws_account_id else None,
                opts=self.under(),
            )
            for region in sorted({zone.region for zone in spec.zone_groups})
        }
        for zone in spec.zone_groups:
            aws.ec2.AvailabilityZoneGroup(
                f"{name}-{zone.group}",
                group_name=zone.group,
                opt_in_status="opted-in",
                # Opting out takes a support case: forgetting the group is all that a deletion can do.
                opts=self.under(provider=providers[zone.region], retain_on_delete=True),
            )


def _written(tailnet: TailnetSpec, sites: Sequence[MeshSite], live: str) -> str:
    try:
        return written(tailnet, sites, live)
    except OthersPolicy as error:
        raise pulumi.RunError(str(error)) from None
