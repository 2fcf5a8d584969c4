"""Scaling inside an estimator, and when lengths of scaled features are lengths of raw ones.

Every scaling here works feature by feature, u = (x − shift) / span. A ball of raw features is a ball of scaled ones
only where the span is one for all features: then, and only then, a radius has a value in raw units.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.validation import check_features

__all__ = ["FeatureScaler", "fit_scaler"]

Floats = NDArray[np.float64]

_UNIT_ROUNDOFF = 2.0**-53
_SAME = 1e-12  # spans that differ by less, relatively, differ by rounding
_STRETCHES = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
_KNOWN = ("MinMaxScaler", "StandardScaler", "MaxAbsScaler", "RobustScaler")


@dataclass(frozen=True)
class FeatureScaler:
    """A fitted scaling of D features.

    Attributes
    ----------
    name : str
        What errors call it.
    fitted : object or None
        What scales, with ``transform`` and ``inverse_transform``; None leaves features as they are.
    shift, span : ndarrays of shape (D,)
        u = (x − shift) / span; ``shift`` only bounds rounding.
    constant : ndarray of shape (D,) of bool
        Features that become 0 whatever they are.
    """

    name: str
    fitted: Any
    shift: Floats
    span: Floats
    constant: NDArray[np.bool_]

    def transform(self, X: Floats) -> Floats:
        """The scaled features of X, shape (n, D), a copy unless there is no scaling.

        Raises
        ------
        ValueError
            They overflow.
        """
        if self.fitted is None:
            return X
        with np.errstate(over="ignore"):
            return check_features(self.fitted.transform(X), name="the scaled X")

    def inverse(self, Z: Floats) -> Floats:
        """Raw features that scale to Z up to rounding, shape (n, D)."""
        return Z if self.fitted is None else np.asarray(self.fitted.inverse_transform(Z), dtype=np.float64)

    def check_uniform(self, names: NDArray[Any] | None = None) -> None:
        """Refuse raw units where there are none.

        Parameters
        ----------
        names : ndarray of shape (D,), optional
            The features' names.

        Raises
        ------
        ValueError
            Features have different spans, or some are constant; the message names them.
        """

        def name(feature: int) -> str:
            return f"feature {feature}" if names is None else f"feature {names[feature]!r}"

        advice = "use scaling='unit', which has one range for all, or ask for units='scaled'"
        if self.constant.any():
            some = ", ".join(name(int(feature)) for feature in np.flatnonzero(self.constant)[:5])
            raise ValueError(
                f"units='raw' is unavailable: scaling {self.name} makes a constant of {int(self.constant.sum())} "
                f"feature(s) ({some}), so that moves in raw and in scaled features do not correspond; {advice}"
            )
        low, high = int(self.span.argmin()), int(self.span.argmax())
        if self.span[high] - self.span[low] > _SAME * self.span[high]:
            raise ValueError(
                f"units='raw' is unavailable: scaling {self.name} divides {name(low)} by {self.span[low]:.6g} and "
                f"{name(high)} by {self.span[high]:.6g}, so that one length in scaled features is many in raw ones; "
                f"{advice}"
            )

    def raw_proved(self, X: Floats, lengths: Floats) -> Floats:
        """Lengths of scaled features, proved from below, in raw units; rounding of the scaling is subtracted.

        With ε = 2⁻⁵³, a scaled feature is off by at most 4 ε (|x| + |shift|) / span at either end of a move δ, and so
        a move of raw length R has a scaled one of at most R / span + 8 ε (‖x‖₁ + ‖shift‖₁ + ‖δ‖₁) / span.

        Parameters
        ----------
        X : ndarray of shape (n, D)
            The points, raw.
        lengths : ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (n,)
        """
        if self.fitted is None:
            return lengths
        span = float(self.span.min())
        size = np.abs(X).sum(axis=1) + np.abs(self.shift).sum()
        slack = 8.0 * _UNIT_ROUNDOFF * (size / span + X.shape[1] * np.where(np.isfinite(lengths), lengths, 0.0))
        return np.asarray(np.maximum(span * (lengths - slack) * (1.0 - 4.0 * _UNIT_ROUNDOFF), 0.0))

    def raw(self, lengths: Floats) -> Floats:
        """``lengths``, or vectors, of scaled features in raw units, of any shape, rounded to nearest."""
        return lengths if self.fitted is None else np.asarray(lengths * self.span.max(), dtype=np.float64)

    def raw_points(
        self, predict: Callable[[Floats], NDArray[Any]], X: Floats, labels: NDArray[Any], lengths: Floats, Z: Floats
    ) -> Floats:
        """Adversarial points among scaled features as raw ones that are misclassified too.

        Rounding on the way back may undo what only just crosses a boundary: such a point goes a little farther, and is
        given up where that does not help.

        Parameters
        ----------
        predict : callable
            Labels of scaled features.
        X, labels : ndarrays of shape (n, D), (n,)
            The points, raw, and their true labels.
        lengths, Z : ndarrays of shape (n,), (n, D)
            What an attack found: 0 for misclassified points, inf for nothing; adversarial points, scaled.

        Returns
        -------
        ndarray of shape (n, D)
            X itself for misclassified points, NaN for nothing.
        """
        out = np.where((lengths == 0.0)[:, None], X, np.nan)
        pending = np.flatnonzero(np.isfinite(lengths) & (lengths > 0.0))
        back = self.inverse(Z[pending]) if pending.size else Z[pending]
        for stretch in _STRETCHES:
            if not pending.size:
                break
            points = back + stretch * (back - X[pending])
            fooled = predict(self.transform(points)) != labels[pending]
            out[pending[fooled]] = points[fooled]
            pending, back = pending[~fooled], back[~fooled]
        return out


def fit_scaler(scaling: Any, X: Floats, names: NDArray[Any] | None = None) -> FeatureScaler:
    """Read what a user passes as a scaling, and fit it where it is not fitted.

    Parameters
    ----------
    scaling : None, str or scaler
        None or "none": no scaling. "minmax", "unit", "image": as :func:`arml.datasets.arrays.scale` explains them. Or
        scikit-learn's MinMaxScaler, StandardScaler, MaxAbsScaler or RobustScaler: fitted, it is used as it is; else a
        clone is fitted.
    X : ndarray of shape (N, D)
        The training set.
    names : ndarray of shape (D,), optional
        Names of its features, which must be those of a fitted scaler that has any.

    Returns
    -------
    FeatureScaler

    Raises
    ------
    ValueError
        Another name or object, a MinMaxScaler that clips, a scaler fitted on other features.
    DataError
        The features span more than float64 can hold.
    """
    width = X.shape[1]
    if scaling is None or (isinstance(scaling, str) and scaling == "none"):
        return FeatureScaler("none", None, np.zeros(width), np.ones(width), np.zeros(width, dtype=bool))
    if isinstance(scaling, str):
        from arml.datasets.arrays import fit_scaling

        own = fit_scaling(X, scaling)
        nothing = np.zeros(width)
        return FeatureScaler(repr(scaling), own, nothing + own.low, nothing + own.span, (nothing > 0) | own.constant)
    kind = type(scaling).__name__
    if isinstance(scaling, type) or kind not in _KNOWN:
        raise ValueError(
            f"scaling must be None, 'minmax', 'unit', 'image' or one of scikit-learn's {', '.join(_KNOWN)}, got "
            f"{scaling!r}; other transformers go before the classifier in a Pipeline, and radii are in their units then"
        )
    scaler = _fitted_scaler(scaling, X, names)
    span: Floats = np.ones(width)
    shift: Floats = np.zeros(width)
    if kind == "MinMaxScaler":
        if scaler.clip:
            raise ValueError("scaling MinMaxScaler(clip=True) moves points outside its range: pass clip=False")
        span, shift = 1.0 / scaler.scale_, -scaler.min_ / scaler.scale_
    else:
        if scaler.scale_ is not None:
            span = np.asarray(scaler.scale_, dtype=np.float64)
        center = getattr(scaler, {"StandardScaler": "mean_", "RobustScaler": "center_"}.get(kind, ""), None)
        shift = shift if center is None else np.asarray(center, dtype=np.float64)
    return FeatureScaler(kind, scaler, shift, span, np.zeros(width, dtype=bool))


def _fitted_scaler(scaling: Any, X: Floats, names: NDArray[Any] | None) -> Any:
    """A scaler of its own for the estimator, fitted, that knows no names and changes no array in place."""
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(scaling)
    except NotFittedError:
        return clone(scaling).set_params(copy=True).fit(X)
    known = getattr(scaling, "feature_names_in_", None)
    if known is not None and names is not None and list(known) != list(names):
        raise ValueError(f"scaling was fitted on the features {list(known)[:5]} …, X has {list(names)[:5]} …")
    if scaling.n_features_in_ != X.shape[1]:
        raise ValueError(f"scaling was fitted on {scaling.n_features_in_} features, X has {X.shape[1]}")
    scaler = copy(scaling).set_params(copy=True)
    vars(scaler).pop("feature_names_in_", None)
    return scaler
