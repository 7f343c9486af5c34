"""What servers answer reflection with, and how clients put answers together."""

from __future__ import annotations

import itertools

import pytest
from google.protobuf import descriptor_pb2

from support.schema_support import ORDERS, PROTO2, file_names, message, schema
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, PeerError, SchemaError
from wirelane.schema import Descriptors, load
from wirelane.schema.catalogue import Catalogue
from wirelane.schema.reflection import DescriptorCollector

FILES = {
    "a.proto": message("A", "b.proto", "c.proto"),
    "b.proto": message("B", "d.proto"),
    "c.proto": message("C", "d.proto"),
    "d.proto": message("D", "google/protobuf/any.proto"),
}


@pytest.fixture(scope="module")
def diamond() -> Descriptors:
    return Descriptors.from_set(load(FILES).data)


def test_a_file_comes_first_and_all_that_it_imports_once(diamond: Descriptors) -> None:
    catalogue = Catalogue([diamond])
    everything = ["a.proto", "b.proto", "c.proto", "d.proto", "google/protobuf/any.proto"]
    assert catalogue.with_imports("a.proto") == everything
    assert catalogue.with_imports("c.proto", known=["d.proto"]) == ["c.proto"]
    assert catalogue.file_bytes("c.proto") == diamond.file_bytes("c.proto")


def test_methods_and_fields_are_symbols() -> None:
    catalogue = Catalogue([schema(ORDERS)])
    for symbol in ("shop.v1.Orders.Place", "shop.v1.Order.id", "shop.v1.Order.STATUS_PAID", "shop.v1.Order"):
        assert catalogue.file_containing_symbol(symbol) == "sample.proto"


def test_extensions_are_found_by_number_and_listed() -> None:
    catalogue = Catalogue([schema(PROTO2), schema(ORDERS)])
    assert catalogue.file_containing_extension("legacy.v2.Wide", 1001) is not None
    assert catalogue.extension_numbers("legacy.v2.Wide") == [1000, 1001]
    assert catalogue.extension_numbers("shop.v1.Order") == []


def test_what_is_not_there_is_none(diamond: Descriptors) -> None:
    catalogue = Catalogue([diamond])
    assert catalogue.file_bytes("x.proto") is None
    assert catalogue.file_containing_symbol("X") is None
    assert catalogue.file_containing_extension("A", 1) is None
    assert catalogue.extension_numbers("X") is None


def test_schemas_that_have_the_same_files_are_one_and_the_one_with_comments_counts(
    diamond: Descriptors,
) -> None:
    texts = {**FILES, "a.proto": "// What it is.\n" + FILES["a.proto"]}
    talking = Descriptors.from_set(load(texts).data)
    bare = descriptor_pb2.FileDescriptorSet.FromString(talking.to_set())
    for file in bare.file:
        file.ClearField("source_code_info")
        for message_type in file.message_type:
            for field in message_type.field:
                field.ClearField("json_name")
    catalogue = Catalogue([Descriptors.from_set(bare), talking])
    assert catalogue.conflicts == ()
    assert set(catalogue.files()) >= set(FILES)
    assert not any(name.endswith(".2.proto") for name in catalogue.files())
    data = catalogue.file_bytes("a.proto")
    assert data is not None
    assert b"What it is." in data
    assert catalogue.with_imports("a.proto") == Catalogue([diamond]).with_imports("a.proto")


def test_a_service_that_somebody_owns_is_theirs_whoever_comes_first() -> None:
    old = schema(
        'syntax = "proto3"; package p; message M { string a = 1; } service S { rpc R(M) returns (M); }',
        "s.proto",
    )
    new = schema(
        'syntax = "proto3"; package p; message M { string b = 2; } service S { rpc R(M) returns (M); }',
        "s.proto",
    )
    assert Catalogue([old, new]).file_containing_symbol("p.S") == "s.proto"
    owned = Catalogue([old, new], {"p.S": new})
    assert owned.file_containing_symbol("p.S") == "s.2.proto"
    assert owned.file_containing_symbol("p.S.R") == "s.2.proto"
    assert owned.conflicts == ("p.M, p.S declared by 's.proto' and otherwise by 's.2.proto'",)
    assert repr(owned).startswith("<Catalogue ")


