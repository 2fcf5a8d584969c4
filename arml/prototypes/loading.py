"""Saved prototypes, read again."""

from __future__ import annotations

import os

from arml.prototypes.estimator import RobustPrototypes

__all__ = ["load_prototypes"]


def load_prototypes(path: str | os.PathLike[str]) -> RobustPrototypes:
    """Read what :meth:`arml.RobustPrototypes.save` wrote: the same classifier, bit for bit.

    Parameters
    ----------
    path : path
        No pickle is read from it.

    Returns
    -------
    RobustPrototypes
        Fitted. An array given as ``init`` is not kept: it is "kmeans" then.

    Raises
    ------
    DataError
        No such file, or not one of prototypes, or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from arml import RobustPrototypes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "prototypes.npz"
    ...     RobustPrototypes(n_prototypes=1, max_iter=5).fit([[0.0], [1.0], [4.0]], ["a", "a", "b"]).save(path)
    ...     load_prototypes(path).predict([[1.0], [3.0]]).tolist()
    ['a', 'b']
    """
    return RobustPrototypes.load(path)
