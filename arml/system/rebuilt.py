"""Functions of other libraries, run as they are but for some names that they look up in their own module.

Some draw from global random state, or keep to themselves what a caller has to know. A patched module is seen by every
thread; a copy of one function with other globals is seen by its caller alone. Such a copy holds as long as the library
looks these names up: what it must look up is checked whenever a copy is made, and by tests/unit/test_rebuilt.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, cast

from arml.errors import ArmlError

__all__ = ["ChangedLibraryError", "rebuilt", "rebuilt_methods"]


class ChangedLibraryError(ArmlError, ImportError):
    """A function of another library no longer looks up what arml puts in its place."""


def rebuilt(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """A copy of ``function`` that finds other values under some of its module's names; nothing is patched.

    Parameters
    ----------
    function : function
        Written in Python, not wrapped.
    **names
        What it is to find.

    Raises
    ------
    ChangedLibraryError
        It is no such function, or does not look up one of the names.
    """
    if not isinstance(function, FunctionType):
        raise ChangedLibraryError(f"{function!r} is no plain Python function any more; {_REMEDY}")
    _check(f"{function.__module__}.{function.__qualname__}", set(names), set(_looked_up(function.__code__)))
    return _copy(function, {**function.__globals__, **names})


def rebuilt_methods(kind: type, **names: Any) -> dict[str, Callable[..., Any]]:
    """:func:`rebuilt` for the functions that a class itself defines, by name; each name is looked up by one at least.

    Raises
    ------
    ChangedLibraryError
        None of them looks up one of the names.
    """
    functions = {name: value for name, value in vars(kind).items() if isinstance(value, FunctionType)}
    looked_up = {name for function in functions.values() for name in _looked_up(function.__code__)}
    _check(f"{kind.__module__}.{kind.__qualname__}", set(names), looked_up)
    return {name: _copy(function, {**function.__globals__, **names}) for name, function in functions.items()}


_REMEDY = (
    "install the version that constraints.txt names, or see in the library's sources where this went and adapt the "
    "caller of arml.system.rebuilt (tests/unit/test_rebuilt.py lists them)"
)


def _check(what: str, names: set[str], looked_up: set[str]) -> None:
    missing = sorted(names - looked_up)
    if missing:
        raise ChangedLibraryError(f"{what} was expected to look up {', '.join(missing)}, but does not; {_REMEDY}")


def _looked_up(code: CodeType) -> Iterator[str]:
    """Names that code looks up in its module (or as attributes), in nested functions too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _looked_up(constant)


def _copy(function: FunctionType, scope: dict[str, Any]) -> Callable[..., Any]:
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return cast(Callable[..., Any], copy)
