"""What can go wrong in a run, each with one clear line for whoever started it."""

from __future__ import annotations


class StageError(RuntimeError):
    """Some parts of a stage failed; those that ended well are kept and will not be computed again."""
