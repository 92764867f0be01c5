"""Shapes of a resource's inputs, read from the installed SDK's own classes.

A type token is looked up in the tables that each SDK package registers on import; only the one module that holds the
resource is then loaded. Property names, types and which of them are required all come from the `*Args` class, so a
newer SDK is checked by its own rules. Kubernetes objects are not checked here: the SDK makes every field optional.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pulumi
from pulumi import _types
from pulumi.runtime import rpc

from engine.rehearsal import shapes
from engine.rehearsal.shapes import Report, Shape
from engine.rehearsal.values import UNKNOWN, Secret

PROVIDER_PREFIX = "pulumi:providers:"
_PLAIN: dict[Any, Shape] = {
    str: shapes.text,
    bool: shapes.boolean,
    int: shapes.integer,
    float: shapes.number,
    dict: shapes.map_of(shapes.anything),
    list: shapes.list_of(shapes.anything),
    Any: shapes.anything,
    object: shapes.anything,
    pulumi.Asset: shapes.asset,
    pulumi.Archive: shapes.asset,
}
# What the engine and the SDKs put among a provider's inputs besides its own properties.
_PROVIDER_EXTRAS = frozenset({"version", "pluginDownloadURL", "__internal", "__defaults"})


class UnknownType(Exception):
    """A type token that no installed SDK defines; the message says which package was asked."""


@functools.cache
def package(name: str) -> str:
    """Imports the SDK of a provider, which registers its type tables; returns the Python package's name."""
    module = f"pulumi_{name.replace('-', '_')}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UnknownType(f'no SDK package "{module}" is installed for provider "{name}"') from error
    return module


@functools.cache
def shape(token: str) -> Shape:
    """The shape of the inputs of a resource or provider type. Raises `UnknownType`."""
    if token.startswith(PROVIDER_PREFIX):
        return _provider_shape(token.removeprefix(PROVIDER_PREFIX))
    return _record(_args_class(_resource_class(token)))


@functools.cache
def output_names(token: str) -> frozenset[str]:
    """The names of all properties that a resource of this type has once it exists."""
    try:
        return frozenset(_types.resource_types(_resource_class(token)))
    except UnknownType:
        return frozenset()


# azure-native's SDK has classes for one API version of each type, its plugin knows all: `kubernetes/v20240101`.
_API_VERSION = re.compile(r"/v\d{8}\w*(?=:)")


def without_api_version(token: str) -> str:
    """An azure-native type token without the API version that it may carry."""
    return _API_VERSION.sub("", token)


def _resource_class(token: str) -> type:
    token = without_api_version(token)
    provider, _, rest = token.partition(":")
    module_name = rest.rpartition(":")[0]
    package(provider)
    modules = rpc._RESOURCE_MODULES.get(f"{provider}:{module_name}", [])
    for module in modules:
        info: dict[str, Any] = getattr(module, "mod_info", {})
        found = info.get("classes", {}).get(token)
        if found:
            return typing.cast(type, getattr(importlib.import_module(info["fqn"]), found))
    near = shapes.suggestion(token, _tokens(provider)) if modules else ""
    raise UnknownType(f'the installed SDK of "{provider}" has no resource type "{token}"{near}')


def _tokens(provider: str) -> list[str]:
    return [
        token
        for key, modules in rpc._RESOURCE_MODULES.items()
        if key.startswith(f"{provider}:")
        for module in modules
        for token in getattr(module, "mod_info", {}).get("classes", {})
    ]


def _args_class(resource: type) -> type:
    module = inspect.getmodule(resource)
    for suffix in ("InitArgs", "Args"):
        found = getattr(module, resource.__name__ + suffix, None)
        if found is not None and _types.is_input_type(found):
            return typing.cast(type, found)
    raise UnknownType(f"{resource.__module__}.{resource.__name__} has no class that describes its inputs")


def _provider_shape(name: str) -> Shape:
    module = importlib.import_module(package(name))
    fields, _ = _fields(_args_class(module.Provider))
    wanted = {key: _from_config(field) for key, field in fields.items()}
    record = shapes.record_of(wanted)

    def check(value: Any, path: str, report: Report) -> None:
        own = {
            key: item for key, item in value.items() if key not in _PROVIDER_EXTRAS and not key.startswith("__pulumi")
        }
        record(own, path, report)

    return check


def _from_config(field: Shape) -> Shape:
    """A provider property: everything that is not text travels as JSON text."""

    def check(value: Any, path: str, report: Report) -> None:
        if type(value) is Secret:
            report.hidden += 1
            check(value.value, path, report)
            report.hidden -= 1
            return
        attempt = Report()
        attempt.hidden = report.hidden
        field(value, path, attempt)
        if attempt.findings and isinstance(value, str) and value is not UNKNOWN:
            try:
                parsed = json.loads(value)
            except ValueError:
                parsed = value
            if not isinstance(parsed, str):
                field(parsed, path, report)
                return
        report.findings.extend(attempt.findings)

    return check


@functools.cache
def _record(args: type) -> Shape:
    fields, required = _fields(args)
    return shapes.record_of(fields, required)


def _fields(args: type) -> tuple[dict[str, Shape], list[str]]:
    """Pulumi property names of an args class with their shapes, and those without which it cannot be made."""
    fields = {name: compile_type(hint) for name, hint in _types.input_type_types(args).items()}
    names = _types.input_type_py_to_pulumi_names(args)
    required = [
        names.get(parameter.name, parameter.name)
        for parameter in list(inspect.signature(args.__init__).parameters.values())[1:]  # type: ignore[misc]
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    return fields, required


def compile_type(hint: Any) -> Shape:
    """The shape of one Python type as the SDKs use them."""
    known = _PLAIN.get(hint) if _hashable(hint) else None
    if known is not None:
        return known
    origin = typing.get_origin(hint)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        return _union(typing.get_args(hint))
    if origin is typing.Literal:
        return shapes.one_of(typing.get_args(hint))
    if origin is not None:
        return _generic(origin, typing.get_args(hint))
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return shapes.one_of([member.value for member in hint])
        if _types.is_input_type(hint):
            return shapes.deferred(functools.partial(_record, hint))  # type: ignore[arg-type]
        if issubclass(hint, pulumi.Asset | pulumi.Archive):
            return shapes.asset
        if issubclass(hint, Mapping):
            return _PLAIN[dict]
    return shapes.anything


def _hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Shape:
    if isinstance(origin, type):
        if issubclass(origin, Mapping):
            return shapes.map_of(compile_type(arguments[1]) if len(arguments) == 2 else shapes.anything)
        if issubclass(origin, list) or origin.__name__ == "Sequence":
            return shapes.list_of(compile_type(arguments[0]) if arguments else shapes.anything)
    return shapes.anything


def _union(arguments: tuple[Any, ...]) -> Shape:
    """``Input[T]`` is ``T | Awaitable[T] | Output[T]``; of a typed dict and its class only the class is kept."""
    options = []
    for argument in arguments:
        origin = typing.get_origin(argument)
        if argument is type(None) or typing.is_typeddict(argument):
            continue
        if origin is not None and getattr(origin, "__name__", "") in ("Awaitable", "Output"):
            continue
        options.append(argument)
    # A union of text and an enum is an open set: the service accepts more values than the SDK knows.
    if str in options:
        options = [option for option in options if not (isinstance(option, type) and issubclass(option, Enum))]
    return shapes.any_of([compile_type(option) for option in options]) if options else shapes.anything
