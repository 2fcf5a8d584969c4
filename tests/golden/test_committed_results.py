"""What is committed of the default study is whole: every stage of every data set, and reports made from it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_lock_knows_every_stage_of_every_data_set():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    each = {stage: entry["foreach"].strip("${}") for stage, entry in stages.items() if "foreach" in entry}
    names = {
        "datasets": params["datasets"],
        "networks.datasets": params["networks"]["datasets"],
        "runtime": params["runtime"],
    }
    assert set(each.values()) == set(names)
    expected = {f"{stage}@{name}" for stage, section in each.items() for name in names[section]}
    assert set(locked) == expected | {"report"}


def test_the_reports_say_how_many_certificates_were_checked():
    page = (ROOT / "reports" / "index.md").read_text()
    said = re.search(r"without the solvers: (\d+) of (\d+), all accepted", page)
    assert said is not None and 0 < int(said[1]) <= int(said[2])
