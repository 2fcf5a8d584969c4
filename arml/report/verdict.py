"""What a study says about the paper's three observations, as counts of the cells that support them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arml.curves import Curve
from arml.report.published import ALGORITHMS
from arml.report.study import Study, algorithm_label, method_label
from arml.report.tables import algorithms

_OURS, _PLAIN, _CLASSIC = "arml", "euclidean", ("nca", "lmnn")
_SETS = "data sets"
COMPETITIVE = 0.01
"""How far above the lowest clean error a method may be and still compete."""
_CELLS = "A cell is one data set at one positive radius; intervals are in the tables."


@dataclass(frozen=True)
class Tally:
    """How many cells of one kind of evidence support a statement, and which do not.

    ``where_not`` names the others, e.g. "pendigits at 0.3 (ITML 0.590 < ARML 0.610)"; ``ties`` of the
    supporting cells are shared with another method.
    """

    evidence: str
    support: int
    cells: int
    where_not: tuple[str, ...]
    ties: int = 0
    unit: str = "cells"

    def __str__(self) -> str:
        tied = f", {self.ties} of them tied" if self.ties else ""
        return f"{self.support} of {self.cells} {self.unit} ({self.evidence}{tied})"


def most_robust(study: Study) -> list[Tally]:
    """Count the cells (data set × positive radius) where ARML's robust error is the lowest, ties included."""
    tallies = []
    for kind, n_neighbors, words in _evidence(study):
        support, ties, where_not = 0, 0, []
        for dataset, curves in _blocks(study, kind, n_neighbors):
            if _OURS not in curves or len(curves) < 2:
                continue
            errors = {method: _positive(study, curve) for method, curve in curves.items()}
            for r, radius in enumerate(_radii(study, dataset)):
                best = min(errors, key=lambda method: (errors[method][r], method != _OURS))
                if best == _OURS:
                    support += 1
                    ties += sum(row[r] == errors[_OURS][r] for row in errors.values()) > 1
                else:
                    pair = f"{method_label(best)} {errors[best][r]:.3f} < ARML {errors[_OURS][r]:.3f}"
                    where_not.append(f"{dataset} at {radius:g} ({pair})")
        if support or where_not:
            tallies.append(Tally(words, support, support + len(where_not), tuple(where_not), ties))
    return tallies


def clean_competitive(study: Study, within: float = 0.0) -> list[Tally]:
    """Count the data sets where ARML's clean error is at most `within` above the lowest of all methods."""
    tallies = []
    for kind, n_neighbors, _ in _evidence(study)[:2]:
        support, where_not = 0, []
        for dataset, curves in _blocks(study, kind, n_neighbors):
            if _OURS not in curves or len(curves) < 2:
                continue
            clean = {method: curve.clean_error for method, curve in curves.items()}
            best = min(clean, key=lambda method: (clean[method], method != _OURS))
            if clean[_OURS] <= clean[best] + within + 1e-12:
                support += 1
            else:
                where_not.append(f"{dataset} ({method_label(best)} {clean[best]:.3f} < ARML {clean[_OURS]:.3f})")
        if support or where_not:
            tallies.append(Tally(f"{n_neighbors}-NN", support, support + len(where_not), tuple(where_not), unit=_SETS))
    return tallies


def less_robust_than_euclidean(study: Study) -> tuple[list[Tally], list[Tally]]:
    """Count for NCA and LMNN: (data sets with a clean error below Euclidean's, cells with a higher robust error)."""
    cleaner, weaker = [], []
    for method in _CLASSIC:
        for kind, k, words in _evidence(study)[:2]:
            better, not_better, worse, not_worse = 0, [], 0, []
            for dataset, curves in _blocks(study, kind, k):
                if method not in curves or _PLAIN not in curves:
                    continue
                own, plain = curves[method], curves[_PLAIN]
                better += own.clean_error < plain.clean_error
                if own.clean_error >= plain.clean_error:
                    not_better.append(dataset)
                above = _positive(study, own) > _positive(study, plain)
                worse += int(above.sum())
                radii = _radii(study, dataset)
                not_worse += [f"{dataset} at {radius:g}" for radius, is_worse in zip(radii, above) if not is_worse]
            if better + len(not_better):
                name, sets = method_label(method), int(better) + len(not_better)
                cleaner.append(Tally(f"{name}, {k}-NN", int(better), sets, tuple(not_better), unit=_SETS))
                weaker.append(Tally(f"{name}, {words}", worse, worse + len(not_worse), tuple(not_worse)))
    return cleaner, weaker


