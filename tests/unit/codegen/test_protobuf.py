"""google.protobuf's modules, made fit to be put anywhere and to run with any runtime."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support.codegen_support import PROTOS, texts_of
from wirelane.codegen import GeneratedFile, Messages, Settings, compare, generate, request_of_sources, write

SOURCES = {
    "import/class.proto": """
        syntax = "proto3"; package a.import; import public "my-dir/sub.file.proto"; import "google/protobuf/timestamp.proto";
        message Outer { my.Inner inner = 1; google.protobuf.Timestamp at = 2; }
        service S { rpc Do(Outer) returns (my.Inner); }
    """,
    "my-dir/sub.file.proto": """
        syntax = "proto2"; package my;
        message Inner { optional int32 n = 1 [default = 7]; extensions 100 to 199; }
        extend Inner { optional string mark = 100; }
        enum Top { ZERO = 0; }
    """,
    "use.proto": """
        syntax = "proto2"; import "import/class.proto"; message Use { optional a.import.Outer outer = 1; optional my.Inner inner = 2; optional my.Top top = 3; }
    """,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[GeneratedFile]:
    directory = tmp_path_factory.mktemp("protos")
    for name, text in SOURCES.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return generate(request_of_sources([directory]), Settings(messages=Messages.PROTOBUF))


def test_every_import_within_the_tree_is_relative(files: list[GeneratedFile]) -> None:
    for file in files:
        for node in ast.walk(ast.parse(file.text)):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module is not None
                assert node.module.split(".")[0] in {
                    "__future__",
                    "collections",
                    "google",
                    "typing",
                    "wirelane",
                }, file.path
                assert not node.module.startswith("google.rpc")
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"typing", "builtins", "datetime"}, file.path
        assert "importlib" not in file.text


def test_no_version_is_in_it_and_none_is_checked(files: list[GeneratedFile]) -> None:
    for file in files:
        assert "runtime_version" not in file.text
        assert "Protobuf Python Version" not in file.text


@pytest.mark.parametrize("package", ["rpc", "deep.down.rpc"])
def test_it_works_wherever_it_is_put(tmp_path: Path, files: list[GeneratedFile], package: str) -> None:
    root = tmp_path.joinpath(*package.split("."))
    write(root, files, compare(root, files))
    code = f"""
import pickle
from {package} import use_pb2
from {package}.import_ import class_pb2
from {package}.import_.class_wirelane import SStub, SBase
from {package}.my_dir.sub import file_pb2
message = use_pb2.Use(outer=class_pb2.Outer(inner=file_pb2.Inner()), top=file_pb2.ZERO)
message.inner.Extensions[file_pb2.mark] = "m"
assert message.outer.inner.n == 7
assert class_pb2.Inner is file_pb2.Inner  # a public import
assert pickle.loads(pickle.dumps(message)) == message
print(type(message).__module__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{package}.use_pb2\n", "")


def test_proto2_groups_and_editions_are_taken() -> None:
    directory = PROTOS["demo"].parents[1] / "tests" / "protos"
    assert (
        "class Record(_message.Message):"
        in texts_of(directory / "legacy.proto", "protobuf")["legacy_pb2.pyi"]
    )
    assert (
        "class Sample(_message.Message):"
        in texts_of(directory / "edition.proto", "protobuf")["edition_pb2.pyi"]
    )
