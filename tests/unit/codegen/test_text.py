"""Python text made of what strangers wrote."""

from __future__ import annotations

import ast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wirelane.codegen import text


@given(st.text(max_size=80))
@example('ends with a quote"')
@example("ends with a backslash\\")
@example('"""')
@example('\\"""')
@example("*/ \N{RIGHT-TO-LEFT OVERRIDE} \0 \r \N{LINE SEPARATOR}")
@example("first\n    second\n      third")
def test_a_docstring_says_what_the_comment_says(comment: str) -> None:
    lines = text.docstring(comment)
    if not lines:
        assert not comment.strip()
        return
    source = "\n".join(["def f():", *(f"    {line}" if line else "" for line in lines)])
    module = ast.parse(source)
    said = ast.get_docstring(module.body[0])  # type: ignore[arg-type]
    assert said is not None
    words = comment.expandtabs().replace("\x85", " ").split()
    assert said.split() == words or said.replace(" ", "").split() == comment.replace(" ", "").split()


@given(st.text(max_size=40))
def test_a_literal_is_the_text_and_in_one_line(value: str) -> None:
    made = text.literal(value)
    assert ast.literal_eval(made) == value
    assert made.isprintable()


@given(st.text(max_size=40))
def test_a_comment_is_one_line_whatever_is_in_it(value: str) -> None:
    made = text.comment_line(value)
    assert made.startswith("# ")
    assert made.isprintable()


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["a", "b"], ["f(a, b)"]),
        (["a" * 50, "b" * 50], ["f(", f"    {'a' * 50},", f"    {'b' * 50},", ")"]),
        (["g(\n    a,\n)"], ["f(", "    g(", "        a,", "    ),", ")"]),
    ],
)
def test_a_call_is_in_one_line_if_it_fits(arguments: list[str], lines: list[str]) -> None:
    assert text.call("f(", arguments) == lines
