"""The client of a `Service`: its functions, as calls."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wirelane.errors import UsageError
from wirelane.grpc.methods import CALL_FORMS
from wirelane.grpc.stub import CallMaker, Stub

if TYPE_CHECKING:
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.definition import DefinedMethod

__all__ = ["DefinedCall", "DefinedStub"]


class DefinedCall:
    """One method of a stub: called as its function, it makes the call.

    What comes back is what `Channel` gives for a call of this kind: a unary call is awaited, a server stream is iterated
    over, and so on. The replies are what the function returns.
    """

    def __init__(self, channel: CallMaker, method: DefinedMethod) -> None:
        self._form = getattr(channel, CALL_FORMS[method.method.cardinality])
        self._bound = method.bound()
        self.method = method
        self.__doc__ = method.function.__doc__
        signature = method.signature
        parameters = signature.parameters
        # Binds arguments as the function itself would, its context and self aside.
        self._signature = None if parameters is None else _without(method, parameters)

    def __call__(
        self,
        *arguments: Any,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
        **named: Any,
    ) -> Any:
        """Call the method.

        Raises:
            UsageError: The arguments are not those of the function.
        """
        return self._form(
            self._bound,
            self._request(arguments, named),
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    def _request(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self._signature is not None:
            try:
                given = self._signature.bind(*arguments, **named).arguments
            except TypeError as error:
                raise UsageError(f"{self.method.python_name}{self._signature}: {error}") from None
            return self.method.signature.request(**given)
        name = self.method.signature.argument
        if len(arguments) + len(named) > 1 or named.keys() - {name}:
            raise UsageError(
                f"{self.method.python_name}({name}) takes one argument besides timeout= and its like"
            )
        if arguments or named:
            return arguments[0] if arguments else named[str(name)]
        if self.method.method.cardinality.client_streaming:
            return None
        raise UsageError(f"{self.method.python_name}({name}) lacks its request")

    def __repr__(self) -> str:
        return f"<{self.method.method.name} as {self.method.python_name}>"


def _without(method: DefinedMethod, parameters: tuple[str, ...]) -> inspect.Signature:
    known = inspect.signature(method.function)
    return inspect.Signature([known.parameters[name] for name in parameters])


class DefinedStub(Stub["DefinedMethod", DefinedCall]):
    """A `Service` on a channel; its attributes are the methods, by the names of the functions or of the .proto."""

    def __init__(self, channel: CallMaker, service: str, methods: Mapping[str, DefinedMethod]) -> None:
        names = {each.spec.name: each for each in methods.values()} | dict(methods)
        super().__init__(channel, service, methods, names)

    def _bind(self, method: DefinedMethod) -> DefinedCall:
        return DefinedCall(self._channel, method)
