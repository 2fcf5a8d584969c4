"""The estimator: learns prototypes, then is the 1-NN classifier on them, with everything that is proved of one."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from arml.estimator.robustness import RobustnessMixin
from arml.estimator.scaling import fit_scaler
from arml.knn.mahalanobis import MahalanobisMetric
from arml.knn.reference import ReferenceSet
from arml.learners.arml import canonical_order
from arml.learners.base import normalise
from arml.learners.checks import check_rank
from arml.learners.subsets import stratified_subset
from arml.prototypes.persistence import read_prototypes, write_prototypes
from arml.prototypes.start import STARTS, start_prototypes
from arml.system.resources import Meter, single_threaded
from arml.validation import (
    as_array,
    check_choice,
    check_device,
    check_estimator_features,
    check_estimator_labels,
    check_flag,
    check_int,
    check_positive,
)

if TYPE_CHECKING:
    from arml.prototypes.training import Labelled, Outcome, Settings

__all__ = ["RobustPrototypes"]

OBJECTIVES = ("bisector", "exact")
SCHEDULES = ("cosine", "constant")

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class RobustPrototypes(RobustnessMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """1-NN on a few learned prototypes a class, which are placed for the largest certified radii.

    Every certificate, exact radius and attack of 1-NN holds for any labelled reference set. Here that set is learned:
    Adam moves the prototypes (and G, if wanted) against the mean over minibatches of [1 − r / t]₊, r being a training
    point's radius and t the target. ``predict``, ``certify``, ``verify`` (exact, K = 1), ``attack`` and
    ``robust_error`` are those of :class:`arml.MahalanobisKNN` with ``n_neighbors=1`` on the prototypes, in float64,
    whatever the training's precision: what they prove does not depend on how the prototypes came about.

    Parameters
    ----------
    n_prototypes : int
        p, of each class. A class of fewer members starts with each of them.
    n_components : int, optional
        Rows r of a G learned too, from the r leading principal directions (the identity for r = D); None is the
        Euclidean metric.
    objective : {"bisector", "exact"}
        What r is: eq. (9), the min over other prototypes of the max over own; or the exact radius (eq. 13) by its
        dual over the nearest own prototypes, multipliers frozen.
    target_radius : float
        t, an ℓ2 length in units of the features. Points beyond it have no say.
    temperature : float
        τ of a softened min over the nearest rivals, in units of the radius; 0 is the min itself.
    n_own, n_others : int
        How many of the nearest own and other prototypes a training point's radius is sought among.
    n_rivals : int
        How many rivals the softened min is over; 1 without ``temperature``.
    learning_rate, metric_learning_rate : float
        Adam's, for prototypes (in units of the features) and for G (whose largest singular value is 1).
    schedule : {"cosine", "constant"}
        Of the learning rates: from the given ones down to 0, or as they are.
    max_iter : int
        Steps.
    batch_size : int
        Points a step.
    image_shape : pair of int, optional
        Height and width of the images that the features are (row by row, channels last).
    max_shift : int
        Each image of a batch is moved by up to so many pixels each way, zeros coming in; 0 leaves them.
    max_rotation : float
        Each is turned by up to so many degrees either way, before that.
    max_zoom : float
        Each is made larger or smaller by up to this share of its size; below 1.
    average : bool
        Give the mean of the iterates, weighted by the cube of the step number, instead of the last.
    early_stopping : bool
        Hold out points and give the iterate, of those seen every 100 steps, with the least hinge of eq. (9) on them;
        stop when it has not fallen for ``n_iter_no_change`` looks.
    validation_fraction : float
        Share held out, of each class alike.
    n_iter_no_change : int
    init : {"kmeans", "sample"} or ndarray of shape (C, p, D)
        Start at the centres of k-means in each class, at random members, or at given prototypes of each class.
    checkpoint : str or path, optional
        A file for the state, written every 10 s and deleted at the end. Where it exists, the fit goes on from there
        and ends with the same bytes as if never stopped.
    device : str
        A torch device, for the training.
    verbose : bool
        Show a progress bar.
    random_state : int or None

    Attributes
    ----------
    prototypes_ : ndarray of shape (P, D)
        Ordered by class; float64, each a float32 value.
    prototype_labels_ : ndarray of shape (P,)
    metric_ : MahalanobisMetric
    reference_ : ReferenceSet
        The prototypes under the metric: what is predicted with and proved of.
    classes_ : ndarray of shape (C,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X had string column names.
    n_iter_ : int
    history_ : ndarray of shape (n_iter_,)
        Mean loss of each step's batch.
    validation_history_ : ndarray
        Loss on the held-out points every 100 steps; empty without ``early_stopping``.
    converged_ : None or bool
        None: the number of steps is fixed. With ``early_stopping``, whether it stopped the fit. False also where a loss
        or prototype became NaN or infinite; the last finite ones are kept, and a ConvergenceWarning says so.
    seconds_, cpu_seconds_, peak_memory_mib_ : float
        Cost of the fit, see :class:`arml.system.resources.Meter`.

    Raises
    ------
    ValueError
        At ``fit``: a parameter out of range or of another kind, a device that is not there, bad data, fewer than two
        classes, images of another size than ``image_shape`` says. Elsewhere as :class:`arml.MahalanobisKNN`.
    DataError
        At ``fit``: the checkpoint belongs to other data or parameters, or cannot be read.
    NotFittedError
        Anything else before ``fit``.

    Notes
    -----
    A step costs O(B P D + P² D) for P prototypes in all, and ``n_own`` (1 + ``n_rivals``) D a point for "exact";
    memory: O(N D + P² + B n_own n_others). The same data, in whatever order, with the same seed give the same bytes on
    one machine and device.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(100, 2)) + 4.0 * (np.arange(100) % 2)[:, None]
    >>> y = np.arange(100) % 2
    >>> model = RobustPrototypes(n_prototypes=2, max_iter=100, target_radius=3.0).fit(X, y)
    >>> model.prototypes_.shape, bool(model.score(X, y) > 0.95)
    ((4, 2), True)
    >>> result = model.verify(X, y)
    >>> bool((model.certify(X, y) <= result.upper).all())
    True
    """

    n_neighbors = 1

    def __init__(
        self,
        n_prototypes: int = 100,
        n_components: int | None = None,
        objective: str = "bisector",
        target_radius: float = 2.5,
        temperature: float = 0.0,
        n_own: int = 8,
        n_others: int = 32,
        n_rivals: int = 1,
        learning_rate: float = 0.01,
        metric_learning_rate: float = 1e-3,
        schedule: str = "cosine",
        max_iter: int = 5000,
        batch_size: int = 250,
        image_shape: tuple[int, int] | None = None,
        max_shift: int = 0,
        max_rotation: float = 0.0,
        max_zoom: float = 0.0,
        average: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        init: str | NDArray[Any] = "kmeans",
        checkpoint: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        verbose: bool = False,
        random_state: int | None = 42,
    ) -> None:
        self.n_prototypes = n_prototypes
        self.n_components = n_components
        self.objective = objective
        self.target_radius = target_radius
        self.temperature = temperature
        self.n_own = n_own
        self.n_others = n_others
        self.n_rivals = n_rivals
        self.learning_rate = learning_rate
        self.metric_learning_rate = metric_learning_rate
        self.schedule = schedule
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.max_shift = max_shift
        self.max_rotation = max_rotation
        self.max_zoom = max_zoom
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.init = init
        self.checkpoint = checkpoint
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True  # made dense, after a look at the memory
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> RobustPrototypes:
        """Learn the prototypes.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Finite; on a scale of its own: ``target_radius`` and ``learning_rate`` are in its units.
        y : array-like of shape (n,)
            Labels, at least two classes.

        Returns
        -------
        RobustPrototypes
            Itself.

        Raises
        ------
        ValueError, DataError
            As the class says.
        """
        features = check_estimator_features(self, X, reset=True)
        labels = check_estimator_labels(self, y, features.shape[0])
        self._check_params(features)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        with Meter() as meter:
            outcome, start, centre = self._learn(features, codes)
        self.seconds_, self.cpu_seconds_, self.peak_memory_mib_ = (
            meter.seconds,
            meter.cpu_seconds,
            meter.peak_memory_mib,
        )
        self.n_iter_, self.converged_ = len(outcome.history), outcome.converged
        self.history_, self.validation_history_ = np.array(outcome.history), np.array(outcome.validation)
        self._report(outcome)
        components = None if outcome.components is None else normalise(outcome.components, "prototypes")[0]
        self._set(outcome.prototypes + centre, self.classes_[start.codes], components)
        return self

    def _set(self, prototypes: NDArray[Any], labels: NDArray[Any], components: Floats | None) -> None:
        """What prediction and proofs need, from prototypes, their labels, and G (None: the identity)."""
        width = prototypes.shape[1]
        self.prototypes_: Floats = prototypes.astype(np.float32).astype(np.float64)
        self.prototype_labels_ = labels
        self.metric_ = MahalanobisMetric.euclidean(width) if components is None else MahalanobisMetric(components)
        self.reference_ = ReferenceSet(self.prototypes_, labels, self.metric_)
        self.scaler_ = fit_scaler(None, self.prototypes_, getattr(self, "feature_names_in_", None))

    def _check_params(self, X: Floats) -> None:
        for name in ("n_prototypes", "n_own", "n_others", "n_rivals", "max_iter", "batch_size", "n_iter_no_change"):
            check_int(name, getattr(self, name), 1)
        check_int("max_shift", self.max_shift, 0)
        check_int("random_state", self.random_state, 0, optional=True)
        check_int("n_components", self.n_components, 1, optional=True)
        check_rank(self.n_components, X)
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in ("target_radius", "learning_rate", "metric_learning_rate", "validation_fraction"):
            check_positive(name, getattr(self, name))
        for name in ("temperature", "max_rotation", "max_zoom"):
            if getattr(self, name) != 0:
                check_positive(name, getattr(self, name))
        if self.max_zoom >= 1:
            raise ValueError(f"max_zoom must be below 1, got {self.max_zoom!r}")
        for name in ("average", "early_stopping", "verbose"):
            check_flag(name, getattr(self, name))
        if self.validation_fraction >= 1:
            raise ValueError(f"validation_fraction must be below 1, got {self.validation_fraction!r}")
        if self.n_rivals > self.n_others:
            raise ValueError(f"n_rivals must be at most n_others = {self.n_others}, got {self.n_rivals}")
        if isinstance(self.init, str):
            check_choice("init", self.init, STARTS)
        if self.random_state is None and self.checkpoint:
            raise ValueError("checkpoint needs a random_state: what is random must be the same after a resume")
        self._check_images(X.shape[1])
        check_device(self.device)

    def _check_images(self, width: int) -> None:
        if self.image_shape is None:
            if self._moves_images():
                raise ValueError("max_shift, max_rotation and max_zoom need image_shape, the height and width")
            return
        sides = tuple(self.image_shape)
        if len(sides) != 2:
            raise ValueError(f"image_shape must be a height and a width, got {self.image_shape!r}")
        for side in sides:
            check_int("image_shape", side, 1)
        if width % (sides[0] * sides[1]):
            raise ValueError(f"images of {sides[0]} x {sides[1]} pixels have not {width} features")

    def _moves_images(self) -> bool:
        return bool(self.max_shift or self.max_rotation or self.max_zoom)

    def _learn(self, X: Floats, codes: Indices) -> tuple[Outcome, Labelled, Floats]:
        """What the training gives, what it began with, and what was subtracted from the features for float32's sake."""
        from arml.prototypes.training import Labelled, Training

        with single_threaded():
            seed = self.random_state
            if seed is None:
                seed = int(np.random.SeedSequence().generate_state(1)[0])
            order = canonical_order(X, codes)
            rows, held = self._split(codes[order], seed)
            # moved images have zeros come in, so that their features are not centred
            centre = np.zeros(X.shape[1]) if self._moves_images() else X[order[rows]].mean(axis=0)
            parts = [
                Labelled((X[order[part]] - centre).astype(np.float32), codes[order[part]]) for part in (rows, held)
            ]
            start = Labelled(*self._initial(parts[0], centre, seed))
            training = Training(
                parts[0], start, self._settings(seed), self._components(parts[0].X), parts[1] if held.size else None
            )
            return training.run(Path(self.checkpoint) if self.checkpoint else None), start, centre

    def _split(self, codes: Indices, seed: int) -> tuple[Indices, Indices]:
        """Places (ascending) to fit on and to hold out."""
        everything = np.arange(codes.size)
        if not self.early_stopping:
            return everything, everything[:0]
        fitted = codes.size - round(self.validation_fraction * codes.size)
        try:
            rows = stratified_subset(codes, fitted, seed)
        except ValueError:
            rows = everything
        if rows.size == codes.size:
            raise ValueError(
                f"early_stopping can hold out none of {codes.size} points in {np.unique(codes).size} classes with "
                f"validation_fraction = {self.validation_fraction}: change it, or set early_stopping=False"
            )
        return rows, np.setdiff1d(everything, rows)

    def _initial(self, train: Labelled, centre: Floats, seed: int) -> tuple[NDArray[np.float32], Indices]:
        if isinstance(self.init, str):
            return start_prototypes(train.X, train.codes, self.n_prototypes, self.init, seed)
        given, shape = as_array(self.init, "init"), (self.classes_.size, self.n_prototypes, train.X.shape[1])
        if given.shape != shape or not np.isfinite(given).all():
            raise ValueError(f"init must be finite and of shape {shape} (C, n_prototypes, D), got {given.shape}")
        flat = (given.reshape(-1, shape[2]) - centre).astype(np.float32)
        return flat, np.repeat(np.arange(shape[0]), shape[1])

    def _components(self, X: NDArray[np.float32]) -> NDArray[np.float32] | None:
        width = X.shape[1]
        if self.n_components is None:
            return None
        if self.n_components == width:
            return np.eye(width, dtype=np.float32)
        deviations = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
        vectors = np.linalg.eigh(deviations.T @ deviations)[1]
        return np.ascontiguousarray(vectors[:, ::-1][:, : self.n_components].T, dtype=np.float32)

    def _settings(self, seed: int) -> Settings:
        from arml.prototypes.training import Settings

        return Settings(
            objective=self.objective,
            target_radius=float(self.target_radius),
            temperature=float(self.temperature),
            n_own=self.n_own,
            n_others=self.n_others,
            n_rivals=self.n_rivals,
            learning_rate=float(self.learning_rate),
            metric_learning_rate=float(self.metric_learning_rate),
            schedule=self.schedule,
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            image_shape=None if self.image_shape is None else (int(self.image_shape[0]), int(self.image_shape[1])),
            max_shift=self.max_shift,
            max_rotation=float(self.max_rotation),
            max_zoom=float(self.max_zoom),
            average=self.average,
            n_iter_no_change=self.n_iter_no_change if self.early_stopping else None,
            seed=seed,
            device=self.device,
            verbose=self.verbose,
        )

    def _report(self, outcome: Outcome) -> None:
        if outcome.failure:
            warnings.warn(
                f"the training stopped after {self.n_iter_} of {self.max_iter} steps: {outcome.failure}. The last "
                f"finite prototypes are kept; lower learning_rate ({self.learning_rate:g})",
                ConvergenceWarning,
                stacklevel=3,
            )

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels of the nearest prototypes of the points X: shape (n, D) → (n,).

        Raises
        ------
        ValueError, NotFittedError
            Bad features; before ``fit``.
        """
        _, features = self._scaled(X)
        return self._predictor().predict(features)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy on X of shape (n, D) with labels y of shape (n,), with ``sample_weight`` of shape (n,) weighted."""
        return float(super().score(X, as_array(y, "y"), sample_weight))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to the file ``path`` without pickle; :meth:`load` reads it.

        Errors are those of :func:`arml.prototypes.persistence.write_prototypes`; NotFittedError before ``fit``.
        """
        write_prototypes(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RobustPrototypes:
        """What was saved in ``path``: :func:`arml.prototypes.load_prototypes`, with its errors."""
        model: RobustPrototypes = read_prototypes(path, cls)
        return model
