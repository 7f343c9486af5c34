"""Methods: what a call names, and what is needed to make it.

A `Method` is public, a value, and carries types: with one, no schema is needed. A `BoundMethod` is what a channel
makes of a `Method`, of a name in a schema or of a schema's `MethodInfo`: the path and the two codecs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar

from wirelane.core.method import Cardinality, method_path, split_method
from wirelane.errors import RpcError, UsageError
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.codec import MessageCodec, Schema
    from wirelane.codec.formats import Codec
    from wirelane.schema import MethodInfo
    from wirelane.transport.base import RequestHead

__all__ = ["CALL_FORMS", "BoundMethod", "Method", "MethodLike", "bind"]

Req = TypeVar("Req")
Res = TypeVar("Res")

CALL_FORMS = {
    Cardinality.UNARY: "unary",
    Cardinality.SERVER_STREAM: "server_stream",
    Cardinality.CLIENT_STREAM: "client_stream",
    Cardinality.BIDI_STREAM: "bidi_stream",
}
"""The method of `Channel` for each kind of call."""


@dataclass(frozen=True, slots=True, eq=True)
class Method(Generic[Req, Res]):
    """A method with typed messages.

    Attributes:
        path: "/pkg.Service/Method"; given in any form that names a method.
        cardinality: Who streams.
        request_type: The class of the requests: betterproto2, betterproto, google.protobuf, protobuf-py, or bytes for messages
            that are already encoded; dict, if there is a schema.
        response_type: The class of the replies.
        schema: Gives the schema that the method is described in: for reflection, and to encode dicts.

    Raises:
        UsageError: `path` names no method, or something is no class.
    """

    path: str
    cardinality: Cardinality
    request_type: type[Req]
    response_type: type[Res]
    schema: Callable[[], Schema] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", method_path(*split_method(self.path)))
        if not isinstance(self.cardinality, Cardinality):
            raise UsageError(f"cardinality is a grpc.Cardinality, not {self.cardinality!r}")
        for name in ("request_type", "response_type"):
            if not isinstance(getattr(self, name), type):
                raise UsageError(f"{name} is a class of messages, not {getattr(self, name)!r}")

    def __hash__(self) -> int:
        # On the path of every call: a str remembers its hash, the other fields would be hashed anew.
        return hash(self.path)

    @property
    def name(self) -> str:
        """The method as people write it: "pkg.Service/Method"."""
        return self.path[1:]

    def codecs(self) -> tuple[MessageCodec, MessageCodec]:
        """Return the codecs of requests and replies.

        Raises:
            UsageError: A type is no type of messages.
        """
        from wirelane.codec import codec_for

        if self.schema is None or (self.request_type is not dict and self.response_type is not dict):
            return codec_for(self.request_type), codec_for(self.response_type)
        schema = self.schema()
        info = schema.find_method(self.path)
        return schema.codec(info.input_type), schema.codec(info.output_type)

    def unimplemented(self) -> NoReturn:
        """Answer for a service that does not have this method.

        Raises:
            RpcError: UNIMPLEMENTED.
        """
        raise RpcError(StatusCode.UNIMPLEMENTED, f"{self.name} is not implemented here")


MethodLike: TypeAlias = "str | Method[Any, Any] | MethodInfo"


class BoundMethod:
    """A method ready to be called.

    Attributes:
        name: "pkg.Service/Method".
        encode: Request to bytes; raises CodecError.
        reply: The codec of replies.
        parse: Bytes to reply, its `reader`; raises what that raises.
        schema: What it was found in; None for a `Method`.
        heads: Request heads without deadline and metadata of their own, by encoding: they repeat from call to call.
    """

    __slots__ = ("cardinality", "encode", "heads", "name", "parse", "path", "reply", "schema")

    def __init__(
        self,
        path: str,
        cardinality: Cardinality,
        request: MessageCodec,
        reply: MessageCodec,
        schema: Schema | None = None,
    ) -> None:
        self.path = path
        self.name = path[1:]
        self.cardinality = cardinality
        self.encode = request.encode
        self.reply = reply
        self.parse = reply.reader
        self.schema = schema
        self.heads: dict[str | None, RequestHead] = {}

    def require(self, cardinality: Cardinality) -> None:
        """Check that this is the form in which the method can be called.

        Raises:
            UsageError: It is not; says which form it is.
        """
        if self.cardinality is not cardinality:
            form, asked = CALL_FORMS[self.cardinality], CALL_FORMS[cardinality]
            raise UsageError(f"{self.name} is no {asked} method: call it with channel.{form}(...)")

    def __repr__(self) -> str:
        return f"<BoundMethod {self.name} {self.cardinality.name}>"


def bind(method: MethodLike | BoundMethod, schema: Schema | None, codec: Codec | None = None) -> BoundMethod:
    """Return what a call of `method` needs; `codec` is that of the messages of the schema, as in `Schema.codec`.

    Raises:
        UsageError: A name without a schema, a name that the schema does not have, or no method at all.
    """
    if isinstance(method, BoundMethod):
        return method
    if isinstance(method, Method):
        return BoundMethod(method.path, method.cardinality, *method.codecs())
    if isinstance(method, str):
        if schema is None:
            split_method(method)
            raise UsageError(
                f"{method!r} cannot be called by its name without a schema: pass schema='file.proto' or "
                "schema='reflection' to connect(), or a grpc.Method(path, cardinality, RequestType, ResponseType)"
            )
        info = schema.find_method(method)
    else:
        info = method
        if schema is None or not hasattr(info, "input_type"):
            raise UsageError(
                f"a method is a name, a grpc.Method or a method of the channel's schema, not {method!r}"
            )
    request, reply = schema.codec(info.input_type, codec), schema.codec(info.output_type, codec)
    return BoundMethod(info.path, info.cardinality, request, reply, schema)
