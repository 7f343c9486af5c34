"""What generated stubs mark methods with whose .proto file says that they are deprecated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Type checkers know this one, wherever it is imported from.
    from typing_extensions import deprecated
else:
    import functools
    import warnings

    def deprecated(text):
        """Warn, when the decorated function is called, that it is deprecated; type checkers tell it where it is used."""

        def decorate(function):
            @functools.wraps(function)
            def warned(*arguments, **options):
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                return function(*arguments, **options)

            return warned

        return decorate


__all__ = ["deprecated"]
