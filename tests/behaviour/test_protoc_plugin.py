"""`protoc-gen-wirelane` under protoc, under grpcio's protoc, and under buf."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

from support.codegen_support import PROTOS, ROOT, texts_of
from wirelane.codegen.plugin import respond

BIN = Path(sys.executable).parent
COMPILERS = {"protoc": [str(BIN / "protoc")], "grpc_tools": [sys.executable, "-m", "grpc_tools.protoc"]}
PATH = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}


def compile_with(compiler: str, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    return subprocess.run(
        [*COMPILERS[compiler], f"--wirelane_out={out}", *arguments],
        env=PATH,
        capture_output=True,
        text=True,
        check=False,
    )


def contents(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("messages", ["betterproto2", "protobuf", "none"])
def test_protoc_writes_what_the_command_writes(tmp_path: Path, compiler: str, messages: str) -> None:
    source = PROTOS["awkward"]
    files = sorted(path.name for path in source.glob("*.proto"))
    include = [f"-I{source}", f"-I{ROOT / 'protos'}"]
    done = compile_with(compiler, tmp_path / "out", *include, f"--wirelane_opt=messages={messages}", *files)
    assert (done.returncode, done.stderr) == (0, "")
    made, expected = contents(tmp_path / "out"), texts_of(source, messages)
    assert made.keys() == expected.keys()
    # With the include path given here, google/rpc is that of the repository, which has comments.
    differing = {name for name in made if made[name] != expected[name]}
    assert differing <= {"_schema.py", *(name for name in made if name.startswith("google/rpc/"))}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_editions_and_optional_fields_of_proto3_are_taken(tmp_path: Path, compiler: str) -> None:
    (tmp_path / "new.proto").write_text('edition = "2023"; message New { int32 a = 1; }')
    (tmp_path / "three.proto").write_text('syntax = "proto3"; message Three { optional int32 a = 1; }')
    done = compile_with(compiler, tmp_path / "out", f"-I{tmp_path}", "new.proto", "three.proto")
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "out")["__init__.py"].count("a: int | None = ") == 2


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("messages=nonsense", "messages is one of betterproto2, protobuf, betterproto, none, not 'nonsense'"),
        ("sync=maybe", "sync is true or false, not 'maybe'"),
        ("colour=red", "there is no option 'colour'; there are messages, services and sync"),
    ],
)
def test_a_wrong_option_is_told_by_protoc(tmp_path: Path, option: str, text: str) -> None:
    done = compile_with(
        "protoc", tmp_path, f"-I{PROTOS['demo']}", f"--wirelane_opt={option}", "summator.proto"
    )
    assert done.returncode == 1
    assert done.stderr == f"--wirelane_out: {text}\n"


def test_options_choose_what_is_written(tmp_path: Path) -> None:
    done = compile_with(
        *(
            "protoc",
            tmp_path / "out",
            f"-I{PROTOS['demo']}",
            "--wirelane_opt=sync=false,messages=none",
            "summator.proto",
        )
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(contents(tmp_path / "out")) == ["__init__.py", "_schema.py", "py.typed"]


def test_what_cannot_be_expressed_is_told_by_protoc(tmp_path: Path) -> None:
    done = compile_with("protoc", tmp_path, f"-I{ROOT / 'tests' / 'protos'}", "legacy.proto")
    assert done.returncode == 1
    assert "--wirelane_out: legacy.Record.line is a group" in done.stderr


def test_the_answer_declares_what_is_supported() -> None:
    response = respond(plugin_pb2.CodeGeneratorRequest())
    assert response.error == "the request is an empty descriptor set"
    assert response.supported_features & response.FEATURE_PROTO3_OPTIONAL
    assert response.supported_features & response.FEATURE_SUPPORTS_EDITIONS
    assert response.minimum_edition == descriptor_pb2.EDITION_PROTO2
    assert response.maximum_edition >= descriptor_pb2.EDITION_2023


@pytest.mark.skipif(shutil.which("buf") is None, reason="buf is not installed")
def test_buf_writes_what_the_command_writes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "generate.md").read_text()
    (tmp_path / "buf.gen.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    source = tmp_path / "protos" / "tests" / "calls"
    source.mkdir(parents=True)
    shutil.copy(PROTOS["calls"] / "calls.proto", source)
    environment = {**PATH, "BUF_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run(["buf", "generate"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    made = contents(tmp_path / "src" / "app" / "rpc")
    assert made == texts_of(tmp_path / "protos")
