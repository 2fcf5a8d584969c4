"""Where a decision-based attack starts: some misclassified point of the box, one search a test point.

foolbox's own initialisation draws noise for the whole batch from global state and raises for the whole batch if one
row finds nothing. Here each row has its generator, noise that never fools the classifier gives way to a training
point, and a row without any start is reported as such.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arml.attacks.device import ArrayForward, DeviceForward
from arml.attacks.forward import Bools, Floats, Forward, Ints, PlainForward
from arml.knn.neighbors import Predictor, predict_codes

__all__ = ["StartSearch"]

_DIRECTIONS = 100
_BLEND_STEPS = 50
_BLOCK = 256


class StartSearch:
    """Finds starting points against one classifier; remembers what it says about training points.

    Parameters
    ----------
    classifier : Predictor
        On a reference set that keeps its points.
    device : str, optional
        torch's, where many points are asked about; None is NumPy.
    """

    def __init__(self, classifier: Predictor, device: str | None = None) -> None:
        reference, self._device = classifier.reference, device
        self._classifier, self._X, self._codes = classifier, reference.points, reference.point_codes
        self._predicted = np.full(reference.n_train, -1, dtype=np.intp)
        self._range = self._X.min(axis=0), self._X.max(axis=0)

    def __call__(
        self,
        X: Floats,
        targets: Ints,
        box: tuple[Floats, Floats],
        generators: Sequence[np.random.Generator],
        *,
        noise: bool,
    ) -> tuple[Floats, Bools]:
        """Start of each row, shape (n, D), and whether there is one, shape (n,).

        Parameters
        ----------
        X, targets : ndarrays of shape (n, D) and (n,)
            Correctly classified points inside their boxes, and their classes.
        box : pair of ndarrays of shape (n, D)
            Lower and upper bounds of each row; infinite ones are allowed.
        generators : one a row
        noise : bool
            Try uniform noise first, as foolbox does; otherwise go straight to the training points.
        """
        ends = X.copy()
        found = np.zeros(len(X), dtype=bool)
        if noise:
            self._draw_noise(ends, found, targets, box, generators)
        for row in np.flatnonzero(~found):
            end = self._training_point(X[row], int(targets[row]), box[0][row], box[1][row])
            if end is not None:
                ends[row], found[row] = end, True
        return self._blend(X, ends, found, box, targets), found

    def _forward(self, targets: Ints) -> Forward:
        """A fresh forward pass for all rows."""
        if self._device is None:
            return PlainForward(self._classifier, targets)
        return ArrayForward(DeviceForward(self._classifier, targets, self._device))

    def _draw_noise(
        self,
        ends: Floats,
        found: Bools,
        targets: Ints,
        box: tuple[Floats, Floats],
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Replace ``ends`` by the first misclassified of 100 uniform draws; an unbounded box uses the data's range."""
        low = np.where(np.isfinite(box[0]), box[0], np.minimum(self._range[0], ends))
        high = np.where(np.isfinite(box[1]), box[1], np.maximum(self._range[1], ends))
        plain = self._forward(targets)
        draws = ends.copy()
        for _ in range(_DIRECTIONS):
            for row in np.flatnonzero(~found):
                draws[row] = generators[int(row)].uniform(low[row], high[row])
            fooled = plain(draws, ~found)
            ends[fooled] = draws[fooled]
            found |= fooled
            if found.all():
                return

    def _training_point(self, x: Floats, target: int, low: Floats, high: Floats) -> Floats | None:
        """The training point nearest to x (clipped to the box) that the classifier does not give x's class.

        Points of other classes come first; mislabelled ones of the same class are the last resort.
        """
        blocks = (self._X[i : i + _BLOCK] for i in range(0, len(self._X), _BLOCK))  # what a cache holds
        squared = np.concatenate([np.square(block - x).sum(axis=1) for block in blocks])
        order = np.lexsort((squared, self._codes == target))
        done, count = 0, 1
        while done < order.size:
            rows = order[done : done + count]
            points = np.clip(self._X[rows], low, high)
            fooled = np.flatnonzero(self._codes_of(rows, points) != target)
            if fooled.size:
                chosen: Floats = points[fooled[0]]
                return chosen
            done, count = done + count, min(2 * count, 512)
        return None

    def _codes_of(self, rows: Ints, points: Floats) -> NDArray[np.intp]:
        """Predicted classes of training points, remembered for those that clipping leaves as they are."""
        inside = (points == self._X[rows]).all(axis=1)
        codes = np.where(inside, self._predicted[rows], -1)
        ask = np.flatnonzero(codes < 0)
        if ask.size:
            codes[ask] = predict_codes(self._classifier.reference, points[ask], self._classifier.n_neighbors)
            self._predicted[rows[inside]] = codes[inside]
        return codes

    def _blend(self, X: Floats, ends: Floats, found: Bools, box: tuple[Floats, Floats], targets: Ints) -> Floats:
        """First misclassified of 50 equal steps from x to its end (foolbox's linear search, with its 50 steps)."""
        plain = self._forward(targets)
        starts = ends.copy()
        pending = found.copy()
        for share in np.linspace(0.0, 1.0, _BLEND_STEPS + 1)[1:-1]:
            if not pending.any():
                break
            points = np.clip((1.0 - share) * X + share * ends, box[0], box[1])
            fooled = plain(points, pending)
            starts[fooled] = points[fooled]
            pending &= ~fooled
        return starts
