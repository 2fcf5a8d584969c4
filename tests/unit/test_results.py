"""Parquet files: columns, bytes, provenance, and every way a file can be wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arml.errors import DataError
from arml.results import (
    RESULTS,
    TIMINGS,
    adversarial_table,
    attacked_table,
    certified_table,
    concat,
    exact_table,
    provenance,
    read_metric,
    read_provenance,
    read_split,
    read_table,
    read_weights,
    schema_of,
    table_provenance,
    timings_table,
    write_metric,
    write_split,
    write_table,
    write_weights,
)
from arml.system.files import sha256_file
from tests.unit.report_data import tables, timings


def small() -> pa.Table:
    return exact_table(
        dataset="toy",
        method="arml",
        label=[0, 1, 1],
        prediction=[0, 1, 0],
        lower=[0.5, 0.25, 0.0],
        upper=[0.5, 0.375, 0.0],
        status=["exact", "bounded", "misclassified"],
        witness=[7, 2, -1],
    )


# ---------------------------------------------------------------- rows


def test_exact_rows_are_what_was_given() -> None:
    assert small().schema == RESULTS
    assert small().to_pylist()[1] == {
        "dataset": "toy",
        "method": "arml",
        "kind": "exact",
        "algorithm": "qp",
        "n_neighbors": 1,
        "index": 1,
        "label": 1,
        "prediction": 1,
        "status": "bounded",
        "lower": 0.25,
        "upper": 0.375,
        "witness": 2,
    }


def test_certified_rows_get_status_and_upper_bound() -> None:
    table = certified_table(
        dataset="toy",
        method="nca",
        n_neighbors=11,
        label=[0, 1, 1, 0],
        prediction=[0, 1, 0, 0],
        radius=[0.5, 0.0, 0.0, np.inf],
    )
    assert table["status"].to_pylist() == ["bounded", "unsolved", "misclassified", "bounded"]
    assert table["lower"].to_pylist() == [0.5, 0.0, 0.0, np.inf]
    assert table["upper"].to_pylist() == [np.inf, np.inf, 0.0, np.inf]


def test_certificate_of_a_misclassified_point_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1 of toy/nca is misclassified but has certificate 0\.5"):
        certified_table(dataset="toy", method="nca", n_neighbors=1, label=[0, 1], prediction=[0, 0], radius=[1, 0.5])


def test_attacked_rows_keep_the_norm_and_zero_where_misclassified() -> None:
    table = attacked_table(
        dataset="toy",
        method="nca",
        n_neighbors=11,
        index=[4, 9, 2],
        label=[0, 1, 1],
        prediction=[0, 0, 1],
        norm=[0.5, 0.25, np.inf],
        status=["bounded", "misclassified", "unsolved"],
    )
    assert table["upper"].to_pylist() == [0.5, 0.0, np.inf]
    assert table["lower"].to_pylist() == [0.0, 0.0, 0.0]
    assert table["index"].to_pylist() == [4, 9, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lower": [0.5, np.nan, 0.0]}, "'lower' holds NaN or negative"),
        ({"upper": [0.5, -1.0, 0.0]}, "'upper' holds NaN or negative"),
        ({"upper": [0.5, np.nan, 0.0]}, "'upper' holds NaN or negative"),
        ({"status": ["exact", "fine", "exact"]}, r"'status' holds \['fine'\]; known: exact, bounded"),
        ({"lower": [0.5, 0.1]}, r"shape \(3,\) as label has, got \{'lower': \(2,\)\}"),
        ({"index": [0, -1, 2]}, "'index' holds values below 0"),
        ({"label": [0.5, 1.0, 1.0]}, "wrong type"),
    ],
)
def test_inadmissible_rows_are_refused(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {
        "label": [0, 1, 1],
        "prediction": [0, 1, 0],
        "lower": [0.5, 0.25, 0.0],
        "upper": [0.5, 0.375, 0.0],
        "status": ["exact", "bounded", "misclassified"],
    }
    with pytest.raises(DataError, match=message):
        exact_table(dataset="toy", method="arml", **(given | change))  # type: ignore[arg-type]


def test_no_rows_make_an_empty_table() -> None:
    empty = exact_table(dataset="t", method="m", label=[], prediction=[], lower=[], upper=[], status=[])
    assert empty.schema == RESULTS and empty.num_rows == 0


def test_concat_does_not_depend_on_the_split_into_tables() -> None:
    whole = tables(("pendigits",), sample=20)
    shards = [t.slice(start, 500) for t in reversed(whole) for start in range(0, t.num_rows, 500)]
    joined = concat(shards)
    assert joined.equals(concat(whole))
    methods = joined["method"].to_pylist()
    assert list(dict.fromkeys(methods)) == ["euclidean", "nca", "lmnn", "itml", "lfda", "arml"]
    first = joined.filter(pa.compute.equal(joined["method"], "euclidean"))
    assert list(dict.fromkeys(zip(first["n_neighbors"].to_pylist(), first["kind"].to_pylist()))) == [
        (1, "exact"),
        (1, "certified"),
        (1, "attacked"),
        (11, "exact"),
        (11, "certified"),
        (11, "attacked"),
    ]


def test_concat_refuses_a_row_twice_and_nothing_at_all() -> None:
    with pytest.raises(DataError, match=r"two result rows for dataset=toy method=arml kind=exact .* index=2"):
        concat([small(), small().slice(2)])
    with pytest.raises(DataError, match="no result tables"):
        concat([])


def test_timings_are_sorted_and_complete() -> None:
    table = timings()
    assert table.schema == TIMINGS
    assert list(zip(table["stage"].to_pylist(), table["start"].to_pylist())) == [
        ("train", 0),
        ("verify", 0),
        ("verify", 600),
    ]
    with pytest.raises(DataError, match=r"lack \['cpu_seconds'.* or hold unknown \['wall'\]"):
        timings_table([{"dataset": "d", "method": "", "stage": "s", "n_neighbors": 0, "start": 0, "wall": 1}])


# ---------------------------------------------------------------- files


def test_round_trip_keeps_rows_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "exact.parquet"
    write_table(path, small(), "results", {"seed": np.int64(42), "shape": (3, 2), "a": np.array([1.5])})
    table = read_table(path, "results")
    assert table.replace_schema_metadata(None).equals(small())
    facts = {"a": [1.5], "seed": 42, "shape": [3, 2]}
    assert read_provenance(path) == table_provenance(table) == facts
    assert pq.read_schema(path).metadata[b"arml"] == b'{"a": [1.5], "seed": 42, "shape": [3, 2]}'


def test_equal_content_gives_equal_bytes_however_it_was_made(tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_table(one, concat(tables(("pendigits",))), "results", {"b": 1, "a": 2})
    parts = concat(tables(("pendigits",))[::-1])
    chunked = pa.concat_tables([parts.slice(0, 700), parts.slice(700)]).select(RESULTS.names[::-1])
    write_table(two, chunked, "results", {"a": 2, "b": 1})
    assert one.read_bytes() == two.read_bytes()


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    code = (
        "import sys; from arml.results import write_table, concat; from tests.unit.report_data import tables;"
        "write_table(sys.argv[1], concat(tables(('pendigits',))), 'results', {'seed': 1})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "one")], check=True, cwd=Path(__file__).parents[2])
    write_table(tmp_path / "two", concat(tables(("pendigits",))), "results", {"seed": 1})
    assert sha256_file(tmp_path / "one") == sha256_file(tmp_path / "two")


def test_other_readers_see_plain_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", small(), "results", {})
    frame = pytest.importorskip("pandas").read_parquet(tmp_path / "t.parquet")
    assert list(frame.columns) == RESULTS.names
    assert str(frame.dtypes["index"]) == "int32" and str(frame.dtypes["lower"]) == "float64"
    assert frame.groupby("status")["upper"].max().to_dict() == {
        "bounded": 0.375,
        "exact": 0.5,
        "misclassified": 0.0,
    }


def test_metric_round_trip(tmp_path: Path) -> None:
    G = np.random.default_rng(0).normal(size=(2, 12))
    write_metric(tmp_path / "m.parquet", G, {"method": "arml"})
    back, facts = read_metric(tmp_path / "m.parquet")
    np.testing.assert_array_equal(back, G)
    assert facts == {"method": "arml"} and back.flags.c_contiguous
    with pytest.raises(DataError, match="'g1' holds NaN"):
        write_metric(tmp_path / "m.parquet", [[1.0, np.nan]], {})
    with pytest.raises(DataError, match=r"shape \(r, D\)"):
        write_metric(tmp_path / "m.parquet", np.ones(3), {})


def test_split_round_trip(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((40, 11))
    y = np.where(np.arange(40) % 2, -1, 1)
    write_split(tmp_path / "s.parquet", X, y, {"dataset": "toy"})
    back, labels = read_split(tmp_path / "s.parquet")
    np.testing.assert_array_equal(back, X)
    np.testing.assert_array_equal(labels, y)
    assert labels.dtype == np.int64 and back.flags.c_contiguous
    with pytest.raises(DataError, match="X of shape"):
        write_split(tmp_path / "s.parquet", X, y[:-1], {})


def test_provenance_names_versions_and_nothing_that_changes() -> None:
    facts = provenance(seed=1, path=Path("data/x"))
    assert facts["seed"] == 1 and facts["path"] == "data/x"
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert set(facts) == {"seed", "path", "versions", "machine"}
    assert provenance(seed=1, path=Path("data/x")) == facts
    with pytest.raises(ValueError, match="nan"):
        provenance(loss=float("nan"))


# ---------------------------------------------------------------- files that are wrong


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "exact.parquet"
    write_table(path, concat(tables(("pendigits",))), "results", {"seed": 1})
    return path


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    for reader in (lambda p: read_table(p, "results"), read_provenance, read_metric, read_split):
        with pytest.raises(DataError, match=r"none.parquet: expected .* there is no such file; .*dvc repro"):
            reader(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="it is a folder"):
        read_table(tmp_path, "results")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.999])
def test_truncated_file_is_corrupt(written: Path, keep: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(DataError, match=r"corrupt or no Parquet .*delete it and run 'dvc repro'"):
        read_table(written, "results")


def test_every_flipped_byte_in_the_data_is_noticed_or_harmless(written: Path) -> None:
    content = written.read_bytes()
    whole = read_table(written, "results")
    for place in np.linspace(4, len(content) - 1, 60).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        written.write_bytes(bytes(damaged))
        try:
            assert (
                read_table(written, "results").replace_schema_metadata(None).equals(whole.replace_schema_metadata(None))
            )
        except DataError as error:
            assert "dvc repro" in str(error)


def test_text_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("<html>404</html>")
    with pytest.raises(DataError, match="corrupt or no Parquet"):
        read_table(tmp_path / "x.parquet", "results")
    with pytest.raises(DataError, match="corrupt"):
        read_provenance(tmp_path / "x.parquet")


def test_foreign_parquet_is_not_taken_for_ours(tmp_path: Path) -> None:
    pq.write_table(small(), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"not written by arml .*delete it"):
        read_table(tmp_path / "x.parquet", "results")
    with pytest.raises(DataError, match="carries no provenance"):
        read_provenance(tmp_path / "x.parquet")


def test_another_kind_of_file_is_named(written: Path) -> None:
    with pytest.raises(DataError, match="schema 'metric', but it is marked 'results/1', not 'metric/1'"):
        read_metric(written)


def test_wrong_columns_and_types_under_our_mark_are_named(tmp_path: Path) -> None:
    mark = {b"arml": b"{}", b"arml.schema": b"results/1"}
    path = tmp_path / "x.parquet"
    renamed = small().rename_columns(["radius" if name == "lower" else name for name in RESULTS.names])
    pq.write_table(renamed.replace_schema_metadata(mark), path)
    with pytest.raises(DataError, match=r"missing: \['lower'\], or not in the schema: \['radius'\]; make it"):
        read_table(path, "results")
    texts = small().set_column(9, "lower", pa.array(["a", "b", "c"]))
    pq.write_table(texts.replace_schema_metadata(mark), path)
    with pytest.raises(DataError, match="a column has the wrong type"):
        read_table(path, "results")
    holes = small().set_column(9, "lower", pa.array([0.5, None, 0.0]))
    pq.write_table(holes.replace_schema_metadata(mark), path)
    with pytest.raises(DataError, match="column 'lower' holds nulls"):
        read_table(path, "results")
    nans = small().set_column(9, pa.field("lower", pa.float64()), pa.array([0.5, float("nan"), 0.0]))
    pq.write_table(nans.replace_schema_metadata(mark), path)
    with pytest.raises(DataError, match="'lower' holds NaN"):
        read_table(path, "results")


def test_adversarial_points_are_those_that_break_something(tmp_path: Path) -> None:
    same = {"dataset": "toy", "method": "arml", "n_neighbors": 3}
    rows = attacked_table(**same, index=[4, 6, 9], label=[0, 1, 1], prediction=[0, 1, 0], norm=[0.5, np.inf, 0.0],
                          status=["bounded", "unsolved", "misclassified"])  # fmt: skip
    points = [[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]]
    table = adversarial_table(rows, points, [1, 1, 0])
    write_table(tmp_path / "points.parquet", table, "adversarial", {})
    assert schema_of(tmp_path / "points.parquet") == "adversarial"
    again = read_table(tmp_path / "points.parquet", "adversarial")
    assert again["index"].to_pylist() == [4, 9] and again["answer"].to_pylist() == [1, 0]
    assert again["norm"].to_pylist() == [0.5, 0.0] and again["point"].to_pylist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(DataError, match="that point breaks nothing"):
        adversarial_table(rows, points, [0, 1, 0])
    with pytest.raises(DataError, match="'point' holds NaN"):
        adversarial_table(rows, points[1:] + points[:1], [1, 1, 0])
    with pytest.raises(DataError, match="a point and an answer for each of 3 rows"):
        adversarial_table(rows, points[1:], [1, 1, 0])
    assert adversarial_table(rows.slice(1, 1), points[1:2], [1]).num_rows == 0


def test_damaged_provenance_is_reported(tmp_path: Path) -> None:
    table = small().replace_schema_metadata({b"arml": b"{not json", b"arml.schema": b"results/1"})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="provenance as JSON"):
        read_provenance(tmp_path / "x.parquet")


def test_failed_write_leaves_the_old_file(written: Path) -> None:
    before = written.read_bytes()
    broken = small().set_column(9, "lower", pa.array([0.5, -1.0, 0.0]))
    with pytest.raises(DataError, match=r"cannot write .*exact.parquet, but 'lower' holds"):
        write_table(written, broken, "results", {})
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == ["exact.parquet"]


def test_weights_come_back_as_they_went(tmp_path: Path) -> None:
    file, facts = tmp_path / "net.parquet", {"dataset": "toy"}
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((1, 2, 2, 2), np.float32), np.zeros(4, np.float32)]
    write_weights(file, arrays, facts)
    found, known = read_weights(file)
    assert known == facts and [a.shape for a in found] == [a.shape for a in arrays]
    assert all((a == b).all() and a.dtype == np.float32 for a, b in zip(found, arrays))
    with pytest.raises(DataError, match="'values' holds NaN"):
        write_weights(file, [np.array([np.nan], np.float32)], facts)
    table = pa.table({"shape": [[2, 2]], "values": [[1.0]]})
    with pytest.raises(DataError, match="1 values came for the shape"):
        write_table(file, table, "weights", facts)


def test_unknown_schema_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="checks, adversarial, trials, weights, identity, metric, processed; got 'result'"
    ):
        write_table(tmp_path / "x", small(), "result", {})
