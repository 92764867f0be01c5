"""What a company's own program imports. These names stay from one release to the next.

from edge_sites import build

site = build(Path(__file__).parent)
"""

from __future__ import annotations

from pathlib import Path

from stacks.edge_site import EdgeSite
from stacks.program import build

__all__ = ["EdgeSite", "build", "serve"]


def serve(root: Path) -> None:
    """Serve the repository ``root`` as a Pulumi package, until the engine is done (docs/package.md)."""
    from stacks.package.provider import serve as serving  # not at the top: programs of sites serve nothing

    serving(root)
