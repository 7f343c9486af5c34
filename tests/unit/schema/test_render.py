"""proto_text writes .proto source that compiles back to what it was made of."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from support.schema_support import ORDERS, PROTO2, SAMPLES, schema, without_positions
from wirelane import protos
from wirelane.errors import SchemaError, UsageError
from wirelane.schema import Descriptors, load


def comments_of(descriptors: Descriptors, name: str) -> dict[tuple[int, ...], tuple[str, ...]]:
    found = {}
    for location in descriptors.file_proto(name).source_code_info.location:
        texts = [location.leading_comments, location.trailing_comments, *location.leading_detached_comments]
        if any(texts):
            found[tuple(location.path)] = tuple(
                "\n".join(line.rstrip() for line in text.split("\n")).strip("\n") for text in texts
            )
    return found


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_file_compiles_back_to_an_equal_descriptor(sample: str) -> None:
    before = schema(SAMPLES[sample])
    text = before.proto_text("sample.proto")
    after = schema(text)
    assert without_positions(after.file_bytes("sample.proto")) == without_positions(
        before.file_bytes("sample.proto")
    )


@pytest.mark.parametrize("sample", ["orders", "proto2"])
def test_comments_are_kept_where_they_stand(sample: str) -> None:
    before = schema(SAMPLES[sample])
    after = schema(before.proto_text("sample.proto"))
    expected = comments_of(before, "sample.proto")
    assert len(expected) >= 5
    assert comments_of(after, "sample.proto") == expected


@pytest.mark.parametrize("name", ["health", "reflection", "rpc", "demo"])
def test_every_file_of_our_own_sets_comes_back(name: protos.SetName) -> None:
    before = Descriptors.from_set(protos.descriptor_set(name))
    after = {
        file: before.proto_text(file) for file in before.files() if not file.startswith("google/protobuf/")
    }
    for file in after:
        again = Descriptors.from_set(load(after).data)
        assert without_positions(again.file_bytes(file)) == without_positions(before.file_bytes(file))


def test_writing_twice_gives_the_same_text() -> None:
    once = schema(PROTO2).proto_text("sample.proto")
    assert schema(once).proto_text("sample.proto") == once


def test_a_symbol_is_written_alone_with_its_comments() -> None:
    descriptors = schema(ORDERS)
    assert (
        descriptors.proto_text("shop.v1.Orders/Place") == "// Takes one.\nrpc Place(Order) returns (Order);\n"
    )
    assert descriptors.proto_text("shop.v1.Order.Line") == (
        "// One position.\nmessage Line {\n  string article = 1; // as in the catalogue\n  double price = 2;\n}\n"
    )
    assert descriptors.proto_text("Status").startswith(
        "enum Status {\n  // Nothing yet.\n  STATUS_UNSPECIFIED = 0;"
    )


def test_types_of_other_packages_keep_their_whole_name() -> None:
    text = schema(ORDERS).proto_text("Order")
    assert "  google.protobuf.Timestamp at = 9;\n" in text
    assert "  repeated Line lines = 2;\n" in text
    rpc = Descriptors.from_set(protos.descriptor_set("rpc")).proto_text("google.rpc.Status")
    assert "  repeated google.protobuf.Any details = 3;\n" in rpc


def test_a_message_that_is_called_like_a_method_is_written_in_full() -> None:
    """Inside its service the compiler would take the name for the method."""
    source = """
    syntax = "proto3"; package a;
    message Get {} message Other {}
    service S { rpc Get(.a.Get) returns (.a.Get); rpc Find(.a.Get) returns (Other); }
    """
    before = schema(source)
    text = before.proto_text("sample.proto")
    assert "  rpc Get(a.Get) returns (a.Get);\n  rpc Find(a.Get) returns (Other);\n" in text
    assert without_positions(schema(text).file_bytes("sample.proto")) == without_positions(
        before.file_bytes("sample.proto")
    )


def test_an_empty_block_of_a_method_stays_one() -> None:
    text = 'syntax = "proto3"; message M {} service S { rpc A(M) returns (M) {} rpc B(M) returns (M); }'
    before = schema(text)
    assert before.proto_text("S/A") == "rpc A(M) returns (M) {}\n"
    after = schema(before.proto_text("sample.proto"))
    assert without_positions(after.file_bytes("sample.proto")) == without_positions(
        before.file_bytes("sample.proto")
    )


def test_a_method_with_options_is_a_block() -> None:
    text = schema(ORDERS).proto_text("Orders.Import")
    assert text == "rpc Import(stream Order) returns (Order) {\n  option deprecated = true;\n}\n"


def test_an_extension_is_written_in_its_block() -> None:
    assert schema(PROTO2).proto_text("legacy.v2.more") == "extend Rules {\n  optional string more = 100;\n}\n"


def test_an_unknown_symbol_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'did you mean "shop\.v1\.Order"'):
        schema(ORDERS).proto_text("shop.v1.Ordr")


def test_descriptors_without_source_information_are_written_too() -> None:
    file = without_positions(schema(PROTO2).file_bytes("sample.proto"))
    stripped = Descriptors.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    assert without_positions(schema(stripped.proto_text("sample.proto")).file_bytes("sample.proto")) == file


def test_edition_2024_keeps_visibility() -> None:
    text = 'edition = "2024";\npackage m;\nexport message A { int32 a = 1; local enum E { Z = 0; } }\nlocal message B {}\n'
    try:
        before = schema(text)
    except SchemaError as error:
        pytest.skip(str(error))  # a protoc that is older than edition 2024
    after = schema(before.proto_text("sample.proto"))
    assert without_positions(after.file_bytes("sample.proto")) == without_positions(
        before.file_bytes("sample.proto")
    )


def test_the_interchange_files_of_protobuf_itself_come_back() -> None:
    name = "google/protobuf/descriptor.proto"
    before = schema(
        f'syntax = "proto3"; import "{name}"; message M {{ google.protobuf.FileDescriptorProto f = 1; }}'
    )
    after = schema(before.proto_text(name), name)
    assert without_positions(after.file_bytes(name)) == without_positions(before.file_bytes(name))
    assert comments_of(after, name) == comments_of(before, name)


scalars = st.sampled_from(["int32", "string", "bytes", "double", "bool", "sint64", "fixed32"])


@st.composite
def fields(draw: st.DrawFn) -> str:
    """A message with any mix of fields that make messages, and messages."""
    kinds = draw(
        st.lists(st.sampled_from(["plain", "map", "group", "message", "oneof", "enum", "extend"]), max_size=9)
    )
    lines = []
    for at, kind in enumerate(kinds):
        scalar = draw(scalars)
        number = at * 10 + 1
        lines.append(
            {
                "plain": f"repeated {scalar} f{at} = {number};",
                "map": f"map<string, {scalar}> f{at} = {number};",
                "group": f"optional group G{at} = {number} {{ optional {scalar} x = 1; }}",
                "message": f"message M{at} {{ optional {scalar} x = 1; }}",
                "oneof": f"oneof o{at} {{ {scalar} a{at} = {number}; group H{at} = {number + 1} {{}} }}",
                "enum": f"enum E{at} {{ V{at} = 0; }}",
                "extend": f"extend Base {{ optional group X{at} = {number + 100} {{}} }}",
            }[kind]
        )
    return "\n".join(lines)


@given(fields())
@settings(max_examples=40, deadline=None)
def test_any_order_of_members_comes_back(body: str) -> None:
    before = schema(
        f'syntax = "proto2"; message Base {{ extensions 100 to 999; }} message Mixed {{ {body} }}\n',
        "mixed.proto",
    )
    after = schema(before.proto_text("mixed.proto"), "mixed.proto")
    assert without_positions(after.file_bytes("mixed.proto")) == without_positions(
        before.file_bytes("mixed.proto")
    )


GOOGLEAPIS = Path(sysconfig.get_path("purelib"))
ROOT = Path(__file__).resolve().parents[3]
TREES = {
    "googleapis": (GOOGLEAPIS / "google", GOOGLEAPIS),
    "protos": (ROOT / "protos", ROOT / "protos"),
    "tests": (ROOT / "tests" / "protos", ROOT / "tests" / "protos"),
    "benchmarks": (ROOT / "benchmarks" / "bench.proto", ROOT / "benchmarks"),
}


@pytest.mark.parametrize("tree", TREES)
def test_whole_trees_of_others_come_back_with_their_comments(tree: str) -> None:
    source, root = TREES[tree]
    before = Descriptors.from_set(load(source, import_paths=[root]).data)
    names = [name for name in before.files() if not name.startswith("google/protobuf/")]
    assert len(names) >= {"googleapis": 60}.get(tree, 1)
    after = Descriptors.from_set(load({name: before.proto_text(name) for name in names}).data)
    for name in names:
        assert without_positions(after.file_bytes(name)) == without_positions(before.file_bytes(name)), name
        assert comments_of(after, name) == comments_of(before, name), name
