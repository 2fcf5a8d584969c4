"""A sweep in a clone: points as DVC experiments, finished ones kept, a failing one named and tried again."""

from __future__ import annotations

import sys

import yaml
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
