"""Asking a server for its schema, no more of it than is needed, and no file twice.

For one symbol (a service, a method, a message): the file that declares it. For everything: the list of services, and
the file of each that no file so far has declared. Then, for both, the imports that the server did not send along, and
the extensions of the messages in those files that can be extended, which no import leads to. Well-known files are
not asked for.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wirelane.codec import Schema
from wirelane.core.deadline import Deadline
from wirelane.errors import SchemaError, UsageError
from wirelane.grpc.reflection_stream import Conversation, Refused
from wirelane.schema.names import by_suffix
from wirelane.schema.reflection import DescriptorCollector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from wirelane.grpc.core import ChannelCore

__all__ = ["Reflector"]

logger = logging.getLogger("wirelane.grpc")

# Files that are linked one after another where they do not link together; each time with all before.
_MOST_KEPT = 100


class Reflector:
    """What the server of one channel has told of its schema, kept as long as the channel.

    Args:
        core: The channel.
        origin: What the schema is said to come from.
        metadata: Sent with the reflection calls, on top of the channel's own.
    """

    def __init__(
        self, core: ChannelCore, *, origin: str, metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> None:
        self._core = core
        self._origin = origin
        self._metadata = metadata
        # One who asks at a time: the others mostly need the same.
        self._turn = asyncio.Lock()
        self._version = 0
        self._files = DescriptorCollector(origin=origin, limits=core.limits)
        self._services: list[str] | None = None
        # Messages whose extensions have been asked for.
        self._extended: set[str] = set()
        # By the name that was asked for, and by the file that it is in.
        self._parts: dict[str, Schema] = {}
        self._by_file: dict[str, Schema] = {}
        self._whole: Schema | None = None

    def __repr__(self) -> str:
        return f"<Reflector of {self._origin}: {len(self._files)} files>"

    async def services(self) -> list[str]:
        """Return the names of all services, in the order of the server.

        Raises:
            RpcError, PeerError: As `whole`.
        """
        async with self._turn, self._conversation() as asking:
            return list(await _Gathering(self, asking).services())

    async def whole(self) -> Schema:
        """Return the schema of all services that the server describes. Cancel-safe: what came is kept.

        Raises:
            RpcError: The server has no reflection (UNIMPLEMENTED), or the call failed otherwise.
            PeerError: The server answered something else than it was asked.
            LimitExceeded: It sent more than `max_schema_files` or `max_schema_bytes`.
            SchemaError: No service could be described, or what was sent does not link.
        """
        async with self._turn:
            if self._whole is None:
                async with self._conversation() as asking:
                    self._whole = await _Gathering(self, asking).whole()
                self._parts.clear()
                self._by_file.clear()
            return self._whole

    async def part(self, symbol: str) -> Schema:
        """Return a schema with a symbol in it, and all that this needs. Cancel-safe: what came is kept.

        Args:
            symbol: A service, "pkg.Service/Method" or a message; the end of its full name if only one service or, in
                the end, one symbol of all fits.

        Raises:
            UsageError: There is no such symbol; the error names the nearest.
            RpcError, PeerError, LimitExceeded, SchemaError: As `whole`.
        """
        # Methods are looked for by their service: not every server counts them among its symbols.
        name = symbol.removeprefix("/").removeprefix(".").partition("/")[0]
        async with self._turn:
            known = self._whole or self._parts.get(name)
            if known is None:
                async with self._conversation() as asking:
                    known = await _Gathering(self, asking).part(name)
                if known is not None:
                    self._parts[name] = known
        if known is None:
            known = await self.whole()
            known.find_symbol(symbol)
        return known

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator[Conversation]:
        deadline = Deadline.after(self._core.limits.schema_timeout)
        async with Conversation(self._core, deadline, self._metadata, self._version) as asking:
            yield asking
            self._version = asking.version


class _Gathering:
    """One conversation about what is wanted."""

    def __init__(self, reflector: Reflector, asking: Conversation) -> None:
        self._own = reflector
        self._asking = asking
        self._files = reflector._files
        self._origin = reflector._origin

    async def whole(self) -> Schema:
        services = await self.services()
        if not services:
            raise SchemaError(f"{self._origin} lists no services")
        failures: list[str] = []
        for service in services:
            # In one file are often several services: the file is asked for once.
            refusal = None if self._files.file_of(service) else await self._declare(service)
            if refusal is not None:
                logger.warning(
                    "%s: the server lists the service %s, but does not describe it: %s",
                    self._origin,
                    service,
                    refusal,
                )
                failures.append(f"{service}: {refusal}")
        if len(failures) == len(services):
            raise SchemaError(f"{self._origin} describes none of its services: {'; '.join(failures)}")
        await self._complete(self._files.names)
        return self._link(services)

    async def part(self, name: str) -> Schema | None:
        """Return None if the name is that of no service, and of nothing else that the server finds by it."""
        found = await self._find(name)
        if found is None:
            return None
        made = self._own._by_file.get(found)
        if made is None:
            names = await self._complete([found])
            made = Schema.from_set(self._files.build(names), origin=self._origin)
            self._own._by_file[found] = made
        return made

    async def _find(self, name: str) -> str | None:
        """Return the file of a symbol, by its name or the end of that of a service."""
        known = self._files.file_of(name)
        if known is not None:
            return known
        # A name without a package is mostly the end of one; any other, mostly whole.
        refusal = await self._declare(name) if "." in name else None
        if self._files.file_of(name) is None:
            services = await self.services()
            found = [name] if name in services else by_suffix(name, services)
            if len(found) > 1:
                raise UsageError(
                    f'"{name}" may be any of {", ".join(sorted(found))} in {self._origin}; write one in full'
                )
            if not found:
                return await self._service_of_method(name)
            name = found[0]
            if self._files.file_of(name) is None:
                refusal = await self._declare(name)
            if refusal is not None:
                raise SchemaError(
                    f"{self._origin} lists the service {name}, but does not describe it: {refusal}"
                )
        return self._files.file_of(name)

    async def _service_of_method(self, name: str) -> str | None:
        """Return the file of "pkg.Service.Method": a method by its other name."""
        service, _, method = name.rpartition(".")
        services = await self.services()
        found = [service] if service in services else by_suffix(service, services) if service else []
        if len(found) != 1 or not method:
            return None
        if self._files.file_of(found[0]) is None:
            await self._declare(found[0])
        return self._files.file_of(found[0])

    async def services(self) -> list[str]:
        """Return the names of all services; asked for once."""
        if self._own._services is None:
            self._own._services = await self._asking.services()
        return self._own._services

    async def _declare(self, symbol: str) -> str | None:
        """Ask for the file of a symbol; return why it did not come."""
        try:
            files = await self._asking.files(file_containing_symbol=symbol)
        except Refused as refusal:
            return str(refusal)
        for data in files:
            self._files.add(data)
        if self._files.file_of(symbol) is None:
            return "the file that was sent does not declare it"
        return None

    # -- what files need ----------------------------------------------------------------------------------------

    async def _complete(self, names: Iterable[str]) -> list[str]:
        """Gather what files import, and the extensions of their messages with what those import; return the files.

        What extends a message is imported by nobody.
        """
        files = list(names)
        while True:
            await self._imports()
            new = [name for name in await self._extensions(self._files.closure(files)) if name not in files]
            if not new:
                return files
            files += new

    async def _imports(self) -> None:
        refused: dict[str, str] = {}
        while True:
            missing = [name for name in self._files.missing() if name not in refused]
            if not missing and not refused:
                return
            if not missing:
                name = next(iter(refused))
                await self._do_without(name, refused.pop(name))
            for name in missing:
                try:
                    files = await self._asking.files(file_by_filename=name)
                except Refused as refusal:
                    refused[name] = str(refusal)
                    continue
                self._files.add(files[0], requested=name)
                for data in files[1:]:
                    self._files.add(data)

    async def _do_without(self, name: str, reason: str) -> None:
        """Get along without a file that others import, and that the server does not have (by that name).

        Imports that bring options only (google/api/annotations.proto, validate/validate.proto) are often not there;
        and some register files by other names than they are imported by.
        """
        for symbol in self._files.undeclared(name):
            if self._files.file_of(symbol) is None:
                await self._declare(symbol)
        lacking = self._files.undeclared(name)
        if lacking:
            importers = ", ".join(self._files.importers(name)[:3])
            raise SchemaError(
                f"{self._origin} does not have {name!r}, which {importers} imports, nor {lacking[0]}: {reason}"
            )
        logger.warning(
            "%s: the server does not have %s, which nothing needs that others import it for: %s",
            self._origin,
            name,
            reason,
        )
        self._files.replace(name)

    async def _extensions(self, names: set[str]) -> list[str]:
        """Ask for the extensions of the messages in files; return the files that declare them."""
        files: dict[str, None] = {}
        for message in self._files.extendable(names):
            if message not in self._own._extended:
                await self._ask_for_extensions(message)
                self._own._extended.add(message)
            files.update(dict.fromkeys(self._files.extending(message)))
        return list(files)

    async def _ask_for_extensions(self, message: str) -> None:
        try:
            for number in dict.fromkeys(await self._asking.extension_numbers(message)):
                if not self._files.has_extension(message, number):
                    await self._extension(message, number)
        except Refused as refusal:
            # Who does not answer this has no extensions to tell of; calls without them work.
            logger.debug("%s: no extensions of %s: %s", self._origin, message, refusal)

    async def _extension(self, message: str, number: int) -> None:
        question = {"containing_type": message, "extension_number": number}
        for data in await self._asking.files(file_containing_extension=question):
            self._files.add(data)

    # -- linking ------------------------------------------------------------------------------------------------

    def _link(self, services: list[str]) -> Schema:
        """Make the schema; leave out the services whose files contradict each other, or those of services before."""
        try:
            return Schema.from_set(self._files.build(), origin=self._origin)
        except SchemaError as error:
            schema: Schema | None = None
            kept: list[str] = []
            for file in dict.fromkeys(self._files.file_of(service) for service in services):
                if file is None or len(kept) >= _MOST_KEPT:
                    continue
                try:
                    schema = Schema.from_set(self._files.build([*kept, file]), origin=self._origin)
                except SchemaError:
                    continue
                kept.append(file)
            if schema is None:
                raise
            left_out = ", ".join(name for name in services if name not in schema.services())
            logger.warning("%s: left out %s, whose files do not link: %s", self._origin, left_out, error)
            return schema
