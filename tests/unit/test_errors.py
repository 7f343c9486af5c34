from __future__ import annotations

import copy
import errno
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

from wirelane import errors
from wirelane.core.metadata import Metadata
from wirelane.errors import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    EndOfStream,
    LimitExceeded,
    PeerError,
    PoolTimeout,
    ProxyError,
    ReadTimeout,
    ResolveError,
    RpcError,
    SchemaError,
    SendTimeout,
    TlsError,
    UsageError,
    WirelaneError,
    rpc_error,
)
from wirelane.status import StatusCode

DETAILS = ({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE"},)
CALL_FIELDS: dict[str, Any] = {
    "details": DETAILS,
    "metadata": Metadata({"retry": "no"}),
    "initial_metadata": Metadata({"x-bin": b"\0"}),
    "from_peer": True,
    "attempts": 3,
    "peer": "127.0.0.1:50051",
}
STEP_FIELDS: dict[str, Any] = {"host": "proxy.test", "step": "CONNECT", "hint": "check the password"}

EXAMPLES: list[tuple[WirelaneError, dict[str, Any]]] = [
    (WirelaneError("what"), {}),
    (
        RpcError(5, "no such user", **CALL_FIELDS),
        {"code": StatusCode.NOT_FOUND, "message": "no such user", **CALL_FIELDS},
    ),
    (
        DeadlineExceeded("too late", **CALL_FIELDS),
        {"code": StatusCode.DEADLINE_EXCEEDED, "message": "too late", **CALL_FIELDS},
    ),
    (ConnectError("refused", address="a:1"), {"address": "a:1", "attempts": ()}),
    (ConnectionLost("reset", partial=b"ab"), {"partial": b"ab"}),
    (ProxyError("refused", **STEP_FIELDS), STEP_FIELDS),
    (TlsError("no", **STEP_FIELDS), STEP_FIELDS),
    (ResolveError("no", **STEP_FIELDS), STEP_FIELDS),
    (PeerError("bad"), {}),
    (UsageError("bad"), {}),
    (BusyError("busy"), {}),
    (ClosedError("closed"), {}),
    (ReadTimeout("slow", partial=b"ab"), {"partial": b"ab"}),
    (PoolTimeout("full", size=3, in_use=2, waiting=1), {"size": 3, "in_use": 2, "waiting": 1}),
    (SendTimeout("slow", unsent=3), {"unsent": 3}),
    (EndOfStream("over", partial=b"ab"), {"partial": b"ab"}),
    (
        LimitExceeded("big", limit="read_buffer", maximum=10, seen=11, partial=b"ab"),
        {"limit": "read_buffer", "maximum": 10, "seen": 11, "partial": b"ab"},
    ),
    (
        SchemaError("no type", file="a.proto", line=3, column=7, problems=[("b.proto", 1, 2, "also")]),
        {"file": "a.proto", "line": 3, "column": 7, "problems": (("b.proto", 1, 2, "also"),)},
    ),
    (CodecError("not a number", path="items[3].price"), {"path": "items[3].price"}),
]


def _classes() -> list[type[WirelaneError]]:
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [
        value for value in found if issubclass(value, WirelaneError) and not value.__name__.startswith("_")
    ]


def test_the_examples_here_cover_every_error():
    assert {type(error) for error, _ in EXAMPLES} == set(_classes())


@pytest.mark.parametrize(("error", "values"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_keeps_its_fields_through_pickle_and_copy(error, values):
    error.add_note("seen in a worker")
    for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert {name: getattr(twin, name) for name in values} == values
        assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
        assert twin.__notes__ == error.__notes__


@pytest.mark.parametrize(("error", "values"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_reads_as_one_line_that_holds_its_message(error, values):
    assert error.message in str(error)
    assert "\n" not in str(error)
    assert repr(error).startswith(type(error).__name__ + "(")


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_everything_after_the_message_is_keyword_only(kind):
    parameters = list(inspect.signature(kind).parameters.values())
    after = parameters[[parameter.name for parameter in parameters].index("message") + 1 :]
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in after)


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_shows_every_error(kind):
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__name__ in errors.__all__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (DeadlineExceeded, TimeoutError),
        (DeadlineExceeded, RpcError),
        (ConnectError, OSError),
        (ConnectionLost, ConnectionError),
        (ReadTimeout, TimeoutError),
        (PoolTimeout, TimeoutError),
        (EndOfStream, EOFError),
    ],
)
def test_errors_are_caught_by_the_builtin_that_means_the_same(kind, builtin):
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RpcError(StatusCode.NOT_FOUND, "no such user"), "NOT_FOUND: no such user"),
        (RpcError("aborted"), "ABORTED"),
        (DeadlineExceeded(), "DEADLINE_EXCEEDED"),
        (ProxyError("refused", host="p:1", hint="try again"), "p:1: refused; try again"),
        (ProxyError("p:1 refused", host="p:1"), "p:1 refused"),
        (SchemaError("no type X", file="a.proto", line=3, column=7), "a.proto:3:7: no type X"),
        (SchemaError("a.proto:3: no type X", file="a.proto", line=3), "a.proto:3: no type X"),
        (SchemaError("a", problems=[(None, None, None, "b")]), "a (and 1 more problem)"),
        (SchemaError("a", problems=[(None, None, None, "b")] * 2), "a (and 2 more problems)"),
        (CodecError("not a number", path="items[3].price"), "items[3].price: not a number"),
        (CodecError("no message"), "no message"),
    ],
)
def test_an_error_says_where_and_what(error, text):
    assert str(error) == text


