"""What a channel of `wirelane.sync` does in another way than by rule."""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from wirelane.grpc.stub import ServiceStub
from wirelane.sync._facade import Facade, Made
from wirelane.sync._job import UnaryJob
from wirelane.sync._portal import current, refuse_inside, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.channel import Channel
    from wirelane.grpc.methods import Method
    from wirelane.grpc.stub import CallMaker
    from wirelane.schema import MethodInfo
    from wirelane.sync._unary_call import UnaryCall

__all__ = ["ChannelFacade"]

Req = TypeVar("Req")
Res = TypeVar("Res")
F = TypeVar("F", bound=Facade)


class ChannelFacade(Made):
    """The base of `Channel`."""

    __slots__ = ()
    _inner: Channel

    def _remake(self) -> Any:
        # What was changed and loaded since it was made is not lost by the fork.
        made = super()._remake()
        made.metadata = self._inner.metadata
        made._core.schema = made._core.schema or self._inner._core.schema
        return made

    def _connect(self) -> None:
        run(self._inner.connect)

    @overload
    def unary_call(
        self,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Res]: ...
    @overload
    def unary_call(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Any]: ...
    def unary_call(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Any]:
        """Begin a call that takes one request and gives one reply, and return it as an object, without waiting.

        For its metadata, to cancel it from another thread, or to have many under way in one thread; else `unary` is
        simpler. The arguments are those of `unary`; what is wrong with the request is told by `reply`.

            call = channel.unary_call(method, request)
            print(call.initial_metadata(), call.reply(), call.trailing_metadata)

        Raises:
            UsageError: An argument cannot be.
        """
        from wirelane.sync._unary_call import UnaryCall  # generated: what does that imports this module

        call = self._made(
            UnaryCall[Any],
            self._inner.unary,
            method,
            request,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )
        call._send()
        return call

    def _made(self, shell: type[F], function: Callable[..., Any], *arguments: Any, **options: Any) -> F:
        """Make a call of the async library here, not in the loop: its time runs from now on."""
        if (running := _get_running_loop()) is not None:
            refuse_inside(running, function)
        return shell._over(function(*arguments, **options))

    def _unary(
        self,
        method: Any,
        request: object,
        timeout: float | None,
        metadata: MetadataLike | None,
        compression: str | None,
        wait_for_ready: bool | None,
    ) -> Any:
        portal, inner = current(), self._inner
        portal.prepare(inner.unary)
        return portal.wait(
            UnaryJob(inner._core, method, request, timeout, metadata, compression, wait_for_ready)
        )

    def _service(self, name: str) -> ServiceStub:
        # A stub calls what its channel has, whichever kind the channel is.
        stub = self._inner.service(name)
        return ServiceStub(cast("CallMaker", self), stub._service, stub._methods)
