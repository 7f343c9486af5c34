"""Every number that bounds what a peer, a file or a slow disk can cost us, with its precedent beside it.

All sizes are bytes, all times seconds. A limit is checked before memory is taken for what it limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Final

from wirelane.errors import UsageError

__all__ = ["POOL_BACKOFF", "TRACE_BYTES", "TRACE_DATA", "TRACE_ENTRIES", "Limits"]

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_GIB: Final = 1024 * _MIB

# What a `Trace` keeps unless it is told otherwise: entries, bytes of them together, bytes of one.
TRACE_ENTRIES: Final = 1000  # ours: grpc-go's channelz keeps 30 events, and those are rarer
TRACE_BYTES: Final = _MIB  # ours
TRACE_DATA: Final = 4 * _KIB  # ours: a page

# Seconds between two attempts of a pool to connect, at most. HikariCP's: those who wait for a pool have seconds, not gRPC's two
# minutes, and there is one attempt at a time.
POOL_BACKOFF: Final = 5.0

# Fields whose range is narrower than "more than nothing": (least, most).
_RANGES: Final[dict[str, tuple[int, int | None]]] = {
    "max_receive_message": (0, 2**32 - 1),  # four bytes of length
    "max_send_message": (0, 2**32 - 1),
    "initial_window": (1, 2**31 - 1),  # RFC 9113, section 6.9.2
    "max_window": (0, 2**30),  # a window may be 2**31 - 1 at most, and one may have all of it beyond its own
    "connection_window": (65_535, 2**31 - 1),  # it starts at 65,535 and can only be raised
    "max_frame_size": (16_384, 2**24 - 1),  # RFC 9113, section 4.2
    "max_header_list": (1, 2**32 - 1),
    "max_concurrent_streams": (1, 2**31 - 1),
    "control_burst": (100, None),  # what a client's first frames need
}
_OPTIONAL: Final = {"max_send_message", "connect_timeout", "max_connections_per_peer", "idle_timeout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on memory, numbers and time. Immutable; `dataclasses.replace` makes a changed one.

    Attributes:
        max_receive_message: The longest message to accept, compressed or not.
        max_send_message: The longest message to send; None: no limit.
        max_header_list: The longest header list to accept, counted as SETTINGS_MAX_HEADER_LIST_SIZE does.
        max_header_fields: The most fields in one header list.
        max_concurrent_streams: The most calls a server takes at once on one connection.
        initial_window: What a peer may send on one stream before it must wait for us.
        max_window: By how much the windows of a connection's streams may grow beyond that, all together, and how large
            one may become, where readers keep up and the network carries so much.
        connection_window: What a peer may send on all streams of a connection together; grows with them.
        max_frame_size: The longest HTTP/2 frame to accept, where windows have grown to four times as much; else 16 KiB.
        max_continuations: The most CONTINUATION frames in one header block.
        max_settings: The most parameters in one SETTINGS frame.
        max_unsent_replies: Answers to PING and SETTINGS that may wait for a peer that does not read them.
        max_streams_per_turn: Calls taken from one connection before everything else has its turn in the loop.
        max_frames_per_turn: The same for frames.
        reset_burst: Streams of a client that may come to nothing at once: reset by it, or by us for its fault.
        reset_rate: How many more may per second, besides half of all that it opens.
        control_burst: Frames that carry no part of a call that a peer may send at once.
        control_rate: How many more it may per second, besides those for its streams and for the DATA it is sent.
        log_burst: Lines of the log about the same thing in five seconds; the others are counted.
        max_send_buffer: Bytes waiting for the socket of a connection, above which senders wait.
        connect_timeout: For a connection, its TLS handshake and its proxy; None: no limit.
        handshake_timeout: For a client of a server to get TLS and the HTTP/2 preface done.
        flush_timeout: For a client to take some of an answer that is finished.
        close_timeout: For a connection to close in order, before it is cut.
        max_connections: The most connections a server holds open at once.
        max_connections_per_peer: The most of one peer, an IPv4 address or an IPv6 network of 64 bits; None: no limit.
        idle_timeout: How long a connection of a `tcp.Server` may go without a byte in either direction; None: for ever.
        read_buffer: What a TCP read may gather when it names no size.
        max_schema_bytes: The most .proto text or descriptors in one schema.
        max_schema_files: The most files in one schema.
        schema_timeout: For the compiler.
        schema_memory: Address space of the compiler.
        max_url_bytes: The longest answer when a schema is fetched from a URL.
        drain_grace: How long a draining server lets calls run.

    Raises:
        UsageError: A value is out of range; the error names the field.
    """

    max_receive_message: int = 4 * _MIB  # gRPC in C, Go and Java, and tonic
    max_send_message: int | None = None  # the same four: unlimited
    max_header_list: int = 16 * _KIB  # C-core's hard limit; gRPC suggests 8 KiB
    max_header_fields: int = 128  # Envoy allows 100; bounds the many-tiny-fields attack (CVE-2026-49975)
    max_concurrent_streams: int = 100  # the least that RFC 9113, section 6.5.2, recommends
    initial_window: int = 64 * _KIB  # gRPC in Go and C, .NET; what Envoy advises at the edge
    max_window: int = 16 * _MIB  # the limit of grpc-go and .NET
    connection_window: int = 4 * _MIB  # grpclib
    max_frame_size: int = 64 * _KIB  # ours: Go's x/net takes 1 MiB from the beginning, C-core up to 16 MiB
    max_continuations: int = 8  # nghttp2
    max_settings: int = 32  # nghttp2
    max_unsent_replies: int = 1000  # nghttp2's max_outbound_ack
    max_streams_per_turn: int = 32  # C-core, in a read cycle; Envoy has max_requests_per_io_cycle
    max_frames_per_turn: int = 4096  # ours: a few milliseconds; a read of 256 KiB may hold 29,000
    reset_burst: int = 1000  # nghttp2's stream_reset_rate_limit; Rust's h2 allows 1024 of its own resets
    reset_rate: int = 33  # nghttp2
    control_burst: int = 10_000  # nghttp2's glitch_rate_limit
    control_rate: int = 330  # nghttp2
    log_burst: int = 10  # Linux's printk_ratelimit: 10 in 5 s
    max_send_buffer: int = _MIB  # hyper's client
    connect_timeout: float | None = 10.0  # between Envoy's 5 s and the 20 s of gRPC's connection backoff
    handshake_timeout: float = 10.0  # Go's x/net waits 10 s for the preface
    flush_timeout: float = 300.0  # Envoy's stream_idle_timeout, for answers that wait for a window as well
    close_timeout: float = 5.0  # grpc-go waits as long for the answer to the PING of a drain
    max_connections: int = 1024  # the usual number of files a process may open
    max_connections_per_peer: int | None = None  # no limit, as nginx's limit_conn and xinetd's per_source
    idle_timeout: float | None = None  # as asyncio; nginx's proxy_timeout is 600 s, Envoy's for TCP 3600 s
    read_buffer: int = 64 * _KIB  # asyncio.StreamReader
    max_schema_bytes: int = 16 * _MIB  # ours: 200,000 values of an enum are 2.9 MB
    max_schema_files: int = 2000  # ours
    schema_timeout: float = 20.0  # ours: they take 0.8 s
    schema_memory: int = _GIB  # ours
    max_url_bytes: int = 16 * _MIB  # max_schema_bytes
    drain_grace: float = 30.0  # Kubernetes' terminationGracePeriodSeconds

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name in _OPTIONAL:
                continue
            if "float" in str(field.type):
                _check_seconds(field.name, value)
            else:
                _check_count(field.name, value)

    @classmethod
    def of(cls, limits: Limits | None) -> Limits:
        """Return what a user gave as `limits=`, or the defaults for None.

        Raises:
            UsageError: It is something else.
        """
        if limits is None:
            return _default()
        if not isinstance(limits, cls):
            raise UsageError(f"limits must be a Limits(...), not {limits!r}")
        return limits


@cache
def _default() -> Limits:
    """One for all connections that have no other."""
    return Limits()


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise UsageError(f"{name} is a number of seconds above 0, not {value!r}")


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is a whole number, not {value!r}")
    least, most = _RANGES.get(name, (1, None))
    if value < least or (most is not None and value > most):
        span = f"from {least} up" if most is None else f"from {least} to {most}"
        raise UsageError(f"{name} is a number {span}, not {value}")
