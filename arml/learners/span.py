"""Fits of D features to N < D points, done in the N − 1 dimensions that the points span: the same metric, cheaper.

The steps of NCA, LMNN and ITML are combinations of outer products of differences of training points. From the
identity on they never leave the span of the points: M stays the identity on its complement, and in an orthonormal
basis of it they are the same algorithm on N − 1 features. LFDA and starts inside the span have no complement.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arml.learners.base import Floats, LearnedMetric

__all__ = ["into_span", "out_of_span"]


def into_span(X: Floats) -> tuple[Floats, Floats]:
    """The points in an orthonormal basis of their centred span.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Not all rows equal.

    Returns
    -------
    points : ndarray of shape (N, m), m < N
        Distances as between the rows of `X`.
    basis : ndarray of shape (m, D)
        Orthonormal rows: the directions of variance beyond rounding, by numpy's threshold of numerical rank.

    Notes
    -----
    Cost: O(N² D) time, O(N D) memory.
    """
    centred = X - X.mean(axis=0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    basis = np.ascontiguousarray(directions[values > values[0] * max(X.shape) * np.finfo(np.float64).eps])
    return centred @ basis.T, basis


def out_of_span(learned: LearnedMetric, basis: Floats, *, identity_beyond: bool) -> LearnedMetric:
    """The metric of D features that `learned`, of m, stands for; with a note.

    Parameters
    ----------
    learned : LearnedMetric
        Components of shape (r, m); r = m where `identity_beyond`.
    basis : ndarray of shape (m, D)
    identity_beyond : bool
        Whether M is the identity on the complement of the span (else zero).

    Returns
    -------
    LearnedMetric
        G = BᵀG′B + (I − BᵀB), shape (D, D), so that M = BᵀM′B + (I − BᵀB); or G′B, shape (r, D).
    """
    components = learned.components @ basis
    if identity_beyond:
        components = basis.T @ (components - basis)
        components[np.diag_indices(basis.shape[1])] += 1.0
    note = f"fewer points than features: fitted in the {basis.shape[0]} dimensions that the points span"
    return replace(learned, components=components, notes=(note, *learned.notes))
