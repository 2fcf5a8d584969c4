"""Certified ℓ2 radii of ReLU networks: CROWN (Zhang et al. 2018) and interval propagation.

A network is certified within the ball of radius r around x when every score difference (that of the label minus that
of another class) is positive in all of it. Both methods bound each ReLU's input first, layer by layer. Interval
propagation carries these bounds on to the differences. CROWN puts two lines around every ReLU that is not settled, the
chord above and 0 or the identity below, and carries the differences back to the input as affine functions, whose
minimum over the ball is known (the dual norm of ℓ2 is ℓ2). The bounds on ReLU inputs are made in the same way, and the
tighter of both methods is taken. Which line goes below a ReLU changes with its bounds, though, and tighter ones may
give looser differences: so CROWN is carried through with its own bounds alone too, behind a convolution also with the
first layer's bounds by whole filters, as if the border of the image moved too, and the best difference is taken.

Everything is computed in float64, and what rounding can amount to is subtracted: a sum's error is at most a small
multiple of its length, the machine precision and the sum of the absolute values of its terms, which one pass with |W|
through the network bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from arml.networks.classifier import NetworkClassifier
from arml.networks.layers import Convolution, Layer, Network, plain_sums
from arml.networks.search import largest, linear_guess
from arml.validation import check_choice, check_device, check_features, check_labels, check_labels_known, check_positive

__all__ = ["METHODS", "certified_radii", "score_bounds"]

Floats = NDArray[np.float64]

METHODS = ("crown", "interval")
_UNIT = 2.0**-53
# numbers in the largest matrix of a chunk of points: what a cache holds, or what keeps a GPU busy
_MOST, _MOST_GPU = 1 << 20, 1 << 26


def certified_radii(
    classifier: NetworkClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    method: str = "crown",
    tolerance: float = 0.005,
    device: str = "cpu",
) -> Floats:
    """Return for each point a radius within which the network's prediction is proved to stay y.

    Parameters
    ----------
    classifier : NetworkClassifier, fitted
    X, y : array-likes of shapes (n, D) and (n,)
        The points and their true labels.
    method : {"crown", "interval"}
        "interval" is much faster and much weaker; "crown" is never below it.
    tolerance : float
        The search for a radius ends once one that is larger by this share is not certified.
    device : str
        Where the bounds are computed, "cpu" or as torch writes it, in float64. What rounding can amount to is bounded
        for sums in any order: radii are proved on every device, and agree within the tolerance.

    Returns
    -------
    ndarray of shape (n,)
        ℓ2 lengths, for perturbations in all directions (no box); 0 where the prediction is wrong or a tie. A network
        without hidden layers has its exact radius, to a part in 10⁶.

    Raises
    ------
    ValueError
        A label is unknown, shapes do not fit, features are NaN or infinite, the method is unknown, the tolerance not
        positive or the device not there.
    NotFittedError
        The classifier has not been fitted.

    Notes
    -----
    Cost of a step and point with CROWN: for each pair of layers a product of their weight matrices, or two where
    interval propagation is somewhere tighter. A search takes some dozen steps.

    Examples
    --------
    >>> from arml.networks import NetworkClassifier, certified_radii
    >>> network = NetworkClassifier("mlp", hidden=(8,), epochs=100, learning_rate=0.05)
    >>> network = network.fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    >>> crown = certified_radii(network, [[1.0], [4.0]], [0, 0])
    >>> interval = certified_radii(network, [[1.0], [4.0]], [0, 0], method="interval")
    >>> bool(crown[0] >= interval[0] > 0), float(crown[1])  # the second point is not of class 0
    (True, 0.0)
    """
    check_choice("method", method, METHODS)
    check_positive("tolerance", tolerance)
    check_device(device)
    check_is_fitted(classifier, "network_")
    points = check_features(X, n_features=classifier.n_features_in_)
    codes = check_labels_known(check_labels(y, len(points)), classifier.classes_)
    network = classifier.network_.to(device, torch.float64)
    x, labels = torch.from_numpy(points).to(device), torch.from_numpy(codes.astype(np.int64)).to(device)
    with torch.no_grad(), plain_sums():
        prepared = _Prepared(network)
        guess, right = linear_guess(network, x, labels)
        lower = torch.zeros_like(guess)
        rows = torch.nonzero(right).flatten()
        if not len(rows):
            return np.zeros(len(points))
        x, labels, guess = x[rows], labels[rows], guess[rows]

        def certified(how: str) -> Callable[[Tensor, Tensor], Tensor]:
            def ask(which: Tensor, radius: Tensor) -> Tensor:
                return _differences(prepared, x[which], radius, labels[which], how).amin(dim=1) > 0

            return ask

        found = largest(certified("interval"), torch.zeros_like(guess), guess, tolerance)
        if method == "crown":
            found = _improved(
                certified("filters"), largest(certified("crown"), found, guess, tolerance), guess, tolerance
            )
        lower[rows] = found
    radii: Floats = lower.cpu().numpy()
    return radii


def score_bounds(
    classifier: NetworkClassifier,
    X: ArrayLike,
    y: ArrayLike,
    radius: ArrayLike,
    *,
    method: str = "crown",
    device: str = "cpu",
) -> Floats:
    """Return lower bounds, over the ball of this radius, on the score of y minus that of each other class.

    Parameters
    ----------
    radius : array-like of shape (n,) or a number
        ℓ2 lengths of at least 0.

    Others are those of :func:`certified_radii`.

    Returns
    -------
    ndarray of shape (n, C − 1)
        In the order of ``classifier.classes_`` without y.

    Raises
    ------
    ValueError
        Also where a radius is negative or not finite.
    """
    check_is_fitted(classifier, "network_")
    check_choice("method", method, METHODS)
    check_device(device)
    points = check_features(X, n_features=classifier.n_features_in_)
    codes = check_labels_known(check_labels(y, len(points)), classifier.classes_)
    lengths = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(points),))
    if not (np.isfinite(lengths) & (lengths >= 0)).all():
        raise ValueError(f"radius must be finite and not negative, got {lengths[:5].tolist()}")
    with torch.no_grad(), plain_sums():
        bounds: Floats = (
            _differences(
                _Prepared(classifier.network_.to(device, torch.float64)),
                torch.from_numpy(points).to(device),
                torch.from_numpy(lengths.copy()).to(device),
                torch.from_numpy(codes.astype(np.int64)).to(device),
                "filters" if method == "crown" else method,
            )
            .cpu()
            .numpy()
        )
    return bounds


class _Prepared:
    """A network with what every point needs of it: its rows, their norms, its layers with |W|."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.absolute = [layer.absolute() for layer in network.layers]
        self.spread = [layer.absolute().without_bias() for layer in network.layers]
        hidden, where = network.layers[:-1], network.layers[-1].bias.device
        units = (torch.eye(layer.n_outputs, dtype=torch.float64, device=where) for layer in hidden)
        self.rows = [layer.transposed(unit) for layer, unit in zip(hidden, units)]
        zeros = [torch.zeros_like(rows[:1]) for rows in self.rows]
        self.offsets = [layer(zero) for layer, zero in zip(hidden, zeros)]
        self.reach = {"rows": self.rows[0].norm(dim=1)} if hidden else {}
        if hidden and isinstance(hidden[0], Convolution):
            self.reach["filters"] = hidden[0].filter_norms()
        self.windows: list[Tensor] = []
        if len(hidden) > 1 and isinstance(hidden[0], Convolution) and isinstance(hidden[1], Convolution):
            self.windows = [hidden[0].from_window(hidden[1])]
        lengths = np.cumsum([layer.fan_in + 4 for layer in network.layers])
        self.rounding = [float(8 * (depth + 2) * n * _UNIT) for depth, n in enumerate(lengths)]


