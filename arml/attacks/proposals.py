"""The Boundary Attack's random proposals, one generator, one box and one end a row.

This takes the place of foolbox's ``draw_proposals``, which draws one Gaussian for the whole batch from global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arml.attacks.arrays import Arrays
from arml.attacks.forward import Floats
from arml.attacks.normals import Normals

__all__ = ["CONVERGED_BELOW", "Proposals"]

CONVERGED_BELOW = 1e-7
"""foolbox's default: a row whose step towards the original is shorter than this has converged."""


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
    arrays : Arrays
        Where the steps are made: everything else is of this kind.

    Attributes
    ----------
    active : array of shape (n,)
        Rows that have not converged.
    """

    def __init__(self, low: Floats, high: Floats, generators: Sequence[np.random.Generator], arrays: Arrays) -> None:
        self._arrays = arrays
        self._low, self._high = arrays.put(low), arrays.put(high)
        self._normals = Normals(generators, low.shape[1], arrays)
        self.active: Any = arrays.flags(len(low))
        self._live = np.arange(len(low))
        self._block: Any = None
        self._next = 0

    def close(self) -> None:
        """Draw no more."""
        self._normals.close()

    def __call__(
        self,
        originals: Any,
        perturbed: Any,
        source_vectors: Any,
        source_directions: Any,
        source_norms: Any,
        spherical_steps: Any,
        source_steps: Any,
    ) -> tuple[Any, Any]:
        """Candidates and spherical candidates, shapes (n, D), from foolbox's state of the step.

        Rows that converged some time ago stay at ``perturbed``.
        """
        self.active &= source_steps >= CONVERGED_BELOW
        if self._block is None or self._next == self._block.shape[1]:
            self._draw_ahead()
        eta = self._block[:, self._next]
        self._next += 1
        state = originals, source_vectors, source_directions, source_norms, spherical_steps, source_steps
        if self._live.size == len(originals):
            return self._step(eta, *state)
        live = self._places
        candidates, spherical = self._arrays.copy(perturbed), self._arrays.copy(perturbed)
        candidates[live], spherical[live] = self._step(eta, *(values[live] for values in state))
        return candidates, spherical

    def _step(
        self,
        eta: Any,
        originals: Any,
        source_vectors: Any,
        source_directions: Any,
        source_norms: Any,
        spherical_steps: Any,
        source_steps: Any,
    ) -> tuple[Any, Any]:
        """The same for the live rows, from their standard normals ``eta`` (overwritten)."""
        xp = self._arrays.xp
        # orthogonal to the source direction, rescaled (in one dimension nothing is left of it)
        eta -= (source_directions * eta).sum(axis=1)[:, None] * source_directions
        eta *= self._ratio(spherical_steps * source_norms, xp.sqrt(xp.square(eta).sum(axis=1)))[:, None]
        # project on the sphere using Pythagoras
        eta -= source_vectors
        eta /= xp.sqrt(xp.square(spherical_steps) + 1.0)[:, None]
        spherical = self._clip(originals + eta)
        # step towards the original: source_step, and what clipping took off the sphere
        candidates = originals - spherical
        norms = xp.sqrt(xp.square(candidates).sum(axis=1))
        lengths = (source_steps * source_norms + norms - source_norms).clip(min=0.0)
        candidates *= self._ratio(lengths, norms)[:, None]
        candidates += spherical
        return self._clip(candidates), spherical

    def _clip(self, points: Any) -> Any:
        self._arrays.xp.maximum(points, self._low, out=points)
        return self._arrays.xp.minimum(points, self._high, out=points)

    def _ratio(self, numerator: Any, denominator: Any) -> Any:
        """numerator / denominator, 0 where the denominator is 0."""
        where = self._arrays.xp.where
        some = denominator > 0.0
        return where(some, numerator / where(some, denominator, 1.0), 0.0)

    def _draw_ahead(self) -> None:
        """Take the next block of standard normals, and let go of the rows that have converged."""
        keep = self._arrays.take(self.active)[self._live]
        if not keep.all():
            held = self._arrays.put(np.flatnonzero(keep))
            self._low, self._high, self._live = self._low[held], self._high[held], self._live[keep]
            self._places = self._arrays.put(self._live)
        self._block, self._next = self._normals.block(self._live), 0
