"""gRPC without `await`: channels and their calls.

    with grpc.connect("localhost:50051", schema="protos/summator.proto") as channel:
        reply = channel.unary("Summator/sum", {"value1": 5, "value2": 3})

The names here are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane._lazy import lazy

if TYPE_CHECKING:
    from wirelane.codec.dataclasses.options import Field as Field
    from wirelane.codec.dataclasses.options import message as message
    from wirelane.core.keepalive import ServerOptions as ServerOptions
    from wirelane.core.metadata import MetadataLike as MetadataLike
    from wirelane.core.method import Cardinality as Cardinality
    from wirelane.grpc.definition import BoundService as BoundService
    from wirelane.grpc.deprecation import deprecated as deprecated
    from wirelane.grpc.methods import Method as Method
    from wirelane.grpc.options import ChannelOptions as ChannelOptions
    from wirelane.grpc.options import ChannelState as ChannelState
    from wirelane.grpc.options import ChannelStats as ChannelStats
    from wirelane.grpc.script import DoneSending as DoneSending
    from wirelane.grpc.script import Receive as Receive
    from wirelane.grpc.script import Send as Send
    from wirelane.grpc.script import Step as Step
    from wirelane.grpc.server import ServerStats as ServerStats
    from wirelane.grpc.stub import ServiceStub as ServiceStub
    from wirelane.sync._definition import Service as Service
    from wirelane.sync._feeding import Messages as Messages
    from wirelane.sync._unary_call import UnaryCall as UnaryCall
    from wirelane.sync.grpc.channel import Channel as Channel
    from wirelane.sync.grpc.context import Context as Context
    from wirelane.sync.grpc.server import Server as Server
    from wirelane.sync.grpc.shortcuts import call as call
    from wirelane.sync.grpc.shortcuts import connect as connect
    from wirelane.sync.grpc.shortcuts import reflect as reflect
    from wirelane.sync.grpc.streams import BidiStreamCall as BidiStreamCall
    from wirelane.sync.grpc.streams import ClientStreamCall as ClientStreamCall
    from wirelane.sync.grpc.streams import ServerStreamCall as ServerStreamCall
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "BidiStreamCall",
    "BoundService",
    "Cardinality",
    "Channel",
    "ChannelOptions",
    "ChannelState",
    "ChannelStats",
    "ClientStreamCall",
    "Context",
    "DoneSending",
    "Field",
    "Messages",
    "MetadataLike",
    "Method",
    "Receive",
    "Send",
    "Server",
    "ServerOptions",
    "ServerStats",
    "ServerStreamCall",
    "Service",
    "ServiceStub",
    "Step",
    "UnaryCall",
    "call",
    "connect",
    "deprecated",
    "message",
    "reflect",
]
