"""The K-NN forward pass of the attacks on a torch device: all rows at a time, the decisions those of the classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from arml.attacks.forward import Bools, Floats, Ints
from arml.knn.neighbors import Predictor, predict_codes
from arml.knn.resident import lengths, resident

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ArrayForward", "DeviceForward"]

_CROWDED = 0.75  # as in arml.attacks.forward
_ASTRAY = 0.5  # where more of the rows leave their lists from one call to the next, lists do not pay
_SPELL = 32  # for so many calls, then
_SEGMENT = 64
_ENTRIES = {"cuda": 1 << 27}  # distances held at a time; elsewhere what a cache holds
_ENTRIES_ELSEWHERE = 1 << 21


class DeviceForward:
    """The decisions of :class:`arml.attacks.forward.PlainForward`, from tensors on one device.

    Each row keeps, as in :class:`arml.attacks.forward.PrunedForward`, an anchor and the ``width`` training points
    nearest to it, which decide as long as the row stays close. One that has strayed looks at all N points and is
    anchored anew. Rows that stray at every step, as they do at first, look at all N points without making lists.

    Where rounding leaves open which points are the K nearest, and those it may be about have more than one label, the
    row goes to the classifier on the CPU: a decision is always the classifier's own.

    Parameters
    ----------
    classifier : Predictor
    targets : ndarray of shape (n,)
        Position of each row's true label in ``classifier.reference.classes``.
    device : str
        torch's.
    width : int, optional
        Length of a row's list.

    Attributes
    ----------
    n_anchored, n_scanned, n_referred : int
        New anchors; looks at all N points (the anchors' own included); decisions left to the classifier.

    Notes
    -----
    Cost a call: O(n (width + D) r), plus O(N r) for each row that looks at all points. Memory: O(n width r).
    """

    def __init__(self, classifier: Predictor, targets: Ints, device: str, *, width: int | None = None) -> None:
        import torch

        self._torch, self._classifier = torch, classifier
        self._reference = reference = classifier.reference
        self._points = resident(reference, device)
        self._k = int(classifier.n_neighbors)
        self._width = min(reference.n_train, max(width or 4 * self._k + 20, self._k))
        n, rank, where = len(targets), reference.metric.rank, self._points.device
        self._targets = torch.from_numpy(np.asarray(targets, dtype=np.int64)).to(where)
        self._anchor = torch.zeros((n, reference.n_features), dtype=torch.float64, device=where)
        self._offset = torch.zeros((n, self._width, rank), dtype=torch.float64, device=where)
        self._offset_sq = torch.zeros((n, self._width), dtype=torch.float64, device=where)
        self._label = torch.zeros((n, self._width), dtype=torch.int64, device=where)
        self._beyond = torch.full((n,), -torch.inf, dtype=torch.float64, device=where)  # everything is in doubt
        self._size = torch.zeros(n, dtype=torch.float64, device=where)
        self._live = torch.arange(n, device=where)
        # of equal counts the smallest code wins: no two of these keys are equal
        self._rank = torch.arange(reference.classes.size - 1, -1, -1, device=where)
        self._scans_left = 0
        self.n_anchored = self.n_scanned = self.n_referred = 0

    @property
    def device(self) -> Any:
        """torch's."""
        return self._points.device

    def __call__(self, Z: Tensor, active: Tensor) -> Tensor:
        """As :meth:`arml.attacks.forward.Forward.__call__`, on tensors of the device."""
        held = active[self._live]
        count = int(held.sum())
        out = self._torch.zeros_like(active)
        if not count:
            return out
        if count <= _CROWDED * len(held):
            self._keep(held)
            held = held[held]
        out[self._live] = self._decide(Z if len(held) == len(Z) else Z[self._live], held) & held
        return out

    def _keep(self, keep: Tensor) -> None:
        """Forget the rows that are no longer asked about."""
        for name in ("_live", "_targets", "_anchor", "_offset", "_offset_sq", "_label", "_beyond", "_size"):
            setattr(self, name, getattr(self, name)[keep])

    def _decide(self, Z: Tensor, active: Tensor) -> Tensor:
        if not self._scans_left:
            return self._by_lists(Z, slice(None), active)
        self._scans_left -= 1
        chosen, doubtful, _ = self._scan(Z, self._k)
        wrong = self._vote(self._points.codes[chosen]) != self._targets
        rows = self._torch.nonzero(doubtful & active).flatten()
        if len(rows):
            wrong[rows] = self._by_lists(Z[rows], rows, active[rows])
        return wrong

    def _by_lists(self, Z: Tensor, rows: Any, active: Tensor) -> Tensor:
        """Decide about candidates Z (m, D) of some rows by their lists, made anew where a candidate has left them."""
        nonzero = self._torch.nonzero
        wrong, strayed, doubtful = self._ask(Z, rows)
        doubtful &= active
        if not bool(doubtful.any()):
            return wrong
        again = nonzero(strayed & active).flatten()
        if len(again):
            if isinstance(rows, slice) and len(again) > _ASTRAY * len(Z):
                self._scans_left = _SPELL
            moved = again if isinstance(rows, slice) else rows[again]
            self._move_anchors(moved, Z[again])
            wrong[again], _, doubtful[again] = self._ask(Z[again], moved)
        referred = nonzero(doubtful).flatten()
        if len(referred):
            self.n_referred += len(referred)
            codes = predict_codes(self._reference, Z[referred].cpu().numpy(), self._k)
            wrong[referred] = self._torch.from_numpy(codes).to(Z.device) != self._targets[rows][referred]
        return wrong

    def _ask(self, Z: Tensor, rows: Any) -> tuple[Tensor, Tensor, Tensor]:
        """What the rows' lists say about Z (m, D): misclassified, strayed beyond the list, in doubt; shapes (m,).

        What has strayed is in doubt.
        """
        torch, k = self._torch, self._k
        moved = Z - self._anchor[rows]
        step = self._points.images(moved)
        moved_sq = step.square().sum(dim=1)
        distances = torch.matmul(self._offset[rows], step[:, :, None]).squeeze(2)
        distances.mul_(-2.0).add_(self._offset_sq[rows]).add_(moved_sq[:, None])
        near, places = torch.topk(distances, min(k + 1, self._width), dim=1, largest=False)
        kth = near[:, k - 1]
        rest = (self._beyond[rows] - moved_sq.sqrt()).clamp(min=0.0).square()
        # no length here is more than this: see PrunedForward
        share, tied_share = self._reference.rounding.screened_lost
        reach = self._reference.metric.sigma_max * lengths(moved) + 4.0 * self._size[rows]
        tolerance = 2.0 * (share * share + tied_share) * reach.square() + self._reference.rounding.floor
        strayed = ~(rest - kth > tolerance)
        labels = self._label[rows]
        own = labels.gather(1, places[:, :k])
        tied = (distances - kth[:, None]).abs() <= tolerance[:, None]
        agree = ((labels == own[:, -1:]) | ~tied).all(dim=1)
        clear = near[:, k] - kth > tolerance if self._width > k else torch.ones_like(agree)
        return self._vote(own) != self._targets[rows], strayed, strayed | ~(clear | agree)

    def _vote(self, labels: Tensor) -> Tensor:
        """Plurality of each row, tied votes to the smallest code: shape (m, K) → (m,)."""
        n_classes = len(self._rank)
        votes = self._rank.new_zeros((len(labels), n_classes))
        votes.scatter_add_(1, labels, self._torch.ones_like(labels))
        return (votes * n_classes + self._rank).argmax(dim=1)

    def _move_anchors(self, rows: Tensor, Z: Tensor) -> None:
        """Anchor rows at their candidates Z (m, D): list the ``width`` nearest training points, bound all others."""
        self.n_anchored += len(rows)
        chosen, _, (images, sizes, last) = self._scan(Z, self._width)
        offset = self._points.u[chosen] - images[:, None]
        self._anchor[rows], self._offset[rows] = Z, offset
        self._offset_sq[rows] = offset.square_().sum(dim=2)
        self._label[rows] = self._points.codes[chosen]
        self._beyond[rows] = (last - self._reference.rounding.floor).clamp(min=0.0).sqrt() * (1.0 - 1e-12)
        self._size[rows] = sizes.maximum(self._points.sizes[chosen].amax(dim=1))

    def _scan(self, Z: Tensor, width: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The ``width`` nearest of all N points to each of Z (m, D), less what rounding and ties may amount to.

        Returns their rows (m, width), whether others may be as near (m,), and Z's images, sizes and a lower bound on
        the squared distances of all others (m,).
        """
        torch, points = self._torch, self._points
        self.n_scanned += len(Z)
        images, sizes = points.located(Z)
        if width >= len(points.u):
            everything = torch.arange(len(points.u), device=Z.device).expand(len(Z), -1)
            last = torch.full_like(sizes, torch.inf)
            return everything, torch.zeros_like(sizes, dtype=torch.bool), (images, sizes, last)
        size = max(1, _ENTRIES.get(Z.device.type, _ENTRIES_ELSEWHERE) // len(points.u))
        parts = [self._least(images[i : i + size], sizes[i : i + size, None], width) for i in range(0, len(Z), size)]
        chosen, doubtful, last = (torch.cat(part) for part in zip(*parts))
        return chosen, doubtful, (images, sizes, last)

    def _least(self, images: Tensor, sizes: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`_scan` for some rows: the nearest, whether that is in doubt, and how far the others are at least."""
        torch, points, rounding = self._torch, self._points, self._reference.rounding
        share, tied_share = rounding.screened_lost
        lost = share * share + tied_share
        low = torch.addmm(points.u_sq, images, points.u.T, alpha=-2.0)
        errors = (points.caps + sizes).square_().mul_(lost).add_(rounding.floor)  # (m, 1) or (m, N)
        if len(points.caps) > 1:
            low -= errors
        near, chosen = k_smallest(low, width + 1)
        base = images.square().sum(dim=1, keepdim=True)
        if len(points.caps) > 1:
            high = near[:, :-1] + 2.0 * errors.gather(1, chosen[:, :-1])
        else:
            base, high = base - errors, near[:, :-1] + 2.0 * errors
        doubtful = ~(high.amax(dim=1) < near[:, -1])
        return chosen[:, :-1], doubtful, near[:, -1] + base[:, 0]


class ArrayForward:
    """A forward pass on a device for NumPy's arrays: :class:`arml.attacks.forward.Forward`."""

    def __init__(self, forward: DeviceForward) -> None:
        self._forward = forward

    def __call__(self, Z: Floats, active: Bools) -> Bools:
        """See :class:`arml.attacks.forward.Forward`."""
        import torch

        device = self._forward.device
        found = self._forward(*(torch.from_numpy(array).to(device) for array in (Z, active)))
        return np.asarray(found.cpu().numpy())


def k_smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row in ascending order, and their places; shapes (m, n) → (m, k).

    They lie in the k segments with the smallest minima: a GPU finds them in a third of the time.
    """
    import torch

    n = values.shape[1]
    segments = n // _SEGMENT
    if k >= segments:
        least, places = torch.topk(values, k, dim=1, largest=False)
        return least, places
    whole = segments * _SEGMENT
    parts = values[:, :whole].unflatten(1, (segments, _SEGMENT))
    _, which = torch.topk(parts.amin(dim=2), k, dim=1, largest=False, sorted=False)
    inside = torch.arange(_SEGMENT, device=values.device)
    columns = (which[:, :, None] * _SEGMENT + inside).flatten(1)
    tail = torch.arange(whole, n, device=values.device).expand(len(values), -1)
    columns = torch.cat([columns, tail], dim=1)
    least, places = torch.topk(values.gather(1, columns), k, dim=1, largest=False)
    return least, columns.gather(1, places)
