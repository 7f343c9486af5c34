"""Files and functions stay small enough to be read at one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.architecture_support import SOURCES, name_of, tree_of

MOST_LINES_OF_MODULE = 600
MOST_LINES_OF_FUNCTION = 60


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_has_at_most_600_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES_OF_MODULE, f"{lines} lines: it has more than one subject"


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_is_short_or_says_that_it_is_long_on_purpose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    long = [
        f"{node.name}: {_body_lines(node)} lines"
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and _body_lines(node) > MOST_LINES_OF_FUNCTION
        and "long on purpose" not in (ast.get_source_segment(text, node) or "")
    ]
    assert long == []
