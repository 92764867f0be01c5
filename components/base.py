"""What every component of a site shares: the resource that carries what policies read of it, and parents its children.

Owns nothing about any particular part. Does not know of sites, stacks or policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

TYPE_PREFIX = "edge:index:"


class EdgeComponent(pulumi.ComponentResource):
    """A part of a site, registered as ``edge:index:<kind>``.

    ``props`` are the part's non-secret inputs that policies read. Providers come by ``opts``, and children inherit
    them; a ``deleted_with`` is for those children only that live in the cluster (``in_cluster``). A subclass creates
    its children with ``self.under`` and ends its constructor with ``register_outputs``.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        props: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self._deleted_with = opts.deleted_with if opts else None
        if opts is not None:
            # The engine gives it to every child that has none: what a child does outside of the cluster, on a host or
            # in a cloud, would then be left there.
            opts = pulumi.ResourceOptions.merge(opts, None)
            opts.deleted_with = None
        super().__init__(f"{TYPE_PREFIX}{kind}", name, dict(props), opts)

    def under(
        self,
        *depends_on: pulumi.Resource,
        provider: pulumi.ProviderResource | None = None,
        **options: Any,
    ) -> pulumi.ResourceOptions:
        """Options of a child: this component as parent, and only what the child itself needs beside it."""
        return pulumi.ResourceOptions(parent=self, depends_on=list(depends_on) or None, provider=provider, **options)

    def in_cluster(self, *depends_on: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
        """Options of a child that lives in the site's cluster: with the ``deleted_with`` of the component."""
        return self.under(*depends_on, deleted_with=self._deleted_with, **options)
