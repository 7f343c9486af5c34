"""Names of schemas as names of Python."""

from __future__ import annotations

import enum
import importlib
import keyword
from pathlib import Path

import betterproto2
import pytest
from betterproto2_compiler.compile.naming import pythonize_class_name, pythonize_field_name
from hypothesis import given
from hypothesis import strategies as st

from support.codegen_support import files_of, imported
from wirelane import SchemaError
from wirelane.codegen import names

IDENTIFIERS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)


@given(IDENTIFIERS)
def test_any_name_becomes_a_name_that_python_takes(name: str) -> None:
    for made in (names.class_name(name), names.field_name(name), *names.package_parts(name)):
        assert made.isidentifier()
        assert not keyword.iskeyword(made)


@given(IDENTIFIERS)
def test_fields_are_called_as_by_betterproto2s_compiler_unless_that_would_break(name: str) -> None:
    theirs = pythonize_field_name(name)
    if theirs not in dir(betterproto2.Message):
        assert names.field_name(name) == theirs


@given(IDENTIFIERS, IDENTIFIERS)
def test_classes_are_called_as_by_betterproto2s_compiler_unless_that_would_break(
    outer: str, inner: str
) -> None:
    theirs = pythonize_class_name(f"{outer}.{inner}")
    if theirs.isidentifier() and not keyword.iskeyword(theirs):
        assert names.class_name(f"{outer}.{inner}") == theirs


@pytest.mark.parametrize(
    "name", ["", "a b", "1a", "a\nimport os", "a;b", "é", "a.b", "a-b", 'a"', "__import__('os')"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="is no name"):
        names.identifier(name)
    with pytest.raises(SchemaError, match="is no name"):
        names.field_name(name)


def test_everything_that_betterproto2_defines_for_messages_is_known() -> None:
    ours = {name for name in dir(betterproto2.Message) if not name.startswith("__")} - set(dir(object))
    assert [name for name in ours if names.field_name(name) == name] == []


def test_everything_that_an_enum_defines_is_known() -> None:
    class Sample(betterproto2.Enum):
        A = 0

    defined = {name for kind in type(Sample).__mro__ + Sample.__mro__ for name in vars(kind)}
    public = {name for name in defined if not name.startswith("_") and name != "A"}
    made = {name: names.enum_member_names("X", ["ZERO", name])[1] for name in public}
    # A member may hide what only the metaclass has.
    assert {name for name in public if made[name] == name} <= set(vars(enum.EnumMeta)) - {"mro"}


@pytest.mark.parametrize(
    ("enum_name", "values", "members"),
    [
        ("Color", ["COLOR_RED", "COLOR_BLUE"], ["RED", "BLUE"]),
        ("Color", ["COLOR_RED", "BLUE"], ["COLOR_RED", "BLUE"]),
        ("HTTPCode", ["HTTP_CODE_OK", "HTTP_CODE_404"], ["OK", "_404"]),
        ("Kind", ["KIND_None", "KIND_mro", "KIND_name"], ["None_", "KIND_mro", "KIND_name"]),
        ("E", ["name", "value", "_x_"], ["VALUE_name", "VALUE_value", "VALUE_x"]),
        ("Color", ["COLOR", "COLOR_RED"], ["COLOR", "COLOR_RED"]),
    ],
)
def test_members_lose_the_name_of_their_enum_and_never_mean_something_else(
    enum_name: str, values: list[str], members: list[str]
) -> None:
    assert names.enum_member_names(enum_name, values) == members


def test_a_package_that_python_cannot_import_is_renamed() -> None:
    assert names.package_parts("a.import.class.v1") == ("a", "import_", "class_", "v1")
    assert names.package_parts("") == ()


def test_the_second_of_two_equal_names_is_told_apart() -> None:
    scope = names.Scope(["taken"])
    assert [scope.take("a"), scope.take("a", "b"), scope.take("a", "b"), scope.take("taken")] == [
        "a",
        "b",
        "b_",
        "taken_",
    ]


@pytest.mark.parametrize("name", ["_Hidden", "__hidden", "_hidden_"])
def test_a_service_with_underscores_in_front_can_be_served(tmp_path: Path, name: str) -> None:
    text = f'syntax = "proto3"; package p; message M {{}} service {name} {{ rpc _Go(M) returns (M); }}'
    (tmp_path / "a.proto").write_text(text)
    with imported(tmp_path, "underscores", files_of(tmp_path / "a.proto", "none")):
        base = getattr(importlib.import_module("underscores.p"), f"{name}Base")
        assert [method.path for method in base().__methods__()] == [f"/p.{name}/_Go"]
