"""What a function says about the method that it handles: who streams, and which messages go in and out.

Contract: `read_signature` looks at names and annotations, calls nothing, and raises `UsageError` that names the function and
the parameter. The rules, for users, are in docs/services.md:

- one parameter that is a message, or an async iterator, is the request; any other parameters are the fields of a message
  that is made for them, `<Method>Request`;
- what is returned is the reply if it is a message, or an async iterator of the replies; anything else is the field `value` of
  `<Method>Response`;
- a parameter called `context`, or annotated so, gets the `grpc.Context`; `self` is an object's (see `Service.bind`).
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from wirelane.codec.dataclasses import MADE_FOR, is_message_type, strip
from wirelane.core.method import Cardinality
from wirelane.errors import UsageError

__all__ = ["Signature", "read_signature"]

_STREAMS: Final = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
_BLOCKING_STREAMS: Final = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)
_CONTEXTS: Final = ("wirelane.grpc.server.context", "wirelane.sync.grpc.context")
# What calling a method of a stub takes besides the request.
_TAKEN: Final = frozenset({"timeout", "metadata", "compression", "wait_for_ready", "self"})
_VALUE: Final = "value"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives.

    Attributes:
        cardinality: Who streams.
        request: The class of the requests.
        response: The class of the replies.
        parameters: The fields of a request that was made for them, in order; None where the request is the parameter.
        wraps_request: The requests of a stream are `request(value)`, and the handler sees the values.
        wraps_response: The replies are `response(value)`, and the handler gives the values.
        context: The parameter for the context; None without one.
        argument: The parameter for the request; None where there are `parameters`.
        takes_self: It is a method of a class.
    """

    cardinality: Cardinality
    request: type
    response: type
    parameters: tuple[str, ...] | None
    wraps_request: bool
    wraps_response: bool
    context: str | None
    argument: str | None
    takes_self: bool


def read_signature(
    function: Callable[..., object],
    method: str,
    names: Mapping[str, Any] | None = None,
    *,
    blocking: bool = False,
) -> Signature:
    """Return what a handler takes and gives.

    Args:
        function: The handler.
        method: The name of its method, which messages made for it are named after.
        names: What annotations may name besides what is global to the module.
        blocking: It runs in a thread: `def` instead of `async def`, and iterators instead of async ones.

    Raises:
        UsageError: It is no handler, or an annotation is missing or no message can be made of it.
    """
    if not inspect.isfunction(function):
        raise UsageError(f"a method of a service is made of a function, not of {function!r}")
    awaited = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if awaited and blocking:
        raise UsageError(
            f"{function.__qualname__} is async def; it needs the Service of wirelane.grpc, or to be def"
        )
    if not awaited and not blocking:
        raise UsageError(
            f"{function.__qualname__} must be async def, since it would block the event loop; wirelane.sync.grpc has a "
            "Service for functions that block"
        )
    return _Reader(function, method, names or {}, _BLOCKING_STREAMS if blocking else _STREAMS).read()


