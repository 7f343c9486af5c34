"""What the import scanner sees in a .proto file, and which import names it lets through."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelane.errors import SchemaError
from wirelane.schema.scan import Import, check_import_name, decode, imports, looks_like_proto


def names(text: str) -> list[str]:
    return [each.name for each in imports(text)]


def test_imports_are_found_with_their_places() -> None:
    text = 'syntax = "proto3";\nimport "a.proto"; import public \'b/c.proto\';\n  import weak "d.proto";\n'
    assert imports(text) == [Import("a.proto", 2, 1), Import("b/c.proto", 2, 19), Import("d.proto", 3, 3)]


def test_option_imports_are_imports() -> None:
    assert names('edition = "2024"; import option "o.proto";') == ["o.proto"]


def test_comments_strings_and_blocks_hide_imports() -> None:
    text = """
    // import "no1.proto";
    /* import "no2.proto"; */
    option x = "import \\"no3.proto\\";";
    message M { string import = 1 [default = "import"]; }
    message import { }
    import /* between */ "yes" ".proto" ;
    """
    assert names(text) == ["yes.proto"]


def test_braces_in_strings_do_not_count() -> None:
    assert names('option x = "{{{"; import "a.proto"; option y = \'}\'; import "b.proto";') == [
        "a.proto",
        "b.proto",
    ]


@pytest.mark.parametrize(
    "unit", ["/*", '"\\', "'\"", "{", "import ", 'import "', "//", "a.", '"\\"', "*/", "/**"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    text = unit * 200_000
    start = time.process_time()
    imports(text)
    # The quadratic way takes minutes; this bound only tells the two apart.
    assert time.process_time() - start < 20


@given(st.text(alphabet="import \"'/*\\;{}ab.\n", max_size=200))
def test_any_text_can_be_scanned(text: str) -> None:
    for each in imports(text):
        assert text.split("\n")[each.line - 1][each.column - 1 :].startswith("import")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "empty"),
        ("../x.proto", ".."),
        ("a/../x.proto", ".."),
        ("/etc/x.proto", "absolute"),
        ("C:/x.proto", "absolute"),
        ("c:x.proto", "absolute"),
        ("a\\x.proto", "backslash"),
        ("a\0x.proto", "control"),
        ("a\nx.proto", "control"),
        ("./x.proto", "empty part"),
        ("a//x.proto", "empty part"),
        ("a/", "empty part"),
        ("x" * 300, "file name"),
        ("x/" * 600 + "x", "longer"),
        ("\ud800.proto", "file name"),
    ],
)
def test_dangerous_import_names_are_refused(name: str, what: str) -> None:
    assert what in (check_import_name(name) or "")


@pytest.mark.parametrize(
    "name", ["a.proto", "a/b/c.proto", "-x.proto", "@x.proto", "ä b.proto", "..x/y..proto", "x"]
)
def test_usual_import_names_pass(name: str) -> None:
    assert check_import_name(name) is None


def test_text_that_is_not_utf8_is_told_with_its_place() -> None:
    with pytest.raises(SchemaError, match=r"^a\.proto:2:4: byte 0xff is not UTF-8"):
        decode(b"ok\n// \xff", "a.proto")
    with pytest.raises(SchemaError, match="UTF-16"):
        decode('syntax = "proto3";'.encode("utf-16"), "a.proto")
    with pytest.raises(SchemaError, match=r"a\.proto:1:2: NUL"):
        decode(b"x\0", "a.proto")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('syntax = "proto3"; message M {}', True),
        ("message M{}", True),
        ("service S { }", True),
        ("a\nb", True),
        ("protos/service.proto", False),
        ("message.proto", False),
        ("my message", False),
    ],
)
def test_text_is_told_from_paths(text: str, expected: bool) -> None:
    assert looks_like_proto(text) is expected
