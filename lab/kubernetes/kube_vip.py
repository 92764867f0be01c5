"""kube-vip, built from the Go module pinned in `kube_vip/`, and its image under the name of the official one.

Some minutes on two cores the first time, none after. `go.sum` has kube-vip's own sums: the checksum database does not
answer for one of its modules (gobgp v4.6.0).
"""

from __future__ import annotations

import functools
from pathlib import Path

from lab.builds import go_program, pinned
from lab.oci.artifact import Artifact, program_image

_MODULE, _NAME = Path(__file__).parent / "kube_vip", "github.com/kube-vip/kube-vip"
_REPOSITORY, _ROOT = "kube-vip/kube-vip", 0
VERSION = pinned(_MODULE, _NAME)


@functools.cache
def images() -> dict[str, dict[str, Artifact]]:
    """For `lab.oci.registry.Registry`: repository -> tag -> image. Raises EngineError with one clear line."""
    program = go_program(_MODULE, _NAME, "kube-vip")
    return {_REPOSITORY: {VERSION: program_image(program, user=_ROOT)}}


def reference() -> str:
    """What a site's `k3s.kube_vip.image` says for it."""
    return f"ghcr.io/{_REPOSITORY}:{VERSION}@{images()[_REPOSITORY][VERSION].digest}"
