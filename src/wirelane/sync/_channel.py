"""What a channel of `wirelane.sync` does in another way than by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from wirelane.grpc.stub import ServiceStub
from wirelane.sync._facade import Made
from wirelane.sync._portal import run

if TYPE_CHECKING:
    from wirelane.grpc.channel import Channel
    from wirelane.grpc.stub import CallMaker

__all__ = ["ChannelFacade"]


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
        try:
            run(self._inner.connect)
        except BaseException:
            run(self._inner.close)
            raise

    def _service(self, name: str) -> ServiceStub:
        # A stub calls what its channel has, whichever kind the channel is.
        stub = self._inner.service(name)
        return ServiceStub(cast("CallMaker", self), stub._service, stub._methods)
