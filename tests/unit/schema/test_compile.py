"""protoc as a child: what it reports, and what it cannot do to us."""

from __future__ import annotations

import importlib.metadata
import os
import select
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from support.schema_support import ORDERS, file_names, message
from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, SchemaError
from wirelane.schema import load
from wirelane.schema.compile import compile_sources
from wirelane.schema.compiler import compile_files
from wirelane.schema.protoc import Protoc, find_protoc, run
from wirelane.schema.resolve import SourceFiles


@pytest.fixture(autouse=True)
def _no_directories_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every compilation leaves the directory for temporary files as empty as it was, however it ends."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield
    assert list(directory.iterdir()) == []


def failure(source: object, **options: object) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        load(source, cache=False, **options)  # type: ignore[arg-type]
    return caught.value


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline(time.monotonic() + seconds)


def nested_option(depth: int) -> str:
    return (
        'syntax = "proto2"; import "google/protobuf/descriptor.proto";\n'
        "message O { optional O o = 1; optional int32 x = 2; }\n"
        "extend google.protobuf.MessageOptions { optional O opt = 50000; }\n"
        f"message M {{ option (opt) = {{ {'o {' * depth} x: 1 {'}' * depth} }}; }}\n"
    )


def test_texts_by_name_become_a_set_with_imports_and_positions() -> None:
    data = compile_sources({"a.proto": message("A", "b.proto"), "b.proto": message("B")})
    parsed = descriptor_pb2.FileDescriptorSet.FromString(data)
    assert [file.name for file in parsed.file] == ["b.proto", "a.proto"]
    assert all(file.source_code_info.location for file in parsed.file)


def test_import_paths_complete_the_texts(tmp_path: Path) -> None:
    (tmp_path / "b.proto").write_text(message("B"))
    assert file_names(compile_sources({"a.proto": message("A", "b.proto")}, import_paths=[tmp_path])) == [
        "b.proto",
        "a.proto",
    ]


class TestErrors:
    def test_the_first_problem_is_the_error_and_the_rest_come_along(self) -> None:
        error = failure({"orders.proto": 'syntax = "proto3";\nmessage A {\n  Foo x = 1;\n  Bar y = 1;\n}\n'})
        assert str(error).startswith('orders.proto:3:3: "Foo" is not defined.')
        assert (error.file, error.line, error.column) == ("orders.proto", 3, 3)
        assert [problem[:3] for problem in error.problems][-1] == ("orders.proto", 4, 3)
        assert f"and {len(error.problems)} more problem" in str(error)

    def test_causes_come_before_consequences(self) -> None:
        error = failure({"a.proto": message("A", "b.proto"), "b.proto": 'syntax = "proto3"; message { }\n'})
        assert (error.file, error.line) == ("b.proto", 1)
        assert not any("had errors" in problem[3] for problem in error.problems)

    def test_no_error_tells_a_path_of_ours(self) -> None:
        for source in (
            "syntax = 'proto3'; oops",
            'edition = "2023"; message M { extensions 5; } extend M { int32 e = 5 [features.field_presence = EXPLICIT]; }',
            {"@x.proto": "message {"},
            {"-x.proto": "message {"},
        ):
            error = failure(source)
            everything = repr(error)
            assert tempfile.gettempdir() not in everything
            assert "src/" not in everything
            assert error.file in {"main.proto", "@x.proto", "-x.proto"}
            assert error.line == 1

    def test_names_that_look_like_options_are_names(self) -> None:
        data = load(
            {"@a.proto": message("A"), "--help": message("B"), "b c:d.proto": message("C")}, cache=False
        ).data
        assert sorted(file_names(data)) == ["--help", "@a.proto", "b c:d.proto"]

    def test_warnings_are_no_errors(self) -> None:
        text = message("A", "google/protobuf/any.proto")  # unused
        assert "main.proto" in file_names(load(text, cache=False).data)

    def test_thousands_of_errors_are_bounded(self) -> None:
        body = "\n".join(
            f"  Nope{n} field_{n} = {n + 1};" for n in range(20_000) if not 18_999 <= n <= 19_998
        )
        error = failure(f'syntax = "proto3";\nmessage A {{\n{body}\n}}\n')
        assert (error.file, error.line) == ("main.proto", 3)
        assert 100 < len(error.problems) < 10_000


