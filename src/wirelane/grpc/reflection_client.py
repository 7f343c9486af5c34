"""Asking a server for its schema: grpc.reflection v1, or v1alpha where there is no v1.

What is fetched: the list of services, then the file of each service that no file so far has declared, then the imports
that the server did not send along. Well-known files are not asked for. One stream carries the questions one after
another; a server that ends it after an answer is asked the next on a new one.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from wirelane import protos
from wirelane.codec import Schema
from wirelane.core.deadline import Deadline
from wirelane.errors import PeerError, RpcError, SchemaError, rpc_error
from wirelane.grpc.streams import BidiStreamCall
from wirelane.schema.reflection import DescriptorCollector
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import BoundMethod

__all__ = ["fetch_schema"]

logger = logging.getLogger("wirelane.grpc")

_VERSIONS = ("v1", "v1alpha")


async def fetch_schema(
    core: ChannelCore, *, origin: str, metadata: Sequence[tuple[str, str | bytes]] = ()
) -> Schema:
    """Return the schema of the server behind a channel.

    Args:
        core: The channel.
        origin: What the schema is said to come from.
        metadata: Sent with the reflection calls, on top of the channel's own.

    Raises:
        RpcError: The server has no reflection (UNIMPLEMENTED), or the call failed otherwise.
        PeerError: The server answered something else than it was asked.
        LimitExceeded: It sent more than `max_schema_files` or `max_schema_bytes`.
        SchemaError: No service could be described, or what was sent does not link.
    """
    deadline = Deadline.after(core.limits.schema_timeout)
    for version in _VERSIONS:
        conversation = _Conversation(core, version, deadline, metadata)
        try:
            services = await conversation.services()
            return await _collect(conversation, services, origin)
        except RpcError as error:
            if error.code is not StatusCode.UNIMPLEMENTED or conversation.answered:
                raise
            if version == _VERSIONS[-1]:
                raise rpc_error(
                    error.code,
                    f"{core.connector.target} has no server reflection; give its .proto files as schema= "
                    f"({error.message})",
                    metadata=error.metadata,
                    initial_metadata=error.initial_metadata,
                    from_peer=error.from_peer,
                    peer=error.peer,
                ) from error
            logger.debug("%s: no reflection %s, trying the older one", origin, version)
        finally:
            await conversation.close()
    raise AssertionError("the last version returns or raises")


async def _collect(conversation: _Conversation, services: list[str], origin: str) -> Schema:
    collector = DescriptorCollector(origin=origin, limits=conversation.limits)
    failures: list[str] = []
    # In one file are often several services: the file is asked for once.
    declared: set[str] = set()
    for service in services:
        if service in declared:
            continue
        try:
            files = await conversation.files(file_containing_symbol=service)
        except _Refused as refusal:
            logger.warning(
                "%s: the server lists the service %s, but does not describe it: %s", origin, service, refusal
            )
            failures.append(f"{service}: {refusal}")
            continue
        for data in files:
            collector.add(data)
        declared |= collector.services
    while missing := collector.missing():
        for name in missing:
            try:
                files = await conversation.files(file_by_filename=name)
            except _Refused as refusal:
                raise SchemaError(
                    f"{origin} does not have {name!r}, which its other files import: {refusal}"
                ) from None
            collector.add(files[0], requested=name)
            for data in files[1:]:
                collector.add(data)
    if failures and not len(collector):
        raise SchemaError(f"{origin} describes none of its services: {'; '.join(failures)}")
    if not services:
        raise SchemaError(f"{origin} lists no services")
    return Schema.from_set(collector.build(), origin=origin)


class _Refused(Exception):
    """The server answered one question with an error."""


class _Conversation:
    """Questions and answers, on as many streams as the server makes it take."""

    def __init__(
        self,
        core: ChannelCore,
        version: str,
        deadline: Deadline | None,
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> None:
        self.limits = core.limits
        self.answered = False
        self._core = core
        self._deadline = deadline
        self._metadata = metadata
        self._method = f"grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        self._stream: BidiStreamCall[Any, Any] | None = None

    async def services(self) -> list[str]:
        """Return the full names of the services, in the order of the server."""
        answer = await self._ask({"list_services": "*"}, "list_services_response")
        return [entry["name"] for entry in answer.get("service", ())]

    async def files(self, **question: str) -> list[bytes]:
        """Return the files that answer a question; at least one."""
        answer = await self._ask(dict(question), "file_descriptor_response")
        files: list[bytes] = answer.get("file_descriptor_proto", [])
        if not files:
            raise PeerError(f"server reflection answered {question} with no file")
        return files

    async def _ask(self, question: dict[str, str], kind: str) -> dict[str, Any]:
        reply = await self._answer(question)
        self.answered = True
        if "error_response" in reply:
            refusal = reply["error_response"]
            code = StatusCode.of(refusal.get("error_code", StatusCode.UNKNOWN))
            text = refusal.get("error_message", "")
            if kind == "list_services_response":
                raise rpc_error(code, f"server reflection does not list the services: {text}", from_peer=True)
            raise _Refused(f"{code.name}: {text}" if text else code.name)
        answer: dict[str, Any] | None = reply.get(kind)
        if answer is None:
            raise PeerError(f"server reflection answered {question} with {sorted(reply)}")
        return answer

    async def _answer(self, question: dict[str, str]) -> dict[str, Any]:
        """Ask on the stream that is open; once more on a new one if the server has ended it meanwhile."""
        if self._stream is not None:
            reply = await self._try(self._stream, question)
            if reply is not None:
                return reply
            await self.close()
        self._stream = await self._open().__aenter__()
        reply = await self._try(self._stream, question)
        if reply is None:
            raise PeerError(f"server reflection ended the call without an answer to {question}")
        return reply

    async def _try(self, stream: BidiStreamCall[Any, Any], question: dict[str, str]) -> dict[str, Any] | None:
        """Return the answer, or None if the server has ended the stream with OK."""
        reply: dict[str, Any] | None = None
        if await stream.send(question):
            reply = await stream.receive()
        return reply

    def _open(self) -> BidiStreamCall[Any, Any]:
        left = None if self._deadline is None else self._deadline.remaining()
        return _ReflectionCall(self._core, self._method, left, self._metadata)

    async def close(self) -> None:
        """End the stream; a half-open one would confuse proxies that buffer."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                await stream.done_sending()
            finally:
                await stream.__aexit__(None, None, None)


class _ReflectionCall(BidiStreamCall[Any, Any]):
    """A call of the reflection service, whose schema is our own and not the channel's."""

    def __init__(
        self,
        core: ChannelCore,
        method: str,
        timeout: float | None,
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> None:
        super().__init__(
            core,
            method,
            None,
            timeout=timeout,
            metadata=metadata,
            compression="identity",
            wait_for_ready=None,
        )
        self._name = method

    async def _bind(self) -> BoundMethod:
        self._bound = _method(self._name)
        return self._bound


@cache
def _method(name: str) -> BoundMethod:
    from wirelane.grpc.methods import bind

    return bind(name, Schema.from_set(protos.descriptor_set("reflection"), origin="wirelane.protos"))
