"""The exceptions that arml raises beyond Python's own.

Bad values (a wrong shape, NaN, an unknown option) raise :class:`ValueError`; the classes below are for
what goes wrong around the values.
"""

from __future__ import annotations

__all__ = ["ArmlError", "DataError"]


class ArmlError(Exception):
    """Base class of arml's own exceptions: ``except ArmlError`` catches them all."""


class DataError(ArmlError, ValueError):
    """Data on disk or from a source is missing, damaged, or not what it claims to be.

    The message says which data, what was expected, what came, and what to do about it.
    """
