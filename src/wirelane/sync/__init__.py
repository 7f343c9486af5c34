"""wirelane without `await`: the same names, for threads and scripts.

    from wirelane.sync import grpc

    with grpc.connect("localhost:50051", schema="protos/summator.proto") as channel:
        reply = channel.unary("Summator/sum", {"value1": 5, "value2": 3})

One event loop, in a thread of its own, does the work; any number of threads may share a channel. Ctrl-C cancels what the
main thread waits for. Inside an event loop use `wirelane` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane._lazy import lazy

if TYPE_CHECKING:
    from wirelane.sync import grpc as grpc
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["grpc"]
