"""Stubs and bases of services: one class each, with a typed method per rpc.

A stub's methods return the calls of `wirelane.grpc`, so that what a call can do (timeouts, metadata, cancelling, sending
and receiving at once, ending early) is what it does there. A base's methods answer UNIMPLEMENTED until they are overridden.
The classes for `wirelane.sync` are the same without `async`; there, calls that are awaited here return their reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from wirelane.codegen.model import Rpc, Service
from wirelane.codegen.module import PyModule, with_docstring
from wirelane.codegen.names import Scope, identifier, safe
from wirelane.codegen.text import call, indent, literal, signature
from wirelane.core.method import Cardinality
from wirelane.core.names import snake_case

__all__ = ["Types", "write_services"]

_FORMS: Final = {
    Cardinality.UNARY: ("unary", "UnaryCall"),
    Cardinality.SERVER_STREAM: ("server_stream", "ServerStreamCall"),
    Cardinality.CLIENT_STREAM: ("client_stream", "ClientStreamCall"),
    Cardinality.BIDI_STREAM: ("bidi_stream", "BidiStreamCall"),
}
_OPTIONS: Final = ("timeout", "metadata", "compression", "wait_for_ready")
# Names of Python in the annotations of the methods: a method of this name would be taken for them.
_IN_ANNOTATIONS: Final = (
    *("bool", "dict", "float", "object", "str"),
    *("abc", "grpc", "typing", "_abc", "_grpc", "_typing"),
)


class Types(Protocol):
    """How the classes of messages are written in a module; what needs an import adds it."""

    def annotation(self, full_name: str, module: PyModule) -> str:
        """Return the type of a message."""
        ...

    def runtime(self, full_name: str, module: PyModule) -> str:
        """Return the class of a message."""
        ...

    def is_empty(self, full_name: str) -> bool:
        """Whether a message has no fields, so that a call may do without one."""
        ...


@dataclass(frozen=True, slots=True)
class _Method:
    """An rpc with its names and types in a module."""

    rpc: Rpc
    name: str
    constant: str
    request: str
    reply: str
    request_class: str
    reply_class: str
    optional: bool


def write_services(module: PyModule, services: Sequence[Service], types: Types, schema: str) -> None:
    """Write the stubs and bases of services into a module.

    Args:
        module: Where they go.
        services: What they are of.
        types: How messages are written.
        schema: What the embedded schema is called in the module.
    """
    # Names first: what is written may not hide what another class is called.
    names = {}
    for service in services:
        name = identifier(service.name)
        names[service.full_name] = (module.scope.take(f"{name}Stub"), module.scope.take(f"{name}Base"))
    grpc = module.use("grpc")
    for service in services:
        stub, base = names[service.full_name]
        module.public += [stub, base]
        methods = _methods(module, service, types)
        module.services += ["", ""] if methods else []
        for method in methods:
            module.services += _constant(module, method, grpc, schema)
        module.services += ["", "", *_stub(module, service, stub, methods)]
        module.services += ["", "", *_base(module, service, base, methods)]


def _methods(module: PyModule, service: Service, types: Types) -> list[_Method]:
    # References first, and the names of methods last: a method hides what is called like it.
    references = [
        (
            types.annotation(rpc.input, module),
            types.annotation(rpc.output, module),
            types.runtime(rpc.input, module),
            types.runtime(rpc.output, module),
        )
        for rpc in service.rpcs
    ]
    used = {reference.partition(".")[0].partition("[")[0] for each in references for reference in each}
    scope = Scope({*_IN_ANNOTATIONS, *used, "_channel"})
    names = _method_names(scope, service.rpcs)
    return [
        _Method(
            rpc,
            name,
            # Two underscores in front would be mangled in the classes that use it.
            module.scope.take(f"_{snake_case(service.name).lstrip('_')}_{name.lstrip('_')}".upper()),
            *reference,
            optional=types.is_empty(rpc.input),
        )
        for rpc, name, reference in zip(service.rpcs, names, references, strict=True)
    ]


def _method_names(scope: Scope, rpcs: Sequence[Rpc]) -> list[str]:
    """Return the names of methods: snake_case; the rpc's own name where that is taken or means something."""
    names: dict[str, str] = {}
    # One that is written in snake_case already keeps its name, whatever comes before it.
    ordered = sorted(rpcs, key=lambda rpc: snake_case(rpc.name) != rpc.name)
    for rpc in ordered:
        own = safe(identifier(rpc.name).lstrip("_") or "call")
        names[rpc.name] = scope.take(safe(snake_case(own)), own)
    return [names[rpc.name] for rpc in rpcs]


def _constant(module: PyModule, method: _Method, grpc: str, schema: str) -> list[str]:
    rpc = method.rpc
    annotation = ""
    if method.request != method.request_class or method.reply != method.reply_class:
        # Under a short name, so that lines can be broken where formatters do.
        kinds = [module.shorten("_Dict", kind) for kind in (method.request, method.reply)]
        annotation = f": {grpc}.Method[{', '.join(kinds)}]"
    arguments = (
        literal(rpc.path),
        f"{grpc}.Cardinality.{rpc.cardinality.name}",
        method.request_class,
        method.reply_class,
        f"schema={schema}",
    )
    return call(f"{method.constant}{annotation} = {grpc}.Method(", arguments)


