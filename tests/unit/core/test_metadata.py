from __future__ import annotations

import copy
import enum
import pickle
import subprocess
import sys
from types import MappingProxyType

import pytest

from wirelane.core import metadata
from wirelane.core.metadata import Metadata, Value, from_headers, to_headers
from wirelane.errors import PeerError, UsageError


def test_it_is_made_of_mappings_lists_of_values_pairs_and_itself():
    pairs: list[tuple[str, Value]] = [("a", "1"), ("a", "2"), ("b-bin", b"\0")]
    mapping: dict[str, Value | list[Value]] = {"a": ["1", "2"], "b-bin": b"\0"}
    made = [
        Metadata(mapping),
        Metadata(MappingProxyType({"a": ("1", "2"), "b-bin": bytearray(b"\0")})),  # type: ignore[dict-item]
        Metadata(pairs),
        Metadata(iter(pairs)),
        Metadata([["a", "1"], ["a", "2"], ["b-bin", memoryview(b"\0")]]),  # type: ignore[list-item]
        Metadata(Metadata(pairs)),
    ]
    assert all(metadata.items() == pairs for metadata in made)


def test_none_makes_an_empty_one():
    metadata = Metadata(None)
    assert (len(metadata), list(metadata), metadata.items(), metadata.size) == (0, [], [], 0)
    assert not metadata


def test_names_are_lower_case_and_found_in_any_case():
    metadata = Metadata({"X-Trace-ID": "1"})
    assert metadata.keys() == ["x-trace-id"]
    assert metadata["X-TRACE-ID"] == metadata.get("x-Trace-id") == "1"
    assert "X-Trace-ID" in metadata
    assert metadata.get_all("X-TRACE-ID") == ["1"]


def test_a_name_is_first_value_all_values_and_pairs():
    metadata = Metadata([("a", "1"), ("b", "2"), ("a", "3")])
    assert metadata["a"] == "1"
    assert metadata.get_all("a") == ["1", "3"]
    assert list(metadata) == metadata.keys() == ["a", "b"]
    assert metadata.values() == ["1", "2", "3"]
    assert len(metadata) == 3
    assert dict(metadata) == {"a": "1", "b": "2"}


def test_what_is_missing_is_a_default_or_a_key_error():
    metadata = Metadata({"a": "1"})
    assert metadata.get("b") is None
    assert metadata.get("b", "x") == "x"
    assert metadata.get_all("b") == []
    assert "b" not in metadata
    assert 7 not in metadata
    with pytest.raises(KeyError, match="B"):
        metadata["B"]
    with pytest.raises(KeyError, match="B"):
        del metadata["B"]


def test_setting_replaces_all_values_where_the_first_one_was():
    metadata = Metadata([("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")])
    metadata["A"] = "new"
    metadata["d"] = "5"
    assert metadata.items() == [("a", "new"), ("b", "2"), ("c", "4"), ("d", "5")]


def test_deleting_removes_all_values():
    metadata = Metadata([("a", "1"), ("b", "2"), ("a", "3")])
    del metadata["A"]
    assert metadata.items() == [("b", "2")]


def test_add_appends_and_clear_empties():
    metadata = Metadata({"a": "1"})
    metadata.add("A", "2")
    assert metadata.items() == [("a", "1"), ("a", "2")]
    metadata.clear()
    assert not metadata


def test_pop_and_setdefault_do_as_in_a_dict():
    metadata = Metadata([("a", "1"), ("a", "2")])
    assert metadata.setdefault("a", "9") == "1"
    assert metadata.setdefault("b", "3") == "3"
    assert metadata.pop("A") == "1"
    assert metadata.pop("a") is None
    assert metadata.pop("a", "x") == "x"
    assert metadata.items() == [("b", "3")]


def test_merged_replaces_the_names_of_the_other_and_changes_neither():
    base = Metadata([("a", "1"), ("a", "2"), ("b", "3")])
    other = Metadata([("a", "4"), ("c", "5"), ("c", "6")])
    merged = base.merged(other)
    assert merged.items() == [("b", "3"), ("a", "4"), ("c", "5"), ("c", "6")]
    merged.add("z", "1")
    assert (len(base), len(other)) == (3, 3)
    assert base.merged(None) == base
    assert base.merged(None) is not base
    assert base.merged({"B": "9"})["b"] == "9"


def test_update_changes_nothing_when_one_entry_is_wrong():
    metadata = Metadata({"a": "1"})
    with pytest.raises(UsageError):
        metadata.update([("a", "2"), ("b", "\n")])
    assert metadata.items() == [("a", "1")]


