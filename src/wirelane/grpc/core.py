"""What the calls of one channel share: its connector, defaults, schema and counters.

`Channel` is the face people hold; calls know only this. It does no I/O until `schema_ready` or the connector is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from wirelane._version import __version__
from wirelane.core.compression import IDENTITY, SUPPORTED
from wirelane.core.deadline import Deadline, earliest
from wirelane.errors import ClosedError, UsageError, WirelaneError, rpc_error
from wirelane.grpc.context import current_deadline
from wirelane.grpc.methods import BoundMethod, Method, MethodLike, bind
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.codec import Schema
    from wirelane.codec.formats import Codec
    from wirelane.core.limits import Limits
    from wirelane.core.metadata import Metadata, MetadataLike
    from wirelane.core.method import Cardinality
    from wirelane.grpc.connector import Connector
    from wirelane.transport.base import ClientConnection

__all__ = ["ChannelCore", "check_encoding"]

LIBRARY = f"wirelane/{__version__}"
# Methods remembered: names are the user's own, but may be made up by a program.
_BOUND = 4096
# Sets of metadata remembered: programs have few, and those that change with each call gain nothing from memory.
_MERGED = 64

SchemaLoader = Callable[[], Coroutine[Any, Any, "Schema"]]
PartLoader = Callable[[str], Coroutine[Any, Any, "Schema"]]


def check_encoding(compression: str | None) -> str | None:
    """Return the encoding that messages are sent with, None for none.

    Raises:
        UsageError: It is not one that this library knows.
    """
    if compression is None or compression == IDENTITY:
        return None
    if compression not in SUPPORTED:
        raise UsageError(f"compression={compression!r} is not known here; known are {', '.join(SUPPORTED)}")
    return compression


class ChannelCore:
    """The state of one channel.

    Attributes:
        metadata: Sent with every call; a call's own metadata replaces it name by name.
        timeout: Seconds that a call may take if it does not say; None: no limit.
        encoding: How messages are compressed if the call does not say.
        schema: Once it is loaded, or from the start if it was given as a `Schema`.
        codec: Of the messages of the schema, as in `Schema.codec`.
        schema_error: Why it could not be loaded.
        part_loader: Loads as much of the schema as a method needs, where it can be had in parts.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        authority: str,
        metadata: Metadata,
        timeout: float | None,
        encoding: str | None,
        limits: Limits,
        user_agent: str | None,
        wait_for_ready: bool,
        schema: Schema | None,
        loader: SchemaLoader | None,
        codec: Codec | None = None,
    ) -> None:
        self.connector = connector
        self.authority = authority
        self.metadata = metadata
        self.timeout = timeout
        self.encoding = encoding
        self.limits = limits
        self.user_agent = f"{user_agent} {LIBRARY}" if user_agent else LIBRARY
        self.wait_for_ready = wait_for_ready
        self.schema = schema
        self.codec: Codec | None = codec
        self.started = 0
        self.succeeded = 0
        self.failed = 0
        self.part_loader: PartLoader | None = None
        self._loader = loader
        self._loading: asyncio.Task[Schema] | None = None
        self._bound: dict[str | Method[Any, Any], BoundMethod] = {}
        # The same by the identity of the object, which is kept with it: most programs name a method with one object.
        self._bound_to: dict[int, tuple[MethodLike | BoundMethod, BoundMethod]] = {}
        # Metadata of calls joined to the channel's, by the pairs.
        self._merged: dict[tuple[object, ...], Metadata] = {}
        # Methods of generated stubs, by what those bring: path, kind, request type, response type.
        self.typed: dict[tuple[str, Cardinality, type[Any], type[Any]], BoundMethod] = {}

    @property
    def has_loader(self) -> bool:
        """Whether there is a schema to be loaded."""
        return self._loader is not None

    @property
    def active(self) -> int:
        """Calls that have not ended."""
        return self.started - self.succeeded - self.failed

    def deadline(self, timeout: float | None) -> Deadline | None:
        """Make the deadline of a call: its timeout or the channel's, never later than that of the call we serve.

        Raises:
            UsageError: `timeout` is no number of seconds from 0 up.
        """
        inherited = current_deadline.get()
        if timeout is None:
            timeout = self.timeout
        if timeout is None:
            return inherited
        made = Deadline.after(timeout)
        return made if inherited is None else earliest(made, inherited)

    def merged(self, metadata: MetadataLike) -> Metadata:
        """Return a call's metadata joined to the channel's; not to be changed, because calls that say the same share it.

        Raises:
            UsageError: It cannot be sent.
        """
        base = self.metadata
        kind = type(metadata)
        if kind is dict:
            key: tuple[object, ...] = tuple(cast("dict[str, object]", metadata).items())
        elif kind is list or kind is tuple:
            key = tuple(cast("list[object]", metadata))
        else:
            return base.merged(metadata)
        if base:
            key = (*key, None, *base.items())
        try:
            known = self._merged.get(key)
        except TypeError:  # several values in a list
            return base.merged(metadata)
        if known is None:
            known = base.merged(metadata)
            if len(self._merged) >= _MERGED:
                self._merged.clear()
            self._merged[key] = known
        return known

    def bind(self, method: MethodLike | BoundMethod) -> BoundMethod | None:
        """Return what a call of `method` needs; None if the schema must be loaded first (`schema_ready`).

        Raises:
            UsageError: There is no such method.
        """
        known = self._bound_to.get(id(method))
        if known is not None:
            return known[1]
        bound: BoundMethod | None = None
        if isinstance(method, str | Method):
            bound = self._bound.get(method)
        if bound is None:
            if (
                self.schema is None
                and self._loader is not None
                and not isinstance(method, Method | BoundMethod)
            ):
                return None
            bound = bind(method, self.schema, self.codec)
        return self._keep(method, bound)

    def _keep(self, method: MethodLike | BoundMethod, bound: BoundMethod) -> BoundMethod:
        if len(self._bound) >= _BOUND or len(self._bound_to) >= _BOUND:
            self._bound.clear()
            self._bound_to.clear()
        if isinstance(method, str | Method):
            self._bound[method] = bound
        self._bound_to[id(method)] = (method, bound)
        return bound

    async def bind_ready(self, method: MethodLike, wait_for_ready: bool | None = None) -> BoundMethod:
        """Return what a call of `method` needs, loading the schema if need be.

        Raises:
            UsageError: There is no such method.
            SchemaError: The schema does not load.
            RpcError: There is no connection, or server reflection failed.
            ClosedError: The channel was closed meanwhile.
        """
        bound = self.bind(method)
        if bound is None:
            # First, because a failure of the connection is told as that of a call, which connecting is not.
            await self.connection(self.wait_for_ready if wait_for_ready is None else wait_for_ready)
            if self.part_loader is not None:
                name = method if isinstance(method, str) else str(method)
                bound = self._keep(method, bind(method, await self.part_loader(name), self.codec))
            else:
                bound = self._keep(method, bind(method, await self.schema_ready(), self.codec))
        return bound

    async def connection(self, wait_for_ready: bool) -> ClientConnection:
        """Return a connection that takes calls.

        Raises:
            RpcError: There is none (UNAVAILABLE), or the channel was closed meanwhile (CANCELLED); says why.
            UsageError: The TLS settings cannot be used.
        """
        try:
            return await self.connector.get(wait_for_ready=wait_for_ready)
        except UsageError:
            raise
        except ClosedError as error:
            raise rpc_error(StatusCode.CANCELLED, "the channel was closed", attempts=0) from error
        except (WirelaneError, OSError) as error:
            raise rpc_error(StatusCode.UNAVAILABLE, str(error), attempts=0) from error

    async def schema_ready(self) -> Schema | None:
        """Load the schema unless it is; None if the channel has none. Loaded once for all who wait; cancel-safe.

        A schema that failed to load is tried again by the next who asks.
        """
        if self.schema is not None or self._loader is None:
            return self.schema
        task = self._loading
        if task is None:
            self.connector.check_loop(asyncio.get_running_loop())
            task = self._loading = asyncio.create_task(self._load(self._loader), name="wirelane: load schema")
            task.add_done_callback(_retrieved)
        await asyncio.wait((task,))
        if task.cancelled():
            raise ClosedError("the channel was closed while its schema was loading")
        return task.result()

    async def _load(self, loader: SchemaLoader) -> Schema:
        try:
            schema = self.schema = await loader()
            return schema
        finally:
            self._loading = None

    def __del__(self) -> None:
        # Neither the channel nor a call of it is held by anybody: nobody can close it any more.
        connector: Connector | None = getattr(self, "connector", None)
        if connector is not None:
            connector.let_go()

    async def close(self) -> None:
        """End the loading of the schema, and every connection."""
        loading = self._loading
        if loading is not None and loading.get_loop() is asyncio.get_running_loop():
            loading.cancel()
        await self.connector.close()
        if loading is not None and not loading.done():
            await asyncio.wait((loading,))


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Take note of a failure: whoever waited for it has left."""
    if not task.cancelled():
        task.exception()
