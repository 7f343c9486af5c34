"""The documents say what the code does: their programs are those of examples/, their names, numbers and links exist."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import wirelane
import wirelane.sync
from support.architecture_support import DOCUMENTS, PACKAGE, ROOT, SOURCES, name_of
from wirelane import errors, grpc, tcp
from wirelane.testing import faults

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Snippet(NamedTuple):
    """A fenced block of a document: its language, the file that it comes from, its text."""

    document: Path
    line: int
    language: str
    file: str
    text: str


def _snippets() -> Iterator[Snippet]:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Snippet(document, line, match[1], match[2] or "", match[3])


def _where(value: object) -> str | None:
    return f"{name_of(value.document)}:{value.line}" if isinstance(value, Snippet) else None


SNIPPETS = list(_snippets())
FROM_FILES = [snippet for snippet in SNIPPETS if snippet.file]
PYTHON = [snippet for snippet in SNIPPETS if snippet.language == "python"]
COMMANDS = [
    pytest.param(line, id=f"{_where(snippet)}: {line}")
    for snippet in SNIPPETS
    if snippet.language == "sh"
    for line in snippet.text.replace("\\\n", " ").splitlines()
    if line.startswith("wirelane ")
]


def _dedented(text: str) -> list[str]:
    return [line.rstrip() for line in textwrap.dedent(text).strip("\n").splitlines()]


@pytest.mark.parametrize("snippet", FROM_FILES, ids=_where)
def test_a_program_shown_is_part_of_the_file_it_names(snippet: Snippet) -> None:
    wanted = _dedented(snippet.text)
    lines = [line.rstrip() for line in (ROOT / snippet.file).read_text(encoding="utf-8").splitlines()]
    windows = (lines[start : start + len(wanted)] for start in range(len(lines)))
    assert any(_dedented("\n".join(window)) == wanted for window in windows)


def test_every_program_of_the_readme_comes_from_examples() -> None:
    shown = {snippet.file for snippet in PYTHON if snippet.document.name == "README.md"}
    assert shown
    assert "" not in shown


def _namespace(snippet: Snippet) -> dict[str, object]:
    """Return what the names of a snippet stand for: modules, and variables named after the class they hold."""
    about_tcp = snippet.document.name == "tcp.md"
    about_testing = snippet.document.name == "testing.md"
    calls = wirelane.sync.grpc if snippet.document.name == "sync.md" else grpc
    return {
        "wirelane": wirelane,
        **{name: getattr(wirelane, name) for name in wirelane.__all__},
        "channel": calls.Channel,
        "context": calls.Context,
        "schema": wirelane.Schema,
        "server": tcp.Server if about_tcp else calls.Server,
        "conn": tcp.Connection,
        **(
            {"faults": faults, "proxy": faults.FaultProxy, "flaky": faults.BlockingProxy}
            if about_testing
            else {}
        ),
        "pool": tcp.Pool,
    }


@pytest.mark.parametrize("snippet", PYTHON, ids=_where)
def test_a_snippet_compiles_and_uses_names_that_exist(snippet: Snippet) -> None:
    tree = compile(
        textwrap.dedent(snippet.text), "snippet", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    names = _namespace(snippet)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "wirelane":
            assert {alias.name for alias in node.names} <= set(wirelane.__all__)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            assert hasattr(names[node.value.id], node.attr), ast.unparse(node)
        if isinstance(node, ast.Call):
            _check_keywords(node, names)


def _check_keywords(node: ast.Call, names: dict[str, object]) -> None:
    function: object = None
    if isinstance(node.func, ast.Name):
        function = names.get(node.func.id)
    elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        function = getattr(names.get(node.func.value.id), node.func.attr, None)
    if not callable(function):
        return
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    given = {keyword.arg for keyword in node.keywords if keyword.arg}
    assert given <= parameters.keys(), ast.unparse(node)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_shown_has_the_verbs_and_options_of_the_command(line: str) -> None:
    import click

    from wirelane.cli import main

    words = shlex.split(line, comments=True)[1:]
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        verb = words.pop(0)
        found = command.get_command(click.Context(command), verb)
        assert found is not None, verb
        command = found
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
    assert used <= known | {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if heading:
            assert heading in _headings(file), target


def _headings(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def _spelled(value: object) -> str:
    """Return a default as docs/limits.md writes it."""
    if not isinstance(value, int) or value < 1024 or value % 1024:
        return str(value)
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value % size == 0:
            return f"{value // size} {unit}"
    return str(value)


@pytest.mark.parametrize("field", dataclasses.fields(wirelane.Limits), ids=lambda field: field.name)
def test_every_limit_is_documented_with_its_default_and_where_that_comes_from(
    field: dataclasses.Field[object],
) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "limits.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    ((_, default, _, precedent),) = [row for row in rows if row[0] == f"`{field.name}`"]
    assert default in {_spelled(field.default), str(field.default)}
    assert precedent
    (beside,) = re.findall(
        rf"^    {field.name}: .+?  # (.+)$", (PACKAGE / "core" / "limits.py").read_text("utf-8"), re.MULTILINE
    )
    assert beside


@pytest.mark.parametrize("field", dataclasses.fields(wirelane.Limits), ids=lambda field: field.name)
def test_every_limit_is_kept_somewhere(field: dataclasses.Field[object]) -> None:
    users = [
        path for path in SOURCES if path.name != "limits.py" and f"limits.{field.name}" in path.read_text()
    ]
    assert users


@pytest.mark.parametrize(
    "name", [name for name in errors.__all__ if name[0].isupper() and hasattr(wirelane, name)]
)
def test_every_error_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def test_the_changelog_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(wirelane.__version__)}\b", text, re.MULTILINE)