class _Reader:
    def __init__(
        self, function: types.FunctionType, method: str, names: Mapping[str, Any], streams: tuple[Any, ...]
    ) -> None:
        self._streams = streams
        self._function = function
        self._method = method
        self._names = names
        self._name = function.__qualname__.rpartition("<locals>.")[2]
        self._globals = getattr(inspect.unwrap(function), "__globals__", {})

    def read(self) -> Signature:
        signature = inspect.signature(self._function)
        parameters = list(signature.parameters.values())
        takes_self = (
            bool(parameters)
            and parameters[0].name == "self"
            and parameters[0].annotation is inspect.Parameter.empty
        )
        context: str | None = None
        taken: dict[str, Any] = {}
        for parameter in parameters[takes_self:]:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                raise UsageError(f"{self._name}({parameter.name}): parameters are passed by name; drop the /")
            if parameter.name == "context" or self._is_context(parameter):
                context = self._only_context(context, parameter)
            else:
                taken[parameter.name] = self._hint(parameter)
        request, client_streaming, wraps_request, fields, argument = self._request(taken, signature)
        response, server_streaming, wraps_response = self._response(signature.return_annotation)
        return Signature(
            Cardinality.of(client_streaming, server_streaming),
            request,
            response,
            fields,
            wraps_request,
            wraps_response,
            context,
            argument,
            takes_self,
        )

    # ---------------------------------------------------------------------------------------------- annotations

    def _is_context(self, parameter: inspect.Parameter) -> bool:
        annotation = parameter.annotation
        if annotation is inspect.Parameter.empty or (
            isinstance(annotation, str) and "Context" not in annotation
        ):
            return False
        found = self._evaluate(annotation, parameter.name)
        # Not imported: whoever annotates with it has loaded it, and a client need not pay for the server.
        modules = (sys.modules.get(name) for name in _CONTEXTS)
        return any(module is not None and found is module.Context for module in modules)

    def _only_context(self, known: str | None, parameter: inspect.Parameter) -> str:
        if known is not None:
            raise UsageError(f"{self._name}({parameter.name}): one parameter for the context is enough")
        return parameter.name

    def _hint(self, parameter: inspect.Parameter) -> Any:
        where = f"{self._name}({parameter.name})"
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise UsageError(f"{where}: a message has no place for * and **; name each parameter")
        if parameter.annotation is inspect.Parameter.empty:
            raise UsageError(f"{where}: annotate it with its type, of which the .proto is made")
        return self._evaluate(parameter.annotation, parameter.name)

    def _evaluate(self, annotation: Any, parameter: str) -> Any:
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        try:
            return typing.get_type_hints(holder, self._globals, dict(self._names), include_extras=True)["it"]
        except NameError as error:
            raise UsageError(
                f"{self._name}({parameter}): {error.name!r} is not defined where the service is; define it above the "
                "function, and not under TYPE_CHECKING"
            ) from error
        except (TypeError, SyntaxError) as error:
            raise UsageError(
                f"{self._name}({parameter}): {annotation!r} cannot be evaluated: {error}"
            ) from error

    # -------------------------------------------------------------------------------------------------- messages

    def _request(
        self, taken: dict[str, Any], signature: inspect.Signature
    ) -> tuple[type, bool, bool, tuple[str, ...] | None, str | None]:
        streams = [name for name, hint in taken.items() if self._element(hint) is not None]
        if streams:
            if len(taken) > 1:
                raise UsageError(
                    f"{self._name}({streams[0]}): requests that stream come alone; put the other parameters into the "
                    "messages, or into the metadata"
                )
            kind, wraps = self._message(self._element(taken[streams[0]]), "Request")
            return kind, True, wraps, None, streams[0]
        if len(taken) == 1:
            ((name, hint),) = taken.items()
            bare, _ = strip(hint)
            if is_message_type(bare):
                return bare, False, False, None, name
        for name in taken:
            if name in _TAKEN:
                raise UsageError(
                    f"{self._name}({name}): a stub's methods take {name}= of their own; call it something else"
                )
        fields = [(name, hint, _default(signature.parameters[name])) for name, hint in taken.items()]
        return self._made(fields, "Request"), False, False, tuple(taken), None

    def _response(self, annotation: Any) -> tuple[type, bool, bool]:
        if annotation is inspect.Signature.empty:
            raise UsageError(f"{self._name}: annotate what it returns, of which the .proto is made")
        hint = self._evaluate(annotation, "return")
        element = self._element(hint)
        yields = inspect.isasyncgenfunction(self._function) or inspect.isgeneratorfunction(self._function)
        if yields and element is None:
            raise UsageError(
                f"{self._name} yields its replies: it returns an {self._streams[0].__name__} of them"
            )
        kind, wraps = self._message(hint if element is None else element, "Response")
        return kind, element is not None, wraps

    def _message(self, hint: Any, suffix: str) -> tuple[type, bool]:
        """Return the message for a hint, and whether it was made to hold it."""
        bare, _ = strip(hint)
        if is_message_type(bare):
            return bare, False
        if self._element(bare) is not None:
            raise UsageError(f"{self._name}: a stream of streams is no method; its elements are messages")
        nothing = bare is None or bare is type(None)
        return self._made([] if nothing else [(_VALUE, hint, dataclasses.field())], suffix), True

    def _element(self, hint: Any) -> Any:
        """Return what an iterator is of; None for anything else."""
        bare, _ = strip(hint)
        return get_args(bare)[0] if get_origin(bare) in self._streams else None

    def _made(self, fields: list[tuple[str, Any, Any]], suffix: str) -> type:
        return dataclasses.make_dataclass(
            self._method + suffix,
            fields,
            kw_only=True,
            namespace={
                "__doc__": "",
                "__module__": self._function.__module__,
                MADE_FOR: self._name,
            },
        )


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is inspect.Parameter.empty:
        return dataclasses.field()
    default = parameter.default
    if type(default).__hash__ is None:
        # What dataclasses take for mutable. A copy, so that no call changes what the next one sends.
        return dataclasses.field(default_factory=functools.partial(copy.deepcopy, default))
    return dataclasses.field(default=default)
