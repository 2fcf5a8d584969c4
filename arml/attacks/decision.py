"""The frame of the decision-based attacks: starts, the attack's run in batches, and the classifier's last word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from arml.attacks.device import DeviceForward
from arml.attacks.forward import Floats, Ints, PrunedForward
from arml.attacks.options import check_count, point_generators
from arml.attacks.result import AttackResult, distance, verified
from arml.attacks.starts import StartSearch
from arml.knn.neighbors import Predictor
from arml.knn.query import query_set
from arml.knn.reference import ReferenceSet

__all__ = ["Queries", "attack_from_starts"]


@dataclass(frozen=True)
class Queries:
    """A batch of points to attack, one row a point, shapes (n, D).

    Attributes
    ----------
    points, starts : ndarrays of shape (n, D)
        Rightly classified points, and misclassified ones in their boxes.
    low, high : ndarrays of shape (n, D)
        Each row's box; infinite without one.
    generators : one a row
    """

    points: Floats
    starts: Floats
    low: Floats
    high: Floats
    generators: Sequence[np.random.Generator]
    _classifier: Predictor
    _targets: Ints
    _device: str | None = None

    def forward(self) -> Callable[[Any, Any], Any]:
        """A fresh forward pass for these rows, :class:`arml.attacks.forward.Forward` or its like on a device."""
        if self._device is None:
            return PrunedForward(self._classifier, self._targets)
        return DeviceForward(self._classifier, self._targets, self._device)

    def alone(self, row: int) -> Queries:
        """A batch of this row only."""
        one = slice(row, row + 1)
        rows = (self.points[one], self.starts[one], self.low[one], self.high[one], self.generators[one])
        return Queries(*rows, self._classifier, self._targets[one], self._device)


def attack_from_starts(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int,
    run: Callable[[Queries], Floats],
    *,
    seeds: int | ArrayLike,
    indices: ArrayLike | None,
    bounds: tuple[float, float] | None,
    batch_size: int,
    noise: bool,
    device: str | None = None,
) -> AttackResult:
    """Find a start for every point, let ``run`` shorten them, and verify what it returns, shape (n, D).

    Parameters and errors are those of :func:`arml.attacks.boundary_attack`; ``device`` is torch's, None is NumPy.
    """
    asked = query_set(reference, X, y, n_neighbors, bounds=bounds)
    points, targets, classifier = asked.points, asked.codes, Predictor(reference, asked.n_neighbors)
    check_count("batch_size", batch_size, 1)
    low, high = asked.bounds or (-np.inf, np.inf)
    generators = point_generators(seeds, indices, len(points))
    search = StartSearch(classifier, device)

    norm = np.full(len(points), np.inf)
    adversarial = np.full(points.shape, np.nan)
    status = np.full(len(points), "unsolved", dtype="<U13")
    wrong = classifier.predict(points) != reference.classes[targets]
    norm[wrong], adversarial[wrong], status[wrong] = 0.0, points[wrong], "misclassified"
    remaining = np.flatnonzero(~wrong)
    for begin in range(0, remaining.size, batch_size):
        rows = remaining[begin : begin + batch_size]
        box = np.minimum(low, points[rows]), np.maximum(high, points[rows])
        draws = [generators[row] for row in rows]
        starts, found = search(points[rows], targets[rows], box, draws, noise=noise)
        if not found.any():
            continue
        rows, starts = rows[found], starts[found]
        draws = [generators[row] for row in rows]
        box = box[0][found], box[1][found]
        ends = run(Queries(points[rows], starts, *box, draws, classifier, targets[rows], device))
        labels = reference.classes[targets[rows]]
        fooled = classifier.predict(ends) != labels
        for row, label, start, end, sure in zip(rows, labels, starts, ends, fooled):
            checked = end if sure else verified(classifier, label, end, start)
            if checked is not None:
                norm[row], adversarial[row] = distance(points[row], checked), checked
                status[row] = "bounded"
    return AttackResult(norm, adversarial, status, asked.out_of_bounds)
