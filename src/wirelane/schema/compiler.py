"""Sources to descriptors, by protoc.

protoc sees a private temporary directory that holds the files found for it, and the include directory that came with
it; never the user's tree. What it says is told by import names, in `SchemaError`.
"""

from __future__ import annotations

import logging
import re
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2

from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, Problem, SchemaError
from wirelane.schema.protoc import Outcome, Protoc, find_protoc, run

if TYPE_CHECKING:
    from wirelane.schema.resolve import SourceFiles

__all__ = ["OPTIONS", "compile_files", "merge_sets"]

_logger = logging.getLogger(__name__)

OPTIONS: Final = ("--include_imports", "--include_source_info")
"""What makes the result, beside the sources and the compiler; a part of the cache's key."""

_POSITIONED: Final = re.compile(r"(?P<file>[^\n]+?):(?P<line>\d+):(?P<column>\d+): (?P<text>.*)")
_CONSEQUENCE: Final = re.compile(r'Import "[^"]*" was not found or had errors\.')
# Positions and comments make descriptors several times as long as their source.
_GROWTH: Final = 8
_LEAST_OUTPUT: Final = 4 * 1024 * 1024


def compile_files(
    found: SourceFiles, *, limits: Limits, deadline: Deadline, compiler: Protoc | None = None
) -> bytes:
    """Compile what import resolution found. Blocks; leaves no file and no process behind, whatever happens.

    Raises:
        SchemaError: It does not compile; or protoc crashed, hung, or took more memory than it may.
        LimitExceeded: The result is out of all proportion to `max_schema_bytes`.
    """
    compiler = compiler or find_protoc()
    directory = Path(tempfile.mkdtemp(prefix="wirelane-"))  # 0700
    try:
        _write_sources(found, directory)
        result = directory / "result"
        most = max(_LEAST_OUTPUT, limits.max_schema_bytes * _GROWTH)
        arguments = _arguments(found, directory, compiler)
        outcome = run(
            [*compiler.command, *arguments],
            directory=directory / "src",
            deadline=deadline,
            memory=limits.schema_memory,
            file_size=most,
        )
        _check(outcome, limits)
        if result.stat().st_size >= most:
            raise _too_large(most)
        return result.read_bytes()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write_sources(found: SourceFiles, directory: Path) -> None:
    root = directory / "src"
    root.mkdir()
    for name, content in found.files.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
        except (FileExistsError, NotADirectoryError):
            raise SchemaError(f'"{name}" and another import name cannot both be files', file=name) from None


def _arguments(found: SourceFiles, directory: Path, compiler: Protoc) -> list[str]:
    """Return protoc's arguments, relative to the sources; names from outside go into a file of arguments."""
    # "./" in front keeps names that begin with "-" or "@" from being taken for more than names.
    names = "".join(f"./{name}\n" for name in found.entries)
    (directory / "names").write_text(names, encoding="utf-8")
    arguments = ["--descriptor_set_out=../result", *OPTIONS, "-I."]
    if compiler.include is not None:
        arguments.append(f"-I{compiler.include}")
    if found.sets:
        (directory / "sets").write_bytes(
            b"".join(found.sets)
        )  # joined sets are one set: that is how messages merge
        arguments.append("--descriptor_set_in=../sets")
    return [*arguments, "@../names"]


def _check(outcome: Outcome, limits: Limits) -> None:
    """Make an error of how protoc ended, if it did not end well."""
    if outcome.timed_out:
        raise SchemaError("protoc did not end in time and was stopped; is the schema meant to be this large?")
    if outcome.status < 0:
        raise _crash(outcome, limits)
    problems = _problems(outcome.output)
    if outcome.status == 0:
        if outcome.output:
            _logger.debug("protoc: %s", outcome.output.rstrip())
        return
    if not problems:
        text = outcome.output.strip() or f"exit status {outcome.status}"
        raise SchemaError(f"protoc failed: {text[:500]}")
    file, line, column, text = problems[0]
    raise SchemaError(text, file=file, line=line, column=column, problems=problems[1:])


def _crash(outcome: Outcome, limits: Limits) -> SchemaError | LimitExceeded:
    number = -outcome.status
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if "bad_alloc" in outcome.output or "out of memory" in outcome.output.lower():
        return SchemaError(
            f"protoc needs more than schema_memory={limits.schema_memory} bytes for this schema"
        )
    if number == signal.SIGXFSZ:
        return _too_large(max(_LEAST_OUTPUT, limits.max_schema_bytes * _GROWTH))
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return SchemaError(f"protoc was stopped by the system ({name}): out of CPU time or memory")
    return SchemaError(
        f"protoc crashed ({name}) on this schema; options nested too deeply are known to do that"
    )


def _too_large(most: int) -> LimitExceeded:
    return LimitExceeded(
        f"the schema compiles to more than {most} bytes; max_schema_bytes is too small for it",
        limit="max_schema_bytes",
        maximum=most,
    )


def _problems(output: str) -> list[Problem]:
    """Return the errors among what protoc printed, in its order, each once, causes before consequences."""
    causes: list[Problem] = []
    consequences: list[Problem] = []
    for line in output.splitlines():
        line = line.removeprefix("./")  # some messages have the path of the file, most its import name
        positioned = _POSITIONED.fullmatch(line)
        if positioned:
            problem: Problem = (
                positioned["file"],
                int(positioned["line"]),
                int(positioned["column"]),
                positioned["text"],
            )
        else:
            file, separator, text = line.partition(": ")
            if not separator or not file.endswith(".proto"):
                continue
            problem = (file, None, None, text)
        if problem[3].startswith("warning: "):
            continue
        into = consequences if _CONSEQUENCE.fullmatch(problem[3]) else causes
        if problem not in into:
            into.append(problem)
    return causes or consequences


def merge_sets(compiled: bytes, sets: Sequence[bytes]) -> bytes:
    """Return `compiled` and the files of `sets` that it lacks, as one serialized FileDescriptorSet."""
    merged = descriptor_pb2.FileDescriptorSet.FromString(compiled)
    names = {file.name for file in merged.file}
    for data in sets:
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            if file.name not in names:
                names.add(file.name)
                merged.file.append(file)
    return merged.SerializeToString()
