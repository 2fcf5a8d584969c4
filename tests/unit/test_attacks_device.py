"""The attacks' arithmetic on a torch device: the classifier's decisions, NumPy's results; here on the CPU, by torch."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from arml import MahalanobisMetric
from arml.attacks import boundary_attack
from arml.attacks.arrays import arrays_on
from arml.attacks.device import DeviceForward, k_smallest
from arml.attacks.forward import PlainForward
from arml.attacks.proposals import Proposals
from arml.knn.neighbors import Predictor
from arml.knn.reference import reference_set
from arml.knn.resident import lengths, resident
from tests.placement import DEVICES, Placed


def blobs(n_train: int, n_test: int = 12, n_features: int = 5, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n_train + n_test)
    centers = rng.uniform(0.3, 0.7, (3, n_features))
    points = np.clip(centers[labels] + 0.12 * rng.standard_normal((labels.size, n_features)), 0.0, 1.0)
    return points[:n_train], labels[:n_train], points[n_train:], labels[n_train:]


def metric() -> MahalanobisMetric:
    return MahalanobisMetric(np.random.default_rng(5).standard_normal((4, 5)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("M", [None, metric()], ids=["identity", "rank 4"])
def test_the_boundary_attack_gives_numpys_norms(device: str, M: Any) -> None:
    train, y_train, X, y = blobs(400)
    options: dict[str, Any] = {"M": M, "n_neighbors": 5, "steps": 400, "seeds": 3}
    expected = boundary_attack(train, y_train, X, y, **options)
    with Placed():
        found = boundary_attack(train, y_train, X, y, device=device, **options)
    assert (expected.status == "bounded").any() and found.status.tolist() == expected.status.tolist()
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-9)
    np.testing.assert_allclose(found.adversarial, expected.adversarial, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_proposals_of_converged_rows_are_left_out_on_a_device_too(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arml.attacks.normals._STEPS", 4)
    rng = np.random.default_rng(0)
    originals, perturbed = rng.random((6, 5)), rng.random((6, 5))
    vectors = originals - perturbed
    norms = np.linalg.norm(vectors, axis=1)
    steps = np.full(6, 0.01)
    kinds = [arrays_on(name) for name in ("cpu", device)]
    box = np.zeros((6, 5)), np.ones((6, 5))
    both = [Proposals(*box, [np.random.default_rng(row) for row in range(6)], arrays) for arrays in kinds]
    for t in range(14):
        steps[: t // 3] = 1e-9  # one row after the other
        state = originals, perturbed, vectors, vectors / norms[:, None], norms, np.full(6, 0.05), steps
        numpys, torchs = (some(*(arrays.put(part.copy()) for part in state)) for some, arrays in zip(both, kinds))
        for one, other in zip(numpys, torchs):
            np.testing.assert_allclose(kinds[1].take(other), one, rtol=1e-13)
        assert kinds[1].take(both[1].active).tolist() == both[0].active.tolist() == (steps > 1e-7).tolist()
    assert np.array_equal(numpys[0][:3], perturbed[:3]) and not (numpys[0][4:] == perturbed[4:]).any()
    both[1].close()


def cases() -> dict[str, tuple[Any, Any, Any]]:
    rng = np.random.default_rng(0)
    lattice = rng.integers(0, 3, (300, 4)).astype(float)
    far = np.vstack([rng.standard_normal((300, 3)), [[1e6, 0.0, 0.0]]])
    return {
        "blobs": (rng.standard_normal((5000, 3)), None, 5),
        "lattice": (lattice, None, 4),
        "far row": (far, MahalanobisMetric(np.diag([1.0, 0.3, 2.0])), 11),
        "K = N": (rng.standard_normal((7, 2)), None, 7),
        "tiny": (1e-130 * rng.standard_normal((60, 2)), MahalanobisMetric(1e120 * np.eye(2)), 3),
    }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", cases())
def test_decisions_are_the_classifiers_own(device: str, name: str) -> None:
    train, M, k = cases()[name]
    rng = np.random.default_rng(1)
    classifier = Predictor(reference_set(train, np.arange(len(train)) % 3, M), k)
    targets = np.zeros(40, dtype=np.intp)
    scale = np.median(np.abs(train))
    plain = PlainForward(classifier, targets)
    some = DeviceForward(classifier, targets, device, width=k + 3)
    at = train[rng.integers(len(train), size=40)]
    where = some.device
    seen = []
    with Placed():
        for t in range(150):  # first far, then near; at the end, less rows
            at = at + scale * 10.0 ** (-t / 15.0) * (
                rng.integers(-1, 2, at.shape) if t % 3 else rng.normal(size=at.shape)
            )
            active = np.arange(40) % 4 != 0 if t > 100 else np.ones(40, dtype=bool)
            found = some(torch.from_numpy(at).to(where), torch.from_numpy(active).to(where))
            assert np.array_equal(found.cpu().numpy(), plain(at, active))
            seen.append(some.n_anchored)
    assert some.n_scanned >= some.n_anchored == seen[-1] and some.n_scanned > 0
    if name == "blobs":
        assert some.n_referred == 0 and seen[-1] == seen[-20]  # lists suffice, once steps are short


def test_the_k_smallest_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(0)
    for n, k in ((1000, 5), (1003, 14), (64, 64), (200, 3)):
        values = torch.from_numpy(rng.integers(0, 50, (6, n)).astype(float))
        least, places = k_smallest(values, k)
        assert torch.equal(least, values.sort(dim=1).values[:, :k])
        assert torch.equal(values.gather(1, places), least) and all(len(set(row.tolist())) == k for row in places)


def test_tensors_are_made_once_and_go_with_their_reference_set() -> None:
    train, y_train, _, _ = blobs(50)
    reference: Any = reference_set(train, y_train, metric())
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: resident(reference, "cpu"), range(8)))
    assert all(one is made[0] for one in made)
    assert made[0] is not resident(reference_set(train, y_train, metric()), "cpu")
    for name in ("u", "u_sq", "sizes", "codes"):
        assert np.array_equal(getattr(made[0], name).numpy(), getattr(reference, name))
    images, sizes = made[0].located(torch.from_numpy(train))
    np.testing.assert_allclose(images.numpy()[reference.order], reference.u, atol=1e-14)
    np.testing.assert_allclose(sizes.numpy()[reference.order], reference.sizes, rtol=1e-14)
    gone = weakref.ref(reference)
    reference = None
    del made
    gc.collect()
    assert gone() is None


def test_lengths_survive_squares_that_do_not() -> None:
    rows = torch.tensor([[3e200, 4e200], [3e-200, 4e-200], [0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    np.testing.assert_allclose(lengths(rows).numpy(), [5e200, 5e-200, 0.0, 5.0], rtol=1e-15)


def test_a_device_that_is_not_there_is_refused() -> None:
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here: .*'cpu' always can"):
            boundary_attack([[0.0], [1.0]], [0, 1], [[0.2]], [0], n_neighbors=1, device=device)


def test_neighbours_and_attacks_load_no_torch_until_a_device_is_asked_for() -> None:
    code = "import sys, arml.knn.resident, arml.attacks.boundary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