def strength(tallies: list[Tally]) -> str:
    """Return one word for how far the cells support a statement: confirmed, mostly, partly or not confirmed."""
    cells = sum(tally.cells for tally in tallies)
    share = sum(tally.support for tally in tallies) / cells if cells else 0.0
    if share == 1:
        return "confirmed"
    return "mostly confirmed" if share >= 0.8 else "partly confirmed" if share >= 0.5 else "not confirmed"


@dataclass(frozen=True)
class Observation:
    """A statement of the paper, what was counted for it, and the counts; `aside` counts something else beside it."""

    statement: str
    counted: str
    tallies: tuple[Tally, ...]
    aside: str = ""
    aside_tallies: tuple[Tally, ...] = ()

    @property
    def word(self) -> str:
        """How far the cells support it."""
        return strength(list(self.tallies))


def observations(study: Study) -> list[Observation]:
    """Return those of the paper's three observations that this study can judge."""
    found = []
    robust = most_robust(study)
    if robust:
        counted = "Its robust error is the lowest, ties included, in"
        found.append(Observation("ARML is the most robust", counted, tuple(robust)))
    near, lowest = clean_competitive(study, COMPETITIVE), clean_competitive(study)
    if near:
        counted = f"It is at most {COMPETITIVE:g} above the lowest of all methods in"
        aside = "It is the lowest itself, ties included, in"
        found.append(Observation("ARML's clean error is competitive", counted, tuple(near), aside, tuple(lowest)))
    cleaner, weaker = less_robust_than_euclidean(study)
    if weaker:
        statement, counted = "NCA and LMNN are less robust than Euclidean", "A higher robust error in"
        aside = "What they are traded for, a clean error below Euclidean's, is there in"
        found.append(Observation(statement, counted, tuple(weaker), aside, tuple(cleaner)))
    return found


def verdict_lines(study: Study) -> list[str]:
    """Return the verdict as Markdown: a bullet an observation."""
    lines = []
    for one in observations(study):
        text = f"- **{one.statement}: {one.word}.** {one.counted} {_counts(one.tallies)}.{_exceptions(one.tallies)}"
        if one.aside_tallies:
            text += f" {one.aside} {_counts(one.aside_tallies)}."
        lines.append(text)
    return [*lines, *(f"- {text}" for text in caveats(study))] if lines else []


def caveats(study: Study) -> list[str]:
    """What has to be known to read the verdict: what a cell is, and which methods were fitted on less than there is."""
    said, partial = [_CELLS], study.on_subset()
    if partial:
        names = ", ".join(map(method_label, partial))
        said.append(f"{names}: fitted on a subset of some training sets here, as the notes of the tables say.")
    return said


def _counts(tallies: Sequence[Tally]) -> str:
    return "; ".join(map(str, tallies))


def _exceptions(tallies: Sequence[Tally], most: int = 8) -> str:
    found = [f"{text}, {tally.evidence}" for tally in tallies for text in tally.where_not]
    if not found:
        return ""
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return f" Not on: {'; '.join(found[:most])}{more}."


def _evidence(study: Study) -> list[tuple[str, int, str]]:
    """The kinds of evidence a verdict rests on: (kind, K, in words), its algorithms named unless only the paper's."""
    found = []
    for kind, k in (("exact", 1), ("certified", study.n_neighbors), ("attacked", study.n_neighbors)):
        chosen = {curve.algorithm for _, curves in _blocks(study, kind, k) for curve in curves.values()}
        known = algorithms(study, kind, k)
        names = [algorithm_label(name) for name in known if name in chosen]
        named = f", {' and '.join(names)}" if set(known) - {ALGORITHMS[kind]} else ""
        found.append((kind, k, f"{kind} {k}-NN{named}"))
    return found


def _blocks(study: Study, kind: str, n_neighbors: int) -> Iterator[tuple[str, Mapping[str, Curve]]]:
    """Each data set's curves by method, of one algorithm: the paper's where it was run."""
    for dataset in study.dataset_names:
        for algorithm in algorithms(study, kind, n_neighbors):
            curves = study.select(dataset, kind, n_neighbors, algorithm)
            if curves:
                yield dataset, {curve.method: curve for curve in curves}
                break


def _radii(study: Study, dataset: str) -> list[float]:
    return [radius for radius in study.radii[dataset] if radius > 0]


def _positive(study: Study, curve: Curve) -> NDArray[np.float64]:
    return curve.errors(_radii(study, curve.dataset))
