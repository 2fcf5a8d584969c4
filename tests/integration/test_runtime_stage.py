"""The stage that times fits, in a clone: each trial once, kept when asked again, never side by side."""

from __future__ import annotations

import pyarrow.parquet as pq
from workspace import Workspace

ENTRY = {
    "trials": 2,
    "threads": [1],
    "fits": {"nca": {"method": "nca", "max_iter": 3, "trials": 1}, "arml": {"method": "arml", "max_iter": 5}},
}


def test_trials_are_timed_one_by_one_and_kept(study: Workspace) -> None:
    params = study.params()
    params["runtime"] = {"toy": ENTRY}
    study.set_params(params)
    output = study.repro("runtime_report@toy", code=255)
    assert "needs run.workers: 1" in output

    params["run"]["workers"] = 1
    study.set_params(params)
    output = study.repro("runtime_report@toy")
    assert "runtime toy: 3/3 parts, 100 %" in output
    table = pq.read_table(study.path / "data" / "timings" / "toy" / "runtime.parquet").to_pylist()
    assert [(row["fit"], row["threads"], row["trial"]) for row in table] == [
        ("nca", 1, 0),
        ("arml", 1, 0),
        ("arml", 1, 1),
    ]
    assert all(row["seconds"] > 0 and row["n_points"] == 60 for row in table)
    text = (study.path / "reports" / "runtime" / "toy" / "index.md").read_text()
    assert "| NCA " in text and "| ARML " in text
    assert not list((study.path / ".prefect" / "parts" / "toy" / "runtime").glob("*.json"))

    params["runtime"]["toy"]["trials"] = 3
    study.set_params(params)
    assert "runtime toy: 4/4 parts, 100 %, 3 reused" in study.repro("runtime_report@toy")
