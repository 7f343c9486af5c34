"""A chat over one bidirectional stream: both sides send when they like.

python examples/bidi_chat.py
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import wirelane
from wirelane import grpc

# The text of a .proto file is a schema as well.
CHAT = """
syntax = "proto3";

service Chat {
  rpc Talk(stream Line) returns (stream Line);
}

message Line {
  string name = 1;
  string text = 2;
}
"""

Line = dict[str, str]

server = grpc.Server(schema=CHAT)


# Where the client streams, the request is an async iterator; where the server does, the handler yields.
@server.method("Chat/Talk")
async def talk(lines: AsyncIterator[Line]) -> AsyncIterator[Line]:
    yield {"name": "echo", "text": "welcome!"}
    async for line in lines:
        yield {"name": "echo", "text": f"{line['name']} said {line['text']!r}"}


async def chat(address: str) -> None:
    # Leaving either block early would cancel the call, also on the server.
    async with (
        grpc.connect(address, schema=CHAT) as channel,
        channel.bidi_stream("Chat/Talk", timeout=10.0) as stream,
    ):
        print(await stream.receive())

        await stream.send({"name": "ann", "text": "is anybody there?"})
        print(await stream.receive())

        # Several at once, without waiting for the answers; then we have no more to say.
        for text in ("one", "two"):
            await stream.send({"name": "ann", "text": text})
        await stream.done_sending()

        # What is still to come, until the server ends the stream. An error would be raised here.
        async for line in stream:
            print(line)


async def main() -> None:
    async with server.listen("127.0.0.1:0") as listening:
        await chat(str(listening.address))


if __name__ == "__main__":
    wirelane.run(main())
