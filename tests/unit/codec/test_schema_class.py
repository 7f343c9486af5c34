"""Schema: sources, codecs by message name, typed modules, pickling."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType

import pytest

from support.codec_support import ROOT, demo, generate, import_from, sample
from wirelane import protos
from wirelane.codec import Schema, codec_for
from wirelane.errors import CodecError, SchemaError, UsageError
from wirelane.schema import Descriptors


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, ModuleType]:
    """summator_pb2 and everything_pb2, under names that no other test uses, still importable by name."""
    directory = tmp_path_factory.mktemp("pb2")
    generate(directory, ["types.proto", "everything.proto", "summator.proto"], f"--python_out={directory}")
    import_from(directory, "types_pb2")
    return import_from(directory, "summator_pb2"), import_from(directory, "everything_pb2")


def test_a_proto_file_and_its_imports_load() -> None:
    schema = Schema.load(ROOT / "protos" / "demo" / "everything.proto", cache=False)
    assert schema.services() == ["wirelane.demo.Everything"]
    assert schema.decode("wirelane.demo.SleepReply", b"") == {"slept": 0.0}


def test_files_in_any_order_load_from_a_mapping() -> None:
    directory = ROOT / "protos" / "demo"
    schema = Schema.load(
        {
            "everything.proto": directory / "everything.proto",
            "types.proto": (directory / "types.proto").read_text(),
        },
        cache=False,
    )
    assert "wirelane.demo.Item" in schema.symbols()


def test_loading_a_schema_gives_it_back_and_loading_descriptors_gives_the_same_types() -> None:
    assert Schema.load(demo()) is demo()
    plain = Descriptors.from_set(protos.descriptor_set("demo"))
    assert Schema.load(plain).services() == demo().services()


def test_a_schema_says_what_it_is() -> None:
    assert repr(demo()).startswith("<Schema demo ")
    assert "3 services" in repr(demo())


def test_a_codec_takes_dicts_messages_and_none_and_gives_dicts() -> None:
    codec = demo().codec("SumRequest")
    assert codec.name == "SumRequest"
    message = demo().message_class("SumRequest")(value1=5)
    assert codec.encode({"value1": 5}) == codec.encode(message) == message.SerializeToString()
    assert codec.encode(None) == b""
    assert codec.decode(codec.encode(message)) == {"value1": 5.0, "value2": 0.0}
    assert demo().codec("SumRequest") is codec


def test_an_unknown_message_is_refused_and_the_nearest_is_named() -> None:
    for use in (
        demo().codec,
        demo().dict_codec,
        lambda name: demo().encode(name, {}),
        lambda name: demo().decode(name, b""),
    ):
        with pytest.raises(UsageError, match="SumRequest"):
            use("SumReqest")


def test_a_schema_survives_pickling() -> None:
    twin = pickle.loads(pickle.dumps(sample("legacy")))
    value = {"id": 1, "[legacy.mark]": 2}
    assert twin.encode("legacy.Record", value) == sample("legacy").encode("legacy.Record", value)
    assert repr(twin) == repr(sample("legacy"))


def test_a_module_of_messages_decodes_to_its_own_classes(modules: tuple[ModuleType, ModuleType]) -> None:
    summator, _ = modules
    schema = Schema.load(summator)
    assert schema.find_method("Summator/sum").output_type == "SumReply"
    codec = schema.codec("SumReply")
    reply = codec.decode(codec.encode(summator.SumReply(value=8)))
    assert type(reply) is summator.SumReply
    assert codec.encode({"value": 8}) == codec.encode(reply) == codec_for(summator.SumReply).encode(reply)
    assert schema.decode("SumReply", codec.encode(reply)) == {"value": 8.0}


def test_several_modules_and_what_they_import_are_one_schema(modules: tuple[ModuleType, ModuleType]) -> None:
    schema = Schema.load(list(modules))
    assert schema.services() == ["Summator", "wirelane.demo.Everything"]
    item = schema.codec("wirelane.demo.Item").decode(b"\x0a\x01x")
    assert type(item).__module__ == "types_pb2"
    assert item.name == "x"


def test_a_typed_schema_survives_pickling(modules: tuple[ModuleType, ModuleType]) -> None:
    twin = pickle.loads(pickle.dumps(Schema.load(modules[0])))
    assert type(twin.codec("SumReply").decode(b"")) is modules[0].SumReply


def test_a_typed_codec_refuses_what_does_not_fit(modules: tuple[ModuleType, ModuleType]) -> None:
    codec = Schema.load(modules[0]).codec("SumReply")
    for value in ({"vale": 1}, modules[0].SumRequest(), 5):
        with pytest.raises(CodecError):
            codec.encode(value)
    with pytest.raises(CodecError):
        codec.decode(b"\xff")


def test_a_module_of_something_else_is_refused(modules: tuple[ModuleType, ModuleType]) -> None:
    with pytest.raises(UsageError, match="pathlib"):
        Schema.load(__import__("pathlib"))
    with pytest.raises(UsageError, match="either modules"):
        Schema.load([modules[0], "text"])  # type: ignore[arg-type]


def test_a_source_that_is_nothing_of_the_kind_is_refused() -> None:
    with pytest.raises(UsageError):
        Schema.load(5)  # type: ignore[arg-type]
    with pytest.raises(SchemaError):
        Schema.load(Path("nowhere.proto"))
