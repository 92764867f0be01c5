"""Serves this repository's package to the engine, and nothing else."""

import sys
from pathlib import Path

# Pulumi puts the package's own folder on the path; what it serves is the repository's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edge_sites import serve

serve(Path(__file__).resolve().parent.parent)
