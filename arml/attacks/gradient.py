"""Attacks on networks by their gradients: foolbox's Fast Minimum-Norm attack (Pintor et al. 2021) and DDN (Rony 2019).

Every point runs alone, in its own box, so that its result does not depend on the others; and what the attack returns is
pulled back to where the classifier's own answer, in float64, changes. A smoothed classifier has no gradient: the
attack follows the mean of the network's probabilities over fixed draws of noise, and goes on outwards until fresh draws
say, by a binomial test, that another class is the likelier one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from arml.attacks.forward import Floats
from arml.attacks.model import load_foolbox
from arml.attacks.options import GRADIENT_ATTACKS
from arml.attacks.result import AttackResult, distance
from arml.networks.classifier import NetworkClassifier
from arml.networks.noise import gaussian_blocks
from arml.networks.smoothing import CONFIRMATION, SEARCH, SELECTION, SmoothedClassifier, point_names
from arml.solvers.perturbation import check_bounds
from arml.validation import check_choice, check_features, check_int, check_labels, check_labels_known

__all__ = ["gradient_attack"]

_BISECTIONS = 30
_OUTWARDS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0)


def gradient_attack(
    classifier: NetworkClassifier | SmoothedClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    algorithm: str = "ddn",
    steps: int = 100,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    draws: int = 64,
    indices: ArrayLike | None = None,
) -> AttackResult:
    """Look for the shortest perturbation of each point that changes a network's prediction.

    Parameters
    ----------
    classifier : NetworkClassifier or SmoothedClassifier
    X, y : array-likes of shapes (n, D) and (n,)
        The points and their true labels.
    algorithm : {"ddn", "fmn"}
        DDN ended nearer on all that was tried, in less time.
    steps : int
        Gradients a point.
    bounds : (low, high) or None
        Adversarial points stay in this box (widened, for a point outside, to hold it).
    draws : int
        For a smoothed classifier: samples of noise behind every gradient.
    indices : array-like of shape (n,), optional
        For a smoothed classifier: what its noise goes by, as in :meth:`SmoothedClassifier.certified_radii`.

    Returns
    -------
    AttackResult
        For a network every adversarial point is verified. For a smoothed classifier each is so with probability
        1 − α: ``n0`` samples say whether x itself is misclassified, and ``n`` confirm an adversarial point.

    Raises
    ------
    ValueError
        An option is out of range, a label unknown, or shapes do not fit.
    NotFittedError
        The classifier has not been fitted.

    Notes
    -----
    Cost: a forward and a backward pass a step; for a smoothed classifier `draws` of them, and at most 8 n passes.
    """
    check_choice("algorithm", algorithm, GRADIENT_ATTACKS)
    check_int("steps", steps, 1)
    check_int("draws", draws, 1)
    network = classifier.classifier if isinstance(classifier, SmoothedClassifier) else classifier
    check_is_fitted(network, "network_")
    if isinstance(classifier, SmoothedClassifier):
        points = classifier.read(X)
    else:
        points = check_features(X, n_features=network.n_features_in_)
    codes = check_labels_known(check_labels(y, len(points)), network.classes_)
    names = point_names(indices, len(points))
    low, high = check_bounds(bounds) or (-np.inf, np.inf)
    norm, adversarial = np.full(len(points), np.inf), np.full(points.shape, np.nan)
    status = np.full(len(points), "unsolved", dtype="<U13")
    for row, (point, code, name) in enumerate(zip(points, codes, names)):
        target: _Plain | _Smoothed = (
            _Smoothed(classifier, name, draws) if isinstance(classifier, SmoothedClassifier) else _Plain(classifier)
        )
        if target.predicts(point) != code:
            norm[row], adversarial[row], status[row] = 0.0, point, "misclassified"
            continue
        box = min(low, point.min()), max(high, point.max())
        candidate = _run(algorithm, steps, target.scores, point, int(code), box)
        found = target.settle(point, candidate, int(code), box)
        if found is not None:
            norm[row], adversarial[row], status[row] = distance(point, found), found, "bounded"
    outside = np.any((points < low) | (points > high), axis=1)
    return AttackResult(norm, adversarial, status, np.asarray(outside))


def _run(
    algorithm: str,
    steps: int,
    scores: Callable[[torch.Tensor], torch.Tensor],
    point: Floats,
    code: int,
    box: tuple[float, float],
) -> Floats:
    """foolbox's attack on one point, with its defaults; float64 in and out."""
    load_foolbox()
    from foolbox.attacks.ddn import DDNAttack
    from foolbox.attacks.fast_minimum_norm import L2FMNAttack
    from foolbox.models.pytorch import PyTorchModel

    class Scores(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scores(x)

    attack: Any = L2FMNAttack(steps=steps) if algorithm == "fmn" else DDNAttack(steps=steps)
    model = PyTorchModel(Scores().eval(), bounds=box, device="cpu")
    ends = attack.run(model, torch.from_numpy(point[None]), torch.tensor([code]))
    moved: Floats = ends.detach().numpy()[0]
    return moved


class _Plain:
    """A network under attack."""

    def __init__(self, classifier: NetworkClassifier) -> None:
        self.classifier = classifier
        self.scores: Any = classifier.network_.to("cpu", torch.float64)

    def predicts(self, point: Floats) -> int:
        return int(self.classifier.decision_function(point[None]).argmax())

    def settle(self, point: Floats, candidate: Floats, code: int, box: tuple[float, float]) -> Floats | None:
        """The nearest point to x that is misclassified, on the way to the candidate or a little behind it."""
        found = next((z for z in _outwards(point, candidate, box) if self.predicts(z) != code), None)
        if found is None:
            return None
        safe, broken, way = 0.0, 1.0, found - point
        for _ in range(_BISECTIONS):
            middle = (safe + broken) / 2
            z = point + middle * way
            if self.predicts(z) != code:
                broken, found = middle, z
            else:
                safe = middle
        return found


class _Smoothed:
    """A smoothed classifier under attack, at one point."""

    def __init__(self, classifier: SmoothedClassifier, name: int, draws: int) -> None:
        self.classifier, self.name = classifier, name
        width = classifier.classifier.n_features_in_
        noise = torch.cat(list(gaussian_blocks(draws, width, classifier.random_state, 3, name, SEARCH)))
        self._noise = classifier.sigma * noise
        self._network = classifier.classifier.network_

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithms of the mean probabilities over the draws, for one point."""
        noisy = self._network(x.to(torch.float32) + self._noise)
        return noisy.softmax(dim=1).mean(dim=0, keepdim=True).log().to(x.dtype)

    def predicts(self, point: Floats) -> int:
        return int(self.classifier.counts(point, self.classifier.n0, self.name, SELECTION).argmax())

    def settle(self, point: Floats, candidate: Floats, code: int, box: tuple[float, float]) -> Floats | None:
        """The first point, outwards from the candidate, that fresh noise shows to be misclassified."""
        for place, z in enumerate(_outwards(point, candidate, box)):
            key = (self.name, CONFIRMATION, place)
            counts = self.classifier.counts(z, self.classifier.n, *key)
            if _likelier(counts, code, self.classifier.alpha / len(_OUTWARDS)):
                return z
        return None


def _outwards(point: Floats, candidate: Floats, box: tuple[float, float]) -> list[Floats]:
    """Points on the way from x through the candidate, in the box."""
    return [np.clip(point + factor * (candidate - point), *box) for factor in _OUTWARDS]


def _likelier(counts: NDArray[np.int64], code: int, alpha: float) -> bool:
    """Whether some class is shown to be likelier than that of the code, with confidence 1 − alpha."""
    from scipy.stats import binomtest

    best = int(counts.argmax())
    if best == code:
        return False
    both = int(counts[best] + counts[code])
    return bool(binomtest(int(counts[best]), both, 0.5, alternative="greater").pvalue <= alpha / len(counts))
