"""The demo server that `wirelane serve` runs, and the tour of it that `wirelane demo` takes.

`services` answers the methods of protos/demo, `server` puts them on ports, `steps` are the stops of the tour, `tour`
walks along them and prints what it saw, `command` is the verb.
"""

from __future__ import annotations

from wirelane.cli.demo.server import DemoAddresses, DemoServer, proto_directory

__all__ = ["DemoAddresses", "DemoServer", "proto_directory"]
