"""Sweeps in a clone, by DVC's queue and by our list: points are experiments, and finished ones are kept."""

from __future__ import annotations

import csv
import io
import sys

import yaml
from injection import wait_for
from workspace import Workspace, git

SPEC = {
    "study": {"datasets": {"toy": {}}, "methods": ["euclidean", "arml"], "certify": {"n_neighbors": [3]}},
    "axes": {"rank": {"one": {"train.arml.n_components": 1}, "two": {"train.arml.n_components": 2}}},
}


def test_points_are_experiments_and_finished_ones_are_kept(study: Workspace) -> None:
    spec = study.path / "flows" / "sweeps" / "mine.yaml"
    broken = yaml.safe_load(yaml.safe_dump(SPEC))
    broken["axes"]["rank"]["two"] = {"train.arml.n_components": 5}  # the toy set has four features
    spec.write_text(yaml.safe_dump(broken))
    output = study.run(sys.executable, "-m", "flows.sweep", "mine", code=1)
    assert "2 points, 0 done before" in output and "failed: rank two" in output
    index = (study.path / "reports" / "mine" / "index.md").read_text()
    assert "| one " in index and "| two " not in index

    spec.write_text(yaml.safe_dump(SPEC))
    output = study.run(sys.executable, "-m", "flows.sweep", "mine")
    assert "2 points, 1 done before" in output and "point 1 of 1: rank two" in output
    index = (study.path / "reports" / "mine" / "index.md").read_text()
    assert "| one " in index and "| two " in index

    output = study.run(sys.executable, "-m", "flows.sweep", "mine")
    assert "2 points, 2 done before" in output and "Running stage" not in output

    room = Workspace(study.path / ".studies" / "sweep-mine", study.environment)
    shown = room.dvc("exp", "show", "-A", "--csv")
    assert "rank-one" in shown and "rank-two" in shown and "toy.certified" in shown
    assert len(git("log", "--oneline", cwd=room.path).splitlines()) == 2  # one for each specification


def test_queued_experiments_run_to_their_end(study: Workspace) -> None:
    study.dvc("exp", "run", "--queue", "-S", "+train.arml.n_components=1,2")  # lists are points
    study.dvc("queue", "start")

    def over() -> bool:
        states = study.dvc("queue", "status")
        return "Running" not in states and "Queued" not in states

    assert wait_for(over, 300)
    status = study.dvc("queue", "status")
    assert status.count("Success") == 2, status + study.dvc("queue", "logs", status.splitlines()[1].split()[1])
    shown = csv.DictReader(io.StringIO(study.dvc("exp", "show", "--csv")))
    points = {row["train.arml.n_components"]: row for row in shown if row["State"] != "Failed"}
    assert {"1", "2"} <= points.keys()
    one, two = ({name: points[rank][name] for name in points[rank] if name.startswith("toy.arml.")} for rank in "12")
    assert all(one.values()) and all(two.values()) and one != two
    assert points["1"]["toy.lmnn.certified_3nn"] == points["2"]["toy.lmnn.certified_3nn"]
