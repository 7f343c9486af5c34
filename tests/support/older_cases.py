"""Tests of the messages of betterproto 1.2 and 2.0, run by test_older_betterproto in a process that has one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Dict, List, Optional  # noqa: UP035 - what the compilers write

import betterproto
import grpc as grpcio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane import Schema, codec
from wirelane.codec.glue import kept_glue
from wirelane.errors import CodecError
from wirelane.sync import grpc

BETA = hasattr(betterproto.Message, "load")
"""Whether this is 2.0."""

message_class = dataclass(eq=False, repr=False) if BETA else dataclass


class Colour(betterproto.Enum):
    NONE = 0
    RED = 1


@message_class
class Leaf(betterproto.Message):
    text: str = betterproto.string_field(1)
    number: int = betterproto.sint64_field(2)


@message_class
class Tree(betterproto.Message):
    f_double: float = betterproto.double_field(1)
    f_float: float = betterproto.float_field(2)
    f_int32: int = betterproto.int32_field(3)
    f_uint64: int = betterproto.uint64_field(4)
    f_fixed32: int = betterproto.fixed32_field(5)
    f_bool: bool = betterproto.bool_field(6)
    f_string: str = betterproto.string_field(7)
    f_bytes: bytes = betterproto.bytes_field(8)
    f_colour: Colour = betterproto.enum_field(9)
    f_leaf: Leaf = betterproto.message_field(10)
    r_int32: List[int] = betterproto.int32_field(11)  # noqa: UP006
    r_double: List[float] = betterproto.double_field(12)  # noqa: UP006
    r_string: List[str] = betterproto.string_field(13)  # noqa: UP006
    r_leaf: List[Leaf] = betterproto.message_field(14)  # noqa: UP006
    r_colour: List[Colour] = betterproto.enum_field(15)  # noqa: UP006
    m_string: Dict[str, int] = betterproto.map_field(16, betterproto.TYPE_STRING, betterproto.TYPE_INT32)  # noqa: UP006
    m_int32: Dict[int, Leaf] = betterproto.map_field(17, betterproto.TYPE_INT32, betterproto.TYPE_MESSAGE)  # noqa: UP006
    c_int32: int = betterproto.int32_field(18, group="choice")
    c_string: str = betterproto.string_field(19, group="choice")
    c_leaf: Leaf = betterproto.message_field(20, group="choice")
    moment: datetime = betterproto.message_field(21)
    span: timedelta = betterproto.message_field(22)
    w_string: Optional[str] = betterproto.message_field(23, wraps=betterproto.TYPE_STRING)  # noqa: UP045
    w_float: Optional[float] = betterproto.message_field(24, wraps=betterproto.TYPE_FLOAT)  # noqa: UP045
    moments: List[datetime] = betterproto.message_field(25)  # noqa: UP006
    from_: str = betterproto.string_field(26)


@message_class
class Older(betterproto.Message):
    text: str = betterproto.string_field(1)


@message_class
class Newer(betterproto.Message):
    text: str = betterproto.string_field(1)
    leaves: List[Leaf] = betterproto.message_field(5)  # noqa: UP006


if BETA:

    @message_class
    class Optionals(betterproto.Message):
        number: Optional[int] = betterproto.int32_field(1, optional=True)  # noqa: UP045
        text: Optional[str] = betterproto.string_field(2, optional=True)  # noqa: UP045
        colour: Optional[Colour] = betterproto.enum_field(3, optional=True)  # noqa: UP045
        leaf: Optional[Leaf] = betterproto.message_field(4, optional=True)  # noqa: UP045
        child: Optional[Optionals] = betterproto.message_field(5, optional=True)  # noqa: UP045


# 1.2 drops empty elements of lists and an empty string that was chosen; both drop a map's empty message.
least = 0 if BETA else 1
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=5)
int32 = st.integers(-(2**31), 2**31 - 1)
leaves: st.SearchStrategy[Any] = st.builds(Leaf, text=texts, number=st.integers(-(2**63), 2**63 - 1)).filter(
    lambda leaf: BETA or bytes(leaf)
)
# 1.2 reckons with floats.
moments = (
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
    if BETA
    else st.integers(1, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "f_double": st.floats(allow_nan=False),
    "f_float": st.floats(width=32, allow_nan=False),
    "f_int32": int32,
    "f_uint64": st.integers(0, 2**64 - 1),
    "f_fixed32": st.integers(0, 2**32 - 1),
    "f_bool": st.booleans(),
    "f_string": texts,
    "f_bytes": st.binary(max_size=5),
    "f_colour": st.sampled_from([Colour.NONE, Colour.RED]),
    "f_leaf": leaves,
    "r_int32": st.lists(int32, max_size=3),
    "r_double": st.lists(st.floats(allow_nan=False), max_size=3),
    "r_string": st.lists(texts, max_size=3),
    "r_leaf": st.lists(leaves, max_size=3),
    "r_colour": st.lists(st.sampled_from([Colour.NONE, Colour.RED]), max_size=3),
    "m_string": st.dictionaries(texts, int32, max_size=3),
    "m_int32": st.dictionaries(int32, leaves.filter(bytes), max_size=3),
    "moment": moments,
    "span": st.timedeltas(timedelta(0), timedelta(days=9999)),
    "w_string": st.none() | texts,
    # The library loses the sign of a zero in a wrapper; we do not.
    "w_float": st.none() | st.floats(width=32, allow_nan=False).map(lambda value: value + 0.0),
    "moments": st.lists(moments, max_size=2),
    "from_": texts,
}
choices = st.just({}) | st.one_of(
    *(
        values.map(lambda value, name=name: {name: value})
        for name, values in {"c_int32": int32, "c_string": texts, "c_leaf": leaves}.items()
    )
)


@st.composite
def trees(draw: Any) -> Any:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=10))
    return Tree(**{name: draw(VALUES[name]) for name in names}, **draw(choices))


def same(left: Any, right: Any) -> None:
    assert left == right
    assert repr(left) == repr(right)
    assert facts(left) == facts(right)


def facts(message: Any) -> Any:
    """What a message keeps beside its values, at every depth."""
    if isinstance(message, list):
        return [facts(each) for each in message]
    if isinstance(message, dict):
        return [(key, facts(each)) for key, each in message.items()]
    if not isinstance(message, betterproto.Message):
        return type(message)
    state = object.__getattribute__(message, "__dict__")
    groups = ["choice"] if isinstance(message, Tree) else []
    return (
        state["_serialized_on_wire"],
        state["_unknown_fields"],
        [betterproto.which_one_of(message, group) for group in groups],
        list(state),
        [facts(state[field.name]) for field in dataclasses.fields(message)],
    )


@given(trees())
def test_messages_are_written_and_read_as_by_the_library(message: Any) -> None:
    octets = bytes(message)
    same(codec.decode(Tree, octets), Tree().parse(octets))
    same(Tree().parse(codec.encode(message)), Tree().parse(octets))
    assert len(codec.encode(message)) >= len(octets)
    assert kept_glue(Tree) is not None


@given(trees())
def test_what_was_read_can_be_changed_and_written(message: Any) -> None:
    again = codec.decode(Tree, bytes(message))
    again.c_leaf = Leaf(text="new")
    again.f_leaf.text = "changed"
    again.r_string.append("more")
    assert betterproto.which_one_of(again, "choice") == ("c_leaf", Leaf(text="new"))
    read = Tree().parse(codec.encode(again))
    assert (read.f_leaf.text, read.r_string[-1], read.c_leaf.text) == ("changed", "more", "new")


def test_an_untouched_message_is_empty() -> None:
    message = Tree()
    assert message.f_leaf == Leaf()  # which makes one
    assert codec.encode(message) == bytes(message) == b""
    message.f_leaf = Leaf(text="")
    assert codec.encode(message) == bytes(message)


def test_defaults_are_sent_where_they_were_chosen() -> None:
    message = Tree(c_int32=0)
    assert codec.encode(message) == bytes(message) == b"\x90\x01\x00"
    assert betterproto.which_one_of(codec.decode(Tree, b"\x90\x01\x00"), "choice") == ("c_int32", 0)
    message.c_string = ""
    assert codec.encode(message) == b"\x9a\x01\x00"


def test_unknown_fields_are_kept() -> None:
    octets = bytes(Newer(text="x", leaves=[Leaf(text="y"), Leaf(number=5)]))
    older = codec.decode(Older, octets)
    assert older._unknown_fields == Older().parse(octets)._unknown_fields
    assert codec.encode(older) == bytes(older) == octets


def test_wrong_values_are_refused_with_their_path() -> None:
    for message, path in (
        (Tree(r_leaf=[Leaf(), Leaf(number="x")]), "r_leaf[1].number"),
        (Tree(f_leaf=5), "f_leaf"),
        (Tree(f_int32=2**40), "f_int32"),
        (Tree(m_int32={5: Leaf(text=5)}), "m_int32[5].text"),
        (Tree(w_string=5), "w_string"),
        (Tree(moment=5), "moment"),
    ):
        with pytest.raises(CodecError) as caught:
            codec.encode(message)
        assert caught.value.path == path


def test_what_is_cut_off_is_refused() -> None:
    with pytest.raises(CodecError):
        codec.decode(Tree, b"\x3a\x05ab")


def test_classes_with_ways_of_their_own_keep_them() -> None:
    @message_class
    class Own(betterproto.Message):
        text: str = betterproto.string_field(1)

        def __bytes__(self) -> bytes:
            return b"\x0a\x03own"

    assert codec.encode(Own()) == b"\x0a\x03own"
    assert kept_glue(Own) is None
    assert codec.decode(Own, b"\x0a\x01x").text == "x"
    with pytest.raises(CodecError):
        codec.decode(Own, b"\x0a\x05x")


@pytest.mark.skipif(not BETA, reason="1.2 has neither optional fields nor recursive types")
def test_optional_and_recursive_fields() -> None:
    for values in (
        {},
        {"number": 0, "text": "", "colour": Colour.NONE, "leaf": Leaf()},
        {"child": Optionals(number=5, child=Optionals())},
        {"colour": Colour.try_value(77)},
    ):
        message = Optionals(**values)
        octets = bytes(message)
        assert codec.encode(message) == octets
        same(codec.decode(Optionals, octets), Optionals().parse(octets))


WIRE = """
syntax = "proto3";
package older;
message Leaf { string text = 1; sint64 number = 2; }
message Newer { string text = 1; repeated Leaf leaves = 5; }
"""
MESSAGE = Newer(text="käse", leaves=[Leaf(text="a", number=-(2**62)), Leaf(number=1)])
ANSWER = Newer(text="KÄSE", leaves=MESSAGE.leaves)
ONE = grpc.Method("older.Shout/One", grpc.Cardinality.UNARY, Newer, Newer)
MANY = grpc.Method("older.Shout/Many", grpc.Cardinality.BIDI_STREAM, Newer, Newer)


def _shout(message: Any) -> Any:
    message.text = message.text.upper()
    return message


def _shout_all(messages: Iterator[Any]) -> Iterator[Any]:
    return map(_shout, messages)


def test_they_travel_to_a_server_of_grpcio_and_back() -> None:
    google: Any = Schema.load(WIRE).dict_codec("older.Newer").kind
    coders = {"request_deserializer": google.FromString, "response_serializer": google.SerializeToString}
    handlers = {
        "One": grpcio.unary_unary_rpc_method_handler(lambda request, _: _shout(request), **coders),
        "Many": grpcio.stream_stream_rpc_method_handler(lambda requests, _: _shout_all(requests), **coders),
    }
    server = grpcio.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler("older.Shout", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.connect(f"127.0.0.1:{port}") as channel:
            assert channel.unary(ONE, MESSAGE, timeout=30) == ANSWER
            with channel.bidi_stream(MANY, [MESSAGE] * 3, timeout=30) as stream:
                assert list(stream) == [ANSWER] * 3
    finally:
        server.stop(None).wait()


def test_a_client_of_grpcio_sends_them_to_ours_and_reads_the_answer() -> None:
    google: Any = Schema.load(WIRE).dict_codec("older.Newer").kind
    server = grpc.Server()
    server.method(ONE)(lambda request: dataclasses.replace(request, text=request.text.upper()))

    @server.method(MANY)
    def many(requests: Iterator[Any]) -> Iterator[Any]:
        for request in requests:
            yield dataclasses.replace(request, text=request.text.upper())

    coders = {"request_serializer": google.SerializeToString, "response_deserializer": google.FromString}
    sent, answer = google.FromString(bytes(MESSAGE)), google.FromString(bytes(ANSWER))
    with (
        server.listen("127.0.0.1:0") as listening,
        grpcio.insecure_channel(f"127.0.0.1:{listening.port}") as channel,
    ):
        assert channel.unary_unary(ONE.path, **coders)(sent, timeout=30) == answer
        replies = channel.stream_stream(MANY.path, **coders)(iter([sent] * 3), timeout=30)
        assert list(replies) == [answer] * 3
