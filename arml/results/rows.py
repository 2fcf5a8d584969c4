"""Tables of results and timings from arrays: what a verifier, a certificate or an attack found, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from arml.errors import DataError
from arml.results.schemas import (
    ADVERSARIAL,
    KINDS,
    RESULTS,
    TIMINGS,
    TRIALS,
    check_values,
    column,
    conform,
    method_rank,
)


def exact_table(
    *,
    dataset: str,
    method: str,
    label: ArrayLike,
    prediction: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    status: ArrayLike,
    witness: ArrayLike | None = None,
    index: ArrayLike | None = None,
    n_neighbors: int = 1,
    algorithm: str = "qp",
) -> pa.Table:
    """Return rows of kind "exact": the minimal perturbation of each point lies in [lower, upper] (eq. 13).

    Parameters
    ----------
    dataset, method : str
    label, prediction : array-like of shape (n,)
        Integers.
    lower, upper : array-like of shape (n,)
        ℓ2 lengths in the preprocessed feature space.
    status : array-like of shape (n,)
        Of `STATUSES`.
    witness : array-like of shape (n,), optional
        Training index of the winning negative, −1 where there is none (the default).
    index : array-like of shape (n,), optional
        Row of the test file; 0 … n−1 by default.

    Returns
    -------
    pyarrow.Table
        In the `RESULTS` schema, rows in the order given.

    Raises
    ------
    DataError
        Lengths differ, or a value is not admissible (NaN, negative, unknown status).
    """
    return _rows(
        dataset,
        method,
        "exact",
        algorithm,
        n_neighbors,
        index,
        label,
        prediction,
        status,
        lower,
        upper,
        witness,
    )


def certified_table(
    *,
    dataset: str,
    method: str,
    n_neighbors: int,
    label: ArrayLike,
    prediction: ArrayLike,
    radius: ArrayLike,
    index: ArrayLike | None = None,
    algorithm: str = "theorem1",
) -> pa.Table:
    """Return rows of kind "certified": no perturbation shorter than `radius` changes the prediction.

    ``lower`` is the certificate and ``upper`` +inf; both are 0 where the prediction is wrong. The status is
    "misclassified" there, "unsolved" where a correct point has no certificate (radius 0), else "bounded".

    Raises
    ------
    DataError
        Lengths differ, a radius is NaN or negative, or a misclassified point has a positive certificate.
    """
    radii = np.asarray(radius, dtype=np.float64)
    wrong = np.asarray(label) != np.asarray(prediction)
    if radii.shape != wrong.shape:
        raise DataError(f"radius must have the shape of label, {wrong.shape}, got {radii.shape}")
    if (radii[wrong] > 0).any():
        first = int(np.flatnonzero(wrong & (radii > 0))[0])
        raise DataError(f"row {first} of {dataset}/{method} is misclassified but has certificate {radii[first]}")
    status = np.where(wrong, "misclassified", np.where(radii > 0, "bounded", "unsolved"))
    upper = np.where(wrong, 0.0, np.inf)
    return _rows(
        dataset,
        method,
        "certified",
        algorithm,
        n_neighbors,
        index,
        label,
        prediction,
        status,
        radii,
        upper,
        None,
    )


def attacked_table(
    *,
    dataset: str,
    method: str,
    n_neighbors: int,
    index: ArrayLike,
    label: ArrayLike,
    prediction: ArrayLike,
    norm: ArrayLike,
    status: ArrayLike,
    algorithm: str = "boundary",
) -> pa.Table:
    """Return rows of kind "attacked": a perturbation of length `norm` changes the prediction.

    ``lower`` is 0 and ``upper`` the norm: +inf where no attack succeeded, 0 where the prediction is wrong
    already, NaN only with status "unattacked".

    Raises
    ------
    DataError
        Lengths differ, or a norm is negative, or NaN without status "unattacked".
    """
    norms = np.asarray(norm, dtype=np.float64)
    upper = np.where(np.asarray(label) != np.asarray(prediction), 0.0, norms)
    return _rows(
        dataset,
        method,
        "attacked",
        algorithm,
        n_neighbors,
        index,
        label,
        prediction,
        status,
        np.zeros(norms.shape),
        upper,
        None,
    )


def adversarial_table(rows: pa.Table, points: ArrayLike, answers: ArrayLike) -> pa.Table:
    """Return the points that an attack found, for those rows where it found one.

    Parameters
    ----------
    rows : pyarrow.Table
        Of kind "attacked" (`attacked_table`).
    points : array-like of shape (n, D)
        The adversarial points, one a row; not looked at where ``upper`` is not finite.
    answers : array-like of shape (n,)
        What the classifier says there.

    Returns
    -------
    pyarrow.Table
        In the schema ``adversarial``.

    Raises
    ------
    DataError
        Lengths differ, a point is not finite, or an answer is right.
    """
    found, said = np.asarray(points, dtype=np.float64), np.asarray(answers)
    if found.ndim != 2 or len(found) != rows.num_rows or said.shape != (rows.num_rows,):
        raise DataError(
            f"expected a point and an answer for each of {rows.num_rows} rows, got {found.shape}, {said.shape}"
        )
    broken = np.flatnonzero(np.isfinite(column(rows, "upper")))
    kept = rows.take(pa.array(broken))
    columns = {name: kept[name] for name in ADVERSARIAL.names if name in RESULTS.names}
    columns |= {"answer": pa.array(said[broken]), "norm": kept["upper"]}
    columns["point"] = pa.array(list(found[broken]), ADVERSARIAL.field("point").type)
    table = conform(pa.table(columns), "adversarial", "cannot store adversarial points")
    check_values(table, "adversarial", "cannot store adversarial points")
    return table


def timings_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return timing rows as a table, sorted by data set, stage, method, number of neighbours and start.

    Parameters
    ----------
    rows : iterable of mappings
        Each with the columns of `TIMINGS`; ``method`` may be "" and ``n_neighbors`` 0 where they say nothing.
    """
    listed = sorted(
        rows, key=lambda r: (r["dataset"], r["stage"], method_rank(r["method"]), r["n_neighbors"], r["start"])
    )
    unknown = {name for row in listed for name in row} - set(TIMINGS.names)
    missing = {name for row in listed for name in TIMINGS.names if name not in row}
    if unknown or missing:
        raise DataError(f"timing rows lack {sorted(missing)} or hold unknown {sorted(unknown)}")
    return pa.Table.from_pylist([dict(row) for row in listed], schema=TIMINGS)