# ---------------------------------------------------------------------------------------------- stubs


def _stub(module: PyModule, service: Service, name: str, methods: Sequence[_Method]) -> list[str]:
    grpc = module.use("grpc")
    what = "Calls" if not module.sync else "Calls, without await,"
    text = service.comment or f"{what} the methods of {service.full_name}."
    lines = ["", f"def __init__(self, channel: {grpc}.Channel) -> None:", "    self._channel = channel"]
    for method in methods:
        lines += ["", *_stub_method(module, method)]
    head = [f"class {name}:"]
    if service.deprecated:
        head.insert(0, f"@{grpc}.deprecated({literal(f'{service.full_name} is deprecated')})")
    return with_docstring(head, text, lines)


def _stub_method(module: PyModule, method: _Method) -> list[str]:
    grpc = module.use("grpc")
    options = [
        "*",
        "timeout: float | None = None",
        f"metadata: {grpc}.MetadataLike | None = None",
        "compression: str | None = None",
        "wait_for_ready: bool | None = None",
    ]
    cardinality = method.rpc.cardinality
    lines: list[str] = []
    if cardinality is Cardinality.CLIENT_STREAM:
        both = f"{grpc}.ClientStreamCall[{method.request}, {method.reply}]"
        reply = method.reply if module.sync else f"{grpc}.ClientStreamReply[{method.request}, {method.reply}]"
        messages = f"{grpc}.Messages[{method.request}]"
        overload = f"@{module.use('typing')}.overload"
        for requests, returns in (("requests: None = None", both), (f"requests: {messages}", reply)):
            head = signature(method.name, ["self", requests, *options], returns, end=": ...")
            lines += [overload, *_deprecated(module, method), *head]
        arguments, returns = [f"requests: {messages} | None = None"], f"{both} | {reply}"
    elif cardinality is Cardinality.BIDI_STREAM:
        arguments = [f"requests: {grpc}.Messages[{method.request}] | None = None"]
        returns = f"{grpc}.BidiStreamCall[{method.request}, {method.reply}]"
    else:
        arguments = [
            f"request: {method.request} | None = None" if method.optional else f"request: {method.request}"
        ]
        returns = f"{grpc}.{_FORMS[cardinality][1]}[{method.reply}]"
        if module.sync and cardinality is Cardinality.UNARY:
            returns = method.reply
    lines += _deprecated(module, method)
    head = signature(method.name, ["self", *arguments, *options], returns)
    return [*lines, *with_docstring(head, _method_text(method), _stub_body(method))]


def _stub_body(method: _Method) -> list[str]:
    given = "requests" if method.rpc.cardinality.client_streaming else "request"
    if given == "request" and method.optional:
        given = f"{method.request_class}() if request is None else request"
    arguments = [method.constant, given, *(f"{option}={option}" for option in _OPTIONS)]
    return call(f"return self._channel.{_FORMS[method.rpc.cardinality][0]}(", arguments, depth=2)


def _deprecated(module: PyModule, method: _Method) -> list[str]:
    if not method.rpc.deprecated:
        return []
    return [f"@{module.use('grpc')}.deprecated({literal(f'{method.rpc.path[1:]} is deprecated')})"]


def _method_text(method: _Method) -> str:
    rpc = method.rpc
    text = rpc.comment or f"{rpc.path[1:]}: {rpc.cardinality.name.lower().replace('_', ' ')}."
    return f"{text}\n\nDeprecated." if rpc.deprecated else text


# ---------------------------------------------------------------------------------------------- bases


def _base(module: PyModule, service: Service, name: str, methods: Sequence[_Method]) -> list[str]:
    text = service.comment or f"The service {service.full_name}."
    text += "\n\nA service for `grpc.Server`: inherit, and override the methods that it has."
    if service.deprecated:
        text += "\n\nDeprecated."
    lines = [""]
    for method in methods:
        lines += [*_base_method(module, method), ""]
    grpc, abc, typing = module.use("grpc"), module.use("abc"), module.use("typing")
    kind = f"{grpc}.Method[{typing}.Any, {typing}.Any]"
    entries = [f"{method.constant}: self.{method.name}" for method in methods]
    lines += signature("__methods__", ["self"], f"{abc}.Mapping[{kind}, {abc}.Callable[..., object]]")
    lines += indent(['"""What the server calls."""', *call("return {", entries, "}", depth=2)])
    return with_docstring([f"class {name}:"], text, lines)


def _base_method(module: PyModule, method: _Method) -> list[str]:
    abc = module.use("abc")
    cardinality = method.rpc.cardinality
    iterator = "Iterator" if module.sync else "AsyncIterator"
    argument, returns = f"request: {method.request}", method.reply
    if cardinality.client_streaming:
        argument = f"requests: {abc}.{iterator}[{method.request}]"
    if cardinality.server_streaming:
        returns = f"{abc}.{iterator}[{method.reply}]"
    prefix = "def" if module.sync else "async def"
    context = f"context: {module.use('grpc')}.Context"
    # In an async generator, by which the server knows it for one, although nothing is ever yielded.
    body = [f"{'yield ' if cardinality.server_streaming else ''}{method.constant}.unimplemented()"]
    head = signature(method.name, ["self", argument, context], returns, prefix=prefix)
    return with_docstring(head, _method_text(method), body)
