"""Short adversarial perturbations by asking the classifier only: along rays, between them, and feature by feature.

Cells (:mod:`arml.attacks.geometric`) are entered by more than a tie, and where ties decide, beside duplicates, on
lattices and where distances are coarse, the classifier may be wrong outside all of them. It is asked what it says on
rays through training points, along axes and in directions that do not change from call to call.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from arml.attacks.result import distance
from arml.geometry.order_k_cells import Neighborhood, nearest
from arml.knn.neighbors import predict_codes

__all__ = ["Probes", "tightened"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Effort: changes time, and how short a way is found.
_TARGETS, _AXES, _RANDOM = 32, 16, 16
_DRAWN = 24
_TINY = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3)  # of the scale: what a tie at x itself hides
_SHARES = (*np.arange(1, 11) / 10.0, 1.25, 1.5, 2.0, 4.0, 16.0)  # of the way to a training point
_BISECTED, _BISECTIONS = 12, 44
_ROUNDS, _AROUND, _WIDTHS = 24, 24, (1.0, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-4)
_CORNERS, _COORDINATES = 8, 64
_SHORTER = 1.0 - 1e-9


class Probes:
    """What the classifier says around one point.

    Parameters
    ----------
    around : Neighborhood
    deadline : float
        On :func:`time.monotonic`.

    Attributes
    ----------
    norm : float
        Length of the shortest way found.
    adversarial : ndarray of shape (D,) or None
        Its end, which the classifier gets wrong.
    """

    def __init__(self, around: Neighborhood, deadline: float) -> None:
        self.around, self._deadline = around, deadline
        self._x, self._reference = around.query.point, around.reference
        self._generator = np.random.default_rng(0)
        self.norm = np.inf
        self.adversarial: Floats | None = None

    def look(self) -> list[Floats]:
        """Ask along all rays.

        Returns
        -------
        list of ndarrays of shape (D,)
            Ends of ways that break the point, shortest first.

        Notes
        -----
        Cost: some thousand predictions.
        """
        rays, lengths = self._rays()
        steps = np.array(_SHARES)[None, :] * lengths[:, None]
        scale = float(lengths.min())
        steps = np.hstack([scale * np.tile(_TINY, (len(rays), 1)), steps])
        ends = self._first(rays, np.sort(steps, axis=1))
        ends += self._corners()
        return sorted(ends, key=lambda z: distance(self._x, z))

    def ways(self) -> Floats:
        """Some perturbations of all lengths in question, shape (n, D): halfway to training points, and at random."""
        rays, lengths = self._rays()
        drawn = self._generator.standard_normal((_DRAWN, self._x.size))
        drawn *= (np.resize([0.5, 1.0, 2.0], _DRAWN) * np.median(lengths) / np.sqrt(np.square(drawn).sum(axis=1)))[
            :, None
        ]
        return np.vstack([0.5 * lengths[:_DRAWN, None] * rays[:_DRAWN], drawn])

    def refine(self) -> None:
        """Directions about the best one, wide at first, narrower where none of them is shorter.

        Cost: some thousand predictions.
        """
        for width in _WIDTHS:
            for _ in range(_ROUNDS):
                if self.adversarial is None or self._late():
                    return
                best, before = self.adversarial - self._x, self.norm
                rays = best / before + width * self._generator.standard_normal((_AROUND, best.size)) / np.sqrt(
                    best.size
                )
                rays /= np.sqrt(np.square(rays).sum(axis=1))[:, None]
                steps = np.tile(before * np.array([0.25, 0.5, 0.75, 0.9, 0.97, 0.999, 0.99999, _SHORTER]), (_AROUND, 1))
                self._first(rays, steps)
                if not self.norm < before * (1.0 - 1e-3 * width):
                    break

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _rays(self) -> tuple[Floats, Floats]:
        """Unit vectors and, for each, the length in shares of which it is looked at."""
        around, reference = self.around, self._reference
        rows = np.concatenate([nearest(around.half, side, _TARGETS) for side in (around.outside, around.own)])
        ways = np.stack([around.query.onto(int(row)) for row in rows])
        lengths = np.sqrt(np.square(ways).sum(axis=1))
        ways, lengths = ways[lengths > 0.0], lengths[lengths > 0.0]
        typical = float(np.median(lengths)) if lengths.size else max(reference.radius, 1.0)
        width = self._x.size
        axes = np.eye(min(width, _AXES), width)
        drawn = self._generator.standard_normal((_RANDOM, width))
        more = np.vstack([axes, -axes, drawn / np.sqrt(np.square(drawn).sum(axis=1))[:, None]])
        units = np.vstack([ways / lengths[:, None], more])
        return units, np.concatenate([lengths, np.full(len(more), typical)])

    def _at(self, rays: Floats, steps: Floats) -> Floats:
        """Points at these steps along the rays, (n, D), in the box where there is one."""
        delta = steps[:, None] * rays
        box = self.around.box
        return np.asarray(self._x + (delta if box is None else np.clip(delta, box.low, box.high)))

    def _fooled(self, Z: Floats) -> Bools:
        """Whether the classifier is wrong there, shape (n,)."""
        said = [
            predict_codes(self._reference, Z[batch], self.around.n_neighbors)
            for batch in self._reference.batches(len(Z))
        ]
        return np.asarray(np.concatenate(said) != self.around.code)

    def _keep(self, Z: Floats) -> list[Floats]:
        """Remember the nearest of some points that break; all of them."""
        for z in Z:
            length = distance(self._x, z)
            if length < self.norm:
                self.norm, self.adversarial = length, z
        return list(Z)

    def _first(self, rays: Floats, steps: Floats) -> list[Floats]:
        """The first breaking point of each ray, as far as ascending ``steps`` of shape (rays, m) show it."""
        if self._late():
            return []
        count, several = steps.shape
        asked = self._at(np.repeat(rays, several, axis=0), steps.ravel())
        wrong = self._fooled(asked).reshape(count, several)
        found = wrong.any(axis=1)
        rays, steps, first = rays[found], steps[found], wrong[found].argmax(axis=1)
        if not len(rays):
            return []
        rows = np.arange(len(rays))
        beyond = steps[rows, first]
        within = np.where(first > 0, steps[rows, np.maximum(first - 1, 0)], 0.0)
        # bisection between the two steps, on the rays that may be the shortest
        some = np.argsort(within, kind="stable")[:_BISECTED]
        some = some[within[some] < beyond.min()]
        low, high = within[some], beyond[some]
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            nearer = self._fooled(self._at(rays[some], middle))
            high, low = np.where(nearer, middle, high), np.where(nearer, low, middle)
        beyond[some] = high
        return self._keep(self._at(rays, beyond))

    def _corners(self) -> list[Floats]:
        """Training points that are wrong themselves, then with features of x, one by one: where lattices tie."""
        around, reference = self.around, self._reference
        rows = nearest(around.half, np.arange(reference.n_train), 4 * _CORNERS)
        points = np.stack([self._x + around.query.onto(int(row)) for row in rows])
        if reference.metric.is_identity:
            points = np.stack([reference.u[row] + reference.center for row in rows])
        if around.box is not None:
            points = self._x + np.clip(points - self._x, around.box.low, around.box.high)
        ends = []
        for z in points[self._fooled(points)][:_CORNERS]:
            ends += self._keep(self._reset(z)[None])
        return ends

    def _reset(self, z: Floats) -> Floats:
        """As many features of x in z as leave it wrong, those that save most first."""
        while not self._late():
            order = np.argsort(-np.abs(z - self._x))[:_COORDINATES]
            order = order[z[order] != self._x[order]]
            if not order.size:
                break
            tried = np.tile(z, (order.size, 1))
            tried[np.arange(order.size), order] = self._x[order]
            wrong = np.flatnonzero(self._fooled(tried))
            if not wrong.size:
                break
            z = tried[wrong[0]]
        return z


def tightened(around: Neighborhood, z: Floats) -> Floats:
    """The nearest point to x on the way to ``z`` that the classifier gets wrong, as bisection finds it.

    ``z``, shape (D,), is one that it gets wrong; it is returned where it is on the boundary already.
    """
    x = around.query.point
    way = z - x

    def fooled(share: float) -> bool:
        return bool(predict_codes(around.reference, (x + share * way)[None], around.n_neighbors)[0] != around.code)

    if not fooled(_SHORTER):
        return z
    within, beyond = 0.0, _SHORTER
    for _ in range(_BISECTIONS):
        middle = (within + beyond) / 2.0
        within, beyond = (within, middle) if fooled(middle) else (middle, beyond)
    return np.asarray(x + beyond * way)
