"""grpc.reflection v1 and v1alpha: what a server offers, for clients that have no .proto files.

Contract: `list_services` names every service that has a handler. Descriptors come from the server's schema, from the
schemas of its routes, and from message classes that carry their descriptor (google.protobuf); a service made of
classes without one (betterproto2) is listed, and a question about it is answered NOT_FOUND. Files are sent with all
that they import, less what the same stream was sent before. The two versions differ in name only and share the code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Protocol, TypeAlias, cast

from wirelane.codec import Schema
from wirelane.grpc.services.base import BuiltinMethod
from wirelane.protos import descriptor_set
from wirelane.schema import Descriptors
from wirelane.status import StatusCode

__all__ = ["Described", "Reflection"]

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

Answer: TypeAlias = dict[str, object]

# How much of what a stranger asked for is repeated in an error message.
_SHOWN = 200


@cache
def _schema() -> Schema:
    return Schema.from_set(descriptor_set("reflection"), origin="wirelane's reflection protocol")


class Described(Protocol):
    """What reflection needs to know of a method that has a handler."""

    @property
    def service(self) -> str:
        """The full name of its service."""
        ...

    @property
    def schema(self) -> Descriptors | None:
        """Where its messages are described, if they have a runtime schema."""
        ...

    @property
    def types(self) -> tuple[type, ...]:
        """Its message classes, if it is typed."""
        ...


class Reflection:
    """The reflection service of one server.

    Args:
        methods: Returns the methods that have a handler.
        schemas: Returns the schemas of the server as a whole.
    """

    def __init__(
        self, methods: Callable[[], Collection[Described]], schemas: Callable[[], Iterable[Descriptors]]
    ) -> None:
        self._methods = methods
        self._server_schemas = schemas
        # Descriptors, made again when there are more methods than they were made of.
        self._known: tuple[Descriptors, ...] = ()
        self._made_of = -1

    @property
    def schema(self) -> Schema:
        """Where its messages are described."""
        return _schema()

    def methods(self) -> list[BuiltinMethod]:
        """Return the methods of both versions."""
        return [
            # Clients keep the stream open while they may have questions.
            BuiltinMethod(f"{service}/ServerReflectionInfo", self._info, background=True)
            for service in SERVICES
        ]

    def services(self) -> list[str]:
        """Return the full names of the services that have a handler, sorted."""
        return sorted({method.service for method in self._methods()})

    async def _info(self, requests: AsyncIterator[Mapping[str, object]]) -> AsyncIterator[Answer]:
        sent: set[str] = set()
        async for request in requests:
            yield {
                "valid_host": request.get("host", ""),
                "original_request": request,
                **self.answer(request, sent),
            }

    def answer(self, request: Mapping[str, object], sent: set[str]) -> Answer:
        """Return the answer to one question: the one field of `message_response` that applies.

        Args:
            request: A ServerReflectionRequest.
            sent: The files that this stream has been sent; files of this answer are added.
        """
        for question, answer in (
            ("file_by_filename", self._file_by_filename),
            ("file_containing_symbol", self._file_containing_symbol),
            ("file_containing_extension", self._file_containing_extension),
            ("all_extension_numbers_of_type", self._extension_numbers),
            ("list_services", self._list_services),
        ):
            if question in request:
                return answer(request[question], sent)
        return _error(StatusCode.INVALID_ARGUMENT, "the request asks for nothing this server knows")

    # -- the questions ------------------------------------------------------------------------------------------

    def _list_services(self, _: object, sent: set[str]) -> Answer:
        return {"list_services_response": {"service": [{"name": name} for name in self.services()]}}

    # The pools are asked directly: Descriptors would look for the nearest name each time, at a stranger's wish.

    def _file_by_filename(self, question: object, sent: set[str]) -> Answer:
        name = str(question)
        for known in self._descriptors():
            try:
                known.pool.FindFileByName(name)
            except KeyError:
                continue
            return _files(known, name, sent)
        return _error(StatusCode.NOT_FOUND, f"no file {name[:_SHOWN]!r}")

    def _file_containing_symbol(self, question: object, sent: set[str]) -> Answer:
        symbol = str(question)
        for known in self._descriptors():
            name = _file_containing(known, symbol)
            if name is not None:
                return _files(known, name, sent)
        return _error(StatusCode.NOT_FOUND, f"no symbol {symbol[:_SHOWN]!r}")

    def _file_containing_extension(self, question: object, sent: set[str]) -> Answer:
        asked = cast("Mapping[str, object]", question)
        message, number = str(asked.get("containing_type", "")), cast("int", asked.get("extension_number", 0))
        for known in self._descriptors():
            try:
                extension = known.pool.FindExtensionByNumber(
                    known.pool.FindMessageTypeByName(message), number
                )
            except KeyError:
                continue
            return _files(known, known.file_containing_symbol(extension.full_name), sent)
        return _error(StatusCode.NOT_FOUND, f"no extension {number} of {message[:_SHOWN]!r}")

    def _extension_numbers(self, question: object, sent: set[str]) -> Answer:
        message = str(question)
        numbers: set[int] = set()
        found = False
        for known in self._descriptors():
            try:
                descriptor = known.pool.FindMessageTypeByName(message)
            except KeyError:
                continue
            found = True
            numbers.update(extension.number for extension in known.pool.FindAllExtensions(descriptor))
        if not found:
            return _error(StatusCode.NOT_FOUND, f"no message {message[:_SHOWN]!r}")
        return {
            "all_extension_numbers_response": {"base_type_name": message, "extension_number": sorted(numbers)}
        }

    # -- where descriptors come from ----------------------------------------------------------------------------

    def _descriptors(self) -> tuple[Descriptors, ...]:
        methods = self._methods()
        if self._made_of != len(methods):
            schemas = [*self._server_schemas(), *(method.schema for method in methods)]
            known = {id(schema): schema for schema in schemas if schema is not None}
            typed = _typed_files(methods)
            if typed:
                known[id(typed)] = Descriptors.from_set(_pack(typed), origin="message classes")
            self._known = tuple(known.values())
            self._made_of = len(methods)
        return self._known

    def __repr__(self) -> str:
        return f"<Reflection {len(self.services())} services>"


def _file_containing(known: Descriptors, symbol: str) -> str | None:
    """Return the file that declares a symbol, or None."""
    try:
        return known.pool.FindFileContainingSymbol(symbol).name
    except KeyError:
        pass
    try:
        # Methods are symbols for the protocol, and not for protobuf's pool.
        return known.pool.FindMethodByName(symbol).containing_service.file.name
    except KeyError:
        return None


def _files(known: Descriptors, name: str, sent: set[str]) -> Answer:
    """Return a file, sent before or not, then all it imports that was not: clients take the first for the answer."""
    names = {name: None}
    waiting = [name]
    for current in waiting:  # grows while it is walked: breadth first
        for file in known.file_proto(current).dependency:
            if file not in names and file not in sent:
                names[file] = None
                waiting.append(file)
    sent.update(names)
    return {"file_descriptor_response": {"file_descriptor_proto": [known.file_bytes(file) for file in names]}}


def _error(code: StatusCode, message: str) -> Answer:
    return {"error_response": {"error_code": int(code), "error_message": message}}


class _File(Protocol):
    """What is needed of google.protobuf's FileDescriptor."""

    name: str
    serialized_pb: bytes
    dependencies: Iterable[_File]


