"""Property values as rehearsal sees them: plain Python trees in which a secret and an unknown are told apart.

Owns the two sentinels and the conversions from and to the engine's wire form (protobuf structs, or the same tree in
plain dicts). Knows nothing of resource types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import struct_pb2

# The signatures with which Pulumi marks typed values inside a property map (sdk/go/common/resource/sig).
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"
ASSET_SIGNATURE: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE_SIGNATURE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_WIRE: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """The value of an output that does not exist yet, as in a preview."""

    _instance: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


class Secret:
    """A value that must never be shown. Its repr hides it; equality compares what it holds."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(("secret", repr(self.value)))


def reveal(value: Any) -> Any:
    """The tree without secret wrappers, for comparing and checking only; never print what this returns."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Whether any leaf of the tree is still unknown."""
    if value is UNKNOWN:
        return True
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return False


def from_wire(value: Any) -> Any:
    """A tree of plain dicts and lists in the engine's wire form, with secrets and unknowns as sentinels.

    Whole numbers become ints, since the wire has only doubles. Output values collapse to their value, resource
    references to the id (or the URN of a component), as the SDK does. Assets and archives stay as their signed dicts.
    """
    kind = type(value)
    if kind is str:
        return UNKNOWN if value == UNKNOWN_WIRE else value
    if kind is dict:
        signature = value.get(SIGNATURE)
        if signature is None:
            return {key: from_wire(item) for key, item in value.items()}
        if signature == SECRET_SIGNATURE:
            return Secret(from_wire(value.get("value")))
        if signature == OUTPUT_SIGNATURE:
            inner = from_wire(value["value"]) if "value" in value else UNKNOWN
            return Secret(inner) if value.get("secret") else inner
        if signature == RESOURCE_SIGNATURE:
            return from_wire(value["id"] or UNKNOWN_WIRE) if "id" in value else value.get("urn")
        return {key: from_wire(item) for key, item in value.items()}
    if kind is list:
        return [from_wire(item) for item in value]
    if kind is float and value.is_integer():
        return int(value)
    return value


def to_wire(value: Any) -> Any:
    """The inverse of `from_wire`: plain dicts and lists that protobuf understands, and doubles for all numbers."""
    kind = type(value)
    if kind is str:
        return value
    if kind is int:
        return float(value)
    if kind is dict:
        return {key: to_wire(item) for key, item in value.items()}
    if kind is list:
        return [to_wire(item) for item in value]
    if kind is Secret:
        return {SIGNATURE: SECRET_SIGNATURE, "value": to_wire(value.value)}
    if value is UNKNOWN:
        return UNKNOWN_WIRE
    return value


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return value.number_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return {key: _plain(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The property map of an engine request."""
    return {key: from_wire(_plain(item)) for key, item in struct.fields.items()}


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """A property map for an engine response."""
    struct = struct_pb2.Struct()
    struct.update({key: to_wire(item) for key, item in properties.items()})
    return struct


def digest(*parts: str) -> str:
    """64 hexadecimal digits that depend on nothing but ``parts``; every made-up value is cut from one of these."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a tree with its path in Pulumi's notation (``spec.ports[0].name``)."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, join(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def join(path: str, key: str) -> str:
    """``path`` extended by one key, quoted where the key holds a character that the notation uses."""
    if any(character in key for character in '.[]"'):
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{quoted}"]'
    return f"{path}.{key}" if path else key
