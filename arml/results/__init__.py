"""Parquet files of the study: columns, types, checks, provenance; certificates as rows and their audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.results.parquet import (
        provenance,
        read_metric,
        read_provenance,
        read_split,
        read_table,
        read_weights,
        schema_of,
        table_provenance,
        write_metric,
        write_split,
        write_table,
        write_weights,
    )
    from arml.results.rows import (
        adversarial_table,
        attacked_table,
        certified_table,
        concat,
        exact_table,
        timings_table,
        trials_table,
    )
    from arml.results.schemas import (
        KINDS,
        METHOD_ORDER,
        RESULTS,
        STATUSES,
        TIMINGS,
        TRIALS,
        column,
        metric_schema,
        processed_schema,
    )
    from arml.results.stages import STAGE_ORDER

__all__ = [
    "KINDS",
    "METHOD_ORDER",
    "RESULTS",
    "STAGE_ORDER",
    "STATUSES",
    "TIMINGS",
    "TRIALS",
    "adversarial_table",
    "attacked_table",
    "certified_table",
    "column",
    "concat",
    "exact_table",
    "metric_schema",
    "processed_schema",
    "provenance",
    "read_metric",
    "read_provenance",
    "read_split",
    "read_table",
    "read_weights",
    "schema_of",
    "table_provenance",
    "timings_table",
    "trials_table",
    "write_metric",
    "write_split",
    "write_table",
    "write_weights",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "KINDS": "arml.results.schemas",
        "METHOD_ORDER": "arml.results.schemas",
        "RESULTS": "arml.results.schemas",
        "STAGE_ORDER": "arml.results.stages",
        "STATUSES": "arml.results.schemas",
        "TIMINGS": "arml.results.schemas",
        "TRIALS": "arml.results.schemas",
        "adversarial_table": "arml.results.rows",
        "attacked_table": "arml.results.rows",
        "certified_table": "arml.results.rows",
        "column": "arml.results.schemas",
        "concat": "arml.results.rows",
        "exact_table": "arml.results.rows",
        "metric_schema": "arml.results.schemas",
        "processed_schema": "arml.results.schemas",
        "provenance": "arml.results.parquet",
        "read_metric": "arml.results.parquet",
        "read_provenance": "arml.results.parquet",
        "read_split": "arml.results.parquet",
        "read_table": "arml.results.parquet",
        "read_weights": "arml.results.parquet",
        "schema_of": "arml.results.parquet",
        "table_provenance": "arml.results.parquet",
        "timings_table": "arml.results.rows",
        "trials_table": "arml.results.rows",
        "write_metric": "arml.results.parquet",
        "write_split": "arml.results.parquet",
        "write_table": "arml.results.parquet",
        "write_weights": "arml.results.parquet",
    },
)
