"""What a fitted K-NN classifier says of its robustness: certified and exact radii, attacks, robust error.

Everything is computed elsewhere (:mod:`arml.certify`, :mod:`arml.verify`, :mod:`arml.intervals`, :mod:`arml.attacks`),
against the training set that ``fit`` has prepared, and imported where it is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from arml.estimator.scaling import FeatureScaler
from arml.knn.neighbors import Predictor
from arml.knn.reference import ReferenceSet
from arml.validation import as_array, check_choice, check_estimator_features, check_labels, check_n_neighbors

if TYPE_CHECKING:
    from arml.attacks import AttackResult
    from arml.knn.radii import Radii

__all__ = ["KINDS", "UNITS", "RobustnessMixin"]

Floats = NDArray[np.float64]

UNITS = ("scaled", "raw")
KINDS = ("certified", "exact", "attacked")


class RobustnessMixin:
    """The methods of :class:`arml.MahalanobisKNN` that go beyond prediction; units and errors are explained there.

    Attributes
    ----------
    n_neighbors : int
    scaler_ : FeatureScaler
    reference_ : ReferenceSet
    """

    n_neighbors: int
    scaler_: FeatureScaler
    reference_: ReferenceSet

    def _scaled(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """Checked features, raw and scaled."""
        check_is_fitted(self)
        raw = check_estimator_features(self, X, reset=False)
        return raw, self.scaler_.transform(raw)

    def _predictor(self) -> Predictor:
        return Predictor(self.reference_, check_n_neighbors(self.n_neighbors, self.reference_.n_train))

    def _check_units(self, units: str) -> None:
        check_is_fitted(self)
        check_choice("units", units, UNITS)
        if units == "raw":
            self.scaler_.check_uniform(getattr(self, "feature_names_in_", None))

    def certify(
        self, X: ArrayLike, y: ArrayLike, *, bound: str = "theorem1", norm: float = 2, units: str = "scaled"
    ) -> Floats:
        """Certified radii: :func:`arml.certify.certified_radii` on the fitted training set, with its errors.

        Parameters
        ----------
        X, y : array-likes of shape (n, D), (n,)
            The points and their true labels.
        bound : {"theorem1", "plurality", "packing"}
            "theorem1" is for odd K.
        norm : {2, 1, inf}
            How perturbations are measured.
        units : {"scaled", "raw"}

        Returns
        -------
        ndarray of shape (n,)
            ℓ2 lengths (or of ``norm``), in ``units``. No perturbation shorter than this changes a right prediction; 0
            where nothing is proved, inf where nothing can. In raw units rounding of the scaling is subtracted.

        Raises
        ------
        ValueError, NotFittedError
            As :func:`arml.certify.certified_radii` and the class say; ``units="raw"`` also where spans differ.

        Examples
        --------
        >>> from arml import MahalanobisKNN
        >>> knn = MahalanobisKNN(n_neighbors=3).fit([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1])
        >>> knn.certify([[1.0], [4.0]], [0, 1]).round(6).tolist()
        [1.5, 1.5]
        """
        from arml.certify.radii import certify_points

        self._check_units(units)
        raw, scaled = self._scaled(X)
        found = certify_points(self.reference_, scaled, y, self.n_neighbors, bound, norm=norm)
        radii = np.array([one.radius for one in found])
        return self.scaler_.raw_proved(raw, radii) if units == "raw" else radii

    def verify(self, X: ArrayLike, y: ArrayLike, *, units: str = "scaled", **options: Any) -> Radii:
        """Radii from both sides: exact for K = 1, else as close as the allowance brings them.

        Parameters
        ----------
        X, y : array-likes of shape (n, D), (n,)
            The points and their true labels.
        units : {"scaled", "raw"}
        **options
            For K = 1 those of :func:`arml.verify.exact_radii` (norm, bounds, tolerance, time_limit, total_time_limit),
            else of :func:`arml.intervals.radius_intervals` (programs, nodes, time_limit, seeds, indices).

        Returns
        -------
        Radii
            For every K: ``lower`` ≤ radius ≤ ``upper`` and ``status``, shapes (n,), and ``perturbation``, of scaled
            features, or in raw units as the radii. ``adversarial`` (K > 1) are raw features, which ``predict``
            misclassifies. ``certificates`` (K = 1) stay in the scaled space, where they can be checked.

        Raises
        ------
        ValueError, NotFittedError
            As those functions and the class say.
        TypeError
            An option that K = 1, or K > 1, has not; the message lists what there is.

        Examples
        --------
        >>> from arml import MahalanobisKNN
        >>> X, y = [[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1]
        >>> one = MahalanobisKNN(1).fit(X, y).verify([[1.0]], [0])
        >>> one.lower.round(6).tolist(), one.upper.round(6).tolist(), one.status.tolist()
        ([1.25], [1.25], ['exact'])
        >>> three = MahalanobisKNN(3).fit(X, y).verify([[1.0]], [0], programs=20, nodes=100)
        >>> three.lower.round(6).tolist(), three.upper.round(6).tolist(), three.status.tolist()
        ([1.5], [1.5], ['exact'])
        """
        self._check_units(units)
        raw, scaled = self._scaled(X)
        if check_n_neighbors(self.n_neighbors, self.reference_.n_train) == 1:
            from arml.verify.radii import verify_points

            exact: Radii = _call(verify_points, "verify with n_neighbors = 1", options, self.reference_, scaled, y)
            if units == "scaled":
                return exact
            lower, upper = self.scaler_.raw_proved(raw, exact.lower), self.scaler_.raw(exact.upper)
            return replace(exact, lower=lower, upper=upper, perturbation=self.scaler_.raw(exact.perturbation))
        from arml.intervals.radii import interval_points

        title = f"verify with n_neighbors = {self.n_neighbors}"
        found: Radii = _call(interval_points, title, options, self.reference_, scaled, y, self.n_neighbors)
        upper, adversarial, ways = self._raw_points(raw, scaled, y, found.upper, found.adversarial, units)
        lower = found.lower if units == "scaled" else self.scaler_.raw_proved(raw, found.lower)
        lost = np.isinf(upper) & (found.status == "exact")
        return replace(
            found,
            lower=np.minimum(lower, upper),
            upper=upper,
            adversarial=adversarial,
            perturbation=ways,
            status=np.where(lost, "bounded", found.status),
        )

    def attack(
        self, X: ArrayLike, y: ArrayLike, *, algorithm: str = "geometric", units: str = "scaled", **options: Any
    ) -> AttackResult:
        """Adversarial points, each of which ``predict`` misclassifies.

        Parameters
        ----------
        X, y : array-likes of shape (n, D), (n,)
            The points and their true labels.
        algorithm : {"geometric", "boundary", "hopskipjump", "pointwise"}
        units : {"scaled", "raw"}
        **options
            Those of :func:`arml.attacks.geometric_attack` (programs, time_limit, seeds, indices, bounds),
            :func:`arml.attacks.boundary_attack` and so on. A box, which only the geometric attack does without by
            default, is one of scaled features, kept up to rounding.

        Returns
        -------
        AttackResult
            ``adversarial``: raw features, shape (n, D), NaN where nothing was found; ``norm``: ℓ2 lengths of the ways
            there, shape (n,), inf where nothing was found; ``status``: "misclassified", "bounded" or "unsolved".

        Raises
        ------
        ValueError, NotFittedError
            An unknown algorithm; else as its function and the class say.
        TypeError
            An option that the algorithm has not; the message lists what there is.

        Examples
        --------
        >>> from arml import MahalanobisKNN
        >>> knn = MahalanobisKNN(n_neighbors=3).fit([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1])
        >>> found = knn.attack([[1.0]], [0])
        >>> found.norm.round(6).tolist(), found.adversarial.round(6).tolist(), knn.predict(found.adversarial).tolist()
        ([1.5], [[2.5]], [1])
        """
        from arml.attacks import POINT_ATTACKS

        self._check_units(units)
        check_choice("algorithm", algorithm, POINT_ATTACKS)
        raw, scaled = self._scaled(X)
        run = POINT_ATTACKS[algorithm]
        found: AttackResult = _call(
            run, f"attack by {algorithm!r}", options, self.reference_, scaled, y, self.n_neighbors
        )
        norm, adversarial, _ = self._raw_points(raw, scaled, y, found.norm, found.adversarial, units)
        status = np.where(np.isinf(norm), "unsolved", found.status)
        return replace(found, norm=norm, adversarial=adversarial, status=status)

    def robust_error(
        self,
        X: ArrayLike,
        y: ArrayLike,
        radii: ArrayLike,
        *,
        kind: str = "certified",
        units: str = "scaled",
        **options: Any,
    ) -> Floats:
        """Robust error at each radius: the share of points whose value is ≤ it (:func:`arml.curves.robust_error`).

        Parameters
        ----------
        X, y : array-likes of shape (n, D), (n,)
            The points and their true labels.
        radii : array-like of shape (R,)
            Finite, not negative, in ``units``.
        kind : {"certified", "exact", "attacked"}
            A point's value: ``certify``'s radius, the ``lower`` of ``verify``, or the ``norm`` of ``attack``. The first
            two never give too small an error, the last never too large a one.
        units : {"scaled", "raw"}
        **options
            Of that method.

        Returns
        -------
        ndarray of shape (R,)
            Shares in [0, 1]; shape (1,) for a number.

        Raises
        ------
        ValueError, NotFittedError
            An unknown kind, radii negative or not finite; else as that method says.
        TypeError
            An option that the method has not.

        Examples
        --------
        >>> from arml import MahalanobisKNN
        >>> knn = MahalanobisKNN(n_neighbors=3).fit([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1])
        >>> knn.robust_error([[1.0], [2.0], [3.0]], [0, 0, 0], [0.0, 1.0, 2.0]).tolist()  # radii 1.5, 0.5 and 0
        [0.3333333333333333, 0.6666666666666666, 1.0]
        """
        from arml.curves import robust_error

        check_choice("kind", kind, KINDS)
        at = np.atleast_1d(as_array(radii, "radii"))
        robust_error([0.0], at)  # bad radii are refused before any work
        if kind == "certified":
            values = _call(self.certify, "certify", options, X, y, units=units)
        elif kind == "exact":
            values = self.verify(X, y, units=units, **options).lower
        else:
            values = self.attack(X, y, units=units, **options).norm
        return robust_error(values, at)

    def _raw_points(
        self, X: Floats, scaled: Floats, y: ArrayLike, lengths: Floats, points: Floats, units: str
    ) -> tuple[Floats, Floats, Floats]:
        """What an attack found in the scaled space: lengths in ``units``, raw adversarial points, the ways there."""
        if self.scaler_.fitted is None:
            return lengths, points, points - scaled
        labels = check_labels(y, len(X))
        found = self.scaler_.raw_points(self._predictor().predict, X, labels, lengths, points)
        norm, rows = np.full(len(X), np.inf), np.isfinite(found[:, 0])
        ways = np.full(X.shape, np.nan)
        if rows.any():
            ends = (found[rows], X[rows])
            near, far = ends if units == "raw" else tuple(self.scaler_.transform(points) for points in ends)
            ways[rows] = near - far
            norm[rows] = np.sqrt(np.square(ways[rows]).sum(axis=1))
        return norm, found, ways


def _call(function: Callable[..., Any], title: str, options: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Call with options. TypeError, with what there is, for an option that the function has not."""
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in kwargs]
    known += [p.name for p in list(parameters)[len(args) :] if p.kind is p.POSITIONAL_OR_KEYWORD]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"{title} has no option {', '.join(unknown)}; it has: {', '.join(known)}")
    return function(*args, **kwargs, **options)
