"""How tests look at objects that a plan describes: as YAML, as an API server takes them, as the policies judge them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from components.manifests import Manifest
from engine.rehearsal import kubernetes_objects, kubernetes_rules
from engine.rehearsal.shapes import Report
from policies.rules import DEFAULT_REGISTRIES, Resource, Settings, evaluate
from policies.rules.kinds import manifest_token

TEST_REGISTRY = "registry.example.com"
SETTINGS = Settings(registries=(*DEFAULT_REGISTRIES, TEST_REGISTRY))


def image(name: str) -> str:
    """A well-formed reference below the test registry; equal names give equal digests."""
    return f"{TEST_REGISTRY}/{name}@sha256:{name.encode().hex()[:64]:0<64}"


def as_yaml(manifests: Iterable[Any]) -> str:
    """Documents of one golden file, in their order."""
    return yaml.dump_all((_plain(manifest) for manifest in manifests), Dumper=_Block, sort_keys=False, width=120)


def problems(manifest: Manifest) -> list[tuple[str, str]]:
    """What an API server would refuse in ``manifest``."""
    report = Report()
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    plain = _plain(manifest)
    shape = kubernetes_objects.find(api_version, kind, kubernetes_objects.DEFAULT_MINOR)
    assert shape is not None, f"no schema of {api_version} {kind}: nothing would be checked"
    shape(plain, "", report)
    kubernetes_rules.check(plain, api_version, kind, report)
    return report.findings


def findings(manifest: Manifest) -> list[str]:
    """What the policies of mandatory and advisory level find in ``manifest``."""
    token = manifest_token(manifest["apiVersion"], manifest["kind"])
    resource = Resource(type=token, name=manifest["metadata"]["name"], urn="urn:test", props=_plain(manifest))
    return [f"{found.rule} {found.path}: {found.message}" for found in evaluate(resource, SETTINGS)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Block(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a golden file can be read; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Block.add_representer(str, _text)
