"""Optional dependencies: what to say where one is asked for and not installed."""

from __future__ import annotations

from importlib.util import find_spec

from arml.errors import ArmlError

__all__ = ["MissingExtraError", "require"]

_EXTRAS = {"matplotlib": "report", "jinja2": "report", "markdown_it": "report"}


class MissingExtraError(ArmlError, ImportError):
    """A package that comes with one of arml's extras is needed and not installed."""


def require(what: str, *modules: str) -> None:
    """Make sure that modules can be imported, before any work.

    Parameters
    ----------
    what : str
        What they are needed for, to begin the message with.
    *modules : str
        Top-level names of packages that come with an extra.

    Raises
    ------
    MissingExtraError
        One is not installed; the message names the extra that brings it.
    """
    for name in modules:
        if find_spec(name) is None:
            extra = _EXTRAS[name]
            raise MissingExtraError(
                f"{what} needs {name}, which is not installed; install it with: pip install 'arml[{extra}]'"
            )
