from __future__ import annotations

import pytest

from wirelane.core.method import Cardinality, method_path, split_method
from wirelane.errors import UsageError


@pytest.mark.parametrize(
    ("text", "service", "method"),
    [
        ("pkg.Svc/Method", "pkg.Svc", "Method"),
        ("/pkg.Svc/Method", "pkg.Svc", "Method"),
        ("pkg.Svc.Method", "pkg.Svc", "Method"),
        ("Summator/sum", "Summator", "sum"),
        ("Summator.sum", "Summator", "sum"),
        ("/odd-service/odd.method", "odd-service", "odd.method"),
    ],
)
def test_a_method_is_written_with_a_slash_or_a_dot(text, service, method):
    assert split_method(text) == (service, method)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "Method",
        "/Method",
        "pkg.Svc/",
        ".Method",
        "a/b/c",
        "//b",
        "a/b\n",
        "a b/c",
        "ü/b",
        "pkg.Svc.",
    ],
)
def test_what_names_no_method_is_refused_with_the_forms(text):
    with pytest.raises(UsageError, match=r"pkg\.Service/Method"):
        split_method(text)


def test_a_method_is_a_str():
    with pytest.raises(UsageError, match="bytes"):
        split_method(b"a/b")  # type: ignore[arg-type]


def test_a_path_is_what_the_wire_carries():
    assert method_path("pkg.Svc", "Method") == "/pkg.Svc/Method"
    assert split_method(method_path("pkg.Svc", "Method")) == ("pkg.Svc", "Method")


@pytest.mark.parametrize(
    ("client", "server", "kind"),
    [
        (False, False, Cardinality.UNARY),
        (False, True, Cardinality.SERVER_STREAM),
        (True, False, Cardinality.CLIENT_STREAM),
        (True, True, Cardinality.BIDI_STREAM),
    ],
)
def test_the_kind_of_a_call_is_who_streams(client, server, kind):
    assert Cardinality.of(client, server) is kind
    assert (kind.client_streaming, kind.server_streaming) == (client, server)
    assert repr(kind) == f"Cardinality.{kind.name}"