def test_repr_of_a_call_error_shows_what_is_unusual_about_it():
    assert repr(RpcError(5, "gone")) == "RpcError(NOT_FOUND, 'gone')"
    assert (
        repr(RpcError(5, "gone", peer="a:1", attempts=2))
        == "RpcError(NOT_FOUND, 'gone', attempts=2, peer='a:1')"
    )


def test_repr_shows_the_fields_that_are_set():
    assert repr(LimitExceeded("big", limit="x", maximum=3)) == "LimitExceeded('big', limit='x', maximum=3)"
    assert repr(PeerError("bad")) == "PeerError('bad')"


@pytest.mark.parametrize("code", [4, "deadline_exceeded", StatusCode.DEADLINE_EXCEEDED])
def test_rpc_error_makes_a_timeout_of_deadline_exceeded_with_all_its_fields(code):
    error = rpc_error(code, "late", **CALL_FIELDS)
    assert type(error) is DeadlineExceeded
    assert {name: getattr(error, name) for name in CALL_FIELDS} == CALL_FIELDS


def test_rpc_error_makes_a_plain_error_of_every_other_code():
    error = rpc_error(7, "no", **CALL_FIELDS)
    assert (type(error), error.code) == (RpcError, StatusCode.PERMISSION_DENIED)
    assert {name: getattr(error, name) for name in CALL_FIELDS} == CALL_FIELDS


def test_connect_error_takes_the_errno_that_all_attempts_share():
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    error = ConnectError("no", attempts=[("a:1", refused), ("b:1", refused)])
    assert error.errno == errno.ECONNREFUSED
    assert pickle.loads(pickle.dumps(error)).errno == errno.ECONNREFUSED
    assert str(error) == "no"


def test_connect_error_has_no_errno_when_the_attempts_failed_differently():
    error = ConnectError(
        "no", attempts=[("a:1", OSError(errno.ECONNREFUSED, "")), ("b:1", OSError(errno.EHOSTUNREACH, ""))]
    )
    assert error.errno is None


def test_a_subclass_with_another_constructor_pickles_too():
    error = pickle.loads(pickle.dumps(_OutOfStock("apples")))
    assert (error.goods, error.code, str(error)) == (
        "apples",
        StatusCode.FAILED_PRECONDITION,
        "FAILED_PRECONDITION: no apples",
    )


class _OutOfStock(RpcError):
    def __init__(self, goods: str) -> None:
        super().__init__(StatusCode.FAILED_PRECONDITION, f"no {goods}")
        self.goods = goods


def test_errors_load_without_the_rest_of_the_house():
    program = (
        "import sys; import wirelane.errors; "
        "print(sorted(name for name in sys.modules if name.startswith('wirelane.')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rooms = {name for name in eval(run.stdout) if not name.startswith("wirelane._")}
    assert rooms == {"wirelane.errors", "wirelane.status"}