def test_copies_are_independent():
    metadata = Metadata({"a": "1"})
    for twin in (metadata.copy(), copy.copy(metadata), copy.deepcopy(metadata)):
        twin.add("b", "2")
        assert twin != metadata
    metadata.items().clear()
    assert metadata.items() == [("a", "1")]


def test_it_pickles_even_with_values_from_a_peer_that_could_not_be_sent():
    metadata = from_headers([(b"x", b"\xff"), (b"y-bin", b"AA")])
    assert pickle.loads(pickle.dumps(metadata)).items() == [("x", "\xff"), ("y-bin", b"\0")]
    assert pickle.loads(pickle.dumps(Metadata())) == Metadata()


def test_equality_minds_order_only_within_a_name():
    metadata = Metadata([("a", "1"), ("b", "2"), ("a", "3")])
    assert metadata == Metadata([("a", "1"), ("a", "3"), ("b", "2")])
    assert metadata != Metadata([("a", "3"), ("a", "1"), ("b", "2")])
    assert metadata == {"A": ["1", "3"], "b": "2"}
    assert metadata == [("a", "1"), ("b", "2"), ("a", "3")]
    assert metadata != {"a": 5}
    assert metadata != 5


def test_it_is_mutable_and_so_not_hashable():
    with pytest.raises(TypeError):
        hash(Metadata())


@pytest.mark.parametrize(
    "name", ["authorization", "Proxy-Authorization", "cookie", "x-api-key", "id-token-bin"]
)
def test_repr_hides_secrets(name):
    metadata = Metadata([(name, b"hush" if name.endswith("-bin") else "hush"), ("user", "ann")])
    assert "hush" not in repr(metadata)
    assert f"'{name.lower()}': <hidden>" in repr(metadata)
    assert "'user': 'ann'" in repr(metadata)


def test_size_counts_as_http2_does():
    metadata = Metadata([("a", "123"), ("b-bin", b"1234")])
    assert metadata.size == sum(len(name) + len(value) + 32 for name, value in to_headers(metadata))


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", ":path", "naïve", "a\n", "a/b", "a\0"])
def test_a_name_that_metadata_cannot_have_is_named_in_the_error(name):
    with pytest.raises(UsageError) as caught:
        Metadata({name: "1"})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("value", ["\n", "a\r\nb", "\0", "ü", "\x7f", "\t", "日本"])
def test_text_that_is_no_printable_ascii_is_refused_with_the_name(value):
    with pytest.raises(UsageError, match="'x'"):
        Metadata({"x": value})
    with pytest.raises(UsageError, match="'x'"):
        Metadata()["x"] = value


@pytest.mark.parametrize(
    ("name", "value"), [("x", b"1"), ("x", 1), ("x", None), ("x-bin", "1"), ("x-bin", 1)]
)
def test_a_value_of_the_wrong_type_is_refused_with_the_name(name, value):
    with pytest.raises(UsageError, match=f"'{name}'"):
        Metadata({name: value})


@pytest.mark.parametrize("entries", ["abc", b"abc", 5, ["ab"], [("a", "1", "2")], [7]])
def test_what_is_no_metadata_at_all_is_refused(entries):
    with pytest.raises(UsageError, match="pairs"):
        Metadata(entries)


@pytest.mark.parametrize("name", [5, None, b"a"])
def test_a_name_that_is_no_str_is_refused(name):
    with pytest.raises(UsageError, match="name is a str"):
        Metadata([(name, "1")])


def test_headers_carry_text_as_it_is_and_bytes_as_base64_without_padding():
    metadata = Metadata([("a", "x y"), ("b-bin", b"\0"), ("b-bin", b""), ("c", "")])
    assert to_headers(metadata) == [(b"a", b"x y"), (b"b-bin", b"AA"), (b"b-bin", b""), (b"c", b"")]


def test_headers_of_an_empty_one_are_none():
    assert to_headers(Metadata()) == []


def test_blanks_at_the_ends_of_a_text_do_not_travel():
    assert to_headers(Metadata({"a": "  x  "})) == [(b"a", b"x")]


@pytest.mark.parametrize(
    "name",
    [
        "grpc-status",
        "grpc-timeout",
        "grpc-anything",
        "content-type",
        "te",
        "user-agent",
        "connection",
        "host",
        "transfer-encoding",
        "content-length",
    ],
)
def test_names_of_the_protocol_cannot_be_sent(name):
    with pytest.raises(UsageError, match=name):
        to_headers(Metadata({name: "1"}))


