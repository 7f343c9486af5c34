"""Messages for betterproto2, held against those of its own compiler."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import importlib
import json
import os
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto2
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from support.codegen_support import PROTOS, files_of, imported, texts_of
from wirelane import SchemaError
from wirelane.schema import load

BIN = Path(sys.executable).parent
PLAIN = """
syntax = "proto3";
package plain.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
// What it is about.
message Order {
  // Which.
  string id = 1;
  optional int32 count = 2;
  repeated Line lines = 3;
  map<string, Line> by_name = 4;
  map<int64, google.protobuf.Timestamp> times = 5;
  oneof payment { string card = 6; Cash cash = 7; google.protobuf.StringValue note = 8; Kind paid_kind = 18; }
  Kind kind = 9;
  repeated Kind kinds = 10;
  map<bool, Kind> kind_by = 11;
  google.protobuf.Int64Value big = 12;
  repeated google.protobuf.Duration waits = 13;
  google.protobuf.Any any = 14;
  google.protobuf.Struct struct = 15;
  bytes userID = 16;
  Order parent = 17;
  enum Kind { KIND_UNSPECIFIED = 0; KIND_FAST = 1; }
  message Line { sint64 price = 1 [deprecated = true]; fixed32 f = 2; double d = 3; }
}
message Cash { option deprecated = true; float amount = 1; }
enum Plain { ZERO = 0; ONE_MORE = 5; }
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """What betterproto2's compiler makes of the same file."""
    directory = tmp_path_factory.mktemp("theirs")
    (directory / "plain.proto").write_text(PLAIN)
    (directory / "bp2_theirs").mkdir()
    subprocess.run(
        [
            *(BIN / "protoc", "-I.", "--python_betterproto2_out=bp2_theirs"),
            *("--python_betterproto2_opt=client_generation=none", "plain.proto"),
        ],
        cwd=directory,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(directory))
        yield importlib.import_module("bp2_theirs")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with imported(tmp_path_factory.mktemp("ours"), "bp2_ours", files_of(PLAIN)) as root:
        yield root


def submodule(root: ModuleType, name: str) -> ModuleType:
    return importlib.import_module(f"{root.__name__}.{name}")


def classes(module: ModuleType) -> dict[str, type]:
    return {name: getattr(module, name) for name in module.__all__}


def shown(hint: object) -> str:
    """A type without the package that it is in."""
    return str(hint).replace("bp2_theirs.", "").replace("bp2_ours.", "").replace("typing.", "")


def described(kind: type) -> Any:
    """All that betterproto2 knows of a class."""
    if issubclass(kind, enum.Enum):
        renamed: Any = kind
        return {name: (member.value, member.proto_name) for name, member in renamed.__members__.items()}
    hints = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]))
    found = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        meta: betterproto2.FieldMetadata = field.metadata["betterproto"]
        unwrapped = meta.unwrap and meta.unwrap().__name__
        parts = meta.map_meta and [
            (part.proto_type, part.unwrap and part.unwrap().__name__) for part in meta.map_meta
        ]
        found[field.name] = (
            *(meta.number, meta.proto_type, meta.group, meta.optional, meta.repeated, unwrapped, parts),
            shown(hints[field.name]),
            field.default_factory(),  # type: ignore[misc]
        )
    return found


@pytest.mark.parametrize("package", ["plain.v1", "google.protobuf"])
def test_classes_have_the_names_fields_and_types_that_the_compiler_gives_them(
    ours: ModuleType, theirs: ModuleType, package: str
) -> None:
    mine, other = classes(submodule(ours, package)), classes(submodule(theirs, package))
    assert list(mine) == sorted(other)
    for name, kind in mine.items():
        their_fields, my_fields = described(other[name]), described(kind)
        if package == "plain.v1":
            assert list(my_fields) == list(their_fields)
        assert my_fields == their_fields, name


def sample(root: ModuleType) -> Any:
    plain, google = submodule(root, "plain.v1"), submodule(root, "google.protobuf")
    line = plain.OrderLine(f=7, d=-0.5)
    at = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=datetime.UTC)
    return plain.Order(
        id="é",
        count=0,
        lines=[line, plain.OrderLine()],
        by_name={"a": line},
        times={-5: at},
        note="",
        kind=plain.OrderKind.FAST,
        kinds=[plain.OrderKind(0), plain.OrderKind(9)],
        kind_by={True: plain.OrderKind.FAST},
        big=2**62,
        waits=[datetime.timedelta(seconds=3, microseconds=5), datetime.timedelta()],
        any=google.Any.pack(line),
        struct=google.Struct.from_dict({"a": [1, None, {"b": True}], "c": "d"}),
        user_id=b"\x00\xff",
        parent=plain.Order(paid_kind=plain.OrderKind(0)),
    )


