"""A registry that one can only pull from, by the OCI distribution protocol over TLS: images and charts of the lab.

Nodes reach it as a mirror of the registries that images are named after (`k3s.registries`), Helm by `oci://`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from lab.authority import Authority
from lab.https import Answer, FileServer
from lab.oci.artifact import Artifact

_MANIFEST = re.compile(r"^/v2/(?P<repository>[a-z0-9._/-]+)/manifests/(?P<reference>[^/?]+)(\?.*)?$")
_BLOB = re.compile(r"^/v2/[a-z0-9._/-]+/blobs/(?P<digest>sha256:[0-9a-f]{64})(\?.*)?$")
_TAGS = re.compile(r"^/v2/(?P<repository>[a-z0-9._/-]+)/tags/list(\?.*)?$")


class Registry(FileServer):
    """Serves ``artifacts`` (repository, without the registry's name -> tag -> artifact) until the block ends.

    With ``login`` (`user:password`) only to those who have it.
    """

    def __init__(
        self,
        authority: Authority,
        address: str,
        artifacts: Mapping[str, Mapping[str, Artifact]],
        *,
        port: int = 0,
        login: str | None = None,
    ) -> None:
        blobs = {
            name: content
            for tags in artifacts.values()
            for artifact in tags.values()
            for name, content in artifact.blobs.items()
        }

        def find(path: str) -> Answer | None:
            if path.rstrip("/") == "/v2":
                return Answer(b"{}", "application/json")
            if asked := _MANIFEST.match(path):
                return _manifest(artifacts.get(asked["repository"], {}), asked["reference"])
            if (asked := _BLOB.match(path)) and (content := blobs.get(asked["digest"])) is not None:
                return Answer(content, headers={"Docker-Content-Digest": asked["digest"]})
            if (asked := _TAGS.match(path)) and (tags := artifacts.get(asked["repository"])):
                listed = {"name": asked["repository"], "tags": sorted(tags)}
                return Answer(json.dumps(listed).encode(), "application/json")
            return None

        super().__init__(authority, address, find, port=port, login=login)


def _manifest(tags: Mapping[str, Artifact], reference: str) -> Answer | None:
    by_digest = {artifact.digest: artifact for artifact in tags.values()}
    artifact = tags.get(reference) or by_digest.get(reference)
    if artifact is None:
        return None
    return Answer(artifact.manifest, artifact.media_type, {"Docker-Content-Digest": artifact.digest})
