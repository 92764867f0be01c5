"""Constructs the policy pack, and nothing else."""

import sys
from pathlib import Path

# Pulumi puts the pack's own folder on the path; the rules are a package of the project.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.pack import pack

pack(Path(__file__).parent)
