"""What a server knows of its services, put together for reflection: schemas, and what message classes tell.

A service is described by the schema of its methods; or by the descriptors that its google.protobuf classes carry; or,
where the classes are betterproto2's or dataclasses, by files that are made of them. Whatever cannot be described, or not
beside the others, is told in the log when the server begins to listen: it is served all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from wirelane.codec.protobuf_py import is_message as is_message_of_buf
from wirelane.errors import SchemaError, UsageError
from wirelane.protos import descriptor_set
from wirelane.schema import Descriptors
from wirelane.schema.catalogue import Catalogue

if TYPE_CHECKING:
    from wirelane.core.method import Cardinality

__all__ = ["Described", "catalogue_of"]

logger = logging.getLogger("wirelane.grpc.server")


class Described(Protocol):
    """What reflection needs to know of a method that has a handler."""

    @property
    def name(self) -> str:
        """Its full name, "pkg.Service/Method"."""
        ...

    @property
    def service(self) -> str:
        """The full name of its service."""
        ...

    @property
    def cardinality(self) -> Cardinality:
        """Who streams."""
        ...

    @property
    def schema(self) -> Descriptors | None:
        """Where its messages are described, if they have a runtime schema."""
        ...

    @property
    def types(self) -> tuple[type, ...]:
        """Its message classes, if it is typed."""
        ...

    @property
    def definition(self) -> object | None:
        """What defines the service in Python; the server's schemas have it."""
        ...


def catalogue_of(schemas: Iterable[Descriptors], methods: Collection[Described]) -> Catalogue:
    """Put together what is known of methods.

    Args:
        schemas: Those of the server as a whole; they come first.
        methods: The methods that have a handler.
    """
    owners = {method.service: method.schema for method in methods if method.schema is not None}
    sources = [*schemas, *owners.values()]
    typed = [method for method in methods if method.schema is None and method.definition is None]
    for known, services in _pools(typed):
        sources.append(known)
        owners.update(dict.fromkeys(services, known))
    there = set().union(*(source.services() for source in sources))
    sources += _of_classes([method for method in typed if method.service not in there])
    sources.append(_details())
    catalogue = Catalogue(sources, owners)
    for conflict in catalogue.conflicts:
        logger.warning(
            "reflection shows each service with its own files, but not all to one client: %s", conflict
        )
    return catalogue


@cache
def _details() -> Descriptors:
    """What error details mostly are: clients ask for their types when a call has failed."""
    return Descriptors.from_set(descriptor_set("rpc"), origin="google.rpc")


class _File(Protocol):
    """What is needed of the descriptor of a file: google.protobuf's, or protobuf-py's."""

    name: str
    dependencies: Iterable[_File]


def _pools(methods: Iterable[Described]) -> Iterator[tuple[Descriptors, set[str]]]:
    """Yield what message classes carry, pool by pool, and the services that are declared there."""
    pools: dict[int, dict[str, _File]] = {}
    for method in methods:
        for pool, file in _declaring_files(method):
            pools.setdefault(id(pool), {})[file.name] = file
    for files in pools.values():
        waiting = list(files.values())
        while waiting:
            for needed in waiting.pop().dependencies:
                if needed.name not in files:
                    files[needed.name] = needed
                    waiting.append(needed)
        content = _pack(map(_serialized, files.values()))
        try:
            known = Descriptors.from_set(content, origin="message classes")
        except SchemaError as error:
            named = ", ".join(sorted({method.service for method in methods}))
            logger.warning("reflection does not describe all of %s: %s", named, error)
        else:
            yield known, set(known.services())


def _declaring_files(method: Described) -> Iterator[tuple[object, _File]]:
    for kind in method.types:
        if is_message_of_buf(kind):
            # There are no pools: files know those that they import. A service is not found by its messages.
            yield None, cast("Any", kind).desc().file
            continue
        descriptor = getattr(kind, "DESCRIPTOR", None)
        file = getattr(descriptor, "file", None)
        if file is None:
            continue
        yield file.pool, file
        try:
            # The service may be declared in another file than its messages.
            yield file.pool, file.pool.FindServiceByName(method.service).file
        except KeyError:
            continue


def _serialized(file: Any) -> bytes:
    content: bytes = file.serialized_pb if hasattr(file, "serialized_pb") else file.proto.to_binary()
    return content


def _pack(files: Iterable[bytes]) -> bytes:
    """Return the FileDescriptorSet of serialized files: `repeated FileDescriptorProto file = 1`."""
    packed = bytearray()
    for content in files:
        packed.append(0x0A)  # field 1, length-delimited
        size = len(content)
        while size > 0x7F:
            packed.append(size & 0x7F | 0x80)
            size >>= 7
        packed.append(size)
        packed += content
    return bytes(packed)


def _of_classes(methods: Iterable[Described]) -> list[Descriptors]:
    """Return what can be said of services whose classes carry no descriptor."""
    services: dict[str, list[Described]] = {}
    for method in methods:
        services.setdefault(method.service, []).append(method)
    # Octets are no message, and whoever sends them knows why.
    chosen = {name: own for name, own in services.items() if not any(bytes in method.types for method in own)}
    if not chosen:
        return []
    from wirelane.codec.dataclasses import MethodSpec, ServiceSpec, schema_of

    specs = []
    for name, own in chosen.items():
        try:
            members = [
                MethodSpec(
                    method.name.rpartition("/")[2], method.cardinality, method.types[0], method.types[1]
                )
                for method in own
            ]
            specs.append(ServiceSpec(name, tuple(members)))
        except UsageError as error:
            logger.info("reflection does not describe %s: %s", name, error)
    try:
        # All at once: services of one package share messages, and files.
        return [schema_of(specs)] if specs else []
    except UsageError:
        found: list[Descriptors] = []
        for spec in specs:
            try:
                found.append(schema_of([spec]))
            except UsageError as error:
                logger.info("reflection does not describe %s: %s", spec.name, error)
        return found
