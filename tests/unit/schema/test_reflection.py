"""What servers answer reflection with, and how clients put answers together."""

from __future__ import annotations

import itertools

import pytest
from google.protobuf import descriptor_pb2

from support.schema_support import ORDERS, PROTO2, file_names, message, schema
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, PeerError, SchemaError, UsageError
from wirelane.schema import Descriptors, load
from wirelane.schema.reflection import (
    DescriptorCollector,
    extension_numbers,
    file_with_dependencies,
    files_by_extension,
    files_by_symbol,
)

FILES = {
    "a.proto": message("A", "b.proto", "c.proto"),
    "b.proto": message("B", "d.proto"),
    "c.proto": message("C", "d.proto"),
    "d.proto": message("D", "google/protobuf/any.proto"),
}


@pytest.fixture(scope="module")
def diamond() -> Descriptors:
    return Descriptors.from_set(load(FILES).data)


def names(files: list[bytes]) -> list[str]:
    return [descriptor_pb2.FileDescriptorProto.FromString(data).name for data in files]


def test_a_file_comes_first_and_all_that_it_imports_once(diamond: Descriptors) -> None:
    everything = ["a.proto", "b.proto", "c.proto", "d.proto", "google/protobuf/any.proto"]
    assert names(file_with_dependencies(diamond, "a.proto")) == everything
    assert names(files_by_symbol(diamond, "C")) == ["c.proto", "d.proto", "google/protobuf/any.proto"]


def test_methods_and_fields_are_symbols() -> None:
    orders = schema(ORDERS)
    for symbol in ("shop.v1.Orders.Place", "shop.v1.Order.id", "shop.v1.Order.STATUS_PAID"):
        assert names(files_by_symbol(orders, symbol))[0] == "sample.proto"


def test_extensions_are_found_by_number_and_listed() -> None:
    legacy = schema(PROTO2)
    assert names(files_by_extension(legacy, "legacy.v2.Wide", 1001))[0] == "sample.proto"
    assert extension_numbers(legacy, "legacy.v2.Wide") == [1000, 1001]


def test_what_is_not_there_is_misuse(diamond: Descriptors) -> None:
    for ask in (
        lambda: file_with_dependencies(diamond, "x.proto"),
        lambda: files_by_symbol(diamond, "X"),
        lambda: files_by_extension(diamond, "A", 1),
        lambda: extension_numbers(diamond, "X"),
    ):
        with pytest.raises(UsageError):
            ask()


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