def test_a_collector_asks_until_nothing_is_missing(diamond: Descriptors) -> None:
    collector = DescriptorCollector(origin="server x")
    collector.add(diamond.file_bytes("a.proto"))
    asked = []
    while missing := collector.missing():
        asked.append(missing)
        collector.add(diamond.file_bytes(missing[0]))
    assert asked == [["b.proto", "c.proto"], ["c.proto", "d.proto"], ["d.proto"]]
    assert collector.missing(well_known=True) == ["google/protobuf/any.proto"]
    linked = Descriptors.from_set(collector.build(), origin="server x")
    assert set(linked.files()) == {*FILES, "google/protobuf/any.proto"}


@pytest.mark.parametrize("order", list(itertools.permutations(FILES))[::5])
def test_the_order_of_answers_does_not_matter(diamond: Descriptors, order: tuple[str, ...]) -> None:
    collector = DescriptorCollector()
    for name in (*order, *order):  # servers repeat themselves
        collector.add(diamond.file_bytes(name))
    assert len(collector) == 4
    assert collector.missing() == []
    assert file_names(collector.build())[-1] == "a.proto"


def test_symbols_are_known_as_they_come() -> None:
    collector = DescriptorCollector()
    assert collector.file_of("shop.v1.Orders") is None
    collector.add(schema(ORDERS).file_bytes("sample.proto"))
    for symbol in ("shop.v1.Orders", "shop.v1.Order.Line", "shop.v1.Order.Status"):
        assert collector.file_of(symbol) == "sample.proto"


def test_a_file_under_another_name_is_found_by_both(diamond: Descriptors) -> None:
    misnamed = descriptor_pb2.FileDescriptorProto.FromString(diamond.file_bytes("b.proto"))
    misnamed.name = "internal/b.proto"
    collector = DescriptorCollector()
    for name in ("a.proto", "c.proto", "d.proto"):
        collector.add(diamond.file_bytes(name))
    assert collector.missing() == ["b.proto"]
    assert collector.add(misnamed.SerializeToString(), requested="b.proto") == "internal/b.proto"
    assert collector.missing() == []
    linked = Descriptors.from_set(collector.build())
    assert linked.file_containing_symbol("B") == "internal/b.proto"


def test_building_too_early_names_what_is_missing(diamond: Descriptors) -> None:
    collector = DescriptorCollector(origin="server x")
    with pytest.raises(SchemaError, match="server x gave no files"):
        collector.build()
    collector.add(diamond.file_bytes("a.proto"))
    with pytest.raises(SchemaError, match=r'server x lacks "b\.proto", imported by "a\.proto"'):
        collector.build()


@pytest.mark.parametrize("data", [b"\xff\xff", b""])
def test_garbage_is_the_peers_fault(data: bytes) -> None:
    with pytest.raises(PeerError):
        DescriptorCollector().add(data)


def test_a_server_cannot_make_us_hold_more_than_the_limits(diamond: Descriptors) -> None:
    few = DescriptorCollector(limits=Limits(max_schema_files=1))
    few.add(diamond.file_bytes("a.proto"))
    few.add(diamond.file_bytes("a.proto"))
    with pytest.raises(LimitExceeded):
        few.add(diamond.file_bytes("b.proto"))
    small = DescriptorCollector(limits=Limits(max_schema_bytes=len(diamond.file_bytes("a.proto"))))
    small.add(diamond.file_bytes("a.proto"))
    with pytest.raises(LimitExceeded):
        small.add(diamond.file_bytes("b.proto"))


def test_repr_tells_how_far_it_is(diamond: Descriptors) -> None:
    collector = DescriptorCollector(origin="server x")
    collector.add(diamond.file_bytes("a.proto"))
    assert repr(collector) == "<DescriptorCollector server x 1 files, 2 missing>"
    assert "a.proto" in collector
    assert collector.names == ("a.proto",)