def test_messages_encode_and_decode_as_those_of_the_compiler(ours: ModuleType, theirs: ModuleType) -> None:
    mine, other = sample(ours), sample(theirs)
    assert bytes(mine) == bytes(other)
    assert type(mine).parse(bytes(other)) == mine
    assert type(mine).parse(bytes(mine)).any.unpack() == mine.lines[0]


def test_json_is_what_google_makes_of_the_same_octets(ours: ModuleType) -> None:
    """The compiler's own is not: it writes wrapped int64 as numbers."""
    message = sample(ours)
    message.kinds = message.kinds[:1]
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(load(PLAIN).data).file:
        pool.Add(file)  # type: ignore[no-untyped-call]
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("plain.v1.Order"))
    google = kind.FromString(bytes(message))
    expected = json_format.MessageToDict(google, descriptor_pool=pool)
    written = json.loads(message.to_json())
    # Names in JSON come from those in Python.
    expected["userId"] = expected.pop("userID")
    assert written == expected
    read = type(message).from_dict(expected)
    read.kind_by = {True: read.kind_by.pop("true")}  # keys of maps stay text in betterproto2
    for name in message._betterproto.meta_by_field_name:
        assert getattr(read, name) == getattr(message, name), name


@pytest.mark.parametrize("seconds", [0, 1, -1, -0.5, 1.25, -3.000001, 86400 * 365, 0.000001])
def test_durations_keep_their_sign_and_their_microseconds(ours: ModuleType, seconds: float) -> None:
    kind = submodule(ours, "google.protobuf").Duration
    delta = datetime.timedelta(seconds=seconds)
    message = kind.from_timedelta(delta)
    assert message.to_timedelta() == delta
    from google.protobuf.duration_pb2 import Duration

    reference = Duration()
    reference.FromTimedelta(delta)
    assert (message.seconds, message.nanos) == (reference.seconds, reference.nanos)
    assert message.to_dict() == reference.ToJsonString()
    assert kind.from_dict(reference.ToJsonString()) == message
    assert kind.delta_to_json(delta) == reference.ToJsonString()


@pytest.mark.parametrize(
    "text", ["1969-12-31T23:59:59.5Z", "2024-02-29T00:00:00Z", "2001-01-01T00:00:00.000001Z"]
)
def test_timestamps_are_those_of_google(ours: ModuleType, text: str) -> None:
    from google.protobuf.timestamp_pb2 import Timestamp

    reference = Timestamp()
    reference.FromJsonString(text)
    message = submodule(ours, "google.protobuf").Timestamp.from_dict(text)
    assert bytes(message) == reference.SerializeToString()
    assert message.to_dict() == reference.ToJsonString()
    with pytest.raises(ValueError, match="timezone"):
        type(message).from_datetime(datetime.datetime(2024, 1, 1))  # noqa: DTZ001


def test_what_is_deprecated_warns(ours: ModuleType) -> None:
    plain = submodule(ours, "plain.v1")
    with pytest.warns(DeprecationWarning, match="Cash is deprecated"):
        plain.Cash()
    with pytest.warns(DeprecationWarning, match=r"OrderLine\.price is deprecated"):
        plain.OrderLine(price=1)


# ---------------------------------------------------------------------------------- what the compiler cannot


def test_presence_of_proto2_and_editions_is_kept(tmp_path: Path) -> None:
    proto2 = 'syntax = "proto2"; message Old { optional int32 a = 1; required string b = 2; repeated int32 c = 3; }'
    edition = (
        'edition = "2023"; message New { int32 a = 1; int32 b = 2 [features.field_presence = IMPLICIT]; }'
    )
    with (
        imported(tmp_path, "bp2_old", files_of(proto2)) as old,
        imported(tmp_path, "bp2_new", files_of(edition)) as new,
    ):
        assert (old.Old().a, old.Old().b, bytes(old.Old(a=0))) == (None, None, b"\x08\x00")
        assert old.Old.parse(b"\x08\x00").a == 0
        assert (new.New().a, new.New().b) == (None, 0)
        assert bytes(new.New(a=0, b=0)) == b"\x08\x00"


@pytest.mark.parametrize("name", ["legacy.proto", "edition.proto"])
def test_a_message_that_betterproto2_cannot_read_is_told_by_its_field(name: str) -> None:
    with pytest.raises(
        SchemaError, match=r"(legacy\.Record\.line|edition\.Sample\.delimited) is a group.*messages=protobuf"
    ):
        texts_of(PROTOS["demo"].parents[1] / "tests" / "protos" / name)


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with imported(tmp_path_factory.mktemp("awkward"), "bp2_awkward", files_of(PROTOS["awkward"])) as root:
        yield root


