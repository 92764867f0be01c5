"""The process behind the package: gives its schema, and builds sites for programs of others.

Owns what the engine asks. The component is ``stacks.edge_site.EdgeSite``, the same as that of a site file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.provider import ConstructResult, Provider, main

from components.consequence import consents_of
from sitefile.problems import FileError
from stacks.catalogue import catalogue
from stacks.configuration import ALLOW_DESTROY, NAMESPACE, full_key
from stacks.edge_site import EdgeSite, EdgeSiteArgs
from stacks.package.inputs import explained, secrets_of, site_of
from stacks.package.schema import RESOURCE, package_schema


class EdgeProvider(Provider):
    """Serves the component ``edge:index:EdgeSite``."""

    def __init__(self, root: Path) -> None:
        """``root`` is the repository whose defaults, groups and profiles hold for the sites."""
        schema = package_schema(root)
        super().__init__(schema["version"], json.dumps(schema))
        self._root = root

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Mapping[str, Any],
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        if resource_type != RESOURCE:
            raise pulumi.RunError(f"this package has no resource {resource_type}; it has {RESOURCE}")
        try:
            arguments = _arguments(name, inputs, self._root)
        except FileError as error:
            # No details of each property: beside those, the engine shows the property's value.
            raise pulumi.InputPropertiesError(explained(name, error), []) from None
        site = EdgeSite(name, arguments, options)
        return ConstructResult(site.urn, site.outputs)


def _arguments(name: str, inputs: Mapping[str, Any], root: Path) -> EdgeSiteArgs:
    config = pulumi.Config(NAMESPACE)
    spec = site_of(name, inputs, root)
    secret = secrets_of(spec, inputs, config.get_secret)
    try:
        consents = consents_of(config.get(ALLOW_DESTROY) or "")
    except ValueError as error:
        raise pulumi.InputPropertiesError(f"{full_key(ALLOW_DESTROY)}: {error}", []) from error
    return EdgeSiteArgs(spec, catalogue(root), secret, consents, root)


def serve(root: Path) -> None:
    """Serve the package of the repository ``root`` until the engine is done."""
    main(EdgeProvider(root), sys.argv[1:])
