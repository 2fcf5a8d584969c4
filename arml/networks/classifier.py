"""Networks as scikit-learn classifiers: trained by Adam, with Gaussian noise where they are to be smoothed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from arml.system.resources import Meter, single_threaded
from arml.validation import (
    check_choice,
    check_device,
    check_estimator_features,
    check_estimator_labels,
    check_flag,
    check_int,
    check_positive,
)

if TYPE_CHECKING:
    from arml.networks.layers import Network

__all__ = ["NetworkClassifier"]

_ARCHITECTURES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {  # hidden, channels
    "mlp": ((256, 256), ()),
    "cnn": ((100,), (16, 32)),
}
_BLOCK = 2048


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An ordinary ReLU network: Adam on the cross-entropy, the learning rate falling to 0 along half a cosine.

    Weights, the order of the points and the noise come from ``random_state``, and sums are taken by one thread: the
    same data and parameters give the same bytes, also after a resume. A GPU gives its own bytes.

    Parameters
    ----------
    architecture : {"mlp", "cnn"}
        Dense layers, or convolutions (4 × 4, stride 2) for square images of one channel and dense layers behind them.
    hidden : tuple of int, optional
        Widths of the dense layers between; None is (256, 256) for "mlp" and (100,) for "cnn". () with "mlp" is a linear
        classifier.
    channels : tuple of int, optional
        Filters of each convolution; None is (16, 32) for "cnn". Must be None or () for "mlp".
    noise : float
        σ of the Gaussian noise added to each point each time it is seen (Cohen et al. 2019); 0 for none.
    epochs, batch_size : int
        Passes over the training set, and points a step.
    learning_rate : float
        At the first step.
    random_state : int
    device : str
        Where to train, "cpu" or as torch writes it; predictions are made on the CPU.
    checkpoint : path, optional
        File in which a fit leaves where it is, every 10 s at the end of an epoch; the same fit goes on from there.
        Removed when the fit ends.
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X had string column names.
    network_ : Network
        The weights, float32, on the CPU.
    history_ : ndarray of shape (epochs,)
        Mean training loss of each epoch.
    fit_summary_ : dict
        Facts of the fit that do not differ between equal fits.
    seconds_, cpu_seconds_, peak_memory_mib_ : float
        Cost of the fit, see :class:`arml.system.resources.Meter`.

    Notes
    -----
    Cost of a fit: ``epochs`` passes over N points, each a forward and a backward pass of the network. Memory: the
    training set in float32, once. ``score`` (accuracy) is scikit-learn's. Errors are said at the methods.

    Examples
    --------
    >>> from arml.networks import NetworkClassifier, certified_radii
    >>> line = NetworkClassifier("mlp", hidden=(), epochs=200, learning_rate=0.1)
    >>> line = line.fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    >>> line.predict([[1.0], [4.0]]).tolist()
    [0, 1]
    >>> radius = certified_radii(line, [[1.0], [4.0]], [0, 1])
    >>> bool(radius.min() > 1 and radius.sum() <= 3)  # the boundary lies between 1 and 4
    True
    """

    def __init__(
        self,
        architecture: str = "mlp",
        hidden: tuple[int, ...] | None = None,
        channels: tuple[int, ...] | None = None,
        *,
        noise: float = 0.0,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        random_state: int = 0,
        device: str = "cpu",
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = False,
    ) -> None:
        self.architecture = architecture
        self.hidden = hidden
        self.channels = channels
        self.noise = noise
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _check_params(self) -> None:
        """Check what can be checked without data. ValueError names the parameter."""
        check_choice("architecture", self.architecture, _ARCHITECTURES)
        for name in ("hidden", "channels"):
            values = getattr(self, name)
            if values is None:
                continue
            if not isinstance(values, (tuple, list)):
                raise ValueError(f"{name} must be a tuple of whole numbers or None, got {values!r}")
            for value in values:
                check_int(name, value, 1)
        if self.architecture == "mlp" and self.channels:
            raise ValueError(f"channels are for architecture 'cnn'; 'mlp' has none, got {self.channels!r}")
        if self.architecture == "cnn" and self.channels is not None and not self.channels:
            raise ValueError("architecture 'cnn' needs channels, got none: take 'mlp'")
        if self.noise != 0:
            check_positive("noise", self.noise)
        for name in ("epochs", "batch_size"):
            check_int(name, getattr(self, name), 1)
        check_positive("learning_rate", self.learning_rate)
        check_int("random_state", self.random_state, 0)
        check_flag("verbose", self.verbose)

    def initial_network(self, n_features: int, n_classes: int) -> Network:
        """The untrained network for ``n_features`` features and ``n_classes`` classes.

        ValueError as in `arml.networks.layers.build_network`.
        """
        from arml.networks.layers import build_network

        hidden, channels = _ARCHITECTURES[self.architecture]
        hidden = hidden if self.hidden is None else tuple(self.hidden)
        channels = channels if self.channels is None else tuple(self.channels)
        return build_network(self.architecture, n_features, n_classes, hidden, channels, self.random_state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True  # made dense, after a look at the memory
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> NetworkClassifier:
        """Train on X of shape (N, D) with labels y of shape (N,).

        Returns
        -------
        NetworkClassifier
            Itself.

        Raises
        ------
        ValueError
            A parameter is out of range, the device is not there, "cnn" without square images, X or y is not finite or
            of another shape, or there is one class only.
        DataError
            The checkpoint is of another fit or cannot be read or written.
        """
        self._check_params()
        points = check_estimator_features(self, X, reset=True)
        labels = check_estimator_labels(self, y, len(points))
        self.classes_, codes = np.unique(labels, return_inverse=True)
        network = self.initial_network(points.shape[1], len(self.classes_))
        check_device(self.device)
        from arml.networks.training import Schedule, train

        schedule = Schedule(
            float(self.noise), self.epochs, self.batch_size, float(self.learning_rate), self.random_state, self.device
        )
        file = Path(self.checkpoint) if self.checkpoint else None
        with Meter() as meter, single_threaded(), self._progress() as advance:
            self.network_, history = train(
                network, points.astype(np.float32), codes.astype(np.int64), schedule, file, advance
            )
        self.seconds_, self.cpu_seconds_ = meter.seconds, meter.cpu_seconds
        self.peak_memory_mib_ = meter.peak_memory_mib
        self.history_ = np.array(history)
        self.fit_summary_ = {
            "architecture": self.architecture,
            "layers": [list(layer.weight.shape) for layer in self.network_.layers],
            "n_parameters": sum(tensor.numel() for tensor in self.network_.tensors()),
            "noise": float(self.noise),
            "n_iter": len(history),
            "n_train": len(points),
            "final_loss": history[-1],
        }
        return self

    def restored(self, n_features: int, classes: ArrayLike, arrays: Sequence[NDArray[Any]]) -> NetworkClassifier:
        """This classifier as it was fitted elsewhere.

        Parameters
        ----------
        n_features : int
        classes : array-like of shape (C,)
        arrays : sequence of ndarrays
            Weights and biases, as ``network_.arrays()`` gives them.

        Returns
        -------
        NetworkClassifier
            Itself.

        Raises
        ------
        ValueError
            The arrays are not those of this architecture.
        """
        import torch

        self._check_params()
        self.n_features_in_, self.classes_ = n_features, np.asarray(classes)
        network = self.initial_network(n_features, len(self.classes_))
        wanted, came = ([tuple(array.shape) for array in some] for some in (network.arrays(), arrays))
        if wanted != came:
            raise ValueError(f"weights of the shapes {came} are not those of this architecture, {wanted}")
        self.network_ = network.with_tensors([torch.from_numpy(np.array(a, dtype=np.float32)) for a in arrays])
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores (logits) of X of shape (n, D), computed in float64; shape (n, C).

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            NaN or infinite values, or another number or other names of features than in ``fit``.
        """
        import torch

        check_is_fitted(self, "network_")
        points = check_estimator_features(self, X, reset=False)
        network = self.network_.to("cpu", torch.float64)
        with torch.no_grad():
            blocks = [network(torch.from_numpy(points[i : i + _BLOCK])) for i in range(0, len(points), _BLOCK)]
        scores: NDArray[np.float64] = torch.cat(blocks).numpy()
        return scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class of the highest score of each row of X, the first of equal ones; shape (n,).

        Errors are those of :meth:`decision_function`.
        """
        best = self.decision_function(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    @contextmanager
    def _progress(self) -> Iterator[Callable[[float], None]]:
        if not self.verbose:
            yield lambda loss: None
            return
        from tqdm.auto import tqdm

        with tqdm(total=self.epochs, desc=self.architecture, unit="epoch") as bar:

            def advance(loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
                bar.update()

            yield advance
