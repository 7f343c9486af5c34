"""What is optional is not imported by those who do without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# By the names of their modules: message libraries, what generates them, other stacks, and what only the command needs.
OPTIONAL = {
    "betterproto", "betterproto2", "protobuf", "protobuf_py", "jinja2", "ruff", "betterproto2_compiler", "grpc_tools", "grpc", "grpclib",
    "h2", "click", "rich", "prompt_toolkit", "trustme", "uvloop", "numpy", "pydantic",
}  # fmt: skip

PROGRAMS = {
    "import wirelane": "import wirelane",
    "the codecs": "import wirelane.codec",
    "a call with dicts": """
import asyncio
from wirelane import grpc
TEXT = 'syntax = "proto3"; message M { string a = 1; } service S { rpc R(M) returns (M); }'
async def main():
    server = grpc.Server(schema=TEXT)
    @server.method("S/R")
    async def echo(request):
        return request
    async with server.listen("127.0.0.1:0") as at:
        async with grpc.connect(f"127.0.0.1:{at.port}", schema="reflection") as channel:
            assert await channel.unary("S/R", {"a": "x"}) == {"a": "x"}
asyncio.run(main())
""",
    "a call with messages of google.protobuf": """
import asyncio
from google.protobuf.wrappers_pb2 import StringValue
from wirelane import grpc
async def main():
    echo = grpc.Method("S/R", grpc.Cardinality.UNARY, StringValue, StringValue)
    server = grpc.Server()
    @server.method(echo)
    async def handler(request):
        return request
    async with server.listen("127.0.0.1:0") as at:
        async with grpc.connect(f"127.0.0.1:{at.port}") as channel:
            assert await channel.unary(echo, StringValue(value="x")) == StringValue(value="x")
asyncio.run(main())
""",
    "a failed call with details": """
from wirelane.codec import decode_status_details, encode_status_details
blob = encode_status_details(5, "no", [{"@type": "google.rpc.ErrorInfo", "reason": "A"}])
assert decode_status_details(blob)[0]["reason"] == "A"
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_not_used_is_not_imported(name: str) -> None:
    program = f"{PROGRAMS[name]}\nimport json, sys\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not OPTIONAL & set(json.loads(done.stdout))
