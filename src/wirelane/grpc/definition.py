"""Services written in Python: functions with types in, a .proto out.

    service = grpc.Service("shop.v1.Orders")

    @service.method
    async def get_order(request: GetOrder) -> Order:
        '''Find one order.'''

    server = grpc.Server([service])

Contract: whatever is wrong with a function or its types is raised as `UsageError` when it is decorated. A service is its
own description: `schema` is what a .proto would say, `stub` calls it, and a server of it answers reflection from it. Nothing
is registered globally. What the annotations mean is told in `signatures`, what dataclasses are in
`wirelane.codec.dataclasses`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar, overload

from wirelane.codec import MessageCodec, Schema, codec_for
from wirelane.codec.dataclasses import (
    MessageLike,
    MethodSpec,
    ServiceSpec,
    is_identifier,
    pascal_case,
    reach,
    schema_files,
    schema_of,
    wrapping,
)
from wirelane.errors import UsageError
from wirelane.grpc.methods import BoundMethod, Method
from wirelane.grpc.signatures import Signature, read_signature

if TYPE_CHECKING:
    from wirelane.grpc.defined_stub import DefinedStub
    from wirelane.grpc.server.router import Route
    from wirelane.grpc.stub import CallMaker

__all__ = ["BoundService", "DefinedMethod", "Service"]

F = TypeVar("F", bound=Callable[..., object])
Req = TypeVar("Req", bound=MessageLike)
Res = TypeVar("Res", bound=MessageLike)
P = ParamSpec("P")
Adapt: TypeAlias = Callable[[Method[Any, Any], Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class DefinedMethod:
    """A method of a `Service`.

    Attributes:
        python_name: The name of its function.
        function: The function, as it was decorated.
        signature: What it takes and gives.
        method: How calls name it.
        spec: What a .proto says about it.
    """

    python_name: str
    function: Callable[..., Any]
    signature: Signature
    method: Method[Any, Any]
    spec: MethodSpec

    def request_codec(self) -> MessageCodec:
        """Return what encodes requests: messages, or the values that a message is made for."""
        return _codec(self.signature.request, wraps=self.signature.wraps_request)

    def reply_codec(self) -> MessageCodec:
        """Return the same for replies."""
        return _codec(self.signature.response, wraps=self.signature.wraps_response)

    def bound(self) -> BoundMethod:
        """Return what one channel needs to call it."""
        return BoundMethod(
            self.method.path, self.method.cardinality, self.request_codec(), self.reply_codec()
        )

    def handler(self, owner: object) -> Callable[[Any, Any], Any]:
        """Return what a server calls with (request, context).

        Args:
            owner: Whose method it is; None for a function.
        """
        signature = self.signature
        function = getattr(owner, self.python_name) if signature.takes_self else self.function
        fields, argument, context = signature.parameters or (), signature.argument, signature.context

        def handle(request: Any, given: Any) -> Any:
            arguments = {name: getattr(request, name) for name in fields}
            if argument is not None:
                arguments[argument] = request
            if context is not None:
                arguments[context] = given
            return function(**arguments)

        return handle


def _codec(kind: type, *, wraps: bool) -> MessageCodec:
    codec = codec_for(kind)
    return wrapping(codec, kind) if wraps else codec


class Service:
    """A service made of functions.

    Args:
        name: Its full name, with the package: "shop.v1.Orders".
        doc: What the .proto says about it.
        deprecated: Mark it so there.

    Raises:
        UsageError: `name` is none.
    """

    _blocking = False

    def __init__(self, name: str, *, doc: str = "", deprecated: bool = False) -> None:
        self._spec = ServiceSpec(name, doc=inspect.cleandoc(doc), deprecated=deprecated)
        self._methods: dict[str, DefinedMethod] = {}
        self._schema: Schema | None = None

    @property
    def name(self) -> str:
        """Its full name."""
        return self._spec.name

    # ----------------------------------------------------------------------------------------------- definition

    @overload
    def method(self, function: F) -> F: ...
    @overload
    def method(
        self, function: None = None, *, name: str | None = None, deprecated: bool = False
    ) -> Callable[[F], F]: ...
    def method(self, function: Any = None, *, name: str | None = None, deprecated: bool = False) -> Any:
        """Make the decorated function a method; the function itself stays as it is.

        It is `async def`, and for replies that stream an async generator, with all its types annotated. Its docstring is
        the method's comment in the .proto.

        Args:
            function: Given by `@service.method` without parentheses.
            name: The name of the method; that of the function in PascalCase if None: `get_order` is `GetOrder`.
            deprecated: Mark it so in the .proto.

        Raises:
            UsageError: A type cannot be a message, the function cannot be a handler, or there is such a method; it names the
                function and the parameter.
        """
        if function is not None:
            self._define(function, name, _names_around(function, 2), deprecated=deprecated)
            return function

        def define(function: F) -> F:
            self._define(function, name, _names_around(function, 2), deprecated=deprecated)
            return function

        return define

    def _define(self, function: Any, name: str | None, names: Mapping[str, Any], *, deprecated: bool) -> None:
        python_name = getattr(function, "__name__", "")
        if name is not None and not isinstance(name, str):
            raise UsageError(f"name is the name of the method, not {name!r}")
        chosen = name or pascal_case(python_name.strip("_"))
        signature = read_signature(function, chosen, names, blocking=self._blocking)
        if not is_identifier(chosen):
            raise UsageError(
                f"{chosen!r} is no name of a method in a .proto: ASCII letters, digits and _; "
                '@service.method(name="...") gives another'
            )
        # Now, not when a server needs it: whoever made the mistake looks here.
        try:
            reach((signature.request, signature.response), names)
        except UsageError as error:
            raise UsageError(f"{function.__qualname__}: {error}") from error
        made = DefinedMethod(
            python_name,
            function,
            signature,
            Method(f"{self.name}/{chosen}", signature.cardinality, signature.request, signature.response),
            MethodSpec(
                chosen,
                signature.cardinality,
                signature.request,
                signature.response,
                inspect.cleandoc(function.__doc__ or ""),
                deprecated,
            ),
        )
        if python_name in self._methods:
            raise UsageError(f"{self.name} has a method {python_name} already")
        if any(chosen == other.spec.name for other in self._methods.values()):
            raise UsageError(
                f"{self.name} has a method {chosen} already; name= calls this one something else"
            )
        schema_files([_with(self._spec, [*self._methods.values(), made])])
        self._methods[python_name] = made
        self._schema = None

    @property
    def spec(self) -> ServiceSpec:
        """What its .proto says, as plain values."""
        return _with(self._spec, self._methods.values())

    @property
    def schema(self) -> Schema:
        """The schema: `service.schema.proto_text(...)` is a .proto, `grpc.connect(schema=service.schema)` takes dicts."""
        schema = self._schema
        if schema is None:
            schema = self._schema = schema_of([self.spec])
        return schema

    def proto_text(self) -> str:
        """Return the .proto file of the service, for a compiler of any language."""
        return self.schema.proto_text(self._spec.file)

    # ------------------------------------------------------------------------------------------------- for calls

    @property
    def methods(self) -> Mapping[str, Method[Any, Any]]:
        """How calls name the methods, by the names of the functions: `channel.unary(service.methods["get_order"], ...)`."""
        return MappingProxyType({name: each.method for name, each in self._methods.items()})

    @overload
    def method_for(
        self,
        function: Callable[Concatenate[AsyncIterator[Req], P], AsyncIterator[Res] | Coroutine[Any, Any, Res]],
    ) -> Method[Req, Res]: ...
    @overload
    def method_for(
        self, function: Callable[Concatenate[Req, P], AsyncIterator[Res] | Coroutine[Any, Any, Res]]
    ) -> Method[Req, Res]: ...
    # With `self` in front: to pyright the two above take these, too, until it sees that no object of theirs is a message.
    @overload
    def method_for(  # pyright: ignore[reportOverlappingOverload]
        self,
        function: Callable[
            Concatenate[Any, AsyncIterator[Req], P], AsyncIterator[Res] | Coroutine[Any, Any, Res]
        ],
    ) -> Method[Req, Res]: ...
    @overload
    def method_for(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[Any, Req, P], AsyncIterator[Res] | Coroutine[Any, Any, Res]]
    ) -> Method[Req, Res]: ...
    def method_for(self, function: Callable[..., Any]) -> Method[Any, Any]:
        """Return how calls name the method of a function, with its types: `channel.unary(service.method_for(get_order), ...)`.

        Raises:
            UsageError: The function is no method of this service.
        """
        for each in self._methods.values():
            if each.function is function:
                return each.method
        raise UsageError(f"{getattr(function, '__qualname__', function)!r} is no method of {self.name}")

    def stub(self, channel: CallMaker) -> DefinedStub:
        """Return the service on a channel: its methods take and give what the functions do.

        `orders = service.stub(channel)`, then `await orders.get_order(GetOrder("1"), timeout=2.0)`. No schema is needed.
        """
        from wirelane.grpc.defined_stub import DefinedStub

        return DefinedStub(channel, self.name, self._methods)

    # ---------------------------------------------------------------------------------------------- for servers

    def bind(self, owner: object) -> BoundService:
        """Return the service with its methods called on an object, for those that were defined in a class.

        Args:
            owner: Has the methods: an object of the class in which they were defined, or of a subclass.

        Raises:
            UsageError: It lacks one.
        """
        return BoundService(self, owner)

    def routes(self, adapt: Adapt | None = None, owner: object = None) -> list[Route]:
        """Return what a server serves.

        Args:
            adapt: Makes handlers that the loop runs of functions that block; None where the server cannot.
            owner: Whose methods those are that take self.

        Raises:
            UsageError: It has no methods, or some that need an object, or block.
        """
        from wirelane.grpc.server.router import Route

        if not self._methods:
            raise UsageError(f"{self.name} has no methods; decorate functions with @service.method")
        homeless = [each for each in self._methods.values() if each.signature.takes_self]
        if homeless and owner is None:
            raise UsageError(
                f"{homeless[0].function.__qualname__} takes self: give the server service.bind(object), with the object "
                "whose method it is"
            )
        if self._blocking and adapt is None:
            raise UsageError(f"the functions of {self.name} block: give it to a wirelane.sync.grpc.Server")
        spec = self.spec

        def handler(each: DefinedMethod) -> Callable[..., Any]:
            made = each.handler(owner)
            return adapt(each.method, made) if self._blocking and adapt is not None else made

        return [
            Route(
                path=each.method.path,
                cardinality=each.method.cardinality,
                handler=handler(each),
                request=each.request_codec(),
                reply=each.reply_codec(),
                takes_context=True,
                definition=spec,
            )
            for each in self._methods.values()
        ]

    def __repr__(self) -> str:
        return f"<Service {self.name}: {', '.join(each.spec.name for each in self._methods.values()) or 'no methods'}>"


class BoundService:
    """A `Service` whose methods are those of an object."""

    def __init__(self, service: Service, owner: object) -> None:
        if isinstance(owner, type):
            raise UsageError(f"bind() takes an object, and {owner.__name__} is a class: {owner.__name__}()")
        for name in service.methods:
            if not callable(getattr(owner, name, None)) and service._methods[name].signature.takes_self:
                raise UsageError(f"{type(owner).__name__} has no method {name}, which {service.name} needs")
        self.service = service
        self.owner = owner

    def routes(self, adapt: Adapt | None = None) -> list[Route]:
        """Return what a server serves; see `Service.routes`."""
        return self.service.routes(adapt, self.owner)

    def __repr__(self) -> str:
        return f"<BoundService {self.service.name} of {self.owner!r}>"


def _with(spec: ServiceSpec, methods: Any) -> ServiceSpec:
    return ServiceSpec(spec.name, tuple(each.spec for each in methods), spec.doc, spec.deprecated)


def _names_around(function: object, depth: int) -> Mapping[str, Any]:
    """Return the local names where a function inside a function was decorated: annotations may name classes there."""
    if "<locals>" not in getattr(function, "__qualname__", ""):
        return {}
    return dict(sys._getframe(depth).f_locals)