def test_fields_with_names_of_python_travel_under_their_own(awkward: ModuleType) -> None:
    module = submodule(awkward, "awkward.v1")
    message = module.Keywords(
        class_=1, from_="f", none=[2], self=True, bytes=b"b", int=3, dict={"k": 4}, list=["l"], float=0.5, str="s",
        bool=True, to_dict_="t", parse_="p", is_set_="i", betterproto2="b", datetime="d", _leading=5, mangled=6,
        camel_case=7, http_server_2_go=8, field="x", class_23="c", warnings="w", second_list=[9], second_int=0,
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(load(PROTOS["awkward"]).data).file:
        pool.Add(file)  # type: ignore[no-untyped-call]
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("awkward.v1.Keywords"))
    theirs = kind.FromString(bytes(message))
    values = {field.name: value for field, value in theirs.ListFields()}
    assert (values["class"], values["__class__"], values["to_dict"], values["None"]) == (1, "c", "t", [2])
    assert len(values) == 25
    assert module.Keywords.parse(theirs.SerializeToString()) == message
    assert message.to_dict()["toDict"] == "t"


def test_messages_that_would_share_a_name_are_told_apart(awkward: ModuleType) -> None:
    module = submodule(awkward, "awkward.v1")
    pool = submodule(awkward, "message_pool").default_message_pool
    names = {
        kind.__name__: url.rpartition("/")[2]
        for url, kind in pool.url_to_type.items()
        if kind.__module__ == module.__name__
    }
    assert names["NestedInner"] == "awkward.v1.NestedInner"
    assert names["Nested_Inner"] == "awkward.v1.Nested.Inner"
    assert names["nested_inner"] == "awkward.v1.nested_inner"
    assert module.DoubleStub(x=1).x == 1
    assert module.DoubleStub_.__doc__


def test_packages_that_python_cannot_name_and_those_of_its_library_are_imported(awkward: ModuleType) -> None:
    module = submodule(awkward, "awkward.v1")
    keyword_module, json_module = submodule(awkward, "awkward.import_.class_"), submodule(awkward, "json")
    message = module.WellKnown(
        shared=module.Shared(1),
        other_shared=keyword_module.Shared("two", keyword_module.Shared("again")),
        json_shared=json_module.Shared(3.0, awkward.Loose(), kind=awkward.LooseKind(0)),
    )
    assert module.WellKnown.parse(bytes(message)) == message


def test_enums_keep_aliases_and_unknown_numbers(awkward: ModuleType) -> None:
    module = submodule(awkward, "awkward.v1")
    assert module.Aliased.UNO is module.Aliased.ONE
    assert module.Aliased.from_string("UNO") is module.Aliased.ONE
    kind = module.NestedKind
    assert (kind.None_, kind._2D, kind.KIND_mro, kind.NEGATIVE) == (1, 2, 3, -1)
    nested = module.Nested.parse(bytes(module.Nested(kind=kind(77))))
    assert nested.kind == 77
    assert module.Nested(kind=kind.None_).to_dict() == {"kind": "KIND_None"}


def test_packages_that_need_each_other_are_imported_whichever_comes_first(tmp_path: Path) -> None:
    sources = {
        "a.proto": 'syntax = "proto3"; package a; import "b.proto"; message A { b.B b = 1; } service S { rpc M(b.B) returns (A); }',
        "b.proto": 'syntax = "proto3"; package b; import "root.proto"; message B { Root root = 1; }',
        "root.proto": 'syntax = "proto3"; message Root { int32 n = 1; }',
        "a2.proto": 'syntax = "proto3"; package a; message Other { int32 n = 1; }',
        "b2.proto": 'syntax = "proto3"; package b; import "a2.proto"; message Back { a.Other o = 1; } service T { rpc M(Back) returns (a.Other); }',
    }
    from support.codegen_support import write_package
    from wirelane.codegen import Settings, generate, request_of_sources

    directory = tmp_path / "protos"
    directory.mkdir()
    for name, text in sources.items():
        (directory / name).write_text(text)
    write_package(tmp_path, "bp2_cycle", generate(request_of_sources([directory]), Settings()))
    for first in ("a", "b", "a.sync", "b.sync"):
        code = f"import bp2_cycle.{first}; from bp2_cycle import a, b; print(a.A(b.B()), b.Back(a.Other(1)), a.SStub, b.TBase)"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("A(b=B()) Back(o=Other(n=1)) ")
