"""betterproto2's messages: what the glue does is what the library does, to the last octet and the last bit."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.better_support import compile_better, differences, make_class, messages, shapes
from wirelane import codec
from wirelane.codec.glue import kept_glue
from wirelane.errors import CodecError


@given(st.data())
def test_messages_of_random_types_are_written_and_read_as_betterproto2_does(data: Any) -> None:
    kind = make_class(data.draw(shapes))
    message = data.draw(messages(kind))
    octets = bytes(message)
    assert codec.encode(message) == octets
    assert kept_glue(kind) is not None
    assert differences(codec.decode(kind, octets), kind.parse(octets)) == []


@given(st.data())
def test_fields_that_a_class_does_not_know_are_kept_as_betterproto2_does(data: Any) -> None:
    shape = data.draw(shapes)
    numbers = data.draw(
        st.lists(st.integers(1, 18_999), min_size=len(shape), max_size=len(shape), unique=True).map(sorted)
    )
    newer = make_class(shape, numbers)
    known = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True).map(sorted))
    older = make_class([shape[index] for index in known], [numbers[index] for index in known])
    octets = bytes(data.draw(messages(newer)))
    message = codec.decode(older, octets)
    assert differences(message, older.parse(octets)) == []
    assert codec.encode(message) == bytes(message)
    # And nothing is lost on the way.
    again = codec.decode(newer, codec.encode(message))
    assert differences(again, newer.parse(bytes(older.parse(octets)))) == []


FLAVOURS = {"standard": (), "pydantic": ("pydantic_dataclasses",)}


@pytest.fixture(scope="module", params=FLAVOURS)
def typed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What betterproto2's compiler makes of typed.proto."""
    name = f"better_{request.param}"
    return compile_better(tmp_path_factory.mktemp(name), name, *FLAVOURS[request.param])


@given(data=st.data())
@pytest.mark.parametrize("name", ["Everything", "Names", "Newer", "Going"])
def test_generated_messages_are_written_and_read_as_betterproto2_does(
    typed: ModuleType, name: str, data: Any
) -> None:
    kind = getattr(typed, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        message = data.draw(messages(kind))
        octets = bytes(message)
        assert codec.encode(message) == octets
        assert kept_glue(kind) is not None
        assert differences(codec.decode(kind, octets), kind.parse(octets)) == []


@pytest.fixture(scope="module")
def conformance(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What betterproto2's compiler makes of the messages that protobuf checks its implementations with."""
    return compile_better(
        tmp_path_factory.mktemp("better"),
        "better_conformance",
        files=("test_messages_proto3.proto",),
        package="protobuf_test_messages.proto3",
    )


@given(data=st.data())
def test_protobuf_s_own_test_messages_are_written_and_read_as_betterproto2_does(
    conformance: ModuleType, data: Any
) -> None:
    kind = conformance.TestAllTypesProto3
    message = data.draw(messages(kind))
    octets, ours = bytes(message), codec.encode(message)
    # It declares fields out of order: the same octets, sorted by numbers.
    assert len(ours) == len(octets)
    assert differences(kind.parse(ours), kind.parse(octets)) == []
    assert differences(codec.decode(kind, octets), kind.parse(octets)) == []


@given(data=st.data())
def test_nested_fields_that_a_generated_class_does_not_know_are_kept(typed: ModuleType, data: Any) -> None:
    octets = bytes(data.draw(messages(typed.Newer)))
    older = codec.decode(typed.Older, octets)
    assert differences(older, typed.Older.parse(octets)) == []
    assert codec.encode(older) == bytes(older)


@given(st.data(), st.binary(max_size=30))
def test_whatever_comes_in_is_a_message_or_a_codec_error(data: Any, octets: bytes) -> None:
    kind = make_class(data.draw(shapes))
    try:
        message = codec.decode(kind, octets)
    except CodecError:
        return
    assert differences(codec.decode(kind, codec.encode(message)), message) == []


WRONG = [0, 5, 2**70, -1, 1.5, "x", "", b"x", b"", True, [], [0], ["x"], {}, {"a": 1}, object(), 1e300]


@given(st.data())
def test_a_value_of_a_wrong_type_is_written_as_betterproto2_does_or_refused(data: Any) -> None:
    kind = make_class(data.draw(shapes))
    message = data.draw(messages(kind))
    name = data.draw(st.sampled_from([each for each in vars(message) if each != "_unknown_fields"]))
    setattr(message, name, data.draw(st.sampled_from(WRONG)))
    try:
        theirs = bytes(message)
    except Exception:
        with pytest.raises(CodecError) as caught:
            codec.encode(message)
        assert caught.value.path.startswith(name) or "both set" in str(caught.value)
        return
    try:
        ours = codec.encode(message)
    except CodecError as error:
        # What betterproto2 sends all the same: numbers that do not fit the field, zeros for a message.
        assert error.path.startswith(name) or "both set" in str(error)
    else:
        assert differences(codec.decode(kind, ours), kind.parse(theirs)) == []
