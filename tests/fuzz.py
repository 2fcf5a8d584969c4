"""``python -m tests.fuzz``: random problems until so many probes are spent, every claim of arml against an oracle.

What is drawn is what breaks such code: ties, lattices, duplicates, contradicting labels, outliers, offsets, scales
of 1e±130, singular metrics, boxes and norms, any K. The oracle is brute force in extended precision and shares no code
with arml; where rounding to double could decide, it abstains. A failure names the seed of its trial.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml import MahalanobisKNN
from arml.attacks import geometric_attack
from arml.certify import certificates
from arml.check import CertificateChecker
from arml.intervals import radius_intervals
from arml.verify import exact_radii

Wide = NDArray[np.longdouble]
DOUBT = np.longdouble(1e-12)  # of σ² ℓ²: distances nearer to each other than that may be ties for arml
EDGE = 1.0 - 1e-7  # how near to a claimed radius probes come
KINDS = ("normal", "lattice", "duplicates", "contradicting", "outlier", "offset", "cluster", "line", "stiff")


@dataclass(frozen=True)
class Problem:
    """A training set, a metric, a test point and its label."""

    X: NDArray[np.float64]
    y: NDArray[np.intp]
    G: NDArray[np.float64] | None
    x: NDArray[np.float64]
    label: int
    n_neighbors: int

    @property
    def metric(self) -> Any:
        return None if self.G is None else self.G.T @ self.G


def draw(rng: np.random.Generator) -> Problem:
    """A problem, small enough for brute force."""
    kind = str(rng.choice(KINDS))
    n, width = int(rng.integers(4, 15)), 1 if kind == "line" else int(rng.integers(1, 6))
    X = rng.normal(size=(n, width))
    if kind == "lattice":
        X = rng.integers(0, 4, size=(n, width)).astype(float)
    elif kind in ("duplicates", "contradicting"):
        X = X[rng.integers(0, n, size=n)]
    elif kind == "outlier":
        X[int(rng.integers(n))] *= 10.0 ** rng.uniform(2, 7)
    elif kind == "offset":
        X += 10.0 ** rng.uniform(0, 5)
    elif kind == "cluster":
        X[: n // 2] = X[0] + 1e-4 * rng.normal(size=(n // 2, width))
    y = rng.integers(0, int(rng.integers(2, 4)), size=n)
    y[:2] = 0, 1
    if kind == "duplicates":  # the same label wherever the same point
        _, first = np.unique(X, axis=0, return_index=True)
        same = {tuple(X[i]): y[i] for i in first}
        y = np.array([same[tuple(row)] for row in X])
        if (y == y[0]).all():
            y[-1] = y[0] + 1
    x = X[int(rng.integers(n))] + (0.0 if rng.random() < 0.1 else rng.normal(size=width))
    if kind == "lattice" and rng.random() < 0.7:
        x = np.round(x * 2) / 2
    G = None
    if rng.random() < 0.4:
        rank = int(rng.integers(1, width + 1))
        G = rng.normal(size=(rank, width))
    if kind == "stiff":  # a metric that is large along a feature in which points hardly differ
        ratio = 10.0 ** rng.uniform(0, 3)
        X[:, 0] /= ratio
        x[0] = X[0, 0]
        G = rng.normal(size=(width, width))
        G[:, 0] *= ratio
    if rng.random() < 0.15:
        factor = 10.0 ** rng.uniform(-100, 120)
        X, x = X * factor, x * factor
    return Problem(X, y, G, x, int(rng.choice(y)), int(rng.integers(1, min(n, 8))))


# --- the oracle ----------------------------------------------------------------------------------


def squared(problem: Problem, Z: NDArray[Any]) -> tuple[Wide, Wide]:
    """Squared distances of points to the training set in extended precision, and how far off doubles may be."""
    ways = problem.X.astype(np.longdouble)[None] - Z.astype(np.longdouble)[:, None]
    lengths = np.square(ways).sum(axis=2)
    if problem.G is None:
        return lengths, DOUBT * lengths
    # M is what arml is given: a product of doubles, whose rounding is part of the doubt
    G = problem.G.astype(np.longdouble)
    d = np.square((ways[:, :, None, :] * G).sum(axis=3)).sum(axis=2)
    return d, 100 * DOUBT * np.square(G).sum() * lengths


def answers(problem: Problem, Z: NDArray[Any]) -> NDArray[np.intp]:
    """The plurality of the K nearest, vote ties to the smallest label; −1 where rounding may decide."""
    d, doubt = squared(problem, Z)
    K, rows = problem.n_neighbors, np.arange(len(Z))[:, None]
    order = np.argsort(d, axis=1, kind="stable")
    if len(problem.y) > K:
        inside, outside = order[:, :K], order[:, K:]
        far = (d + doubt)[rows, inside].max(axis=1)
        clear = far < (d - doubt)[rows, outside].min(axis=1)
    else:
        clear = np.ones(len(Z), dtype=bool)
    votes = np.stack([(problem.y[order[:, :K]] == label).sum(axis=1) for label in range(problem.y.max() + 1)], axis=1)
    return np.where(clear, votes.argmax(axis=1), -1)


def lengths(delta: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    """‖·‖ of rows, which may be as large or small as doubles are."""
    scale = np.abs(delta).max(axis=1, keepdims=True)
    safe = np.where(scale > 0, scale, 1.0)
    return np.asarray(np.linalg.norm(delta / safe, norm, axis=1) * safe[:, 0])


def probes(
    problem: Problem, rng: np.random.Generator, radius: float, norm: float, box: tuple[float, float] | None, number: int
) -> NDArray[np.float64]:
    """Points within a radius of x: everywhere, at its edge, and straight at every training point."""
    ways = np.vstack([problem.X - problem.x, rng.normal(size=(number, problem.x.size))])
    size = float(lengths(problem.X - problem.x, 2.0).max()) or 1.0
    reach = min(radius, 10.0 * size)
    long = lengths(ways, norm)
    ways = ways[long > 0] / long[long > 0, None]
    share = np.where(rng.random(len(ways)) < 0.5, EDGE, rng.random(len(ways)))
    Z = problem.x + ways * (share * reach)[:, None]
    return Z if box is None else np.clip(Z, min(box[0], *problem.x), max(box[1], *problem.x))


def radius_on_a_line(problem: Problem) -> tuple[float, NDArray[np.float64]]:
    """How far x may move on a line until the answer changes; and how far away ties are, where it may too."""
    X, x = problem.X[:, 0], float(problem.x[0])
    breaks = np.unique((X[:, None] + X[None]).ravel() / 2)
    far = 2 * float(np.abs(np.append(X, x)).max()) + 1
    ends = np.concatenate([[-far], breaks, [far]])
    found, unknown = [], list(np.abs(breaks - x))
    for low, high in itertools.pairwise(ends):
        away = max(0.0, low - x, x - high)
        (answer,) = answers(problem, np.array([[(low + high) / 2]]))
        if answer == -1:  # twins of different labels: the index decides
            unknown.append(away)
        elif answer != problem.label:
            found.append(away)
    return min(found, default=np.inf), np.array(unknown)


# --- trials --------------------------------------------------------------------------------------


class Trial:
    """One problem and all claims about it."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.problem, self.number, self.spent = draw(self.rng), number, Counter[str]()
        self.given = (self.problem.X, self.problem.y, self.problem.x[None], [self.problem.label])

    def run(self) -> Counter[str]:
        p = self.problem
        checker = CertificateChecker(p.X, p.y, p.metric)
        (answer,) = answers(p, p.x[None])
        said = int(MahalanobisKNN(p.n_neighbors, metric=p.metric).fit(p.X, p.y).predict(p.x[None])[0])
        assert answer in (said, -1), f"predicted {said}, by brute force {answer}"
        lower = 0.0
        for bound in ("theorem1", "plurality", "packing"):
            if bound == "theorem1" and p.n_neighbors % 2 == 0:
                continue
            (proof,) = certificates(*self.given, p.metric, p.n_neighbors, bound)
            self.inside(proof.radius, bound)
            verdict = checker.check(p.x, p.label, proof)
            assert verdict.accepted, f"{bound}, {proof.radius}: {verdict.reason}"
            lower = max(lower, proof.radius)
        interval = radius_intervals(*self.given, p.metric, p.n_neighbors, programs=20, nodes=100)
        ends, way = (float(interval.lower[0]), float(interval.upper[0])), interval.perturbation[0]
        self.between(*ends, way, "interval", end=interval.adversarial[0])
        attack = geometric_attack(*self.given, p.metric, p.n_neighbors, programs=20)
        if np.isfinite(attack.norm[0]):
            assert attack.norm[0] >= max(lower, float(interval.lower[0])) * EDGE, f"attack {attack.norm[0]} < {lower}"
            assert answers(p, attack.adversarial)[0] != p.label, "what the attack found is classified rightly"
        if p.x.size == 1 and p.G is None:
            radius, ties = radius_on_a_line(p)
            low, high = float(interval.lower[0]), float(interval.upper[0])
            near = 1e-7 * float(np.abs(np.append(p.X, p.x)).max())
            assert low <= radius + near, f"lower end {low} on a line of {radius}"
            assert high >= radius - near or (np.abs(ties - high) <= near).any(), f"upper end {high} of {radius}"
        if p.n_neighbors == 1:
            self.exact(checker)
        return self.spent

    def exact(self, checker: CertificateChecker) -> None:
        """The exact radius, in one of the norms, with a box or without."""
        p = self.problem
        norm = float(self.rng.choice([1.0, 2.0, np.inf]))
        box = None
        if self.rng.random() < 0.5:
            everything = np.vstack([p.X, p.x])
            box = (float(everything.min()), float(everything.max()))
            box = box if box[0] < box[1] else None
        found = exact_radii(*self.given, p.metric, norm=norm, bounds=box)
        low, high, proof = float(found.lower[0]), float(found.upper[0]), found.certificates[0]
        self.between(low, high, found.perturbation[0], f"exact, norm {norm}, box {box}", norm, box)
        verdict = checker.check(p.x, p.label, proof)
        assert verdict.accepted, f"exact {low}, {high}, norm {norm}, box {box}: {verdict.reason}"
        if proof.radius > 0 and np.isfinite(high):
            longer = replace(proof, radius=1.01 * high, upper=np.inf)
            assert not checker.check(p.x, p.label, longer).accepted, f"accepted {1.01 * high} beside an upper {high}"

    def inside(self, radius: float, what: str, norm: float = 2.0, box: tuple[float, float] | None = None) -> None:
        """No probe within a proved radius is classified wrongly."""
        if not radius > 0:
            return
        Z = probes(self.problem, self.rng, radius, norm, box, self.number)
        got = answers(self.problem, Z)
        wrong = np.flatnonzero((got != self.problem.label) & (got >= 0))
        assert not wrong.size, f"{what}: radius {radius!r}, but {Z[wrong[0]].tolist()} is classified as {got[wrong[0]]}"
        self.spent["probes"] += len(Z)
        self.spent["abstained"] += int((got < 0).sum())

    def between(
        self,
        low: float,
        high: float,
        delta: NDArray[np.float64],
        what: str,
        norm: float = 2.0,
        box: tuple[float, float] | None = None,
        end: NDArray[Any] | None = None,
    ) -> None:
        """Probes inside the lower end, and the upper end attained: at ``end``, or x + δ before it is rounded."""
        assert 0 <= low <= high, f"{what}: [{low}, {high}]"
        self.inside(low, what, norm, box)
        if 0 < high < np.inf:
            (length,) = lengths(delta[None], norm)
            assert length <= high * (1 + 1e-9), f"{what}: upper {high}, perturbation of {length}"
            end = self.problem.x.astype(np.longdouble) + delta if end is None else end
            got = answers(self.problem, end[None])[0]
            assert got != self.problem.label, f"{what}: upper {high}, where the answer is still right"


def run(seed: int, wanted: int, number: int = 2000, seconds: float = np.inf) -> Counter[str]:
    """Trials from a seed on, until so many probes are spent or the time is; AssertionError names the trial's seed."""
    spent, begun, trial = Counter[str](), time.monotonic(), seed
    while spent["probes"] < wanted and time.monotonic() - begun < seconds:
        try:
            spent += Trial(trial, number).run()
        except Exception as error:
            raise AssertionError(f"trial {trial} (python -m tests.fuzz --seed {trial} --probes 1): {error}") from error
        spent["trials"] += 1
        trial += 1
    return spent


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first trial; the next have the next")
    parser.add_argument("--probes", type=int, default=10_000_000, help="how many to spend")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", UserWarning)  # of rows far out, which are drawn on purpose
    print(f"[fuzz] seed {options.seed}", flush=True)
    spent, left, seed = Counter[str](), options.probes, options.seed
    begun = time.monotonic()
    while left > 0:
        more = run(seed, min(left, 1_000_000))
        spent, left, seed = spent + more, left - more["probes"], seed + more["trials"]
        took = time.monotonic() - begun
        print(f"[fuzz] {took:.0f} s: " + ", ".join(f"{count} {name}" for name, count in spent.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