class TestHostile:
    @pytest.mark.parametrize("depth", [101, 5000, 100_000])
    def test_a_crash_of_protoc_is_an_error(self, depth: int) -> None:
        error = failure(nested_option(depth))
        assert "protoc crashed (SIG" in str(error)

    def test_an_option_as_deep_as_allowed_compiles(self) -> None:
        assert load(nested_option(40), cache=False).data

    def test_memory_is_bounded(self) -> None:
        values = "".join(f"V{n}={n};" for n in range(100_000))
        error = failure(f'syntax = "proto3"; enum E {{ {values} }}', limits=Limits(schema_memory=48 << 20))
        assert "schema_memory=50331648" in str(error)

    def test_time_is_bounded(self) -> None:
        values = "".join(f"V{n}={n};" for n in range(100_000))
        error = failure(f'syntax = "proto3"; enum E {{ {values} }}', timeout=0.2)
        assert "did not end in time" in str(error)

    def test_a_compiler_that_hangs_is_killed_with_its_children(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        script = f"sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
        hanging = Protoc(("/bin/sh", "-c", script), None, "hanging")
        found = SourceFiles(files={"a.proto": b""}, entries=["a.proto"])
        stop = threading.Event()
        ended: list[BaseException] = []

        def compile_() -> None:
            try:
                compile_files(found, limits=Limits(), deadline=soon(1.0), compiler=hanging)
            except SchemaError as error:
                ended.append(error)
            stop.set()

        threading.Thread(target=compile_).start()
        assert stop.wait(30)
        assert "did not end in time" in str(ended[0])
        for pid in map(int, pids.read_text().split()):
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            with open(handle, "rb") as process:  # readable once the process has ended
                assert select.select([process], [], [], 30)[0]

    def test_output_without_end_is_cut(self, tmp_path: Path) -> None:
        outcome = run(
            ["yes", "x" * 1000], directory=tmp_path, deadline=soon(0.5), memory=1 << 30, file_size=1 << 20
        )
        assert outcome.timed_out
        assert len(outcome.output) <= 256 * 1024

    def test_files_are_bounded_and_so_are_core_dumps(self, tmp_path: Path) -> None:
        command = ["/bin/sh", "-c", "ulimit -c; ulimit -t; head -c 3000000 /dev/zero > out"]
        outcome = run(command, directory=tmp_path, deadline=soon(5), memory=1 << 30, file_size=1 << 20)
        assert outcome.output.split()[0] == "0"
        assert 1 <= int(outcome.output.split()[1]) <= 7
        assert (tmp_path / "out").stat().st_size <= 1 << 20

    def test_a_result_out_of_proportion_is_refused(self) -> None:
        # A reserved number takes some six characters, and sixty bytes of ranges and their positions.
        text = (
            f'syntax = "proto3"; message M {{ reserved {",".join(str(n * 2) for n in range(1, 85_000))}; }}'
        )
        with pytest.raises(LimitExceeded, match="compiles to more than"):
            load(text, cache=False, limits=Limits(max_schema_bytes=len(text)))


class TestCompilers:
    def test_ours_is_found_beside_the_interpreter(self) -> None:
        compiler = find_protoc()
        assert Path(compiler.command[0]).parent == Path(sys.executable).parent
        assert compiler.include is not None
        assert (compiler.include / "google/protobuf/any.proto").is_file()

    def test_it_is_found_elsewhere_by_what_pip_installed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", "")
        find_protoc.cache_clear()
        try:
            assert Path(find_protoc().command[0]).name == "protoc"
        finally:
            find_protoc.cache_clear()

    def test_then_on_the_path_then_in_grpcio_tools(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.importorskip("grpc_tools")
        real = find_protoc().command[0]
        python = sys.executable
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
        (tmp_path / "protoc").symlink_to(real)
        monkeypatch.setenv("PATH", str(tmp_path))
        find_protoc.cache_clear()
        try:
            assert find_protoc().command == (str(tmp_path / "protoc"),)
            assert find_protoc().include is not None  # beside what the link leads to
            (tmp_path / "protoc").unlink()
            find_protoc.cache_clear()
            assert find_protoc().command == (str(tmp_path / "python"), "-m", "grpc_tools.protoc")
            assert python != sys.executable
        finally:
            find_protoc.cache_clear()

    def test_grpcio_tools_compiles_as_well(self) -> None:
        grpc_tools = pytest.importorskip("grpc_tools")
        include = Path(grpc_tools.__file__).parent / "_proto"
        compiler = Protoc((sys.executable, "-m", "grpc_tools.protoc"), include, "grpc_tools")
        found = SourceFiles(
            files={"a.proto": message("A", "google/protobuf/any.proto").encode()}, entries=["a.proto"]
        )
        assert "a.proto" in file_names(
            compile_files(found, limits=Limits(), deadline=soon(), compiler=compiler)
        )

    def test_a_compiler_without_its_includes_gets_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from wirelane.schema import sources

        bare = Protoc(find_protoc().command, None, "bare")
        monkeypatch.setattr(sources, "find_protoc", lambda: bare)
        text = message("A", "google/protobuf/descriptor.proto", "google/protobuf/compiler/plugin.proto")
        assert "google/protobuf/compiler/plugin.proto" in file_names(load(text, cache=False).data)

    def test_many_threads_compile_at_once(self) -> None:
        done: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: done.append(load(ORDERS, cache=False).data)) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 6
        assert len(set(done)) == 1

    def test_no_secrets_of_the_environment_reach_the_compiler(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_TOKEN", "hush")
        outcome = run(["env"], directory=tmp_path, deadline=soon(), memory=1 << 30, file_size=1 << 20)
        assert "hush" not in outcome.output
        assert "LC_ALL=C" in outcome.output
        assert os.environ["SECRET_TOKEN"] == "hush"
