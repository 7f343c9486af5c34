"""Descriptors: linking, looking up, and what is said when it does not work."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from support.schema_support import ORDERS, PROTO2, message, schema
from wirelane import protos
from wirelane.core.limits import Limits
from wirelane.core.method import Cardinality
from wirelane.errors import LimitExceeded, SchemaError, UsageError
from wirelane.schema import Descriptors, MethodInfo, load

FileProto = descriptor_pb2.FileDescriptorProto


def file_set(*files: FileProto) -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet(file=files)


def file(name: str, *dependency: str, messages: tuple[str, ...] = (), package: str = "") -> FileProto:
    return FileProto(
        name=name,
        dependency=dependency,
        package=package,
        syntax="proto3",
        message_type=[descriptor_pb2.DescriptorProto(name=each) for each in messages],
    )


@pytest.fixture(scope="module")
def orders() -> Descriptors:
    return schema(ORDERS)


class TestLinking:
    def test_files_come_in_any_order(self) -> None:
        linked = Descriptors.from_set(file_set(file("c", "b"), file("a"), file("b", "a")))
        assert linked.files() == ["a", "b", "c"]

    def test_a_missing_file_is_named_with_who_needs_it(self) -> None:
        with pytest.raises(SchemaError) as caught:
            Descriptors.from_set(
                file_set(file("a.proto", "b.proto"), file("c.proto", "d.proto")), origin="x.protoset"
            )
        assert 'x.protoset lacks "b.proto", imported by "a.proto"' in str(caught.value)
        assert 'lacks "d.proto", imported by "c.proto"' in caught.value.problems[0][3]

    def test_well_known_files_need_not_be_in_the_set(self) -> None:
        needs = file("a.proto", "google/protobuf/api.proto", "google/rpc/error_details.proto")
        linked = Descriptors.from_set(file_set(needs))
        assert set(linked.files()) >= {"google/protobuf/type.proto", "google/protobuf/any.proto"}
        assert linked.message_descriptor("google.rpc.RetryInfo").name == "RetryInfo"

    def test_what_an_any_may_hold_is_there_without_an_import(self) -> None:
        linked = Descriptors.from_set(file_set(file("a.proto")))
        assert linked.files() == ["a.proto"]
        assert linked.message_class("google.protobuf.Duration")(seconds=3).ByteSize() == 2
        assert linked.file_containing_symbol("google.protobuf.Duration") == "google/protobuf/duration.proto"
        assert linked.file_bytes("google/protobuf/duration.proto")

    def test_somebody_elses_well_known_types_have_the_say(self) -> None:
        copy = FileProto.FromString(
            Descriptors(file_set(file("a"))).file_bytes("google/protobuf/duration.proto")
        )
        copy.name = "vendored/duration.proto"
        linked = Descriptors.from_set(file_set(copy, file("a.proto", "vendored/duration.proto")))
        assert linked.file_containing_symbol("google.protobuf.Duration") == "vendored/duration.proto"

    def test_two_versions_of_one_file_live_side_by_side(self) -> None:
        one = schema('syntax = "proto3"; message M { int32 old = 1; }', "m.proto")
        two = schema('syntax = "proto3"; message M { string new = 1; }', "m.proto")
        assert one.message_class("M")(old=1).SerializeToString() == b"\x08\x01"
        assert two.message_class("M")(new="x").SerializeToString() == b"\x0a\x01x"
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindFileByName("m.proto")

    def test_the_same_file_twice_is_one_and_two_different_ones_are_refused(self) -> None:
        assert Descriptors.from_set(file_set(file("a"), file("a"))).files() == ["a"]
        with pytest.raises(SchemaError, match='two different files named "a"'):
            Descriptors.from_set(file_set(file("a"), file("a", messages=("M",))))

    def test_contradictions_are_told_with_the_file(self) -> None:
        with pytest.raises(SchemaError, match=r"^b\.proto: does not link: .*\bM\b"):
            Descriptors.from_set(file_set(file("a.proto", messages=("M",)), file("b.proto", messages=("M",))))

    def test_a_cycle_is_shown(self) -> None:
        with pytest.raises(SchemaError, match="import cycle: a -> b -> a"):
            Descriptors.from_set(file_set(file("a", "b"), file("b", "a")))

    def test_a_chain_of_two_thousand_files_links(self) -> None:
        chain = [file(f"f{n}", f"f{n + 1}") for n in range(1999)]
        assert len(Descriptors.from_set(file_set(*chain, file("f1999"))).files()) == 2000

    @pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff", b"\x0a\x00"])
    def test_garbage_is_refused(self, data: bytes) -> None:
        with pytest.raises(SchemaError):
            Descriptors.from_set(data, origin="garbage")

    def test_limits_hold(self) -> None:
        data = file_set(file("a"), file("b")).SerializeToString()
        with pytest.raises(LimitExceeded, match="max_schema_bytes"):
            Descriptors.from_set(data, limits=Limits(max_schema_bytes=len(data) - 1))
        with pytest.raises(LimitExceeded, match="max_schema_files"):
            Descriptors.from_set(data, limits=Limits(max_schema_files=1))

    def test_a_subclass_makes_itself(self) -> None:
        class Mine(Descriptors):
            pass

        assert type(Mine.from_set(file_set(file("a")))) is Mine

    def test_to_set_gives_an_equal_schema(self, orders: Descriptors) -> None:
        again = Descriptors.from_set(orders.to_set())
        assert again.files() == orders.files()
        assert again.file_bytes("sample.proto") == orders.file_bytes("sample.proto")

    def test_the_runtime_accepts_our_own_sets(self) -> None:
        for name in ("health", "reflection", "rpc", "demo"):
            assert Descriptors.from_set(protos.descriptor_set(name)).symbols()  # type: ignore[arg-type]


class TestMethods:
    @pytest.mark.parametrize(
        "name",
        [
            "shop.v1.Orders/Place",
            "/shop.v1.Orders/Place",
            "shop.v1.Orders.Place",
            "Orders/Place",
            "v1.Orders/Place",
        ],
    )
    def test_all_forms_of_a_name_find_it(self, orders: Descriptors, name: str) -> None:
        assert orders.find_method(name) == MethodInfo(
            full_name="shop.v1.Orders/Place",
            path="/shop.v1.Orders/Place",
            service="shop.v1.Orders",
            name="Place",
            cardinality=Cardinality.UNARY,
            input_type="shop.v1.Order",
            output_type="shop.v1.Order",
            comment="Takes one.",
        )

    def test_a_method_info_finds_itself(self, orders: Descriptors) -> None:
        info = orders.find_method("Orders/Place")
        assert orders.find_method(info) is info

    def test_methods_are_listed_in_their_order_with_their_kinds(self, orders: Descriptors) -> None:
        assert [(method.name, method.cardinality) for method in orders.methods("Orders")] == [
            ("Place", Cardinality.UNARY),
            ("Watch", Cardinality.SERVER_STREAM),
            ("Import", Cardinality.CLIENT_STREAM),
            ("Chat", Cardinality.BIDI_STREAM),
        ]
        assert [method.deprecated for method in orders.methods("shop.v1.Orders")] == [
            False,
            False,
            True,
            False,
        ]

    def test_a_deprecated_service_has_deprecated_methods(self) -> None:
        assert all(method.deprecated for method in schema(PROTO2).methods("Things"))

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("shop.v1.Orders/place", 'service shop.v1.Orders has no method "place"; did you mean "Place"?'),
            ("shop.v1.Orders/Zzz", "it has Place, Watch, Import, Chat"),
            (
                "shop.v1.Ordrs/Place",
                'no service "shop.v1.Ordrs" in sample.proto; did you mean "shop.v1.Orders"?',
            ),
            ("orders/Place", 'did you mean "shop.v1.Orders"?'),
            ("Place", "names no method"),
        ],
    )
    def test_what_is_not_there_names_the_nearest(self, orders: Descriptors, name: str, expected: str) -> None:
        with pytest.raises(UsageError) as caught:
            orders.find_method(name)
        assert expected in str(caught.value)

    def test_an_ambiguous_short_name_lists_what_it_may_be(self) -> None:
        texts = {
            f"{p}.proto": f'syntax = "proto3"; package {p}; message M {{}} service S {{ rpc R(M) returns (M); }}'
            for p in "ab"
        }
        both = Descriptors.from_set(load(texts).data)
        with pytest.raises(UsageError, match=r'"S" may be any of a\.S, b\.S'):
            both.find_method("S/R")
        assert both.find_method("b.S/R").service == "b.S"

    def test_a_service_without_a_package_is_not_ambiguous(self) -> None:
        texts = {
            "a.proto": 'syntax = "proto3"; package a; message M {} service S { rpc R(M) returns (M); }',
            "b.proto": 'syntax = "proto3"; message M {} service S { rpc R(M) returns (M); }',
        }
        assert Descriptors.from_set(load(texts).data).find_method("S/R").full_name == "S/R"

    def test_services_are_sorted(self) -> None:
        assert Descriptors.from_set(protos.descriptor_set("reflection")).services() == [
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]


class TestSymbols:
    def test_symbols_are_all_named_things_but_fields(self, orders: Descriptors) -> None:
        own = [name for name in orders.symbols() if name.startswith("shop")]
        assert own == ["shop.v1.Order", "shop.v1.Order.Line", "shop.v1.Order.Status", "shop.v1.Orders"]

    @pytest.mark.parametrize(
        "symbol",
        [
            "shop.v1.Order",
            "shop.v1.Order.id",
            "shop.v1.Order.Line.price",
            "shop.v1.Orders",
            "shop.v1.Orders.Place",
        ],
    )
    def test_the_file_of_a_symbol(self, orders: Descriptors, symbol: str) -> None:
        assert orders.file_containing_symbol(symbol) == "sample.proto"

    def test_unknown_things_name_the_nearest(self, orders: Descriptors) -> None:
        with pytest.raises(UsageError, match=r'did you mean "shop\.v1\.Order"'):
            orders.message_descriptor("shop.v1.order")
        with pytest.raises(UsageError, match=r'did you mean "shop\.v1\.Order\.Status"'):
            orders.enum_descriptor("Status")
        with pytest.raises(UsageError, match=r'no file "simple\.proto" .*did you mean "sample\.proto"'):
            orders.file_bytes("simple.proto")
        with pytest.raises(UsageError, match="no symbol"):
            orders.file_containing_symbol("shop.v1.Nothing")

    def test_message_names_are_exact(self, orders: Descriptors) -> None:
        assert orders.message_descriptor(".shop.v1.Order").name == "Order"
        with pytest.raises(UsageError):
            orders.message_descriptor("Order")

    def test_a_message_class_is_always_the_same(self, orders: Descriptors) -> None:
        assert orders.message_class("shop.v1.Order") is orders.message_class("shop.v1.Order")

    def test_extensions_are_found_by_number(self) -> None:
        legacy = schema(PROTO2)
        assert legacy.extension_numbers("legacy.v2.Rules") == [100, 101, 102]
        assert legacy.extension("legacy.v2.Rules", 101).full_name == "legacy.v2.Wide.wide"
        with pytest.raises(UsageError, match="no extension 7"):
            legacy.extension("legacy.v2.Rules", 7)

    def test_repr_tells_what_it_is(self, orders: Descriptors) -> None:
        assert repr(orders) == "<Descriptors sample.proto 2 files, 1 service>"

    def test_threads_may_ask_at_once(self) -> None:
        fresh = Descriptors.from_set(
            load({f"f{n}.proto": message(f"M{n}") for n in range(50)} | {"o.proto": ORDERS}).data
        )
        wrong: list[object] = []

        def ask() -> None:
            if len(fresh.symbols()) < 54 or fresh.find_method("Orders/Place").comment != "Takes one.":
                wrong.append(1)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_file_with_some_of_the_well_known_types_under_another_name_is_a_schema_error() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="mine.proto", package="google.protobuf", syntax="proto3")
    file.message_type.add(name="BoolValue")
    with pytest.raises(SchemaError, match=r"duplicate symbol 'google\.protobuf\.BoolValue'"):
        Descriptors.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))


@pytest.mark.parametrize("file_name", ["mine.proto", "google/protobuf/timestamp.proto"])
@pytest.mark.parametrize(("name", "kind", "label"), [("sec", 3, 1), ("seconds", 9, 1), ("seconds", 3, 3)])
def test_a_well_known_type_with_other_fields_is_a_schema_error(
    file_name: str, name: str, kind: Any, label: Any
) -> None:
    file = descriptor_pb2.FileDescriptorProto(name=file_name, package="google.protobuf", syntax="proto3")
    field = file.message_type.add(name="Timestamp").field.add(name=name, number=1)
    field.type, field.label = kind, label
    with pytest.raises(SchemaError, match=r"Timestamp is not the well-known type: it lacks \"seconds\""):
        Descriptors.from_set(descriptor_pb2.FileDescriptorSet(file=[file]))
