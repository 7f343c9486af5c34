# Written by wirelane generate; do not edit.
# Source: summator.proto

from __future__ import annotations

import dataclasses
import typing
from collections import abc

import betterproto2
from wirelane import grpc

from ._schema import schema as _SCHEMA
from .message_pool import default_message_pool

__all__ = ["SumReply", "SumRequest", "SummatorBase", "SummatorStub"]


@dataclasses.dataclass(eq=False, repr=False)
class SumRequest(betterproto2.Message):
    value1: float = betterproto2.field(1, betterproto2.TYPE_FLOAT)
    value2: float = betterproto2.field(2, betterproto2.TYPE_FLOAT)


default_message_pool.register_message("", "SumRequest", SumRequest)


@dataclasses.dataclass(eq=False, repr=False)
class SumReply(betterproto2.Message):
    value: float = betterproto2.field(1, betterproto2.TYPE_FLOAT)


default_message_pool.register_message("", "SumReply", SumReply)


_SUMMATOR_SUM = grpc.Method(
    "/Summator/sum",
    grpc.Cardinality.UNARY,
    SumRequest,
    SumReply,
    schema=_SCHEMA,
)


class SummatorStub:
    """Calls the methods of Summator."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def sum(
        self,
        request: SumRequest,
        *,
        timeout: float | None = None,
        metadata: grpc.MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> grpc.UnaryCall[SumReply]:
        """Answers value1 + value2."""
        return self._channel.unary(
            _SUMMATOR_SUM,
            request,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )


class SummatorBase:
    """The service Summator.

    A service for `grpc.Server`: inherit, and override the methods that it has.
    """

    async def sum(self, request: SumRequest, context: grpc.Context) -> SumReply:
        """Answers value1 + value2."""
        _SUMMATOR_SUM.unimplemented()

    def __methods__(
        self,
    ) -> abc.Mapping[grpc.Method[typing.Any, typing.Any], abc.Callable[..., object]]:
        """What the server calls."""
        return {_SUMMATOR_SUM: self.sum}
