"""The Boundary Attack's random proposals, one generator, one box and one end a row.

This takes the place of foolbox's ``draw_proposals``, which draws one Gaussian for the whole batch from global state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arml.attacks.forward import Bools, Floats

__all__ = ["CONVERGED_BELOW", "Proposals"]

CONVERGED_BELOW = 1e-7
"""foolbox's default: a row whose step towards the original is shorter than this has converged."""

_BLOCK_BYTES = 16 * 2**20
_BLOCK_STEPS = 1024


class Proposals:
    """Draws the candidates of a step; remembers which rows still run.

    The formulas are foolbox's; sums run along rows only, so that no row depends on the others. In foolbox a batch
    ends when all its rows have converged at the same time, and a converged row can come to life again while the
    others go on; here a row that has once converged is out of ``active`` for good, as if it had been alone.

    Parameters
    ----------
    low, high : ndarrays of shape (n, D)
        Each row's box.
    generators : one a row
        Every step takes D standard normals from each; how many are drawn ahead does not change them.

    Attributes
    ----------
    active : ndarray of shape (n,)
        Rows that have not converged.
    """

    def __init__(self, low: Floats, high: Floats, generators: Sequence[np.random.Generator]) -> None:
        self._low, self._high, self._generators = low, high, generators
        self.active: Bools = np.ones(len(low), dtype=bool)
        length = int(np.clip(_BLOCK_BYTES // (8 * low.size), 1, _BLOCK_STEPS))
        self._block = np.empty((length, *low.shape))
        self._live = np.arange(len(low))
        self._next = length

    def __call__(
        self,
        originals: Floats,
        perturbed: Floats,
        source_vectors: Floats,
        source_directions: Floats,
        source_norms: Floats,
        spherical_steps: Floats,
        source_steps: Floats,
    ) -> tuple[Floats, Floats]:
        """Candidates and spherical candidates, shapes (n, D), from foolbox's state of the step.

        Rows that converged some time ago stay at ``perturbed``.
        """
        self.active &= source_steps >= CONVERGED_BELOW
        if self._next == len(self._block):
            self._draw_ahead()
        eta, live = self._block[self._next], self._live
        self._next += 1
        state = originals, source_vectors, source_directions, source_norms, spherical_steps, source_steps
        if live.size == len(originals):
            return self._step(eta, *state)
        candidates, spherical = perturbed.copy(), perturbed.copy()
        candidates[live], spherical[live] = self._step(eta, *(values[live] for values in state))
        return candidates, spherical

    def _step(
        self,
        eta: Floats,
        originals: Floats,
        source_vectors: Floats,
        source_directions: Floats,
        source_norms: Floats,
        spherical_steps: Floats,
        source_steps: Floats,
    ) -> tuple[Floats, Floats]:
        """The same for the live rows, from their standard normals ``eta`` (overwritten)."""
        # orthogonal to the source direction, rescaled (in one dimension nothing is left of it)
        eta -= (source_directions * eta).sum(axis=1)[:, None] * source_directions
        eta *= _ratio(spherical_steps * source_norms, np.sqrt(np.square(eta).sum(axis=1)))[:, None]
        # project on the sphere using Pythagoras
        eta -= source_vectors
        eta /= np.sqrt(np.square(spherical_steps) + 1.0)[:, None]
        spherical = self._clip(originals + eta)
        # step towards the original: source_step, and what clipping took off the sphere
        candidates = originals - spherical
        norms = np.sqrt(np.square(candidates).sum(axis=1))
        lengths = np.maximum(source_steps * source_norms + norms - source_norms, 0.0)
        candidates *= _ratio(lengths, norms)[:, None]
        candidates += spherical
        return self._clip(candidates), spherical

    def _clip(self, points: Floats) -> Floats:
        np.maximum(points, self._low, out=points)
        return np.minimum(points, self._high, out=points)

    def _draw_ahead(self) -> None:
        """Draw the next block of standard normals row by row, and let go of the rows that have converged."""
        keep = self.active[self._live]
        if not keep.all():
            self._low, self._high, self._live = self._low[keep], self._high[keep], self._live[keep]
            self._block = np.empty((len(self._block), *self._low.shape))
        for place, row in enumerate(self._live):
            self._block[:, place] = self._generators[int(row)].standard_normal(self._block[:, place].shape)
        self._next = 0


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0.0)
