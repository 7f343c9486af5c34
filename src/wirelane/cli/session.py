"""From options to a channel with a schema: what `call`, `list` and `describe` begin with.

The deadline of the whole command is made once, in `Session`; what is left of it goes to each step.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from wirelane.cli.errors import NoReflectionError, one_line
from wirelane.cli.options import ConnectionOptions, HeaderOptions, SchemaOptions, parse_headers
from wirelane.cli.style import style
from wirelane.core.deadline import Deadline
from wirelane.errors import DeadlineExceeded, RpcError, UsageError, rpc_error
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.codec import Schema
    from wirelane.core.metadata import Metadata
    from wirelane.grpc import Channel

__all__ = ["Log", "Session", "looks_like_address"]

T = TypeVar("T")

_SECRET = ("auth", "cookie", "token", "secret", "password", "api-key", "apikey")


def looks_like_address(text: str) -> bool:
    """Return whether a word is an address: unlike the name of anything in a schema, it has a colon."""
    return ":" in text


class Log:
    """What -v tells on standard error: `*` about what is done, `>` what is sent, `<` what is received."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self._began = time.perf_counter()

    def line(self, mark: str, text: str) -> None:
        """Print one line, if asked for."""
        if self.verbose:
            print(style(f"{mark} {one_line(text)}", "dim", sys.stderr), file=sys.stderr)

    def metadata(self, mark: str, metadata: Metadata | None) -> None:
        """Print a line for every pair. Secrets we send are not repeated: output gets pasted and stored."""
        if not self.verbose or metadata is None:
            return
        for name, value in metadata.items():
            if mark == ">" and any(word in name for word in _SECRET):
                self.line(mark, f"{name}: <hidden, {len(value)} characters>")
            else:
                self.line(mark, f"{name}: {_shown(value)}")

    def lap(self) -> float:
        """Return the seconds since the last time this was asked."""
        now = time.perf_counter()
        seconds, self._began = now - self._began, now
        return seconds


@dataclass(slots=True)
class Session:
    """One run of a verb that talks gRPC.

    Attributes:
        target: The address; None where files alone are looked at.
        files: The schema of the given files, loaded already; None: ask the server.
        deadline: The end of --max-time, from when the channel is asked for: starting Python is not part of it.
    """

    target: str | None
    schema: SchemaOptions
    connection: ConnectionOptions
    headers: HeaderOptions
    log: Log
    files: Schema | None = None
    deadline: Deadline | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.headers.max_time == 0:
            raise UsageError("--max-time must be more than 0")

    @property
    def left(self) -> float | None:
        """Seconds left of --max-time."""
        return None if self.deadline is None else self.deadline.remaining()

    def load_files(self) -> None:
        """Compile the given files, if there are any: before anything is asked of the network."""
        self.files = self.schema.load()
        if self.files is not None:
            self.log.line("*", f"schema from {self.files.origin} in {self.log.lap() * 1000:.1f} ms")

    @asynccontextmanager
    async def channel(self, symbol: str | None = None) -> AsyncIterator[tuple[Channel, Schema]]:
        """Connect and have the schema; of a server, no more of it than a symbol needs.

        Raises:
            NoReflectionError: The server has no reflection, and there are no files.
            ConnectError, TlsError, ResolveError, PeerError: There is no connection.
            RpcError: Reflection failed; DeadlineExceeded, if --max-time was not enough.
        """
        async with self._opened() as channel:
            schema = await self._within(self._schema(channel, symbol))
            how = "connected" if self.files is not None else "connected, and its schema asked for,"
            self.log.line("*", f"{channel}{self.connection.way()}: {how} in {self.log.lap() * 1000:.1f} ms")
            yield channel, schema

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Channel]:
        from wirelane.grpc.channel import Channel
        from wirelane.grpc.options import ChannelOptions

        assert self.target is not None
        agent, pairs = self._user_agent()
        self.deadline = Deadline.after(self.headers.max_time)
        self.log.lap()
        channel = Channel(
            self.target,
            schema="reflection" if self.files is None else self.files,
            tls=self.connection.tls_settings(),
            proxy=self.connection.proxies(),
            metadata=pairs,
            limits=self.connection.limits(),
            options=ChannelOptions(
                user_agent=agent,
                authority=self.headers.authority,
                server_name=self.connection.server_name,
                socket=self.connection.socket(),
                reflection_metadata=tuple(parse_headers(self.headers.reflect_header, "--reflect-header")),
            ),
        )
        async with channel:
            yield channel

    async def _schema(self, channel: Channel, symbol: str | None) -> Schema:
        if self.files is None:
            return await channel.reflect(symbol)
        await channel.connect()
        return self.files

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for what comes before calls, no longer than --max-time allows."""
        scope = asyncio.timeout(self.left)
        try:
            async with scope:
                return await work
        except TimeoutError:
            if scope.expired():
                raise DeadlineExceeded(f"{self.target} was not ready within --max-time") from None
            raise
        except RpcError as error:
            if error.code is StatusCode.UNIMPLEMENTED:
                raise NoReflectionError(
                    f"{self.target} has no server reflection; give its .proto files with --proto, or --protoset"
                ) from error
            raise rpc_error(
                error.code, f"server reflection failed: {error.message}", details=error.details
            ) from error

    async def load(self, symbol: str | None = None) -> Schema:
        """Return the schema, of the files or of the server; of the server, as `channel`."""
        if self.files is not None:
            return self.files
        async with self.channel(symbol) as (_, schema):
            return schema

    async def services(self) -> list[str]:
        """Return the names of all services: also of those that the server only lists."""
        if self.files is not None:
            return self.files.services()
        async with self._opened() as channel:
            return sorted(await self._within(channel.list_services()))

    def _user_agent(self) -> tuple[str | None, list[tuple[str, str | bytes]]]:
        """Return the user agent among the headers, and the others: the library has an option of its own for it."""
        pairs = parse_headers(self.headers.header, "-H")
        agents = [value for name, value in pairs if name == "user-agent" and isinstance(value, str)]
        return (agents[-1] if agents else None), [pair for pair in pairs if pair[0] != "user-agent"]


def _shown(value: str | bytes) -> str:
    """Return a metadata value as the command takes it: binary ones in base64."""
    return value if isinstance(value, str) else base64.b64encode(value).decode("ascii")
