"""Public names that are imported when they are first used.

A package lists them once, as imports under `if TYPE_CHECKING:`, where type checkers read them, and says
`__getattr__, __dir__ = lazy(__name__)` in the `else`: the same block then serves the running program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

__all__ = ["lazy", "names_of"]


def lazy(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package, to which its `__all__` is public."""

    def __getattr__(name: str) -> object:  # noqa: N807  (it becomes the module's)
        namespace = vars(sys.modules[package])
        if name not in namespace["__all__"]:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        home = names_of(package)[name]
        module = import_module(home)
        value = module if home == f"{package}.{name}" else getattr(module, name)
        namespace[name] = value
        return value

    def __dir__() -> list[str]:  # noqa: N807
        namespace = vars(sys.modules[package])
        return sorted({*namespace, *namespace["__all__"]})

    return __getattr__, __dir__


@cache
def names_of(package: str) -> dict[str, str]:
    """Return the module that each lazy name of a package comes from, as its block under TYPE_CHECKING has it.

    The block holds one `from module import name as name` per line and nothing else.

    Raises:
        ImportError: The source is not there to be read (a distribution of compiled files alone).
    """
    spec = sys.modules[package].__spec__
    get_source = getattr(spec and spec.loader, "get_source", None)
    # Read as text: `ast` would cost more than all the rest of `import wirelane`.
    source: str | None = get_source(package) if get_source else None
    if source is None:
        raise ImportError(
            f"the source of {package} cannot be read here, so its names cannot be found; import them from the "
            "modules that define them, such as wirelane.errors"
        )
    _, _, block = source.partition("\nif TYPE_CHECKING:\n")
    names: dict[str, str] = {}
    for line in block.splitlines():
        if not line.startswith("    from "):
            break
        _, module, _, name, *_ = line.split()
        names[name] = f"{package}.{name}" if module == package else module
    return names