@dataclass(frozen=True)
class _Relaxed:
    """Lines around the ReLUs of a layer, shape (n, width) each: slopes below and above, and where the upper begins."""

    below: Tensor
    above: Tensor
    offset: Tensor

    @classmethod
    def around(cls, low: Tensor, high: Tensor) -> _Relaxed:
        mixed = (low < 0) & (high > 0)
        on = (low >= 0).to(low.dtype)
        chord = torch.where(mixed, high / torch.where(mixed, high - low, 1.0), on)
        below = torch.where(mixed, (high > -low).to(low.dtype), on)
        return cls(below, chord, torch.where(mixed, -chord * low, 0.0))


def _improved(ask: Callable[[Tensor, Tensor], Tensor], found: Tensor, guess: Tensor, tolerance: float) -> Tensor:
    """Radii found before, longer where a better method certifies more: it costs much, and hardly ever does."""
    found, larger = found.clone(), found * (1 + tolerance)
    rows = torch.nonzero(ask(torch.arange(len(found), device=found.device), larger) & (found > 0)).flatten()
    if len(rows):
        found[rows] = largest(lambda which, radius: ask(rows[which], radius), larger[rows], guess[rows], tolerance)
    return found


def _differences(prepared: _Prepared, x: Tensor, radius: Tensor, labels: Tensor, method: str) -> Tensor:
    """Lower bounds on the score differences over the balls, shape (n, C − 1).

    ``method``: one of METHODS, or "filters", CROWN with one more try behind a convolution (see the module).
    """
    width = max(layer.n_outputs for layer in prepared.network.layers)
    tallest = max((layer.n_outputs for layer in prepared.network.layers[1:-1]), default=1)
    most = _MOST if x.device.type == "cpu" else _MOST_GPU
    size = max(1, most // (2 * tallest * max(width, x.shape[1]))) if method != "interval" else 512
    parts = [
        _chunk(prepared, x[i : i + size], radius[i : i + size], labels[i : i + size], method)
        for i in range(0, len(x), size)
    ]
    return torch.cat(parts)


class _Carried(NamedTuple):
    """Bounds carried to the last layer: lines around all ReLUs, the range of the last ones' outputs, what rounding is a
    share of, and whether CROWN's ranges lay within interval propagation's wherever both were asked.
    """

    lines: list[_Relaxed]
    low: Tensor
    high: Tensor
    magnitude: Tensor
    agrees: bool


def _carried(
    prepared: _Prepared, x: Tensor, radius: Tensor, method: str, *, alone: bool = False, reach_of: str = "rows"
) -> _Carried:
    """Range of each ReLU's input, layer by layer: the tighter of both methods, or (``alone``) CROWN's where asked.

    It is asked where interval propagation does not settle a ReLU. ``reach_of``: how far the first layer's outputs go,
    by its rows, or by its whole filters, at the border too, where a row has only a part of one.
    """
    lines: list[_Relaxed] = []
    agrees = True
    low, high, magnitude = x, x, x.abs() + radius[:, None]
    for depth, layer in enumerate(prepared.network.layers[:-1]):
        magnitude = prepared.absolute[depth](magnitude)
        slack = prepared.rounding[depth] * magnitude
        if depth == 0:  # the exact range of an affine function over a ball
            centre, reach = layer(x), radius[:, None] * prepared.reach[reach_of]
        else:
            centre, reach = layer((low + high) / 2), prepared.spread[depth]((high - low) / 2)
        if reach_of == "filters" and depth == 0:  # beyond what the image's pixels can amount to
            magnitude = torch.maximum(magnitude, centre.abs() + reach)
            slack = prepared.rounding[depth] * magnitude
        below, above = centre - reach, centre + reach
        if depth and method != "interval":
            tighter = _through_windows if depth == 1 and prepared.windows else _through_rows
            low_line, high_line = tighter(prepared, depth, lines, below, above, x, radius)
            open_ = (below < 0) & (above > 0)  # elsewhere a point's bounds would depend on its neighbours'
            agrees &= bool((~open_ | ((low_line >= below) & (high_line <= above))).all())
            if not alone:
                low_line, high_line = torch.maximum(below, low_line), torch.minimum(above, high_line)
            below, above = torch.where(open_, low_line, below), torch.where(open_, high_line, above)
        below, above = below - slack, above + slack
        lines.append(_Relaxed.around(below, above))
        low, high = F.relu(below), F.relu(above)
    return _Carried(lines, low, high, magnitude, agrees)


def _chunk(prepared: _Prepared, x: Tensor, radius: Tensor, labels: Tensor, method: str) -> Tensor:
    layers = prepared.network.layers
    both = _carried(prepared, x, radius, method)
    last = layers[-1]
    rows, constant = _against_label(last, labels)

    def rounded(bounds: Tensor, magnitude: Tensor) -> Tensor:
        return bounds - 2 * prepared.rounding[-1] * prepared.absolute[-1](magnitude).amax(dim=1, keepdim=True)

    if len(layers) == 1:
        bounds = (rows @ x[:, :, None]).squeeze(2) + constant - radius[:, None] * rows.norm(dim=2)
        return rounded(bounds, both.magnitude)
    centre, reach = (both.low + both.high) / 2, (both.high - both.low) / 2
    bounds = ((rows @ centre[:, :, None]) - (rows.abs() @ reach[:, :, None])).squeeze(2) + constant
    bounds = rounded(bounds, both.magnitude)
    if method != "interval":
        ways = ["rows"] if not both.agrees else []
        ways += ["filters"] if method == "filters" and "filters" in prepared.reach else []
        for track in [both] + [_carried(prepared, x, radius, method, alone=True, reach_of=way) for way in ways]:
            found = _backward(layers[:-1], track.lines, rows, constant, x, radius)
            bounds = torch.maximum(bounds, rounded(found, track.magnitude))
    return bounds


def _through_rows(
    prepared: _Prepared, depth: int, lines: Sequence[_Relaxed], below: Tensor, above: Tensor, x: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """CROWN's range of the inputs of a layer's ReLUs, where [below, above] has both signs at some point."""
    layers = prepared.network.layers
    low, high = below.clone(), above.clone()
    open_ = torch.nonzero(((below < 0) & (above > 0)).any(dim=0)).flatten()
    if len(open_):
        rows = prepared.rows[depth][open_]
        constant = prepared.offsets[depth][:, open_].expand(len(x), -1)
        both = torch.cat([rows, -rows]).expand(len(x), -1, -1)
        found = _backward(layers[:depth], lines, both, torch.cat([constant, -constant], dim=1), x, radius)
        low[:, open_], high[:, open_] = found[:, : len(open_)], -found[:, len(open_) :]
    return low, high


def _through_windows(
    prepared: _Prepared, depth: int, lines: Sequence[_Relaxed], below: Tensor, above: Tensor, x: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """The same behind two convolutions, where a neuron sees a small window of the image: 30 times faster."""
    first, second = prepared.network.layers[:2]
    assert isinstance(first, Convolution) and isinstance(second, Convolution)
    line, filters = lines[0], second.weight.flatten(1)[:, None]
    slopes = [second.windows(part)[:, None] for part in (line.below, line.above, line.offset)]
    pixels, inside = (first.windows_through(second, part) for part in (x, torch.ones_like(x[:1])))
    bias = first.bias.repeat_interleave(second.weight[0, 0].numel())
    ends = []
    for sign in (1.0, -1.0):
        signed = sign * filters
        constant = (signed.clamp(max=0.0) * slopes[2]).sum(dim=3)
        onto = signed * torch.where(signed > 0, slopes[0], slopes[1])  # (n, filters, places, inputs of a filter)
        constant = constant + onto @ bias + sign * second.bias[:, None]
        rows = onto @ prepared.windows[0]
        reach = radius[:, None, None] * (rows.square() * inside[:, None]).sum(dim=3).sqrt()
        ends.append(sign * ((rows * pixels[:, None]).sum(dim=3) + constant - reach).flatten(1))
    return ends[0], ends[1]


def _against_label(last: Layer, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Score of the label minus each other one, affine in the last layer's input: rows (n, C − 1, width), constants."""
    codes = torch.arange(last.n_outputs, device=labels.device)
    others = torch.stack([codes[codes != c] for c in range(last.n_outputs)])[labels]
    rows = last.weight[labels][:, None] - last.weight[others]
    return rows, last.bias[labels][:, None] - last.bias[others]


def _backward(
    layers: Sequence[Layer], lines: Sequence[_Relaxed], rows: Tensor, constant: Tensor, x: Tensor, radius: Tensor
) -> Tensor:
    """Lower bounds over the balls on rows · h + constant, h the output of the last ReLU; shape (n, S).

    Parameters
    ----------
    rows, constant : Tensors of shapes (n, S, width) and (n, S)
    """
    for layer, line in zip(reversed(layers), reversed(lines)):
        constant = constant + torch.einsum("nsw,nw->ns", rows.clamp(max=0.0), line.offset)
        rows = rows * torch.where(rows > 0, line.below[:, None], line.above[:, None])
        flat = rows.flatten(0, 1)
        constant = constant + layer.constant(flat).view(constant.shape)
        rows = layer.transposed(flat).view(*constant.shape, -1)
    return torch.einsum("nsd,nd->ns", rows, x) + constant - radius[:, None] * rows.norm(dim=2)
