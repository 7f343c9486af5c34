"""A schema written as files, for other compilers."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from wirelane import Schema
from wirelane.errors import SchemaError, UsageError
from wirelane.schema.export import files_for, pack_files, write_protos

FILES = {
    "shop/order.proto": """
        syntax = "proto3"; package shop; import "shop/money.proto"; import "google/protobuf/timestamp.proto";
        // What somebody wants.
        message Order { Money price = 1; google.protobuf.Timestamp at = 2; }
    """,
    "shop/money.proto": 'syntax = "proto3"; package shop; message Money { int64 cents = 1; }',
    "other.proto": 'syntax = "proto3"; message Other {}',
}


def test_a_symbol_needs_its_file_and_what_that_imports() -> None:
    schema = Schema.load(FILES, cache=False)
    names = files_for(schema, ["shop.Order"])
    assert sorted(names) == ["google/protobuf/timestamp.proto", "shop/money.proto", "shop/order.proto"]
    assert names[-1] == "shop/order.proto"
    assert files_for(schema, ["Other"]) == ["other.proto"]
    with pytest.raises(UsageError, match="Ordr"):
        files_for(schema, ["shop.Ordr"])


def test_what_is_written_compiles_to_the_same(tmp_path: Path) -> None:
    schema = Schema.load(FILES, cache=False)
    names = write_protos(schema, files_for(schema, ["shop.Order"]), tmp_path / "out")
    assert sorted(names) == ["shop/money.proto", "shop/order.proto"]
    assert sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.proto")
    ) == [
        "shop/money.proto",
        "shop/order.proto",
    ]
    again = Schema.load(tmp_path / "out", cache=False)
    assert again.describe("shop.Order").to_dict() == schema.describe("shop.Order").to_dict()


def test_a_descriptor_set_has_imports_before_what_needs_them() -> None:
    schema = Schema.load(FILES, cache=False)
    packed = pack_files(schema, files_for(schema, ["shop.Order"]))
    names = [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(packed).file]
    assert names[-1] == "shop/order.proto"
    assert Schema.from_set(packed).describe("shop.Order").comment == "What somebody wants."


@pytest.mark.parametrize(
    "name", ["../evil.proto", "/evil.proto", "a/../../evil.proto", "c:evil.proto", "a\\evil.proto"]
)
def test_a_name_that_leads_out_of_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    file = descriptor_pb2.FileDescriptorProto(name=name, syntax="proto3")
    file.message_type.add(name="Evil")
    good = descriptor_pb2.FileDescriptorProto(name="good.proto", syntax="proto3")
    schema = Schema.from_set(descriptor_pb2.FileDescriptorSet(file=[good, file]))
    with pytest.raises(SchemaError, match="leads out of the directory"):
        write_protos(schema, schema.files(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
