"""Typed messages of every library, bytes, and what users register."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.codec_support import demo, generate, import_from
from wirelane import codec
from wirelane.codec import MessageCodec
from wirelane.errors import CodecError, UsageError


@pytest.fixture(scope="module")
def betterproto_module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Messages of summator.proto as betterproto2 generates them."""
    pytest.importorskip("betterproto2")
    directory = tmp_path_factory.mktemp("bp2")
    generate(directory, ["summator.proto"], f"--python_betterproto2_out={directory}")
    return import_from(directory.parent, directory.name)


def test_google_messages_go_in_and_come_out_as_themselves() -> None:
    moment = Timestamp(seconds=5, nanos=7)
    data = codec.encode(moment)
    assert data == moment.SerializeToString()
    assert codec.decode(Timestamp, data) == moment
    assert codec.codec_for(Timestamp).name == "google.protobuf.Timestamp"


def test_classes_of_a_runtime_schema_are_google_messages_too() -> None:
    kind: Any = demo().message_class("wirelane.demo.Item")
    assert codec.decode(kind, codec.encode(kind(name="x"))).name == "x"


def test_a_message_of_the_same_type_from_another_pool_is_accepted() -> None:
    other = demo().message_class("google.protobuf.Timestamp")(seconds=5)
    assert codec.codec_for(Timestamp).encode(other) == Timestamp(seconds=5).SerializeToString()


def test_betterproto2_messages_go_in_and_come_out_as_themselves(betterproto_module: ModuleType) -> None:
    kind: Any = betterproto_module.SumRequest
    message = kind(value1=5.0, value2=3.0)
    data = codec.encode(message)
    assert demo().decode("SumRequest", data) == {"value1": 5.0, "value2": 3.0}
    assert codec.decode(kind, data) == message


def test_betterproto2_faults_are_codec_errors(betterproto_module: ModuleType) -> None:
    kind: Any = betterproto_module.SumRequest
    for data in (b"\xff", b"\x0d\x00"):
        with pytest.raises(CodecError, match="SumRequest"):
            codec.decode(kind, data)
    with pytest.raises(CodecError, match="expected a number, not 'five'") as caught:
        codec.encode(kind(value1="five"))
    assert caught.value.path == "value1"


def test_bytes_are_themselves() -> None:
    raw = codec.codec_for(bytes)
    assert raw.encode(b"ab") == raw.encode(bytearray(b"ab")) == raw.encode(memoryview(b"ab")) == b"ab"
    assert type(raw.decode(b"ab")) is bytes
    assert codec.decode(bytes, codec.encode(b"ab")) == b"ab"


@pytest.mark.parametrize("kind", [bytes, Timestamp])
def test_none_is_an_empty_message(kind: type) -> None:
    assert codec.codec_for(kind).encode(None) == b""


def test_protobuf_py_messages_go_in_and_come_out_as_themselves() -> None:
    from protobuf import wkt

    moment = wkt.Timestamp(seconds=5, nanos=7)
    data = codec.encode(moment)
    assert data == Timestamp(seconds=5, nanos=7).SerializeToString()
    again = codec.decode(wkt.Timestamp, data)
    assert type(again) is wkt.Timestamp
    assert again == moment
    found = codec.codec_for(wkt.Timestamp)
    assert found.name == "google.protobuf.Timestamp"
    assert found.encode(None) == b""
    assert found.reader(data) == moment


def test_protobuf_py_faults_are_codec_errors() -> None:
    import protobuf
    from protobuf import wkt

    found = codec.codec_for(wkt.StringValue)
    for data in (b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff"):
        with pytest.raises(CodecError, match=r"no valid google\.protobuf\.StringValue"):
            found.decode(data)
        with pytest.raises(found.faults):
            found.reader(data)
    for value in ("text", wkt.Timestamp()):
        with pytest.raises(CodecError, match="expected"):
            found.encode(value)
    with pytest.raises(CodecError, match="does not encode"):
        codec.encode(wkt.Timestamp(seconds="x"))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        codec.codec_for(protobuf.Message)


def test_none_is_an_empty_betterproto2_message(betterproto_module: ModuleType) -> None:
    assert codec.codec_for(betterproto_module.SumRequest).encode(None) == b""


def test_a_value_of_another_type_is_refused(betterproto_module: ModuleType) -> None:
    for kind in (bytes, Timestamp, betterproto_module.SumRequest):
        for value in ("text", 5, {"value1": 5}):
            with pytest.raises(CodecError, match="expected"):
                codec.codec_for(kind).encode(value)
    with pytest.raises(CodecError, match="expected"):
        codec.codec_for(betterproto_module.SumRequest).encode(betterproto_module.SumReply())


def test_bytes_that_are_no_google_message_are_refused() -> None:
    with pytest.raises(CodecError, match=r"google\.protobuf\.Timestamp"):
        codec.decode(Timestamp, b"\xff")


@pytest.mark.parametrize("kind", [dict, str, object, Path])
def test_an_unknown_type_is_told_what_is_accepted(kind: type) -> None:
    with pytest.raises(UsageError, match=r"betterproto2\.Message"):
        codec.codec_for(kind)


def test_what_is_no_type_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="class"):
        codec.codec_for("google.protobuf.Timestamp")  # type: ignore[arg-type]


def test_users_teach_further_kinds_and_take_them_back() -> None:
    class Text(NamedTuple):
        content: str

    def finder(message_type: type) -> MessageCodec | None:
        if message_type is not Text:
            return None
        return MessageCodec("Text", lambda value: value.content.encode(), lambda data: Text(data.decode()))

    unregister = codec.register(finder)
    try:
        assert codec.decode(Text, codec.encode(Text("hello"))) == Text("hello")
        assert codec.encode(Timestamp(seconds=1)) == b"\x08\x01"
    finally:
        unregister()
    unregister()
    with pytest.raises(UsageError):
        codec.codec_for(Text)


def test_a_registered_codec_may_replace_a_known_one() -> None:
    before = codec.codec_for(Timestamp)
    unregister = codec.register(
        lambda kind: MessageCodec("mine", lambda value: b"mine", before.decode) if kind is Timestamp else None
    )
    try:
        assert codec.encode(Timestamp()) == b"mine"
    finally:
        unregister()
    assert codec.encode(Timestamp()) == b""


def test_importing_the_codecs_imports_no_betterproto() -> None:
    program = (
        "import sys, wirelane.codec; "
        "print([n for n in sys.modules if n.split('.')[0] in ('betterproto', 'betterproto2', 'protobuf', 'pydantic')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
