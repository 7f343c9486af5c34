"""JSON documents one after another: found however their text is cut, and located when they are wrong."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.cli.documents import DocumentSplitter, open_documents
from wirelane.cli.errors import DataError
from wirelane.errors import UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def split(*pieces: str) -> list[object]:
    splitter = DocumentSplitter("-d")
    found = [value for piece in pieces for value in splitter.feed(piece)]
    return found + list(splitter.close())


@given(
    values=st.lists(JSON, max_size=5),
    blank=st.sampled_from([" ", "\n", "\r\n\t "]),
    indent=st.sampled_from([None, 2]),
    cuts=st.lists(st.integers(min_value=0, max_value=2000), max_size=8),
    ascii_only=st.booleans(),
)
def test_the_documents_do_not_depend_on_where_the_text_is_cut(
    values, blank, indent, cuts, ascii_only
) -> None:
    text = blank.join(json.dumps(value, indent=indent, ensure_ascii=ascii_only) for value in values)
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    assert split(text) == split(*pieces) == split(*text) == values


@pytest.mark.parametrize("text", ["{}{}[]", '{"a":1}{"b":"}{"}', '1 2"x"{}', "true\n[1]null"])
def test_documents_need_no_blanks_between_them_where_they_end_by_themselves(text: str) -> None:
    decoder, at, expected = json.JSONDecoder(), 0, []
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        expected.append(value)
    assert split(text) == split(*text) == expected


def test_a_document_is_there_as_soon_as_it_is_complete() -> None:
    splitter = DocumentSplitter("<stdin>")
    assert list(splitter.feed('{"a": [1, {"b": "}"')) == []
    assert list(splitter.feed("}]}")) == [{"a": [1, {"b": "}"}]}]
    # A number may go on until something else comes.
    assert list(splitter.feed("12")) == []
    assert list(splitter.feed("3 ")) == [123]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a" 1}', "-d:1:6"),
        ('\n\n  {"a": 1 "b"}', "-d:3:11"),
        ('{"a": 1}\n{"b"\n  2}', "-d:3:3"),
        ('{"a": 1} {"b" 2}', "-d:1:15"),
        ("{} }", "-d:1:4"),
        ('["x', "-d:1:2"),
        ("{]", "-d:1:2"),
        ("nope", "-d:1:1"),
        ("NaN", "-d:1:1"),
        ('{"a": 1, "a": 2}', "-d:1:1"),
        ("9" * 5000, "-d:1:1"),
    ],
)
def test_what_is_no_json_is_located_however_it_is_cut(text: str, place: str) -> None:
    for pieces in ([text], list(text)):
        with pytest.raises(DataError) as caught:
            split(*pieces)
        assert str(caught.value).startswith(f"{place}: ")


def test_what_came_before_a_mistake_was_given() -> None:
    splitter = DocumentSplitter("-d")
    found = []
    with pytest.raises(DataError):
        for value in splitter.feed('{"a": 1} {"b" 2}'):
            found.append(value)  # noqa: PERF402
    assert found == [{"a": 1}]


def test_a_document_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelane.cli.documents._MOST", 1000)
    splitter = DocumentSplitter("<stdin>")
    with pytest.raises(DataError, match="more than 1000 characters"):
        for _ in range(100):
            list(splitter.feed('["' + "x" * 100))


def test_small_files_are_read_at_once_and_closed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": 1} {"b": 2}')
    before = len(os.listdir("/proc/self/fd"))
    assert open_documents(f"@{file}").ready == [{"a": 1}, {"b": 2}]
    file.write_text("{")
    with pytest.raises(DataError, match=r"a\.json:1:2"):
        open_documents(f"@{file}")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_large_files_are_read_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text('{"text": "é%s"}\n' % ("x" * 997) * 2000, encoding="utf-8")
    documents = open_documents(f"@{file}")
    assert documents.ready is None
    count = 0
    async for value in documents:
        assert value == {"text": "é" + "x" * 997}
        count += 1
    assert count == 2000


async def test_a_fifo_is_read_as_it_comes(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write() -> None:
        fifo.write_text('{"a": 1} {"b": 2}')

    thread = threading.Thread(target=write)
    thread.start()
    documents = open_documents(f"@{fifo}")
    assert [value async for value in documents] == [{"a": 1}, {"b": 2}]
    thread.join()


def test_without_data_there_are_no_documents() -> None:
    assert open_documents(None).ready == []
    assert open_documents("").ready == []


@pytest.mark.parametrize("given", ["@/no/such/file", "@/"])
def test_a_file_that_cannot_be_read_is_named(given: str) -> None:
    with pytest.raises(UsageError, match=f"-d {given}: "):
        open_documents(given)
