"""Shapes of a resource's inputs, read from the installed SDK's own classes.

A type token names the module and the class of a resource. Property names, types and which of them are required come
from the constructor of its `*Args` class, so a newer SDK is checked by its own rules. Kubernetes objects are not
checked here: the SDK makes every field optional.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import re
import typing
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from types import ModuleType
from typing import Any

import pulumi
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
# `pulumi.Input[T]` holds "Output[T]" as text, and the SDKs' own modules know neither name.
_NAMES_IN_INPUT = {"Output": pulumi.Output, "T": typing.TypeVar("T")}


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


# azure-native's SDK has classes for one API version of each type, its plugin knows all: `kubernetes/v20240101`.
_API_VERSION = re.compile(r"/v\d{8}\w*(?=:)")


def without_api_version(token: str) -> str:
    """An azure-native type token without the API version that it may carry."""
    return _API_VERSION.sub("", token)


def _resource_class(token: str) -> type:
    token = without_api_version(token)
    provider, _, rest = token.partition(":")
    module_name, _, name = rest.rpartition(":")
    module = _module(package(provider), module_name)
    found = getattr(module, name, None)
    if isinstance(found, type) and _token(found) == token:
        return found
    near = shapes.suggestion(token, [known for member in vars(module).values() if (known := _token(member))])
    raise UnknownType(f'the installed SDK of "{provider}" has no resource type "{token}"{near}')


def _module(package_name: str, module_name: str) -> ModuleType:
    """The module of a token: `ec2/instance` is in `ec2`, `index/cluster` in the package, `helm.sh/v3` in `helm.v3`."""
    first, _, second = module_name.partition("/")
    group, is_group, _ = first.partition(".")
    # Never a module below: the SDKs load theirs lazily, and a part imported alone leaves the whole half loaded.
    for name in [f"{group}.{second}"] if is_group else [first, f"{first}_"]:
        try:
            return importlib.import_module(f"{package_name}.{name}")
        except ModuleNotFoundError:
            continue
    return importlib.import_module(package_name)


def _token(member: Any) -> str:
    """The type token of a resource class, which its SDK gives it with `pulumi.type_token`; otherwise nothing."""
    is_resource = isinstance(member, type) and issubclass(member, pulumi.Resource)
    return str(vars(member).get("pulumi_type", "")) if is_resource else ""


def _args_class(resource: type) -> type:
    module = inspect.getmodule(resource)
    for suffix in ("InitArgs", "Args"):
        found = getattr(module, resource.__name__ + suffix, None)
        if isinstance(found, type):
            return found
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
    parameters = inspect.signature(args).parameters
    hints = typing.get_type_hints(args.__init__, localns=_NAMES_IN_INPUT)  # type: ignore[misc]
    names = _pulumi_names(args)
    fields = {names[name]: compile_type(hints[name]) for name in parameters}
    required = [names[name] for name, one in parameters.items() if one.default is inspect.Parameter.empty]
    return fields, required


def _pulumi_names(args: type) -> dict[str, str]:
    """The names in the schema of an args class's properties: those under which the SDK serializes an instance."""
    # Not made by its constructor, which warns of each deprecated property.
    instance: object = object.__new__(args)
    for name, member in vars(args).items():
        if isinstance(member, property):
            setattr(instance, name, name)
    # In a thread of its own: the caller's may be that of an event loop.
    with ThreadPoolExecutor(1) as aside:
        serialized = aside.submit(asyncio.run, rpc.serialize_property(instance, [], None)).result()
    return {python: pulumi_name for pulumi_name, python in serialized.items()}


def _is_args(hint: type) -> bool:
    return hint.__name__.endswith("Args") and hint.__module__.startswith("pulumi_")


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
        if _is_args(hint):
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
