"""How large a training set is: whether tasks had better share one copy of it."""

from __future__ import annotations

from flows import layout

LARGE = 1 << 27  # bytes of float64 training features


def is_large(dataset: str) -> bool:
    """Whether copies of the training set matter: then workers are threads that share one."""
    from arml.results.parquet import read_provenance

    facts = read_provenance(layout.train_split(dataset))
    return 8 * int(facts["n_train"]) * int(facts["n_features"]) >= LARGE
