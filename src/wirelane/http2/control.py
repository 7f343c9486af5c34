"""The frames that carry no part of a call: SETTINGS, PING, GOAWAY, RST_STREAM, WINDOW_UPDATE and the rest.

Functions on a `connection.Connection`, which alone calls them; apart from it for its size.
"""

from __future__ import annotations

from struct import unpack, unpack_from
from typing import TYPE_CHECKING

from wirelane.http2.flow import PROBE
from wirelane.http2.frames import (
    ACK,
    GOAWAY,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    ProtocolViolation,
    Setting,
    goaway,
    ping,
    settings,
)

if TYPE_CHECKING:
    from wirelane.http2.connection import Connection

__all__ = ["finish_drain", "read_control", "start_drain"]

# What reading a SETTINGS frame costs, in frames that are cheap.
_SETTINGS_COST = 10
# The PING between the two GOAWAYs of a graceful shutdown.
_DRAIN_PING = b"wl-drain"
# However long a frame the peer takes: what other streams have to say waits for it.
_LONGEST_FRAME = 65_536


def read_control(connection: Connection, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
    """Read one frame that is neither DATA, HEADERS nor CONTINUATION."""
    connection.conduct.control_frame()
    if kind == WINDOW_UPDATE:
        _window_update(connection, stream_id, payload)
    elif kind == RST_STREAM:
        _rst_stream(connection, stream_id, payload)
    elif kind == SETTINGS:
        _settings(connection, flags, stream_id, payload)
    elif kind == PING:
        _ping(connection, flags, stream_id, payload)
    elif kind == GOAWAY:
        _goaway(connection, stream_id, payload)
    elif kind == PRIORITY:
        _priority(connection, stream_id, payload)
    elif kind == PUSH_PROMISE:
        # Never allowed here: we send ENABLE_PUSH 0 as a client (section 8.4), and clients never push (8.4).
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE")
    # Frames of unknown types are discarded (section 5.5).


def _window_update(connection: Connection, stream_id: int, payload: bytes) -> None:
    """Section 6.9."""
    if len(payload) != 4:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE needs 4 octets")
    increment = int.from_bytes(payload, "big") & MAX_WINDOW
    if stream_id == 0:
        if not increment:
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        if connection.blocked:
            # Every stream that waits may have to be tried.
            connection.conduct.control_frame(len(connection.streams))
        connection.widen_send_window(increment)
        return
    stream = connection.streams.get(stream_id)
    if stream is None:
        if connection.is_idle(stream_id):
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        return
    stream.send_window += increment
    if not increment:
        connection.reset(stream, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
    elif stream.send_window > MAX_WINDOW:
        connection.reset(stream, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window overflowed")
    else:
        connection.pump_stream(stream)


def _rst_stream(connection: Connection, stream_id: int, payload: bytes) -> None:
    """Section 6.4."""
    if len(payload) != 4:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM needs 4 octets")
    stream = connection.streams.get(stream_id)
    if stream is not None:
        due = stream.reset_is_due()
        connection.close_stream(stream)
        stream.on_reset(int.from_bytes(payload, "big"), by_peer=True)
        if not due:
            connection.conduct.stream_reset()
    elif stream_id == 0 or connection.is_idle(stream_id):
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream")


def _ping(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Section 6.7."""
    if len(payload) != 8:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "PING needs 8 octets")
    if stream_id:
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
    if not flags & ACK:
        if connection.ping_policy is not None and not connection.ping_policy():
            # gRFC A8 names the code and the text.
            raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        _reply(connection, ping(payload, ack=True))
    elif payload == PROBE:
        connection.flow.measured()
    elif payload == _DRAIN_PING:
        finish_drain(connection)


def start_drain(connection: Connection, reason: str) -> None:
    """Begin a graceful shutdown (section 6.8); `reason` is the debug data.

    GOAWAY with the highest identifier; then, when a PING has made the round trip and no request can be under way
    any more, GOAWAY with the last one that was taken.
    """
    if connection.goaway_sent or connection.ended:
        return
    connection.goaway = connection.goaway_sent = True
    connection.drain_reason = reason.encode()
    connection.write(goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR, connection.drain_reason))
    connection.write(ping(_DRAIN_PING))


def finish_drain(connection: Connection) -> None:
    """Name the last stream that was taken, if a drain was started and has not come so far; later ones are ignored."""
    if not connection.goaway_sent or connection.goaway_final or connection.ended:
        return
    connection.goaway_final = True
    connection.accepted_up_to = connection.last_peer_stream
    connection.write(goaway(connection.last_peer_stream, ErrorCode.NO_ERROR, connection.drain_reason))


def _goaway(connection: Connection, stream_id: int, payload: bytes) -> None:
    """Section 6.8. Streams above the last identifier were not acted on; the others go on."""
    if stream_id:
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
    if len(payload) < 8:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY needs 8 octets")
    last, code = unpack_from(">II", payload)
    last &= MAX_STREAM_ID
    reason = payload[8:264].decode("utf-8", "replace")
    connection.goaway = True
    connection.owner.goaway_received(code, reason)
    if connection.client:
        for stream in [stream for stream in connection.streams.values() if stream.id > last]:
            connection.close_stream(stream)
            stream.on_connection_ended(code, reason, unprocessed=True)


def _priority(connection: Connection, stream_id: int, payload: bytes) -> None:
    """Deprecated and ignored but for its form (section 6.3)."""
    if stream_id == 0:
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
    if len(payload) != 5:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY needs 5 octets")
    if int.from_bytes(payload[:4], "big") & MAX_STREAM_ID == stream_id:
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")


def _settings(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Section 6.5."""
    if stream_id:
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
    if flags & ACK:
        if payload:
            raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with octets")
        connection.flow.settings_acknowledged()
        return
    if len(payload) % 6:
        raise ProtocolViolation(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a size that is no multiple of 6")
    if len(payload) > 6 * connection.limits.max_settings:
        raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many SETTINGS parameters")
    # A change of the initial window goes through all streams.
    connection.conduct.control_frame(_SETTINGS_COST + len(connection.streams) * (len(payload) // 6) // 8)
    for start in range(0, len(payload), 6):
        key, value = unpack(">HI", payload[start : start + 6])
        _apply_setting(connection, key, value)
    if not connection.settings_received:
        connection.settings_received = True
        connection._expects = -1
    _reply(connection, settings(None))
    connection.owner.settings_changed()
    connection.pump()


def _apply_setting(connection: Connection, key: int, value: int) -> None:
    """Section 6.5.2; parameters of unknown meaning are ignored."""
    if key == Setting.INITIAL_WINDOW_SIZE:
        if value > MAX_WINDOW:
            raise ProtocolViolation(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
        change = value - connection.peer_initial_window
        connection.peer_initial_window = value
        for stream in connection.streams.values():
            stream.send_window += change
            if stream.send_window > MAX_WINDOW:
                raise ProtocolViolation(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflowed")
    elif key == Setting.MAX_CONCURRENT_STREAMS:
        connection.peer_max_streams = value
    elif key == Setting.MAX_FRAME_SIZE:
        if not 16_384 <= value <= 16_777_215:
            raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
        connection.peer_max_frame_size = min(value, _LONGEST_FRAME)
    elif key == Setting.HEADER_TABLE_SIZE:
        connection.encoder.set_table_size(value)
    elif key == Setting.MAX_HEADER_LIST_SIZE:
        connection.peer_max_header_list = value
    elif key == Setting.ENABLE_PUSH and (value > 1 or (value == 1 and connection.client)):
        raise ProtocolViolation(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH with a value that is not allowed")


def _reply(connection: Connection, data: bytes) -> None:
    """Send an acknowledgement, unless too many wait already."""
    connection.unsent_replies += 1
    if connection.unsent_replies > connection.limits.max_unsent_replies:
        raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "a flood of PING or SETTINGS")
    connection.write(data)
