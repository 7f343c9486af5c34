"""Descriptors of the .proto files that wirelane itself speaks, compiled ahead of time.

`descriptor_set(name)` gives a serialized `google.protobuf.FileDescriptorSet`, imports included. Nothing here
is registered in protobuf's default pool, so an application may have its own copy of any of these files.

- ``"health"``: grpc.health.v1
- ``"interop"``: grpc.testing, the services of the gRPC interoperability tests
- ``"reflection"``: grpc.reflection.v1 and v1alpha
- ``"rpc"``: google.rpc.Status, Code and the error details
- ``"demo"``: what `wirelane serve` offers, with its comments: `Summator`, `Greeter` and
`wirelane.demo.Everything`

The sources are in protos/ of the repository; tools/make_protos.py compiles them.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Literal

__all__ = ["SetName", "descriptor_set"]

SetName = Literal["health", "interop", "reflection", "rpc", "demo"]


@cache
def descriptor_set(name: SetName) -> bytes:
    """The serialized FileDescriptorSet `name`, every file after those that it imports.

    Raises:
        KeyError: no set of this name.
    """
    # Imported here: the module is 40 kB of text that a user of TCP never needs.
    from wirelane.protos._descriptors import ENCODED

    return base64.b64decode(ENCODED[name])
