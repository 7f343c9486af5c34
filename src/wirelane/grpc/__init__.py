"""gRPC, both ends: channels and their calls, servers and their services.

    async with grpc.connect("localhost:50051", schema="protos/summator.proto") as channel:
        reply = await channel.unary("Summator/sum", {"value1": 5, "value2": 3})

The names here are loaded when they are first used: a client does not pay for the server, nor the server for the client.
No module of this package may be called like one of them: importing it would take the name over.
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
    from wirelane.grpc.channel import Channel as Channel
    from wirelane.grpc.definition import BoundService as BoundService
    from wirelane.grpc.definition import Service as Service
    from wirelane.grpc.deprecation import deprecated as deprecated
    from wirelane.grpc.methods import Method as Method
    from wirelane.grpc.options import ChannelOptions as ChannelOptions
    from wirelane.grpc.options import ChannelState as ChannelState
    from wirelane.grpc.options import ChannelStats as ChannelStats
    from wirelane.grpc.script import DoneSending as DoneSending
    from wirelane.grpc.script import Receive as Receive
    from wirelane.grpc.script import Send as Send
    from wirelane.grpc.script import Step as Step
    from wirelane.grpc.server import Context as Context
    from wirelane.grpc.server import Server as Server
    from wirelane.grpc.server import ServerStats as ServerStats
    from wirelane.grpc.shortcuts import call as call
    from wirelane.grpc.shortcuts import connect as connect
    from wirelane.grpc.shortcuts import load_schema as load_schema
    from wirelane.grpc.shortcuts import reflect as reflect
    from wirelane.grpc.streams import BidiStreamCall as BidiStreamCall
    from wirelane.grpc.streams import ClientStreamCall as ClientStreamCall
    from wirelane.grpc.streams import ClientStreamReply as ClientStreamReply
    from wirelane.grpc.streams import Messages as Messages
    from wirelane.grpc.streams import ServerStreamCall as ServerStreamCall
    from wirelane.grpc.stub import ServiceStub as ServiceStub
    from wirelane.grpc.unary import UnaryCall as UnaryCall
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
    "ClientStreamReply",
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
    "load_schema",
    "message",
    "reflect",
]
