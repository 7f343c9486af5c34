"""grpc.reflection v1 and v1alpha: what a server offers, for clients that have no .proto files.

Contract: `list_services` names every service that has a handler. What is known of them is a `Catalogue` (see
`wirelane.grpc.services.descriptions`); a question about a service that nobody has described is answered NOT_FOUND.
Files are sent with all that they import, less what the same stream was sent before. The two versions differ in name only
and share the code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import cache
from typing import TypeAlias, cast

from wirelane.codec import Schema
from wirelane.grpc.services.base import BuiltinMethod
from wirelane.grpc.services.descriptions import Described, catalogue_of
from wirelane.protos import descriptor_set
from wirelane.schema import Descriptors
from wirelane.schema.catalogue import Catalogue
from wirelane.status import StatusCode

__all__ = ["Described", "Reflection"]

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

Answer: TypeAlias = dict[str, object]

# How much of what a stranger asked for is repeated in an error message.
_SHOWN = 200


@cache
def _schema() -> Schema:
    return Schema.from_set(descriptor_set("reflection"), origin="wirelane's reflection protocol")


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
        # Made again when there are more methods than it was made of.
        self._catalogue: Catalogue | None = None
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

    def _file_by_filename(self, question: object, sent: set[str]) -> Answer:
        name = str(question)
        known = self.catalogue()
        found = name if known.file_bytes(name) is not None else None
        return _files(known, found, sent, f"no file {name[:_SHOWN]!r}")

    def _file_containing_symbol(self, question: object, sent: set[str]) -> Answer:
        symbol = str(question)
        known = self.catalogue()
        return _files(known, known.file_containing_symbol(symbol), sent, f"no symbol {symbol[:_SHOWN]!r}")

    def _file_containing_extension(self, question: object, sent: set[str]) -> Answer:
        asked = cast("Mapping[str, object]", question)
        message, number = str(asked.get("containing_type", "")), cast("int", asked.get("extension_number", 0))
        known = self.catalogue()
        found = known.file_containing_extension(message, number)
        return _files(known, found, sent, f"no extension {number} of {message[:_SHOWN]!r}")

    def _extension_numbers(self, question: object, sent: set[str]) -> Answer:
        message = str(question)
        numbers = self.catalogue().extension_numbers(message)
        if numbers is None:
            return _error(StatusCode.NOT_FOUND, f"no message {message[:_SHOWN]!r}")
        return {"all_extension_numbers_response": {"base_type_name": message, "extension_number": numbers}}

    # -- where descriptors come from ----------------------------------------------------------------------------

    def catalogue(self) -> Catalogue:
        """Return all that is known of the services; what cannot be shown is told in the log, once."""
        methods = self._methods()
        if self._catalogue is None or self._made_of != len(methods):
            self._catalogue = catalogue_of(self._server_schemas(), methods)
            self._made_of = len(methods)
        return self._catalogue

    def __repr__(self) -> str:
        return f"<Reflection {len(self.services())} services>"


def _files(known: Catalogue, name: str | None, sent: set[str], otherwise: str) -> Answer:
    """Return a file, sent before or not, then all it imports that was not: clients take the first for the answer."""
    if name is None:
        return _error(StatusCode.NOT_FOUND, otherwise)
    names = known.with_imports(name, sent)
    sent.update(names)
    return {"file_descriptor_response": {"file_descriptor_proto": [known.file_bytes(file) for file in names]}}


def _error(code: StatusCode, message: str) -> Answer:
    return {"error_response": {"error_code": int(code), "error_message": message}}