@pytest.mark.parametrize("name", ["grpc-previous-rpc-attempts", "grpc-retry-pushback-ms"])
def test_protocol_names_whose_interface_is_metadata_travel_both_ways(name):
    headers = to_headers(Metadata({name: "1"}))
    assert from_headers(headers) == {name: "1"}


def test_a_value_from_a_peer_that_is_no_ascii_cannot_be_sent_on():
    metadata = from_headers([(b"x", b"\xff")])
    with pytest.raises(UsageError, match="'x'"):
        to_headers(metadata)


def test_received_protocol_fields_are_left_out_and_user_agent_stays():
    headers = [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-status", b"0"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-status-details-bin", b"!"),
        (b"connection", b"close"),
        (b"user-agent", b"grpc-go/1.60"),
        (b"x", b"1"),
        (b"x", b"2"),
    ]
    assert from_headers(headers).items() == [("user-agent", "grpc-go/1.60"), ("x", "1"), ("x", "2")]


@pytest.mark.parametrize("name", [b"x!y", b"X", b"\xff", b""])
def test_received_names_that_grpc_does_not_allow_are_left_out(name):
    assert not from_headers([(name, b"1")])


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        (b"YQ==", [b"a"]),
        (b"YQ", [b"a"]),
        (b"YWI", [b"ab"]),
        (b"YWJj", [b"abc"]),
        (b"", [b""]),
        (b"YQ,Yg", [b"a", b"b"]),
        (b"YQ==, Yg==", [b"a", b"b"]),
        (b"YQ,,Yg", [b"a", b"", b"b"]),
    ],
)
def test_received_binary_values_may_be_padded_or_not_and_joined(value, decoded):
    assert from_headers([(b"x-bin", value)]).get_all("x-bin") == decoded


@pytest.mark.parametrize("value", [b"A", b"!!!!", b"YQ=a", b"YQ===", b"=", b"Y Q=", b"YQ,*", b"\xff\xfe"])
def test_received_binary_values_that_are_no_base64_are_the_peers_fault(value):
    with pytest.raises(PeerError, match="x-bin"):
        from_headers([(b"x-bin", value)])


def test_received_text_that_is_no_ascii_stays_byte_for_byte():
    received = from_headers([(b"x", bytes(range(256)))])["x"]
    assert isinstance(received, str)
    assert received.encode("latin-1") == bytes(range(256))


def test_names_beyond_what_is_remembered_work_the_same():
    many = Metadata([(f"x-{number}", str(number)) for number in range(3000)])
    back = from_headers(to_headers(many))
    assert back == many
    with pytest.raises(UsageError, match="reserved"):
        to_headers(Metadata({"grpc-" + "y" * 100: "1"}))


def test_what_peers_and_users_say_fills_no_memory_and_is_forgotten_for_what_comes_later():
    for number in range(3000):
        name = f"name-{number}"
        assert from_headers(to_headers(Metadata({name: "value"}))) == {name: "value"}
    for known, most in (
        (metadata._checked_names, 1024),
        (metadata._sendable_names, 1024),
        (metadata._received_names, 1024),
        (metadata._sendable_pairs, 256),
    ):
        assert len(known) <= most
        assert any("name-2999" in str(key) for key in known)


class Name(enum.StrEnum):
    X = "x"


def test_a_pair_that_looks_like_one_that_was_sent_is_checked_as_any_other():
    to_headers(Metadata([("x", "text"), ("x-bin", b"text")]))
    for pair in ((), ("x",), ("x", "text", "text"), (["x"], "text"), (b"x", "text"), ("x-bin", "text")):
        with pytest.raises(UsageError, match="metadata"):
            Metadata([pair])  # type: ignore[list-item]
    # A name is a str and no more, so that the metadata can be pickled for a process without the class.
    assert [type(name) for name, _ in Metadata([(Name.X, "text")]).items()] == [str]


def test_no_pair_that_was_sent_is_compared_with_one_of_another_type():
    script = (
        "from wirelane import UsageError\n"
        "from wirelane.core.metadata import Metadata, to_headers\n"
        "to_headers(Metadata([('x', 'text'), ('x-bin', b'text')]))\n"
        "for pair in ((b'x', 'text'), ('x-bin', 'text'), ('x', b'text')):\n"
        "    try:\n"
        "        print(Metadata([pair]))\n"
        "    except UsageError:\n"
        "        pass\n"
    )
    # Where bytes and text that are compared are an error.
    done = subprocess.run([sys.executable, "-bb", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
