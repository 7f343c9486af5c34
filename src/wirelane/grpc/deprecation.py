"""What generated stubs mark services and methods with whose .proto file says that they are deprecated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Type checkers know this one, wherever it is imported from.
    from typing_extensions import deprecated
else:
    import functools
    import warnings

    def deprecated(text):
        """Warn, when the decorated function or class is called, that it is deprecated; type checkers tell it where it is used."""

        def warning(function, applies=lambda arguments: True):
            @functools.wraps(function)
            def warned(*arguments, **options):
                if applies(arguments):
                    warnings.warn(text, DeprecationWarning, stacklevel=2)
                return function(*arguments, **options)

            return warned

        def decorate(target):
            if not isinstance(target, type):
                return warning(target)
            # A class that inherits is not deprecated (PEP 702).
            target.__init__ = warning(target.__init__, lambda arguments: type(arguments[0]) is target)
            return target

        return decorate


__all__ = ["deprecated"]
