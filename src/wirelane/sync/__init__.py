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
    from wirelane import codec as codec
    from wirelane.codec import Schema as Schema
    from wirelane.core.limits import Limits as Limits
    from wirelane.core.metadata import Metadata as Metadata
    from wirelane.core.trace import TraceEntry as TraceEntry
    from wirelane.errors import BusyError as BusyError
    from wirelane.errors import ClosedError as ClosedError
    from wirelane.errors import CodecError as CodecError
    from wirelane.errors import ConnectError as ConnectError
    from wirelane.errors import ConnectionLost as ConnectionLost
    from wirelane.errors import DeadlineExceeded as DeadlineExceeded
    from wirelane.errors import EndOfStream as EndOfStream
    from wirelane.errors import LimitExceeded as LimitExceeded
    from wirelane.errors import PeerError as PeerError
    from wirelane.errors import PoolTimeout as PoolTimeout
    from wirelane.errors import ProxyError as ProxyError
    from wirelane.errors import ReadTimeout as ReadTimeout
    from wirelane.errors import ResolveError as ResolveError
    from wirelane.errors import RpcError as RpcError
    from wirelane.errors import SchemaError as SchemaError
    from wirelane.errors import SendTimeout as SendTimeout
    from wirelane.errors import TlsError as TlsError
    from wirelane.errors import UsageError as UsageError
    from wirelane.errors import WirelaneError as WirelaneError
    from wirelane.net.options import SocketOptions as SocketOptions
    from wirelane.net.proxy import ProxyConfig as ProxyConfig
    from wirelane.net.tls import TlsConfig as TlsConfig
    from wirelane.net.trace import Trace as Trace
    from wirelane.status import StatusCode as StatusCode
    from wirelane.sync import grpc as grpc
    from wirelane.sync import tcp as tcp
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "BusyError",
    "ClosedError",
    "CodecError",
    "ConnectError",
    "ConnectionLost",
    "DeadlineExceeded",
    "EndOfStream",
    "LimitExceeded",
    "Limits",
    "Metadata",
    "PeerError",
    "PoolTimeout",
    "ProxyConfig",
    "ProxyError",
    "ReadTimeout",
    "ResolveError",
    "RpcError",
    "Schema",
    "SchemaError",
    "SendTimeout",
    "SocketOptions",
    "StatusCode",
    "TlsConfig",
    "TlsError",
    "Trace",
    "TraceEntry",
    "UsageError",
    "WirelaneError",
    "codec",
    "grpc",
    "tcp",
]