def trials_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return timed fits as a table, in the order given: each a mapping with the columns of `TRIALS`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TRIALS)


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all result rows in one order: data set, method, number of neighbours, kind, algorithm, index.

    The order does not depend on how the rows were split into tables. Methods come in the paper's order.

    Raises
    ------
    DataError
        Two rows are about the same point, method, K, kind and algorithm, or no table was given.
    """
    if not tables:
        raise DataError("there are no result tables to join: expected at least one")
    table = pa.concat_tables([conform(t, "results", "cannot join") for t in tables])
    table = table.replace_schema_metadata(None).combine_chunks()
    keys = sort_keys(table)
    order = np.lexsort(keys[::-1])
    ordered = np.stack([key[order] for key in keys])
    repeated = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).all(axis=0)) if len(order) else order
    if len(repeated):
        row = table.slice(int(order[repeated[0]]), 1).to_pylist()[0]
        name = " ".join(f"{key}={row[key]}" for key in ("dataset", "method", "kind", "algorithm"))
        raise DataError(f"two result rows for {name} n_neighbors={row['n_neighbors']} index={row['index']}")
    return table.take(pa.array(order))


def sort_keys(table: pa.Table) -> list[NDArray[np.int64]]:
    """Return integer keys of each row, most significant first (the order of `concat`)."""

    def ranks(name: str, key: Any) -> NDArray[np.int64]:
        encoded = table[name].combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        words = encoded.dictionary.to_pylist()
        rank = {word: place for place, word in enumerate(sorted(words, key=key))}
        codes = np.asarray(encoded.indices.to_numpy())
        ranked: NDArray[np.int64] = np.array([rank[word] for word in words], dtype=np.int64)[codes]
        return ranked

    return [
        ranks("dataset", str),
        ranks("method", method_rank),
        column(table, "n_neighbors").astype(np.int64),
        ranks("kind", KINDS.index),
        ranks("algorithm", str),
        column(table, "index").astype(np.int64),
    ]


def _rows(
    dataset: str,
    method: str,
    kind: str,
    algorithm: str,
    n_neighbors: int,
    index: ArrayLike | None,
    label: ArrayLike,
    prediction: ArrayLike,
    status: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    witness: ArrayLike | None,
) -> pa.Table:
    n = len(np.asarray(label))
    given = {
        "index": np.arange(n) if index is None else np.asarray(index),
        "label": np.asarray(label),
        "prediction": np.asarray(prediction),
        "status": np.asarray(status, dtype=object),
        "lower": np.asarray(lower, dtype=np.float64),
        "upper": np.asarray(upper, dtype=np.float64),
        "witness": np.full(n, -1) if witness is None else np.asarray(witness),
    }
    where = f"{kind} rows of {dataset}/{method}"
    wrong = {name: array.shape for name, array in given.items() if array.shape != (n,)}
    if wrong:
        raise DataError(f"{where}: every array must have shape ({n},) as label has, got {wrong}")
    same = {"dataset": dataset, "method": method, "kind": kind, "algorithm": algorithm}
    columns: dict[str, Any] = {name: pa.array([value] * n, pa.string()) for name, value in same.items()}
    columns["n_neighbors"] = pa.array(np.full(n, n_neighbors, dtype=np.int32))
    columns.update({name: pa.array(array, from_pandas=False) for name, array in given.items()})
    if n == 0:
        return RESULTS.empty_table()
    table = conform(pa.table(columns), "results", where)
    check_values(table, "results", where)
    return table
