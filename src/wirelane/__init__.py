"""wirelane: gRPC and TCP for asyncio, client and server, with or without generated code.

    from wirelane import grpc, tcp

`wirelane.grpc` and `wirelane.tcp` are the two products; the names here are what both share. They are loaded when they
are first used, so that `import wirelane` costs next to nothing. The block under TYPE_CHECKING below is the only list
of them that there is: type checkers read it, and so does `lazy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane._lazy import lazy
from wirelane._version import __version__

if TYPE_CHECKING:
    from wirelane import codec as codec
    from wirelane import grpc as grpc
    from wirelane import tcp as tcp
    from wirelane._run import run as run
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
    "__version__",
    "codec",
    "grpc",
    "run",
    "tcp",
]
