"""`--service MODULE:NAME`: the schema of services written in Python, without a server that runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.codec import Schema
    from wirelane.codec.dataclasses import ServiceSpec

__all__ = ["load_services"]


def load_services(places: Sequence[str]) -> Schema:
    """Return the schema of all services at these places.

    Args:
        places: "module:name" of a `grpc.Service`, a `grpc.Server` or several of them in a list; "module" for all services
            in it. Modules are imported, from the current directory too.

    Raises:
        UsageError: A module is not there or does not import, or what is named is no service.
    """
    from wirelane.codec.dataclasses import schema_of

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found = {spec.name: spec for place in places for spec in _specs_at(place)}
    return schema_of(found.values())


def _specs_at(place: str) -> list[ServiceSpec]:
    module_name, colon, attribute = place.partition(":")
    module = _import(module_name, place)
    if not colon:
        specs = list(_specs(_services_in(module), place))
        if not specs:
            raise UsageError(
                f"--service {place}: the module has no grpc.Service; name what has one: {place}:NAME"
            )
        return specs
    value: object = module
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            names = sorted(name for name, each in vars(module).items() if _is_source(each))
            hint = f"; it has {', '.join(names)}" if names else ""
            raise UsageError(f"--service {place}: {module_name} has no {attribute}{hint}") from None
    specs = list(_specs([value], place))
    if not specs:
        raise UsageError(f"--service {place}: the server has no service that was written in Python")
    return specs


def _import(name: str, place: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:
        # A user's module, which may fail in whatever way; so may a name that is none.
        raise UsageError(
            f"--service {place}: {name or 'nothing'} does not import: {type(error).__name__}: {error}"
        ) from error


def _is_source(value: object) -> bool:
    from wirelane.grpc import BoundService, Server, Service

    return isinstance(value, Service | BoundService | Server)


def _services_in(module: ModuleType) -> Iterator[object]:
    from wirelane.grpc import Service

    return (value for value in vars(module).values() if isinstance(value, Service))


def _specs(values: Iterable[object], place: str) -> Iterator[ServiceSpec]:
    from wirelane.grpc import BoundService, Server, Service

    for value in values:
        if isinstance(value, Service):
            yield value.spec
        elif isinstance(value, BoundService):
            yield value.service.spec
        elif isinstance(value, Server):
            yield from value.definitions
        elif isinstance(value, (list, tuple)):
            yield from _specs(value, place)
        else:
            raise UsageError(
                f"--service {place} is a {type(value).__qualname__}, not a grpc.Service, a grpc.Server or a list of them"
            )
