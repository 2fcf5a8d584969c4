"""Progress lines, pruning, shards of rows, and the summary of a run's time."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import pytest

from arml.results.parquet import provenance, timings_table, write_table
from arml.results.stages import TABLE
from flows import layout
from flows.errors import StageError
from flows.runners import choice
from flows.runners.choice import make_task_runner, runner_kind, worker_count
from flows.tasks.parts import Part, expected_costs, prune
from flows.tasks.progress import Progress
from flows.tasks.shards import evaluated_rows
from flows.tasks.summary import busy, summary


def run(**changes: object) -> dict[str, object]:
    known = {"runner": "threads", "cluster": None, "workers": 3, "threads_per_task": 1}
    return {**known, "shard_size": 10, "devices": "auto", **changes}


def test_progress_says_parts_share_rate_and_time_left() -> None:
    progress = Progress("verify pendigits", 12, 700)
    for _ in range(7):
        progress.done += 1
        progress.done_points += 58
        progress.fresh_points += 58
    assert progress.line(1.0) == "verify pendigits: 7/12 parts, 58 %, 406 points/s, 0:01 left"


def test_time_left_follows_expected_costs_and_is_a_bound_where_they_are_unknown() -> None:
    costs = {"euclidean": 1.0, "lmnn": 99.0, "nca": 20.0, "itml": 40.0}
    known = Progress("train wide", 4, 0, even=False, weights=list(costs.values()))
    known.add(0, True, costs["euclidean"])
    known.add(0, False, costs["nca"])
    assert known.line(10.0) == "train wide: 2/4 parts, 50 %, 1 reused, 1:10 left"  # 139 of it at 2 a second
    assert Progress("tighten toy", 0, 0).share == 1.0  # switched off
    unknown = Progress("train wide", 4, 0, even=False)
    unknown.add(0, False)
    assert unknown.line(10.0) == "train wide: 1/4 parts, 25 %, at least 0:30 left"


def test_expected_costs_are_those_of_the_last_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "DATA", tmp_path)
    parts = [Part("nca", tmp_path / f"{start}", (), {}, n_neighbors=11, start=start, n_points=n) for start, n in
             ((0, 10), (10, 5))]  # fmt: skip
    assert expected_costs("toy", "certify", parts) is None
    row = {"dataset": "toy", "method": "nca", "stage": "certify", "n_neighbors": 11, "start": 0, "n_points": 20}
    target = layout.timings("toy", "certify")
    target.parent.mkdir(parents=True)
    table = timings_table([{**row, "seconds": 1.0, "cpu_seconds": 4.0, "peak_memory_mib": 1.0}])
    write_table(target, table, "timings", provenance(dataset="toy", stage="certify"))
    assert expected_costs("toy", "certify", parts) == {"nca-11-0": 2.0, "nca-11-10": 1.0}
    assert expected_costs("toy", "certify", [Part("nca", tmp_path, (), {}, n_neighbors=11, n_points=1)]) == {
        "nca-11-0": 1.0
    }
    assert expected_costs("toy", "certify", [*parts, Part("arml", tmp_path, (), {}, n_neighbors=11)]) is None


def test_progress_counts_reused_parts_apart(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("train toy", 2, 0)
    progress.add(0, cached=True)
    progress.add(0, cached=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("train toy: 2/2 parts, 100 %, 1 reused, 0:00 taken")


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    progress = Progress("verify pendigits", 3, 300)
    progress.add(100, cached=True)
    for _ in range(2):
        time.sleep(0.15)
        progress.add(100, cached=False)
    shown = terminal.getvalue().split("\r")
    assert "\n" not in terminal.getvalue().rstrip("\n")  # one line, drawn over
    last = shown[-1]
    assert "verify pendigits: 100%" in last and "300/300" in last and "3/3 parts" in last
    assert any(re.search(r"<\d\d:\d\d, .*points/s", text) for text in shown[1:])
    rate = re.search(r"([\d.]+) points/s", last)
    assert rate is not None and float(rate[1]) < 900  # of the 200 computed, not of the 300


def test_slow_rates_keep_their_digits() -> None:
    progress = Progress("attack mnist", 4, 400)
    progress.done, progress.done_points, progress.fresh_points = 1, 100, 100
    assert progress.line(400.0) == "attack mnist: 1/4 parts, 25 %, 0.25 points/s, 20:00 left"


def test_prune_removes_what_is_not_kept(tmp_path: Path) -> None:
    keep = tmp_path / "records" / "a.json"
    for file in (keep, tmp_path / "records" / ".b.json.tmp", tmp_path / "old.parquet", tmp_path / "x" / "y"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    prune(tmp_path, [keep])
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["records", "records/a.json"]


def test_rows_are_all_or_the_paper_s_sample() -> None:
    from arml.datasets import paper_sample_indices

    assert evaluated_rows(4, "all", 42) == [0, 1, 2, 3]
    sample = evaluated_rows(100, 10, 42)
    assert sample == sorted(sample) and set(sample) == set(paper_sample_indices(100, 10, 42).tolist())
    assert set(evaluated_rows(100, 5, 42)) < set(sample)  # attacked points are verified points


def test_runner_is_chosen_by_name_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_large", lambda dataset: dataset == "mnist")
    assert make_task_runner(run(), "verify", "toy")._max_workers == 3  # type: ignore[attr-defined]
    assert type(make_task_runner(run(runner="processes"), "verify", "toy")).__name__ == "ProcessRunner"
    stages = ("check", "certify", "verify", "train", "attack")
    kinds = [runner_kind(run(runner="auto"), stage, "toy") for stage in stages]
    assert kinds == ["threads"] + ["processes"] * 4
    assert [runner_kind(run(runner="auto"), stage, "mnist") for stage in stages] == ["threads"] * 3 + ["processes"] * 2
    assert runner_kind(run(runner="auto", workers=1), "attack", "toy") == "threads"
    monkeypatch.setattr(choice, "is_large", lambda dataset: pytest.fail("there is no training set yet"))
    assert {runner_kind(run(runner="auto"), stage.name, "toy") for stage in TABLE if stage.alone} == {"threads"}
    assert runner_kind(run(runner="ray"), "attack", "toy") == "ray"
    alone = [stage.name for stage in TABLE if stage.alone]
    assert len(alone) == 6
    assert {runner_kind(run(runner="dask"), stage, "toy") for stage in alone} == {"threads"}  # no cluster for one task


@pytest.mark.parametrize(("cores", "threads", "workers"), [(8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_workers_times_threads_is_at_most_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, workers: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert worker_count(run(workers="auto", threads_per_task=threads)) == workers
    assert worker_count(run(workers=5, threads_per_task=threads)) == 5  # said so


def test_a_runner_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flows.runners.dask", raising=False)
    monkeypatch.delattr("flows.runners.dask", raising=False)
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(StageError, match=r"pip install -c constraints.txt '\.\[dask\]'"):
        make_task_runner(run(runner="dask"), "train", "toy")


def test_time_side_by_side_counts_once() -> None:
    assert busy([(0, 2), (1, 3), (5, 6), (5.5, 5.7)]) == 4
    assert busy([]) == 0


def test_summary_splits_work_from_orchestration(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rows = [("train", 0, 4), ("train", 1, 6), ("verify", 8, 10)]
    log.write_text("".join(json.dumps({"stage": s, "dataset": "d", "begun": b, "ended": e}) + "\n" for s, b, e in rows))
    text = summary(log, 20.0)
    assert "done in 20.0 s: stages' own work 8.0 s (train 6.0, verify 2.0), orchestration 12.0 s" in text
    assert "own work 2.0 s (verify 2.0), orchestration 8.0 s" in summary(log, 10.0, since=7.0)  # not train's
    rows = [("train", 0, 4), ("verify", 5, 9), ("attack", 6, 8), ("certify", 8, 10)]  # three of them side by side
    log.write_text("".join(json.dumps({"stage": s, "dataset": "d", "begun": b, "ended": e}) + "\n" for s, b, e in rows))
    said = "stages' own work 9.0 s (train 4.0, verify 4.0, attack 2.0, certify 2.0), orchestration 3.0 s"
    assert said in summary(log, 12.0)
    assert "own work 0.0 s (none)" in summary(tmp_path / "missing", 1.0)
