from __future__ import annotations

import dataclasses
import pickle

import pytest

from support.client_support import NOTE, PROTO, SERVICE, note_schema
from wirelane import UsageError, grpc
from wirelane.grpc.methods import bind

UNARY = grpc.Cardinality.UNARY


@pytest.mark.parametrize("text", ["a.B/C", "/a.B/C", "a.B.C"])
def test_a_method_has_one_path_however_it_is_written(text: str) -> None:
    method = grpc.Method(text, UNARY, bytes, bytes)
    assert (method.path, method.name) == ("/a.B/C", "a.B/C")


def test_methods_are_values() -> None:
    one, other = (grpc.Method("a.B/C", UNARY, bytes, bytes) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != grpc.Method("a.B/C", grpc.Cardinality.BIDI_STREAM, bytes, bytes)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.path = "/x"  # type: ignore[misc]


def test_what_is_no_method_is_refused_and_named() -> None:
    with pytest.raises(UsageError, match="names no method"):
        grpc.Method("nothing", UNARY, bytes, bytes)
    with pytest.raises(UsageError, match="cardinality"):
        grpc.Method("a.B/C", "unary", bytes, bytes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="response_type"):
        grpc.Method("a.B/C", UNARY, bytes, "bytes")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not 5"):
        bind(5, note_schema())  # type: ignore[arg-type]


def test_a_name_is_bound_by_the_schema() -> None:
    schema = note_schema()
    bound = bind("Calls/Down", schema)
    assert (bound.path, bound.name) == (f"/{SERVICE}/Down", f"{SERVICE}/Down")
    assert bound.cardinality is grpc.Cardinality.SERVER_STREAM
    assert bound.parse(bound.encode({"n": 3})) == schema.decode(NOTE, schema.encode(NOTE, {"n": 3}))
    assert repr(bound) == f"<BoundMethod {SERVICE}/Down SERVER_STREAM>"
    assert bind(schema.find_method("Calls/Down"), schema).path == bound.path


def test_a_name_that_the_schema_does_not_have_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="BothWays"):
        bind("Calls/BothWay", note_schema())


def test_a_name_without_a_schema_says_what_to_pass() -> None:
    with pytest.raises(UsageError, match=r"schema='reflection'.*grpc\.Method"):
        bind("Calls/One", None)
    with pytest.raises(UsageError, match="names no method"):
        bind("Calls", None)
    with pytest.raises(UsageError, match="schema"):
        bind(note_schema().find_method("Calls/One"), None)


def test_the_public_names_are_there() -> None:
    for name in grpc.__all__:
        assert getattr(grpc, name) is not None
    assert set(grpc.__all__) <= set(dir(grpc))
    assert PROTO
