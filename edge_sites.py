"""What a company's own program imports. These names stay from one release to the next.

from edge_sites import build

site = build(Path(__file__).parent)
"""

from __future__ import annotations

from stacks.edge_site import EdgeSite
from stacks.program import build

__all__ = ["EdgeSite", "build"]
