"""Checks of training sets and of ranks that several learners need, with one wording each."""

from __future__ import annotations

import numpy as np

from arml.learners.base import Floats, Indices

__all__ = ["check_has_pairs", "check_rank"]


def check_has_pairs(codes: Indices, method: str) -> None:
    """Raise ValueError where no class has two members: nothing says which points are alike."""
    if np.bincount(codes).max() < 2:
        raise ValueError(f"{method} needs a class with two members or more, but each class has one point")


def check_rank(n_components: int | None, X: Floats) -> None:
    """Raise ValueError where G would have more rows than there are features."""
    if n_components is not None and n_components > X.shape[1]:
        raise ValueError(f"n_components = {n_components} exceeds the number of features ({X.shape[1]})")
