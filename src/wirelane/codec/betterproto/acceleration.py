"""The speed of the glue for code that uses betterproto2 without wirelane: its classes, given faster methods.

What changes is time. An object that the glue cannot write, and bytes that it cannot read, are given to the
methods of the library, so what these accept is accepted, and what they raise is raised. What is left is where
betterproto2 reads something else than protobuf says: a message or a oneof that comes in several pieces, a field
inside a group.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from wirelane.codec.betterproto.bases import base_of
from wirelane.codec.betterproto.obstacles import FASTER
from wirelane.codec.betterproto.plans import is_message, obstacle, plan_of
from wirelane.codec.glue import Glue, Unplannable, glue_of
from wirelane.errors import UsageError

__all__ = ["Acceleration", "accelerate"]

_NAMES: Final = ("__bytes__", "SerializeToString", "parse", "FromString")
_COUNT: Final = "__wirelane_accelerations__"
_lock = threading.RLock()


class Acceleration:
    """Classes that were given faster methods, until it is called or its `with` block ends.

    Attributes:
        classes: The message classes, those included which were fast already.
        left: Those that were left as they are, and why: they have ways of their own.
    """

    def __init__(self, classes: tuple[type, ...], left: dict[type, str]) -> None:
        self.classes = classes
        self.left = left
        self._active = True

    def __repr__(self) -> str:
        state = "" if self._active else " undone"
        left = f", {len(self.left)} left as they are" if self.left else ""
        return f"<Acceleration of {len(self.classes)} classes{left}{state}>"

    def __call__(self) -> None:
        """Give the classes their own methods back, unless somebody else has accelerated them, too."""
        with _lock:
            if self._active:
                self._active = False
                for kind in self.classes:
                    _release(kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self()


def accelerate(*targets: ModuleType | type, subpackages: bool = False) -> Acceleration:
    """Give betterproto2's message classes methods that do the same in a fraction of the time.

    `bytes(message)`, `SerializeToString`, `parse` and `FromString` of a class become faster wherever it is used:
    in stubs over grpclib or grpcio, in pickles, on disk. Nothing else of it changes. The faster methods of a class
    are made when it is used for the first time.

    Args:
        targets: Modules, for all message classes that they have, or single classes.
        subpackages: Import all modules below those that are packages, and take theirs, too.

    Returns:
        What undoes it: call it, or use it in a `with` statement. Accelerating twice needs undoing twice.

    Raises:
        UsageError: A target is neither a module nor a message class, or has no message classes.
    """
    if not targets:
        raise UsageError("accelerate() needs a module of betterproto2 messages, or message classes")
    kinds = dict.fromkeys(kind for target in targets for kind in _classes(target, subpackages=subpackages))
    left = {kind: reason for kind in kinds if (reason := obstacle(kind))}
    classes = tuple(kind for kind in kinds if kind not in left)
    with _lock:
        for kind in classes:
            _hold(kind)
    return Acceleration(classes, left)


def _classes(target: Any, *, subpackages: bool) -> list[type]:
    if is_message(target):
        return [target]
    if not isinstance(target, ModuleType):
        raise UsageError(f"accelerate() takes modules and classes of betterproto2 messages, not {target!r}")
    modules = [target, *_below(target)] if subpackages else [target]
    found = [each for module in modules for each in vars(module).values() if is_message(each)]
    if not found:
        hint = "" if subpackages or not hasattr(target, "__path__") else "; subpackages=True looks below it"
        raise UsageError(f"the module {target.__name__} has no betterproto2 messages{hint}")
    return found


def _below(package: ModuleType) -> Iterable[ModuleType]:
    for info in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}."):
        yield importlib.import_module(info.name)


def _hold(kind: Any) -> None:
    count = kind.__dict__.get(_COUNT, 0)
    if not count:
        _install(kind, *_first_methods(kind))
    setattr(kind, _COUNT, count + 1)


def _release(kind: Any) -> None:
    count = kind.__dict__[_COUNT] - 1
    if count:
        setattr(kind, _COUNT, count)
    else:
        delattr(kind, _COUNT)
        _uninstall(kind)


def _install(kind: Any, write: Callable[[Any], bytes], read: Callable[[Any, Any], Any]) -> None:
    def parse(cls: Any, data: bytes) -> Any:
        return read(cls, data)

    def from_string(cls: Any, s: bytes) -> Any:
        return read(cls, s)

    methods: dict[str, Any] = {
        "__bytes__": write,
        "SerializeToString": write,
        "parse": classmethod(parse),
        "FromString": classmethod(from_string),
    }
    for name, method in methods.items():
        # The class has no method of its own, or it would have been left as it is.
        setattr(method, FASTER, True)
        setattr(kind, name, method)


def _uninstall(kind: Any) -> None:
    for name in _NAMES:
        if hasattr(kind.__dict__.get(name), FASTER):
            delattr(kind, name)


def _own_methods() -> tuple[Callable[[Any], bytes], Callable[[Any, Any], Any]]:
    base: Any = base_of("betterproto2")
    return base.__bytes__, base.parse.__func__


def _first_methods(kind: Any) -> tuple[Callable[[Any], bytes], Callable[[Any, Any], Any]]:
    """Methods that put faster ones in their place when they are called."""
    own_write, own_read = _own_methods()

    def write(message: Any) -> bytes:
        if type(message) is not kind:
            return own_write(message)
        _prepare(kind)
        return bytes(message)

    def read(cls: Any, data: bytes) -> Any:
        if cls is not kind:
            return own_read(cls, data)
        _prepare(kind)
        return kind.parse(data)

    return write, read


def _prepare(kind: Any) -> None:
    with _lock:
        _uninstall(
            kind
        )  # which is all, if the glue cannot express the class, or somebody has undone it meanwhile
        if _COUNT in kind.__dict__:
            try:
                _install(kind, *_fast_methods(kind, glue_of(plan_of(kind))))
            except Unplannable:
                return


def _fast_methods(kind: Any, glue: Glue) -> tuple[Callable[[Any], bytes], Callable[[Any, Any], Any]]:
    own_write, own_read = _own_methods()
    decode = glue.decoder(lambda data, _: own_read(kind, data))

    def read(cls: Any, data: bytes) -> Any:
        return decode(data) if cls is kind else own_read(cls, data)

    return glue.encoder(own_write, own_write), read
