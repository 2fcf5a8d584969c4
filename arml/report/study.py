"""A study's results, gathered for the report: curves, radii, and what is known of every fit and data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from arml.curves import Curve, robust_curves
from arml.errors import DataError
from arml.report.published import ALGORITHMS, ATTACK_STEPS, N_NEIGHBORS, dataset_rank
from arml.results.evidence import rejections
from arml.results.parquet import read_provenance, read_table
from arml.results.rows import concat
from arml.results.sandwich import SandwichReport, check_sandwich
from arml.results.schemas import METHOD_ORDER, NETWORK, column, method_rank
from arml.results.stages import STAGE_ORDER

METHOD_LABELS = {name: name.upper() for name in METHOD_ORDER} | {"euclidean": "Euclidean"}
ALGORITHM_LABELS = {
    "qp": "exact by quadratic programs",
    "theorem1": "Theorem 1",
    "plurality": "plurality bound",
    "packing": "packing bound",
    "branching": "branch and bound",
    "boundary": "Boundary Attack",
    "hopskipjump": "HopSkipJump",
    "pointwise": "Pointwise attack",
    "geometric": "geometric attack",
    "crown": "CROWN",
    "interval": "interval propagation",
    "smoothing": "randomized smoothing",
    "ddn": "DDN",
    "fmn": "FMN",
}


def method_label(method: str) -> str:
    """How a method is written in tables and figures."""
    return METHOD_LABELS.get(method, method)


def algorithm_label(algorithm: str) -> str:
    """How an algorithm is written in tables, figures and the verdict."""
    return ALGORITHM_LABELS.get(algorithm, algorithm)


def algorithms_in_words(names: Iterable[str]) -> str:
    """Several algorithms, as text names them."""
    return " and ".join(map(algorithm_label, names))


@dataclass(frozen=True, eq=False)
class Study:
    """Everything a report is made of.

    Attributes
    ----------
    curves : tuple of Curve
        Of K-NN, in report order: data set (the paper's order), K, kind, algorithm, method.
    networks : tuple of Curve
        Of neural networks, in the same order.
    sandwich : SandwichReport
    radii : dict
        Data set → the radii of its tables.
    fits : dict
        Data set → method → facts of the fit (a learner's ``fit_summary_``).
    network_facts : dict
        Data set → network → provenance of its file, in the order of the params.
    datasets : dict
        Data set → provenance of its processed split.
    params : mapping
        The study's parameters as read; used for what no result row says (attack steps).
    checked, certificates : int
        How many stored certificates were checked without the solvers, and how many rows claim one.
    """

    curves: tuple[Curve, ...]
    sandwich: SandwichReport
    radii: dict[str, tuple[float, ...]]
    fits: dict[str, dict[str, Mapping[str, Any]]]
    datasets: dict[str, Mapping[str, Any]]
    params: Mapping[str, Any]
    checked: int = 0
    certificates: int = 0
    networks: tuple[Curve, ...] = ()
    network_facts: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def dataset_names(self) -> list[str]:
        """Data sets with results, in the paper's order."""
        return sorted({curve.dataset for curve in self.curves}, key=dataset_rank)

    @property
    def methods(self) -> list[str]:
        """Methods with results, in the paper's order."""
        return sorted({curve.method for curve in self.curves}, key=method_rank)

    @property
    def n_neighbors(self) -> int:
        """The K of Table 2: among those certified and attacked (or either), the paper's if there, else the largest."""
        certified, attacked = (
            {curve.n_neighbors for curve in self.curves if curve.kind == kind} for kind in ("certified", "attacked")
        )
        found = certified & attacked or certified | attacked or {N_NEIGHBORS}
        return N_NEIGHBORS if N_NEIGHBORS in found else max(found)

    def select(
        self, dataset: str, kind: str, n_neighbors: int | None = None, algorithm: str | None = None
    ) -> list[Curve]:
        """Return the curves of a data set that are of this kind (and K, and algorithm), in method order."""
        return [
            curve
            for curve in self.curves
            if (curve.dataset, curve.kind) == (dataset, kind)
            and n_neighbors in (None, curve.n_neighbors)
            and algorithm in (None, curve.algorithm)
        ]

    def middle_radius(self, dataset: str) -> float:
        """Return the middle one of the data set's positive radii (the upper of two)."""
        return middle_radius(self.radii[dataset])

    def middle_heading(self, dataset: str, counts: Iterable[int]) -> str:
        """Return what stands over a column of errors at the middle radius: its data set, radius and points."""
        return f"{dataset}, r = {self.middle_radius(dataset):g} ({count_range(counts)} points)"

    def fit_notes(self, dataset: str) -> list[str]:
        """Return a sentence for every fit of the data set that was not plain: subset, no convergence, …"""
        fits = self.fits.get(dataset, {})
        notes = []
        for method in sorted(fits, key=method_rank):
            said = _fit_notes(fits[method])
            if said:
                notes.append(f"{method_label(method)}: {'; '.join(said)}.")
        return notes

    def on_subset(self) -> list[str]:
        """Return the methods that were fitted on a subset of some training set."""
        return [
            method
            for method in self.methods
            if any(_is_subset(fits[method]) for fits in self.fits.values() if method in fits)
        ]

    def skipped(self, stage: str, dataset: str) -> list[str]:
        """Return the methods that the params leave out of a stage (attack, tighten) on a data set."""
        section = self.params.get(stage)
        skip = section.get("skip") if isinstance(section, Mapping) else None
        left = skip.get(dataset, ()) if isinstance(skip, Mapping) else ()
        return [method for method in self.methods if method in left]

    def attack_note(self, curves: Sequence[Curve]) -> str:
        """Return what the attack behind these curves did: its steps, and how many points it was given."""
        if not curves:
            return ""
        name = algorithm_label(curves[0].algorithm)
        settings = self.params.get("attack")
        steps = settings.get("steps") if isinstance(settings, Mapping) else None
        if curves[0].algorithm == "boundary" and isinstance(steps, int):
            name += f", {steps} steps a point (paper: {ATTACK_STEPS})"
        return f"{name}, {count_range(curve.n_points for curve in curves)} attacked test points"


def build_study(
    results: Sequence[pa.Table],
    *,
    radii: Mapping[str, Sequence[float]],
    fits: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    datasets: Mapping[str, Mapping[str, Any]] | None = None,
    params: Mapping[str, Any] | None = None,
    checks: Sequence[pa.Table] = (),
    network_facts: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> Study:
    """Gather a study from tables in memory; see `Study` for the arguments.

    Parameters
    ----------
    checks : sequence of tables
        Verdicts on stored certificates (schema "checks").

    Raises
    ------
    DataError
        There are no results, a data set has no radii, or a certificate was rejected.
    """
    table = concat(results)
    _refuse_rejected(checks)
    names = sorted(set(column(table, "dataset").tolist()), key=dataset_rank)
    if not names:
        raise DataError("there are no results to report: every table is empty; run verify, certify and attack")
    radii = {name: tuple(radii.get(name, ())) or suggested_radii(table, name) for name in names}
    missing = [name for name in names if not any(radius > 0 for radius in radii.get(name, ()))]
    if missing:
        raise DataError(f"no positive radius is given for {', '.join(missing)}; the report needs one")
    curves = sorted(
        robust_curves(table),
        key=lambda c: (dataset_rank(c.dataset), c.n_neighbors, c.kind != "exact", c.kind != "certified",
                       c.algorithm != ALGORITHMS[c.kind], c.algorithm, method_rank(c.method)),
    )  # fmt: skip
    return Study(
        curves=tuple(curve for curve in curves if curve.n_neighbors != NETWORK),
        networks=tuple(curve for curve in curves if curve.n_neighbors == NETWORK),
        network_facts=network_facts or {},
        sandwich=check_sandwich(*results),
        radii={name: tuple(float(radius) for radius in radii[name]) for name in names},
        fits={name: dict((fits or {}).get(name, {})) for name in names},
        datasets={name: (datasets or {}).get(name, {}) for name in names},
        params=params or {},
        checked=sum(verdicts.num_rows for verdicts in checks),
        certificates=_proved_rows(table),
    )


def suggested_radii(table: pa.Table, dataset: str) -> tuple[float, ...]:
    """Radii for a data set that names none: quantiles of the exact radii of its right answers, rounded, from 0 on.

    Of the Euclidean 1-NN where there is one, else of the first method; () where no exact radius is above 0.
    """
    import numpy as np

    chosen = (column(table, "dataset") == dataset) & (column(table, "kind") == "exact")
    chosen &= column(table, "n_neighbors") == 1
    methods = sorted(set(column(table, "method")[chosen].tolist()), key=method_rank)
    if not methods:
        return ()
    lower = column(table, "lower")[chosen & (column(table, "method") == methods[0])].astype(float)
    positive = lower[np.isfinite(lower) & (lower > 0)]
    if not positive.size:
        return ()
    quantiles = np.quantile(positive, (0.1, 0.25, 0.5, 0.75, 0.9), method="lower")
    return (0.0, *sorted({float(f"{value:.2g}") for value in quantiles}))


def _proved_rows(table: pa.Table) -> int:
    """How many rows come with a stored certificate: those of 1-NN and of K-NN certificates."""
    kind, k = column(table, "kind"), column(table, "n_neighbors")
    return int((((kind == "certified") & (k != NETWORK)) | ((kind == "exact") & (k == 1))).sum())


def _refuse_rejected(checks: Sequence[pa.Table]) -> None:
    rejected = [line for verdicts in checks for line in rejections(verdicts)]
    if rejected:
        raise DataError(f"{len(rejected)} certificates are rejected, so there is no report; the first: {rejected[0]}")


def load_study(
    *,
    results: Iterable[str | os.PathLike[str]],
    metrics: Iterable[str | os.PathLike[str]],
    splits: Mapping[str, str | os.PathLike[str]],
    checks: Iterable[str | os.PathLike[str]],
    radii: Mapping[str, Sequence[float]],
    params: Mapping[str, Any],
    networks: Iterable[str | os.PathLike[str]] = (),
) -> Study:
    """Gather a study from its files.

    Parameters
    ----------
    results : iterable of paths
        Every exact, certified and attacked file.
    metrics : iterable of paths
        Metric files; their provenance must hold ``dataset``, ``method`` and ``fit`` (the ``fit_summary_``).
    splits : mapping
        Data set → a processed split file, whose provenance describes the data set.
    checks, networks : iterables of paths
        Of networks the files of their weights.
    radii, params : as in `Study`

    Raises
    ------
    DataError
        A file is missing, damaged or of another kind, or lacks a fact that the report needs, or says that a
        certificate was rejected.
    """
    fits: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in metrics:
        facts = read_provenance(path)
        lacking = [key for key in ("dataset", "method", "fit") if key not in facts]
        if lacking:
            raise DataError(f"{path}: expected provenance with {', '.join(lacking)}; run 'dvc repro' to write it")
        fits.setdefault(facts["dataset"], {})[facts["method"]] = facts["fit"]
    network_facts: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in networks:
        facts = read_provenance(path)
        network_facts.setdefault(facts["dataset"], {})[facts["method"]] = facts
    return build_study(
        [read_table(path, "results") for path in results],
        radii=radii,
        fits=fits,
        datasets={name: read_provenance(path) for name, path in splits.items()},
        params=params,
        checks=[read_table(path, "checks") for path in checks],
        network_facts=network_facts,
    )


def stage_rank(stage: str) -> tuple[int, str]:
    """Sort key: the order in which the stages run, then any other by name."""
    return (STAGE_ORDER.index(stage) if stage in STAGE_ORDER else len(STAGE_ORDER)), stage


def middle_radius(radii: Iterable[float]) -> float:
    """Return the middle one of the positive radii (the upper of two)."""
    positive = sorted(radius for radius in radii if radius > 0)
    return positive[len(positive) // 2]


def count_range(counts: Iterable[int]) -> str:
    """Return "n" where all counts are equal, else "low to high"."""
    seen = sorted(set(counts))
    return str(seen[0]) if len(seen) == 1 else f"{seen[0]} to {seen[-1]}"


def _is_subset(fit: Mapping[str, Any]) -> bool:
    used, available = fit.get("n_fit_samples"), fit.get("n_train")
    return isinstance(used, int) and isinstance(available, int) and used < available


def _fit_notes(fit: Mapping[str, Any]) -> list[str]:
    said = []
    if _is_subset(fit):
        said.append(f"fitted on a stratified subset of {fit['n_fit_samples']} of {fit['n_train']} points")
    if fit.get("converged") is False:
        after = f" after {fit['n_iter']} iterations" if isinstance(fit.get("n_iter"), int) else ""
        said.append(f"not converged{after}")
    dropped = fit.get("dropped_features") or 0
    number = dropped if isinstance(dropped, int) else len(dropped)
    if number:
        said.append(f"{number} constant feature{'s' if number > 1 else ''} left out")
    notes = fit.get("notes") or []
    said.extend([notes] if isinstance(notes, str) else [str(note) for note in notes])
    return [text.rstrip(".") for text in said]
