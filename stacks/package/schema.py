"""The schema of the Pulumi package, from the model of a site file: what may be written, and what comes out.

Property names are those of a site file. Pure, but for the defaults that it reads: what they fill in is not required.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.base import TYPE_PREFIX
from sitefile.schema import filled
from sitefile.spec_shape import Schema
from stacks.loader import site_layers, site_shape
from stacks.package.outputs import OUTPUTS
from stacks.project import DISTRIBUTION, PROGRAM_ROOT
from stacks.site import SiteSpec

NAME = "edge"
RESOURCE = f"{TYPE_PREFIX}EdgeSite"
SECRETS = "secrets"
WITHOUT = "without"
"""The two inputs that are no keys of a site file."""

_SECRETS_DESCRIPTION = (
    "Key (`ssh-private-key`) -> a secret that the site needs; the value must be a Pulumi secret. What is left out is"
    " taken from the stack's configuration, `edge:<key>`."
)
_WITHOUT_DESCRIPTION = (
    "Paths (`telemetry.instance_id`) of defaults that do not hold for this site: what is `null` in a site file, as no"
    " input can be null."
)
_SITE_DESCRIPTION = "Site id. The name of the resource is the site's id, so it may be left out."

Json = dict[str, Any]


def package_schema(root: Path) -> Json:
    """The whole schema, over the defaults of the repository ``root``."""
    site = filled(site_shape().schema, site_layers(root))
    types = _Types(site.pop("$defs"))
    properties = types.properties(site, SiteSpec.__name__)
    properties["site"]["description"] = _SITE_DESCRIPTION
    properties[SECRETS] = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": _SECRETS_DESCRIPTION,
    }
    properties[WITHOUT] = {
        "type": "array",
        "items": {"type": "string", "plain": True},
        "plain": True,
        "description": _WITHOUT_DESCRIPTION,
    }
    return {
        "name": NAME,
        "displayName": "Edge sites",
        "version": _version(),
        "description": "Edge sites as code: hosts, K3s, GitOps, mesh, telemetry and inference as one component.",
        "types": dict(sorted(types.defined.items())),
        "resources": {
            RESOURCE: {
                "isComponent": True,
                "description": "An edge site: all that a site file describes, as one component.",
                "inputProperties": properties,
                "requiredInputs": [name for name in site["required"] if name != "site"],
                "properties": {
                    name: {"type": output.type, "description": output.description} for name, output in OUTPUTS.items()
                },
                "required": [name for name, output in OUTPUTS.items() if output.always],
            }
        },
        "language": {
            language: {"respectSchemaVersion": True} for language in ("csharp", "go", "java", "nodejs", "python")
        },
    }


def _version() -> str:
    """The program's version. A copy that Pulumi fetched from Git is installed in no environment."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        project: Json = tomllib.loads((PROGRAM_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


class _Types:
    """Named types of the package, defined as references to them are met."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions
        self.defined: Json = {}

    def properties(self, schema: Schema, owner: str) -> Json:
        """The properties of an object. ``owner`` is the name of the object's type."""
        return {name: self._property(body, owner + _pascal(name)) for name, body in schema["properties"].items()}

    def _property(self, schema: Schema, name: str) -> Json:
        result = self._type(schema, name)
        if "const" in schema:
            result["const"] = schema["const"]
        if "description" in schema:
            result["description"] = " ".join(schema["description"].split())
        return result

    def _type(self, schema: Schema, name: str) -> Json:
        """A reference to the type that ``schema`` describes; ``name`` is for one that has none of its own yet.

        Plain: a site is checked and planned before anything is made, so no value may be known only later.
        """
        return {**self._reference(schema, name), "plain": True}

    def _reference(self, schema: Schema, name: str) -> Json:
        options = [
            option for option in (schema.get("anyOf") or schema.get("oneOf") or ()) if option.get("type") != "null"
        ]
        if len(options) == 1:
            return self._reference(options[0], name)
        if options:
            return self._union(schema, options, name)
        if "$ref" in schema:
            return self._object(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return self._enum(schema, name)
        match schema.get("type"):
            case "array":
                return {"type": "array", "items": self._type(schema["items"], name)}
            case "object":
                return {"type": "object", "additionalProperties": self._type(_values(schema), name)}
            case "string" | "integer" | "number" | "boolean" as primitive:
                return {"type": primitive}
        raise TypeError(f"{name}: the package's schema has no type for {dict(schema)}")

    def _union(self, schema: Schema, options: list[Schema], name: str) -> Json:
        result: Json = {"oneOf": [self._type(option, name) for option in options]}
        if tag := schema.get("discriminator"):
            result["discriminator"] = {
                "propertyName": tag["propertyName"],
                "mapping": {
                    kind: _type_reference(reference.rpartition("/")[2]) for kind, reference in tag["mapping"].items()
                },
            }
        return result

    def _object(self, name: str) -> Json:
        token = TYPE_PREFIX + name
        if token not in self.defined:
            schema = self._definitions[name]
            definition = self.defined[token] = {"type": "object"}
            if "description" in schema:
                definition["description"] = " ".join(schema["description"].split())
            definition["properties"] = self.properties(schema, name)
            if required := schema.get("required"):
                definition["required"] = list(required)
        return {"$ref": _type_reference(name)}

    def _enum(self, schema: Schema, name: str) -> Json:
        values = schema["enum"]
        enum = {"type": schema["type"], "enum": [{"name": _enum_name(value), "value": value} for value in values]}
        assert self.defined.setdefault(TYPE_PREFIX + name, enum) == enum, f"two enumerations have the name {name}"
        return {"$ref": _type_reference(name)}


def _values(schema: Schema) -> Schema:
    """What the values of a map are. Patterns of its keys are checked by the model."""
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        return others
    (values,) = schema["patternProperties"].values()
    found: Schema = values
    return found


def _type_reference(name: str) -> str:
    return f"#/types/{TYPE_PREFIX}{name}"


def _pascal(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))


def _enum_name(value: object) -> str:
    name = _pascal(str(value))
    return name if name[:1].isalpha() else f"Value{name}"
