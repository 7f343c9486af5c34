"""Settings of a channel, and what it tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wirelane.core import keepalive
from wirelane.errors import UsageError
from wirelane.net.options import SocketOptions

__all__ = ["ChannelOptions", "ChannelState", "ChannelStats"]


class ChannelState(StrEnum):
    """Where a channel stands (gRPC connectivity semantics). Each is equal to its name as text."""

    IDLE = "IDLE"
    CONNECTING = "CONNECTING"
    READY = "READY"
    TRANSIENT_FAILURE = "TRANSIENT_FAILURE"
    SHUTDOWN = "SHUTDOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """What few channels need to change.

    Attributes:
        user_agent: Put in front of the library's own name in `user-agent`, as in "shop/2.1".
        authority: What `:authority` says, instead of the target's host and port.
        server_name: The name that TLS asks for and checks the certificate against, instead of the target's host.
        wait_for_ready: Whether calls wait for a connection instead of failing with UNAVAILABLE while there is
            none; a call's own `wait_for_ready=` wins.
        idle_timeout: Seconds without a call after which a connection is closed; None: never. It takes up to twice
            as long. 30 minutes is the default of grpc-go and C-core.
        max_connections: How many connections may take calls at once. Another is made when each has as many calls as
            the server allows on one (MAX_CONCURRENT_STREAMS), and closed when it was idle for `idle_timeout`; beyond
            that, calls wait in order. The default of gRFC A105 is 1 too, and its most is 10 unless one asks for more.
        keepalive_time: Seconds of silence after which the server is pinged while a call is open, so that a dead one is
            noticed; None: never. Less than 10 is taken as 10: servers answer closer pings with GOAWAY, and gRPC's allow
            one in five minutes unless they are told otherwise. After that answer the channel pings half as often.
        keepalive_timeout: Seconds that the server has to answer (with anything); then its calls end with UNAVAILABLE.
            On TCP, what it does not acknowledge for as long ends them too (TCP_USER_TIMEOUT, gRFC A18).
        keepalive_without_calls: Whether to ping while no call is open. Few servers permit it.
        socket: Settings of the connections' sockets, as a local address; None: the defaults.
        reflection_metadata: Metadata for `schema="reflection"` alone, as pairs, on top of the channel's own.

    Raises:
        UsageError: A value is out of range; the error names the field.
    """

    user_agent: str | None = None
    authority: str | None = None
    server_name: str | None = None
    wait_for_ready: bool = False
    idle_timeout: float | None = 1800.0
    max_connections: int = 1
    keepalive_time: float | None = None
    keepalive_timeout: float = 20.0  # gRFC A8
    keepalive_without_calls: bool = False
    socket: SocketOptions | None = None
    reflection_metadata: tuple[tuple[str, str | bytes], ...] = ()

    def __post_init__(self) -> None:
        for name in ("user_agent", "authority", "server_name"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, str) and value and value.isascii() and value.isprintable()
            ):
                raise UsageError(f"{name} is printable ASCII text, not {value!r}")
        if self.idle_timeout is not None and not self.idle_timeout > 0:
            raise UsageError(
                f"idle_timeout is a number of seconds above 0, or None; not {self.idle_timeout!r}"
            )
        if (
            isinstance(self.max_connections, bool)
            or not isinstance(self.max_connections, int)
            or self.max_connections < 1
        ):
            raise UsageError(f"max_connections is a whole number from 1 up, not {self.max_connections!r}")
        if self.socket is not None and not isinstance(self.socket, SocketOptions):
            raise UsageError(f"socket is a SocketOptions(...) or None, not {self.socket!r}")
        time = keepalive.keepalive_time(self.keepalive_time, keepalive.LEAST_CLIENT_TIME)
        object.__setattr__(self, "keepalive_time", time)
        keepalive.positive_seconds("keepalive_timeout", self.keepalive_timeout)


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counts of one channel, from its start.

    Attributes:
        started: Calls begun.
        succeeded: Calls that ended with OK.
        failed: Calls that ended in any other way: failed, cancelled, left early.
        active: Calls that have not ended.
        connections: Connections open now, those included that only finish their last calls.
        connects: Connections made.
    """

    started: int
    succeeded: int
    failed: int
    active: int
    connections: int
    connects: int
