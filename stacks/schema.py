"""JSON Schema of a site file as a human writes it, for completion and checks in an editor.

Derived from the models; owns what differs between a whole site and its file: what defaults fill in may be left out or
removed with null, names of profiles are choices, and unions read as one block whose ``kind`` decides the rest.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.inference.triton.spec import catalogue as models
from sitefile.layers import Layers
from sitefile.spec_shape import TAGS
from sitefile.yaml_tree import MappingNode, Node, ScalarNode
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import site_layers, site_shape

FILE = Path("stacks") / "site.schema.json"
# VS Code's YAML extension is at home in draft 7.
DIALECT = "http://json-schema.org/draft-07/schema#"
_REFERENCE = "#/$defs/"

Json = dict[str, Any]


def site_schema(root: Path = PROJECT_ROOT) -> Json:
    """The schema over the defaults and profiles of the project below ``root``."""
    schema = copy.deepcopy(dict(site_shape().schema))
    _name_choices(schema, root)
    _fill(schema, site_layers(root))
    definitions = {name: _for_editors(body) for name, body in schema.pop("$defs").items()}
    site = _for_editors(schema)
    return {
        "$schema": DIALECT,
        "title": "Edge site",
        **site,
        "definitions": dict(sorted(definitions.items())),
    }


def render(root: Path = PROJECT_ROOT) -> str:
    return json.dumps(site_schema(root), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema; with ``--check``, only say whether the file is up to date."""
    path = PROJECT_ROOT / FILE
    text = render()
    if "--check" in arguments:
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        print(f"{FILE.as_posix()} is {'up to date' if current else 'out of date: run `python -m stacks.schema`'}")
        return 0 if current else 1
    path.write_text(text, encoding="utf-8")
    print(f"wrote {FILE.as_posix()}")
    return 0


def _name_choices(schema: Json, root: Path) -> None:
    """Names that a site may use are data of the project: the editor can offer them."""
    data = catalogue(root)
    host = schema["$defs"]["HostSpec"]["properties"]
    host["hardware"]["enum"] = sorted(data.hardware)
    host["accelerators"]["items"]["enum"] = sorted(data.accelerators)
    served = schema["$defs"]["TritonSpec"]["properties"]["models"]["items"]
    for option in served["oneOf"]:
        if option.get("type") == "string":
            option["enum"] = sorted(models())


def _fill(schema: Json, layers: Layers) -> None:
    """What a layer fills in is not required of the file, and null takes it away again."""
    walk = _Filling(schema)
    for layer in (layers.defaults, *layers.tiers.values()):
        walk.fill(schema, layer.always)
        for path, node in layer.when_present.items():
            walk.fill_below(path, node)
        for path, kinds in layer.when_kind.items():
            for kind, node in kinds.items():
                walk.fill_below(path, node, kind)


class _Filling:
    def __init__(self, schema: Json) -> None:
        self._root = schema
        self._definitions: Json = schema["$defs"]

    def fill_below(self, path: tuple[str, ...], node: Node, kind: str | None = None) -> None:
        schemas = [self._root]
        for key in path:
            schemas = [
                option["properties"][key]
                for schema in schemas
                for option in self._objects(schema)
                if key in option["properties"]
            ]
        for schema in schemas:
            self.fill(schema, node, kind)

    def fill(self, schema: Json, node: Node, kind: str | None = None) -> None:
        if not isinstance(node, MappingNode):
            return
        own_kind = node.entries.get("kind")
        if kind is None and isinstance(own_kind, ScalarNode):
            kind = own_kind.text
        for option in self._objects(schema, kind):
            for key, value in node.entries.items():
                if key not in option["properties"]:
                    continue
                if key in option.get("required", ()):
                    option["required"] = [name for name in option["required"] if name != key]
                    # Filled in for everyone: the editor has no default to show, yet nothing is missing.
                    if not isinstance(value, MappingNode):
                        option["properties"][key] = _or_null(option["properties"][key])
                self.fill(option["properties"][key], value)

    def _objects(self, schema: Json, kind: str | None = None) -> list[Json]:
        """The mappings that the schema allows, in place, so that what is changed here changes the schema."""
        if "$ref" in schema:
            return self._objects(self._definitions[schema["$ref"].removeprefix(_REFERENCE)], kind)
        if kind in schema.get(TAGS, ()):
            return self._objects(schema[TAGS][kind])
        found = [schema] if "properties" in schema else []
        for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            found += self._objects(option, kind)
        return found


def _or_null(schema: Json) -> Json:
    if any(option.get("type") == "null" for option in schema.get("anyOf", ())):
        return schema
    outer: Json = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    return {**outer, "anyOf": [inner, {"type": "null"}]}


def _for_editors(schema: Any, *, is_names: bool = False) -> Any:
    """Draft 7, without pydantic's titles; ``is_names`` for mappings whose keys are field names, not keywords."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if is_names:
        return {name: _for_editors(body) for name, body in schema.items()}
    if "discriminator" in schema:
        return _block_by_kind(schema)
    result: Json = {}
    for key, value in schema.items():
        if key in (TAGS, "title") or (key == "required" and not value):
            continue
        if key == "$ref":
            result[key] = value.replace(_REFERENCE, "#/definitions/")
        elif key in ("default", "const", "enum", "examples"):
            result[key] = value
        elif key == "description":
            result[key] = " ".join(value.split())
        elif key == "oneOf" and TAGS in schema:
            # Which one is meant follows from the keys; "exactly one" only makes worse messages.
            result["anyOf"] = _for_editors(value)
        else:
            result[key] = _for_editors(value, is_names=key == "properties")
    if "$ref" in result and len(result) > 1:
        # Draft 7 ignores what stands beside a reference.
        result = {"allOf": [{"$ref": result.pop("$ref")}], **result}
    return result


def _block_by_kind(schema: Mapping[str, Any]) -> Json:
    """``kind`` first, then what that kind has: an editor completes and complains about the one that was chosen."""
    tag = schema["discriminator"]["propertyName"]
    kinds: Mapping[str, Json] = schema[TAGS]
    about: Json = {}
    if "description" in schema:
        about["description"] = " ".join(schema["description"].split())
    if "default" in schema:
        about["default"] = schema["default"]
    return {
        **about,
        "type": "object",
        "required": [tag],
        "properties": {tag: {"enum": list(kinds), "description": f"One of: {', '.join(kinds)}."}},
        "allOf": [
            {"if": {"properties": {tag: {"const": kind}}, "required": [tag]}, "then": _for_editors(body)}
            for kind, body in kinds.items()
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
