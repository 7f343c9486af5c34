"""One question to grpc.reflection, one answer: v1, or v1alpha where there is no v1, on as many streams as it takes.

A stream carries the questions one after another. A server that ends it after an answer is asked the next on a new one;
an answer that belongs to an earlier question is passed over.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from wirelane import protos
from wirelane.codec import Schema
from wirelane.errors import PeerError, RpcError, rpc_error
from wirelane.grpc.streams import BidiStreamCall
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirelane.core.deadline import Deadline
    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import BoundMethod

__all__ = ["Conversation", "Refused"]

logger = logging.getLogger("wirelane.grpc")

_VERSIONS = ("v1", "v1alpha")
# Answers to earlier questions in a row that are passed over. We ask one at a time, so that none should come.
_MOST_STRAY = 8
# What says that asking in the words of another version would end in the same way.
_FINAL = frozenset({StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAUTHENTICATED})

Question = dict[str, Any]


class Refused(Exception):
    """The server answered one question with an error."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}" if message else code.name)
        self.code = code


class Conversation:
    """Questions and answers, from `__aenter__` to `__aexit__`.

    Args:
        core: The channel.
        deadline: When all of it must be over.
        metadata: Sent with the calls, on top of the channel's own.
        version: Which of the two versions to begin with.

    Attributes:
        version: The one that the server speaks, as far as that is known.
    """

    def __init__(
        self,
        core: ChannelCore,
        deadline: Deadline | None,
        metadata: Sequence[tuple[str, str | bytes]],
        version: int = 0,
    ) -> None:
        self.version = version
        self._core = core
        self._deadline = deadline
        self._metadata = metadata
        self._answered = False
        self._earlier: set[str] = set()
        self._stream: BidiStreamCall[Any, Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def services(self) -> list[str]:
        """Return the full names of the services, in the order of the server, each once."""
        try:
            answer = await self._ask({"list_services": "*"}, "list_services_response")
        except Refused as refusal:
            text = f"server reflection does not list the services: {refusal}"
            raise rpc_error(refusal.code, text, from_peer=True) from None
        names = (entry["name"].removeprefix(".") for entry in answer.get("service", ()))
        return list(dict.fromkeys(name for name in names if name))

    async def files(self, **question: str | Question) -> list[bytes]:
        """Return the files that answer a question; at least one.

        Raises:
            Refused: The server has none.
        """
        answer = await self._ask(dict(question), "file_descriptor_response")
        files: list[bytes] = answer.get("file_descriptor_proto", [])
        if not files:
            raise PeerError(f"server reflection answered {question} with no file")
        return files

    async def extension_numbers(self, message: str) -> list[int]:
        """Return the numbers of the extensions of a message.

        Raises:
            Refused: The server does not know it, or does not answer such questions.
        """
        answer = await self._ask({"all_extension_numbers_of_type": message}, "all_extension_numbers_response")
        numbers: list[int] = answer.get("extension_number", [])
        return numbers

    async def _ask(self, question: Question, kind: str) -> dict[str, Any]:
        reply = await self._in_its_version(question)
        if "error_response" in reply:
            refusal = reply["error_response"]
            code = StatusCode.of(refusal.get("error_code", StatusCode.UNKNOWN))
            raise Refused(code, refusal.get("error_message", ""))
        answer: dict[str, Any] | None = reply.get(kind)
        if answer is None:
            raise PeerError(f"server reflection answered {question} with {_kinds(reply)}")
        return answer

    async def _in_its_version(self, question: Question) -> dict[str, Any]:
        """Ask in the words of v1; if the server does not take that, in those of v1alpha from then on.

        Not only UNIMPLEMENTED says so: what stands in front of a server may know nothing but v1alpha, and deny the
        other path, or have no route to it. Nor does it say so only at first: servers behind one address differ.
        """
        try:
            return await self._answer(question)
        except RpcError as error:
            last = self.version + 1 == len(_VERSIONS)
            unimplemented = error.code is StatusCode.UNIMPLEMENTED
            if last or not (unimplemented or (not self._answered and self._may_be_the_version(error))):
                if unimplemented and not self._answered:
                    raise self._without(error) from error
                raise
            logger.debug(
                "%s: no reflection %s (%s), trying the older",
                self._core.connector.target,
                _VERSIONS[0],
                error,
            )
            await self._close()
            self.version += 1
            try:
                return await self._answer(question)
            except RpcError as older:
                if older.code is not StatusCode.UNIMPLEMENTED:
                    raise
                if unimplemented:
                    raise self._without(older) from older
            raise  # what the newer one said says more

    @staticmethod
    def _may_be_the_version(error: RpcError) -> bool:
        return error.from_peer and error.code not in _FINAL

    def _without(self, error: RpcError) -> RpcError:
        target = self._core.connector.target
        return rpc_error(
            error.code,
            f"{target} has no server reflection; give its .proto files as schema= ({error.message})",
            metadata=error.metadata,
            initial_metadata=error.initial_metadata,
            from_peer=error.from_peer,
            peer=error.peer,
        )

    async def _answer(self, question: Question) -> dict[str, Any]:
        """Ask on the stream that is open; once more on a new one if the server has ended it meanwhile."""
        if self._stream is not None:
            reply = await self._try(self._stream, question)
            if reply is not None:
                return reply
            await self._close()
        self._stream = await self._open().__aenter__()
        reply = await self._try(self._stream, question)
        if reply is None:
            raise PeerError(f"server reflection ended the call without an answer to {question}")
        return reply

    async def _try(self, stream: BidiStreamCall[Any, Any], question: Question) -> dict[str, Any] | None:
        """Return the answer, or None if the server has ended the stream with OK."""
        if not await stream.send(question):
            return None
        for _ in range(_MOST_STRAY):
            reply: dict[str, Any] | None = await stream.receive()
            if reply is None:
                return None
            self._answered = True
            if not self._is_stray(reply, question):
                self._earlier.add(str(question))
                return reply
        raise PeerError(f"server reflection answers other questions than {question}")

    def _is_stray(self, reply: dict[str, Any], question: Question) -> bool:
        """Whether an answer says that it belongs to a question that was asked before."""
        original = reply.get("original_request") or {}
        asked = {name: value for name, value in original.items() if name != "host"}
        return asked != question and str(asked) in self._earlier

    def _open(self) -> BidiStreamCall[Any, Any]:
        left = None if self._deadline is None else self._deadline.remaining()
        method = f"grpc.reflection.{_VERSIONS[self.version]}.ServerReflection/ServerReflectionInfo"
        return _ReflectionCall(self._core, method, left, self._metadata)

    async def _close(self) -> None:
        """End the stream; a half-open one would confuse proxies that buffer."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                await stream.done_sending()
            finally:
                await stream.__aexit__(None, None, None)


def _kinds(reply: dict[str, Any]) -> str:
    return ", ".join(name for name in reply if name.endswith("_response")) or "nothing"


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