def _typed_files(methods: Iterable[Described]) -> dict[str, bytes]:
    """Return the files, imports included, of the services whose message classes carry a descriptor."""
    files: dict[str, bytes] = {}
    waiting: list[_File] = []
    for method in methods:
        waiting.extend(_declaring_files(method))
    while waiting:
        file = waiting.pop()
        if file.name not in files:
            files[file.name] = file.serialized_pb
            waiting.extend(file.dependencies)
    return files


def _declaring_files(method: Described) -> Iterator[_File]:
    for kind in method.types:
        descriptor = getattr(kind, "DESCRIPTOR", None)
        file = getattr(descriptor, "file", None)
        if file is None:
            continue
        yield file
        try:
            # The service may be declared in another file than its messages.
            yield file.pool.FindServiceByName(method.service).file
        except KeyError:
            continue


def _pack(files: Mapping[str, bytes]) -> bytes:
    """Return the FileDescriptorSet of serialized files: `repeated FileDescriptorProto file = 1`."""
    packed = bytearray()
    for content in files.values():
        packed.append(0x0A)  # field 1, length-delimited
        size = len(content)
        while size > 0x7F:
            packed.append(size & 0x7F | 0x80)
            size >>= 7
        packed.append(size)
        packed += content
    return bytes(packed)
