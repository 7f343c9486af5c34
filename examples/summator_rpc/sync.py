# Written by wirelane generate; do not edit.
# Source: summator.proto

from __future__ import annotations

import typing
from collections import abc

from wirelane.sync import grpc

from . import SumReply
from . import SumRequest
from ._schema import schema as _SCHEMA

__all__ = ["SummatorBase", "SummatorStub"]


_SUMMATOR_SUM = grpc.Method(
    "/Summator/sum",
    grpc.Cardinality.UNARY,
    SumRequest,
    SumReply,
    schema=_SCHEMA,
)


class SummatorStub:
    """Calls, without await, the methods of Summator."""

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
    ) -> SumReply:
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

    def sum(self, request: SumRequest, context: grpc.Context) -> SumReply:
        """Answers value1 + value2."""
        _SUMMATOR_SUM.unimplemented()

    def __methods__(
        self,
    ) -> abc.Mapping[grpc.Method[typing.Any, typing.Any], abc.Callable[..., object]]:
        """What the server calls."""
        return {_SUMMATOR_SUM: self.sum}
