"""Messages to bytes and back, library by library: CPU time of one message, in one process, in turn.

    python -m benchmarks.codecs [--scale X] [--repeat N]        prints one line of JSON

Every library gets the same five messages in the form it has for them, and every figure is the best of `--repeat` rounds;
in each round all libraries have their turn. A dict is that of the library that reads it: json_format's has text where
wirelane's has numbers, bytes and times. "JSON" goes from bytes to text and from text to bytes. What is not installed is
left out, and named.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import json_format

from benchmarks.codec_messages import MESSAGES, as_dataclass
from benchmarks.figures import CodecFigure
from wirelane import Schema, codec
from wirelane.codec import codec_for

HERE = Path(__file__).resolve().parent
SCHEMA = Schema.load(HERE / "bench.proto")
# Seconds that one measurement takes at scale 1.
TURN = 0.02

Work = Callable[[], object]
Classes = dict[str, dict[str, Any]]
"""Message classes by library and name."""


@dataclass(frozen=True)
class Contestant:
    """One library with one message. `base`: the library that its ratios are against."""

    library: str
    message: str
    encode: Work
    decode: Work
    base: str | None = None


def contestants(message: str, generated: Classes) -> Iterator[Contestant]:
    """Every library that is there, with one message."""
    value = MESSAGES[message]
    name = f"bench.{message}"
    kind: Any = SCHEMA.message_class(name)
    data = SCHEMA.encode(name, value)
    google = kind.FromString(data)
    yield Contestant("google.protobuf", message, google.SerializeToString, lambda: kind.FromString(data))
    yield _by_codec("google.protobuf through wirelane", message, google, data, "google.protobuf")
    octets = codec_for(bytes)
    yield Contestant("raw bytes", message, lambda: octets.encode(data), lambda: octets.reader(data))

    shown = json_format.MessageToDict(google, preserving_proto_field_name=True)
    yield Contestant(
        "json_format, dict",
        message,
        lambda: json_format.ParseDict(shown, kind()).SerializeToString(),
        lambda: json_format.MessageToDict(kind.FromString(data), preserving_proto_field_name=True),
    )
    dicts = SCHEMA.codec(name)
    yield Contestant(
        "wirelane, dict",
        message,
        lambda: dicts.encode(value),
        lambda: dicts.reader(data),
        "json_format, dict",
    )
    text = json.dumps(SCHEMA.to_json(name, value))
    yield Contestant(
        "json_format, JSON",
        message,
        lambda: json_format.Parse(text, kind()).SerializeToString(),
        lambda: json_format.MessageToJson(
            kind.FromString(data), preserving_proto_field_name=True, indent=None
        ),
    )
    yield Contestant(
        "wirelane, JSON",
        message,
        lambda: SCHEMA.encode(name, SCHEMA.from_json(name, json.loads(text))),
        lambda: json.dumps(SCHEMA.to_json(name, kind.FromString(data))),
        "json_format, JSON",
    )
    if buf := generated.get("protobuf-py"):
        kind_of_buf: Any = buf[message]
        of_buf = kind_of_buf.from_binary(data)
        yield Contestant("protobuf-py", message, of_buf.to_binary, lambda: kind_of_buf.from_binary(data))
        yield _by_codec("protobuf-py through wirelane", message, of_buf, data, "protobuf-py")
    own = codec.encode(as_dataclass(message))
    yield _by_codec("dataclasses", message, as_dataclass(message), own)
    yield from _betterproto2(message, data, generated)


def _by_codec(library: str, message: str, value: Any, data: bytes, base: str | None = None) -> Contestant:
    codec = codec_for(type(value))
    encode, read = codec.encode, codec.reader
    return Contestant(library, message, lambda: encode(value), lambda: read(data), base)


def _betterproto2(message: str, data: bytes, generated: Classes) -> Iterator[Contestant]:
    own = "betterproto2"
    if own not in generated:
        return
    kind: Any = generated[own][message]
    value = kind.parse(data)
    yield Contestant(own, message, lambda: bytes(value), lambda: kind.parse(data))
    yield _by_codec("betterproto2 through wirelane", message, value, data, own)
    fast: Any = generated["accelerated"][message]
    other = fast.parse(data)
    yield Contestant(
        "betterproto2, accelerated", message, lambda: bytes(other), lambda: fast.parse(data), own
    )


def generate(directory: Path) -> tuple[Classes, dict[str, str]]:
    """Message classes that are generated or made; and what is missing, with the reason."""
    classes: Classes = {}
    missing: dict[str, str] = {}
    for make in (_generate_betterproto2, _make_protobuf_py):
        try:
            classes |= make(directory)
        except Missing as reason:
            missing[str(reason.args[0])] = str(reason.args[1])
    return classes, missing


class Missing(Exception):
    """A library is not there: its name, and why."""


def _generate_betterproto2(directory: Path) -> Classes:
    """Messages of betterproto2, as they are and, another time, accelerated."""
    scripts = Path(sys.executable).parent
    plugin = scripts / "protoc-gen-python_betterproto2"
    if not plugin.exists():
        raise Missing("betterproto2", "betterproto2_compiler is not installed")
    modules: dict[str, ModuleType] = {}
    sys.path.insert(0, str(directory))
    for name in ("betterproto2", "accelerated"):
        out = directory / f"bench_{name}"
        out.mkdir()
        done = subprocess.run(
            [
                scripts / "protoc",
                f"-I{HERE}",
                f"--python_betterproto2_out={out}",
                f"--plugin={plugin}",
                "bench.proto",
            ],
            capture_output=True,
            text=True,
            check=False,
            # The plugin runs ruff.
            env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"},
        )
        if done.returncode:
            raise Missing("betterproto2", done.stderr.strip()[-200:])
        modules[name] = importlib.import_module(f"bench_{name}.bench")
    from wirelane.codec import accelerate

    accelerate(modules["accelerated"])
    return {
        name: {message: getattr(module, message) for message in MESSAGES} for name, module in modules.items()
    }


def _make_protobuf_py(_: Path) -> Classes:
    """Messages of protobuf-py, which makes its classes of descriptors, generated modules or not."""
    try:
        from protobuf._codegen import file_desc
    except ImportError:
        raise Missing("protobuf-py", "not installed") from None
    made: dict[str, Any] = {}
    for name in SCHEMA.files():
        imports = [made[needed] for needed in SCHEMA.file_proto(name).dependency]
        made[name] = file_desc(SCHEMA.file_bytes(name), imports, {})
    return {"protobuf-py": {each.name: each.type for each in made["bench.proto"].messages}}


def measured(work: Work, turn: float) -> Callable[[], float]:
    """Return a function that gives the microseconds of CPU that `work` takes, once it is warm."""
    work()
    start = time.process_time()
    loops = 0
    while time.process_time() - start < turn / 4:
        work()
        loops += 1
    loops = max(1, loops * 4)

    def once() -> float:
        before = time.process_time()
        for _ in range(loops):
            work()
        return (time.process_time() - before) / loops * 1e6

    return once


def rounds(all_of: list[Contestant], turn: float, repeat: int) -> list[CodecFigure]:
    """The best of each, all in turn in every round."""
    works = [(measured(each.encode, turn), measured(each.decode, turn)) for each in all_of]
    found = [(float("inf"), float("inf"))] * len(all_of)
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeat):
            found = [
                (min(best[0], encode()), min(best[1], decode()))
                for best, (encode, decode) in zip(found, works, strict=True)
            ]
    finally:
        gc.enable()
    times = {each.library: best for each, best in zip(all_of, found, strict=True)}
    return [
        CodecFigure(
            each.message,
            each.library,
            *times[each.library],
            base=each.base,
            encode_ratio=times[each.base][0] / times[each.library][0] if each.base in times else None,
            decode_ratio=times[each.base][1] / times[each.library][1] if each.base in times else None,
        )
        for each in all_of
    ]


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=4)
    options = parser.parse_args()
    figures: list[CodecFigure] = []
    with tempfile.TemporaryDirectory() as directory:
        generated, missing = generate(Path(directory))
        for message in MESSAGES:
            figures += rounds(list(contestants(message, generated)), TURN * options.scale, options.repeat)
    sizes = {message: len(SCHEMA.encode(f"bench.{message}", value)) for message, value in MESSAGES.items()}
    print(json.dumps({"figures": [asdict(each) for each in figures], "missing": missing, "sizes": sizes}))


if __name__ == "__main__":
    main()
