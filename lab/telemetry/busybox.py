"""An image with busybox, as a site's `telemetry.tools_image` asks for, made of Debian's static program.

It is under the name of the default one.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from lab.hosts.system import require_tools
from lab.oci.artifact import Artifact, Program, image, layer

_REPOSITORY, _TAG = "rancher/mirrored-library-busybox", "lab"
_USER = 65532


@functools.cache
def images() -> dict[str, dict[str, Artifact]]:
    """For `lab.oci.registry.Registry`: repository -> tag -> the image. Raises LabError where busybox is missing."""
    require_tools(("busybox",))
    program = Path(shutil.which("busybox") or "")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    applets = sorted(name for name in listed if name != "busybox")
    files = layer([("bin/busybox", program.read_bytes(), 0o755)], [(f"bin/{name}", "busybox") for name in applets])
    return {_REPOSITORY: {_TAG: image([files], Program(["sh"], user=_USER, environment={"PATH": "/bin"}))}}


def reference() -> str:
    """What a site's `telemetry.tools_image` says for it."""
    return f"docker.io/{_REPOSITORY}:{_TAG}@{images()[_REPOSITORY][_TAG].digest}"
